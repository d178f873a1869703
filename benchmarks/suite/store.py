"""A run of a million example records: written, read back, reported."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.arithmetic import middle
from benchmarks.frame import Claim, Figure, Measured
from benchmarks.shell import robeval
from benchmarks.turns import say
from robeval.results.records import BudgetRecord, CellRecord, Cost, MetricRecord, RunRecord
from robeval.results.records import Figure as FigureRecord
from robeval.results.store import Rows, RunFolder

ATTACKS, DEFENSES = 10, 10
EXAMPLES = 10_000
LIMIT_S = 5.0
METRICS = ("ade", "fde", "miss-rate", "harm", "off-road")
EXTRA = ("clean.ade", "success", "spent.deviation", "spent.queries")


def measure(quick: bool) -> Measured:
    """100 cells of 10 000 examples, through the doors that a run uses."""
    examples, rounds = (100, 1) if quick else (EXAMPLES, 3)
    written, read, size = [], [], 0
    cells = [f"{number:012x}" for number in range(ATTACKS * DEFENSES)]
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            path = Path(name) / f"run{number}"
            written.append(_write(path, cells, examples))
            began = time.perf_counter()
            folder = RunFolder(path)
            total = sum(len(folder.rows(cell)) for cell in cells)
            read.append(time.perf_counter() - began)
            say(f"written in {written[-1]:.1f} s, read in {read[-1]:.1f} s")
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        reports = {
            "report, terminal": ("report", path.name),
            "report, Markdown": ("report", path.name, "-f", "markdown", "-o", "report.md"),
            "report, HTML": ("report", path.name, "-f", "html", "--no-pictures", "-o", "report.html"),
        }
        home = Path(name)
        steps = {"write": middle(written, "s"), "read": middle(read, "s")} | {
            label: middle(
                [robeval(words[0], str(path), *words[2:], folder=home).seconds for _ in range(rounds)], "s"
            )
            for label, words in reports.items()
        }
    what = f"{total:,} example records"
    rows: list[tuple[Figure | str, ...]] = [(step, figure) for step, figure in steps.items()]
    rows.append(("size on disk", Figure(value=size / 2**20, unit="MiB")))
    claims = [Claim(what=f"{what}: {step}", figure=figure, at_most=LIMIT_S) for step, figure in steps.items()]
    return Measured(
        columns=(what, "seconds"),
        rows=tuple(rows),
        claims=tuple(claims),
        notes=(
            "Reports are whole processes. Writing is durable: every file and journal line is flushed to disk.",
        ),
    )


def _write(path: Path, cells: list[str], examples: int) -> float:
    """Seconds that storing takes; making the random outcomes is not counted."""
    folder, seconds = RunFolder(path), 0.0
    folder.claim({"benchmark": "store"})
    for record, rows in _outcomes(cells, examples):
        began = time.perf_counter()
        folder.keep_cell("key", record, {"parquet": rows.to_parquet()})
        seconds += time.perf_counter() - began
    folder.write_run(_run(path.name, cells))
    return seconds


def _outcomes(cells: list[str], examples: int) -> Iterator[tuple[CellRecord, Rows]]:
    draw = np.random.default_rng(0)
    texts = {
        "example": [f"synthetic-test-{number:06d}" for number in range(examples)],
        "cluster": [f"scene-{number // 8:05d}" for number in range(examples)],
        "group": [("slow", "medium", "fast")[number % 3] for number in range(examples)],
        "status": ["ok"] * examples,
        "note": [""] * examples,
    }
    for number, cell in enumerate(cells):
        columns = {name: draw.gamma(2.0, 1.5, examples) for name in (*METRICS, *EXTRA)}
        yield _record(cell, number, columns, examples), Rows(texts, columns, {}, {})


def _record(cell: str, number: int, columns: dict[str, np.ndarray], examples: int) -> CellRecord:
    attack, defense = divmod(number, DEFENSES)
    figures = {}
    for name in METRICS:
        value = float(columns[name].mean())
        figures[name] = FigureRecord(
            value=value, low=value - 0.05, high=value + 0.05, unit="m", direction="lower", n=examples
        )
    return CellRecord(
        id=cell,
        domain="trajectory",
        dataset="synthetic",
        victim="lstm",
        attack=f"attack-{attack}" if attack else "none",
        defense=f"defense-{defense}" if defense else "none",
        knowledge="adaptive",
        budget=BudgetRecord(name="deviation", unit="m", value=float(attack > 0)),
        seed=0,
        n=examples,
        invalid=0,
        status="done",
        metrics=figures,
        cost=Cost(forward=100.0, backward=100.0, queries=100.0, seconds=1.0),
        verdict="ok",
        evidence=[],
    )


def _run(name: str, cells: list[str]) -> RunRecord:
    from robeval.engine.environment import environment

    now = datetime.now(UTC).isoformat(timespec="seconds")
    return RunRecord(
        name=name,
        command="robeval run trajectory",
        experiment={"domain": "trajectory"},
        environment=environment(),
        metrics=[MetricRecord(name=name, unit="m", direction="lower", column=name) for name in METRICS],
        cells=cells,
        started=now,
        finished=now,
        seconds=1.0,
        complete=True,
    )
