"""The attack inside a defense: a few normalised gradient steps, kept within what a vehicle can drive."""

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.objectives import objective_values, yardstick
from robeval.domains.trajectory.victims.base import Predictor
from robeval_defenses.trajectory.training import feasible


def worst_offset(
    predictor: Predictor, rows: SceneBatch, steps: int, step_m: float, deviation_m: float
) -> Float[Tensor, "rows attacked 2"]:
    """A displacement of the targets' histories that raises the squared error of the most likely path.

    Each step moves the most sensitive frame by `step_m`, the others in proportion, and projects. The
    predictor is in evaluation mode meanwhile: without dropout its most likely path has one gradient.
    """
    training = predictor.training
    predictor.eval()
    against = yardstick(rows)
    offset = torch.zeros_like(rows.target[:, : rows.attacked])
    try:
        # cuDNN's recurrent layers have no backward pass in evaluation mode.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            for _ in range(steps):
                offset = offset.detach().requires_grad_()
                path = predictor(rows.moved(offset)).most_likely()
                error = objective_values(path, against)[:, 0]
                (slope,) = torch.autograd.grad(error.sum(), offset)
                steepest = slope.norm(dim=-1).amax(dim=-1).view(-1, 1, 1)
                step = step_m * slope / steepest.clamp_min(1e-12)
                offset = feasible(rows, offset.detach() + step, deviation_m)
    finally:
        predictor.train(training)
    return offset.detach()
