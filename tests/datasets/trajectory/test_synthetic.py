"""The synthetic driving scenes."""

import time

import numpy as np
import pytest
import torch

from robeval.domains.trajectory.batch import CYCLE, PEDESTRIAN, VEHICLES
from robeval.errors import OptionError
from robeval.seeding import Seed
from robeval_datasets.trajectory import traffic
from robeval_datasets.trajectory.drivers import TICK_S
from robeval_datasets.trajectory.synthetic import Synthetic

SMALL = {"train_scenes": 45, "val_scenes": 9, "test_scenes": 30}
SCENES = 180


@pytest.fixture(scope="module")
def truth() -> traffic.Traffic:
    """Noise-free scenes at 10 Hz."""
    numbers = np.arange(SCENES)
    draw = Seed(7).draws([str(number) for number in numbers])
    return traffic.simulate(draw, numbers % 3, frames=76, ticks_per_frame=1)


@pytest.fixture(scope="module")
def world() -> Synthetic:
    """A small world."""
    return Synthetic(**SMALL)


def driving(truth: traffic.Traffic) -> tuple[np.ndarray, np.ndarray]:
    """Speed and signed curvature of all vehicles that exist, [vehicles, steps]."""
    exists = truth.exists[:, : traffic.VEHICLES]
    step = np.diff(truth.position[:, : traffic.VEHICLES][exists], axis=1)
    length = np.linalg.norm(step, axis=-1)
    turned = np.diff(np.unwrap(truth.heading[:, : traffic.VEHICLES][exists], axis=1), axis=1)
    return length / TICK_S, np.where(length > 0.02, turned / np.maximum(length, 0.02), 0.0)


def test_the_same_seed_gives_identical_tensors(world: Synthetic) -> None:
    """Two worlds with one seed are the same bit for bit; another seed is another world."""
    again, other = Synthetic(**SMALL), Synthetic(**SMALL, seed=1)
    for split in ("train", "val", "test"):
        assert world.split(split).identical(again.split(split))
    assert not torch.equal(world.split("val").track, other.split("val").track)


def test_a_scene_does_not_depend_on_how_many_are_made(world: Synthetic, monkeypatch) -> None:
    """The first scenes of a longer split, made in other chunks, are the same examples."""
    monkeypatch.setattr("robeval_datasets.trajectory.synthetic._CHUNK", 7)
    longer = Synthetic(**SMALL | {"test_scenes": 45}).split("test")
    short = world.split("test")
    kept = longer.select(slice(0, len(short)))
    assert kept.ids == short.ids
    assert torch.equal(kept.track, short.track)
    assert torch.equal(kept.present, short.present)
    points = min(kept.lanes.shape[2], short.lanes.shape[2])
    torch.testing.assert_close(kept.lanes[:, :, :points], short.lanes[:, :, :points], equal_nan=True)
    assert kept.lanes[:, :, points:].isnan().all()


def test_splits_share_no_scene(world: Synthetic) -> None:
    """Train, val and test are disjoint ranges of scene numbers."""
    scenes = [set(world.split(split).scene) for split in ("train", "val", "test")]
    assert len(set().union(*scenes)) == sum(map(len, scenes))


def test_the_batch_has_the_promised_shape(world: Synthetic) -> None:
    """Frames are history + windows - 1 + horizon, agents as asked, several targets per training scene."""
    train = world.split("train")
    assert train.track.shape == (135, 8, 16, 2)
    assert (train.history, train.horizon, train.windows) == (4, 12, 1)
    assert len(set(train.ids)) == len(train) == 3 * len(set(train.scene))
    multi = Synthetic(**SMALL, windows=6, agents=3).split("val")
    assert multi.track.shape == (9, 3, 21, 2)
    assert (train.dt == 0.5).all()


def test_regimes_come_in_equal_thirds(world: Synthetic) -> None:
    """Ten test scenes each want to drive slowly, moderately and fast, and on average they do."""
    test = world.split("test")
    speed = test.target.diff(dim=1).norm(dim=-1).mean(dim=1) / 0.5
    means = []
    for name in ("low", "medium", "high"):
        of = torch.tensor([regime == name for regime in test.regime])
        assert 8 <= int(of.sum()) <= 10
        means.append(float(speed[of].mean()))
    assert means[0] < 4 < means[1] < 9 < means[2] + 2


def test_targets_are_complete_vehicles_and_neighbours_may_drop_out(world: Synthetic) -> None:
    """No gap inside a target's span; neighbours have gaps, come late and leave early."""
    train = world.split("train")
    assert train.present[:, 0].all()
    assert all(kind in VEHICLES for kind in train.kind[:, 0].tolist())
    neighbours = train.kind[:, 1:] > 0
    gaps = ~train.present[:, 1:][neighbours]
    assert 0.02 < gaps.float().mean() < 0.2
    assert (train.track[:, 1:][neighbours][gaps] == 0).all()


def test_pedestrians_and_cyclists_take_part(world: Synthetic) -> None:
    """Neighbours are of several kinds."""
    kinds = set(world.split("train").kind.flatten().tolist())
    assert {PEDESTRIAN, CYCLE} < kinds


def test_the_ego_is_a_neighbour_and_never_a_target(world: Synthetic) -> None:
    """Its exact track stands in `ego`; the nearest measured neighbour track is within the noise of it."""
    train = world.split("train")
    away = (train.track - train.ego.unsqueeze(1)).norm(dim=-1).amax(dim=-1)
    assert (away[:, 0] > 1).all()
    assert (away.amin(dim=1) < 0.3).float().mean() > 0.8


def test_noise_has_the_asked_spread(world: Synthetic) -> None:
    """Measured minus noise-free positions have a standard deviation of `noise_m`; the default is 0.03 m."""
    noisy, exact = Synthetic(**SMALL).split("train"), Synthetic(**SMALL, noise_m=0.0).split("train")
    error = (
        noisy.track.double() + noisy.origin.view(-1, 1, 1, 2) - exact.track - exact.origin.view(-1, 1, 1, 2)
    )[:, 0]
    assert float(error.std()) == pytest.approx(0.03, rel=0.05)
    assert torch.equal(
        Synthetic(**SMALL, noise_m=0.0).split("val").track, Synthetic(**SMALL, noise_m=0.0).split("val").track
    )


def test_noise_free_tracks_can_be_driven(truth: traffic.Traffic) -> None:
    """Curvature stays below 0.2 1/m, speed below 16 m/s, acceleration between -7.5 and 1.6 m/s²."""
    speed, curvature = driving(truth)
    assert np.abs(curvature).max() < 0.2
    assert speed.max() <= 16.5
    change = np.diff(speed, axis=1) / TICK_S
    assert -7.5 < change.min() < -2.5
    assert 0.5 < change.max() < 1.6


def test_lateral_acceleration_is_comfortable(truth: traffic.Traffic) -> None:
    """Who turns slows down: 99.9 % of all moments stay below 4 m/s²."""
    speed, curvature = driving(truth)
    assert np.quantile(np.abs(curvature) * speed**2, 0.999) < 4.0


def test_heading_is_the_direction_of_motion(truth: traffic.Traffic) -> None:
    """For everybody who moves, pedestrians that walk against the lane included."""
    step = np.diff(truth.position, axis=2)
    moving = truth.exists[..., None] & (np.linalg.norm(step, axis=-1) > 0.05)
    motion = np.arctan2(step[..., 1], step[..., 0])
    middle = truth.heading[..., :-1] + 0.5 * np.diff(np.unwrap(truth.heading, axis=2), axis=2)
    error = np.abs(np.angle(np.exp(1j * (motion - middle))))
    assert error[moving].max() < 0.02


def test_vehicles_do_not_run_into_each_other(truth: traffic.Traffic) -> None:
    """In no scene do two vehicles' centres come closer than 3 m."""
    place, exists = truth.position[:, : traffic.VEHICLES], truth.exists[:, : traffic.VEHICLES]
    away = np.linalg.norm(place[:, :, None] - place[:, None], axis=-1).min(axis=-1)
    pairs = exists[:, :, None] & exists[:, None] & ~np.eye(traffic.VEHICLES, dtype=bool)
    assert away[pairs].min() > 3.0


def test_vehicles_follow_their_lane_lines(truth: traffic.Traffic) -> None:
    """Nine of ten positions lie within 0.6 m of a lane's centre line: the lines are where the traffic is."""
    place = truth.position[:24, : traffic.VEHICLES, ::25]
    lines = truth.lanes[:24]
    fine = np.concatenate(
        [lines + (np.roll(lines, -1, axis=2) - lines) * part for part in np.linspace(0, 0.9, 10)], 2
    )
    away = np.linalg.norm(place[:, :, :, None, None] - fine[:, None, None], axis=-1)
    nearest = np.nanmin(away, axis=(3, 4))[truth.exists[:24, : traffic.VEHICLES]]
    assert (nearest < 0.6).mean() > 0.9


def test_all_that_was_promised_happens(truth: traffic.Traffic) -> None:
    """Some change lane, some turn by more than 60 degrees, some brake harder than 3 m/s², some stop."""
    heading = np.unwrap(truth.heading[:, : traffic.VEHICLES], axis=2)
    exists = truth.exists[:, : traffic.VEHICLES]
    turned = np.abs(heading[..., -1] - heading[..., 0])[exists]
    assert (turned > np.deg2rad(60)).sum() >= 3
    assert ((turned > np.deg2rad(5)) & (turned < np.deg2rad(60))).sum() >= 20
    speed, _ = driving(truth)
    assert (np.diff(speed, axis=1).min(axis=1) < -3 * TICK_S).sum() >= 10
    assert ((speed[:, 0] > 1) & (speed.min(axis=1) < 0.2)).sum() >= 5


def test_other_rates_and_spans_work() -> None:
    """NGSIM's 0.2 s with 15 + 25 frames, and dt that the simulation cannot give is refused."""
    batch = Synthetic(**SMALL, dt=0.2, history=15, horizon=25).split("val")
    assert batch.track.shape[2] == 40
    with pytest.raises(OptionError, match=r"dt=0\.25"):
        Synthetic(dt=0.25)


def test_the_fingerprint_names_the_world(world: Synthetic) -> None:
    """Options that change examples change it; how they are served does not."""
    same, other = Synthetic(**SMALL), Synthetic(**SMALL, noise_m=0.1)
    same.batch_size = 7
    assert world.fingerprint() == same.fingerprint() != other.fingerprint()


def test_scenes_are_made_fast() -> None:
    """The floor of 100 scenes per second of processor time holds with a wide margin on any machine."""
    begun = time.process_time()
    Synthetic(train_scenes=256, val_scenes=1, test_scenes=1).split("train")
    assert 256 / (time.process_time() - begun) > 100
