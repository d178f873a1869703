"""The page as a document: complete, closed to the world, and deaf to what plugins try to smuggle in."""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from robeval.cli.shell import call
from robeval.report.html.page import html_report
from robeval.report.render import render
from robeval.results.audit import AuditEntry, AuditRecord, CheckRecord, write_audit
from tests.report.html.conftest import Artist
from tests.report.synthetic_run import cell, write_run

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def page(single_seed_run: Path) -> str:
    """The report without pictures."""
    return html_report(single_seed_run, pictures=0)


def _details(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="details">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    details: dict[str, Any] = json.loads(found[1])
    return details


def test_nothing_is_fetched_from_anywhere(page: str) -> None:
    """No element, style or script names another address."""
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert page.count("<script>") == 1


def test_only_our_own_script_may_run(page: str) -> None:
    """The policy names the digest of the one script and lets nothing in or out beside data."""
    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    said = policy[1].replace("&#39;", "'")
    assert f"script-src 'sha256-{digest}'" in said
    assert "default-src 'none'" in said


def test_every_part_is_there(page: str) -> None:
    """Verdict first, then what it rests on."""
    order = re.findall(r'<section id="(\w+)"', page)
    assert order == ["verdict", "matrix", "trust", "threats", "repeat"]
    assert '<p class="lead"><strong>augmentation</strong> leads, but not clearly.</p>' in page
    assert re.search(r"adversarial-training[a-z, -]* may look better", page)
    assert "Not finished" in page


def test_doubts_come_with_the_verdict(page: str) -> None:
    """A cell that cannot be trusted is named at the top, with its kind."""
    top = page.split('<section id="matrix"')[0]
    assert "2 cells cannot be trusted" in top
    assert "finite-outputs" in page
    assert "the victim answered NaN for 7 of 96 examples" in page


def test_a_suspicious_figure_has_no_colour_and_a_mark(page: str) -> None:
    """It is outside of the scale, whatever its value, and says so to a screen reader too."""
    spots = re.findall(r'<td class="spot done suspicious([^"]*)"[^>]*>(.*?)</td>', page, re.DOTALL)
    assert spots
    assert all("level-" not in classes and "suspicious</span>" in content for classes, content in spots)


def test_what_a_cell_says_on_demand(page: str) -> None:
    """Evidence, error, cost and threat model of every place."""
    found = list(_details(page).values())
    nan = next(one for one in found if one["verdict"] == "invalid" and one["status"] == "done")
    assert nan["evidence"] == ["invalid · finite-outputs: the victim answered NaN for 7 of 96 examples"]
    broken = next(one for one in found if one["status"] == "failed")
    assert "shape mismatch" in broken["error"]
    assert next(one for one in found if one["attack"].startswith("pso"))["passes"] == "1,010"


def test_metrics_can_be_chosen(single_seed_run: Path) -> None:
    """By default all are there, the headline shown; a choice leaves out the rest."""
    text = html_report(single_seed_run, ["success"], pictures=0)
    assert re.findall(r"<option value=\"[^\"]*\"[^>]*>([^<]*)", text) == ["success [%]"]


def test_what_plugins_say_is_text(tmp_path: Path, artist: Artist) -> None:
    """Names, options, notes, errors, evidence and threat models cannot become markup or script."""
    run = write_run(tmp_path / "evil", seeds=1)
    record = json.loads((run / "run.json").read_text())
    ids = [
        cell(run, f"none:x={EVIL}", "none", 0, error=EVIL, status="failed"),
        cell(run, f"pso:x={EVIL}", "smoothing", 0, threat=EVIL, notes={EVIL: 3}, verdict="suspicious",
             evidence=[{"check": EVIL, "severity": "suspicious", "message": EVIL}]),
    ]  # fmt: skip
    record |= {"name": EVIL, "command": EVIL, "experiment": {"note": EVIL}, "cells": [*record["cells"], *ids]}
    record["metrics"][0]["meaning"] = EVIL
    (run / "run.json").write_text(json.dumps(record))
    entry = AuditEntry(
        check="one-step", cell=ids[1], outcome="flag", severity="suspicious", evidence=EVIL, advice=EVIL
    )
    write_audit(
        run,
        AuditRecord(
            checks=[CheckRecord(name="one-step", question=EVIL)], examples=8, seconds=1.0, entries=[entry]
        ),
    )
    text = html_report(run, pictures=3)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert any(EVIL in one["threat"] for one in _details(text).values())
    assert artist.asked


def test_a_run_that_has_not_begun_has_a_page(tmp_path: Path) -> None:
    """No cell, no figure, no crash."""
    run = write_run(tmp_path / "young", seeds=1)
    shutil.rmtree(run / "cells")
    text = html_report(run)
    assert "There is no figure yet." in " ".join(text.split())
    assert '<section id="matrix"' not in text


def test_pictures_are_inside_the_page(single_seed_run: Path, artist: Artist) -> None:
    """They are data, with a text for those who cannot see them."""
    text = html_report(single_seed_run, pictures=2)
    images = re.findall(
        r'<img loading="lazy" decoding="async" width="240" height="168" src="(data:image/[^"]+)" alt="([^"]+)"',
        text,
    )
    assert len(images) == 2
    assert all("worst example synthetic-" in alt for _, alt in images)


def test_the_experiment_can_be_repeated(page: str) -> None:
    """The command and the document are in the page, also when this version does not know all its fields."""
    assert "robeval run trajectory -a none" in page
    assert "domain: trajectory" in page


def test_render_knows_the_page(single_seed_run: Path) -> None:
    """The one entry to all faces leads here."""
    assert render(single_seed_run, "html", max_pictures=0).startswith("<!DOCTYPE html>")


def test_the_command_writes_the_page(single_seed_run: Path, tmp_path: Path, capsys: Any) -> None:
    """--no-pictures needs neither torch nor the victims."""
    out = tmp_path / "report.html"
    assert call(["report", str(single_seed_run), "-f", "html", "--no-pictures", "-o", str(out)]) == 0
    assert out.read_text().rstrip().endswith("</html>")
    assert "wrote" in capsys.readouterr().err


def test_switches_of_the_page_need_it(single_seed_run: Path, capsys: Any) -> None:
    """They are not silently ignored."""
    assert call(["report", str(single_seed_run), "--no-pictures"]) == 2
    assert "--format html" in capsys.readouterr().err


def test_the_audit_is_a_table_of_cells_and_checks(tmp_path: Path) -> None:
    """Every answer has a sign and a word."""
    run = write_run(tmp_path / "audited", seeds=1)
    name = json.loads((run / "run.json").read_text())["cells"][5]
    entries = [
        AuditEntry(check=check, cell=name, outcome=outcome, severity=severity, evidence="seen")
        for check, outcome, severity in (("a", "pass", "ok"), ("b", "flag", "suspicious"), ("c", "n/a", "ok"))
    ]
    checks = [CheckRecord(name=check, question="why?") for check in "abc"]
    write_audit(run, AuditRecord(checks=checks, examples=8, seconds=1.0, entries=entries))
    text = html_report(run, pictures=0)
    table = text.split('<table class="audit">')[1].split("</table>")[0]
    words = re.findall(r'aria-hidden="true">(.)</span><span class="hidden">([^<]*)', table)
    assert words == [("✓", "passed"), ("⚑", "flagged"), ("·", "does not apply")]
