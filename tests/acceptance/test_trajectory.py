"""What must be visible on the synthetic set, whatever the absolute figures: the acceptance list of the domain.

Loose on purpose, fixed seeds. Orderings and feasibility transfer between data sets; values do not.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from robeval.engine.cache import Cache
from robeval.engine.catalog import Catalog
from robeval.engine.experiment import build_experiment, specs
from robeval.engine.plan import make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import run
from robeval.plugins.discovery import built_in
from robeval.results.records import CellRecord

pytestmark = pytest.mark.slow

EFFORT = "restarts=4,iterations=50"
REGIMES = ("low", "medium", "high")
Columns = Mapping[str, np.ndarray]


class Matrix:
    """Finished cells by attack and defense."""

    def __init__(self, folder: Path, records: list[CellRecord]) -> None:
        self.folder = folder
        self.records = {(record.attack, record.defense): record for record in records}

    def columns(self, attack: str, defense: str = "none") -> Columns:
        """The per-example values of a cell."""
        record = self.records[attack, defense]
        assert record.status == "done", record.error
        table = pq.read_table(self.folder / f"examples/{record.id}.parquet")
        return {name: np.asarray(table[name].to_pylist()) for name in table.column_names}

    def ade(self, attack: str, defense: str = "none", regime: str | None = None) -> float:
        """Mean ADE in metres, of one regime if asked."""
        columns = self.columns(attack, defense)
        chosen = columns["group"] == regime if regime else np.ones(len(columns["ade"]), dtype=bool)
        return float(columns["ade"][chosen].mean())


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Matrix]:
    """Runs part of the matrix; trained victims and cells are shared by the tests of this file."""
    home = tmp_path_factory.mktemp("acceptance")

    def made(attacks: tuple[str, ...], defenses: tuple[str, ...] = ("none",), victim: str = "lstm") -> Matrix:
        experiment = build_experiment(
            attacks=specs(attacks), defenses=specs(defenses), victims=specs((victim,)), max_examples=96
        )
        folder = home / experiment.identity()
        plan = make_plan(experiment, built_in())
        outcome = run(plan, folder, Cache(home / "cache"), Watcher(), command="")
        return Matrix(folder, outcome.records)

    return made


SEARCH, PLUS = f"search:{EFFORT}", f"search-plus:{EFFORT}"
REPO, ADAPTIVE = f"sa-attack:{EFFORT},mode=repo", f"sa-attack:{EFFORT}"


CATALOG = Catalog(built_in(), "trajectory")


def named(text: str) -> str:
    """A spec as records spell it."""
    return str(CATALOG.canonical("attack", specs((text,))[0]))


def test_search_beats_clean_and_random(matrix: Callable[..., Matrix]) -> None:
    """(1) Search raises ADE to at least 1.5 times clean and 1.3 times random-in-bounds."""
    cells = matrix(("none", "noise", SEARCH))
    searched = cells.ade(named(SEARCH))
    assert searched >= 1.5 * cells.ade("none")
    assert searched >= 1.3 * cells.ade("noise")


@pytest.mark.parametrize("attack", ["noise", SEARCH, PLUS, "pso", "control"])
def test_bounds_are_kept(matrix: Callable[..., Matrix], attack: str) -> None:
    """(2) No violation of the kinematic bounds, no frame displaced by more than the budget."""
    columns = matrix((attack,)).columns(named(attack))
    assert (columns["status"] == "ok").all()
    assert columns["spent.deviation"].max() <= 1 + 1e-4
    assert columns["spent.kinematics"].max() <= 1 + 1e-3


@pytest.mark.parametrize("side", ["left", "right", "front", "rear"])
def test_directional_goals_push_their_way(matrix: Callable[..., Matrix], side: str) -> None:
    """(3) Each directional goal raises its own signed objective for at least 90 % of the moving targets."""
    attack = f"{PLUS},objective={side}"
    cells = matrix(("none", attack))
    attacked, clean = cells.columns(named(attack)), cells.columns("none")
    moving = np.isfinite(clean["ade_moving"])
    gain = (attacked[side] - clean[side])[moving]
    assert (gain > 0).mean() >= 0.9
    assert gain.mean() >= 1.0


def test_follower_histories_are_smooth_where_search_is_not(matrix: Callable[..., Matrix]) -> None:
    """(4) SA-Attack's p95 curvature stays small in every regime, while search is sharp at low speed."""
    cells = matrix((SEARCH, REPO, ADAPTIVE))

    def p95(attack: str, regime: str) -> float:
        columns = cells.columns(named(attack))
        return float(np.nanpercentile(columns["max_curvature"][columns["group"] == regime], 95))

    for regime in REGIMES:
        assert p95(REPO, regime) <= 0.15
        assert p95(ADAPTIVE, regime) <= 0.35
    # The reference run gave 2.2 against 0.29; this victim is misled by gentler turns (0.84 against 0.34).
    assert p95(SEARCH, "low") >= 2 * p95(ADAPTIVE, "low")


def test_speed_decides_between_search_and_follower(matrix: Callable[..., Matrix]) -> None:
    """(6) The follower beats the published search at high speed, search beats the follower at low speed."""
    cells = matrix((SEARCH, ADAPTIVE))
    assert cells.ade(named(ADAPTIVE), regime="high") > cells.ade(named(SEARCH), regime="high")
    assert cells.ade(named(SEARCH), regime="low") > cells.ade(named(ADAPTIVE), regime="low")


def test_a_learned_victim_is_easier_to_mislead_than_constant_velocity(matrix: Callable[..., Matrix]) -> None:
    """(7) The ratio of attacked to clean ADE is smaller for constant velocity."""
    ratios = []
    for victim in ("constant-velocity", "lstm"):
        cells = matrix(("none", SEARCH), victim=victim)
        ratios.append(cells.ade(named(SEARCH)) / cells.ade("none"))
    assert ratios[0] < ratios[1]


def test_solvers_are_ordered(matrix: Callable[..., Matrix]) -> None:
    """(10) random < search < pso < search-plus, pooled; pso at least 1.2 times search."""
    cells = matrix(("noise", SEARCH, "pso", PLUS))
    noise, search, pso, plus = (cells.ade(named(attack)) for attack in ("noise", SEARCH, "pso", PLUS))
    assert noise < search < pso < plus
    assert pso >= 1.2 * search


@pytest.mark.parametrize("defense", ["smoothing", "randomised-smoothing", "adversarial-training"])
def test_defenses_lower_the_ratio(matrix: Callable[..., Matrix], defense: str) -> None:
    """Smoothing, randomised smoothing and adversarial training lower attacked over clean ADE under adaptive attack."""
    cells = matrix(("none", SEARCH), ("none", defense))
    ratio = {d: cells.ade(named(SEARCH), d) / cells.ade("none", d) for d in ("none", defense)}
    assert ratio[defense] < ratio["none"]


def test_the_detector_sees_search_at_every_speed_and_the_follower_at_high_speed(
    matrix: Callable[..., Matrix],
) -> None:
    """(11) Per regime, the variance statistic separates search from clean tracks; the follower hides when slow."""
    import torch

    from robeval.domains.trajectory.detector import variance_statistic
    from robeval.engine.replay import trial

    cells = matrix((SEARCH, ADAPTIVE))
    area: dict[tuple[str, str], float] = {}
    for attack in (SEARCH, ADAPTIVE):
        record = cells.records[named(attack), "none"]
        columns = cells.columns(named(attack))
        for regime in REGIMES:
            ids = [str(name) for name in columns["example"][columns["group"] == regime]]
            _, judged = trial(cells.folder, record.id, ids, cache=cells.folder.parent / "cache")
            clean, attacked = (
                variance_statistic(batch.target[:, : batch.attacked].double())
                for batch in (judged.clean, judged.adversarial)
            )
            higher = (attacked[:, None] > clean[None]).double() + 0.5 * (attacked[:, None] == clean[None])
            area[attack, regime] = float(torch.mean(higher))
    assert all(area[SEARCH, regime] >= 0.65 for regime in REGIMES)
    assert area[ADAPTIVE, "high"] >= 0.75
    assert area[ADAPTIVE, "low"] <= 0.6
