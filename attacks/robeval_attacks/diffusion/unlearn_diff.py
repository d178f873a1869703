"""UnlearnDiffAtk: the victim is its own classifier."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import LatentDiffusion, generator
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.diffusion.adam import Adam
from robeval_attacks.diffusion.aim import Aim, original_of, target_latents
from robeval_attacks.diffusion.catch import Catch
from robeval_attacks.diffusion.hunting import TOKENS, hunted
from robeval_attacks.diffusion.places import Places, places
from robeval_attacks.diffusion.pursuit import pursue
from robeval_attacks.diffusion.simplex import on_simplex, sampled
from robeval_attacks.diffusion.wording import Vocabulary, spoken


@dataclass(frozen=True)
class Relaxed:
    """Words as probabilities over the vocabulary; tried as one token each, drawn by them (straight through)."""

    model: LatentDiffusion
    prompts: PromptBatch
    places: Places
    vocabulary: Vocabulary
    weight: Float[Tensor, "rows slots words"]
    adam: Adam

    def slots(self, draw: Draws) -> Float[Tensor, "rows slots features"]:
        """The embeddings of one draw per place."""
        return self.vocabulary.table[sampled(self.weight, draw)]

    def embedded(self, slots: Float[Tensor, "rows slots features"]) -> Float[Tensor, "rows length features"]:
        """Whole prompts."""
        return self.places.embedded(self.model, slots)

    def moved(self, slope: Float[Tensor, "rows slots features"]) -> "Relaxed":
        """A step by the slope along every token, cut at one, and back onto the simplex."""
        along = (slope @ self.vocabulary.table.T).clamp(-1, 1)
        adam, weight = self.adam.step(self.weight, along)
        return replace(self, adam=adam, weight=on_simplex(weight))

    def spoken(self, view: View[Any], is_wary: bool) -> PromptBatch:
        """The most probable words."""
        return spoken(view, is_wary, self.prompts, self.places, self.weight, self.vocabulary)

    def select(self, rows: Tensor) -> "Relaxed":
        """Some rows."""
        return replace(
            self,
            prompts=self.prompts.select(rows),
            places=self.places.select(rows),
            weight=self.weight[rows],
            adam=self.adam.select(rows),
        )


@dataclass(frozen=True)
class UnlearnDiff(Attack[PromptBatch]):
    """Write tokens that make the victim see exactly the noise in noised pictures of the concept.

    A diffusion model that finds the noise well, given a prompt, is one that thinks the prompt likely for the picture:
    no classifier and no undefended model is needed, only one picture of the concept per prompt. Noise levels rise
    from round to round; after each, the best prompt is drawn and judged, and prompts that succeed are done.

    Source: Zhang et al., "To Generate or Not? Safety-Driven Unlearned Diffusion Models Are Still Easy To Generate
    Unsafe Images ... For Now" (UnlearnDiffAtk), arXiv:2310.11868, section 4, and the authors' repository: k = 3
    (objects, styles) or 5, 50 rounds of 40 steps, Adam 0.01 with weight decay 0.1 (the paper says AdamW:
    decay=decoupled).
    Differs: all prompts at once, noise of its own for each; probabilities live on tokens that survive being text only,
    and near the best word another one is taken where the text would be read otherwise or raises an alarm; the
    exact projection onto the simplex (theirs bisects). Prompts without a picture take one that the undefended model
    draws. Against a one-step generator the step itself is asked. Fewer steps than published, for the embedded world.
    """

    threat = ThreatModel(access="white-box", budget=TOKENS, goal="bring the erased concept back")
    counts: ClassVar[str] = "iterations"

    iterations: Annotated[int, Field(ge=1, description="gradient steps in all")] = 320
    rounds: Annotated[
        int, Field(ge=1, description="noise levels; after each the prompts are drawn and judged")
    ] = 8
    restarts: Annotated[int, Field(ge=1, description="independent searches of every prompt")] = 1
    rate: Annotated[float, Field(gt=0, description="Adam's step size, in probability")] = 0.01
    weight_decay: Annotated[float, Field(ge=0, description="pull of the probabilities towards 0")] = 0.1
    decay: Annotated[
        Literal["l2", "decoupled"],
        Field(description="weight decay inside the gradient, or beside it (AdamW)"),
    ] = "l2"
    form: Annotated[
        Literal["prefix", "suffix", "middle", "spread"],
        Field(description="where the tokens are written; spread: one in front of every third word"),
    ] = "prefix"

    def perturb(self, view: View[PromptBatch], batch: PromptBatch, budget: float, draw: Draws) -> PromptBatch:
        """The first prompt that brings the concept back, or the one that came nearest."""
        return hunted(view, batch, self.form, budget, draw, self._hunt)

    def _hunt(self, view: View[PromptBatch], part: PromptBatch, count: int, draw: Draws) -> PromptBatch:
        model = generator(view.module)
        catch = Catch(view, part)
        if not len(catch.open):
            return catch.told(1 + self.rounds)
        rows = part.select(catch.open).repeat(self.restarts)
        open_draw = draw.select(catch.open).repeat(self.restarts)
        vocabulary = Vocabulary.of(model, part.tokenizer)
        weight = vocabulary.table.new_full((len(rows), count, len(vocabulary.ids)), 1 / len(vocabulary.ids))
        adam = Adam.of(weight, self.rate, self.weight_decay, self.decay == "decoupled")
        free = places(part.tokenizer, rows.tokens, self.form, count)
        words = Relaxed(model, rows, free, vocabulary, weight, adam)
        aim = Aim(model, target_latents(model, rows, lambda: original_of(view)))
        pursue(catch, words, aim, open_draw, self.restarts, self.iterations, self.rounds)
        return catch.told(1 + self.rounds)
