"""No figure depends on how examples are cut into batches: held on a domain's own attacks, not on lines only."""

import numpy as np
import pytest

from robeval.engine.cache import Cache
from robeval.engine.experiment import build_experiment
from robeval.engine.plan import make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import run
from robeval.plugins.discovery import discover
from robeval.results.store import Rows, RunFolder

ATTACKS = (
    "noise",
    "search:iterations=4,restarts=2,objective=all",
    "search-plus:iterations=4,restarts=2",
    "sa-attack:iterations=3,restarts=2",
    "pso:iterations=3,particles=4",
)
TOLERANCE = 1e-4
"""Metres, and relative: matrix products over another number of rows round their last bits differently."""
NETWORK_TOLERANCE = 1e-3
"""The same behind a network, whose slopes the search follows."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[tuple[str, str], Rows]]:
    """The outcomes of all attacks, by the size of the batches and by victim and attack."""
    place = tmp_path_factory.mktemp("chunking")
    found = {}
    for size in (17, 5):
        experiment = build_experiment(
            domain="trajectory",
            victims=("constant-velocity", "lstm:steps=3"),
            attacks=ATTACKS,
            defenses="none",
            max_examples=17,
            execution={"accelerator": "cpu", "batch_size": size},
        )
        plan = make_plan(experiment, discover([]))
        folder = place / str(size)
        records = run(plan, folder, Cache(place / f"cache{size}"), Watcher(), command="x").records
        found[size] = {
            (r.victim.split(":")[0], r.attack.split(":")[0]): RunFolder(folder).rows(r.id) for r in records
        }
    return found


@pytest.mark.parametrize(
    ("victim", "tolerance"), [("constant-velocity", TOLERANCE), ("lstm", NETWORK_TOLERANCE)]
)
@pytest.mark.parametrize("attack", [text.split(":")[0] for text in ATTACKS])
def test_batches_of_any_size_find_the_same(
    outcomes: dict[int, dict[tuple[str, str], Rows]], victim: str, attack: str, tolerance: float
) -> None:
    """Seventeen scenes at once, or by five: the same draws, the same histories up to rounding, the same outcomes."""
    whole, parts = (outcomes[size][victim, attack] for size in (17, 5))
    assert parts.texts == whole.texts
    assert parts.adversarial.keys() == whole.adversarial.keys()
    for name, value in whole.adversarial.items():
        np.testing.assert_allclose(parts.adversarial[name], value, atol=tolerance, rtol=tolerance)
    for name, column in whole.columns.items():
        np.testing.assert_allclose(parts.columns[name], column, atol=tolerance, rtol=tolerance, err_msg=name)
