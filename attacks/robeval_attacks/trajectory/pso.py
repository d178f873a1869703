"""The published black-box search: a particle swarm."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.objectives import Objective
from robeval.optimise.swarm import swarm
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.trajectory.pursuit import Hunt, Pursuit


@dataclass(frozen=True)
class ParticleSwarm(Attack[SceneBatch]):
    """Particles in the box of the budget, every one judged after shrinking it into the bounds; no gradients.

    Source: Zhang et al., arXiv:2201.05057; swarm constants as in the authors' repository.
    Differs: the judged displacement is the one that is returned (theirs returns the particle before
    shrinking, up to 1.25 m under a bound of 1 m); draws are seeded per example; windows are averaged.
    """

    threat = ThreatModel(
        access="score",
        budget=Budget("deviation", "m", 1.0, "how far any observed position of the target may be moved"),
        constraints=("kinematics",),
    )

    objective: Annotated[Objective, Field(description="what to make worse; all: the worst of the six")] = (
        "ade"
    )
    restarts: Annotated[int, Field(ge=1, description="independent swarms, the best is kept")] = 1
    particles: Annotated[int, Field(ge=1, description="particles of a swarm")] = 10
    iterations: Annotated[
        int, Field(ge=1, description="moves of a swarm; one query per particle and move")
    ] = 100
    inertia: Annotated[float, Field(ge=0, description="share of a particle's speed that it keeps")] = 1.0
    own: Annotated[float, Field(ge=0, description="pull towards the particle's own best place")] = 0.5
    shared: Annotated[float, Field(ge=0, description="pull towards the swarm's best place")] = 0.3

    def perturb(self, view: View[SceneBatch], batch: SceneBatch, budget: float, draw: Draws) -> SceneBatch:
        """The best displacement that any particle stood for."""
        hunt = Hunt.of(view, batch, budget, self.objective, self.restarts)
        pursuit = hunt.pursuit(Pursuit)
        like = pursuit.scenes.target[:, : batch.attacked]
        best = swarm(
            pursuit.repeat(self.particles),
            hunt.draws(draw),
            like,
            budget,
            self.particles,
            self.iterations,
            self.inertia,
            self.own,
            self.shared,
        )
        return hunt.catch(best)
