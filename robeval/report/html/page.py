"""One run as one HTML file: the verdict first, then everything that it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robeval.report.audit import Again, audit_table
from robeval.report.findings import KINDS, Spent, findings, progress, spent
from robeval.report.html.chart import HEIGHT, WIDTH
from robeval.report.html.frame import templates
from robeval.report.html.gallery import LIMIT, NOTHING, RANKS, gallery
from robeval.report.html.heatmap import details, table
from robeval.report.html.ranking import scene
from robeval.report.matrix import matrices, scenarios
from robeval.report.numbers import amount, bounds, number
from robeval.report.summary import chosen_metrics, metrics_of, read_run
from robeval.results.records import Figure, MetricRecord, Summary

OUTCOMES = {"pass": ("✓", "passed"), "flag": ("⚑", "flagged"), "n/a": ("·", "does not apply")}


def html_report(
    folder: Path,
    metrics: Sequence[str] | None = None,
    *,
    by_group: bool = False,
    pictures: int = LIMIT,
    home: str = "",
) -> str:
    """The whole report; all metrics unless some are named, and at most so many pictures.

    `home` is where a link back to the list of runs leads, if there is one.
    Raises UsageError for an unknown metric, StoreError for records that cannot be read.
    """
    summary = read_run(folder)
    page = templates().get_template("report.html")
    content = _matrices(summary, folder, metrics, by_group, pictures) | _trust(summary, folder)
    return page.render(
        run=summary.run,
        made=summary.environment,
        home=home,
        progress=progress(summary),
        domain=next((cell.domain for cell in summary.cells), ""),
        yaml=_yaml(summary.run.experiment),
        **content,
    )


def _matrices(
    summary: Summary, folder: Path, metrics: Sequence[str] | None, by_group: bool, pictures: int
) -> dict[str, Any]:
    """What is made from figures: tables, the verdict and curves of the headline, examples, costs."""
    wanted = chosen_metrics(summary, metrics) if metrics else metrics_of(summary)
    headline = wanted[:1]
    tables = matrices(summary, folder, wanted, by_group=by_group)
    costs = {names: spent(cells) for names, cells in scenarios(summary.cells).items()}
    first = [matrix for matrix in tables if [matrix.metric] == headline and not matrix.group]
    scenes = [scene(matrix, folder) for matrix in first]
    names = {row: name for matrix in first for row, name in matrix.row_names().items()}
    return {
        "tables": [table(m, costs[m.dataset, m.victim], k) for k, m in enumerate(tables)],
        "details": {key: said for matrix in first for key, said in details(matrix).items()},
        "scenes": scenes,
        "chart": (WIDTH, HEIGHT),
        "gallery": gallery(folder, summary, names, pictures) if pictures else NOTHING,
        "first_attack": scenes[0].hardest if scenes else "",
        "ranks": RANKS,
        "costs": [(place, [_cost(cost) for cost in found]) for place, found in costs.items()],
    }


def _trust(summary: Summary, folder: Path) -> dict[str, Any]:
    """What is said of how far the figures can be trusted."""
    audited = audit_table(folder, summary)
    metric = next(iter(metrics_of(summary)), None)
    return {
        "findings": findings(summary),
        "kinds": KINDS,
        "state": _state(summary),
        "audit": audited,
        "again": [_again(one, metric) for one in (audited.again if audited else ())],
        "outcomes": OUTCOMES,
    }


def _state(summary: Summary) -> list[tuple[str, int]]:
    """Cells by what can be said of them."""
    count: Counter[str] = Counter()
    for cell in summary.cells:
        trusted = "trusted" if cell.verdict == "ok" else cell.verdict
        count[trusted if cell.status == "done" else cell.status] += 1
    count["missing"] += len(summary.run.cells) - len(summary.cells)
    order = ("trusted", "suspicious", "invalid", "failed", "missing", "n/a")
    return [(name, count[name]) for name in order if count[name]]


def _again(again: Again, metric: MetricRecord | None) -> dict[str, str]:
    """A flagged figure before and after its counter-measures."""
    return {
        "where": again.where,
        "before": _figure(again.before, metric),
        "after": _figure(again.after, metric),
        "by": again.by,
    }


def _figure(figure: Figure | None, metric: MetricRecord | None) -> str:
    if figure is None or metric is None:
        return "–"
    return f"{number(figure.value, metric)} {bounds(figure, metric)}".rstrip()


def _cost(cost: Spent) -> dict[str, Any]:
    notes = [f"{count} examples {name.replace('_', ' ')}" for name, count in cost.notes.items()]
    notes += [f"{name} {figure}" for name, figure in cost.measures.items()]
    if cost.invalid:
        notes.insert(0, f"{cost.invalid} invalid adversarial examples, scored as failed attacks")
    attacked = not (cost.row.is_clean or cost.row.certified)
    figures = (cost.forward, cost.backward, cost.queries, amount(round(cost.seconds, 1)))
    return {
        "name": cost.row.name,
        "grant": cost.row.grant,
        "threat": cost.threat,
        "figures": figures if attacked else ("", "", "", ""),
        "notes": notes,
    }


def _yaml(experiment: dict[str, Any]) -> str:
    """The document that repeats the run; as it was recorded where this version no longer knows its fields."""
    import yaml
    from pydantic import ValidationError

    from robeval.engine.experiment import Experiment

    try:
        return Experiment.model_validate(experiment).to_yaml()
    except ValidationError:
        return yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True)
