"""Was the budget kept? Measured by the domain on what came back, never by the attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from robeval.arrays import Batch
from robeval.errors import PluginError
from robeval.plugins.contracts import Attack, Domain
from robeval.plugins.none import NoAttack
from robeval.plugins.threat import ThreatModel

TOLERANCE = 1e-4
"""Relative slack of a budget: float32 positions hundreds of metres from the origin round at 1e-5."""


def check_budget(
    domain: Domain[Any], threat: ThreatModel, budget: float, clean: Batch, adversarial: Batch
) -> tuple[Mapping[str, Tensor], Tensor, Tensor]:
    """What was spent, who is over budget, who is NaN or malformed: measured by the domain, not by the attack."""
    spent = {name: value.detach().cpu().double() for name, value in domain.spent(clean, adversarial).items()}
    limits = {threat.budget.name: budget} | dict.fromkeys(threat.constraints, 1.0)
    over = torch.zeros(len(clean), dtype=torch.bool)
    malformed = torch.zeros(len(clean), dtype=torch.bool)
    for name, limit in limits.items():
        if name not in spent:
            continue
        over |= spent[name] > limit * (1 + TOLERANCE) + TOLERANCE * TOLERANCE
    known = {problem: where.cpu() for problem, where in domain.problems(clean).items()}
    for problem, where in domain.problems(adversarial).items():
        malformed |= where.cpu() & ~known.get(problem, torch.zeros_like(malformed))
    for name, value in spent.items():
        # Infinite: it touched what this measure's threat may not touch. That another threat may not is no fault.
        malformed |= ~value.isfinite() if name in limits else value.isnan()
    return spent, over, malformed


def must_be_measured(attack: Attack[Any], threat: ThreatModel, spent: Mapping[str, Tensor]) -> bool:
    """Whether nobody measured the budget. Raises PluginError when an attack on inputs names an unknown measure."""
    if isinstance(attack, NoAttack):
        return False
    unknown = [name for name in (threat.budget.name, *threat.constraints) if name not in spent]
    if unknown and type(attack).perturb is not Attack.perturb:
        raise PluginError(
            f"{type(attack).__name__} limits '{unknown[0]}', which the domain does not measure. "
            f"It measures: {', '.join(spent)}"
        )
    return bool(unknown)
