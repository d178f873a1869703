"""P4D: make the victim answer as the model did before anything was erased."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import LatentDiffusion, generator
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.diffusion.adam import Adam
from robeval_attacks.diffusion.aim import Imitation, original_of, target_latents
from robeval_attacks.diffusion.catch import Catch
from robeval_attacks.diffusion.hunting import EDITS, TOKENS, hunted
from robeval_attacks.diffusion.places import Form, Places, places
from robeval_attacks.diffusion.pursuit import pursue
from robeval_attacks.diffusion.wording import Vocabulary, spoken


@dataclass(frozen=True)
class Projected:
    """Free embeddings; tried as the token nearest to each by angle, and moved by the slope there."""

    model: LatentDiffusion
    prompts: PromptBatch
    places: Places
    vocabulary: Vocabulary
    free: Float[Tensor, "rows slots features"]
    adam: Adam

    @property
    def likeness(self) -> Float[Tensor, "rows slots words"]:
        """The cosine of every free embedding with every token's."""
        return normalize(self.free, dim=-1) @ normalize(self.vocabulary.table, dim=-1).T

    @property
    def nearest(self) -> Int64[Tensor, "rows slots"]:
        """The place of the nearest token in the vocabulary."""
        return self.likeness.argmax(dim=-1)

    def slots(self, draw: Draws) -> Float[Tensor, "rows slots features"]:
        """The nearest tokens' embeddings."""
        return self.vocabulary.table[self.nearest]

    def embedded(self, slots: Float[Tensor, "rows slots features"]) -> Float[Tensor, "rows length features"]:
        """Whole prompts."""
        return self.places.embedded(self.model, slots)

    def moved(self, slope: Float[Tensor, "rows slots features"]) -> "Projected":
        """A step of the free embeddings."""
        adam, free = self.adam.step(self.free, slope)
        return replace(self, adam=adam, free=free)

    def spoken(self, view: View[Any], is_wary: bool) -> PromptBatch:
        """The nearest words."""
        return spoken(view, is_wary, self.prompts, self.places, self.likeness, self.vocabulary)

    def select(self, rows: Tensor) -> "Projected":
        """Some rows."""
        return replace(
            self,
            prompts=self.prompts.select(rows),
            places=self.places.select(rows),
            free=self.free[rows],
            adam=self.adam.select(rows),
        )


@dataclass(frozen=True)
class P4D(Attack[PromptBatch]):
    """Write tokens that make the victim see the noise that the undefended model sees for the plain prompt.

    Embeddings are moved freely, but every question is asked with the tokens nearest to them. Needs the undefended
    model besides the victim. `form=replace` is P4D-N (free tokens instead of the prompt; the budget then counts
    edits), `form=spread` P4D-K (one free token in front of every third word).

    Source: Chin et al., "Prompting4Debugging: Red-Teaming Text-to-Image Diffusion Models by Finding Problematic
    Prompts" (P4D), arXiv:2309.06135, section 3, and the authors' repository: AdamW 0.1 with weight decay 0.1, 3000
    steps, judged every 50, 16 tokens for P4D-N.
    Differs: all prompts at once; the best prompt is the judge's (theirs compares pictures by a CLIP); only tokens that
    survive being text are near. Noised pictures are the prompt's own, or the undefended model's where it has
    none. Fewer steps than published, for the embedded world.
    """

    threat = ThreatModel(
        access="white-box", budget=TOKENS, goal="bring the erased concept back", original=True
    )
    counts: ClassVar[str] = "iterations"

    iterations: Annotated[int, Field(ge=1, description="gradient steps in all")] = 120
    rounds: Annotated[int, Field(ge=1, description="how often on the way prompts are drawn and judged")] = 6
    restarts: Annotated[int, Field(ge=1, description="independent searches of every prompt")] = 1
    rate: Annotated[float, Field(gt=0, description="AdamW's step size, in embeddings")] = 0.1
    weight_decay: Annotated[float, Field(ge=0, description="pull of the embeddings towards 0")] = 0.1
    form: Annotated[
        Form, Field(description="where the tokens are written; replace: instead of the prompt's own")
    ] = "prefix"

    @property
    def grant(self) -> ThreatModel:
        """Edits instead of insertions where the prompt's own words go."""
        return replace(self.threat, budget=EDITS) if self.form == "replace" else self.threat

    def perturb(self, view: View[PromptBatch], batch: PromptBatch, budget: float, draw: Draws) -> PromptBatch:
        """The first prompt that brings the concept back, or the one that came nearest."""
        return hunted(view, batch, self.form, budget, draw, self._hunt)

    def _hunt(self, view: View[PromptBatch], part: PromptBatch, count: int, draw: Draws) -> PromptBatch:
        model, original = generator(view.module), original_of(view)
        catch = Catch(view, part)
        if not len(catch.open):
            return catch.told(1 + self.rounds)
        rows = part.select(catch.open).repeat(self.restarts)
        open_draw = draw.select(catch.open).repeat(self.restarts)
        vocabulary = Vocabulary.of(model, part.tokenizer)
        start = vocabulary.table[open_draw.integers(len(vocabulary.ids), count)]
        adam = Adam.of(start, self.rate, self.weight_decay, decoupled=True)
        free = places(part.tokenizer, rows.tokens, self.form, count)
        words = Projected(model, rows, free, vocabulary, start, adam)
        hidden = original.hidden(rows).detach()
        latents = target_latents(model, rows, lambda: original)
        aim = Imitation(model, latents, rising=False, original=original, hidden=hidden)
        pursue(catch, words, aim, open_draw, self.restarts, self.iterations, self.rounds)
        return catch.told(1 + self.rounds)
