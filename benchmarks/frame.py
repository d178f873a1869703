"""What a benchmark gives back and what is kept of it. The JSON forms are read again by the next run."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class NotHere(Exception):
    """A benchmark cannot be measured on this machine; the message says what it lacks."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Record):
    """A measured value; where it was measured several times, the median, the lowest and the highest."""

    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    rounds: int = 1

    def __str__(self) -> str:
        """`1.2 s (1.1 to 1.4)`."""
        unit = f" {self.unit}" if self.unit else ""
        if self.low is None or self.high is None:
            return f"{shown(self.value)}{unit}"
        return f"{shown(self.value)}{unit} ({shown(self.low)} to {shown(self.high)})"


class Claim(_Record):
    """A sentence of the README, its figure and what the figure must not exceed or fall below."""

    what: str
    figure: Figure
    at_most: float | None = None
    at_least: float | None = None

    @property
    def held(self) -> bool | None:
        """Whether the aim is met; None without an aim."""
        if self.at_most is None and self.at_least is None:
            return None
        high = self.at_most is None or self.figure.value <= self.at_most
        return high and (self.at_least is None or self.figure.value >= self.at_least)

    @property
    def aim(self) -> str:
        """`≤ 2 s`, or nothing."""
        unit = f" {self.figure.unit}" if self.figure.unit else ""
        ends = (("≤", self.at_most), ("≥", self.at_least))
        return " and ".join(f"{sign} {shown(end)}{unit}" for sign, end in ends if end is not None)


class Measured(_Record):
    """What one benchmark found: a table, the claims that rest on it, remarks."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Figure | str, ...], ...]
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()


class Machine(_Record):
    """Where it was measured, and how busy the machine was when it began."""

    processor: str
    cores: int
    memory_gib: float
    accelerator: str = ""
    versions: dict[str, str]
    git: str = ""
    load: float | None = None

    def __str__(self) -> str:
        """One line without the load."""
        accelerator = self.accelerator or "no accelerator"
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{self.cores} cores ({self.processor}), {self.memory_gib:.0f} GiB, {accelerator}, {versions}"


class Kept(_Record):
    """One benchmark's file: its last figures, and why the last attempt gave none, if it did not."""

    name: str
    measured: Measured | None = None
    machine: Machine | None = None
    date: str = ""
    seconds: float = 0.0
    quick: bool = False
    absent: str = ""
    """What this machine lacks (the figures, if any, are from an earlier one)."""
    failed: str = ""
    """The error of the last attempt (the figures, if any, are from an earlier one)."""


def shown(value: float) -> str:
    """Three digits, whole numbers beyond a thousand: 0.0123, 4.57, 123, 12,346."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
