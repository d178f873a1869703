"""How far a prediction is from what happened: pure functions, one value per row, metres.

Steps whose truth is unknown are left out; a value that no step defines is NaN ("does not apply").
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.objectives import Yardstick, objective_values

MISS_RADIUS_M = 2.0
STATIONARY_M = 1.0
"""A target that covers less than this while it is watched stands still; ratios leave it out."""
HALF_LANE_M = 1.85
OFF_ROAD_M = 2.0
"""Half a lane of 3.7 m and some room for noise: the midline between two lanes is still on the road."""
SUCCESS_GAIN_M = 1.0
SUCCESS_SHARE = 0.5


def ade(
    path: Float[Tensor, "*rows horizon 2"],
    truth: Float[Tensor, "*rows horizon 2"],
    known: Bool[Tensor, "*rows horizon"],
) -> Float[Tensor, "*rows"]:
    """Mean Euclidean distance over the known steps, metres (the peers' "ade" is a mean square)."""
    return _known_mean((path - truth).norm(dim=-1), known)


def fde(
    path: Float[Tensor, "*rows horizon 2"],
    truth: Float[Tensor, "*rows horizon 2"],
    known: Bool[Tensor, "*rows horizon"],
) -> Float[Tensor, "*rows"]:
    """Euclidean distance at the last step, metres; NaN where that step is unknown."""
    distance = (path[..., -1, :] - truth[..., -1, :]).norm(dim=-1)
    return torch.where(known[..., -1], distance, torch.nan)


def min_ade(
    paths: Float[Tensor, "*rows modes horizon 2"],
    probability: Float[Tensor, "*rows modes"],
    truth: Float[Tensor, "*rows horizon 2"],
    known: Bool[Tensor, "*rows horizon"],
    k: int,
) -> Float[Tensor, "*rows"]:
    """The smallest ADE among the `k` most likely modes (among all where there are fewer), metres.

    Source: the nuScenes prediction challenge, MinADEK.
    """
    distance = (_top(paths, probability, k) - truth.unsqueeze(-3)).norm(dim=-1)
    return _known_mean(distance, known.unsqueeze(-2)).amin(dim=-1)


def min_fde(
    paths: Float[Tensor, "*rows modes horizon 2"],
    probability: Float[Tensor, "*rows modes"],
    truth: Float[Tensor, "*rows horizon 2"],
    known: Bool[Tensor, "*rows horizon"],
    k: int,
) -> Float[Tensor, "*rows"]:
    """The smallest FDE among the `k` most likely modes, metres; NaN where the last step is unknown.

    Source: the nuScenes prediction challenge, MinFDEK.
    """
    distance = (_top(paths, probability, k)[..., -1, :] - truth[..., None, -1, :]).norm(dim=-1).amin(dim=-1)
    return torch.where(known[..., -1], distance, torch.nan)


def missed(
    path: Float[Tensor, "*rows horizon 2"],
    truth: Float[Tensor, "*rows horizon 2"],
    known: Bool[Tensor, "*rows horizon"],
    radius_m: float = MISS_RADIUS_M,
) -> Float[Tensor, "*rows"]:
    """1 where the path is ever `radius_m` or more from the truth, else 0. A path of NaN has missed.

    Source: the nuScenes prediction challenge, MissRateTopK with the most likely mode.
    """
    distance = (path - truth).norm(dim=-1)
    hit = (~known | (distance < radius_m)).all(dim=-1)
    return torch.where(known.any(dim=-1), (~hit).to(path.dtype), torch.nan)


def directional(
    path: Float[Tensor, "batch windows horizon 2"], against: Yardstick
) -> Float[Tensor, "batch 4"]:
    """How far the path lies left of, right of, in front of and behind the truth: signed means, metres.

    Taken over the steps (of all windows) that are known and have a direction of travel; NaN without any.
    """
    useful = (against.known & against.directed).flatten(1).any(dim=1, keepdim=True)
    return torch.where(useful, objective_values(path, against)[:, 2:], torch.nan)


def succeeded(
    adversarial_ade: Float[Tensor, " batch"], clean_ade: Float[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """1 where the ADE grew by at least 1 m and by at least half of the clean ADE, else 0.

    A prediction that the attack turned into NaN counts: the victim has broken down.
    """
    grown = adversarial_ade - clean_ade >= (SUCCESS_SHARE * clean_ade).clamp_min(SUCCESS_GAIN_M)
    broken = clean_ade.isfinite() & ~adversarial_ade.isfinite()
    return (grown | broken).to(clean_ade.dtype)


def directional_success(
    adversarial: Float[Tensor, "batch 4"], clean: Float[Tensor, "batch 4"]
) -> Float[Tensor, " batch"]:
    """1 where the attack moved the prediction by half a lane or more to one side, forwards or back."""
    gain = (adversarial - clean).amax(dim=-1)
    return torch.where(gain.isnan(), gain, (gain >= HALF_LANE_M).to(gain.dtype))


def stationary(scenes: SceneBatch) -> Bool[Tensor, " batch"]:
    """Which targets cover less than 1 m from the first watched frame to the first unwatched one."""
    end = scenes.attacked + 1
    present = scenes.present[:, 0, :end]
    step = scenes.target[:, :end].diff(dim=1).norm(dim=-1)
    way = torch.where(present[:, 1:] & present[:, :-1], step, 0).sum(dim=1)
    return way < STATIONARY_M


def off_road(
    path: Float[Tensor, "batch windows horizon 2"], lanes: Float[Tensor, "batch lanes points 2"]
) -> Float[Tensor, " batch"]:
    """Share of windows whose path comes more than 2 m from every lane's centre line; NaN without lanes."""
    segments = lanes.shape[1] * max(lanes.shape[2] - 1, 0)
    if segments == 0:
        return path.new_full(path.shape[:1], torch.nan)
    distances = [_lane_distance(window, lanes) for window in path.unbind(1)]  # by window: memory
    farthest = torch.stack(distances, dim=1).amax(dim=-1)
    outside = (farthest > OFF_ROAD_M).to(path.dtype)
    return torch.where(farthest.isfinite(), outside, torch.nan).nanmean(dim=1)


def _lane_distance(
    points: Float[Tensor, "batch points 2"], lanes: Float[Tensor, "batch lanes vertices 2"]
) -> Float[Tensor, "batch points"]:
    """Distance to the nearest lane; infinite where a scene has none, NaN for a point that is NaN."""
    start, step = lanes[:, :, :-1].flatten(1, 2), lanes.diff(dim=2).flatten(1, 2)
    known = (start.isfinite() & step.isfinite()).all(dim=-1)
    start, step = start.nan_to_num(), step.nan_to_num()
    away = points.unsqueeze(2) - start.unsqueeze(1)
    square = step.square().sum(dim=-1).clamp_min(1e-9)
    share = ((away * step.unsqueeze(1)).sum(dim=-1) / square.unsqueeze(1)).clamp(0, 1)
    distance = (away - share.unsqueeze(-1) * step.unsqueeze(1)).norm(dim=-1)
    return torch.where(known.unsqueeze(1), distance, torch.inf).amin(dim=-1)


def _top(paths: Tensor, probability: Tensor, k: int) -> Tensor:
    """The `k` most likely modes, ties by position."""
    order = probability.argsort(dim=-1, descending=True, stable=True)[..., :k]
    return paths.gather(-3, order[..., None, None].expand(*order.shape, *paths.shape[-2:]))


def _known_mean(value: Tensor, known: Tensor) -> Tensor:
    """Mean over the last axis where `known`; NaN (0/0) where nothing is."""
    return torch.where(known, value, torch.zeros_like(value)).sum(dim=-1) / known.sum(dim=-1)
