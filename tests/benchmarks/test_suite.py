"""What single benchmarks rest on."""

from pathlib import Path

import pytest
import torch

from benchmarks.frame import NotHere
from benchmarks.shell import robeval
from benchmarks.suite.eth_ucy import shown
from benchmarks.suite.public import folder
from benchmarks.suite.trajectory_sa import AGREE_M, disagreement_m, driving
from robeval.domains.trajectory.victims.lstm import LSTM
from robeval.plugins.freezing import under_attack


def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    """A benchmark never times a command that did not do its work."""
    with pytest.raises(RuntimeError, match=r"ended with 2.*no-such"):
        robeval("show", "no-such", folder=tmp_path)


def test_a_command_has_its_time_and_its_memory(tmp_path: Path) -> None:
    """Starting Python takes a moment and some megabytes."""
    ran = robeval("--version", folder=tmp_path)
    assert 0 < ran.seconds < 60
    assert 5 < ran.peak_mib < 2000


def test_data_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its files a benchmark is not run, and the message says where they belong."""
    monkeypatch.setenv("ROBEVAL_SHARED", str(tmp_path))
    with pytest.raises(NotHere, match=r"needs a\.txt in data/some"):
        folder("some", "a.txt")
    (tmp_path / "data" / "some").mkdir(parents=True)
    (tmp_path / "data" / "some" / "a.txt").touch()
    assert folder("some", "a.txt") == tmp_path / "data" / "some"


def test_figures_without_a_value_are_shown_as_such() -> None:
    """A figure that no example has is no crash."""
    assert shown({"value": 1.234, "low": 1, "high": None}) == "1.23 [1.00, nan]"


def test_both_ways_of_driving_do_the_same_work() -> None:
    """The published style and the batched one rebuild the same histories, or a ratio of times means nothing."""
    torch.manual_seed(0)
    victim, scenes = LSTM().eval(), driving(4)
    start = torch.rand(len(scenes), scenes.attacked, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    with under_attack(victim):
        assert disagreement_m(victim, scenes, start) <= AGREE_M
