"""Bounds against enumeration: every text within the radius, every copy of it."""

from itertools import combinations, product

import pytest
import torch

from robeval_defenses.ranking.certificate import (
    epsilon,
    estimation_error,
    is_certified,
    largest_answer,
    masking_shift,
    substitution_shift,
)
from robeval_defenses.ranking.neighbours import Neighbours


def shown(words: int, kept: int, edits: int) -> float:
    """The masking bound of one text."""
    return float(masking_shift(torch.tensor([words]), torch.tensor([kept]), edits))


def test_the_allowance_is_the_published_one() -> None:
    """A thousand copies of two scores, each off by Hoeffding's bound at 5 %, make .08589."""
    assert epsilon(1000) == pytest.approx(0.08589, abs=5e-6)
    assert estimation_error(1000, 0.05, sides=1) < estimation_error(1000, 0.05)


@pytest.mark.parametrize(
    ("kept", "edits", "expected"), [(6, 1, 0.1034), (41, 1, 0.7069), (6, 2, 0.1978), (6, 3, 0.2838)]
)
def test_masking_bound_by_hand(kept: int, edits: int, expected: float) -> None:
    """Of 58 words, 6 (or 41) are shown: the chance that a copy shows one of the replaced."""
    assert shown(58, kept, edits) == pytest.approx(expected, abs=1e-4)


def test_masking_bound_at_its_ends() -> None:
    """More edits than masked words show for sure; a text without words cannot change."""
    assert shown(4, 2, 3) == 1.0
    assert shown(2, 1, 5) == 1.0
    assert shown(0, 0, 1) == 0.0


@pytest.mark.parametrize(("kept", "edits"), [(1, 1), (2, 1), (2, 2), (3, 1)])
def test_no_text_beats_the_masking_bound(kept: int, edits: int) -> None:
    """Five words of a vocabulary of three, a random score of what is shown: exact means, all texts within reach."""
    views = list(combinations(range(5), kept))
    random = torch.Generator().manual_seed(kept)
    table = {
        (view, seen): float(torch.rand((), generator=random).round())
        for view in views
        for seen in product(range(3), repeat=kept)
    }

    def mean(text: tuple[int, ...]) -> float:
        return sum(table[view, tuple(text[place] for place in view)] for view in views) / len(views)

    bound, largest = shown(5, kept, edits), 0.0
    texts = {text: mean(text) for text in product(range(3), repeat=5)}
    clean = (0, 1, 2, 0, 1)
    for text, value in texts.items():
        if sum(a != b for a, b in zip(clean, text, strict=True)) <= edits:
            largest = max(largest, abs(value - texts[clean]))
    assert largest <= bound + 1e-9
    assert largest > bound / len(views), "the published factor 1 / C(T, k) would be broken"


def chain() -> Neighbours:
    """Four words in a row, each near the next; sets hold the three most alike, so they differ."""
    near = torch.zeros(4, 4, dtype=torch.bool)
    for first in range(3):
        near[first, first + 1] = True
    place = torch.arange(4.0)
    return Neighbours.of("abcd", near, -(place.unsqueeze(0) - place.unsqueeze(1)).abs(), most=3)


def smoothed(score: torch.Tensor, found: Neighbours) -> torch.Tensor:
    """The exact mean score over all copies, for every text at once: one axis per word."""
    count = len(found.words)
    average = torch.zeros(count, count)
    for word, row in enumerate(found.sets.tolist()):
        members = [number for number in row if number >= 0]
        average[word, members] = 1 / len(members)
    for axis in range(score.dim()):
        score = torch.tensordot(average, score, dims=([1], [axis])).movedim(0, axis)
    return score


def test_sets_of_a_chain() -> None:
    """Three of four words each, the nearest; every word is in its own set, and the middle two share two of three."""
    found = chain()
    sets = [set(row) for row in found.sets.tolist()]
    assert sets[0] == {0, 1, 2}
    assert sets[3] == {3, 2, 1}
    assert all(number in row for number, row in enumerate(sets))
    assert float(found.overlap().min()) == pytest.approx(2 / 3)


def test_no_substitution_beats_its_bound() -> None:
    """Five words with up to three substitutes each: the exact mean moves by no more than the bound, for every R."""
    found = chain()
    random = torch.Generator().manual_seed(1)
    score = torch.rand((4,) * 5, generator=random).round()
    clean = (0, 1, 2, 3, 1)
    overlap = found.overlap()[torch.tensor(clean)].unsqueeze(0)
    choices = [[word, *found.near[word].nonzero().squeeze(1).tolist()] for word in clean]
    mean = smoothed(score, found)
    moved = {text: abs(float(mean[text] - mean[clean])) for text in product(*choices)}
    for edits in range(1, 6):
        bound = float(substitution_shift(overlap, edits))
        within = [
            value
            for text, value in moved.items()
            if sum(a != b for a, b in zip(clean, text, strict=True)) <= edits
        ]
        assert max(within) <= bound + 1e-9
    assert float(substitution_shift(overlap)) == float(substitution_shift(overlap, 5))
    assert max(moved.values()) > 0


def test_no_substitution_breaks_a_certified_top() -> None:
    """Four passages of five words: where the first two are certified, no outsider's substitution enters them."""
    found = chain()
    certified = 0
    for seed in range(200):
        random = torch.Generator().manual_seed(seed)
        texts = [tuple(torch.randint(4, (5,), generator=random).tolist()) for _ in range(4)]
        # Each passage has its own level, so that some lists are clear and some are not.
        level = torch.rand(4, generator=random)
        mean = [smoothed(0.5 * torch.rand((4,) * 5, generator=random) + 0.5 * v, found) for v in level]
        clean = torch.stack([values[text] for values, text in zip(mean, texts, strict=True)])
        overlap = found.overlap()[torch.tensor(texts)]
        holds = is_certified(
            clean.unsqueeze(0),
            substitution_shift(overlap, 1).unsqueeze(0),
            torch.ones(1, 4, dtype=torch.bool),
            2,
            0.0,
        )
        if not bool(holds):
            continue
        certified += 1
        order = clean.argsort(descending=True).tolist()
        last = float(clean[order[1]])
        for outsider in order[2:]:
            for place in range(5):
                for other in found.near[texts[outsider][place]].nonzero().squeeze(1).tolist():
                    text = (*texts[outsider][:place], other, *texts[outsider][place + 1 :])
                    assert float(mean[outsider][text]) < last
    assert 0 < certified < 200


def test_a_certified_top_by_hand() -> None:
    """The second of four keeps its place while the third's score and shift stay below; equal is not certified."""
    scores = torch.tensor([[0.9, 0.7, 0.4, 0.3]])
    listed = torch.ones(1, 4, dtype=torch.bool)

    def top2(shift: float, allowance: float = 0.0) -> bool:
        shifts = torch.tensor([[1.0, 1.0, shift, 0.0]])
        return bool(is_certified(scores, shifts, listed, 2, allowance))

    assert top2(0.29)
    assert not top2(0.31)
    assert not top2(0.25, allowance=0.1)
    assert bool(is_certified(scores, torch.ones(1, 4), listed, 4, 0.0)), "nobody is outside"
    absent = torch.tensor([[True, True, False, False]])
    assert bool(is_certified(scores, torch.ones(1, 4), absent, 2, 0.0)), "nobody is outside"
    assert not bool(is_certified(scores, torch.tensor([[0.0, 0.0, 0.0, 0.45]]), listed, 2, 0.0))


def test_the_largest_answer_by_hand() -> None:
    """Of 40 group means the largest holds at 95 %; of three copies with shift .1 two may differ."""
    values = torch.linspace(0.0, 0.4, 120).view(1, -1)
    usual = float(values[0, -3:].mean())
    assert float(largest_answer(values, 3, torch.tensor([0.0]), 0.05)) == pytest.approx(usual)
    assert float(largest_answer(values, 3, torch.tensor([0.1]), 0.05)) == 1.0
    assert float(largest_answer(values, 3, torch.tensor([0.002]), 0.05)) == pytest.approx(usual)
    assert float(largest_answer(values[:, :100], 3, torch.tensor([0.0]), 0.05)) == 1.0, (
        "33 groups are too few"
    )


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_answers_stay_below_their_bound(shift: float) -> None:
    """Copies that score 1 instead of what they did with probability `shift`: the bound fails in at most 5 %."""
    random = torch.Generator().manual_seed(0)
    trials, samples = 400, 10
    clean = torch.rand(trials, 800, generator=random) * 0.5
    bound = largest_answer(clean, samples, torch.full((trials,), shift), 0.05)
    attacked = torch.rand(trials, samples, generator=random) * 0.5
    attacked[torch.rand(trials, samples, generator=random) < shift] = 1.0
    broken = float((attacked.mean(dim=1) > bound).float().mean())
    assert broken <= 0.05
    assert float(bound.max()) < 1.0
