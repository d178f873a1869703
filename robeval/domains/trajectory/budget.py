"""What an attack on a scene really spent, measured on what it returned, and inputs that are out of range."""

from math import prod

import torch
from jaxtyping import Bool
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.kinematics import excess

FARTHEST_M = 1e5
"""A road scene is smaller than 100 km; farther positions were not moved to a local frame."""


def spent(clean: SceneBatch, adversarial: SceneBatch) -> dict[str, Tensor]:
    """Budgets and constraints by name, [batch] each, in the precision of double.

    ``deviation``: the farthest that any attacked frame was displaced, metres. ``l2_deviation``: the norm of
    the whole displacement, metres. ``kinematics``: the largest share of its limit that any motion on the
    whole track takes. All are infinite where a position is NaN or where anything but the target's attacked
    frames was touched.
    Raises ValueError when the batches hold other examples, shapes or types.
    """
    _comparable(clean, adversarial)
    adversarial = adversarial.to(clean.device)
    moved = torch.where(clean.present[:, 0].unsqueeze(-1), adversarial.target.double(), 0)
    still = torch.where(clean.present[:, 0].unsqueeze(-1), clean.target.double(), 0)
    distance = (moved - still)[:, : clean.attacked].norm(dim=-1)
    figures = {
        "deviation": distance.amax(dim=1),
        "kinematics": excess(moved, still, clean.limits.double(), clean.present[:, 0]),
        "l2_deviation": distance.norm(dim=1),
    }
    honest = untouched(clean, adversarial)
    return {name: torch.where(honest & value.isfinite(), value, torch.inf) for name, value in figures.items()}


def untouched(clean: SceneBatch, adversarial: SceneBatch) -> Bool[Tensor, " batch"]:
    """Where everything but the target's positions in attacked, present frames is as it was, bit for bit."""
    mine, theirs = clean.tensors(), adversarial.tensors()
    track, other = mine.pop("track"), theirs.pop("track")
    free = torch.zeros_like(clean.present)
    free[:, 0, : clean.attacked] = clean.present[:, 0, : clean.attacked]
    same = _all(free.unsqueeze(-1) | _equal(track, other))
    for name, value in mine.items():
        same = same & _all(_equal(value, theirs[name]))
    labels = [
        (a, b) == (c, d)
        for a, b, c, d in zip(clean.scene, clean.regime, adversarial.scene, adversarial.regime, strict=True)
    ]
    return same & torch.tensor(labels, dtype=torch.bool, device=same.device)


def problems(batch: SceneBatch) -> dict[str, Tensor]:
    """What is wrong with an input → in which examples: bool [batch]."""
    absent = ~batch.present.unsqueeze(-1)
    broken = ~(batch.track.isfinite() | absent)
    far = (batch.track.abs() > FARTHEST_M) & ~absent & batch.track.isfinite()
    return {
        "a position is NaN or infinite": broken.flatten(1).any(dim=1),
        "the target misses a frame of the attacked span": ~complete(batch),
        "a position is more than 100 km from the origin (not a local frame)": far.flatten(1).any(dim=1),
    }


def complete(batch: SceneBatch) -> Bool[Tensor, " batch"]:
    """Which targets are present in every attacked frame; no other can be attacked."""
    return batch.present[:, 0, : batch.attacked].all(dim=1)


def _equal(first: Tensor, second: Tensor) -> Tensor:
    equal = first == second
    return equal | (first.isnan() & second.isnan()) if first.is_floating_point() else equal


def _all(value: Tensor) -> Tensor:
    """Whether everything holds, per example; a field may have no entries (no lanes) or just one (dt)."""
    return value.reshape(value.shape[0], prod(value.shape[1:])).all(dim=1)


def _comparable(clean: SceneBatch, adversarial: SceneBatch) -> None:
    if clean.ids != adversarial.ids:
        raise ValueError(
            f"the attack returned other examples: expected {_short(clean.ids)}, got {_short(adversarial.ids)}"
        )
    for name in ("history", "horizon", "windows"):
        if getattr(clean, name) != getattr(adversarial, name):
            raise ValueError(
                f"the attack changed '{name}' from {getattr(clean, name)} to {getattr(adversarial, name)}"
            )
    theirs = adversarial.tensors()
    for name, value in clean.tensors().items():
        other = theirs[name]
        if value.shape != other.shape or value.dtype != other.dtype:
            raise ValueError(
                f"the attack returned '{name}' as {other.dtype} {list(other.shape)}, "
                f"expected {value.dtype} {list(value.shape)}"
            )
    for name in ("scene", "regime"):
        if len(getattr(adversarial, name)) != len(clean):
            count = len(getattr(adversarial, name))
            raise ValueError(f"the attack returned {count} values of '{name}', expected {len(clean)}")


def _short(ids: tuple[str, ...]) -> str:
    shown = ", ".join(map(repr, ids[:3]))
    return f"{len(ids)} ({shown}{', ...' if len(ids) > 3 else ''})"
