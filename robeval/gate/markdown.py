"""A verdict as Markdown, for job summaries and pull requests."""

from __future__ import annotations

from collections.abc import Iterator

from robeval.gate.verdict import MEANING, Verdict
from robeval.gate.words import HEADINGS, headline, notes, power_lines, row, sentence


def markdown(verdict: Verdict) -> str:
    """The whole verdict."""
    return "\n".join(_lines(verdict)) + "\n"


def _lines(verdict: Verdict) -> Iterator[str]:
    yield f"## robeval: {safe(headline(verdict))}"
    yield ""
    told = [finding for finding in verdict.findings if finding.state != "held"]
    for finding in told:
        yield f"- {safe(sentence(finding))}"
    if told:
        yield ""
    yield "| " + " | ".join(HEADINGS) + " |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    for finding in verdict.findings:
        yield "| " + " | ".join(map(safe, row(finding))) + " |"
    yield ""
    for line in [*notes(verdict), *power_lines(verdict)]:
        yield f"- {safe(line)}"
    yield ""
    meanings = "; ".join(f"*{state}*: {MEANING[state]}" for state in verdict.counts)
    yield f"{meanings}. Significant: one-sided, p ≤ {verdict.alpha:g} after Holm's correction."
    yield from ["", "```sh", verdict.command, "```"]


def safe(text: str) -> str:
    """Text that cannot break a table or become markup."""
    for sign in "\\|*_`<[":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())
