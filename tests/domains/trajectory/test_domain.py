"""The trajectory domain as the engine meets it."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from robeval.domains.trajectory.batch import Prediction, SceneBatch
from robeval.domains.trajectory.domain import Trajectory
from robeval.errors import AccessError
from robeval.plugins.contracts import Trial

Predict = Callable[..., Prediction]
DOMAIN = Trajectory()


def trial(clean: SceneBatch, before: Prediction, after: Prediction, adversarial: SceneBatch | None = None):
    """One judged batch; without another input the clean one stands on both sides."""
    return Trial(nn.Identity(), clean, clean if adversarial is None else adversarial, before, after)


def absent(scenes: SceneBatch, *frames: int) -> SceneBatch:
    """The scenes with the target gone in some frames."""
    present, track = scenes.present.clone(), scenes.track.clone()
    present[:, 0, frames] = False
    track[:, 0, frames] = 0.0
    return scenes.replace(present=present, track=track)


def test_every_metric_has_its_columns(turning_scenes: SceneBatch, predict: Predict) -> None:
    """Each column that a metric names, and success, has one value per example."""
    output = predict(turning_scenes, (1.0, 0.0))
    columns = DOMAIN.score(trial(turning_scenes, output, output))
    wanted = {metric.column for metric in DOMAIN.metrics} | {metric.per for metric in DOMAIN.metrics}
    assert wanted - {None} | {"success"} <= columns.keys()
    assert {tuple(value.shape) for value in columns.values()} == {(6,)}


def test_metrics_have_different_names_and_the_headline_is_ade() -> None:
    """The first metric is the ADE in metres, lower is better, and no two share a name."""
    headline = DOMAIN.metrics[0]
    assert (headline.name, headline.unit, headline.direction) == ("ade", "m", "lower")
    assert len({metric.name for metric in DOMAIN.metrics}) == len(DOMAIN.metrics)


def test_scores_by_hand(straight_scene: SceneBatch, predict: Predict) -> None:
    """A clean error of 1 m to the left that an attack turns into 5 m in all: 4 m right, 3 m back."""
    before = predict(straight_scene, (0.0, 1.0))
    after = predict(straight_scene, (-3.0, -4.0))
    columns = DOMAIN.score(trial(straight_scene, before, after))
    expected = {
        "ade": 5.0,
        "fde": 5.0,
        "min_ade_k5": 5.0,
        "min_fde_k10": 5.0,
        "miss_rate": 1.0,
        "left": -4.0,
        "right": 4.0,
        "front": -3.0,
        "rear": 3.0,
        "ade_moving": 5.0,
        "clean_ade_moving": 1.0,
        "fde_moving": 5.0,
        "clean_fde_moving": 1.0,
        "success": 1.0,
        "directional_success": 1.0,
        "max_deviation": 0.0,
        "jerk": 0.0,
        "kinematic_violation": 0.0,
    }
    found = {name: float(columns[name]) for name in expected}
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_likeliest_mode_is_judged_and_the_best_one_reported(
    straight_scene: SceneBatch, predict: Predict
) -> None:
    """ADE follows the most likely of two modes, minADE the closer one."""
    output = predict(straight_scene, (0.0, 6.0), (0.0, 2.5), probability=(0.6, 0.4))
    columns = DOMAIN.score(trial(straight_scene, output, output))
    assert float(columns["ade"]) == pytest.approx(6.0)
    assert float(columns["min_ade_k5"]) == pytest.approx(2.5)


def test_the_truth_is_the_clean_future(straight_scene: SceneBatch, predict: Predict) -> None:
    """An attack that also rewrites the future is still judged against the clean one."""
    rewritten = straight_scene.replace(track=straight_scene.track + torch.tensor([0.0, 5.0]))
    output = predict(rewritten)
    columns = DOMAIN.score(trial(straight_scene, output, output, rewritten))
    assert float(columns["ade"]) == pytest.approx(5.0)


def test_windows_are_averaged(turning_scenes: SceneBatch, predict: Predict) -> None:
    """With one of two windows right and one 4 m off the ADE is 2 m and the miss rate one half."""
    output = predict(turning_scenes)
    output.paths[:, 1] += torch.tensor([0.0, 4.0])
    columns = DOMAIN.score(trial(turning_scenes, output, output))
    assert columns["ade"].tolist() == pytest.approx([2.0] * 6)
    assert columns["miss_rate"].tolist() == [0.5] * 6


def test_a_window_without_truth_does_not_count(turning_scenes: SceneBatch, predict: Predict) -> None:
    """The FDE is that of the windows whose last frame is known."""
    output = predict(turning_scenes)
    output.paths[:, 1] += torch.tensor([0.0, 4.0])
    columns = DOMAIN.score(trial(absent(turning_scenes, -1), output, output))
    assert columns["fde"].tolist() == pytest.approx([0.0] * 6)


def test_a_target_that_leaves_has_no_fde(straight_scene: SceneBatch, predict: Predict) -> None:
    """Without the last frame the ADE is taken over the rest and the FDE does not apply."""
    output = predict(straight_scene, (0.0, 3.0))
    output.paths[..., -1, :] += 100.0
    columns = DOMAIN.score(trial(absent(straight_scene, -1), output, output))
    assert float(columns["ade"]) == pytest.approx(3.0)
    assert columns["fde"].isnan().all()
    assert columns["fde_moving"].isnan().all()


def test_ratios_leave_standing_targets_out(
    straight_track: Callable[..., torch.Tensor], scene_of: Callable[..., SceneBatch], predict: Predict
) -> None:
    """A standing target has an ADE but no part in the ratio."""
    scenes = scene_of(torch.cat([straight_track(0.1), straight_track(5.0)]))
    output = predict(scenes, (0.0, 3.0))
    columns = DOMAIN.score(trial(scenes, output, output))
    assert columns["ade"].tolist() == pytest.approx([3.0, 3.0])
    assert columns["ade_moving"].isnan().tolist() == [True, False]
    assert columns["clean_ade_moving"].isnan().tolist() == [True, False]


def test_stealth_looks_at_the_adversarial_track(straight_scene: SceneBatch, predict: Predict) -> None:
    """A wiggle shows in deviation, curvature, acceleration and jerk, and not in the clean row."""
    offset = torch.tensor([[[0.0, 0.0], [0.0, 0.4], [0.0, -0.4], [0.0, 0.0]]])
    output = predict(straight_scene)
    clean = DOMAIN.score(trial(straight_scene, output, output))
    driven = DOMAIN.score(trial(straight_scene, output, output, straight_scene.moved(offset)))
    assert float(driven["max_deviation"]) == pytest.approx(0.4)
    assert float(driven["mean_deviation"]) == pytest.approx(0.2)
    for name in ("max_curvature", "mean_curvature", "lateral_acceleration", "jerk", "heading_jump"):
        assert float(clean[name]) == pytest.approx(0.0, abs=1e-4)
        assert float(driven[name]) > 0.01
    assert float(clean["kinematic_violation"]) == 0.0
    assert float(driven["kinematic_violation"]) == 1.0


def test_the_detector_sees_what_was_driven_under_attack(
    straight_track: Callable[..., torch.Tensor], scene_of: Callable[..., SceneBatch], predict: Predict
) -> None:
    """A track that is steady while it is watched raises no alarm by how it rejoins the truth."""
    scenes = scene_of(straight_track(2.0))
    output = predict(scenes)
    aside = scenes.moved(torch.tensor([0.0, 0.9]).expand(1, 4, 2))
    zigzag = scenes.moved(torch.tensor([[[0.0, 0.9], [0.0, -0.9], [0.0, 0.9], [0.0, -0.9]]]))
    fired = [float(DOMAIN.score(trial(scenes, output, output, a))["detected"]) for a in (aside, zigzag)]
    assert fired == [0.0, 1.0]


def test_the_attacked_prediction_has_the_consequences(
    straight_track: Callable[..., torch.Tensor], scene_of: Callable[..., SceneBatch], predict: Predict
) -> None:
    """The ego brakes, errs and leaves the road by the adversarial prediction, compared with the clean one."""
    target = straight_track(3.0) + torch.tensor([8.0, 3.7])
    lanes = torch.tensor([[[[-50.0, 0.0], [99.0, 0.0]], [[-50.0, 3.7], [99.0, 3.7]]]])
    scenes = scene_of(target, ego=straight_track(8.0), lanes=lanes)
    cut_in, away = predict(scenes, (0.0, -3.7)), predict(scenes, (0.0, 3.0))
    columns = DOMAIN.score(trial(scenes, predict(scenes), cut_in))
    expected = {"hard_brake": 1.0, "spurious_brake": 1.0, "collision": 0.0, "off_road": 0.0}
    assert {name: float(columns[name]) for name in expected} == expected
    assert float(columns["planning_error"]) == pytest.approx(3.7, abs=1e-4)
    assert float(columns["progress_loss"]) > 5.0
    columns = DOMAIN.score(trial(scenes, cut_in, away))
    assert (float(columns["off_road"]), float(columns["hard_brake"])) == (1.0, 0.0)


def test_scores_do_not_depend_on_neighbours(turning_scenes: SceneBatch, predict: Predict) -> None:
    """Two halves scored alone give what they give together."""
    adversarial = turning_scenes.moved(torch.full((6, turning_scenes.attacked, 2), 0.2))
    before, after = predict(turning_scenes, (1.0, 0.0)), predict(turning_scenes, (0.0, 3.0), (1.0, 1.0))

    def cut(output: Prediction, rows: slice) -> Prediction:
        return Prediction(output.paths[rows], output.probability[rows])

    together = DOMAIN.score(trial(turning_scenes, before, after, adversarial))
    halves = [
        DOMAIN.score(trial(turning_scenes.select(r), cut(before, r), cut(after, r), adversarial.select(r)))
        for r in (slice(0, 2), slice(2, 6))
    ]
    for name, value in together.items():
        torch.testing.assert_close(value, torch.cat([half[name] for half in halves]), equal_nan=True)


def test_an_answer_of_nan_is_not_hidden(straight_scene: SceneBatch, predict: Predict) -> None:
    """A victim that breaks down has no ADE, but the attack has succeeded and the path has missed."""
    before = predict(straight_scene, (0.0, 1.0))
    after = Prediction(before.paths * math.nan, before.probability)
    columns = DOMAIN.score(trial(straight_scene, before, after))
    assert columns["ade"].isnan().all()
    assert columns["success"].tolist() == [1.0]
    assert columns["miss_rate"].tolist() == [1.0]
    assert DOMAIN.answer(after).isnan().any()


def test_the_budget_of_an_empty_batch_is_empty(straight_scene: SceneBatch) -> None:
    """No examples, no figures, no error."""
    none = straight_scene.select([])
    assert {len(value) for value in DOMAIN.spent(none, none).values()} == {0}


def test_an_answer_is_one_row_per_example(turning_scenes: SceneBatch, predict: Predict) -> None:
    """Paths and probabilities of all windows and modes stand in one row."""
    output = predict(turning_scenes, (0.0, 0.0), (1.0, 0.0))
    assert DOMAIN.answer(output).shape == (6, 2 * 2 * 12 * 2 + 2 * 2)


def test_a_decision_reveals_one_path(straight_scene: SceneBatch, predict: Predict) -> None:
    """With score access all modes are seen, with decision access the most likely path and no probability."""
    output = predict(straight_scene, (0.0, 6.0), (0.0, 2.0), probability=(0.4, 0.6))
    assert DOMAIN.reveal(output, "score") is output
    seen = DOMAIN.reveal(output, "decision")
    assert seen.paths.shape == (1, 1, 1, 12, 2)
    assert seen.probability.tolist() == [[[1.0]]]
    torch.testing.assert_close(seen.most_likely(), output.most_likely())


def test_a_prediction_is_no_ranking(straight_scene: SceneBatch, predict: Predict) -> None:
    """Rank access means nothing here and says so."""
    with pytest.raises(AccessError, match="'white-box', 'score' or 'decision'"):
        DOMAIN.reveal(predict(straight_scene), "rank")


def test_groups_are_regimes_and_clusters_are_recordings(turning_scenes: SceneBatch) -> None:
    """Figures are split by speed regime; examples of one recording are not independent."""
    assert DOMAIN.groups(turning_scenes) == turning_scenes.regime
    assert DOMAIN.clusters(turning_scenes) == turning_scenes.scene
