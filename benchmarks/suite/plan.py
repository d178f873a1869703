"""How long it takes to plan ten thousand cells."""

from __future__ import annotations

import time

from benchmarks.arithmetic import middle
from benchmarks.frame import Claim, Measured

CELLS, LIMIT_S = 10_000, 2.0
ATTACKS = ("search", "search-plus", "pso", "sa-attack", "noise")
DEFENSES = ("none", "smoothing", "augmentation", "adversarial-training")


def measure(quick: bool) -> Measured:
    """The default trajectory attacks and defenses, over budgets and seeds."""
    from robeval.engine.experiment import build_experiment, specs
    from robeval.engine.plan import Plan, make_plan
    from robeval.plugins.discovery import discover

    # The clean row is there once for all budgets: the asked attacks alone fill the ten thousand.
    seeds = 1 if quick else 50
    experiment = build_experiment(
        domain="trajectory",
        attacks=specs(ATTACKS),
        defenses=specs(DEFENSES),
        budgets=[f"lin:0.1:1:{CELLS // (50 * len(ATTACKS) * len(DEFENSES))}"],
        seeds=seeds,
    )
    plans: list[Plan] = []

    def planned() -> float:
        registry = discover([])
        began = time.perf_counter()
        plans.append(make_plan(experiment, registry))
        return time.perf_counter() - began

    first = planned()  # with everything that has to be imported
    again = middle([planned() for _ in range(2 if quick else 5)], "s")
    cells, fits = len(plans[0].cells), len(plans[0].fits())
    cold = middle([first], "s")
    return Measured(
        columns=("cells", "trainings", "first plan, imports included", "next plans"),
        rows=((f"{cells:,}", f"{fits:,}", cold, again),),
        claims=(
            Claim(what=f"plan of {cells:,} cells, imports included", figure=cold, at_most=LIMIT_S),
            Claim(what=f"plan of {cells:,} cells", figure=again, at_most=LIMIT_S),
        ),
    )
