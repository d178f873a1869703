"""The gate on the first domain: a defense that loses its robust training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WEAK = '''
"""The same defense, without its point."""

from dataclasses import dataclass

from robeval_defenses.trajectory.adversarial_training import AdversarialTraining


@dataclass(frozen=True)
class Gated(AdversarialTraining):
    """Adversarial training. Source: a test."""
WEAKENING

def register(registry):
    registry.defense("trajectory/gated", Gated)
'''
DROPPED = """
    def robustify(self, victim, data, seed):
        return victim
"""


@pytest.mark.slow
def test_dropping_adversarial_training_is_found(
    shell: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attacked cell of the defense regressed; the undefended column, trained alike, held."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "cache"))
    for name, weakening in (("strong", ""), ("weak", DROPPED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gated.py").write_text(WEAK.replace("WEAKENING", weakening))
    words = ("-a", "none", "-a", "search:iterations=20", "-d", "none", "-d", "gated", "--max-examples", "96")
    where = ("--plugin", "strong/gated.py", "--out", "runs/first", "-q")
    said = shell("run", "trajectory", *words, *where)
    assert said.code == 0, said.err
    assert shell("baseline", "runs/first").code == 0
    unchanged = shell("check", "-q")
    assert unchanged.code == 0, unchanged.out
    weakened = shell("check", "--plugin", "weak/gated.py", "--json", "verdict.json", "-q")
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    states = {tuple(cell["cell"].split(" on ")[0].split(" vs ")): cell["state"] for cell in verdict["cells"]}
    attack = next(attack for attack, _ in states if attack.startswith("search"))
    assert weakened.code == 1, weakened.out
    assert states[attack, "gated"] == "regressed"
    assert (states["clean", "none"], states[attack, "none"]) == ("held", "held")
