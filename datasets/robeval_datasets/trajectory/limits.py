"""The kinematic bounds of a dataset: from its own training tracks, from the paper, or as given."""

from collections.abc import Callable

import torch

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.kinematics import PUBLISHED_LIMITS, limits_from_si, limits_from_tracks
from robeval.errors import OptionError

PUBLISHED_DT_S = {"nuscenes": 0.5, "apolloscape": 0.5, "ngsim": 0.2}
Limits = tuple[float, float, float, float, float]
BOUNDS_HELP = "kinematic bounds: dataset (mean + 3 std of the training tracks), repo, or si:V,AL,AT,JL,JT"


def resolve(bounds: str, dt: float, published: str | None, train: Callable[[], SceneBatch]) -> Limits:
    """Per-frame bounds for an option ``dataset``, ``repo`` or
    ``si:speed,along,across,jerk_along,jerk_across``.

    `published` names the set whose constants `repo` means; they are per frame, so they hold only at the frame
    rate that they were made at. Raises OptionError otherwise.
    """
    if bounds == "dataset":
        batch = train()
        return limits_from_tracks(batch.track[:, 0], batch.present[:, 0])
    if bounds == "repo":
        return _published(dt, published)
    if bounds.startswith("si:"):
        return _given(bounds, dt)
    raise OptionError(f"bounds='{bounds}' is none of: dataset, repo, si:V,AL,AT,JL,JT (m/s, m/s², m/s³)")


def _published(dt: float, published: str | None) -> Limits:
    if published is None:
        raise OptionError("bounds='repo': no constants were published for this dataset; use bounds=dataset")
    made_at = PUBLISHED_DT_S[published]
    if abs(dt - made_at) > 1e-6:
        raise OptionError(
            f"bounds='repo': the published {published} constants are per frame of {made_at} s, "
            f"this dataset has {dt} s; use bounds=dataset or bounds='si:...'"
        )
    return PUBLISHED_LIMITS[published]


def _given(bounds: str, dt: float) -> Limits:
    try:
        values = [float(part) for part in bounds.removeprefix("si:").split(",")]
    except ValueError:
        values = []
    if len(values) != 5 or any(not 0 < value < float("inf") for value in values):
        raise OptionError(
            f"bounds='{bounds}': expected five positive numbers, si:V,AL,AT,JL,JT (m/s, m/s², m/s³)"
        )
    speed, along, across, along_jerk, across_jerk = values
    return limits_from_si(speed, along, across, along_jerk, across_jerk, dt)


def bounded(batch: SceneBatch, limits: Limits) -> SceneBatch:
    """The same examples with these bounds."""
    return batch.replace(limits=torch.tensor(limits, dtype=torch.float32).repeat(len(batch), 1))
