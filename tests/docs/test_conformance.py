"""docs/conformance.md says of every check what the code says, and of nothing else."""

import re
from pathlib import Path

from robeval.testing.conformance import CHECKS

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_document_lists_every_check_with_its_promise() -> None:
    """Kind by kind, the table's names and promises are those of the code, in the code's order."""
    sections = re.split(r"^## ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    written = {
        section.split("\n")[0].lower(): re.findall(
            r"^\| `([a-z-]+)` \| (.+?) \| .+ \|$", section, re.MULTILINE
        )
        for section in sections
    }
    coded = {kind: [(check.name, check.promise) for check in found] for kind, found in CHECKS.items()}
    assert written == coded
