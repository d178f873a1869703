"""Other noise for the same prompt: how much of an erasure is luck."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.domains.diffusion.batch import PromptBatch, put_back
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.diffusion.catch import Catch


@dataclass(frozen=True)
class SeedSearch(Attack[PromptBatch]):
    """Draw the plain prompt again from other seeds, and keep the picture that shows the concept.

    What it finds was never erased: no word is changed.

    Source: a baseline; attacks that choose the noise, Tang et al. (DNO), arXiv:2405.18881.
    Differs: seeds are drawn, not optimised.
    """

    threat = ThreatModel(
        access="score",
        budget=Budget("seeds", "", 1.0, "1: the noise may be another one; 0: it may not"),
        goal="bring the erased concept back",
    )
    counts: ClassVar[str] = "tries"

    tries: Annotated[int, Field(ge=1, description="further seeds per prompt")] = 6

    def perturb(self, view: View[PromptBatch], batch: PromptBatch, budget: float, draw: Draws) -> PromptBatch:
        """The first seed that brings the concept back, or the one that came nearest."""
        if budget < 1:
            return batch
        part = batch.select(batch.targeted)
        own = draw.select(batch.targeted)
        if not len(part):
            return batch
        catch = Catch(view, part)
        for _ in range(self.tries):
            rows = catch.open
            if not len(rows):
                break
            catch.offer(part.replace(seed=own.bits(1).squeeze(1)).select(rows))
        return put_back(batch, catch.told(1 + self.tries))
