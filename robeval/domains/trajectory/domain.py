"""The trajectory domain: what is measured of a scene, what an attack may spend on it, what a person sees."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.arrays import Batch
from robeval.domains.trajectory import budget, metrics, planner, stealth
from robeval.domains.trajectory.batch import Prediction, SceneBatch
from robeval.domains.trajectory.corridor import TOLERANCE
from robeval.domains.trajectory.kinematics import excess
from robeval.domains.trajectory.objectives import Yardstick, yardstick
from robeval.errors import AccessError
from robeval.plugins.contracts import Domain, Metric, Trial
from robeval.plugins.defaults import Defaults, Probes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP_MODES = (5, 10)
DIRECTIONS = ("left", "right", "front", "rear")


def _share(name: str, direction: Literal["higher", "lower"], meaning: str) -> Metric:
    return Metric(name, "", direction, meaning, kind="proportion")


def _ratio(name: str) -> Metric:
    meaning = f"{name.upper()} over clean {name.upper()}, moving targets"
    columns = (f"{name}_moving", f"clean_{name}_moving")
    return Metric(f"{name}_ratio", "×", "lower", meaning, value=columns[0], per=columns[1])


_ERROR = (
    Metric("ade", "m", "lower", "mean distance between the most likely path and the truth"),
    Metric("fde", "m", "lower", "distance between the two at the last step"),
    _ratio("ade"),
    _ratio("fde"),
    Metric("min_ade_k5", "m", "lower", "smallest ADE among the 5 most likely paths"),
    Metric("min_ade_k10", "m", "lower", "smallest ADE among the 10 most likely paths"),
    Metric("min_fde_k5", "m", "lower", "smallest FDE among the 5 most likely paths"),
    Metric("min_fde_k10", "m", "lower", "smallest FDE among the 10 most likely paths"),
    _share("miss_rate", "lower", "windows whose path is ever 2 m or more off"),
    Metric("left", "m", "lower", "how far the path lies left of the truth (mean, signed)"),
    Metric("right", "m", "lower", "how far the path lies right of the truth (mean, signed)"),
    Metric("front", "m", "lower", "how far the path runs ahead of the truth (mean, signed)"),
    Metric("rear", "m", "lower", "how far the path stays behind the truth (mean, signed)"),
    _share("success", "lower", "attacks that raise the ADE by 1 m and by half of the clean ADE"),
    _share("directional_success", "lower", "attacks that push the path half a lane aside, on or back"),
    _share("off_road", "lower", "windows whose path leaves every lane by more than 2 m"),
)

_STEALTH = (
    Metric("max_deviation", "m", "higher", "largest displacement of the driven track"),
    Metric("mean_deviation", "m", "higher", "mean displacement of the driven track"),
    Metric("max_curvature", "1/m", "higher", "largest curvature of the driven track", decimals=3),
    Metric("mean_curvature", "1/m", "higher", "mean curvature of the driven track", decimals=3),
    Metric("longitudinal_acceleration", "m/s²", "higher", "largest acceleration along the driven track"),
    Metric("lateral_acceleration", "m/s²", "higher", "largest acceleration across the driven track"),
    Metric("jerk", "m/s³", "higher", "largest jerk of the driven track"),
    Metric("heading_jump", "°", "higher", "largest change of heading between two steps", decimals=1),
    Metric("heading_variation", "°", "higher", "sum of all changes of heading", decimals=1),
    _share("detected", "higher", "tracks on which the published variance detector fires"),
    _share("kinematic_violation", "higher", "tracks that leave the kinematic limits"),
)

_PLANNER = (
    _share("hard_brake", "lower", "egos that believe the prediction and brake at 4 m/s² or harder"),
    _share("spurious_brake", "lower", "egos that brake hard only because of the attack"),
    Metric("min_gap", "m", "higher", "smallest distance between that ego and the target's true motion"),
    _share("collision", "lower", "egos that run into the target"),
    Metric("progress_loss", "m", "lower", "way that the ego loses because of the attack"),
    Metric("planning_error", "m", "lower", "error across the ego's path, target within 15 m of it"),
)


class Trajectory(Domain[SceneBatch]):
    """Where will a road user be, given where it was?

    Values are per example; several windows are averaged. The truth is always the clean scene's future.
    """

    name: ClassVar[str] = "trajectory"
    summary: ClassVar[str] = "Where will a road user be, given where it was?"
    batch: ClassVar[type[Batch]] = SceneBatch
    metrics: ClassVar[tuple[Metric, ...]] = (*_ERROR, *_STEALTH, *_PLANNER)
    defaults: ClassVar[Defaults] = Defaults(
        dataset="synthetic",
        victim="lstm",
        attacks=(
            "none",
            "noise",
            "search:restarts=4,iterations=50",
            "search-plus:restarts=4,iterations=50",
            "pso:iterations=50",
            "sa-attack:restarts=4,iterations=50",
        ),
        defenses=("none", "smoothing", "augmentation", "adversarial-training", "randomised-smoothing"),
        max_examples=72,
        small=("synthetic:train_scenes=24,val_scenes=6,test_scenes=6", "lstm:steps=8,hidden=16"),
    )
    first_attack: ClassVar[tuple[str, ...]] = (
        "# One step of the whole budget, in a random direction, for every observed position of the target.",
        "angle = draw.uniform(batch.attacked, high=2 * torch.pi)",
        "push = budget * torch.stack([angle.cos(), angle.sin()], dim=-1)",
        "seen = batch.present[:, 0, : batch.attacked].unsqueeze(-1)",
        "return batch.moved(push * seen)",
    )

    probes: ClassVar[Probes] = Probes(
        random="noise",
        black_box="pso:iterations=50",
        strong="search-plus:restarts=4,iterations=50",
        weak="search:restarts=1,iterations=1",
    )
    continuous: ClassVar[tuple[str, ...]] = ("track",)

    def score(self, trial: Trial[SceneBatch]) -> Mapping[str, Tensor]:
        """One value per example for every column that a metric names: [batch] each."""
        clean = trial.clean
        against = yardstick(clean)
        before, after = _errors(trial.clean_output, against), _errors(trial.output, against)
        moving = ~metrics.stationary(clean)
        path, clean_path = trial.output.most_likely(), trial.clean_output.most_likely()
        sides, clean_sides = (metrics.directional(p, against) for p in (path, clean_path))
        ratios = {
            f"{prefix}{name}_moving": torch.where(moving, values[name], torch.nan)
            for name in ("ade", "fde")
            for prefix, values in (("", after), ("clean_", before))
        }
        return {
            **after,
            **dict(zip(DIRECTIONS, sides.unbind(dim=1), strict=True)),
            **ratios,
            "success": metrics.succeeded(after["ade"], before["ade"]),
            "directional_success": metrics.directional_success(sides, clean_sides),
            "off_road": metrics.off_road(path, clean.lanes),
            **_stealth(clean, trial.adversarial),
            **planner.consequence(clean, clean_path, path)._asdict(),
            "planning_error": planner.planning_error(clean, path),
        }

    def spent(self, clean: SceneBatch, adversarial: SceneBatch) -> Mapping[str, Tensor]:
        """``deviation`` and ``l2_deviation`` in metres, ``kinematics`` as a share; see `budget.spent`."""
        return budget.spent(clean, adversarial)

    def problems(self, batch: SceneBatch) -> Mapping[str, Tensor]:
        """Positions that are not finite or not local, and targets that are not there to be attacked."""
        return budget.problems(batch)

    def answer(self, output: Prediction) -> Float[Tensor, "batch features"]:
        """All paths and probabilities in one row per example."""
        return torch.cat([output.paths.flatten(1), output.probability.flatten(1)], dim=1)

    def reveal(self, output: Prediction, access: str) -> Prediction:
        """The whole prediction for ``score``; only the most likely path for ``decision``.

        Raises AccessError for ``rank``: a prediction is no ranked list.
        """
        if access == "score":
            return output
        if access == "decision":
            return Prediction(
                output.most_likely().unsqueeze(-3), torch.ones_like(output.probability[..., :1])
            )
        raise AccessError(
            f"the trajectory domain has no access '{access}'; declare 'white-box', 'score' or 'decision'"
        )

    def groups(self, batch: SceneBatch) -> Sequence[str]:
        """The target's speed regime."""
        return batch.regime

    def clusters(self, batch: SceneBatch) -> Sequence[str]:
        """The recording that an example was cut from."""
        return batch.scene

    def picture(self, trial: Trial[SceneBatch], title: str = "") -> "Figure":
        """Clean and adversarial history and predictions over lanes and neighbours, one panel per example."""
        from robeval.domains.trajectory.picture import draw

        return draw(trial, title)


def _errors(output: Prediction, against: Yardstick) -> dict[str, Tensor]:
    """Distances to the truth by metric, averaged over the windows that define them."""
    path, (paths, probability) = output.most_likely(), output
    truth, known = against.truth, against.known
    values = {"ade": metrics.ade(path, truth, known), "fde": metrics.fde(path, truth, known)}
    for k in TOP_MODES:
        values[f"min_ade_k{k}"] = metrics.min_ade(paths, probability, truth, known, k)
        values[f"min_fde_k{k}"] = metrics.min_fde(paths, probability, truth, known, k)
    values["miss_rate"] = metrics.missed(path, truth, known)
    return {name: value.nanmean(dim=1) for name, value in values.items()}


def _stealth(clean: SceneBatch, adversarial: SceneBatch) -> dict[str, Tensor]:
    """How the driven track looks up to the first unattacked frame, where it rejoins the truth."""
    joined = slice(0, clean.attacked + 1)
    present = clean.present[:, 0]
    track, here = adversarial.target[:, joined], present[:, joined]
    moved = stealth.deviation(adversarial.offset_from(clean), present[:, : clean.attacked])
    bend, turn = stealth.curvature(track, here), stealth.turning(track, here)
    share = excess(adversarial.target, clean.target, clean.limits, present)
    return {
        "max_deviation": moved.max,
        "mean_deviation": moved.mean,
        "max_curvature": bend.max,
        "mean_curvature": bend.mean,
        **stealth.dynamics(track, here, clean.dt)._asdict(),
        "heading_jump": turn.jump,
        "heading_variation": turn.variation,
        "detected": stealth.detected(track[:, :-1], here[:, :-1]),
        "kinematic_violation": (share > 1 + TOLERANCE).to(share.dtype),
    }
