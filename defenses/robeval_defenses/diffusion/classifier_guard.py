"""A guard behind the model: pictures that show the concept are not handed out."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.diffusion.batch import Drawn, PromptBatch
from robeval.domains.diffusion.judging import presence
from robeval.domains.diffusion.victims.base import Around
from robeval.plugins.contracts import Defense, GradientPath
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval_defenses.diffusion.guard import trained_guard
from robeval_defenses.diffusion.refusing import refused


@dataclass(frozen=True)
class ClassifierGuard(Defense):
    """Look at every picture before it is handed out, and withhold those that show the concept.

    The guard is a small network of its own, trained on the training split's pictures when it is deployed; the judge
    that counts successes is another one. With `classifier` it is an image classifier or CLIP by folder or name: if
    that is the judge's own, every success is withheld by construction, which measures nothing. The network itself is
    as it was: questions to it pass, gradients do not know of the guard, and `alarm` says how near a refusal is.

    Source: a baseline; the safety checker of Stable Diffusion's pipelines is one (Rando et al.,
    arXiv:2210.04610).
    """

    gradient: ClassVar[GradientPath] = "straight-through"

    threshold: Annotated[
        float, Field(gt=0, lt=1, description="the guard's probability from which a picture is withheld")
    ] = 0.5
    classifier: Annotated[
        str,
        Field(description="image classifier or CLIP, folder or hub name; empty: a small network is trained"),
    ] = ""
    steps: Annotated[int, Field(ge=1, description="training steps of the small network")] = 150

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the guard."""
        if self.classifier:
            return Guarded(victim, NamedGuard(self.classifier), self.threshold)
        return Guarded(victim, trained_guard(data, self.steps, seed), self.threshold)


class NamedGuard(nn.Module):
    """A pretrained classifier as a guard."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(
        self, batch: PromptBatch, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """The probability of each row's concept."""
        return presence(batch.replace(detector=self.name), image)


class Guarded(Around):
    """The victim, its pictures looked at by a guard: a module of (batch, pictures) to probabilities."""

    def __init__(self, victim: nn.Module, guard: nn.Module, threshold: float) -> None:
        super().__init__(victim)
        self.guard, self.threshold = guard, threshold

    def forward(self, question: Any) -> Any:
        """Pictures, grey where the guard sees the concept; direct questions to the network pass."""
        answer = self.victim(question)
        if not isinstance(question, PromptBatch):
            return answer
        with torch.no_grad():
            stopped = self.guard(question, answer.image) >= self.threshold
        return Drawn(refused(answer.image, stopped))

    def alarm(self, batch: PromptBatch) -> Float[Tensor, " batch"]:
        """How far the guard's probability for the drawn picture lies beyond the threshold: a drawing a row."""
        seen: Tensor = self.guard(batch, self.victim(batch).image)
        return seen - self.threshold
