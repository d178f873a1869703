"""Victims: a LightningModule of one domain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor

from robeval.plugins.weights import load_weights


class Victim(pl.LightningModule, ABC):
    """Base of all victims. Subclasses take their options as keyword arguments of `__init__`.

    `forward(batch)` answers for a whole batch, each example on its own (batch independence).
    `steps`, `train_batch_size` and `learning_rate` are the training recipe; `steps = 0` needs none.
    With a `checkpoint` (safetensors, or a Lightning .ckpt read with ``weights_only=True``) nothing is trained.
    """

    domain: ClassVar[str]
    steps: int = 0
    train_batch_size: int = 64
    learning_rate: float = 1e-3
    checkpoint: str | None = None

    @abstractmethod
    def forward(self, batch: Any) -> Any:
        """The victim's answer for every example."""

    def loss(self, batch: Any) -> Tensor:
        """The training loss of every example: [batch]. Defenses build their objectives on it."""
        raise NotImplementedError(f"{type(self).__name__} cannot be trained")

    def load_checkpoint(self) -> None:
        """Take the weights of `checkpoint`, if there is one; see `load_weights` for what is raised."""
        if self.checkpoint is not None:
            load_weights(self, self.checkpoint)

    def training_step(self, batch: Any, index: int = 0) -> Tensor:
        """The mean loss."""
        return self.loss(batch).mean()

    def configure_optimizers(self) -> Any:
        """Adam with cosine decay over `steps`."""
        return adam(self, self.learning_rate, self.steps)


def adam(module: torch.nn.Module, learning_rate: float, steps: int) -> Any:
    """Adam with cosine decay to a tenth, stepped per batch, as Lightning wants it."""
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1), learning_rate / 10)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class RobustTraining(pl.LightningModule, ABC):
    """A training objective of a defense around a victim; `Trainer.fit` trains it, the victim inside is kept."""

    def __init__(self, victim: Victim, steps: int | None = None) -> None:
        super().__init__()
        self.victim = victim
        self.steps = victim.steps if steps is None else steps
        self.train_batch_size = victim.train_batch_size
        self.learning_rate = victim.learning_rate

    @abstractmethod
    def objective(self, batch: Any) -> Tensor:
        """The loss of every example: [batch]."""

    def training_step(self, batch: Any, index: int = 0) -> Tensor:
        """The mean objective."""
        return self.objective(batch).mean()

    def configure_optimizers(self) -> Any:
        """The victim's own recipe."""
        return adam(self, self.learning_rate, self.steps)
