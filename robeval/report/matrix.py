"""The matrix of attacks and defenses that every face shows, pooled over seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robeval.plugins.specs import PluginSpec
from robeval.report.pooling import pooled_places
from robeval.results.records import BudgetRecord, CellRecord, Figure, MetricRecord, Status, Summary, Verdict

MARKS: dict[Verdict, str] = {"ok": "", "suspicious": "?", "invalid": "!"}
SEVERITY: tuple[Verdict, ...] = ("ok", "suspicious", "invalid")
_PROGRESS: tuple[Status, ...] = ("done", "failed", "missing", "n/a")
UNASKED = "· not asked for: counter-measures run only where a check calls for them"
LARGEST_ONLY = "several budgets: the largest is shown, the others in the curves below (or with --by-budget)"


@dataclass(frozen=True)
class Row:
    """An attack under one budget and one knowledge, with one counter-measure or none; or a certificate."""

    attack: str
    budget: BudgetRecord
    knowledge: str
    certified: bool
    counter: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is attacked."""
        return self.attack == "none"

    @property
    def grant(self) -> str:
        """The budget and what is unusual, in few words; empty for the clean row."""
        if self.is_clean or self.certified:
            return "proven bound" if self.certified else ""
        unit = f" {self.budget.unit}" if self.budget.unit else ""
        return ", ".join([f"≤ {self.budget.value:g}{unit}", *self.peculiar])

    @property
    def peculiar(self) -> tuple[str, ...]:
        """What is unusual about the attacker: that it does not know the defense, its counter-measure."""
        return peculiar(self.attack, self.knowledge, self.counter)

    @property
    def family(self) -> Row:
        """What the row shares with those that differ in their budget only."""
        return replace(self, budget=self.budget.model_copy(update={"value": 0.0}))

    @property
    def name(self) -> str:
        """What the row is called."""
        return "clean" if self.is_clean else countered(self.attack) or self.attack

    def __str__(self) -> str:
        return f"{self.name} {self.grant}".strip()


@dataclass(frozen=True)
class Entry:
    """One place of a matrix: the cells of all seeds there, and their common figure."""

    cells: tuple[CellRecord, ...]
    figure: Figure | None

    @property
    def done(self) -> tuple[CellRecord, ...]:
        """The seeds that finished."""
        return tuple(cell for cell in self.cells if cell.status == "done")

    @property
    def status(self) -> Status:
        """`done` as soon as one seed is; otherwise what most needs attention."""
        return min((cell.status for cell in self.cells), key=_PROGRESS.index, default="missing")

    @property
    def verdict(self) -> Verdict:
        """The worst over the seeds."""
        return max((cell.verdict for cell in self.done), key=SEVERITY.index, default="ok")

    @property
    def mark(self) -> str:
        """`?` for suspicious, `!` for invalid, nothing for ok."""
        return MARKS[self.verdict]


@dataclass(frozen=True)
class Matrix:
    """One metric of one scenario: attacks as rows, the clean one first, defenses as columns."""

    dataset: str
    victim: str
    metric: MetricRecord
    group: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    entries: dict[tuple[Row, str], Entry]
    is_whole: bool = False
    """Whether every planned cell has a record, so that an empty place was never asked for."""

    def __getitem__(self, place: tuple[Row, str]) -> Entry:
        return self.entries.get(place, Entry((), None))

    @property
    def has_unasked(self) -> bool:
        """Whether there are places where nothing was planned."""
        return self.is_whole and len(self.entries) < len(self.rows) * len(self.columns)

    def was_asked(self, place: tuple[Row, str]) -> bool:
        """Whether a cell was planned there: counter-measures are run only where they are called for."""
        return place in self.entries or not self.is_whole

    def row_names(self) -> dict[Row, str]:
        """What to call the rows: without options where the name says enough."""
        short = short_names(row.name for row in self.rows)
        return {row: short[row.name] for row in self.rows}

    def column_names(self) -> dict[str, str]:
        """What to call the columns: without options where the name says enough."""
        return short_names(self.columns)

    def figures(self) -> Iterator[Figure]:
        """Figures that may be compared: of finished cells whose verdict is ok."""
        for entry in self.entries.values():
            if entry.figure is not None and entry.verdict == "ok" and entry.figure.value is not None:
                yield entry.figure

    def sizes(self) -> set[int]:
        """The different n."""
        return {e.figure.n for e in self.entries.values() if e.figure is not None and e.status == "done"}


def row_of(cell: CellRecord) -> Row:
    """The row that a cell stands in. Every defense proves its own radius, so certificates share one row."""
    if cell.certified:
        return Row(cell.attack, BudgetRecord(name="radius", unit="", value=0), cell.knowledge, True)
    return Row(cell.attack, cell.budget, cell.knowledge, cell.certified, cell.counter)


def countered(attack: str) -> str | None:
    """The attack of a row that takes the worst of it and its counter-measures; None for other rows."""
    if not attack.startswith("worst-of:"):
        return None
    of = PluginSpec.parse(attack).options.get("of")
    return None if of is None else str(of)


def peculiar(attack: str, knowledge: str, counter: str) -> tuple[str, ...]:
    """What is unusual about an attacker, in words."""
    words = (knowledge, counter, "with counter-measures" if countered(attack) else "")
    return tuple(word for word in words if word not in ("adaptive", ""))


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Plugins without their options where that tells them apart."""
    heads = {name: name.partition(":")[0] for name in names}
    count = Counter(heads.values())
    return {name: head if count[head] == 1 else name for name, head in heads.items()}


def families(rows: Iterable[Row]) -> dict[Row, list[Row]]:
    """Attacked rows by what those have in common that differ in their budget only; ascending budgets."""
    found: dict[Row, list[Row]] = {}
    for row in rows:
        if not (row.is_clean or row.certified):
            found.setdefault(row.family, []).append(row)
    return {family: sorted(same, key=lambda row: row.budget.value) for family, same in found.items()}


def at_largest_budgets(matrix: Matrix, most: int = 2) -> Matrix:
    """The matrix with only the largest budget of every attack that has more than `most`."""
    dropped = {row for same in families(matrix.rows).values() if len(same) > most for row in same[:-1]}
    if not dropped:
        return matrix
    kept = {place: entry for place, entry in matrix.entries.items() if place[0] not in dropped}
    return replace(matrix, rows=tuple(row for row in matrix.rows if row not in dropped), entries=kept)


def scenarios(cells: Iterable[CellRecord]) -> dict[tuple[str, str], list[CellRecord]]:
    """The cells by dataset and victim, in the order of the plan."""
    found: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in cells:
        found.setdefault((cell.dataset, cell.victim), []).append(cell)
    return found


def ordered_rows(cells: Iterable[CellRecord]) -> tuple[Row, ...]:
    """Each row once: clean first, attacks as planned, certificates last."""
    rows = dict.fromkeys(map(row_of, cells))
    return tuple(sorted(rows, key=lambda row: (not row.is_clean, row.certified)))


def matrices(
    summary: Summary, folder: Path, metrics: Sequence[MetricRecord], *, by_group: bool = False
) -> list[Matrix]:
    """One matrix per scenario and metric; with `by_group` one more for every group of examples."""
    found = []
    is_whole = len(summary.cells) == len(summary.run.cells)
    for (dataset, victim), cells in scenarios(summary.cells).items():
        rows, columns = ordered_rows(cells), tuple(dict.fromkeys(cell.defense for cell in cells))
        places: dict[tuple[Row, str], list[CellRecord]] = {}
        for cell in cells:
            places.setdefault((row_of(cell), cell.defense), []).append(cell)
        groups = ["", *(sorted({name for cell in cells for name in cell.groups}) if by_group else ())]
        pools = pooled_places(folder, places, metrics, groups)
        for metric in metrics:
            for group in groups:
                entries = {
                    place: Entry(tuple(here), pools[place].get((metric.name, group)))
                    for place, here in places.items()
                }
                found.append(Matrix(dataset, victim, metric, group, rows, columns, entries, is_whole))
    return found
