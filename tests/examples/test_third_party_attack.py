"""The example that authors copy: small, complete, and as good as what it claims."""

import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch

from robeval.arrays import Batch
from robeval.plugins.discovery import GROUP, discover
from robeval.plugins.options import configure
from robeval.plugins.registry import Registry
from robeval.plugins.views import View, under_attack
from robeval.seeding import Seed

SIZE = {"train_scenes": 50, "val_scenes": 10, "test_scenes": 5}
EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_attack"


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
