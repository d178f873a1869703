"""A domain whose every figure is known in closed form: points, and a linear classifier.

Under an l_inf budget the worst case moves each point by ``-budget * label * sign(weight)``, so the robust accuracy of
an undefended victim is the share of points whose margin exceeds ``budget * |weight|_1``. The engine's tests, and a
plugin author who wants to see an attack reach the optimum, run on it: ``--plugin`` this file, or call `register`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from pydantic import Field
from torch import Tensor

from robeval.arrays import Batch
from robeval.plugins.contracts import Attack, Domain, Metric, Trial
from robeval.plugins.data import Dataset, Split
from robeval.plugins.defaults import Defaults, Probes, Profile
from robeval.plugins.registry import Registry
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.victim import Victim
from robeval.plugins.views import View
from robeval.seeding import Draws, Seed

WEIGHT = (1.0, -2.0)
UNBOUNDED = 20.0
"""No point of the embedded data is farther from the line."""


@dataclass(frozen=True)
class Points(Batch):
    """Points in the plane and their labels, -1 or 1."""

    point: Float[Tensor, "batch 2"]
    label: Float[Tensor, " batch"]


class LinearDomain(Domain[Points]):
    """Is a point on the right side of a line?"""

    name: ClassVar[str] = "linear"
    summary: ClassVar[str] = "points and a line: every worst case is known"
    batch: ClassVar[type[Batch]] = Points
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "", "higher", "share of points on the right side", kind="proportion"),
        Metric("margin", "", "higher", "signed distance to the line, in units of |weight|"),
        Metric("success", "", "lower", "share of right answers that the attack turned", kind="proportion"),
    )
    defaults: ClassVar[Defaults] = Defaults(
        "points",
        "line",
        ("none", "worst"),
        ("none",),
        profiles={
            "fast": Profile(
                "a quarter of the points and a random attack",
                attacks=("none", "random-corner"),
                max_examples=16,
            )
        },
    )
    probes: ClassVar[Probes] = Probes(
        random="random-corner", black_box="random-search", strong="steps", weak="faint"
    )
    continuous: ClassVar[tuple[str, ...]] = ("point",)

    first_attack: ClassVar[tuple[str, ...]] = (
        "# Every point to a random corner of the box that the budget allows.",
        "side = 2.0 * draw.coin(0.5, 2) - 1.0",
        "return batch.replace(point=batch.point + budget * side)",
    )

    def score(self, trial: Trial[Points]) -> Mapping[str, Tensor]:
        """Accuracy, margin and success of every point: [batch] each."""
        margin = trial.output * trial.clean.label
        was_right = (trial.clean_output * trial.clean.label) > 0
        # NaN compares as wrong here on purpose: the framework, not the domain, must notice it.
        return {
            "accuracy": (margin > 0).double(),
            "margin": margin,
            "success": (was_right & ~(margin > 0)).double(),
        }

    def spent(self, clean: Points, adversarial: Points) -> Mapping[str, Tensor]:
        """The l_inf distance; infinite where a label was changed."""
        distance = (adversarial.point - clean.point).abs().amax(dim=1)
        relabelled = adversarial.label != clean.label
        return {"distance": torch.where(relabelled, torch.full_like(distance, torch.inf), distance)}

    def problems(self, batch: Points) -> Mapping[str, Tensor]:
        """Points that are NaN or outside [-100, 100]."""
        outside = ~(batch.point.abs() <= 100).all(dim=1)
        return {"a coordinate outside [-100, 100] or NaN": outside}

    def answer(self, output: Tensor) -> Tensor:
        """The scores themselves."""
        return output

    def reveal(self, output: Tensor, access: str) -> Any:
        """Scores, or their sign for decision access."""
        return output.sign() if access == "decision" else output

    def groups(self, batch: Points) -> list[str]:
        """The class of each point."""
        return ["positive" if label > 0 else "negative" for label in batch.label.tolist()]

    def picture(self, trial: Trial[Points], title: str = "") -> Figure:
        """Arrows from clean to adversarial points."""
        figure = Figure(figsize=(4, 4))
        axes = figure.add_subplot()
        axes.set_title(title)
        start, end = trial.clean.point.cpu(), trial.adversarial.point.cpu()
        axes.quiver(*start.T, *(end - start).T, angles="xy", scale_units="xy", scale=1)
        axes.axline((0, 0), slope=-WEIGHT[0] / WEIGHT[1], color="grey")
        return figure


class PointData(Dataset):
    """Seeded Gaussian points, labelled by the line."""

    domain: ClassVar[str] = "linear"

    def __init__(
        self,
        count: Annotated[int, Field(ge=1, description="test points")] = 64,
        seed: Annotated[int, Field(ge=0, description="seed of the points")] = 0,
    ) -> None:
        super().__init__()
        self.count = count
        self.seed = seed

    def load(self, split: Split) -> Points:
        """The points of a split, in seeded order."""
        ids = tuple(f"{split}-{number}" for number in range(self.count))
        point = Seed(self.seed).child("points").draws(ids).normal(2)
        label = torch.where((point * torch.tensor(WEIGHT)).sum(1) > 0, 1.0, -1.0)
        return Points(ids, point, label)


class Line(Victim):
    """The line itself: nothing to train."""

    domain: ClassVar[str] = "linear"

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(WEIGHT))

    def forward(self, batch: Points) -> Tensor:
        """Signed score of every point: [batch]."""
        return (batch.point * self.weight).sum(dim=1)


class FittedLine(Line):
    """A line fitted by logistic regression."""

    train_batch_size = 64
    learning_rate = 0.1

    def __init__(self, steps: Annotated[int, Field(ge=1, description="training steps")] = 20) -> None:
        super().__init__()
        self.steps = steps
        self.weight = torch.nn.Parameter(torch.randn(2))

    def loss(self, batch: Points) -> Tensor:
        """Logistic loss: [batch]."""
        return torch.nn.functional.softplus(-self(batch) * batch.label)


@dataclass(frozen=True)
class WorstCase(Attack[Points]):
    """One signed gradient step of the whole budget: exact against a line.

    Source: closed form.
    """

    threat = ThreatModel(
        "white-box", Budget("distance", "", 0.5, "largest change of a coordinate", UNBOUNDED)
    )
    surrogate: Annotated[str | None, Field(description="victim whose gradients are used instead")] = None

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        """Every point moved against its label."""
        point = batch.point.clone().requires_grad_()
        score = view(batch.replace(point=point)) * batch.label
        (slope,) = torch.autograd.grad(score.sum(), point)
        return batch.replace(point=batch.point - budget * slope.sign())


@dataclass(frozen=True)
class RandomCorner(Attack[Points]):
    """A random corner of the budget's box.

    Source: a baseline; every attack must beat it.
    """

    threat = ThreatModel("none", Budget("distance", "", 0.5, "largest change of a coordinate"))

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        """Every point moved to a corner."""
        return batch.replace(point=batch.point + budget * (2.0 * draw.coin(0.5, 2) - 1.0))


@dataclass(frozen=True)
class Steps(Attack[Points]):
    """Signed gradient steps of a share of the budget each; the best point is kept.

    Source: projected gradient descent, Madry et al., arXiv:1706.06083.
    """

    threat = ThreatModel(
        "white-box", Budget("distance", "", 0.5, "largest change of a coordinate", UNBOUNDED)
    )
    iterations: Annotated[int, Field(ge=1, description="gradient steps")] = 10
    share: Annotated[float, Field(gt=0, description="of the budget, a step")] = 0.25

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        """The worst point on the way down the margin."""
        point, best = batch.point, batch.point
        worst = torch.full_like(batch.label, torch.inf)
        trace = []
        for _ in range(self.iterations + 1):
            point = point.detach().requires_grad_()
            margin = view(batch.replace(point=point)) * batch.label
            (slope,) = torch.autograd.grad(margin.sum(), point)
            better = margin.detach() < worst
            worst = torch.where(better, margin.detach(), worst)
            best = torch.where(better.unsqueeze(1), point.detach(), best)
            trace.append(-worst.sum())
            moved = point.detach() - self.share * budget * slope.sign()
            point = torch.clamp(moved, batch.point - budget, batch.point + budget)
        view.trace(torch.stack(trace))
        return batch.replace(point=best)


@dataclass(frozen=True)
class Faint(Attack[Points]):
    """A random corner behind a show of asking for gradients: known to be weak.

    Source: a canary; `random-noise` must object to it.
    """

    threat = ThreatModel(
        "white-box", Budget("distance", "", 0.5, "largest change of a coordinate", UNBOUNDED)
    )

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        """Every point moved to a corner, whatever the slope says."""
        point = batch.point.clone().requires_grad_()
        torch.autograd.grad(view(batch.replace(point=point)).sum(), point)
        return batch.replace(point=batch.point + budget * (2.0 * draw.coin(0.5, 2) - 1.0))


@dataclass(frozen=True)
class RandomSearch(Attack[Points]):
    """The worst of many random corners, by the victim's scores alone.

    Source: a baseline; in the plane it tries every corner soon.
    """

    threat = ThreatModel("score", Budget("distance", "", 0.5, "largest change of a coordinate", UNBOUNDED))
    tries: Annotated[int, Field(ge=1, description="random corners")] = 16

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        """Every point at the corner with the smallest margin."""
        many = batch.repeat(self.tries)
        corner = budget * (2.0 * draw.coin(0.5, self.tries, 2) - 1.0)
        many = many.replace(point=many.point + corner.flatten(0, 1))
        margin = (view(many) * many.label).view(-1, self.tries)
        chosen = margin.argmin(dim=1) + torch.arange(len(batch)) * self.tries
        return batch.replace(point=many.point[chosen])


def register(registry: Registry) -> None:
    """Name everything; the classes are at hand."""
    registry.domain("linear", LinearDomain)
    registry.dataset("linear/points", PointData)
    registry.victim("linear/line", Line)
    registry.victim("linear/fitted-line", FittedLine)
    registry.attack("linear/worst", WorstCase)
    registry.attack("linear/steps", Steps)
    registry.attack("linear/faint", Faint)
    registry.attack("linear/random-search", RandomSearch)
    registry.attack("linear/random-corner", RandomCorner)
