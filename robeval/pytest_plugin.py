"""The regression gate inside a test suite: the fixture `robeval`, and `pytest --robeval EXPERIMENT.yaml`.

pytest loads this module in every session of an environment that has robeval, so it imports nothing until it is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from robeval.gate.check import Request
    from robeval.gate.verdict import Finding, Verdict
    from robeval.results.baseline import Baseline

_DEFAULT = "robeval-baseline.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The command line flags."""
    group = parser.getgroup("robeval", "robustness regression gate")
    group.addoption(
        "--robeval",
        metavar="EXPERIMENT.yaml",
        help="Run this experiment and add one test per cell that the baseline recorded.",
    )
    group.addoption(
        "--robeval-baseline", metavar="FILE", default=None, help=f"The baseline. Default: {_DEFAULT}."
    )
    group.addoption(
        "--robeval-tolerance", metavar="SHARE", type=float, help="Replaces the baseline's tolerances."
    )
    group.addoption(
        "--robeval-alpha", metavar="P", type=float, default=0.05, help="Level over all cells. Default: 0.05."
    )
    group.addoption(
        "--robeval-allow-changed",
        action="store_true",
        help="Compare although data, scoring or attack changed.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker of the gate's tests, and the experiment as a further thing to collect."""
    config.addinivalue_line("markers", "robeval: a cell of the robustness regression gate")
    named = config.getoption("robeval", default=None)
    if named is None:
        return
    path = _under(config.invocation_params.dir, named)
    if not path.is_file():
        raise pytest.UsageError(f"--robeval: no such file: {path}. It takes an experiment file (YAML).")
    if str(path) not in config.args:
        config.args.append(str(path))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The experiment that --robeval names becomes one test per cell."""
    named = parent.config.getoption("robeval", default=None)
    if named is None or file_path != _under(parent.config.invocation_params.dir, named):
        return None
    return GateFile.from_parent(parent, path=file_path)


class GateFile(pytest.File):
    """An experiment; it is run once, when its first cell is asked for."""

    def collect(self) -> Iterator[pytest.Item]:
        """A test for every cell of the baseline; nothing is run for that."""
        from robeval.errors import RobevalError

        try:
            baseline = self._baseline()
        except RobevalError as error:
            raise self.CollectError(str(error)) from None
        for cell in baseline.cells:
            # pytest would print a dot outside of brackets as a slash.
            item = GateItem.from_parent(self, name=f"cell[{cell.name}]")
            item.add_marker("robeval")
            if self.config.pluginmanager.hasplugin("xdist"):
                item.add_marker(
                    pytest.mark.xdist_group("robeval")
                )  # with --dist loadgroup: one worker runs it
            yield item

    def _baseline(self) -> Baseline:
        from robeval.results.baseline import read_baseline

        return read_baseline(self.request.baseline)

    @property
    def request(self) -> Request:
        """What the command line asks for."""
        option = self.config.getoption
        return _request(
            self.config.invocation_params.dir,
            self.path,
            option("robeval_baseline") or _DEFAULT,
            tolerance=option("robeval_tolerance"),
            alpha=option("robeval_alpha"),
            allow_changed=option("robeval_allow_changed"),
        )

    def verdict(self) -> Verdict:
        """The check's outcome. Raises GateError when it cannot be made; said for every cell, tried once."""
        if not hasattr(self, "_verdict"):
            self._verdict: Verdict | GateError
            try:
                self._verdict = _checked(self.request)
            except GateError as error:
                self._verdict = error
            else:
                self.config.stash.setdefault(_VERDICTS, []).append(self._verdict)
        if isinstance(self._verdict, GateError):
            raise self._verdict
        return self._verdict


class GateItem(pytest.Item):
    """One cell: fails when it regressed, and when it could not be judged."""

    def runtest(self) -> None:
        """Raises GateError with what moved."""
        parent = self.getparent(GateFile)
        assert parent is not None
        found = [
            finding for finding in parent.verdict().findings if f"cell[{finding.cell.name}]" == self.name
        ]
        self.add_report_section("call", "robeval", "\n".join(_sentences(found)))
        _fail_for(found)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The finding alone; a traceback would show our code, not theirs."""
        if isinstance(excinfo.value, GateError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the cell is asked for."""
        return self.path, None, self.name


class GateError(Exception):
    """The gate does not hold; the message is complete without a traceback."""


_VERDICTS = pytest.StashKey[list[Any]]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What has changed, what improved, and how small a drop could have been found."""
    verdicts = config.stash.get(_VERDICTS, [])
    if not verdicts:
        return
    from robeval.gate.words import headline, notes, power_lines, sentence

    terminalreporter.section("robeval")
    for verdict in verdicts:
        moved = [sentence(finding) for finding in verdict.of("uncertain", "improved")]
        for line in [*moved, *notes(verdict), *power_lines(verdict), headline(verdict)]:
            terminalreporter.write_line(line)


@dataclass(frozen=True)
class Gate:
    """What the fixture `robeval` gives to a test."""

    config: pytest.Config
    folder: Path

    def check(
        self,
        experiment: str | Path | None = None,
        baseline: str | Path = _DEFAULT,
        *,
        tolerance: float | None = None,
        alpha: float = 0.05,
        allow_changed: bool = False,
    ) -> Verdict:
        """Run the experiment and fail the test when a cell got worse or could not be judged.

        Files are looked for beside the test, then where pytest was started. Without an experiment: the one
        that the baseline carries. Gives the verdict where the gate held.
        """
        start = self.config.invocation_params.dir
        beside = self.folder if (self.folder / baseline).is_file() else start
        request = _request(
            beside,
            None if experiment is None else self._found(experiment),
            baseline,
            tolerance=tolerance,
            alpha=alpha,
            allow_changed=allow_changed,
        )
        try:
            verdict = _checked(request)
            self.config.stash.setdefault(_VERDICTS, []).append(verdict)
            _fail_for(verdict.findings)
        except GateError as error:
            pytest.fail(str(error), pytrace=False)
        return verdict

    def _found(self, name: str | Path) -> Path:
        beside = _under(self.folder, name)
        return beside if beside.is_file() else _under(self.config.invocation_params.dir, name)


@pytest.fixture
def robeval(request: pytest.FixtureRequest) -> Gate:
    """The robustness gate: `robeval.check("experiment.yaml", baseline="robeval-baseline.json")`."""
    return Gate(request.config, request.path.parent)


def _under(folder: Path, name: str | Path) -> Path:
    return folder / Path(name).expanduser()


def _request(folder: Path, experiment: Path | None, baseline: str | Path, **strictness: Any) -> Request:
    from robeval.gate.check import Request

    where = _under(folder, baseline)
    return Request(experiment=experiment, baseline=where, command="pytest", **strictness)


def _checked(request: Request) -> Verdict:
    """The verdict. Raises GateError for whatever stops the check, KeyboardInterrupt on Ctrl-C."""
    from robeval.engine.progress import Watcher
    from robeval.engine.run import Interrupted
    from robeval.errors import RobevalError
    from robeval.gate.check import check

    try:
        with warnings.catch_warnings():
            # A suite that turns warnings into errors means its own, not those of Lightning.
            warnings.simplefilter("default")
            return check(request, Watcher())
    except Interrupted:
        raise KeyboardInterrupt from None
    except RobevalError as error:
        raise GateError(str(error)) from None


def _fail_for(findings: Sequence[Finding]) -> None:
    bad = [finding for finding in findings if finding.state == "regressed" or not finding.is_judged]
    if bad:
        raise GateError("\n".join(_sentences(bad)))


def _sentences(findings: Sequence[Finding]) -> list[str]:
    from robeval.gate.words import sentence

    return [sentence(finding) for finding in findings]
