"""Untrained models of the embedded world, small enough to train for a few steps."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.small import Small
from robeval.engine.quiet import quiet_lightning
from robeval.plugins.contracts import Defense
from robeval.plugins.data import TrainingOnly
from robeval.seeding import Seed
from robeval_datasets.diffusion.synthetic import Synthetic


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def world() -> Synthetic:
    """The embedded world with few pictures."""
    return Synthetic(train=256, prompts=4, retained=4)


@pytest.fixture(scope="session")
def training(world: Synthetic) -> TrainingOnly:
    """What a defense sees of it."""
    return TrainingOnly(world)


@pytest.fixture
def prompts(world: Synthetic) -> PromptBatch:
    """Four prompts for circles, four for others."""
    batch = world.split("test")
    assert isinstance(batch, PromptBatch)
    return batch


@pytest.fixture
def victim(world: Synthetic) -> Small:
    """A narrow model with random weights; it draws in 3 steps."""
    return narrow(world, seed=0)


def narrow(world: Synthetic, seed: int) -> Small:
    """A model of 8 channels whose text matters: what reads it is not as weak as it is drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Small(sampling_steps=3, channels=8)
    made.vae.fit(world.split("train").image * 2 - 1)
    with torch.no_grad():
        for name, weight in made.text_encoder.named_parameters():
            if "embedding" in name:
                weight.mul_(20)
        for name, weight in made.unet.named_parameters():
            if ".attn2.to_v" in name or ".attn2.to_out" in name:
                weight.mul_(3)
    return made.eval()


@pytest.fixture
def other_victim(world: Synthetic) -> Small:
    """Another one of the same shape."""
    return narrow(world, seed=1)


@pytest.fixture
def trained(training: TrainingOnly) -> Callable[..., Any]:
    """Trains a victim under a defense as the engine does; the training module."""

    def train(defense: Defense, victim: Small, seed: int = 0) -> Any:
        module: Any = defense.robustify(victim.train(), training, Seed(seed))
        training.train_batch_size = module.train_batch_size
        with quiet_lightning(), torch.random.fork_rng():
            trainer = pl.Trainer(
                max_steps=module.steps, max_epochs=-1, accelerator="cpu", logger=False, gradient_clip_val=1.0,
                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            )  # fmt: skip
            trainer.fit(module, train_dataloaders=training.train_dataloader())
        victim.eval()
        return module

    return train


@pytest.fixture
def changed() -> Callable[[Small, dict[str, torch.Tensor]], set[str]]:
    """The names of the weights that are not as they were."""

    def names(victim: Small, before: dict[str, torch.Tensor]) -> set[str]:
        return {name for name, value in victim.state_dict().items() if not torch.equal(value, before[name])}

    return names
