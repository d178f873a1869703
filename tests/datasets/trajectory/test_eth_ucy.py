"""ETH/UCY text files."""

from pathlib import Path

import pytest
import torch

from robeval.errors import DataError, MissingFile, OptionError
from robeval_datasets.trajectory.eth_ucy import EthUcy, frame_step


def write_walk(path: Path, agents: int = 3, frames: int = 60, step: int = 10, number: str = "{}") -> None:
    """Pedestrians side by side, 0.5 m per annotated frame."""
    rows = [
        f"{number.format(k * step)}\t{agent}.0\t{0.5 * k}\t{agent}.0"
        for k in range(frames)
        for agent in range(agents)
    ]
    path.write_text("\n".join(rows))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three recordings with frame steps 10, 6 and 1."""
    write_walk(tmp_path / "one.txt")
    write_walk(tmp_path / "two.txt", agents=2, step=6, number="{}.0")
    write_walk(tmp_path / "three.txt", agents=1, step=1)
    return tmp_path


def test_one_recording_is_held_out_and_the_end_of_the_others_is_val(folder: Path) -> None:
    """48 training and 12 val frames of every other recording; spans of 20 frames do not cross the border."""
    data = EthUcy(root=str(folder), test="two", history=4, horizon=4)
    train, val, test = (data.split(split) for split in ("train", "val", "test"))
    assert set(test.scene) == {"two"}
    assert set(train.scene) == set(val.scene) == {"one", "three"}
    assert len(test) == 2 * (60 - 8 + 1)
    assert len(train) == (3 + 1) * (48 - 8 + 1)
    assert len(val) == (3 + 1) * (12 - 8 + 1)


def test_the_frame_step_is_detected(folder: Path) -> None:
    """Whatever the numbers' step, a frame is 0.4 s and 0.5 m."""
    assert frame_step(torch.tensor([0.0, 6, 12, 18, 60, 66]).numpy()) == 6.0
    for name in ("one", "two", "three"):
        test = EthUcy(root=str(folder), test=name).split("test")
        torch.testing.assert_close(test.target.diff(dim=1)[..., 0], torch.full((len(test), 19), 0.5))
        assert (test.dt == torch.tensor(0.4)).all()


def test_defaults_are_the_benchmarks(folder: Path) -> None:
    """Observed 8, predicted 12; pedestrians are targets here."""
    test = EthUcy(root=str(folder), test="one").split("test")
    assert (test.history, test.horizon, test.windows) == (8, 12, 1)
    assert set(test.kind[:, 0].tolist()) == {3}


def test_mistakes_are_answered(folder: Path, tmp_path: Path) -> None:
    """No root, a wrong root, an empty folder, an unknown recording, nothing to train on."""
    with pytest.raises(MissingFile, match="eth-ucy:root=FOLDER"):
        EthUcy().split("test")
    with pytest.raises(MissingFile, match="nowhere"):
        EthUcy(root=str(tmp_path / "nowhere")).split("test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \.txt file"):
        EthUcy(root=str(tmp_path / "empty")).split("test")
    with pytest.raises(OptionError, match=r"test='four'.*one, three, two"):
        EthUcy(root=str(folder), test="four").split("test")
    (tmp_path / "single").mkdir()
    write_walk(tmp_path / "single" / "one.txt")
    with pytest.raises(DataError, match="held out"):
        EthUcy(root=str(tmp_path / "single"), test="one").split("train")


def test_a_split_without_examples_says_what_an_example_needs(folder: Path) -> None:
    """The message names the span, the type and the way out."""
    with pytest.raises(DataError, match=r"split 'train'.*vehicles.*20 frames in a row.*allow_types"):
        EthUcy(root=str(folder), test="one", allow_types="vehicles").split("test")


def test_the_fingerprint_follows_the_files(folder: Path) -> None:
    """A changed coordinate is another dataset."""
    data = EthUcy(root=str(folder), test="one")
    before = data.fingerprint()
    path = folder / "two.txt"
    path.write_text(path.read_text().replace("0.5", "0.6", 1))
    assert data.fingerprint() != before


@pytest.mark.parametrize(
    ("name", "examples", "ade", "fde"),
    [("biwi_eth", 364, 1.075, 2.282), ("biwi_hotel", 1197, 0.319, 0.614)],
)
def test_real_recordings_hold_the_known_number_of_examples(
    eth_ucy_root: Path, name: str, examples: int, ade: float, fde: float
) -> None:
    """Counts of the leave-one-out benchmark, and constant velocity's Euclidean errors in metres."""
    test = EthUcy(root=str(eth_ucy_root), test=name, bounds="si:3,3,3,9,9").split("test")
    assert len(test) == examples
    step = test.target[:, 7] - test.target[:, 6]
    path = test.target[:, 7:8] + step.unsqueeze(1) * torch.arange(1, 13).view(1, -1, 1)
    error = (path - test.target[:, 8:]).norm(dim=-1)
    assert float(error.mean()) == pytest.approx(ade, abs=0.001)
    assert float(error[:, -1].mean()) == pytest.approx(fde, abs=0.001)
