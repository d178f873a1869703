"""Greedy coordinate gradient: tokens are exchanged one at a time, and only for what the victim itself proves better."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import LatentDiffusion, generator
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.diffusion.aim import Aim, Question, original_of, target_latents
from robeval_attacks.diffusion.catch import Catch
from robeval_attacks.diffusion.hunting import TOKENS, hunted
from robeval_attacks.diffusion.places import Places, places
from robeval_attacks.diffusion.pursuit import denoising_loss, reads_alarms
from robeval_attacks.diffusion.wording import Vocabulary, fitness

TOP_LEVEL = 0.8
"""Of the timesteps: in nearly pure noise the words that draw the concept are not those that find the noise best."""


class Exam(NamedTuple):
    """A question, and how far the untouched prompts are from the aim in it: levels differ by orders of magnitude."""

    question: Question
    plain: Float[Tensor, " rows"]

    def repeated(self, times: int) -> "Exam":
        """Every row `times` times, adjacent."""
        again = Question(*(value.repeat_interleave(times, dim=0) for value in self.question))
        return Exam(again, self.plain.repeat_interleave(times))

    def error(
        self, view: View[Any], prompts: PromptBatch, embedded: Float[Tensor, "rows length features"]
    ) -> Float[Tensor, " rows"]:
        """The error of the noise that the victim sees, relative to the untouched prompt's."""
        return denoising_loss(view, prompts, self.question, embedded) / self.plain


@dataclass(frozen=True)
class Trigger:
    """The tokens in the free places of prompts, as places in the vocabulary, and how far they are from the aim."""

    view: View[Any]
    model: LatentDiffusion
    prompts: PromptBatch
    places: Places
    vocabulary: Vocabulary
    words: Int64[Tensor, "rows slots"]
    is_wary: bool

    def written(self, words: Int64[Tensor, "rows options slots"]) -> PromptBatch:
        """The prompts with these words, an example's options adjacent."""
        count = words.shape[1]
        tokens = self.places.repeat(count).written(self.vocabulary.ids[words].flatten(0, 1))
        return self.prompts.repeat(count).replace(tokens=tokens)

    def fits(self, found: PromptBatch) -> Bool[Tensor, " rows"]:
        """Which prompts are text and raise no alarm."""
        return fitness(self.view, self.is_wary, found) == 2

    @torch.no_grad()
    def exam(self, question: Question) -> Exam:
        """The question with what the untouched prompts answer."""
        embedded = self.model.embed(self.prompts.tokens)
        return Exam(question, denoising_loss(self.view, self.prompts, question, embedded).clamp_min(1e-12))

    @torch.no_grad()
    def loss(
        self, words: Int64[Tensor, "rows options slots"], exams: list[Exam]
    ) -> Float[Tensor, "rows options"]:
        """The relative error of the noise that the victim sees, averaged over the questions.

        Infinite for words that are no text, and for those that raise an alarm of a detector in the victim.
        """
        found = self.written(words)
        embedded = self.model.embed(found.tokens)
        count = words.shape[1]
        errors = [exam.repeated(count).error(self.view, found, embedded) for exam in exams]
        total = torch.stack(errors).mean(dim=0)
        return total.where(self.fits(found) & total.isfinite(), torch.inf).view(words.shape[:2])

    def gains(self, exams: list[Exam]) -> Float[Tensor, "rows slots words"]:
        """By how much the error falls, to first order, when one place takes another token."""
        table = self.vocabulary.table
        slots = table[self.words].requires_grad_()
        embedded = self.places.embedded(self.model, slots)
        loss = sum((exam.error(self.view, self.prompts, embedded).sum() for exam in exams), torch.zeros(()))
        (slope,) = torch.autograd.grad(loss, slots)
        along = slope.nan_to_num() @ table.T
        return along.gather(2, self.words.unsqueeze(2)) - along

    def exchanged(
        self, loss: Float[Tensor, " rows"], exams: list[Exam], count: int, draw: Draws
    ) -> tuple["Trigger", Float[Tensor, " rows"]]:
        """After the best of `count` exchanges of one token, if it is better; half by gain, half by lot."""
        slots = self.words.shape[1]
        size = len(self.vocabulary.ids)
        steep = min(count // 2, slots * size)
        chosen = self.gains(exams).flatten(1).topk(steep, dim=1).indices
        chosen = torch.cat([chosen, draw.integers(slots * size, count - steep).to(chosen.device)], dim=1)
        options = self.words.unsqueeze(1).repeat(1, chosen.shape[1], 1)
        options.scatter_(2, (chosen // size).unsqueeze(2), (chosen % size).unsqueeze(2))
        best, place = self.loss(options, exams).min(dim=1)
        better = best < loss
        found = options.gather(1, place.view(-1, 1, 1).expand(-1, 1, slots)).squeeze(1)
        words = torch.where(better.unsqueeze(1), found, self.words)
        return replace(self, words=words), torch.where(better, best, loss)

    def spoken(self) -> PromptBatch:
        """The prompts with the words of now; the untouched ones where these are no text or raise an alarm."""
        found = self.written(self.words.unsqueeze(1))
        return found.replace(tokens=found.tokens.where(self.fits(found).unsqueeze(1), self.prompts.tokens))

    def select(self, rows: Tensor) -> "Trigger":
        """Some rows."""
        return replace(
            self,
            prompts=self.prompts.select(rows),
            places=self.places.select(rows),
            words=self.words[rows],
        )


@dataclass(frozen=True)
class GCG(Attack[PromptBatch]):
    """Write tokens that make the victim see the noise in pictures of the concept, found by exchanging one at a time.

    UnlearnDiffAtk's aim, another search: the gradient only proposes tokens, others are proposed by lot, and each
    proposal is measured by the victim before one is taken. Where the noise depends on words far from linearly,
    steps along the gradient alone lead nowhere.

    Source: Zou et al., "Universal and Transferable Adversarial Attacks on Aligned Language Models" (GCG),
    arXiv:2307.15043, algorithm 1, on the aim of UnlearnDiffAtk, arXiv:2310.11868.
    Differs: a text-to-image victim; all prompts at once; half of the candidates are drawn uniformly from all places and
    tokens instead of from each place's best; a token stays unless another is better (theirs takes the best candidate);
    candidates of a round are compared on the same noise.
    """

    threat = ThreatModel(access="white-box", budget=TOKENS, goal="bring the erased concept back")
    counts: ClassVar[str] = "iterations"

    iterations: Annotated[int, Field(ge=1, description="exchanges of a token in all")] = 16
    candidates: Annotated[int, Field(ge=2, description="exchanges tried for one that is made")] = 24
    levels: Annotated[int, Field(ge=1, description="noise levels at which a candidate is measured")] = 3
    rounds: Annotated[int, Field(ge=1, description="how often prompts are drawn and judged on the way")] = 4
    restarts: Annotated[int, Field(ge=1, description="independent searches of every prompt")] = 1

    def perturb(self, view: View[PromptBatch], batch: PromptBatch, budget: float, draw: Draws) -> PromptBatch:
        """The first prompt that brings the concept back, or the one that came nearest."""
        return hunted(view, batch, "prefix", budget, draw, self._hunt)

    def _hunt(self, view: View[PromptBatch], part: PromptBatch, count: int, draw: Draws) -> PromptBatch:
        model = generator(view.module)
        catch = Catch(view, part)
        if not len(catch.open):
            return catch.told(1 + self.rounds)
        rows = part.select(catch.open).repeat(self.restarts)
        draw = draw.select(catch.open).repeat(self.restarts)
        vocabulary = Vocabulary.of(model, part.tokenizer)
        words = draw.integers(len(vocabulary.ids), count).to(vocabulary.ids.device)
        free = places(part.tokenizer, rows.tokens, "prefix", count)
        trigger = Trigger(view, model, rows, free, vocabulary, words, reads_alarms(view, rows))
        aim = Aim(model, target_latents(model, rows, lambda: original_of(view)))
        rounds = min(self.rounds, self.iterations)
        for number in range(rounds):
            exams = [
                trigger.exam(aim.question((level + 0.5) / self.levels * TOP_LEVEL, draw))
                for level in range(self.levels)
            ]
            loss = trigger.loss(trigger.words.unsqueeze(1), exams).squeeze(1)
            for _ in range(self.iterations * number // rounds, self.iterations * (number + 1) // rounds):
                trigger, loss = trigger.exchanged(loss, exams, self.candidates, draw)
            left = catch.offer(trigger.spoken()).repeat_interleave(self.restarts).nonzero().squeeze(1)
            trigger, aim, draw = trigger.select(left), aim.select(left), draw.select(left)
            if not len(left):
                break
        return catch.told(1 + self.rounds)
