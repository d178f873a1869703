"""What erasing must show on the embedded world: the defenses' part of the domain's acceptance list.

A4 to A6 (formulas against hand and against other implementations) are quick and stand in tests/defenses/diffusion.
Medians over three seeds, each with a base model of its own; 20 prompts mean ±0.2.
"""

import copy
import os
import socket
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch

from robeval.domains.diffusion.domain import TEXT_ENCODER
from robeval.domains.diffusion.victims.base import generator
from robeval.engine.cache import Cache, cache_directory
from robeval.engine.evaluate import Evaluator
from robeval.engine.experiment import build_experiment, specs
from robeval.engine.plan import Plan, make_plan, victim_fit
from robeval.engine.progress import Watcher
from robeval.engine.run import run
from robeval.plugins.data import Dataset
from robeval.plugins.discovery import built_in
from robeval.plugins.specs import PluginSpec
from robeval.results.records import CellRecord
from robeval.results.store import RunFolder
from robeval.seeding import Seed
from robeval_defenses.diffusion import adv_unlearn
from robeval_defenses.diffusion.adv_unlearn import AdvUnlearn
from robeval_defenses.diffusion.bank import Points
from robeval_defenses.diffusion.inner_attack import attacked_prefix, imitation

pytestmark = pytest.mark.slow

SEEDS = 3
ADVERSARIAL = "adv-unlearn"
ATTACK = "gcg"


class Figures:
    """Finished cells: a figure by attack and defense, one value a seed."""

    def __init__(self, plan: Plan, records: list[CellRecord]) -> None:
        self.plan, self.records = plan, records

    def of(self, name: str, defense: str, attack: str = "none") -> list[float]:
        """The figure in every seed."""
        spoken = str(self.plan.catalog.canonical("defense", PluginSpec.parse(defense)))
        wanted = [r for r in self.records if (r.attack, r.defense) == (attack, spoken)]
        assert len(wanted) == SEEDS
        assert all(record.status == "done" for record in wanted), [record.error for record in wanted]
        return [record.metrics[name].value or 0.0 for record in wanted]


def planned(attacks: tuple[str, ...], defenses: tuple[str, ...], seeds: int = SEEDS) -> Plan:
    """The default world and model."""
    experiment = build_experiment(
        domain="diffusion",
        datasets=specs(("synthetic",)),
        attacks=specs(attacks),
        defenses=specs(defenses),
        seeds=seeds,
    )
    return make_plan(experiment, built_in())


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Figures]:
    """Runs part of the matrix; trained models and cells are shared by the tests of this session."""
    home = tmp_path_factory.mktemp("acceptance")

    def made(attacks: tuple[str, ...], defenses: tuple[str, ...]) -> Figures:
        plan = planned(attacks, defenses)
        folder = home / plan.experiment.identity()
        return Figures(plan, run(plan, folder, Cache(cache_directory()), Watcher(), command="").records)

    return made


def test_esd_erases_and_keeps_the_rest(figures: Callable[..., Figures]) -> None:
    """A8: at most 0.2 of the plain prompts still show the concept, and 0.9 of the other shapes stay."""
    cells = figures(("none",), ("none", "esd"))
    assert median(cells.of("returned", "none")) >= 0.9
    assert median(cells.of("returned", "esd")) <= 0.2
    assert median(cells.of("utility_first", "esd")) >= 0.9


@pytest.mark.parametrize("defense", [TEXT_ENCODER, ADVERSARIAL])
def test_text_encoders_hold_out_better(figures: Callable[..., Figures], defense: str) -> None:
    """A10: with retained captions the attack brings back at most half of what it does under ESD-x; shapes stay."""
    cells = figures(("none", ATTACK), ("esd", defense))
    assert median(cells.of("returned", defense, ATTACK)) <= median(cells.of("returned", "esd", ATTACK)) / 2
    assert median(cells.of("utility_first", defense)) >= 0.9


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    """The first seed's base model, from the cache or trained now."""
    plan = planned(("none",), ("none",), seeds=1)
    folder = RunFolder(tmp_path_factory.mktemp("evaluator"))
    return Evaluator(plan.experiment, plan.catalog, Cache(cache_directory()), folder, Watcher())


@pytest.mark.parametrize("inner_steps", [1, 5])
def test_the_inner_attack_lowers_its_loss(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch, inner_steps: int
) -> None:
    """A11: in at least 80 % of the outer steps the prefix that it finds imitates the original better than its start."""
    cell = planned(("none",), ("none",), seeds=1).cells[0]
    fit = victim_fit(cell, evaluator.catalog)
    victim, data = copy.deepcopy(evaluator.trainings.victim(fit)), evaluator.trainings.data(fit)
    lowered = []

    def watched(
        model: torch.nn.Module, points: Callable[[], Points], start: torch.Tensor, steps: int, step: float
    ) -> torch.Tensor:
        found = attacked_prefix(generator(model), points, start, steps, step)
        with torch.no_grad():
            asked = points()
            before, after = (imitation(generator(model), asked, prefix).mean() for prefix in (start, found))
        lowered.append(bool(after < before))
        return found

    monkeypatch.setattr(adv_unlearn, "attacked_prefix", watched)
    options = AdvUnlearn(inner_steps=inner_steps, steps=40, step=0.3 if inner_steps == 1 else 0.1)
    train(options.robustify(victim.train(), data, Seed(0)), data)
    assert len(lowered) == 40
    assert sum(lowered) >= 0.8 * len(lowered)


def train(module: Any, data: Dataset) -> None:
    """A training as the engine runs it."""
    data.train_batch_size = module.train_batch_size
    trainer = pl.Trainer(
        max_steps=module.steps, max_epochs=-1, accelerator="cpu", logger=False, gradient_clip_val=1.0,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, train_dataloaders=data.train_dataloader())


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection fails the test."""
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a connection to {address} was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("_offline")
def test_a_rerun_is_identical_and_needs_no_network(tmp_path: Path) -> None:
    """A13 and A14: two runs with caches of their own give the same values example by example, without a connection."""
    small = {
        "datasets": specs(("synthetic:train=64,prompts=3,retained=3",)),
        "victims": specs(("small:steps=3,sampling_steps=2",)),
    }
    tables = []
    for name in ("one", "two"):
        experiment = build_experiment(
            domain="diffusion",
            attacks=specs(("none",)),
            defenses=specs((
                "esd:steps=2", "adv-unlearn:steps=2", "sfd:iterations=1", "uce", "prompt-filter", "classifier-guard",
            )),
            **small,
        )  # fmt: skip
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
                (r.attack, r.defense, r.seed): pq.read_table(
                    tmp_path / name / f"examples/{r.id}.parquet"
                ).to_pydict()
                for r in outcome.records
            }
        )
    assert repr(tables[0]) == repr(tables[1])
