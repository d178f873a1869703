"""An attack cannot cheat: what it spent is measured on what it returned."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.budget import problems, spent


def changed(batch: SceneBatch, name: str, place: tuple[int, ...], value: object) -> SceneBatch:
    """The batch with one entry of one tensor replaced."""
    tensor = getattr(batch, name).clone()
    tensor[place] = value
    return batch.replace(**{name: tensor})


def test_nothing_done_is_nothing_spent(turning_scenes: SceneBatch) -> None:
    """The clean batch has spent nothing and is within its limits."""
    figures = spent(turning_scenes, turning_scenes)
    assert figures["deviation"].tolist() == [0.0] * 6
    assert figures["l2_deviation"].tolist() == [0.0] * 6
    assert (figures["kinematics"] <= 1).all()


def test_deviation_is_the_farthest_frame(turning_scenes: SceneBatch) -> None:
    """One frame moved by (3, 4) and one by (0, 1) is a deviation of 5 m and an L2 norm of sqrt(26) m."""
    offset = torch.zeros(6, turning_scenes.attacked, 2)
    offset[2, 1] = torch.tensor([3.0, 4.0])
    offset[2, 3] = torch.tensor([0.0, 1.0])
    figures = spent(turning_scenes, turning_scenes.moved(offset))
    expected = torch.zeros(6, dtype=torch.float64)
    expected[2] = 5.0
    torch.testing.assert_close(figures["deviation"], expected, atol=1e-5, rtol=0)
    assert float(figures["l2_deviation"][2]) == pytest.approx(math.sqrt(26), abs=1e-5)


def test_kinematics_sees_the_junction(straight_scene: SceneBatch) -> None:
    """Moving the last attacked frame 1 m aside breaks the limits where the track rejoins the truth."""
    offset = torch.zeros(1, straight_scene.attacked, 2)
    offset[0, -1, 1] = 1.0
    figures = spent(straight_scene, straight_scene.moved(offset))
    assert float(figures["deviation"]) == pytest.approx(1.0)
    assert float(figures["kinematics"]) > 2.0


def test_kinematics_excuses_the_clean_track(straight_scene: SceneBatch) -> None:
    """A clean track beyond the limits is its own limit: unmoved it takes exactly its share."""
    tight = straight_scene.replace(limits=torch.full((1, 5), 1e-3))
    assert float(spent(tight, tight)["kinematics"]) == pytest.approx(1.0)


CHEATS: dict[str, Callable[[SceneBatch], SceneBatch]] = {
    "a neighbour moved": lambda b: changed(b, "track", (1, 1, 0), 7.0),
    "the future changed": lambda b: changed(b, "track", (1, 0, -1), 7.0),
    "the first unattacked frame changed": lambda b: changed(b, "track", (1, 0, b.attacked), 7.0),
    "a frame hidden": lambda b: changed(b, "present", (1, 0, 2), False),
    "a neighbour's frame hidden": lambda b: changed(b, "present", (1, 1, 2), False),
    "a padding agent shown": lambda b: changed(b, "present", (1, 2, 2), True),
    "another kind": lambda b: changed(b, "kind", (1, 1), 3),
    "another heading": lambda b: changed(b, "heading", (1, 0, 0), 3.0),
    "a heading where there was none": lambda b: changed(b, "heading", (1, 2, 0), 0.0),
    "another size": lambda b: changed(b, "size", (1, 0, 0), 1.0),
    "another time step": lambda b: changed(b, "dt", (1,), 1.0),
    "another origin": lambda b: changed(b, "origin", (1, 0), 1.0),
    "wider limits": lambda b: changed(b, "limits", (1, 0), 99.0),
    "another ego": lambda b: changed(b, "ego", (1, 0, 0), 0.0),
    "another scene": lambda b: b.replace(scene=(b.scene[0], "elsewhere", *b.scene[2:])),
    "another regime": lambda b: b.replace(regime=(b.regime[0], "low", *b.regime[2:])),
    "a position of NaN": lambda b: changed(b, "track", (1, 0, 0, 0), math.nan),
    "an infinite position": lambda b: changed(b, "track", (1, 0, 0, 0), math.inf),
}


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS.keys())
def test_cheating_is_infinitely_expensive(
    turning_scenes: SceneBatch, cheat: Callable[[SceneBatch], SceneBatch]
) -> None:
    """Touching anything but the target's attacked frames costs the example, and no other, everything."""
    for value in spent(turning_scenes, cheat(turning_scenes)).values():
        assert value.isinf().tolist() == [False, True, False, False, False, False]


def test_absent_frames_are_not_the_attackers(straight_scene: SceneBatch) -> None:
    """An attack may not place the target where it was not seen."""
    absent = changed(changed(straight_scene, "present", (0, 0, 1), False), "track", (0, 0, 1), 0.0)
    assert float(spent(absent, absent)["deviation"]) == 0.0
    assert spent(absent, changed(absent, "track", (0, 0, 1, 0), 0.5))["deviation"].isinf().all()


def test_lanes_may_not_be_redrawn(straight_scene: SceneBatch) -> None:
    """The map is no part of the grant."""
    mapped = straight_scene.replace(lanes=torch.zeros(1, 2, 3, 2))
    assert spent(mapped, changed(mapped, "lanes", (0, 0, 0, 0), 1.0))["deviation"].isinf().all()


MISFITS: dict[str, Callable[[SceneBatch], SceneBatch]] = {
    "other examples": lambda b: b.select([1, 0, 2, 3, 4, 5]),
    "fewer": lambda b: b.select([0, 1]),
    "'track'": lambda b: b.replace(
        **{name: getattr(b, name)[:, :2] for name in ("track", "present", "kind", "heading", "size")}
    ),
    "float64": lambda b: b.replace(track=b.track.double()),
    "'windows'": lambda b: b.replace(windows=1),
    "'regime'": lambda b: b.replace(regime=b.regime[:-1]),
}


@pytest.mark.parametrize("name", MISFITS)
def test_malformed_batches_are_named(turning_scenes: SceneBatch, name: str) -> None:
    """Other examples, shapes, types or windows are an error that says what was returned."""
    expected = "other examples" if name == "fewer" else name
    with pytest.raises(ValueError, match=expected):
        spent(turning_scenes, MISFITS[name](turning_scenes))


def test_budgets_survive_coordinates_far_from_the_origin(turning_scenes: SceneBatch) -> None:
    """At 500 m from the local origin the deviation is still right to a tenth of a millimetre."""
    far = turning_scenes.replace(track=turning_scenes.track + 500.0)
    offset = torch.full((6, far.attacked, 2), 0.3)
    expected = torch.full((6,), 0.3 * math.sqrt(2), dtype=torch.float64)
    torch.testing.assert_close(spent(far, far.moved(offset))["deviation"], expected, atol=1e-4, rtol=0)


def flagged(batch: SceneBatch) -> dict[str, Tensor]:
    """The problems that occur at all."""
    return {message: where for message, where in problems(batch).items() if where.any()}


def test_sound_scenes_have_no_problems(turning_scenes: SceneBatch) -> None:
    """Absent agents and unknown headings are no problem."""
    assert flagged(turning_scenes) == {}


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("track", (1, 0, 0, 0), math.nan, "NaN or infinite"),
        ("track", (1, 1, 3, 1), math.inf, "NaN or infinite"),
        ("track", (1, 1, 3, 1), -2e5, "100 km"),
        ("present", (1, 0, 4), False, "misses a frame"),
    ],
)
def test_unsound_scenes_are_named(turning_scenes, name, place, value, message) -> None:
    """Each problem is found in its example, and nothing else is."""
    found = flagged(changed(turning_scenes, name, place, value))
    assert [text for text in found if message in text] == list(found)
    assert [where.tolist() for where in found.values()] == [[False, True, False, False, False, False]]


def test_what_is_absent_cannot_be_wrong(turning_scenes: SceneBatch) -> None:
    """A frame behind the attacked ones may be missing, and whatever stands in an absent frame is ignored."""
    gone = changed(turning_scenes, "present", (1, 0, -1), False)
    assert flagged(changed(gone, "track", (1, 0, -1), math.nan)) == {}
