"""Gradient ascent on many independent rows at once, keeping every row's best feasible point."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.arrays import per_example
from robeval.optimise.problem import Best, Looked, Slopes
from robeval.optimise.rules import Rule

TIDY_EVERY = 10


def ascend(
    problem: Slopes,
    start: Float[Tensor, "rows ..."],
    rule: Rule,
    iterations: int,
    patience: int | None = None,
    flat: float = 0.0,
) -> Best:
    """Climb from `start` and return every row's best scored point.

    A row stops after more than `patience` looks without a better value, where the absolute slopes sum to
    less than `flat`, and at a value or slope that is not finite. Stopped rows are left out of later looks.
    """
    if iterations < 1:
        raise ValueError(f"{iterations} iterations: at least one is needed to judge the start")
    looked = problem.look(start)
    best = Best.none(looked.point)
    rows = torch.arange(len(start), device=start.device)
    climbing = torch.ones_like(rows, dtype=torch.bool)
    idle = torch.zeros_like(rows)
    variable = start
    for iteration in range(iterations):
        looked = problem.look(variable) if iteration else looked
        steep = per_example(looked.slope).abs().sum(dim=1)
        finite = _finite(looked, steep)
        best.broken[rows[climbing & ~finite]] = True
        better = best.offer(rows, looked.value, looked.point, climbing & finite)
        best.looked()
        idle = torch.where(better, torch.zeros_like(idle), idle + 1)
        climbing = climbing & finite & (steep >= flat)
        if patience is not None:
            climbing = climbing & (idle <= patience)
        if not climbing.any():
            break
        is_whole = bool(climbing.all())
        moved = problem.move(variable, rule.step(looked.slope if is_whole else looked.slope.nan_to_num()))
        stays = climbing.view(-1, *[1] * (start.dim() - 1))
        variable = moved if is_whole else torch.where(stays, moved, variable)
        if iteration % TIDY_EVERY == TIDY_EVERY - 1 and not is_whole:
            stay = climbing.nonzero().squeeze(-1)
            problem, rule = problem.select(stay), rule.select(stay)
            rows, climbing, idle, variable = rows[stay], climbing[stay], idle[stay], variable[stay]
    return best


def _finite(looked: Looked, steep: Float[Tensor, " rows"]) -> Bool[Tensor, " rows"]:
    # A finite sum has finite parts; only where it is not, the parts (which may merely add up to too much) are asked.
    whole = steep.isfinite()
    if not whole.all():
        whole = per_example(looked.slope).isfinite().all(dim=1)
    return looked.value.isfinite() & whole
