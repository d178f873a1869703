"""What an author writes: attacks, defenses and domains.

Every hook that is not overridden is the identity, so one base serves an attack on the training data, on the
weights and on the input, and `none` is a plugin like any other. The fields of an attack or a defense (frozen
dataclasses) are its options.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

from robeval.arrays import Batch
from robeval.plugins.defaults import Defaults, Probes
from robeval.plugins.threat import Budget, ThreatModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pytorch_lightning import LightningModule
    from torch import Tensor, nn

    from robeval.plugins.data import Dataset
    from robeval.plugins.victim import Victim
    from robeval.plugins.views import View
    from robeval.seeding import Draws, Seed

B = TypeVar("B", bound=Batch)


class Preparation(ABC):
    """What an attacker does once, before it meets the examples: imitate the victim, fit a universal trigger...

    Subclasses are frozen dataclasses. Attacks with equal preparations against the same victim share one result,
    which `perturb` finds as `view.prepared`.
    """

    @property
    def queries(self) -> int | None:
        """How many questions it may ask the victim in all; None without a limit."""
        return None

    @abstractmethod
    def __call__(self, view: View[Any], data: Dataset, seed: Seed) -> Any:
        """Whatever was learnt. `view` answers about `data.split("train")` within the grant, and counts."""


@dataclass(frozen=True)
class Attack(Generic[B]):
    """Base of all attacks; override the hook where the attack acts.

    The framework checks the result against the budget, judges success, counts cost and makes the draws.
    """

    threat: ClassVar[ThreatModel]
    counts: ClassVar[str] = "iterations"
    """The option that counts its steps; the audit asks for one step. Without such an option it has none."""
    minimal: ClassVar[bool] = False
    """Whether it returns the smallest perturbation that it finds: one run then gives a whole security curve."""
    perturbs: ClassVar[bool] = True
    """False: it only learns or measures (an extraction, the clean row), and no robustness is read off its row."""

    @property
    def grant(self) -> ThreatModel:
        """The threat model under these options; `threat` unless an option changes what the attacker sees."""
        return self.threat

    @property
    def transfers_from(self) -> str | None:
        """The victim plugin whose gradients are used instead: the option `surrogate`, where an attack has one."""
        return getattr(self, "surrogate", None)

    @property
    def preparation(self) -> Preparation | None:
        """What it learns of the victim before it meets the examples, if anything."""
        return None

    def poison(self, data: Dataset, budget: float, seed: Seed) -> Dataset:
        """The training data after the attacker had its hands on it."""
        return data

    def tamper(self, victim: Victim, budget: float, seed: Seed) -> Victim:
        """The trained victim after the attacker had its hands on the weights."""
        return victim

    def perturb(self, view: View[B], batch: B, budget: float, draw: Draws) -> B:
        """The adversarial input for every example of `batch`, same order, same ids."""
        return batch


GradientPath = Literal["exact", "straight-through", "expectation", "none"]


@dataclass(frozen=True)
class Defense:
    """Base of all defenses; override the hooks where the defense acts."""

    gradient: ClassVar[GradientPath] = "exact"
    """How an adaptive attacker differentiates what `harden` adds; "none" means that it cannot."""
    draws: ClassVar[int] = 1
    """Over how many draws of its noise a white-box attacker averages, where `gradient` is "expectation"."""
    warm_start: ClassVar[bool] = False
    """Whether `robustify` starts from the victim trained without the defense."""
    certifies: ClassVar[bool] = False
    """Whether the hardened victim is a `Certifies`: the report then has a certificate row."""

    def sanitize(self, data: Dataset, seed: Seed) -> Dataset:
        """The training data after cleaning."""
        return data

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> LightningModule:
        """What `Trainer.fit` trains: the victim, or a module that holds it and has another objective."""
        return victim

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim as it is deployed: same `forward(batch)`, with whatever acts at inference around it.

        `data` is the (sanitised) data set, for calibration on its `train` or `val` split only.
        """
        return victim


@runtime_checkable
class Certifies(Protocol):
    """A hardened victim that can prove a bound."""

    radius: float
    """The budget up to which the bound holds, in `radius_budget`'s unit."""
    radius_budget: Budget

    def certify(self, batch: Any) -> Mapping[str, Tensor]:
        """Per metric of the domain, the worst value that any input within `radius` can reach: [batch] each."""
        ...


@runtime_checkable
class Detects(Protocol):
    """A hardened victim, or a part of one, that raises an alarm on suspicious inputs."""

    def alarm(self, batch: Any) -> Tensor:
        """How far each example is beyond the threshold, differentiable: [batch]; above 0 is an alarm.

        White-box attacks keep it low through `view.alarm`.
        """
        ...


@dataclass(frozen=True)
class Metric:
    """A figure of a domain: the mean of a per-example value, or a ratio of two means.

    `direction` is what is better for the defender. A NaN value means "does not apply to this example" and is left
    out of both n and the mean. With `per`, the figure is mean(value) / mean(per) over the examples where both apply.
    """

    name: str
    unit: str
    direction: Literal["higher", "lower"]
    meaning: str
    kind: Literal["mean", "proportion"] = "mean"
    value: str | None = None
    per: str | None = None
    decimals: int = 2

    @property
    def column(self) -> str:
        """The per-example value that it summarises."""
        return self.value or self.name


@dataclass(frozen=True)
class Trial(Generic[B]):
    """One judged batch: what went in and what came out, clean and adversarial."""

    victim: nn.Module
    clean: B
    adversarial: B
    clean_output: Any
    output: Any
    original: nn.Module | None = None
    """For pictures: the victim before it was defended, where it was."""


class Domain(ABC, Generic[B]):
    """One kind of problem: its batch, its metrics, its budget check, its pictures."""

    name: ClassVar[str]
    summary: ClassVar[str]
    batch: ClassVar[type[Batch]]
    metrics: ClassVar[tuple[Metric, ...]]
    """The first is the headline."""
    defaults: ClassVar[Defaults]
    probes: ClassVar[Probes] = Probes()
    continuous: ClassVar[tuple[str, ...]] = ()
    """Fields of the batch that a gradient attack moves; empty where inputs are discrete."""
    first_attack: ClassVar[tuple[str, ...]] = ()
    """The body of a first, simple `perturb`, line by line: what `robeval new attack` starts an author with."""

    @abstractmethod
    def score(self, trial: Trial[B]) -> Mapping[str, Tensor]:
        """One value per example for every column that a metric names, and `success` (0 or 1): [batch] each.

        For a figure that only all examples together have, a row of numbers each, [batch, width]; see `settle`.
        """

    def settle(self, name: str, values: Tensor) -> Tensor:
        """One value per example from the rows of numbers that `score` gave for column `name`, all examples at once.

        [examples, width] → [examples]. So a distance between sets (KID, say) does not depend on how the examples were
        cut into batches.
        """
        raise NotImplementedError(
            f"it gives rows of numbers for '{name}' and does not say how to settle them"
        )

    @abstractmethod
    def spent(self, clean: B, adversarial: B) -> Mapping[str, Tensor]:
        """What was really spent, by budget or constraint name: [batch] each.

        Infinite where the attack touched what it may not touch.
        """

    def against(self, victim: nn.Module) -> Domain[B]:
        """The domain as it measures what is spent against this victim (by its own tokenizer, say)."""
        return self

    def problems(self, batch: B) -> Mapping[str, Tensor]:
        """Inputs that are not in their range: what is wrong → bool [batch]."""
        return {}

    @abstractmethod
    def answer(self, output: Any) -> Tensor:
        """The victim's output as one float tensor [batch, ...], for the finiteness and repeatability checks."""

    def reveal(self, output: Any, access: str) -> Any:
        """The part of an output that `access` grants; already detached."""
        return output

    def groups(self, batch: B) -> Sequence[str]:
        """The group of each example (speed regime, topic...); figures are also given by group."""
        return ("",) * len(batch)

    def clusters(self, batch: B) -> Sequence[str]:
        """Examples that share a cluster are not independent (same scene, same query)."""
        return batch.ids

    def picture(self, trial: Trial[B], title: str = "") -> Figure:
        """What a person looks at: one example, clean beside adversarial."""
        raise NotImplementedError(f"domain '{self.name}' draws no pictures yet")
