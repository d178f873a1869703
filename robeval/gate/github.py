"""GitHub Actions: the job summary and annotations.

Source: GitHub's documentation of workflow commands (escapes) and job summaries (1 MiB a step).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from robeval.gate.markdown import markdown
from robeval.gate.verdict import Finding, Verdict
from robeval.gate.words import sentence

_MOST_BYTES = 1024 * 1024


def write_summary(verdict: Verdict, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Append the Markdown to the step's summary; None outside of GitHub Actions."""
    target = environment.get("GITHUB_STEP_SUMMARY")
    if not target:
        return None
    text = markdown(verdict).encode()
    path = Path(target)
    room = _MOST_BYTES - (path.stat().st_size if path.is_file() else 0)
    if len(text) > room:
        text = f"robeval: exit code {verdict.exit_code}; the table is too long for a summary.\n".encode()
    with open(path, "ab") as stream:
        stream.write(text)
    return path


def workflow_commands(verdict: Verdict, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """One workflow command for each cell that failed or needs eyes; nothing outside of GitHub Actions."""
    if environment.get("GITHUB_ACTIONS") != "true":
        return
    file = verdict.experiment or verdict.baseline
    for finding in verdict.findings:
        level = _level(finding)
        if level:
            title = f"robeval: {finding.state}"
            yield f"::{level} file={_value(file.as_posix())},title={_value(title)}::{_message(sentence(finding))}"
    for change in verdict.changes:
        if change.blocks:
            yield f"::warning file={_value(file.as_posix())},title=robeval::{_message(str(change))}"


def _level(finding: Finding) -> str | None:
    if finding.state == "regressed" or not finding.is_judged:
        return "error"
    return {"uncertain": "warning", "improved": "notice"}.get(finding.state)


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
