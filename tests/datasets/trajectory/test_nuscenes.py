"""The nuScenes loader, against the devkit's own answers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from robeval.errors import DataError, MissingExtra, MissingFile, OptionError
from robeval_datasets.trajectory.devkit import kind_of, regrid, scene_names, yaw

pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")

from robeval_datasets.trajectory.export import write
from robeval_datasets.trajectory.nuscenes import CHALLENGE_FILE, NuScenes


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Five written scenes."""
    folder = tmp_path_factory.mktemp("nuscenes") / "data"
    write("nuscenes", folder, scenes=5)
    return folder


@pytest.fixture(scope="module")
def challenge(root: Path) -> NuScenes:
    """The challenge's instances."""
    return NuScenes(root=str(root), protocol="challenge")


def test_examples_agree_with_the_prediction_helper(root: Path, challenge: NuScenes) -> None:
    """Past (newest first, without the present one), present and future are what the devkit itself returns."""
    from nuscenes.eval.prediction.splits import get_prediction_challenge_split
    from nuscenes.prediction import PredictHelper

    helper = PredictHelper(challenge.devkit())
    test = challenge.split("test")
    tokens = {name.partition("/")[2]: k for k, name in enumerate(test.ids)}
    asked = get_prediction_challenge_split("mini_val", dataroot=str(root))
    assert len(asked) == len(test) > 10
    for token in asked:
        instance, sample = token.split("_")
        frame = next(iter(frames[sample] for frames in challenge._frames.values() if sample in frames))
        k = tokens[f"{instance}@{frame - 3}"]
        mine = test.target[k].double() + test.origin[k]
        past = helper.get_past_for_agent(instance, sample, seconds=1.5, in_agent_frame=False)
        here = helper.get_sample_annotation(instance, sample)["translation"][:2]
        future = helper.get_future_for_agent(instance, sample, seconds=6, in_agent_frame=False)
        theirs = np.concatenate([past[::-1], [here], future])
        assert np.abs(mine.numpy() - theirs).max() < 2e-5  # float32 in a local frame


def test_size_is_length_then_width(root: Path, challenge: NuScenes) -> None:
    """The devkit writes width first; vehicles here are longer than wide."""
    size = challenge.split("test").size[:, 0]
    assert (size[:, 0] > 2 * size[:, 1]).all()


def test_windows_protocol_takes_every_complete_window_and_no_parked_vehicle(root: Path) -> None:
    """More examples than the challenge has; vehicles marked parked are context until asked for."""
    data = NuScenes(root=str(root))
    train = data.split("train")
    assert len(train) > len(NuScenes(root=str(root), protocol="challenge").split("train"))
    assert train.present[:, 0].all()
    path = root / "v1.0-mini" / "attribute.json"
    before = path.read_text()
    try:
        path.write_text(before.replace("vehicle.moving", "vehicle.parked"))
        with pytest.raises(DataError, match="no example in split 'train'"):
            NuScenes(root=str(root)).split("train")
        assert len(NuScenes(root=str(root), parked=True).split("train")) == len(train)
    finally:
        path.write_text(before)


def test_the_ego_comes_with_its_pose_and_is_no_target(challenge: NuScenes) -> None:
    """`ego` is finite, the ego is among the neighbours and its name is in no example."""
    test = challenge.split("test")
    assert torch.isfinite(test.ego).all()
    assert not any("/ego@" in name for name in test.ids)
    neighbour = (test.track - test.ego.unsqueeze(1)).norm(dim=-1).amax(dim=-1).amin(dim=1)
    assert (neighbour < 1e-3).float().mean() > 0.8


def test_lanes_come_from_the_map_where_it_is_present(root: Path, challenge: NuScenes) -> None:
    """Most targets drive within 2.5 m of a lane point (4 m apart); without maps there are no lanes."""
    test = challenge.split("test")
    away = (
        (test.lanes - test.target[:, 3].view(-1, 1, 1, 2))
        .norm(dim=-1)
        .nan_to_num(nan=1e9)
        .flatten(1)
        .amin(dim=1)
    )
    assert (away < 2.5).float().mean() > 0.9
    assert NuScenes(root=str(root), maps=False).split("test").lanes.shape[1] == 0


def test_regrid_follows_a_drifting_clock_and_breaks_at_a_jump() -> None:
    """Steps of 0.52 s stay one frame each, a missing sample is a hole, a step of 0.7 s breaks the track."""
    assert regrid(0.52 * np.arange(30)).tolist() == list(range(30))
    assert regrid(np.array([0.0, 0.5, 1.5, 2.0])).tolist() == [0, 1, 3, 4]
    with pytest.warns(UserWarning, match="off the"):
        frames = regrid(np.array([0.0, 0.5, 1.2, 1.7]))
    assert frames[2] - frames[1] > 5
    assert frames[3] - frames[2] == 1


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        ("vehicle.car", 1),
        ("vehicle.emergency.police", 1),
        ("vehicle.trailer", 2),
        ("vehicle.bus.bendy", 2),
        ("vehicle.motorcycle", 4),
        ("human.pedestrian.child", 3),
        ("movable_object.barrier", 5),
        ("animal", 5),
    ],
)
def test_categories_are_mapped(category: str, kind: int) -> None:
    """Trailers are big vehicles; barriers and animals are nobody."""
    assert kind_of(category) == kind


def test_yaw_agrees_with_pyquaternion() -> None:
    """For rotations about z of every quadrant."""
    from pyquaternion import Quaternion

    for angle in np.linspace(-3, 3, 7):
        assert yaw(list(Quaternion(axis=[0, 0, 1], radians=angle))) == pytest.approx(angle)


def test_splits_are_disjoint_and_versions_without_labels_refused() -> None:
    """Mini's val is every fourth mini_train scene, trainval's is the challenge's train_val."""
    for version, counts in (("v1.0-mini", [6, 2, 2]), ("v1.0-trainval", [500, 200, 150])):
        parts = [scene_names(version, split) for split in ("train", "val", "test")]
        assert [len(part) for part in parts] == counts
        assert len(set().union(*parts)) == sum(counts)
    with pytest.raises(OptionError, match=r"v1\.0-test"):
        scene_names("v1.0-test", "test")


def test_mistakes_are_answered(root: Path, tmp_path: Path) -> None:
    """No root, another version, broken tables and no challenge list."""
    with pytest.raises(MissingFile, match="Download nuScenes"):
        NuScenes().split("test")
    with pytest.raises(MissingFile, match=r"v1\.0-trainval.*Versions in .*: v1\.0-mini"):
        NuScenes(root=str(root), version="v1.0-trainval").split("test")
    (tmp_path / "v1.0-mini").mkdir()
    with pytest.raises(DataError, match="is not a nuScenes database"):
        NuScenes(root=str(tmp_path)).split("test")
    held = root / CHALLENGE_FILE
    moved = held.rename(held.with_suffix(".away"))
    try:
        with pytest.raises(MissingFile, match="protocol=challenge needs it"):
            NuScenes(root=str(root), protocol="challenge").split("test")
    finally:
        moved.rename(held)


def test_incomplete_challenge_instances_are_left_out_with_a_warning(root: Path) -> None:
    """An instance at the first sample has no past: it cannot be attacked, and the user is told how many."""
    path = root / CHALLENGE_FILE
    before = path.read_text()
    listed = json.loads(before)
    samples = json.loads((root / "v1.0-mini" / "scene.json").read_text())
    first = {scene["name"]: scene["first_sample_token"] for scene in samples}
    listed["scene-0103"].append(listed["scene-0103"][0].split("_")[0] + "_" + first["scene-0103"])
    try:
        path.write_text(json.dumps(listed))
        with pytest.warns(UserWarning, match="1 of .* challenge instances"):
            NuScenes(root=str(root), protocol="challenge").split("test")
    finally:
        path.write_text(before)


def test_without_the_devkit_the_user_learns_what_to_install(root: Path, monkeypatch) -> None:
    """The loader imports the devkit only when it is used."""
    monkeypatch.setitem(__import__("sys").modules, "nuscenes.nuscenes", None)
    with pytest.raises(MissingExtra, match="pip install nuscenes-devkit"):
        NuScenes(root=str(root)).split("test")
