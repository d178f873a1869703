"""A random displacement within bounds."""

from dataclasses import dataclass

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.budget import complete
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.trajectory.pursuit import deliver, lane, note_where


@dataclass(frozen=True)
class Noise(Attack[SceneBatch]):
    """Moves the target's observed positions at random, as far as a vehicle could have driven: the baseline.

    Uniform in the square of the budget for every frame, then shrunk to the largest feasible scale. One draw:
    without access to the victim there is nothing to choose the better of two by.

    Source: the start of the search in Zhang et al., arXiv:2201.05057.
    """

    threat = ThreatModel(
        access="none",
        budget=Budget("deviation", "m", 1.0, "how far any observed position of the target may be moved"),
        constraints=("kinematics",),
    )

    def perturb(self, view: View[SceneBatch], batch: SceneBatch, budget: float, draw: Draws) -> SceneBatch:
        """Every scene with its target displaced at random."""
        offset = draw.uniform(batch.attacked, 2, low=-budget, high=budget, dtype=batch.track.dtype)
        offset = lane(batch, budget).project(offset).offset
        seen = complete(batch)
        note_where(view, "incomplete", batch, ~seen)
        return deliver(view, batch, offset * seen.view(-1, 1, 1), budget, seen)
