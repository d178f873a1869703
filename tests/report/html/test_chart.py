"""Security curves: what is measured stands at the right place of the picture."""

from dataclasses import replace

import pytest

from robeval.report.curves import Curve, Point, Threshold
from robeval.report.html.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, panels, ticks
from robeval.results.records import MetricRecord

METRIC = MetricRecord(name="error", unit="m", direction="lower", column="error")
CURVE = Curve(
    dataset="points",
    victim="ruler",
    attack="push:steps=3",
    defense="none",
    knowledge="adaptive",
    counter="",
    budget_name="deviation",
    unit="m",
    metric=METRIC,
    points=(
        Point(0.0, 0.0, None, None, 9),
        Point(1.0, 2.0, 1.5, 2.5, 9),
        Point(2.0, 4.0, 3.0, 4.0, 9, "suspicious"),
    ),
    area=None,
    threshold=Threshold(2.0, "as given"),
    crossing=None,
)


def test_points_span_the_picture() -> None:
    """Zero stands bottom left, the largest value at the largest budget top right."""
    (panel,) = panels([CURVE])
    first, _, last = panel.series[0].dots
    assert (first.x, first.y) == (LEFT, HEIGHT - BOTTOM)
    assert (last.x, last.y) == (WIDTH - RIGHT, TOP)
    assert panel.threshold == pytest.approx((TOP + HEIGHT - BOTTOM) / 2)


def test_what_cannot_be_trusted_is_marked_and_said() -> None:
    """Every point tells its figure, interval and n."""
    dots = panels([CURVE])[0].series[0].dots
    assert [dot.doubtful for dot in dots] == [False, False, True]
    assert dots[1].label == "none at 1 m: 2.00 m [1.50, 2.50], n 9"
    assert dots[2].label.endswith("(cannot be trusted)")


def test_the_band_covers_points_with_intervals_only() -> None:
    """The first point has none."""
    band = panels([CURVE])[0].series[0].band
    assert len(band.split()) == 4


def test_attacks_share_the_value_axis_and_defenses_their_colour() -> None:
    """Panels can be compared at a glance; a defense is the same line in all of them."""
    high = replace(
        CURVE,
        attack="pull",
        defense="shield",
        points=(Point(0.0, 1.0, None, None, 9), Point(1.0, 8.0, None, None, 9)),
    )
    one, two = panels([CURVE, replace(CURVE, defense="shield"), high])
    assert one.y_ticks == two.y_ticks
    assert (one.title, two.title) == ("push", "pull")
    assert one.series[1].index == two.series[0].index == 1
    assert one.series[0].shape != one.series[1].shape


def test_an_oblivious_attacker_has_a_panel_of_its_own() -> None:
    """It is labelled, and not mixed with the adaptive one."""
    found = panels([CURVE, replace(CURVE, knowledge="oblivious")])
    assert [panel.title for panel in found] == ["push", "push, oblivious"]


def test_ticks_are_round_and_inside() -> None:
    """Nothing is drawn outside of the axes."""
    assert ticks(0.0, 2.0, 5) == [0.0, 0.4, 0.8, 1.2, 1.6, 2.0] or ticks(0.0, 2.0, 5) == [
        0.0,
        0.5,
        1.0,
        1.5,
        2.0,
    ]


def test_shares_are_labelled_in_per_cent() -> None:
    """The axis of a proportion reads like the table."""
    share = METRIC.model_copy(update={"kind": "proportion", "unit": ""})
    points = (Point(0.0, 0.0, None, None, 9), Point(1.0, 0.5, None, None, 9), Point(2.0, 1.0, None, None, 9))
    (panel,) = panels([replace(CURVE, metric=share, points=points, threshold=None)])
    assert (panel.y_label, panel.y_ticks[-1][1]) == ("error [%]", "100")
