"""No figure depends on how examples are cut into batches: held on a domain's own attacks, not on lines only."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from robeval.domains.ranking import language, next_sentence
from robeval.engine.cache import Cache
from robeval.engine.experiment import build_experiment
from robeval.engine.plan import make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import run
from robeval.plugins.discovery import discover
from robeval.results.store import Rows, RunFolder


class Case(NamedTuple):
    """What a domain is tried with, and how closely its figures must agree."""

    domain: str
    dataset: str
    victim: str
    attacks: tuple[str, ...]
    sizes: tuple[int, int]
    """All examples at once, and in parts of which the last is not full."""
    tolerance: float
    """Absolute, and relative: matrix products over another number of rows round their last bits differently."""


SCENES = (
    "noise",
    "search:iterations=4,restarts=2,objective=all",
    "search-plus:iterations=4,restarts=2",
    "sa-attack:iterations=3,restarts=2",
    "pso:iterations=3,particles=4",
)
PASSAGES = (
    "random-trigger",
    "query-stuffing",
    "hotflip:surrogate=victim,sweeps=1",
    "pat:surrogate=victim,beams=2,candidates=8",
    "word-substitution:surrogate=victim",
)
PROMPTS = (
    "random-prefix:tries=2",
    "unlearn-diff:iterations=2,rounds=2",
    "gcg:iterations=2,rounds=2",
    "p4d:iterations=2",
    "ring-a-bell:generations=2",
    "soft-prompt:iterations=2",
)
WORLD = "synthetic:train=64,prompts=3,retained=4"
CASES = (
    Case("trajectory", "synthetic", "constant-velocity", SCENES, (17, 5), 1e-4),
    Case("trajectory", "synthetic", "lstm:steps=3", SCENES, (17, 5), 1e-3),
    Case("ranking", "synthetic", "cross-encoder:steps=20", PASSAGES, (7, 3), 1e-3),
    Case("diffusion", WORLD, "small:steps=3,sampling_steps=2", PROMPTS, (7, 3), 1e-3),
)


@pytest.fixture(scope="module")
def hasty() -> Iterator[None]:
    """Language and next-sentence models of a few steps: what they say matters here as little as who says it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (language, next_sentence):
            patch.setattr(module, "STEPS", 5)
        yield


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory, hasty: None
) -> Callable[[Case], dict[int, dict[str, Rows]]]:
    """The outcomes of a case's attacks, by the size of the batches and by attack."""

    @cache
    def found(case: Case) -> dict[int, dict[str, Rows]]:
        place = tmp_path_factory.mktemp("chunking")
        return {size: _outcomes(case, size, place) for size in case.sizes}

    return found


def _outcomes(case: Case, size: int, place: Path) -> dict[str, Rows]:
    experiment = build_experiment(
        domain=case.domain,
        datasets=(case.dataset,),
        victims=(case.victim,),
        attacks=case.attacks,
        defenses="none",
        max_examples=case.sizes[0],
        execution={"accelerator": "cpu", "batch_size": size},
    )
    plan = make_plan(experiment, discover([]))
    folder = place / str(size)
    records = run(plan, folder, Cache(place / f"cache{size}"), Watcher(), command="x").records
    assert all(record.status == "done" for record in records), [record.error for record in records]
    return {r.attack.split(":")[0]: RunFolder(folder).rows(r.id) for r in records}


@pytest.mark.parametrize(
    ("case", "attack"),
    [
        pytest.param(case, attack.split(":")[0], id=f"{case.victim.split(':')[0]}-{attack.split(':')[0]}")
        for case in CASES
        for attack in case.attacks
    ],
)
def test_batches_of_any_size_find_the_same(
    outcomes: Callable[[Case], dict[int, dict[str, Rows]]], case: Case, attack: str
) -> None:
    """All examples at once, or in parts: the same draws, the same words, the same figures up to rounding."""
    whole, parts = (outcomes(case)[size][attack] for size in case.sizes)
    assert parts.texts == whole.texts
    assert parts.adversarial.keys() == whole.adversarial.keys()
    for name, value in whole.adversarial.items():
        np.testing.assert_allclose(
            parts.adversarial[name], value, atol=case.tolerance, rtol=case.tolerance, err_msg=name
        )
    for name, column in whole.columns.items():
        np.testing.assert_allclose(
            parts.columns[name], column, atol=case.tolerance, rtol=case.tolerance, err_msg=name
        )
