"""What must be visible of ranking defenses on the synthetic set: the acceptance list of the domain, their part.

Numbers 13 and 14 of the list (certificates against enumeration) are in tests/defenses/ranking. Fixed seeds, generous
bounds: orderings transfer between data sets, values do not.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pyarrow.parquet as pq
import pytest

from robeval.engine.cache import Cache
from robeval.engine.experiment import build_experiment, specs
from robeval.engine.plan import make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import run
from robeval.plugins.discovery import built_in

pytestmark = pytest.mark.slow

Columns = Mapping[str, np.ndarray]
Cell = Callable[[str, str], Columns]


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    """The per-example values of an attack on a defended victim; trained victims are shared."""
    home = tmp_path_factory.mktemp("ranking-defenses")

    @cache
    def found(attack: str, defense: str) -> Columns:
        experiment = build_experiment(
            domain="ranking", attacks=specs((attack,)), defenses=specs((defense,)), max_examples=60
        )
        folder = home / experiment.identity()
        outcome = run(make_plan(experiment, built_in()), folder, Cache(home / "cache"), Watcher(), command="")
        (record,) = [record for record in outcome.records if not record.certified]
        assert record.status == "done", record.error
        table = pq.read_table(folder / f"examples/{record.id}.parquet")
        return {name: np.asarray(table[name].to_pylist()) for name in table.column_names}

    return found


def by_query(columns: Columns, name: str) -> np.ndarray:
    """The mean of a column for each query: targets of a query share a list."""
    return np.array(
        [columns[name][columns["cluster"] == query].mean() for query in np.unique(columns["cluster"])]
    )


def test_spamicity_sees_stuffing_and_little_else(cell: Cell) -> None:
    """(12) Area under the curve at least .9 for stuffing; between .3 and .75 for fluent triggers."""
    assert cell("query-stuffing", "spamicity-filter")["auc"].mean() >= 0.9
    assert 0.3 <= cell("pat", "spamicity-filter")["auc"].mean() <= 0.75


@pytest.mark.parametrize(
    "defense",
    ["spamicity-filter", "perplexity-filter", "acceptability-filter", "coherence-filter", "learned-detector"],
)
def test_filters_keep_their_rate(cell: Cell, defense: str) -> None:
    """(12) Calibrated at 5 %, a filter removes at most 5 % + 2 standard errors of clean test passages."""
    alarms = by_query(cell("none", defense), "false_alarm")
    assert alarms.mean() <= 0.05 + 2 * alarms.std(ddof=1) / np.sqrt(len(alarms))


def test_a_filter_costs_little(cell: Cell) -> None:
    """Clean ranking quality stays within .05 of the undefended victim's."""
    clean = cell("none", "none")["ndcg10"].mean()
    for defense in ("spamicity-filter", "perplexity-filter", "learned-detector"):
        assert cell("none", defense)["ndcg10"].mean() >= clean - 0.05


def test_the_detector_finds_what_it_was_never_shown(cell: Cell) -> None:
    """Leave-one-attack-out: without having seen stuffing it finds at least half of it here, where edits stand out."""
    assert cell("query-stuffing", "learned-detector")["detected"].mean() >= 0.9
    assert cell("query-stuffing", "learned-detector:leave_out=query")["detected"].mean() >= 0.5


def test_augmentation_stops_stuffing_and_costs_nothing(cell: Cell) -> None:
    """(15) nDCG@10 within .05 of the victim's or better; at most 5 % of stuffed targets in the first ten."""
    clean = cell("none", "none")["ndcg10"].mean()
    assert cell("none", "augmentation")["ndcg10"].mean() >= clean - 0.05
    assert cell("query-stuffing", "augmentation")["top10"].mean() <= 0.05
    assert cell("query-stuffing", "none")["top10"].mean() > 0.05


def test_moving_word_vectors_does_not_stop_insertion(cell: Cell) -> None:
    """Published and measured: after adversarial training on embeddings stuffing lifts targets as it did before."""
    plain = cell("query-stuffing", "none")["boost"].mean()
    assert cell("query-stuffing", "adversarial-training")["boost"].mean() >= 0.5 * plain
