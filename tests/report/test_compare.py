"""What a comparison of two runs finds, on runs whose differences are made by hand."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robeval.errors import UsageError
from robeval.report.compare import compare_runs
from robeval.report.compare_model import Change, RunComparison
from robeval.results.audit import AuditEntry, AuditRecord, write_audit
from robeval.results.journal import Journal
from tests.report.synthetic_run import figures, write_run

Table = dict[str, list[Any]]
Edit = Callable[[Table], None]


class Rewritten:
    """A copy of a run in which single cells can be changed."""

    def __init__(self, source: Path, target: Path) -> None:
        self.folder = Path(shutil.copytree(source, target))

    def cells(self, **where: Any) -> list[dict[str, Any]]:
        """The records with these values."""
        records = [json.loads(path.read_text()) for path in sorted((self.folder / "cells").glob("*.json"))]
        return [r for r in records if all(r[name] == value for name, value in where.items())]

    def edit(self, change: Edit, **where: Any) -> None:
        """Change the examples of some cells, and their figures with them."""
        for record in self.cells(**where):
            path = self.folder / "examples" / f"{record['id']}.parquet"
            table = pq.read_table(path).to_pydict()
            change(table)
            pq.write_table(pa.table(table), path)
            with np.errstate(invalid="ignore"):
                found = figures(table)
            self.record(record, metrics=found, n=len(table["example"]))

    def record(self, record: dict[str, Any], **changes: Any) -> None:
        """Change fields of a record."""
        path = self.folder / "cells" / f"{record['id']}.json"
        path.write_text(json.dumps(record | changes))

    def run(self, **changes: Any) -> None:
        """Change fields of run.json."""
        path = self.folder / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def copy(single_seed_run: Path, tmp_path: Path) -> Rewritten:
    """A copy of the run with one seed."""
    return Rewritten(single_seed_run, tmp_path / "copy")


def _raised(by: float, noise: float = 0.2) -> Edit:
    rng = np.random.default_rng(1)

    def change(table: Table) -> None:
        table["ade"] = (np.array(table["ade"]) + by + noise * rng.normal(size=len(table["ade"]))).tolist()

    return change


def _change(found: RunComparison, attack: str, defense: str, knowledge: str = "adaptive") -> Change:
    (change,) = [
        c
        for c in found.changes
        if (c.place.row.attack, c.place.defense, c.place.row.knowledge) == (attack, defense, knowledge)
    ]
    return change


def test_a_run_does_not_differ_from_itself(single_seed_run: Path) -> None:
    """Every quotable cell is the same in every example, with p = 1."""
    found = compare_runs(single_seed_run, single_seed_run)
    quotable = [change for change in found.changes if change.comparison is not None]
    assert len(quotable) == found.family > 20
    assert {change.outcome for change in quotable} == {"identical"}
    assert {change.p for change in quotable} == {1.0}
    assert found.only_before == found.only_after == found.differences == ()


def test_worse_stands_before_better_and_both_before_the_rest(single_seed_run: Path, copy: Rewritten) -> None:
    """Significant worsening first, by size; directions are the defender's."""
    copy.edit(_raised(+0.3), attack="noise", defense="none")
    copy.edit(_raised(+0.9), attack="noise", defense="augmentation")
    copy.edit(_raised(-0.3), attack="none", defense="none")
    found = compare_runs(single_seed_run, copy.folder)
    first = [(c.place.row.attack, c.place.defense, c.outcome) for c in found.changes[:3]]
    assert first == [
        ("noise", "augmentation", "worse"),
        ("noise", "none", "worse"),
        ("none", "none", "better"),
    ]
    assert {c.outcome for c in found.changes[3:]} <= {"untested", "identical"}


def test_a_higher_figure_is_better_where_the_metric_says_so(tmp_path: Path, copy: Rewritten) -> None:
    """An accuracy that rose is better, one that fell is worse."""
    metrics = json.loads((copy.folder / "run.json").read_text())["metrics"]
    copy.run(metrics=[metric | {"direction": "higher"} for metric in metrics])
    plain = Rewritten(copy.folder, tmp_path / "plain")
    copy.edit(_raised(+0.9), attack="noise", defense="none")
    outcomes = [
        _change(compare_runs(*runs), "noise", "none").outcome
        for runs in ((plain.folder, copy.folder), (copy.folder, plain.folder))
    ]
    assert outcomes == ["better", "worse"]


def test_the_difference_is_that_of_the_pairs(single_seed_run: Path, copy: Rewritten) -> None:
    """Before and after are the cell's means, the difference is small against their own intervals."""
    copy.edit(_raised(+0.3), attack="noise", defense="none")
    change = _change(compare_runs(single_seed_run, copy.folder), "noise", "none")
    assert change.comparison is not None
    low, high = change.comparison.difference[1:3]
    assert change.comparison.first == pytest.approx(change.before.cells[0].metrics["ade"].value)
    assert change.comparison.second == pytest.approx(change.after.cells[0].metrics["ade"].value)
    assert change.comparison.paired
    assert low < 0.3 < high  # type: ignore[operator]
    assert high - low < 0.12  # type: ignore[operator]
    assert change.comparison.clusters == 48


def test_p_values_are_corrected_over_the_whole_family(single_seed_run: Path, copy: Rewritten) -> None:
    """The smallest p-value is multiplied by the number of comparisons, also over several metrics."""
    copy.edit(_raised(+0.9), attack="noise", defense="augmentation")
    one = compare_runs(single_seed_run, copy.folder)
    two = compare_runs(single_seed_run, copy.folder, ["ade", "success"])
    assert two.family == 2 * one.family
    for found in (one, two):
        change = found.changes[0]
        assert change.comparison is not None
        assert change.p == pytest.approx(found.family * change.comparison.p)  # type: ignore[operator]
        assert change.p < 0.05


def test_alpha_decides_what_is_significant(single_seed_run: Path, copy: Rewritten) -> None:
    """A stricter level turns the same worsening into no shown difference."""
    copy.edit(_raised(+0.05, noise=0.1), attack="noise", defense="none")
    p = _change(compare_runs(single_seed_run, copy.folder), "noise", "none").p
    assert p is not None
    found = [compare_runs(single_seed_run, copy.folder, alpha=p * factor) for factor in (1.01, 0.99)]
    assert [_change(f, "noise", "none").outcome for f in found] == ["worse", "same"]


def test_no_shown_difference_says_what_would_have_shown(single_seed_run: Path, copy: Rewritten) -> None:
    """The detectable difference is that of the corrected level, so larger than the interval's half width."""
    copy.edit(_raised(0.0, noise=1.0), attack="noise", defense="none")
    change = _change(compare_runs(single_seed_run, copy.folder), "noise", "none")
    assert change.outcome == "same"
    assert change.comparison is not None
    assert change.detectable is not None
    assert change.detectable > 1.2 * change.comparison.detectable()  # type: ignore[operator]
    low, high = change.comparison.difference[1:3]
    assert change.detectable > (high - low) / 2  # type: ignore[operator]


def test_an_improvement_of_a_suspicious_cell_is_not_celebrated(
    single_seed_run: Path, copy: Rewritten
) -> None:
    """search × smoothing is suspicious in both runs: far better figures are doubtful, worse ones are worse."""
    name = "search:restarts=4,iterations=50"
    copy.edit(_raised(-1.0), attack=name, defense="smoothing", knowledge="adaptive")
    there = compare_runs(single_seed_run, copy.folder)
    back = compare_runs(copy.folder, single_seed_run)
    assert _change(there, name, "smoothing").outcome == "doubtful"
    assert _change(back, name, "smoothing").outcome == "worse"


def test_a_new_mark_is_shown_although_the_figure_stayed(single_seed_run: Path, copy: Rewritten) -> None:
    """ok before, suspicious after: doubtful, before everything that is merely the same."""
    (record,) = copy.cells(attack="noise", defense="none")
    copy.record(record, verdict="suspicious")
    change = _change(compare_runs(single_seed_run, copy.folder), "noise", "none")
    assert change.outcome == "doubtful"
    assert change.comparison is not None
    assert change.comparison.difference.value == 0


def test_a_figure_that_was_suspicious_is_said_to_have_flattered(
    single_seed_run: Path, copy: Rewritten
) -> None:
    """An honest figure after a suspicious one may be worse without anything having got worse."""
    name = "search:restarts=4,iterations=50"
    (record,) = copy.cells(attack=name, defense="smoothing", knowledge="adaptive")
    copy.record(record, verdict="ok", evidence=[])
    copy.edit(_raised(+1.0), attack=name, defense="smoothing", knowledge="adaptive")
    change = _change(compare_runs(single_seed_run, copy.folder), name, "smoothing")
    assert change.outcome == "worse"
    assert any("may have flattered" in note for note in change.notes)


@pytest.mark.parametrize("side", ["before", "after"])
def test_an_audit_of_one_run_alone_is_said(single_seed_run: Path, copy: Rewritten, side: str) -> None:
    """A cell that the audit flagged before cannot become better in a run that nobody audited."""
    (record,) = copy.cells(attack="noise", defense="none")
    flag = AuditEntry(
        check="one-step", cell=record["id"], outcome="flag", severity="suspicious", evidence="one step won"
    )
    write_audit(copy.folder, AuditRecord(checks=[], examples=96, seconds=0.0, entries=[flag]))
    plain = Rewritten(single_seed_run, copy.folder.parent / "plain")
    plain.edit(_raised(-0.5 if side == "before" else 0.5), attack="noise", defense="none")
    runs = (copy.folder, plain.folder) if side == "before" else (plain.folder, copy.folder)
    found = compare_runs(*runs)
    assert f"only the run {side} was audited" in " ".join(found.caveats)
    change = _change(found, "noise", "none")
    assert change.outcome == "doubtful"
    assert any("not audited" in note for note in change.notes) == (side == "before")


@pytest.mark.parametrize(
    "state", [{"verdict": "invalid"}, {"status": "failed", "metrics": {}, "error": "out of memory"}]
)
def test_a_lost_figure_is_never_tested(single_seed_run: Path, copy: Rewritten, state: dict[str, Any]) -> None:
    """Invalid or failed after, fine before: lost; the other way round: found; no p-value in either."""
    (record,) = copy.cells(attack="noise", defense="none")
    copy.record(record, **state)
    for found, outcome in (
        (compare_runs(single_seed_run, copy.folder), "lost"),
        (compare_runs(copy.folder, single_seed_run), "found"),
    ):
        change = _change(found, "noise", "none")
        assert (change.outcome, change.p, change.comparison) == (outcome, None, None)
        assert any("no figure that can be quoted" in note for note in change.notes)


def test_impossible_cells_are_not_mentioned(single_seed_run: Path) -> None:
    """Defenses without a certificate are n/a in both runs: nothing to compare."""
    found = compare_runs(single_seed_run, single_seed_run)
    assert not [c for c in found.changes if c.before.status == "n/a" and c.after.status == "n/a"]


def test_metrics_that_neither_cell_has_are_not_mentioned(single_seed_run: Path, copy: Rewritten) -> None:
    """A figure that is missing in one run alone could not be compared; missing in both it is no news."""
    (record,) = copy.cells(attack="noise", defense="none")
    kept = {name: figure for name, figure in record["metrics"].items() if name != "success"}
    copy.record(record, metrics=kept)
    alone = compare_runs(single_seed_run, copy.folder, ["success"])
    assert _change(alone, "noise", "none").outcome == "untested"
    both = compare_runs(copy.folder, copy.folder, ["success"])
    assert ("noise", "none") not in [(c.place.row.attack, c.place.defense) for c in both.changes]


def test_cells_of_one_run_alone_are_named(single_seed_run: Path, copy: Rewritten) -> None:
    """Another budget and another counter-measure make another cell."""
    (noise,) = copy.cells(attack="noise", defense="none")
    (pso,) = copy.cells(attack="pso", defense="none")
    copy.record(noise, budget=noise["budget"] | {"value": 2.0})
    copy.record(pso, counter="straight-through")
    found = compare_runs(single_seed_run, copy.folder)
    assert [place.name for place in found.only_before] == ["noise ≤ 1 m × none", "pso ≤ 1 m × none"]
    assert [place.row.budget.value for place in found.only_after] == [2.0, 1.0]
    assert "straight-through" in found.only_after[1].name


def test_shared_examples_are_paired_and_their_number_said(single_seed_run: Path, copy: Rewritten) -> None:
    """With 60 of the 96 examples, and in another order, the 60 are compared with themselves."""

    def shorten(table: Table) -> None:
        for name in table:
            table[name] = table[name][59::-1]

    copy.edit(shorten, attack="noise", defense="none")
    change = _change(compare_runs(single_seed_run, copy.folder), "noise", "none")
    assert change.comparison is not None
    assert change.comparison.difference[::3] == (0.0, 60)
    assert change.outcome == "identical"
    assert any("60 examples in both runs (96 before, 60 after)" in note for note in change.notes)


def test_what_holds_for_all_cells_is_a_common_note(single_seed_run: Path, copy: Rewritten) -> None:
    """A run over fewer examples says so once, not at every cell."""
    copy.edit(
        lambda table: table.update({name: values[:60] for name, values in table.items()}), status="done"
    )
    found = compare_runs(single_seed_run, copy.folder)
    assert found.common_notes == ("over the 60 examples in both runs (96 before, 60 after)",)


def test_other_examples_are_compared_as_two_samples(single_seed_run: Path, copy: Rewritten) -> None:
    """Without shared ids the comparison is unpaired, says so, and the intervals are those of two samples."""

    def rename(table: Table) -> None:
        for name in ("example", "cluster"):
            table[name] = [f"other-{text}" for text in table[name]]

    copy.edit(rename, attack="noise", defense="none")
    copy.edit(_raised(+0.1), attack="noise", defense="none")
    change = _change(compare_runs(single_seed_run, copy.folder), "noise", "none")
    assert change.comparison is not None
    assert not change.comparison.paired
    assert change.comparison.difference.n == 192
    assert change.outcome == "same"
    assert any("compared as different examples" in note for note in change.notes)


def test_repeated_ids_are_not_paired(single_seed_run: Path, copy: Rewritten) -> None:
    """Ids that stand for two examples cannot say which belong together."""

    def repeat(table: Table) -> None:
        table["example"] = table["example"][:48] * 2

    copy.edit(repeat, attack="noise", defense="none")
    change = _change(compare_runs(single_seed_run, copy.folder), "noise", "none")
    assert change.comparison is not None
    assert not change.comparison.paired
    assert any("not unique" in note for note in change.notes)


def test_seeds_are_pooled_with_an_example_as_one_cluster(finished_run: Path, tmp_path: Path) -> None:
    """Two seeds give twice the examples and the same number of clusters."""
    copy = Rewritten(finished_run, tmp_path / "copy")
    copy.edit(_raised(+0.9), attack="noise", defense="none")
    change = _change(compare_runs(finished_run, copy.folder), "noise", "none")
    assert change.comparison is not None
    assert change.comparison.difference.n == 192
    assert change.comparison.clusters == 48
    assert change.comparison.difference.value == pytest.approx(0.9, abs=0.05)


def test_only_shared_seeds_are_compared(finished_run: Path, single_seed_run: Path) -> None:
    """A run with seeds 0 and 1 against one with seed 0: seed 0 with itself, and the rest is said."""
    change = _change(compare_runs(finished_run, single_seed_run), "noise", "none")
    assert change.outcome == "identical"
    assert change.notes == ("only the shared seeds (0; left out: 1)",)


def test_without_a_shared_seed_examples_are_averaged(
    finished_run: Path, single_seed_run: Path, tmp_path: Path
) -> None:
    """Seeds 0 and 1 against seed 7: each example once, its mean over the seeds against its value."""
    copy = Rewritten(single_seed_run, tmp_path / "copy")
    for record in copy.cells():
        copy.record(record, seed=7)
    before = [
        pq.read_table(finished_run / "examples" / f"{r['id']}.parquet")["ade"].to_numpy()
        for r in Rewritten(finished_run, tmp_path / "other").cells(attack="noise", defense="none")
    ]
    change = _change(compare_runs(finished_run, copy.folder), "noise", "none")
    assert change.comparison is not None
    assert change.comparison.difference.n == 96
    assert change.comparison.first == pytest.approx(np.mean(before))
    assert any("no shared seed" in note for note in change.notes)


def test_a_damaged_table_is_said_and_the_rest_compared(single_seed_run: Path, copy: Rewritten) -> None:
    """The cell is untested, with the file's name; the others are not disturbed."""
    (record,) = copy.cells(attack="noise", defense="none")
    (copy.folder / "examples" / f"{record['id']}.parquet").write_bytes(b"broken")
    found = compare_runs(single_seed_run, copy.folder)
    change = _change(found, "noise", "none")
    assert change.outcome == "untested"
    assert any(record["id"] in note for note in change.notes)
    assert _change(found, "noise", "augmentation").outcome == "identical"


def test_what_else_changed_is_listed(single_seed_run: Path, copy: Rewritten) -> None:
    """Versions, git and settings that differ, and nothing that does not."""
    run = json.loads((copy.folder / "run.json").read_text())
    packages = run["environment"]["packages"] | {"torch": "2.14.0", "scipy": "1.17.1"}
    copy.run(
        environment=run["environment"] | {"git": "9f8e7d6-dirty", "packages": packages},
        experiment=run["experiment"] | {"max_examples": 48},
    )
    found = {d.name: (d.before, d.after) for d in compare_runs(single_seed_run, copy.folder).differences}
    assert found == {
        "git": ("0123abc", "9f8e7d6-dirty"),
        "torch": ("2.13.0", "2.14.0"),
        "scipy": (None, "1.17.1"),
        "experiment max_examples": (None, "48"),
    }


def test_equal_content_addresses_are_counted(single_seed_run: Path, tmp_path: Path) -> None:
    """The journals tell which cells were made by the same code from the same data."""
    one, two = (Rewritten(single_seed_run, tmp_path / name) for name in ("one", "two"))
    for copy, keys in ((one, ("a", "b")), (two, ("a", "c"))):
        for record, key in zip(copy.cells(status="done")[:2], keys, strict=True):
            Journal(copy.folder / "journal.jsonl").append(
                {"kind": "cell", "cell": record["id"], "key": key, "files": {}}
            )
    assert compare_runs(one.folder, two.folder).same_content == (1, 2)
    assert compare_runs(single_seed_run, two.folder).same_content is None


def test_caveats_say_what_the_p_values_leave_out(
    finished_run: Path, single_seed_run: Path, copy: Rewritten
) -> None:
    """One seed, an unfinished run, and metrics of one run alone are mentioned; several seeds are not."""
    run = json.loads((copy.folder / "run.json").read_text())
    copy.run(metrics=[m | ({"unit": "cm"} if m["name"] == "ade_ratio" else {}) for m in run["metrics"]])
    text = " ".join(compare_runs(single_seed_run, copy.folder).caveats)
    assert "one seed" in text
    assert "not finished" in text
    assert "left out: ade_ratio" in text
    assert "one seed" not in " ".join(compare_runs(finished_run, finished_run).caveats)


def test_runs_without_a_common_cell_are_refused(single_seed_run: Path, copy: Rewritten) -> None:
    """Another dataset everywhere: the message says which scenarios each run has."""
    for record in copy.cells():
        copy.record(record, dataset="nuscenes")
    with pytest.raises(UsageError, match=r"no cell stands in both runs: .*synthetic with lstm; .*nuscenes"):
        compare_runs(single_seed_run, copy.folder)


def test_runs_of_other_domains_are_refused(single_seed_run: Path, copy: Rewritten) -> None:
    """A trajectory run and a ranking run have nothing in common."""
    for record in copy.cells():
        copy.record(record, domain="ranking")
    with pytest.raises(UsageError, match="only runs of one domain"):
        compare_runs(single_seed_run, copy.folder)


def test_metrics_must_mean_the_same(single_seed_run: Path, copy: Rewritten) -> None:
    """Another unit is refused by name and left out of "all"; an unknown name gets the nearest."""
    run = json.loads((copy.folder / "run.json").read_text())
    copy.run(metrics=[m | ({"unit": "cm"} if m["name"] == "ade" else {}) for m in run["metrics"]])
    with pytest.raises(UsageError, match="define the metric 'ade' differently"):
        compare_runs(single_seed_run, copy.folder)
    with pytest.raises(UsageError, match=r"no metric 'sucess'.*'success'"):
        compare_runs(single_seed_run, copy.folder, ["sucess"])
    found = compare_runs(single_seed_run, copy.folder, ["all"])
    assert [metric.name for metric in found.metrics] == ["success", "ade_ratio"]


def test_runs_of_the_same_name_are_called_by_their_paths(tmp_path: Path) -> None:
    """`a/demo` and `b/demo` would otherwise both be `demo`."""
    folders = [write_run(tmp_path / name / "demo", seeds=1) for name in ("a", "b")]
    assert compare_runs(*folders).names == tuple(map(str, folders))
