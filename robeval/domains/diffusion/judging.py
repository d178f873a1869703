"""Who says what a picture shows: concept detectors, by name. The same judge for attacks, defenses and figures."""

from abc import abstractmethod
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robeval.domains.diffusion.batch import PromptBatch
from robeval.errors import DataError

SHAPES = "shapes"


class Judge(nn.Module):
    """A classifier of pictures with one or more heads; each head's classes exclude each other."""

    heads: tuple[tuple[str, ...], ...]
    """The class names of every head."""

    @abstractmethod
    def probabilities(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Probabilities of all classes, head after head; pictures in [0, 1]. Differentiable."""

    @abstractmethod
    def features(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """What the heads are computed from: the space of FID and KID."""

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """The probabilities."""
        return self.probabilities(image)

    def by_head(self, probability: Float[Tensor, "batch classes"]) -> tuple[Tensor, ...]:
        """The probabilities of every head: [batch, its classes] each."""
        return torch.split(probability, [len(head) for head in self.heads], dim=1)

    def place(self, concept: str) -> tuple[int, int]:
        """The head and the class of a concept. Raises DataError for one that it cannot tell."""
        for number, head in enumerate(self.heads):
            if concept in head:
                return number, head.index(concept)
        known = [name for head in self.heads for name in head]
        shown = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
        raise DataError(f"the detector does not know the concept '{concept}'. It knows: {shown}")

    def named(self, concept: str, labels: list[int]) -> str:
        """What a caption asks for in the concept's own head: its neighbour; empty where it says nothing."""
        head, _ = self.place(concept)
        return self.heads[head][labels[head]] if labels[head] >= 0 else ""


def judge_of(batch: PromptBatch) -> Judge:
    """The frozen judge that a batch names, on the batch's device."""
    return judge_named(batch.detector, tuple(sorted(set(batch.concept)))).to(batch.device)


@lru_cache(maxsize=4)
def judge_named(name: str, concepts: tuple[str, ...] = ()) -> Judge:
    """The embedded judge ("shapes"), a transformers image classifier, or a CLIP that compares with `concepts`.

    Raises MissingFile or DataError when it cannot be loaded.
    """
    if name == SHAPES:
        from robeval.domains.diffusion.shapes_judge import shapes_judge

        return frozen(shapes_judge())
    from robeval.domains.diffusion.pretrained_judge import pretrained_judge

    return frozen(pretrained_judge(name, concepts))


def frozen(judge: Judge) -> Judge:
    """The judge in evaluation mode, its weights without gradients."""
    judge.eval()
    for weight in judge.parameters():
        weight.requires_grad_(False)
    return judge


def presence(batch: PromptBatch, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
    """How sure the judge is that each picture shows its example's concept; 0 for pictures with NaN. Differentiable."""
    judge = judge_of(batch)
    fine = image.isfinite().flatten(1).all(dim=1)
    probability = judge(image.nan_to_num())
    starts = torch.tensor([0, *[len(head) for head in judge.heads]]).cumsum(0).tolist()
    places = [judge.place(concept) for concept in batch.concept]
    column = torch.tensor([starts[head] + index for head, index in places], device=image.device)
    found = probability.gather(1, column[:, None]).squeeze(1)
    return torch.where(fine, found, torch.zeros_like(found))


def is_present(batch: PromptBatch, image: Float[Tensor, "batch 3 height width"]) -> Bool[Tensor, " batch"]:
    """Whether the judge sees the concept: surer than the batch's threshold, and surer than of any other class."""
    judge = judge_of(batch)
    sure = presence(batch, image)
    best = torch.stack([head.amax(dim=1) for head in judge.by_head(judge(image.nan_to_num()))], dim=1)
    heads = torch.tensor([judge.place(concept)[0] for concept in batch.concept], device=image.device)
    own = best.gather(1, heads[:, None]).squeeze(1)
    return (sure >= batch.threshold) & (sure >= own)
