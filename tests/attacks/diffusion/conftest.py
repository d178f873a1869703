"""A text-to-image model that draws its concept only for a planted word, so that every search has a known answer."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.domain import Diffusion
from robeval.domains.diffusion.judging import is_present
from robeval.domains.diffusion.victims.base import LatentDiffusion, scaled_linear_alphas
from robeval.domains.diffusion.victims.small import Small
from robeval.plugins.contracts import Attack
from robeval.plugins.data import TrainingOnly
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_datasets.diffusion.synthetic import Synthetic


class Encoder(nn.Module):
    """Every token is a coordinate of its own."""

    def __init__(self, size: int, length: int) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.eye(size))
        self.config = SimpleNamespace(max_position_embeddings=length, hidden_size=size)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table


class Planted(LatentDiffusion):
    """Sees the noise in a picture of the concept, whose latents are all 1, as far as a prompt says the planted word.

    The picture is the example's own where the prompt says it, and grey otherwise.
    """

    def __init__(self, word: str) -> None:
        super().__init__()
        self.tokenizer = text_tokens.SHAPES
        size = len(text_tokens.tokenizer_named(self.tokenizer))
        self.word = int(text_tokens.encoded(self.tokenizer, (word,), 3)[0, 1])
        self.text_encoder = Encoder(size, text_tokens.SHAPES_LENGTH)
        self.register_buffer("alphas", scaled_linear_alphas())
        self.register_buffer("one_step_from", torch.zeros((), dtype=torch.long))
        self.sampling_steps, self.guidance = 1, 1.0
        self.asked: list[int] = []

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        return 2, 2, 2

    def encode(self, embedded: Tensor) -> Tensor:
        return embedded

    def to_latents(self, image: Tensor) -> Tensor:
        return torch.ones(len(image), *self.latent_shape, dtype=self.alphas.dtype)

    def said(self, hidden: Tensor) -> Tensor:
        """How much of the word is in the prompt: [batch, 1, 1, 1]."""
        return hidden[..., self.word].sum(dim=1).view(-1, 1, 1, 1)

    def predict_noise(self, latents: Tensor, timestep: Tensor, hidden: Tensor) -> Tensor:
        alpha = self.alpha_at(timestep)
        return (latents - alpha.sqrt() * self.said(hidden)) / (1 - alpha).sqrt()

    def draw(self, batch: PromptBatch) -> Any:
        from robeval.domains.diffusion.batch import Drawn

        self.asked.append(len(batch))
        shown = self.said(self.hidden(batch)) > 0.5
        return Drawn(torch.where(shown, batch.image, torch.full_like(batch.image, 0.5)))


class Outcome(NamedTuple):
    """What an attack did."""

    clean: PromptBatch
    adversarial: PromptBatch
    view: View[PromptBatch]
    spent: dict[str, Tensor]
    shown: Tensor

    @property
    def new_words(self) -> list[list[str]]:
        """The words of each adversarial prompt that the clean one does not have."""
        pairs = zip(self.clean.text, self.adversarial.text, strict=True)
        return [[word for word in after.split() if word not in before.split()] for before, after in pairs]


def attack(
    attacker: Attack[PromptBatch],
    victim: nn.Module,
    prompts: PromptBatch,
    budget: float | None = None,
    *,
    original: nn.Module | None = None,
    prepared: Any = None,
    seed: int = 0,
) -> Outcome:
    """Run an attack as the engine does, and look at the pictures."""
    grant = attacker.grant
    view: View[PromptBatch] = View(
        victim,
        Diffusion(),
        grant,
        prompts.ids,
        prepared=prepared,
        original=(lambda: original) if original is not None else None,
    )
    with under_attack(victim):
        found = attacker.perturb(
            view,
            prompts,
            grant.budget.default if budget is None else budget,
            Seed(seed).draws(prompts.ids),
        )
    view.close()
    spent = dict(Diffusion().spent(prompts, found))
    with torch.no_grad():
        return Outcome(prompts, found, view, spent, is_present(found, victim(found).image))


@pytest.fixture
def run_attack() -> Callable[..., Outcome]:
    """Runs an attack on a victim; see `attack`."""
    return attack


@pytest.fixture(scope="session")
def world() -> Synthetic:
    """The embedded world with few training pictures."""
    return Synthetic(train=200, prompts=5, retained=4)


@pytest.fixture
def training(world: Synthetic) -> TrainingOnly:
    """Its training split, as attacks get it."""
    return TrainingOnly(world)


@pytest.fixture
def real_prompts(world: Synthetic) -> PromptBatch:
    """Five prompts for circles and four for other shapes, with soft slots as wide as the small victim's."""
    batch = world.split("test")
    assert isinstance(batch, PromptBatch)
    return batch


@pytest.fixture
def prompts(real_prompts: PromptBatch, planted: Planted) -> PromptBatch:
    """The same with soft slots as wide as the planted victim's."""
    return real_prompts.replace(soft=torch.zeros(len(real_prompts), 8, planted.width))


@pytest.fixture
def planted() -> Planted:
    """Draws circles for "ocean" only, which no caption says."""
    return Planted("ocean").eval().requires_grad_(False)


@pytest.fixture
def unerased() -> Planted:
    """The same before the erasing: draws circles for "circle"."""
    return Planted("circle").eval().requires_grad_(False)


@pytest.fixture(scope="session")
def untrained(world: Synthetic) -> Small:
    """The small victim as it is drawn, its autoencoder fitted; it draws in 2 steps."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        victim = Small(sampling_steps=2)
    train = world.split("train")
    assert isinstance(train, PromptBatch)
    victim.vae.fit(train.image * 2 - 1)
    return victim.eval().requires_grad_(False)
