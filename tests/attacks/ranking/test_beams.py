"""Beam search against enumeration."""

import itertools
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from robeval_attacks.ranking.beams import Beams, Extensions, grow

SIZE = 4


@dataclass(frozen=True)
class Table:
    """A sequence is worth the sum of its steps' entries [batch, last, next]; every token may follow."""

    worth: Tensor
    forbidden: int | None = None

    def extend(self, beams: Beams) -> Extensions:
        shape = (*beams.ids.shape[:2], SIZE)
        ids = torch.arange(SIZE).expand(shape)
        return Extensions(ids, torch.zeros(shape), ids != (-1 if self.forbidden is None else self.forbidden))

    def value(self, beams: Beams, extensions: Extensions) -> Tensor:
        whole = torch.cat(
            [beams.ids.unsqueeze(2).expand(-1, -1, SIZE, -1), extensions.ids.unsqueeze(3)], dim=3
        )
        return self.total(whole)

    def check(self, ids: Tensor, value: Tensor) -> Tensor:
        alive = value.isfinite()
        assert torch.allclose(value[alive], self.total(ids)[alive])
        return value

    def total(self, ids: Tensor) -> Tensor:
        steps = [torch.zeros(ids.shape[:-1])]
        before = torch.zeros(ids.shape[:-1], dtype=torch.long)
        row = torch.arange(len(ids)).view(-1, *[1] * (ids.dim() - 2)).expand(ids.shape[:-1])
        for token in ids.unbind(dim=-1):
            steps.append(self.worth[row, before, token])
            before = token
        return torch.stack(steps).sum(dim=0)


def table(count: int, forbidden: int | None = None) -> Table:
    return Table(torch.randn(count, SIZE, SIZE, generator=torch.Generator().manual_seed(1)), forbidden)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_beam_as_wide_as_the_space_finds_the_best_of_all(steps: int) -> None:
    """With all sequences kept, the first of the found ones is the optimum by enumeration."""
    task = table(3)
    found = grow(task, 3, steps, SIZE**steps)
    for row in range(3):
        every = [
            (float(task.total(torch.tensor(ids).view(1, 1, -1).expand(3, 1, -1))[row, 0]), ids)
            for length in range(1, steps + 1)
            for ids in itertools.product(range(SIZE), repeat=length)
        ]
        score, ids = max(every)
        assert float(found.score[row, 0]) == pytest.approx(score, abs=1e-6)
        assert tuple(found.ids[row, 0, : found.length[row, 0]].tolist()) == ids


def test_a_narrow_beam_keeps_the_best_of_each_step() -> None:
    """One beam is greedy: each next token is the best behind the ones before."""
    task = table(2)
    found = grow(task, 2, 4, 1)
    longest = found.ids[found.length == 4]
    for row, ids in enumerate(longest):
        before = 0
        for token in ids.tolist():
            assert token == int(task.worth[row, before].argmax())
            before = token


def test_found_sequences_are_sorted_and_all_different() -> None:
    """Scores fall, and no sequence stands twice."""
    found = grow(table(3), 3, 3, 6)
    assert (found.score.diff(dim=1) <= 0).all()
    for ids, length in zip(found.ids, found.length, strict=True):
        rows = [tuple(row[:n]) for row, n in zip(ids.tolist(), length.tolist(), strict=True)]
        assert len(set(rows)) == len(rows)


def test_the_trace_is_the_best_so_far() -> None:
    """After each step it holds the sum of the best scores up to there."""
    task = table(2)
    found = grow(task, 2, 3, 4)
    for step in range(1, 4):
        best = found.score.masked_fill(found.length > step, -torch.inf).amax(dim=1)
        assert float(found.trace[step - 1]) == pytest.approx(float(best.sum()), abs=1e-5)


def test_what_is_not_allowed_is_never_kept() -> None:
    """A forbidden token stands in no sequence with a finite score, however wide the beam."""
    found = grow(table(2, forbidden=2), 2, 2, 16)
    inside = found.mask() & found.score.isfinite().unsqueeze(2)
    assert not ((found.ids == 2) & inside).any()
    assert found.score.isinf().any()


def test_examples_do_not_change_each_other() -> None:
    """One example alone gives what it gives among others."""
    both = grow(table(2), 2, 3, 3)
    alone = grow(Table(table(2).worth[1:]), 1, 3, 3)
    assert both.ids[1:].equal(alone.ids)
    assert both.score[1:].equal(alone.score)
