"""What is kept of a run: one record per cell, one summary per run. The JSON forms are public and versioned."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1

Status = Literal["done", "failed", "n/a", "missing"]
Verdict = Literal["ok", "suspicious", "invalid"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Record):
    """One aggregate: its value, 95 % interval and sample size. None where no example has the value."""

    value: float | None
    low: float | None
    high: float | None
    unit: str
    direction: Literal["higher", "lower"] = Field(description="what is better for the defender")
    n: int = Field(description="examples that the figure is taken over")


class MetricRecord(_Record):
    """What a figure means and how it comes from the per-example table.

    `MetricRecord.model_validate(metric, from_attributes=True)` makes one from a domain's metric.
    """

    name: str
    unit: str
    direction: Literal["higher", "lower"] = Field(description="what is better for the defender")
    meaning: str = ""
    kind: Literal["mean", "proportion"] = "mean"
    column: str = Field(description="the column of the per-example table that is averaged")
    per: str | None = Field(default=None, description="the column whose mean divides, for ratios of means")
    decimals: int = Field(default=2, description="digits behind the point that are worth printing")


class BudgetRecord(_Record):
    """What the attacker was granted."""

    name: str
    unit: str
    value: float


class Cost(_Record):
    """What the attack spent, per example (mean), and the cell's wall time."""

    forward: float = Field(description="rows pushed forward through the victim by the attack, per example")
    backward: float = Field(description="rows differentiated through the victim by the attack, per example")
    queries: float = Field(description="questions to the victim, per example")
    seconds: float = Field(description="wall seconds that the attack took, whole cell")
    overhead: float | None = Field(
        default=None,
        description="attack seconds over the seconds that its passes take alone; None: not measured",
    )
    prepared_queries: float = Field(
        default=0, description="questions that the attack's preparation asked the victim, in all"
    )
    prepared_seconds: float = Field(default=0, description="wall seconds that the preparation took")


class Evidence(_Record):
    """What a trust check found."""

    check: str
    severity: Verdict
    message: str


class CellRecord(_Record):
    """One finished (or failed, or impossible) cell."""

    id: str
    domain: str
    dataset: str
    victim: str
    attack: str
    defense: str
    knowledge: Literal["adaptive", "oblivious"]
    budget: BudgetRecord
    seed: int
    n: int = Field(description="examples evaluated")
    invalid: int = Field(
        description="adversarial examples over budget, NaN or malformed; scored as failed attacks"
    )
    status: Status
    metrics: dict[str, Figure]
    groups: dict[str, dict[str, Figure]] = Field(
        default={}, description="the same figures by group of examples"
    )
    cost: Cost
    verdict: Verdict
    evidence: list[Evidence]
    threat: str = Field(default="", description="the attack's threat model in one line")
    notes: dict[str, int] = Field(default={}, description="examples by what the attack said of them")
    measures: dict[str, Figure] = Field(
        default={}, description="what the attack measured of itself (an imitation's agreement, say): means"
    )
    counter: str = Field(
        default="", description="the counter-measure that the attacker took against a lost gradient"
    )
    winners: dict[str, int] = Field(
        default={}, description="of a worst-of row: on how many examples each attack was the worst"
    )
    observed: dict[str, float] = Field(
        default={}, description="what the engine saw while the attack ran: sums over the examples"
    )
    certified: bool = Field(default=False, description="a proven bound rather than an attack's figure")
    error: str | None = Field(default=None, description="why the cell failed or is n/a")


class Environment(_Record):
    """Where and with what a run was made."""

    robeval: str
    python: str
    platform: str
    packages: dict[str, str]
    device: str
    threads: int
    git: str | None = None


class RunRecord(_Record):
    """`run.json`: everything that is needed to repeat a run."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    name: str
    command: str = Field(description="the command that repeats the run")
    note: str = Field(default="", description="what the figures can be read for, where a profile was run")
    experiment: dict[str, Any]
    environment: Environment
    metrics: list[MetricRecord] = Field(default=[], description="the domain's metrics, the headline first")
    fingerprints: dict[str, str] = Field(
        default={}, description="digests of the domain and of every plugin with its options, code and data"
    )
    cells: list[str] = Field(description="ids of all planned cells, in matrix order")
    started: str
    finished: str | None
    seconds: float
    complete: bool

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PointRecord(_Record):
    """A figure at one budget of a curve, pooled over seeds."""

    budget: float
    value: float | None
    low: float | None
    high: float | None
    n: int
    verdict: Verdict


class CrossingRecord(_Record):
    """The smallest budget at which a curve reaches its threshold; None: not within the budgets that were run."""

    threshold: float
    origin: str = Field(description="where the threshold comes from")
    value: float | None
    low: float | None = Field(description="where the worse end of the confidence band reaches it")
    high: float | None = Field(description="where the better end does")


class CurveRecord(_Record):
    """A security curve: one attack against one defense over several budgets, seeds pooled."""

    dataset: str
    victim: str
    attack: str
    defense: str
    knowledge: Literal["adaptive", "oblivious"]
    counter: str
    metric: str
    budget_name: str
    budget_unit: str
    points: list[PointRecord] = Field(description="by budget; the clean figure at budget 0")
    area: Figure | None = Field(
        description="the mean over the budgets, in the metric's unit; None where a budget has no figure"
    )
    crossing: CrossingRecord | None = Field(description="None without a threshold")
    verdict: Verdict


class GapRecord(_Record):
    """What knowing the defense is worth to the attacker: adaptive minus oblivious, paired by example."""

    dataset: str
    victim: str
    attack: str
    defense: str
    counter: str
    metric: str
    budget: BudgetRecord
    oblivious: float | None
    adaptive: float | None
    difference: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None = Field(description="of the paired test, corrected over all gaps of the metric (Holm)")
    outcome: Literal["relies", "helps", "misled", "none"]
    meaning: str
    verdict: Verdict


class Summary(_Record):
    """`--json` and `report --format json`: the whole run in one document."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    run: RunRecord
    environment: Environment
    cells: list[CellRecord]
    curves: list[CurveRecord] = Field(default=[], description="of the headline, or of the metrics asked for")
    gaps: list[GapRecord] = Field(default=[], description="of the same metrics, at all budgets")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
