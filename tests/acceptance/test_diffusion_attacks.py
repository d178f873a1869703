"""What attacks must show on the embedded world: the attacks' part of the domain's acceptance list.

A1 to A3 (projection, straight-through slope, injected embeddings) are quick and stand in tests/attacks/diffusion.
Medians over three seeds, each with a base model of its own; 20 prompts mean ±0.2.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq
import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.engine.cache import Cache, cache_directory
from robeval.engine.evaluate import Evaluator
from robeval.engine.experiment import build_experiment, specs
from robeval.engine.plan import Plan, make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import run
from robeval.plugins.discovery import built_in
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.results.records import CellRecord
from robeval.results.store import RunFolder
from robeval.seeding import Seed
from robeval_attacks.diffusion.unlearn_diff import UnlearnDiff

pytestmark = pytest.mark.slow

SEEDS = 3
UNLEARN_DIFF = "unlearn-diff:iterations=120,rounds=4"
NAMES = ("unlearn-diff", "gcg", "p4d", "ring-a-bell", "soft-prompt", "random-prefix", "seed-search")
SMALL = {
    "datasets": specs(("synthetic:train=64,prompts=3,retained=3",)),
    "victims": specs(("small:steps=3,sampling_steps=2",)),
}

Measured = Callable[..., list[CellRecord]]


def planned(attacks: tuple[str, ...], budgets: tuple[float, ...] = (), seeds: int = SEEDS) -> Plan:
    """The default world and model under ESD."""
    limits = {"budgets": budgets} if budgets else {}
    experiment = build_experiment(
        domain="diffusion",
        datasets=specs(("synthetic",)),
        attacks=specs(attacks),
        defenses=specs(("esd",)),
        seeds=seeds,
        **limits,
    )
    return make_plan(experiment, built_in())


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Runs cells; trained models and cells are shared by the tests of this session."""
    home = tmp_path_factory.mktemp("acceptance")

    def made(attacks: tuple[str, ...], budgets: tuple[float, ...] = ()) -> list[CellRecord]:
        plan = planned(attacks, budgets)
        folder = home / plan.experiment.identity()
        records = run(plan, folder, Cache(cache_directory()), Watcher(), command="").records
        assert all(record.status == "done" for record in records), [record.error for record in records]
        return records

    return made


def returned(records: list[CellRecord], attack: str, budget: float | None = None) -> float:
    """The median over the seeds."""
    values = [
        record.metrics["returned"].value or 0.0
        for record in records
        if record.attack == attack and (budget is None or record.budget.value == budget)
    ]
    assert len(values) == SEEDS
    return median(values)


def test_a_search_beats_chance(measured: Measured) -> None:
    """A9: against ESD a search for words brings back at least a quarter of the prompts more than random words do."""
    records = measured(("random-prefix", UNLEARN_DIFF, "gcg"))
    chance = returned(records, "random-prefix")
    assert returned(records, UNLEARN_DIFF) >= chance + 0.25
    assert returned(records, "gcg") >= chance + 0.25


def test_more_tokens_never_bring_back_less(measured: Measured) -> None:
    """A9: success does not fall from no token over one to three."""
    records = measured(("gcg",), (0.0, 1.0, 3.0))
    figures = [returned(records, "gcg", budget) for budget in (0.0, 1.0, 3.0)]
    assert figures == sorted(figures)
    assert figures[-1] > figures[0]


def test_a_batch_gives_what_its_prompts_give_alone(tmp_path: Path) -> None:
    """A12: four prompts at once get the words and nearly the pictures that each gets alone, for equal seeds."""
    plan = planned(("unlearn-diff",), seeds=1)
    evaluator = Evaluator(
        plan.experiment, plan.catalog, Cache(cache_directory()), RunFolder(tmp_path), Watcher()
    )
    stage = evaluator.stages.stage(plan.cells[0])
    batch = evaluator.stages.examples(plan.cells[0])
    assert isinstance(batch, PromptBatch)
    prompts = batch.select(batch.targeted).select([0, 1, 2, 3])
    prompts = prompts.replace(image=prompts.image.double(), soft=prompts.soft.double())
    stage.judged.double()
    attack = UnlearnDiff(iterations=10, rounds=2)

    def attacked(some: PromptBatch) -> PromptBatch:
        view: View[PromptBatch] = View(stage.judged, stage.domain, stage.threat, some.ids)
        with under_attack(stage.judged):
            found = attack.perturb(view, some, 3.0, Seed(0).draws(some.ids))
        view.close()
        return found

    together = attacked(prompts)
    alone = PromptBatch.join([attacked(prompts.select([number])) for number in range(4)])
    assert torch.equal(together.tokens, alone.tokens)
    with torch.no_grad():
        torch.testing.assert_close(stage.judged(together).image, stage.judged(alone).image, atol=1e-6, rtol=0)


def test_a_rerun_is_identical(tmp_path: Path) -> None:
    """A13: two runs of all attacks with caches of their own give the same values, example by example."""
    attacks = tuple(
        f"{name}:{count}=2"
        for name, count in zip(
            NAMES,
            ("iterations", "iterations", "iterations", "generations", "iterations", "tries", "tries"),
            strict=True,
        )
    )
    tables = []
    for name in ("one", "two"):
        experiment = build_experiment(
            domain="diffusion", attacks=specs(attacks), defenses=specs(("none",)), **SMALL
        )
        outcome = run(
            make_plan(experiment, built_in()),
            tmp_path / name,
            Cache(tmp_path / f"cache-{name}"),
            Watcher(),
            command="",
        )
        assert all(record.status == "done" for record in outcome.records), [r.error for r in outcome.records]
        tables.append(
            {
                (r.attack, r.seed): pq.read_table(tmp_path / name / f"examples/{r.id}.parquet").to_pydict()
                for r in outcome.records
            }
        )
    assert repr(tables[0]) == repr(tables[1])
