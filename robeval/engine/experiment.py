"""What a user asks for: one typed document, written as YAML or as flags."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from robeval.engine.sizes import in_bytes
from robeval.errors import ExperimentError, MissingFile, nearest
from robeval.plugins.specs import PluginSpec, Spec


def _many(value: Any) -> Any:
    """One item may stand for a list of one."""
    return value if value is None or isinstance(value, list | tuple) else [value]


Many = BeforeValidator(_many)


def budget_grid(value: Any) -> Any:
    """Budgets in ascending order; `log:LOW:HIGH:COUNT` and `lin:LOW:HIGH:COUNT` stand for a grid."""
    if not isinstance(value, list | tuple):
        return value
    found: list[Any] = []
    for item in value:
        found.extend(_grid(item) if isinstance(item, str) and ":" in item else [item])
    try:
        return tuple(sorted({float(item) for item in found}))
    except (TypeError, ValueError):
        return tuple(found)  # pydantic says what is wrong with which


def _grid(text: str) -> list[float]:
    kind, *numbers = text.split(":")
    try:
        low, high, count = float(numbers[0]), float(numbers[1]), int(numbers[2])
        good = kind in ("log", "lin") and len(numbers) == 3 and count >= 2 and 0 <= low < high < float("inf")
    except (IndexError, ValueError):
        good = False
    if not good or (kind == "log" and low == 0):
        raise ValueError(
            f"'{text}' is no grid of budgets; write log:LOW:HIGH:COUNT or lin:LOW:HIGH:COUNT, "
            "0 < LOW < HIGH, COUNT ≥ 2, for example log:0.01:1:6"
        )
    import numpy as np

    grid = np.geomspace(low, high, count) if kind == "log" else np.linspace(low, high, count)
    return [float(f"{budget:.6g}") for budget in grid]


class Execution(BaseModel):
    """How cells are executed; none of it changes a figure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    executor: Literal["local", "processes", "ray"] = Field(
        default="local", description="where cells are computed: here, in processes beside, on a Ray cluster"
    )
    jobs: int | None = Field(default=None, ge=1, description="workers; as many as cores if null")
    address: str | None = Field(default=None, description="of a Ray cluster; a local one is started if null")
    batch_size: int = Field(default=128, ge=1, description="examples attacked together")
    max_memory: str | None = Field(
        default=None,
        description="memory that the process (on a GPU: its tensors) may hold, 2GiB say; batches shrink to fit",
    )
    loggers: Annotated[tuple[Literal["csv", "tensorboard", "mlflow", "wandb"], ...], Many] = Field(
        default=(), description="experiment trackers that are told of the run"
    )
    accelerator: str = Field(default="auto", description="Lightning's accelerator")
    devices: int | str = Field(default=1, description="devices that a cell spans; auto: all GPUs")
    precision: str = Field(default="32-true", description="Lightning's precision")
    cell_timeout: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="seconds that a cell, and each training, may take",
    )

    @field_validator("max_memory", mode="before")
    @classmethod
    def _size(cls, size: str | int | None) -> str | None:
        if size is not None:
            in_bytes(size)
        return None if size is None else str(size)

    @property
    def most_bytes(self) -> int | None:
        """`max_memory` in bytes."""
        return None if self.max_memory is None else in_bytes(self.max_memory)


class Experiment(BaseModel):
    """Which combinations to run. Empty lists mean the domain's defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: str = "trajectory"
    profile: str | None = Field(
        default=None,
        description="the domain's variant that fills what is left empty here (`robeval show DOMAIN`)",
    )
    datasets: Annotated[tuple[Spec, ...], Many] = ()
    victims: Annotated[tuple[Spec, ...], Many] = ()
    attacks: Annotated[tuple[Spec, ...], Many] = ()
    defenses: Annotated[tuple[Spec, ...], Many] = ()
    budgets: Annotated[tuple[float, ...], BeforeValidator(budget_grid), Many] = Field(
        default=(),
        description="budgets of every attack, in its unit: numbers, or log:LOW:HIGH:COUNT; empty: each attack's own",
    )
    worst_of: bool = Field(
        default=False,
        description="a further row: per example, the worst of all attacks of equal or weaker access",
    )
    knowledge: Annotated[tuple[Literal["adaptive", "oblivious"], ...], Many] = ("adaptive",)
    seeds: int = Field(default=1, ge=1, description="how many seeds; victims are trained anew for each")
    seed: int = Field(default=0, ge=0, description="the first seed")
    max_examples: int | None = Field(
        default=None, ge=1, description="test examples, a seeded choice; all if null"
    )
    plugins: Annotated[tuple[str, ...], Many] = Field(
        default=(), description="files that register guest plugins"
    )
    execution: Execution = Execution()

    @field_validator("budgets")
    @classmethod
    def _sensible(cls, budgets: tuple[float, ...]) -> tuple[float, ...]:
        for budget in budgets:
            if not 0 <= budget < float("inf"):
                raise ValueError(f"a budget must be a finite number ≥ 0, not {budget:g}")
        return budgets

    def to_yaml(self) -> str:
        """The document that repeats the run."""
        content = self.model_dump(mode="json")
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def asked(self) -> dict[str, Any]:
        """Everything that can change a figure, ready for JSON: execution is left out."""
        left_out = {"execution"} if self.profile else {"execution", "profile"}
        return self.model_dump(mode="json", exclude=left_out)

    def identity(self) -> str:
        """A short digest of what is asked, execution left out."""
        text = yaml.safe_dump(self.asked(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def read_experiment(path: Path) -> Experiment:
    """The experiment in a YAML file.

    Raises MissingFile, or ExperimentError naming file, line, place and the nearest right key.
    """
    if not path.is_file():
        raise MissingFile(path, "Write one with: robeval run DOMAIN ... --save-config FILE --dry-run")
    text = path.read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text)
        lines = dict(_lines(yaml.compose(text)))
    except yaml.YAMLError as error:
        raise ExperimentError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ExperimentError(
            f"{path} must hold a mapping (domain: ..., attacks: [...]), not {type(content).__name__}"
        )
    content.pop("schema", None)
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise ExperimentError(_explained(error, str(path), lines)) from None


def build_experiment(**fields: Any) -> Experiment:
    """The experiment that flags describe. Raises ExperimentError."""
    try:
        return Experiment.model_validate(fields)
    except ValidationError as error:
        raise ExperimentError(_explained(error, "command line", {})) from None


def _explained(error: ValidationError, where: str, lines: dict[tuple[Any, ...], int]) -> str:
    parts = []
    for problem in error.errors():
        place = tuple(problem["loc"])
        line = next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), None)
        dotted = ".".join(str(step) for step in place) or "document"
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            known = Execution.model_fields if place[:1] == ("execution",) else Experiment.model_fields
            near = nearest(str(place[-1]), known)
            text = (
                "unknown key."
                + (f" Did you mean '{near[0]}'?" if near else "")
                + f" Known: {', '.join(known)}"
            )
        elif "input" in problem and not isinstance(problem["input"], dict | list | tuple):
            text += f" (got {problem['input']!r})"
        parts.append(f"{where}{f', line {line}' if line else ''}: {dotted}: {text}")
    return "\n".join(parts)


def _lines(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, key.value)
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark.line + 1
            yield from _lines(value, (*place, number))


def specs(texts: tuple[str, ...]) -> tuple[PluginSpec, ...]:
    """Plugin specs as they are typed in a shell."""
    return tuple(PluginSpec.parse(text) for text in texts)
