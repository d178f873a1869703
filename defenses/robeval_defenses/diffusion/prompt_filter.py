"""A filter in front of the model: prompts that ask for the concept get a grey picture."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import Drawn, PromptBatch
from robeval.domains.diffusion.victims.base import Around, generator
from robeval.plugins.contracts import Defense, GradientPath
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval_defenses.diffusion.captions import known_captions, some_captions
from robeval_defenses.diffusion.refusing import refused

Kind = Literal["meaning", "words"]


@dataclass(frozen=True)
class PromptFilter(Defense):
    """Refuse prompts that name the concept (`by=words`), or that the text encoder reads as if they did.

    `by=meaning` places the text encoder's state behind the last word on the line between the means of captions that
    name the concept and of others; the threshold refuses `false_alarms` of the others. An attacker who asks the
    network directly goes around the filter, and gradients do not know of refusals: `alarm` says how near one is.

    Source: a baseline; services in front of text-to-image models filter prompts by words and by their meaning.
    """

    gradient: ClassVar[GradientPath] = "straight-through"

    by: Annotated[Kind, Field(description="what is looked at")] = "meaning"
    words: Annotated[tuple[str, ...], Field(description="further words to refuse, for by=words")] = ()
    false_alarms: Annotated[
        float, Field(gt=0, lt=1, description="share of other training captions refused, for by=meaning")
    ] = 0.02
    captions: Annotated[int, Field(ge=8, description="captions of each kind to calibrate on")] = 256

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the filter."""
        known = known_captions(data)
        if self.by == "words":
            return WordFilter(victim, (known.concept, *self.words))
        filtered = MeaningFilter(victim)
        with torch.no_grad():
            named, others = (
                filtered.read(some_captions(texts, self.captions, seed.child("captions", number)))
                for number, texts in enumerate((known.naming, known.others))
            )
        filtered.calibrate(named, others, self.false_alarms)
        return filtered


class Filter(Around):
    """The victim behind a look at the prompt. Write `alarm`."""

    @abstractmethod
    def alarm(self, batch: PromptBatch) -> Float[Tensor, " batch"]:
        """How far each prompt is beyond what is let through; above 0 it is refused."""

    def forward(self, question: Any) -> Any:
        """Pictures, grey where the prompt is refused; direct questions to the network pass."""
        answer = self.victim(question)
        if not isinstance(question, PromptBatch):
            return answer
        with torch.no_grad():
            stopped = self.alarm(question) > 0
        return Drawn(refused(answer.image, stopped))


class WordFilter(Filter):
    """Refuses prompts with one of some words (or phrases) in them."""

    def __init__(self, victim: nn.Module, words: tuple[str, ...]) -> None:
        super().__init__(victim)
        self.words = tuple(" ".join(word.lower().split()) for word in words)

    def alarm(self, batch: PromptBatch) -> Float[Tensor, " batch"]:
        """1 where a word is found, else -1: there is nothing to follow a gradient along."""
        named = [any(f" {word} " in f" {text} " for word in self.words) for text in batch.as_text().text]
        return torch.tensor(named, device=batch.device).float() * 2 - 1


class MeaningFilter(Filter):
    """Refuses prompts whose state lies too near to that of captions that name the concept."""

    direction: Tensor
    threshold: Tensor

    def __init__(self, victim: nn.Module) -> None:
        super().__init__(victim)
        table = generator(victim).token_table.weight
        self.register_buffer("direction", torch.zeros_like(table[0]))
        self.register_buffer("threshold", torch.zeros_like(table[0, 0]))

    def calibrate(
        self,
        named: Float[Tensor, "named features"],
        others: Float[Tensor, "others features"],
        false_alarms: float,
    ) -> None:
        """The line between both means; on it, the point beyond which a share of the others lies."""
        line = named.mean(dim=0) - others.mean(dim=0)
        # States vary much in some directions, whatever is asked for: Fisher's discriminant leaves those out.
        spread = torch.cat([named - named.mean(dim=0), others - others.mean(dim=0)])
        within = spread.T @ spread / len(spread)
        ridge = 1e-2 * within.diagonal().mean() * torch.eye(len(line), device=line.device)
        direction = torch.linalg.solve(within + ridge, line)
        self.direction.copy_(direction / direction.norm().clamp_min(1e-12))
        self.threshold.copy_((others @ self.direction).quantile(1 - false_alarms))

    def read(self, texts: tuple[str, ...]) -> Float[Tensor, "batch features"]:
        """The text encoder's states behind the last word."""
        model = generator(self)
        tokens = text_tokens.encoded(model.tokenizer, texts, model.length).to(self.direction.device)
        return behind(model.encode(model.embed(tokens)), text_tokens.first_end(model.tokenizer, tokens))

    def alarm(self, batch: PromptBatch) -> Float[Tensor, " batch"]:
        """How far a prompt's state lies beyond the threshold; differentiable in the soft slots."""
        model = generator(self)
        read = batch.as_text()
        used = (read.soft != 0).any(dim=-1).sum(dim=1)
        end = (text_tokens.first_end(model.tokenizer, read.tokens) + used).clamp_max(model.length - 1)
        return behind(model.hidden(batch), end) @ self.direction - self.threshold


def behind(
    states: Float[Tensor, "batch length features"], end: Int64[Tensor, " batch"]
) -> Float[Tensor, "batch features"]:
    """Each row's state at its end token: what the text encoder makes of the whole text."""
    return states[torch.arange(len(states), device=states.device), end]
