"""Batches that are too large shrink, and no figure depends on it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from pydantic import Field

from robeval import Attack, Budget, Draws, Noise, Seed, ThreatModel, View
from robeval.engine.experiment import Execution, build_experiment
from robeval.engine.memory import (
    PROBE,
    Gauge,
    OutOfMemory,
    Portions,
    Resident,
    check_limit,
    guarded_memory,
    is_out_of_memory,
    process_bytes,
)
from robeval.engine.run import Outcome
from robeval.engine.sizes import in_bytes, in_words
from robeval.engine.slices import can_be_sliced, joined, sliced
from robeval.errors import ExperimentError, PluginError, UsageError
from robeval.plugins.registry import Registry
from robeval.results.store import Rows, RunFolder
from robeval.testing.linear import Line, PointData, Points, Steps

Run = Callable[..., Outcome]
MIB = 2**20
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits and resets memory this way")


@dataclass(frozen=True)
class Greedy(Steps):
    """Gradient steps that need more memory than there is for more than `most` examples.

    Source: a test.
    """

    most: Annotated[int, Field(ge=0, description="examples that fit")] = 5

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        """As the steps, if the batch is small."""
        found = super().perturb(view, batch, budget, draw)
        if len(batch) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 TiB")
        return found


@dataclass(frozen=True)
class Hungry(Attack[Points]):
    """A random corner beside a large table for every example.

    Source: a test.
    """

    threat = ThreatModel("none", Budget("distance", "", 0.5))
    each: Annotated[int, Field(ge=1, description="MiB for each example")] = 16

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        """Fill the table, and go to a corner."""
        table = torch.ones(len(batch), self.each * MIB // 4)
        side = 2.0 * draw.coin(0.5, 2) - 1.0
        return batch.replace(point=batch.point + budget * side * table[:, :1])


@dataclass(frozen=True)
class Many(Attack[Points]):
    """Gradient steps from many places around each point.

    Source: a test.
    """

    threat = ThreatModel("white-box", Budget("distance", "", 0.5, unbounded=200.0))
    restarts: Annotated[int, Field(ge=1, description="places")] = 64

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        """The worst place after one step."""
        many = batch.repeat(self.restarts)
        start = draw.uniform(self.restarts, 2, low=-budget, high=budget).flatten(0, 1)
        point = (many.point + start).requires_grad_()
        (slope,) = torch.autograd.grad((view(many.replace(point=point)) * many.label).sum(), point)
        moved = many.point + (start - budget * slope.sign()).clamp(-budget, budget)
        margin = (view(many.replace(point=moved)).detach() * many.label).view(-1, self.restarts)
        return batch.replace(point=moved[margin.argmin(dim=1) + torch.arange(len(batch)) * self.restarts])


class Broad(Line):
    """A line that keeps `each` MiB for every row whose gradient is wanted."""

    def __init__(self, each: Annotated[int, Field(ge=0, description="MiB for each row")] = 0) -> None:
        super().__init__()
        self.each = each

    def forward(self, batch: Points) -> torch.Tensor:
        """The line's scores, by way of a table."""
        score = super().forward(batch)
        table = score.unsqueeze(1).expand(-1, max(self.each * MIB // 4, 1)).sinh()
        return table[:, 0].asinh()


@pytest.fixture
def registry_with_eaters(registry: Registry) -> Registry:
    """The linear domain with attacks and a victim that want memory."""
    registry.attack("linear/many", Many)
    registry.victim("linear/broad", Broad)
    registry.attack("linear/greedy", Greedy)
    registry.attack("linear/hungry", Hungry)
    return registry


def rows_of(outcome: Outcome, number: int = 0) -> Rows:
    """The outcomes of one cell."""
    return RunFolder(outcome.folder).rows(outcome.records[number].id)


def plain(batch: Any, offset: int = 0) -> Rows:
    """Rows that only name their examples."""
    size = len(batch)
    texts = {name: [""] * size for name in ("cluster", "group", "status", "note")}
    return Rows({"example": list(batch.ids), **texts}, {}, {}, {"n": float(size)})


class Scripted(Gauge):
    """A gauge that reads what the work writes."""

    def __init__(self, base: int) -> None:
        self.base, self.most = base, base

    def reset(self) -> None:
        self.most = self.base

    def held(self) -> int:
        return self.base

    def peak(self) -> int:
        return self.most


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GiB", 2**31), ("2g", 2**31), ("500MB", 500_000_000), ("1.5 KiB", 1536), ("7", 7), (12, 12)],
)
def test_a_size_is_read_with_its_unit(text: str | int, size: int) -> None:
    """Binary and decimal units are told apart; a bare letter is binary."""
    assert in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "-1GiB", "2 apples", "0", "GiB", "1e3", "nan"])
def test_a_size_that_is_none_is_refused_with_an_example(text: str) -> None:
    """The experiment's error names the key, the value and a form that works."""
    with pytest.raises(ExperimentError, match=r"execution\.max_memory: .*2GiB"):
        build_experiment(execution={"max_memory": text})


def test_the_document_keeps_the_size_as_it_was_written() -> None:
    """A saved experiment says 2GiB, and reads as its bytes."""
    execution = Execution(max_memory="2GiB")
    assert execution.model_dump()["max_memory"] == "2GiB"
    assert execution.most_bytes == 2**31
    assert in_words(2**31) == "2 GiB"


def test_a_limit_below_what_the_process_holds_is_refused() -> None:
    """One mebibyte cannot hold an interpreter: said before anything runs, with a size that could."""
    with pytest.raises(UsageError, match=r"holds .* before the first cell; give at least"):
        check_limit(MIB)
    check_limit(2**50)
    check_limit(None)


def test_a_portion_that_does_not_fit_is_halved_until_it_does() -> None:
    """Sixteen examples where three fit are worked off in pairs, in order and each once."""
    asked: list[int] = []

    def work(batch: Any, offset: int) -> Rows:
        asked.append(len(batch))
        if len(batch) > 3:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        return plain(batch)

    batch = PointData(count=16).split("test")
    released: list[bool] = []
    parts = list(Portions(16).work(batch, work, lambda: released.append(True)))
    assert asked == [16, 8, 4] + [2] * 8
    assert Rows.join(parts).texts["example"] == list(batch.ids)
    assert Rows.join(parts).observed == {"n": 16.0, "split_for_memory": 16.0}
    assert len(released) == 3


def test_one_example_that_does_not_fit_is_said_clearly() -> None:
    """At the bottom the error names the way out."""

    def work(batch: Any, offset: int) -> Rows:
        raise MemoryError("Unable to allocate 9 PiB")

    with pytest.raises(OutOfMemory, match=r"one example at a time: Unable to allocate 9 PiB.*fewer restarts"):
        list(Portions(4).work(PointData(count=4).split("test"), work))


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    """A broken attack breaks at once, and is not tried in halves."""
    calls = []

    def work(batch: Any, offset: int) -> Rows:
        calls.append(1)
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(Portions(4).work(PointData(count=4).split("test"), work))
    assert len(calls) == 1
    assert not is_out_of_memory(ValueError("out of memory"))


def test_an_error_that_was_caused_by_a_lack_of_memory_counts() -> None:
    """A plugin may wrap what it catches."""
    wrapped = RuntimeError("my attack failed")
    wrapped.__cause__ = torch.OutOfMemoryError("CUDA out of memory")
    assert is_out_of_memory(wrapped)


def test_under_a_limit_portions_grow_to_what_fits() -> None:
    """A small probe first; ten bytes an example and 800 bytes of room (eighty per cent of 1000) make eighty."""
    gauge = Scripted(base=1000)
    sizes: list[int] = []

    def work(batch: Any, offset: int) -> Rows:
        sizes.append(len(batch))
        gauge.most = gauge.base + 10 * len(batch)
        return plain(batch)

    batch = PointData(count=256).split("test")
    portions = Portions(256, limit=2000, gauge=gauge)
    parts = list(portions.work(batch, work))
    assert sizes == [PROBE, 16, 64, 80, 80, 12]
    assert "over_max_memory" not in Rows.join(parts).observed


def test_what_takes_more_than_the_limit_is_noted() -> None:
    """One example at a time is the least there is: it runs, and the record says that it took too much."""
    gauge = Scripted(base=1000)

    def work(batch: Any, offset: int) -> Rows:
        gauge.most = gauge.base + 5000 * len(batch)
        return plain(batch)

    parts = list(Portions(8, limit=2000, gauge=gauge).work(PointData(count=8).split("test"), work))
    assert [len(part) for part in parts] == [4, 1, 1, 1, 1]
    assert Rows.join(parts).observed["over_max_memory"] == 8


@pytest.mark.usefixtures("registry_with_eaters")
def test_a_cell_that_runs_out_of_memory_goes_on_in_smaller_batches(execute: Run) -> None:
    """Outcomes and adversarial points equal those of the whole batch bit for bit, and the record says what happened."""
    whole = execute(out="whole", attacks="greedy:most=99", max_examples=40)
    halved = execute(out="halved", attacks="greedy:most=5", max_examples=40)
    assert whole.records[0].notes == {}
    assert halved.records[0].notes == {"split_for_memory": 40}
    assert halved.records[0].metrics == whole.records[0].metrics
    assert halved.records[0].cost.model_dump(include={"forward", "backward", "queries"}) == whole.records[
        0
    ].cost.model_dump(include={"forward", "backward", "queries"})
    mine, theirs = rows_of(halved), rows_of(whole)
    assert mine.texts == theirs.texts
    for name, column in theirs.columns.items():
        np.testing.assert_array_equal(mine.columns[name], column)
    np.testing.assert_array_equal(mine.adversarial["point"], theirs.adversarial["point"])


@pytest.mark.usefixtures("registry_with_eaters")
def test_a_cell_without_room_for_one_example_fails_alone(execute: Run) -> None:
    """The other cells of the run are done."""
    outcome = execute(attacks=("none", "greedy:most=0"), max_examples=8)
    assert [record.status for record in outcome.records] == ["done", "failed"]
    assert "out of memory with one example at a time" in (outcome.records[1].error or "")
    assert outcome.exit_code(strict=False) == 3


@on_linux
@pytest.mark.usefixtures("registry_with_eaters")
def test_a_limit_is_kept_and_changes_nothing(execute: Run) -> None:
    """Sixty-four examples of 16 MiB run with 300 MiB to spare; peak and figures are as promised."""
    free = execute(out="free", attacks="hungry:each=1", max_examples=64)
    gauge = Resident()
    gauge.reset()
    limit = gauge.held() + 300 * MIB
    held = execute(
        out="held",
        attacks="hungry:each=16",
        max_examples=64,
        execution={"accelerator": "cpu", "max_memory": str(limit)},
    )
    assert held.records[0].status == "done"
    assert gauge.peak() <= limit
    assert held.records[0].metrics == free.records[0].metrics
    np.testing.assert_array_equal(rows_of(held).adversarial["point"], rows_of(free).adversarial["point"])


@on_linux
@pytest.mark.usefixtures("registry_with_eaters")
def test_restarts_that_do_not_fit_go_through_the_victim_in_slices(execute: Run) -> None:
    """Sixty-four restarts of one example would keep 256 MiB; with 128 MiB to spare they find what they find without."""
    free = execute(out="free", attacks="many", victims="broad", max_examples=2)
    gauge = Resident()
    gauge.reset()
    limit = gauge.held() + 128 * MIB
    execution = {"accelerator": "cpu", "max_memory": str(limit)}
    held = execute(out="held", attacks="many", victims="broad:each=4", max_examples=2, execution=execution)
    mine, theirs = held.records[0], free.records[0]
    assert mine.status == "done", mine.error
    assert gauge.peak() <= limit
    assert mine.notes == {"split_for_memory": 2}
    assert mine.metrics["accuracy"] == theirs.metrics["accuracy"]
    assert (mine.cost.forward, mine.cost.backward) == (theirs.cost.forward, theirs.cost.backward)
    points = (rows_of(outcome).adversarial["point"] for outcome in (held, free))
    np.testing.assert_allclose(*points, rtol=1e-6)


def test_slices_give_the_answers_and_the_gradients_of_the_whole() -> None:
    """Of ten rows by three: scores, slopes and the victim itself are as without."""
    line, batch = Line(), PointData(count=10).split("test")
    assert isinstance(batch, Points)

    def asked() -> tuple[torch.Tensor, torch.Tensor]:
        point = batch.point.clone().requires_grad_()
        score = line(batch.replace(point=point))
        return score.detach(), torch.autograd.grad(score.pow(2).sum(), point)[0]

    whole = asked()
    sizes = []
    with sliced([line, line], 3):
        parts = asked()
        with torch.no_grad():
            sizes.append(len(line(batch)))
    for mine, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(mine, theirs)
    assert sizes == [10]
    assert "forward" not in vars(line)


def test_answers_that_are_no_rows_cannot_be_cut() -> None:
    """Tuples and shared values are put together again; a single number for all rows is refused."""
    pair = joined([(torch.ones(2), "x"), (torch.zeros(1), "x")], [2, 1])
    assert torch.equal(pair[0], torch.tensor([1.0, 1.0, 0.0]))
    assert pair[1] == "x"
    with pytest.raises(PluginError, match="without a row for each row"):
        joined([torch.tensor(1.0), torch.tensor(2.0)], [2, 1])


def test_a_victim_that_draws_noise_is_not_sliced() -> None:
    """Its draws depend on the copies of an example in one call."""
    assert can_be_sliced([Line()])
    assert not can_be_sliced([torch.nn.Sequential(Noise(Seed(0)))])


@on_linux
def test_an_allocation_beyond_the_guard_is_an_error_and_the_guard_goes_again() -> None:
    """Inside, a gibibyte is refused by the allocator; afterwards the process may hold it as before."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with guarded_memory(process_bytes("VmRSS") + 100 * MIB):
        with pytest.raises(RuntimeError, match="can't allocate memory") as caught:
            torch.empty(2**30, dtype=torch.uint8)
        assert is_out_of_memory(caught.value)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    torch.empty(2**30, dtype=torch.uint8)


@pytest.mark.parametrize("attack", ["worst", "steps", "random-search", "random-corner"])
def test_figures_do_not_depend_on_the_batch(execute: Run, attack: str, tmp_path: Path) -> None:
    """Batches of 64 and of 7 find the same points bit for bit."""
    runs = [
        execute(
            out=f"by{size}",
            attacks=attack,
            execution={"accelerator": "cpu", "batch_size": size},
            cache=_new(tmp_path, size),
        )
        for size in (64, 7)
    ]
    mine, theirs = (rows_of(outcome) for outcome in runs)
    assert runs[0].records[0].metrics == runs[1].records[0].metrics
    np.testing.assert_array_equal(mine.adversarial["point"], theirs.adversarial["point"])


def _new(tmp_path: Path, size: int) -> Any:
    from robeval.engine.cache import Cache

    return Cache(tmp_path / f"cache{size}")
