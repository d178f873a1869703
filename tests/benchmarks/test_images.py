"""PGD on pictures: ours and the libraries', and what a pass costs."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from benchmarks.images.domain import PictureDomain
from benchmarks.images.libraries import Task, art, foolbox, ours, torchattacks
from benchmarks.images.models import CHANNELS, CLASSES, SIDE, Conv, PatchTransformer, pictures
from benchmarks.suite.accelerator import pass_flops


@pytest.fixture
def task() -> Task:
    """A random linear model and four pictures, attacked within 8 / 255 in eight steps."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(CHANNELS * SIDE * SIDE, CLASSES))
    batch = pictures(4, torch.Generator().manual_seed(1))
    return Task(model.eval().requires_grad_(False), batch, 8 / 255, 4 / 255, 8)


def loss(task: Task, picture: torch.Tensor) -> float:
    """The model's mean loss at pictures."""
    return float(cross_entropy(task.model(picture), task.batch.label))


@pytest.mark.parametrize("library", ["robeval", "torchattacks", "foolbox", "art"])
def test_every_way_climbs_inside_the_ball(library: str, task: Task) -> None:
    """Pictures stay within the radius and [0, 1], and the loss rises by nearly all that a linear model allows."""
    if library != "robeval":
        pytest.importorskip(library)
    way = {"robeval": ours, "torchattacks": torchattacks, "foolbox": foolbox, "art": art}[library](task)
    found, clean = way(0), task.batch.picture
    assert float((found - clean).abs().max()) <= task.radius + 1e-6
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    corner = clean + task.radius * _slope(task).sign()
    most = loss(task, corner.clamp(0, 1)) - loss(task, clean)
    assert loss(task, found) - loss(task, clean) >= 0.8 * most


def _slope(task: Task) -> torch.Tensor:
    live = task.batch.picture.clone().requires_grad_()
    (slope,) = torch.autograd.grad(cross_entropy(task.model(live), task.batch.label, reduction="sum"), live)
    return slope


def test_rounds_draw_anew_and_repeat(task: Task) -> None:
    """Another round starts elsewhere; the same round ends at the same place."""
    way = ours(task)
    assert torch.equal(way(1), way(1))
    assert not torch.equal(way(1), way(2))


@pytest.mark.parametrize("model", [Conv(4), PatchTransformer(16, 1)])
def test_models_answer_for_every_class(model: torch.nn.Module) -> None:
    """Logits: one row per picture, one column per class."""
    assert model.eval()(pictures(2, torch.Generator()).picture).shape == (2, CLASSES)


def test_spent_is_the_largest_change() -> None:
    """A pixel moved by 0.1 spends 0.1; an exchanged class spends everything."""
    clean = pictures(2, torch.Generator().manual_seed(0))
    moved = clean.picture.clone()
    moved[0, 0, 0, 0] += 0.1
    label = clean.label.clone()
    label[1] += 1
    spent = PictureDomain().spent(clean, clean.replace(picture=moved, label=label))["distance"]
    assert spent.tolist() == [pytest.approx(0.1, abs=1e-6), float("inf")]


def test_operations_of_a_linear_layer() -> None:
    """Forward and back to the input: a multiplication and an addition per weight and row, each way."""
    layer = torch.nn.Linear(5, 3, bias=False).requires_grad_(False)
    assert pass_flops(layer, torch.randn(7, 5)) == 2 * (2 * 7 * 5 * 3)
