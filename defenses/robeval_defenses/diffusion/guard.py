"""The small network that `classifier-guard` trains on the pictures of the training split."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.judging import judge_of
from robeval.errors import DataError
from robeval.plugins.data import Dataset
from robeval.seeding import Seed

BATCH = 64
NOISE = 0.2
"""Spread of the noise on training pictures: drawn pictures are never as clean as rendered ones."""
FEWEST = 8


class SmallGuard(nn.Module):
    """Three strided convolutions and a mean: the probability that a picture shows the concept."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 32)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 1))

    def logit(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
        """Above 0 where the concept is more likely there than not."""
        return cast(Tensor, self.body(image * 2 - 1)).squeeze(1)

    def forward(
        self, batch: PromptBatch, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """The probability; 0 for pictures with NaN, which show nothing."""
        fine = image.isfinite().flatten(1).all(dim=1)
        found = self.logit(image.nan_to_num()).sigmoid()
        return torch.where(fine, found, torch.zeros_like(found))


def trained_guard(data: Dataset, steps: int, seed: Seed) -> SmallGuard:
    """A guard from the training split's pictures and from which of them show the concept.

    Raises DataError when there are too few pictures of either kind.
    """
    train = data.split("train")
    assert isinstance(train, PromptBatch)
    pictured = told(train.select(train.image.isfinite().flatten(1).all(dim=1)))
    shows = int(pictured.targeted.sum())
    if min(shows, len(pictured) - shows) < FEWEST:
        raise DataError(
            f"a guard learns from pictures: the training split has {shows} that show '{train.concept[0]}' and "
            f"{len(pictured) - shows} that do not, and at least {FEWEST} of each are needed. "
            "Give an image classifier: classifier-guard:classifier=FOLDER_OR_NAME"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed.child("weights").integer())
        guard = SmallGuard()
    _fit(guard, pictured, steps, seed)
    return guard.eval().requires_grad_(False)


def told(pictured: PromptBatch) -> PromptBatch:
    """The rows whose caption says whether the concept is shown: "a square" says nothing of red.

    All rows where no other class is ever named.
    """
    if not len(pictured):
        return pictured
    head, _ = judge_of(pictured).place(pictured.concept[0])
    says = pictured.labels[:, head] >= 0
    known = pictured.targeted | says
    return pictured.select(known) if bool((says & ~pictured.targeted).any()) else pictured


def _fit(guard: SmallGuard, pictured: PromptBatch, steps: int, seed: Seed) -> None:
    """Both kinds are drawn equally often."""
    weight = torch.where(pictured.targeted, 1 / pictured.targeted.sum(), 1 / (~pictured.targeted).sum())
    optimizer = torch.optim.AdamW(guard.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    lots = seed.child("lots").generator()
    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.multinomial(weight, BATCH, replacement=True, generator=lots)
            image = pictured.image[rows]
            noise = torch.randn(image.shape, generator=lots) * torch.rand(BATCH, 1, 1, 1, generator=lots)
            logit = guard.logit(image + NOISE * noise)
            loss = binary_cross_entropy_with_logits(logit, pictured.targeted[rows].float())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
