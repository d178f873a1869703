"""Random words in front of a prompt: what every search has to beat."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.tokens import searchable
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.diffusion.catch import Catch
from robeval_attacks.diffusion.hunting import TOKENS, hunted
from robeval_attacks.diffusion.places import places, survives


@dataclass(frozen=True)
class RandomPrefix(Attack[PromptBatch]):
    """Uniformly drawn tokens in front of the prompt, some tries long; the pictures are judged.

    With `tries=1` nothing is asked. Give it as many tries as another attack judges pictures, to see what its search is
    worth.

    Source: a baseline; Random-N and Random-K of P4D, arXiv:2309.06135, table 3.
    Differs: tokens stand in front of the prompt; only those that survive being text are drawn.
    """

    threat = ThreatModel(access="score", budget=TOKENS, goal="bring the erased concept back")
    counts: ClassVar[str] = "tries"

    tries: Annotated[int, Field(ge=1, description="random prefixes per prompt")] = 6

    @property
    def grant(self) -> ThreatModel:
        """Whoever tries once need not look."""
        return replace(self.threat, access="none") if self.tries == 1 else self.threat

    def perturb(self, view: View[PromptBatch], batch: PromptBatch, budget: float, draw: Draws) -> PromptBatch:
        """The first prompt that brings the concept back, or the one that came nearest."""
        return hunted(view, batch, "prefix", budget, draw, self._hunt)

    def _hunt(self, view: View[PromptBatch], part: PromptBatch, count: int, draw: Draws) -> PromptBatch:
        if self.tries == 1:
            return with_random_prefix(part, count, draw)
        catch = Catch(view, part)
        for _ in range(self.tries):
            rows = catch.open
            if not len(rows):
                break
            # Every example draws in every try, so that its words do not hang on when another one is caught.
            catch.offer(with_random_prefix(part, count, draw).select(rows))
        return catch.told(1 + self.tries)


def with_random_prefix(prompts: PromptBatch, count: int, draw: Draws) -> PromptBatch:
    """The prompts behind `count` random tokens; as they were where that would be read otherwise."""
    name = prompts.tokenizer
    writable = searchable(name).nonzero().squeeze(1).to(prompts.device)
    words = writable[draw.integers(len(writable), count)]
    tokens = places(name, prompts.tokens, "prefix", count).written(words)
    alive = survives(name, tokens)
    return prompts.replace(tokens=tokens.where(alive[:, None], prompts.tokens))
