"""The tutorial does what it says: its commands are run in order, its code is the plugin that they run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "write-an-attack.md"
OFFLINE = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", "site")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps() -> list[tuple[str, str]]:
    """The fenced blocks in order: language and content."""
    return BLOCK.findall(DOCUMENT.read_text(encoding="utf-8"))


def ran(line: str, folder: Path) -> str:
    """What a command of the document prints; packages are installed beside the test, without a network."""
    program, *words = shlex.split(line)
    if program == "robeval":
        words = ["-m", "robeval", *words]
    if words[:3] == ["-m", "pip", "install"]:
        words = [*words, *OFFLINE]
    packages = [ROOT, *(ROOT / name for name in ("attacks", "defenses", "datasets")), folder / "site"]
    changes = {
        "PYTHONPATH": os.pathsep.join(map(str, packages)),
        "ROBEVAL_CACHE_DIR": str(folder / "cache"),
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env={**os.environ, **changes}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_every_command_of_the_tutorial_works(tmp_path: Path) -> None:
    """In the order of the document, in an empty folder; the attack beats noise at the same budget."""
    printed: dict[str, str] = {}
    for language, content in steps():
        if language == "python":
            (tmp_path / "my_attack.py").write_text(content)
        for line in content.splitlines() if language == "sh" else ():
            printed[line] = ran(line, tmp_path)
    (listed,) = [text for line, text in printed.items() if line.startswith("robeval list attacks")]
    assert "trajectory/your-attack" in listed
    (shown,) = [text for line, text in printed.items() if line.startswith("robeval show")]
    assert "white-box" in shown
    assert "iterations" in shown
    assert list((tmp_path / "pictures").rglob("*.png"))


def test_the_tutorial_is_made_of_commands_and_one_plugin() -> None:
    """Every block is either run or the plugin, so that nothing in it goes untested; the plugin is valid Python."""
    blocks = steps()
    assert {language for language, _ in blocks} == {"sh", "python"}
    assert sum(language == "python" for language, _ in blocks) == 1
    for language, content in blocks:
        if language == "python":
            compile(content, "my_attack.py", "exec")
        else:
            assert all(line.startswith(("robeval ", "python -m ")) for line in content.splitlines())
