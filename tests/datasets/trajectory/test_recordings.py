"""Rows of a file become checked recordings and examples."""

import math
import re

import numpy as np
import pytest

from robeval.errors import DataError, OptionError
from robeval_datasets.trajectory.recordings import allowed_kinds, between, cut, recording
from robeval_datasets.trajectory.windows import Window

WINDOW = Window(history=3, horizon=2, windows=2, dt=0.5)
VEHICLES = (1, 2)


def examples(rows, window: Window = WINDOW, **options):
    """Every example of one recording."""
    return cut([recording("scene", "file.txt", rows, window.dt)], window, 4, VEHICLES, **options)


def test_every_complete_span_is_an_example(drive) -> None:
    """Ten frames in a row hold five spans of six; the stride thins them."""
    assert sum(map(len, examples(drive(1, range(10))))) == 5
    assert sum(map(len, examples(drive(1, range(10)), stride=2))) == 3


def test_a_missing_frame_makes_a_span_unattackable_but_not_the_rest(drive) -> None:
    """Spans that would need frame 7 are not examples; absence is never encoded as a position."""
    rows = drive(1, range(14))
    (batch,) = examples(rows.select(rows.frame != 7))
    assert [name.rpartition("@")[2] for name in batch.ids] == ["0", "1", "8"]
    assert batch.present[:, 0].all()


def test_short_tracks_stay_as_neighbours(drive, join) -> None:
    """A vehicle seen for three frames is nobody's target and still agent 1 of its neighbour's example."""
    (batch,) = examples(join(drive(1, range(6)), drive(2, range(1, 4), start=(0.0, 5.0))))
    assert batch.ids == ("scene/1@0",)
    assert batch.present[0, 1].tolist() == [False, True, True, True, False, False]


def test_recordings_shorter_than_a_span_give_nothing(drive) -> None:
    """No example and no error: the loader says which split is empty."""
    assert examples(drive(1, range(5))) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_rejected_with_their_place(drive, value: float) -> None:
    """The message names file, scene, object and frame."""
    rows = drive(17, range(8))
    rows.position[5, 1] = value
    with pytest.raises(DataError, match=re.escape("file.txt") + r".*object 17 in frame 5 of scene 'scene'"):
        recording("scene", "file.txt", rows, 0.5)


def test_of_rows_given_twice_the_last_wins_with_a_warning(drive, join) -> None:
    """The later row of the file is used, and the user is told which object and frame."""
    rows = join(drive(3, range(8)), drive(3, range(4, 5), start=(99.0, 0.0)))
    with pytest.warns(UserWarning, match=r"1 rows twice, first object 3 in frame 4"):
        made = recording("scene", "file.txt", rows, 0.5)
    assert made.position[0, 4].tolist() == [99.0, 0.0]


def test_an_id_that_returns_after_more_than_two_seconds_is_another_agent(drive, join) -> None:
    """A gap of 2 s keeps the agent, a longer one starts a new one with a name of its own."""
    kept = recording("scene", "f", join(drive(3, range(4)), drive(3, range(7, 9))), 0.5)
    assert kept.agents == ("3",)
    split = recording("scene", "f", join(drive(3, range(4)), drive(3, range(8, 12)), drive(5, range(2))), 0.5)
    assert split.agents == ("3", "3#1", "5")
    assert split.present.sum(axis=1).tolist() == [4, 4, 2]


def test_headings_that_the_source_lacks_come_from_motion_or_stay_unknown(drive, join) -> None:
    """A moving vehicle looks along its chord, a standing one has no heading, a given heading is kept."""
    given = drive(3, range(3), start=(0.0, 9.0))
    given.heading[:] = 1.25
    made = recording("s", "f", join(drive(1, range(3), step=-1.0), drive(2, range(3), step=0.0), given), 0.5)
    np.testing.assert_allclose(np.abs(made.heading[0]), math.pi)
    assert np.isnan(made.heading[1]).all()
    assert (made.heading[2] == 1.25).all()


def test_only_allowed_types_are_targets(drive, join) -> None:
    """A pedestrian is a neighbour unless `allow_types` names pedestrians."""
    walker = drive(2, range(6), start=(0.0, 4.0))
    walker.kind[:] = 3
    rows = join(drive(1, range(6)), walker)
    assert [name for batch in examples(rows) for name in batch.ids] == ["scene/1@0"]
    made = recording("scene", "f", rows, 0.5)
    (batch,) = cut([made], WINDOW, 4, allowed_kinds("pedestrian"))
    assert batch.ids == ("scene/2@0",)


def test_allow_types_explains_a_wrong_name() -> None:
    """The message has the wrong name and the known ones."""
    with pytest.raises(OptionError, match="'tram' is none of vehicles, small, big, pedestrian, cycle"):
        allowed_kinds("small+tram")
    assert allowed_kinds("small+cycle") == (1, 4)


def test_between_divides_time_without_overlap(drive) -> None:
    """Parts that share an edge share no row and lose none."""
    rows = drive(1, range(100, 117))
    low, high = between(rows, 0.0, 0.8), between(rows, 0.8, 1.0)
    assert len(low.frame) + len(high.frame) == 17
    assert low.frame.max() < high.frame.min()


def test_an_example_does_not_depend_on_how_many_are_cut_at_once(drive, join, monkeypatch) -> None:
    """Cutting in portions of one gives the same examples."""
    rows = join(*(drive(k, range(k, k + 9), start=(3.0 * k, 2.0 * k)) for k in range(5)))
    (whole,) = examples(rows)
    monkeypatch.setattr("robeval_datasets.trajectory.recordings._CELLS", 1)
    parts = examples(rows)
    assert len(parts) == len(whole) > 1
    assert type(whole).join(parts).identical(whole)


def test_a_long_recording_is_many_clusters(drive) -> None:
    """Stretches of time twice an example long are the clusters of a long recording; a short scene is one."""
    frames = 2 * WINDOW.frames * 10
    (short,) = examples(drive(1, range(frames - 1)))
    assert set(short.scene) == {"scene"}
    (long,) = examples(drive(1, range(frames)))
    clusters = dict(zip(long.ids, long.scene, strict=True))
    assert clusters["scene/1@0"] == clusters["scene/1@11"] == "scene#0"
    assert clusters["scene/1@12"] == "scene#1"
    assert len(set(long.scene)) == 10
