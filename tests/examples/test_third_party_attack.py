"""The example that authors copy: small, complete, and as good as what it claims."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch

from robeval.arrays import Batch
from robeval.plugins.discovery import GROUP, discover
from robeval.plugins.freezing import under_attack
from robeval.plugins.options import configure
from robeval.plugins.registry import Registry
from robeval.plugins.views import View
from robeval.seeding import Seed

SIZE = {"train_scenes": 50, "val_scenes": 10, "test_scenes": 5}
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "third_party_attack"


@pytest.fixture
def registry() -> Registry:
    """Built-ins and the example, given as a folder."""
    return discover([EXAMPLE / "robeval_drift"])


@pytest.fixture
def scenes(registry: Registry) -> Batch:
    """A few scenes of the synthetic set."""
    data = configure(registry.load("dataset", "trajectory/synthetic"), SIZE, "dataset")
    return data.split("test").select(range(5))


def attacked(registry: Registry, scenes: Batch, budget: float, restarts: int) -> Batch:
    """The example's attack on a victim that keeps the last velocity."""
    victim = configure(registry.load("victim", "trajectory/constant-velocity"), {}, "victim")
    drift = configure(registry.load("attack", "trajectory/drift"), {"restarts": restarts}, "attack")
    domain = registry.load("domain", "trajectory")()
    view = View(victim.eval(), domain, drift.threat, scenes.ids)
    with under_attack(victim):
        found: Batch = drift.perturb(view, scenes, budget, Seed(0).draws(scenes.ids))
    assert view.queries.tolist() == [restarts] * len(scenes)
    return found


def test_the_attack_fits_on_a_page() -> None:
    """An author's whole file has fewer than 40 lines."""
    assert len((EXAMPLE / "robeval_drift" / "drift.py").read_text().splitlines()) < 40


def test_the_package_names_its_register_function() -> None:
    """The entry point leads to a function that registers the attack."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][GROUP] == {"drift": "robeval_drift:register"}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        registry = Registry()
        import_module("robeval_drift").register(registry)
        assert registry.load("attack", "trajectory/drift").__name__ == "Drift"


def test_the_package_is_built_installed_tested_and_run(tmp_path: Path) -> None:
    """A wheel of it, unpacked on the path, is found by its entry point, passes its own test and gives a figure."""

    def ran(*words: object) -> str:
        packages = [ROOT, *(ROOT / name for name in ("attacks", "defenses", "datasets")), tmp_path / "site"]
        changes = {"PYTHONPATH": os.pathsep.join(map(str, packages)), "COLUMNS": "200"}
        command = [sys.executable, "-m", *map(str, words)]
        environment = {**os.environ, **changes}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shutil.copytree(EXAMPLE, tmp_path / "source")
    ran("build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", tmp_path / "source")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    ran("pip", "install", "--quiet", "--no-deps", "--no-index", "--target", tmp_path / "site", wheel)
    assert " passed" in ran("pytest", "-q", "-p", "no:cacheprovider", "source/tests")
    size = ("--victim", "constant-velocity", "-d", "none", "--max-examples", 8)
    ran("robeval", "run", "trajectory", "-a", "drift:restarts=8", *size, "--json", "cells.json")
    clean, drift = json.loads((tmp_path / "cells.json").read_text())["cells"]
    assert (drift["attack"], drift["status"], drift["verdict"]) == ("drift:restarts=8", "done", "ok")
    assert drift["metrics"]["ade"]["value"] > clean["metrics"]["ade"]["value"]


@pytest.mark.parametrize("budget", [0.25, 1.0])
def test_every_observed_position_moves_by_the_budget(
    registry: Registry, scenes: Batch, budget: float
) -> None:
    """All in one direction, the unobserved future stays, and the input is not changed."""
    before = scenes.select(slice(None)).track.clone()
    moved = attacked(registry, scenes, budget, 3)
    shift = moved.track - scenes.track
    seen = scenes.present[:, 0, : scenes.attacked]
    assert torch.equal(scenes.track, before)
    assert moved.ids == scenes.ids
    assert (shift[:, 1:] == 0).all()
    assert (shift[:, 0, scenes.attacked :] == 0).all()
    torch.testing.assert_close(shift[:, 0, : scenes.attacked].norm(dim=-1), budget * seen.float())


def test_more_directions_never_help_the_victim(registry: Registry, scenes: Batch) -> None:
    """The worst of eight is at least as bad as the worst of the first two, for every scene."""
    domain_victim = configure(registry.load("victim", "trajectory/constant-velocity"), {}, "victim").eval()

    def miss(batch: Batch) -> torch.Tensor:
        path = domain_victim(batch).most_likely()
        return (path - scenes.future()).norm(dim=-1).flatten(1).mean(dim=1)

    few, many = (miss(attacked(registry, scenes, 1.0, restarts)) for restarts in (2, 8))
    assert (many >= few - 1e-6).all()
    assert (many > few + 1e-3).any()


def test_a_scene_is_attacked_the_same_alone_and_in_company(registry: Registry, scenes: Batch) -> None:
    """Neighbours in the batch do not matter."""
    together, alone = attacked(registry, scenes, 1.0, 4), attacked(registry, scenes.select([3]), 1.0, 4)
    torch.testing.assert_close(together.select([3]).track, alone.track)
