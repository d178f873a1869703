"""Makes the weights of the embedded judge: `python -m robeval_datasets.diffusion.train_judge` (about 40 CPU-seconds).

Prints its accuracy per head on held-out pictures, and the share of pictures of other concepts whose probability
reaches the threshold of 0.5.
"""

import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int64
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from robeval.domains.diffusion.shapes_judge import WEIGHTS, ShapesJudge
from robeval.domains.diffusion.world import HEADS
from robeval.plugins.victim import adam
from robeval.seeding import Seed
from robeval_datasets.diffusion.drawing import drawn

STEPS = 900
BATCH = 128
MOST_NOISE = 0.35 / 2
"""Of the pictures in training, in units of [0, 1]: generated pictures are not as clean as drawn ones."""


class JudgeTraining(pl.LightningModule):
    """Cross entropy of all heads on noisy pictures."""

    def __init__(self, judge: ShapesJudge, steps: int) -> None:
        super().__init__()
        self.judge = judge
        self.steps = steps

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """The sum over the heads."""
        image, kind = batch
        strength = torch.rand(len(image), 1, 1, 1) * MOST_NOISE
        noisy = (image + strength * torch.randn_like(image)).clamp(0, 1)
        heads = self.judge.by_head(self.judge.logits(noisy))
        return torch.stack([cross_entropy(head, kind[:, n]) for n, head in enumerate(heads)]).sum()

    def configure_optimizers(self) -> Any:
        """Adam, its rate falling to a tenth."""
        return adam(self.judge, 2e-3, self.steps)


def pictures(
    count: int, seed: Seed
) -> tuple[Float[Tensor, "batch 3 height width"], Int64[Tensor, "batch 3"]]:
    """Random pictures and what they show."""
    draw = seed.draws([str(number) for number in range(count)])
    kind = torch.stack([draw.integers(len(head)) for head in HEADS], dim=1)
    return drawn(kind, draw), kind


def trained_judge(seed: Seed, steps: int = STEPS, count: int = 6000) -> ShapesJudge:
    """A judge trained from the start."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed.integer())
        training = JudgeTraining(ShapesJudge(), steps)
        data = TensorDataset(*pictures(count, seed.child("train")))
        loader = DataLoader(data, BATCH, shuffle=True, drop_last=True, generator=seed.generator())
        trainer = pl.Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(training, loader)
    return training.judge.eval()


def accuracy(judge: ShapesJudge, seed: Seed, count: int = 2000) -> list[float]:
    """The share of right answers on held-out pictures, per head."""
    image, kind = pictures(count, seed.child("held out"))
    with torch.no_grad():
        heads = judge.by_head(judge(image))
    return [float((head.argmax(dim=1) == kind[:, n]).float().mean()) for n, head in enumerate(heads)]


def false_alarms(judge: ShapesJudge, seed: Seed, threshold: float, count: int = 2000) -> list[float]:
    """The share of (held-out picture, class that it does not show) with a probability from `threshold`, per head."""
    image, kind = pictures(count, seed.child("held out"))
    with torch.no_grad():
        heads = judge.by_head(judge(image))
    return [
        float((head >= threshold).scatter(1, kind[:, n : n + 1], False).float().sum(1).mean())
        for n, head in enumerate(heads)
    ]


def main() -> None:
    """Train, report, write."""
    seed = Seed(0).child("judge")
    judge = trained_judge(seed)
    print("accuracy", accuracy(judge, seed), "false alarms at 0.5", false_alarms(judge, seed, 0.5))
    save_file(judge.state_dict(), str(WEIGHTS))


if __name__ == "__main__":
    main()
