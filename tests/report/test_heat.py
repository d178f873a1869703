"""The scale of the heat map."""

import pytest

from robeval.report.heat import SHADES, STYLES, Heat
from robeval.report.matrix import Matrix
from robeval.results.records import MetricRecord


def _metric(direction: str) -> MetricRecord:
    return MetricRecord.model_validate({"name": "x", "unit": "m", "direction": direction, "column": "x"})


def test_the_best_is_pale_and_the_worst_is_full() -> None:
    """From 1 (good) to 6 (bad) every metre is one step."""
    heat = Heat(_metric("lower"), best=1.0, worst=6.0)
    assert [heat.level(value) for value in (1.0, 1.9, 2.5, 3.5, 4.5, 5.5, 6.0)] == [0, 0, 1, 2, 3, 4, 4]


def test_where_higher_is_better_the_scale_is_turned() -> None:
    """A rate of detection of 0 is the defender's worst."""
    heat = Heat(_metric("higher"), best=1.0, worst=0.0)
    assert [heat.level(value) for value in (1.0, 0.7, 0.5, 0.3, 0.0)] == [0, 1, 2, 3, 4]


def test_a_long_scale_goes_by_ratios() -> None:
    """Between 1 and 1000 the steps are multiples, so that one wild figure does not pale all others."""
    edges = Heat(_metric("lower"), best=1.0, worst=1000.0).edges()
    assert edges[1] / edges[0] == pytest.approx(edges[3] / edges[2])


def test_the_legend_says_what_every_step_means() -> None:
    """Five steps, told apart by shade without colour and by colour without shade."""
    legend = Heat(_metric("lower"), best=1.0, worst=6.0).legend()
    assert [text for _, text in legend] == ["≤ 2.00", "≤ 3.00", "≤ 4.00", "≤ 5.00", "> 5.00 m"]
    assert len(set(SHADES)) == len(set(STYLES)) == 5


def test_untrusted_figures_do_not_stretch_the_scale(ade: Matrix) -> None:
    """The scale spans the figures with verdict ok."""
    heat = Heat.of(ade)
    trusted = [figure.value for figure in ade.figures() if figure.value is not None]
    assert heat is not None
    assert (heat.best, heat.worst) == (min(trusted), max(trusted))
