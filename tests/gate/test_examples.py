"""The examples of a gate in CI are what their files claim."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from robeval.cli.check import command

CI = Path(__file__).parents[2] / "examples" / "ci"


def test_workflows_call_check_with_flags_that_exist() -> None:
    """Both files are YAML, and every flag of their `robeval check` line is one of the command's."""
    known = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
    steps = yaml.safe_load((CI / "robustness.yml").read_text())["jobs"]["gate"]["steps"]
    lines = [step["run"] for step in steps if "run" in step]
    lines += yaml.safe_load((CI / "gitlab-ci.yml").read_text())["robustness"]["script"]
    checks = [line.split() for line in lines if line.startswith("robeval check")]
    assert len(checks) == 2
    for words in checks:
        assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.slow
def test_the_commands_of_the_readme_work(
    shell: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run, record and check, in the order of the README, from another folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "cache"))
    lines = [line for line in (CI / "README.md").read_text().splitlines() if line.startswith("robeval ")]
    assert len(lines) == 3
    for line in lines:
        words = [str(CI / Path(word).name) if "/ci/" in word else word for word in line.split()[1:]]
        said = shell(*words)
        assert said.code == 0, said.err
    assert "held: 6 cells" in said.out
