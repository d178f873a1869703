"""The knowledge gap: paired, corrected, and said in words that follow from it."""

import math
from pathlib import Path

import numpy as np
import pytest

from robeval.report.curves_text import about_gaps, difference, gap_places, meaning
from robeval.report.gap import Gap, gaps
from robeval.report.matrix import matrices
from robeval.report.summary import chosen_metrics, read_run
from robeval.report.tables import read_examples
from robeval.statistics.comparisons import paired_comparison
from robeval.statistics.holm import holm
from robeval.statistics.intervals import Column

FAMILY = 4 * 4
"""Four attacks against the four defenses of the swept run that can be known."""


@pytest.fixture(scope="module")
def found(swept_run: Path) -> list[Gap]:
    """The gaps of the swept run's headline."""
    return gaps(read_run(swept_run), swept_run)


def _gap(found: list[Gap], attack: str, defense: str) -> Gap:
    return next(gap for gap in found if gap.row.attack.partition(":")[0] == attack and gap.defense == defense)


def test_a_gap_is_adaptive_minus_oblivious(swept_run: Path, found: list[Gap]) -> None:
    """Figures, difference and interval are those of the paired comparison of the two cells' examples."""
    gap = _gap(found, "pso", "smoothing")
    values = {}
    for cell in read_run(swept_run).cells:
        if (cell.attack, cell.defense, cell.budget.value) == ("pso", "smoothing", 1.0):
            values[cell.knowledge] = read_examples(swept_run, cell.id, ["ade"], ["cluster"])
    before, after = values["oblivious"], values["adaptive"]
    expected = paired_comparison(Column(before["ade"]), Column(after["ade"]), before["cluster"])
    assert gap.comparison.difference.value == pytest.approx(np.mean(after["ade"] - before["ade"]))
    assert gap.comparison.difference[1:3] == pytest.approx(expected.difference[1:3])
    assert (gap.comparison.first, gap.comparison.second) == (
        pytest.approx(before["ade"].mean()),
        pytest.approx(after["ade"].mean()),
    )


def test_each_attack_is_judged_at_its_largest_budget(found: list[Gap]) -> None:
    """One gap per attack and defense; nothing is there to know of no defense, nor of a counter-measure."""
    assert len(found) == FAMILY
    assert {gap.row.budget.value for gap in found} == {1.0}
    assert "none" not in {gap.defense for gap in found}
    assert {gap.row.counter for gap in found} == {""}


def test_every_budget_on_request(swept_run: Path) -> None:
    """`by_budget` compares at all three."""
    assert len(gaps(read_run(swept_run), swept_run, by_budget=True)) == 3 * FAMILY


def test_the_p_values_are_corrected_together(found: list[Gap]) -> None:
    """They are Holm's of all gaps that are shown."""
    assert [gap.p for gap in found] == holm([gap.comparison.p for gap in found])


def test_a_run_without_oblivious_rows_has_no_gaps(swept_run: Path) -> None:
    """There is nothing to compare."""
    summary = read_run(swept_run)
    adaptive = [cell for cell in summary.cells if cell.knowledge == "adaptive"]
    assert gaps(summary.model_copy(update={"cells": adaptive}), swept_run) == []


@pytest.mark.parametrize(
    ("defense", "outcome", "words"),
    [
        (
            "smoothing",
            "relies",
            r"relies on not being known: it takes back \d\d % of what the defense gained",
        ),
        ("squeeze", "helps", r"knowing the defense helps the attacker: it takes back \d\d % of what"),
        ("decoy", "misled", r"makes the attack weaker: .*judge the defense by the oblivious row"),
        ("median", "none", r"no gap shown; one of 0\.\d\d m would have shown 4 times in 5"),
    ],
)
def test_the_words_follow_from_the_figures(found: list[Gap], defense: str, outcome: str, words: str) -> None:
    """86 % and 23 % of the gain lost, an attack that knowing weakens, and no difference."""
    import re

    gap = _gap(found, "pso", defense)
    assert gap.outcome == outcome
    assert re.search(words, meaning(gap))


def test_the_share_lost_is_of_the_gain_over_no_defense(found: list[Gap]) -> None:
    """(adaptive − oblivious) / (undefended − oblivious), about (0.9 − 0.3) / (1 − 0.3) here."""
    assert _gap(found, "pso", "smoothing").lost == pytest.approx(0.86, abs=0.1)


def test_without_an_undefended_row_the_share_is_unknown(swept_run: Path) -> None:
    """The gap is still shown."""
    summary = read_run(swept_run)
    defended = [cell for cell in summary.cells if cell.defense != "none"]
    gap = _gap(gaps(summary.model_copy(update={"cells": defended}), swept_run), "pso", "smoothing")
    assert gap.lost is None
    assert gap.outcome == "helps"
    assert meaning(gap).endswith("it does more damage than without")


def test_where_higher_is_better_a_lower_figure_is_the_attackers_gain(swept_run: Path) -> None:
    """The same defense relies on not being known by its accuracy, with the opposite sign."""
    gap = _gap(gaps(read_run(swept_run), swept_run, "accuracy"), "pso", "smoothing")
    assert gap.comparison.difference.value is not None
    assert gap.comparison.difference.value < 0
    assert gap.outcome == "relies"


def test_an_attack_that_does_nothing_shows_nothing(found: list[Gap]) -> None:
    """Equal examples give a difference of exactly 0, and no test can object."""
    gap = _gap(found, "feeble", "smoothing")
    assert gap.comparison.difference.value == 0
    assert gap.outcome == "none"
    assert meaning(gap).startswith("no gap shown")


def test_the_correction_is_said_when_it_decides(found: list[Gap]) -> None:
    """A gap that only its own p-value shows is not called one."""
    from dataclasses import replace

    gap = replace(_gap(found, "pso", "squeeze"), p=0.2)
    assert gap.outcome == "none"
    assert meaning(gap) == "no gap shown once corrected for the number of gaps"


def test_too_few_examples_are_said(found: list[Gap]) -> None:
    """Where no difference could have been found, that is the message."""
    from dataclasses import replace

    gap = _gap(found, "pso", "median")
    tiny = gap.comparison._replace(clusters=3, p=1.0)
    assert math.isinf(tiny.detectable() or 0)
    assert meaning(replace(gap, comparison=tiny, p=1.0)).endswith("too few independent examples to show any")


def test_doubtful_figures_keep_their_mark(found: list[Gap]) -> None:
    """The suspicious adaptive cell marks its gap."""
    gap = _gap(found, "search", "smoothing")
    assert gap.verdict == "suspicious"
    assert difference(gap).endswith("] ?")
    assert difference(gap).startswith("+")


def test_places_are_named_as_in_the_matrix(swept_run: Path, found: list[Gap]) -> None:
    """Attack, grant and defense; the scenario only where there are several."""
    assert gap_places(found)[0] == "search ≤ 1 m × smoothing"
    assert "Holm over 16 gaps" in about_gaps(found)
    (matrix,) = matrices(read_run(swept_run), swept_run, chosen_metrics(read_run(swept_run), None))
    assert found[0].row in matrix.rows
