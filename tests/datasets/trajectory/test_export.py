"""Synthetic scenes written in public formats and read back."""

import json
from pathlib import Path

import numpy as np
import pytest

from robeval.errors import UsageError
from robeval_datasets.trajectory.apolloscape import ApolloScape
from robeval_datasets.trajectory.export import FRAMES, write
from robeval_datasets.trajectory.ngsim import NGSIM
from robeval_datasets.trajectory.recordings import Recording
from robeval_datasets.trajectory.synthetic import FIRST_SCENE, Synthetic
from robeval_datasets.trajectory.written import WrittenScene, scenes_to_write


def assert_same(read: Recording, written: WrittenScene, name_of, tolerance_m: float = 1e-6) -> None:
    """Every agent of the written scene is read back where and when it was, and nobody else."""
    seen = {}
    for name, place, present in zip(read.agents, read.position, read.present, strict=True):
        base = name.partition("#")[0]  # a gap above 2 s makes two agents of one
        seen[base] = np.where(present[:, None], place, seen.get(base, np.full_like(place, np.nan)))
    seen.pop("ego", None)
    expected = {
        name_of(k): np.where(written.present[k][:, None], written.position[k], np.nan)
        for k in range(len(written.kind))
    }
    assert seen.keys() == expected.keys()
    for name, place in expected.items():
        np.testing.assert_allclose(seen[name], place[: len(seen[name])], rtol=0, atol=tolerance_m)
        assert np.isnan(place[len(seen[name]) :]).all()


def written_scenes(numbers: list[int], names: list[str], layout: str, dt: float) -> dict[str, WrittenScene]:
    """What `write` puts down, by name."""
    made = scenes_to_write(Synthetic(dt=dt), np.array(numbers), names, FRAMES[layout])
    return {scene.name: scene for scene in made}


def test_nuscenes_round_trip_is_exact(tmp_path: Path) -> None:
    """Writer, real devkit, loader: positions to 1e-6 m, gaps, sizes and headings as they were."""
    pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")
    from robeval_datasets.trajectory.nuscenes import NuScenes
    from robeval_datasets.trajectory.nuscenes_writer import token

    assert "v1.0-mini" in write("nuscenes", tmp_path / "data", scenes=3)
    written = written_scenes(
        list(FIRST_SCENE.values()), ["scene-0061", "scene-0757", "scene-0103"], "nuscenes", 0.5
    )
    for split in FIRST_SCENE:
        (read,) = NuScenes(root=str(tmp_path / "data")).recordings(split)
        scene = written[read.name]
        assert_same(read, scene, lambda k, scene=scene: token(scene.name, "instance", k))
        np.testing.assert_allclose(read.ego, scene.ego, rtol=0, atol=1e-6)
        k = read.agents.index(token(scene.name, "instance", 0))
        np.testing.assert_allclose(read.size[k], scene.size[0])
        both = read.present[k] & scene.present[0, : read.present.shape[1]]
        np.testing.assert_allclose(read.heading[k][both], scene.heading[0, : len(both)][both], atol=1e-9)


def test_apolloscape_round_trip_is_exact(tmp_path: Path) -> None:
    """Text and back loses nothing: positions to 1e-6 m, headings and sizes to the last digit."""
    write("apolloscape", tmp_path / "data", scenes=3)
    written = written_scenes([0, 1, 2], [f"scene-000{k}" for k in range(3)], "apolloscape", 0.5)
    data = ApolloScape(root=str(tmp_path / "data"))
    for split in ("train", "val", "test"):
        (read,) = data.recordings(split)
        assert_same(read, written[read.name], lambda k: str(k + 1))
        assert (read.position[read.present] > 0).all()  # peers take coordinates below 0 for missing
        k = read.agents.index("1")
        np.testing.assert_array_equal(read.size[k], written[read.name].size[0])


def test_ngsim_round_trip_is_exact(tmp_path: Path) -> None:
    """Feet and back at half the rate: the vehicles' positions to 1e-6 m from their fourth second on."""
    write("ngsim", tmp_path / "data", scenes=1)
    scene = written_scenes([0], ["scene-0000"], "ngsim", 0.1)["scene-0000"]
    (read,) = NGSIM(root=str(tmp_path / "data")).recordings("train")
    assert {name.partition("#")[0] for name in read.agents} == {
        str(k + 1) for k in np.nonzero(scene.kind != 3)[0]
    }
    for name, place, present in zip(read.agents, read.position, read.present, strict=True):
        k = int(name.partition("#")[0]) - 1
        source = scene.position[k, scene.present[k]]
        away = np.abs(place[present][:, None] - source[None]).max(axis=2).min(axis=1)
        assert away.max() < 1e-6


def test_the_exported_challenge_runs_in_the_devkit(tmp_path: Path) -> None:
    """The devkit's own constant-velocity model predicts every listed instance of the written folder."""
    pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")
    from nuscenes import NuScenes
    from nuscenes.eval.prediction.splits import get_prediction_challenge_split
    from nuscenes.map_expansion.map_api import NuScenesMap
    from nuscenes.prediction import PredictHelper
    from nuscenes.prediction.models.physics import ConstantVelocityHeading

    root = str(tmp_path / "data")
    write("nuscenes", Path(root), scenes=3)
    helper = PredictHelper(NuScenes("v1.0-mini", root, verbose=False))
    model = ConstantVelocityHeading(6, helper)
    tokens = get_prediction_challenge_split("mini_train", root)
    assert len(tokens) > 5
    errors = []
    for token in tokens:
        instance, sample = token.split("_")
        truth = helper.get_future_for_agent(instance, sample, seconds=6, in_agent_frame=False)
        errors.append(np.linalg.norm(model(token).prediction[0] - truth, axis=1).mean())
    assert np.median(errors) < 10
    here = np.array(helper.get_sample_annotation(*tokens[0].split("_"))["translation"][:2])
    world = NuScenesMap(root, "singapore-onenorth")
    assert world.layers_on_point(*here)["drivable_area"]
    assert world.get_closest_lane(*here, radius=5)
    assert (here > 0).all()
    assert (here < world.canvas_edge).all()


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    """Files are reproducible, and another seed writes others."""
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write("apolloscape", tmp_path / name, scenes=2, seed=seed)
    text = [(tmp_path / name / "scene-0001.txt").read_bytes() for name in "abc"]
    assert text[0] == text[1] != text[2]


def test_an_occupied_folder_is_refused_and_kept(tmp_path: Path) -> None:
    """Nothing is written over; an empty folder is filled."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        write("apolloscape", tmp_path / "full", scenes=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]
    (tmp_path / "empty").mkdir()
    write("apolloscape", tmp_path / "empty", scenes=1)
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["scene-0000.txt"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch) -> None:
    """A folder is there whole or not at all."""

    def fail(scene):
        raise OSError("disk full")

    monkeypatch.setattr("robeval_datasets.trajectory.export._rows", fail)
    with pytest.raises(OSError, match="disk full"):
        write("apolloscape", tmp_path / "data", scenes=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("layout", "options", "says"),
    [
        ("waymo", {}, "format 'waymo' is none of nuscenes, apolloscape, ngsim"),
        ("nuscenes", {"dt": 0.1}, "dt cannot be chosen: nuscenes has 0.5 s"),
        ("nuscenes", {"scenes": 2}, "needs at least 3"),
        ("nuscenes", {"scenes": 2000}, "at most 750"),
    ],
)
def test_impossible_requests_are_refused(tmp_path: Path, layout: str, options: dict, says: str) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match=says):
        write(layout, tmp_path / "data", **options)
    assert list(tmp_path.iterdir()) == []


def test_more_scenes_than_mini_has_become_trainval(tmp_path: Path) -> None:
    """Twelve scenes use trainval's names, with all three splits filled."""
    pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")
    from robeval_datasets.trajectory.nuscenes import NuScenes

    assert "v1.0-trainval" in write("nuscenes", tmp_path / "data", scenes=12)
    data = NuScenes(root=str(tmp_path / "data"), version="v1.0-trainval", stride=5)
    assert [len(set(data.split(split).scene)) for split in ("train", "val", "test")] == [8, 2, 2]
    listed = json.loads((tmp_path / "data" / "maps" / "prediction" / "prediction_scenes.json").read_text())
    assert len(listed) == 12
