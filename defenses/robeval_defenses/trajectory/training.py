"""What the defenses that train share: scenes of one window, whose history can change and labels cannot."""

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.kinematics import project
from robeval.domains.trajectory.victims.base import TrajectoryVictim
from robeval.plugins.victim import RobustTraining, Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.trajectory.around import trainable


class HistoryTraining(RobustTraining):
    """Training on changed histories. Write `row_loss`, the loss of scenes of one window."""

    def __init__(self, victim: Victim, seed: Seed, steps: int | None = None) -> None:
        super().__init__(victim, steps)
        trainable(victim)
        self.seed = seed

    @property
    def predictor(self) -> TrajectoryVictim:
        """The victim in training, known to be a trajectory predictor."""
        return trainable(self.victim)

    def row_loss(self, rows: SceneBatch, draw: Draws) -> Float[Tensor, " rows"]:
        """The loss of scenes of one window each; `draw` is fresh in every training step."""
        raise NotImplementedError

    def objective(self, batch: SceneBatch) -> Float[Tensor, " batch"]:
        """The loss of every scene: the mean over its windows."""
        rows = single_windows(batch)
        draw = self.seed.child("step", self.global_step).draws(rows.ids, rows.device)
        return self.row_loss(rows, draw).view(len(batch), batch.windows).mean(dim=1)


def single_windows(batch: SceneBatch) -> SceneBatch:
    """Every window as a scene of its own, the windows of a scene adjacent.

    In a scene of several windows one window's future is another's history; apart, histories can change while
    the truth stays.
    """
    count = batch.windows
    if count == 1:
        return batch
    length = batch.history + batch.horizon

    def cut(value: Tensor, axis: int) -> Tensor:
        return value.unfold(axis, length, 1).movedim(axis, 1).flatten(0, 1)

    rows = batch.repeat(count)
    return rows.replace(
        ids=tuple(f"{name}@{k}" for name in batch.ids for k in range(count)),
        track=cut(batch.track, 2).transpose(-1, -2),
        present=cut(batch.present, 2),
        heading=cut(batch.heading, 2),
        ego=cut(batch.ego, 1).transpose(-1, -2),
        windows=1,
    )


def with_history(rows: SceneBatch, past: Float[Tensor, "rows agents history 2"]) -> SceneBatch:
    """Scenes of one window with other histories and the same futures."""
    return rows.replace(track=torch.cat([past, rows.track[:, :, rows.history :]], dim=2))


def random_offset(
    rows: SceneBatch, draw: Draws, deviation_m: float, probability: float = 1.0
) -> Float[Tensor, "rows history 2"]:
    """For a share of the targets, uniform displacements of all frames, scaled to what can be driven."""
    drawn = draw.uniform(rows.attacked, 2, low=-1.0, high=1.0, dtype=rows.track.dtype)
    chosen = draw.coin(probability)
    return torch.where(chosen.view(-1, 1, 1), feasible(rows, drawn * deviation_m, deviation_m), 0.0)


def feasible(
    rows: SceneBatch, offset: Float[Tensor, "rows history 2"], deviation_m: float
) -> Float[Tensor, "rows history 2"]:
    """`offset` scaled by the largest factor that keeps bounds and deviation; 0 at unseen frames."""
    seen = rows.present[:, 0, : rows.attacked].unsqueeze(-1)
    offset = torch.where(seen, offset, torch.zeros_like(offset))
    return project(offset, rows.target, rows.limits.to(offset.dtype), deviation_m, rows.present[:, 0]).offset
