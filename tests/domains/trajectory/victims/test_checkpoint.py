"""Weights from files: what fits is loaded, what does not is explained, nothing is ever executed."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule
from safetensors.torch import save_file

from robeval.domains.trajectory.batch import Observation
from robeval.domains.trajectory.victims.base import TrajectoryVictim
from robeval.errors import DataError, MissingFile, UsageError
from robeval.plugins.weights import load_weights

Build = Callable[..., TrajectoryVictim]
executed: list[str] = []


class Trap:
    """Shows that it was unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return executed.append, ("ran",)


def altered(victim: TrajectoryVictim) -> TrajectoryVictim:
    """The same victim with other weights."""
    with torch.no_grad():
        for parameter in victim.parameters():
            parameter.add_(0.01)
    return victim


@pytest.mark.parametrize("kind", ["safetensors", "lightning", "wrapped", "plain"])
def test_saved_weights_come_back(
    learned: str, build: Build, seen: Observation, tmp_path: Path, kind: str
) -> None:
    """A victim that loads another's checkpoint answers like it, whichever way it was saved."""
    trained = altered(build(learned))
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.ckpt")
    weights = trained.state_dict()
    if kind == "safetensors":
        save_file(weights, path)
    elif kind == "lightning":
        torch.save({"state_dict": weights, "epoch": 3, "pytorch-lightning_version": "2.4.0"}, path)
    elif kind == "wrapped":
        wrapped = {f"victim.{name}": value for name, value in weights.items()}
        torch.save({"state_dict": {**wrapped, "noise.scale": torch.ones(1)}}, path)
    else:
        torch.save(weights, path)
    victim = build(learned, checkpoint=str(path))
    assert not torch.equal(victim.predict(seen).paths, trained.predict(seen).paths)
    victim.load_checkpoint()
    assert torch.equal(victim.predict(seen).paths, trained.predict(seen).paths)


def test_a_checkpoint_of_a_real_trainer_is_read(build: Build, tmp_path: Path) -> None:
    """What `Trainer.save_checkpoint` writes loads without unpickling objects."""
    from pytorch_lightning import Trainer

    victim = build("lstm:LSTM")
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_steps=0)
    trainer.strategy.connect(victim)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    other = altered(build("lstm:LSTM"))
    load_weights(other, tmp_path / "last.ckpt")
    assert torch.equal(other.state_dict()["time.weight"], victim.state_dict()["time.weight"])


def test_without_a_checkpoint_nothing_is_loaded(learned: str, build: Build) -> None:
    """`load_checkpoint` leaves a victim without one as it is."""
    victim = build(learned)
    before = {name: value.clone() for name, value in victim.state_dict().items()}
    victim.load_checkpoint()
    assert all(torch.equal(value, before[name]) for name, value in victim.state_dict().items())


def test_a_missing_file_is_named(build: Build) -> None:
    """The message has the path and says which files are meant."""
    with pytest.raises(MissingFile, match=r"nowhere/weights\.ckpt.*safetensors"):
        build("lstm:LSTM", checkpoint="nowhere/weights.ckpt").load_checkpoint()


def test_other_shapes_are_named_and_nothing_changes(build: Build, tmp_path: Path) -> None:
    """A checkpoint of another size says which tensors differ, and how; the victim keeps its weights."""
    save_file(build("lstm:LSTM", hidden=32).state_dict(), tmp_path / "small.safetensors")
    victim = build("lstm:LSTM")
    before = victim.state_dict()["time.bias"].clone()
    message = r"does not fit LSTM.*'encoder.weight_ih_l0' is \[128, 5\], expected \[256, 5\].*and \d+ more"
    with pytest.raises(UsageError, match=message):
        load_weights(victim, tmp_path / "small.safetensors")
    assert torch.equal(victim.state_dict()["time.bias"], before)


def test_another_models_weights_are_refused(build: Build, tmp_path: Path) -> None:
    """Missing and unknown tensors are both named."""
    weights = build("lstm:LSTM").state_dict()
    weights["extra"] = weights.pop("time.bias")
    torch.save(weights, tmp_path / "other.ckpt")
    with pytest.raises(UsageError, match=r"no 'time\.bias'.*'extra' is unknown"):
        load_weights(build("lstm:LSTM"), tmp_path / "other.ckpt")


def test_objects_are_never_unpickled(build: Build, tmp_path: Path) -> None:
    """A checkpoint with a harmful object is refused before the object can run."""
    torch.save({"state_dict": build("lstm:LSTM").state_dict(), "trap": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(DataError, match="does not unpickle"):
        load_weights(build("lstm:LSTM"), tmp_path / "trap.ckpt")
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError):
        load_weights(build("lstm:LSTM"), tmp_path / "bare.ckpt")
    assert executed == []


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.ckpt"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all"])
def test_broken_files_are_data_errors(build: Build, tmp_path: Path, name: str, content: bytes) -> None:
    """An empty or garbled file is named, whatever its ending."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        load_weights(build("lstm:LSTM"), tmp_path / name)


def test_a_cut_off_file_is_a_data_error(build: Build, tmp_path: Path) -> None:
    """Half of a good checkpoint is named, not loaded."""
    torch.save(build("lstm:LSTM").state_dict(), tmp_path / "whole.ckpt")
    whole = (tmp_path / "whole.ckpt").read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"half\.ckpt"):
        load_weights(build("lstm:LSTM"), tmp_path / "half.ckpt")


def test_files_without_tensors_are_data_errors(build: Build, tmp_path: Path) -> None:
    """A file whose content is no state dict says what was found instead."""
    torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "numbers.ckpt")
    with pytest.raises(DataError, match="found: epoch, loss"):
        load_weights(build("lstm:LSTM"), tmp_path / "numbers.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(DataError, match="found: list"):
        load_weights(build("lstm:LSTM"), tmp_path / "list.ckpt")


def test_nan_weights_are_refused(build: Build, tmp_path: Path) -> None:
    """A diverged training's checkpoint names the tensor that holds NaN."""
    weights = build("lstm:LSTM").state_dict()
    weights["time.bias"] = weights["time.bias"] * float("nan")
    save_file(weights, tmp_path / "nan.safetensors")
    with pytest.raises(DataError, match=r"NaN.*time\.bias"):
        load_weights(build("lstm:LSTM"), tmp_path / "nan.safetensors")


def test_loading_needs_no_trajectory_words(tmp_path: Path) -> None:
    """Any module's weights load, in the module's own precision."""

    class Small(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

    save_file({"layer.weight": torch.ones(1, 2), "layer.bias": torch.zeros(1)}, tmp_path / "s.safetensors")
    module = Small().double()
    load_weights(module, tmp_path / "s.safetensors")
    assert torch.equal(module.layer.weight, torch.ones(1, 2, dtype=torch.float64))
