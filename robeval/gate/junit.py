"""A verdict as JUnit XML: one test case per cell, so that CI servers show regressions as failing tests.

Source: the schema that Jenkins' xUnit plugin accepts (junit-10), which GitLab, Azure and others read too.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from robeval.gate.verdict import Finding, Verdict
from robeval.gate.words import headline, notes, power_lines, sentence

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(verdict: Verdict) -> str:
    """The document. A regression is a `failure`, what could not be judged an `error`."""
    cells: dict[str, list[Finding]] = {}
    for finding in verdict.findings:
        cells.setdefault(finding.cell.name, []).append(finding)
    failed = sum(any(f.state == "regressed" for f in found) for found in cells.values())
    errors = sum(_is_error(found) for found in cells.values())
    counts = {"tests": str(len(cells)), "failures": str(failed), "errors": str(errors)}
    # SUREFIRE_TIME allows three digits before a separator: without one, hours would not validate.
    seconds = f"{verdict.seconds:,.3f}"
    root = ET.Element("testsuites", {"name": "robeval", **counts, "time": seconds})
    suite = ET.SubElement(root, "testsuite", {"name": "robeval", **counts, "skipped": "0", "time": seconds})
    for name, found in cells.items():
        _case(suite, name, found)
    ET.SubElement(suite, "system-out").text = _text(
        "\n".join([headline(verdict), *notes(verdict), *power_lines(verdict)])
    )
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _is_error(found: list[Finding]) -> bool:
    return not any(f.state == "regressed" for f in found) and any(not f.is_judged for f in found)


def _case(suite: ET.Element, name: str, found: list[Finding]) -> None:
    cell = found[0].cell
    home = ".".join(_plain(part) for part in ("robeval", cell.dataset, cell.victim))
    case = ET.SubElement(suite, "testcase", {"classname": home, "name": _text(name), "time": "0"})
    said = "\n".join(sentence(finding) for finding in found)
    worse = [finding for finding in found if finding.state == "regressed"]
    open_ = [finding for finding in found if not finding.is_judged]
    if worse or open_:
        first = (worse or open_)[0]
        about = {"type": first.state, "message": _text(sentence(first))}
        ET.SubElement(case, "failure" if worse else "error", about).text = _text(said)
    else:
        ET.SubElement(case, "system-out").text = _text(said)


def _plain(text: str) -> str:
    """A dot would start another package."""
    return _text(text).replace(".", "_")


def _text(text: str) -> str:
    """What XML 1.0 can hold; the rest becomes a question mark."""
    return _NOT_XML.sub("?", text)
