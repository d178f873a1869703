"""Small pictures in [0, 1] and their classes: what image attack libraries expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from robeval.arrays import Batch, per_example
from robeval.plugins.contracts import Domain, Metric, Trial
from robeval.plugins.defaults import Defaults


@dataclass(frozen=True)
class Pictures(Batch):
    """Pictures [batch, channels, height, width] in [0, 1] and their classes, int64 [batch]."""

    picture: Tensor
    label: Tensor


class PictureDomain(Domain[Pictures]):
    """Is a picture given its class?"""

    name: ClassVar[str] = "pictures"
    summary: ClassVar[str] = "small pictures, for benchmarks"
    batch: ClassVar[type[Batch]] = Pictures
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "", "higher", "share of pictures given their class", kind="proportion"),
    )
    defaults: ClassVar[Defaults] = Defaults("pictures", "conv", ("none", "pgd"), ("none",))
    continuous: ClassVar[tuple[str, ...]] = ("picture",)

    def score(self, trial: Trial[Pictures]) -> Mapping[str, Tensor]:
        """Accuracy and success: [batch] each."""
        was_right = trial.clean_output.argmax(dim=1) == trial.clean.label
        right = trial.output.argmax(dim=1) == trial.clean.label
        return {"accuracy": right.double(), "success": (was_right & ~right).double()}

    def spent(self, clean: Pictures, adversarial: Pictures) -> Mapping[str, Tensor]:
        """The l_inf distance; infinite where a class was changed."""
        distance = per_example(adversarial.picture - clean.picture).abs().amax(dim=1)
        relabelled = adversarial.label != clean.label
        return {"distance": torch.where(relabelled, torch.full_like(distance, torch.inf), distance)}

    def answer(self, output: Any) -> Tensor:
        """The logits."""
        logits: Tensor = output
        return logits
