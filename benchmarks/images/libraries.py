"""The same PGD as each library offers it, through the library's own public call.

Every way is a function of pictures and a round's number that returns perturbed pictures. The weights are frozen for
all of them, so that none computes gradients by the weights, which some do by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.images.domain import PictureDomain, Pictures
from benchmarks.images.models import CLASSES, OfPictures
from benchmarks.images.pgd import PGD
from benchmarks.machine import version_of
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed

Way = Callable[[int], Tensor]
PEERS = {"torchattacks": "torchattacks", "foolbox": "foolbox", "ART": "adversarial-robustness-toolbox"}
"""Shown name → distribution."""


@dataclass(frozen=True)
class Task:
    """Whom to attack, with what, how far."""

    model: nn.Module
    batch: Pictures
    radius: float
    step_size: float
    steps: int


def bare(task: Task) -> Way:
    """As many passes forward and backward, and nothing else."""

    def passes(number: int) -> Tensor:
        live = task.batch.picture.clone().requires_grad_()
        for _ in range(task.steps):
            loss = cross_entropy(task.model(live), task.batch.label, reduction="sum")
            torch.autograd.grad(loss, live)
        return live.detach()

    return passes


def ours(task: Task) -> Way:
    """robeval: the attack plugin, through the engine's view of the victim."""
    victim, domain = OfPictures(task.model).eval(), PictureDomain()
    attack = PGD(iterations=task.steps, step_size=task.step_size)

    def perturbed(number: int) -> Tensor:
        view: View[Pictures] = View(victim, domain, attack.grant, task.batch.ids)
        with under_attack(victim):
            found = attack.perturb(view, task.batch, task.radius, Seed(number).draws(task.batch.ids))
        view.close()
        return found.picture

    return perturbed


def torchattacks(task: Task) -> Way:
    """torchattacks.PGD."""
    from torchattacks import PGD as Theirs

    attack = Theirs(task.model, eps=task.radius, alpha=task.step_size, steps=task.steps, random_start=True)

    def perturbed(number: int) -> Tensor:
        torch.manual_seed(number)
        found: Tensor = attack(task.batch.picture, task.batch.label)
        return found

    return perturbed


def foolbox(task: Task) -> Way:
    """foolbox's LinfPGD, by `run`: without the two further passes with which its call judges success."""
    from foolbox import PyTorchModel
    from foolbox.attacks import LinfPGD

    model = PyTorchModel(task.model, bounds=(0, 1), device="cpu")
    attack = LinfPGD(abs_stepsize=task.step_size, steps=task.steps, random_start=True)

    def perturbed(number: int) -> Tensor:
        torch.manual_seed(number)
        found: Tensor = attack.run(model, task.batch.picture, task.batch.label, epsilon=task.radius)
        return found

    return perturbed


def art(task: Task) -> Way:
    """ART's ProjectedGradientDescentPyTorch; it takes and gives numpy arrays."""
    import numpy as np
    from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_pytorch import (
        ProjectedGradientDescentPyTorch,
    )
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        task.model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(task.batch.picture.shape[1:]),
        nb_classes=CLASSES,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    attack = ProjectedGradientDescentPyTorch(
        classifier,
        norm=np.inf,
        eps=task.radius,
        eps_step=task.step_size,
        max_iter=task.steps,
        num_random_init=1,
        batch_size=len(task.batch),
        verbose=False,
    )
    pictures, labels = task.batch.picture.numpy(), task.batch.label.numpy()

    def perturbed(number: int) -> Tensor:
        np.random.seed(number)  # noqa: NPY002 - the generator that ART draws from
        return torch.from_numpy(attack.generate(pictures, labels))

    return perturbed


def installed() -> dict[str, Callable[[Task], Way]]:
    """The peers that are here, with their versions in their names."""
    ways = {"torchattacks": torchattacks, "foolbox": foolbox, "ART": art}
    return {
        f"{name} {version}": ways[name] for name, package in PEERS.items() if (version := version_of(package))
    }


def missing() -> list[str]:
    """The peers that are not."""
    return [name for name, package in PEERS.items() if not version_of(package)]
