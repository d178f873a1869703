"""`robeval export text-encoder`: from a defense or a run to a folder that others read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robeval.plugins.specs import PluginSpec

Run = Callable[..., Any]

DATASET, VICTIM = "synthetic:train=64,prompts=2,retained=2", "small:steps=2,sampling_steps=2,channels=8"
ERASER = "esd:part=text-encoder,steps=1,batch_size=2,trajectories=2"
WORLD = ("--dataset", DATASET, "--victim", VICTIM)


def test_a_defense_is_trained_and_written(robeval: Run, tmp_path: Path) -> None:
    """The weights and who made them; transformers reads the folder, and it differs from the undefended one."""
    from safetensors.torch import load_file
    from transformers import CLIPTextModel

    folders = {}
    for name, defense in (("robust", ERASER), ("plain", "none")):
        folders[name] = tmp_path / name
        outcome = robeval("export", "text-encoder", defense, folders[name], *WORLD, "--seed", 4)
        assert outcome.code == 0, outcome.err
        assert str(folders[name]) in outcome.out
    about = json.loads((folders["robust"] / "robeval.json").read_text())
    assert PluginSpec.parse(about["defense"]) == PluginSpec.parse(ERASER)
    assert PluginSpec.parse(about["victim"]) == PluginSpec.parse(VICTIM)
    assert about["seed"] == 4
    robust, plain = (load_file(folder / "model.safetensors") for folder in folders.values())
    moved = {name.removeprefix("text_model.") for name in robust if not robust[name].equal(plain[name])}
    assert moved
    assert all(name.startswith(("encoder.layers.", "final_layer_norm.")) for name in moved)
    assert CLIPTextModel.from_pretrained(folders["robust"], local_files_only=True).config.hidden_size == 64


def test_a_run_gives_the_encoder_that_it_judged(robeval: Run, tmp_path: Path) -> None:
    """The same weights as from the defense alone; with two defenses one must be chosen; the encoder then defends."""
    run, direct = tmp_path / "run", tmp_path / "direct"
    words = ("run", "diffusion", *WORLD, "--attack", "none", "--quiet")
    both = ("--defense", "none", "--defense", ERASER, "--defense", "uce:captions=4")
    outcome = robeval(*words, *both, "--seeds", 1, "--out", run)
    assert outcome.code == 0, outcome.err
    unclear = robeval("export", "text-encoder", run, tmp_path / "one")
    assert unclear.code == 2
    assert "--defense" in unclear.err
    assert "uce:captions=4" in unclear.err
    chosen = robeval("export", "text-encoder", run, tmp_path / "two", "--defense", ERASER)
    assert chosen.code == 0, chosen.err
    assert robeval("export", "text-encoder", ERASER, direct, *WORLD).code == 0
    same = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path / "two", direct)]
    assert same[0] == same[1]
    other = robeval(
        *words, "--defense", f"text-encoder:weights={direct}", "--seeds", 1, "--out", tmp_path / "next"
    )
    assert other.code == 0, other.err


def test_wrong_calls_are_usage_errors(robeval: Run, tmp_path: Path) -> None:
    """Unknown defenses, folders that are no run or not empty, and options that do not go together."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    new = tmp_path / "new"
    for words, named in (
        ((tmp_path / "full", new), "run.json"),
        (("esdd", new), "esd"),
        (("esd", tmp_path / "full"), "not empty"),
        (("esd", new, "--defense", "uce"), "--defense"),
    ):
        outcome = robeval("export", "text-encoder", *words)
        assert outcome.code == 2, words
        assert named in outcome.err
    assert not new.exists()


def test_a_run_of_another_domain(robeval: Run, tmp_path: Path) -> None:
    """A trajectory run has no text encoder."""
    run = tmp_path / "run"
    words = ("--attack", "none", "--defense", "none", "--victim", "constant-velocity", "--seeds", 1)
    made = robeval("run", "trajectory", *words, "--max-examples", 2, "--quiet", "--out", run)
    assert made.code == 0, made.err
    outcome = robeval("export", "text-encoder", run, tmp_path / "new")
    assert outcome.code == 2
    assert "trajectory" in outcome.err
