"""What an attack that may look at pictures has found so far, judged as the evaluation judges."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.judging import is_present, presence
from robeval.plugins.views import View

DECIMALS = 4
"""To which a picture's probability counts."""


class Catch:
    """The best prompt of every example: one that brings the concept back, or else the one that comes nearest.

    The untouched prompt is tried first. Examples that are caught need no further steps.
    """

    def __init__(self, view: View[Any], prompts: PromptBatch) -> None:
        self.view = view
        self.best = prompts
        self.score: Float[Tensor, " batch"] = torch.full(
            (len(prompts),), -torch.inf, dtype=torch.double, device=prompts.device
        )
        self.caught: Bool[Tensor, " batch"] = torch.zeros(
            len(prompts), dtype=torch.bool, device=prompts.device
        )
        self.trace: list[float] = []
        self.offer(prompts)

    @property
    def open(self) -> Int64[Tensor, " open"]:
        """The examples that are not caught."""
        return (~self.caught).nonzero().squeeze(1)

    @torch.no_grad()
    def offer(self, found: PromptBatch) -> Bool[Tensor, " open"]:
        """Look at the pictures of prompts for all open examples, equally many each, an example's rows adjacent.

        Says which of the examples stay open.
        """
        rows = self.open
        image = self.view(found).image
        shows = is_present(found, image).view(len(rows), -1)
        # The probability alone could rank a picture that another class wins above one that shows the concept. Equal
        # pictures (a guard's grey) differ by rounding only, and by that no prompt may win: it hangs on the batch.
        score = presence(found, image).double().round(decimals=DECIMALS).view(len(rows), -1) + shows
        top, place = score.max(dim=1)
        better = top > self.score[rows]
        first = torch.arange(len(rows), device=rows.device) * score.shape[1]
        self._keep(rows[better], found.select((first + place)[better]))
        self.score[rows] = torch.maximum(top, self.score[rows])
        self.caught[rows] = shows.any(dim=1)
        self.trace.append(float(self.score.sum()))
        return ~shows.any(dim=1)

    def _keep(self, rows: Int64[Tensor, " rows"], found: PromptBatch) -> None:
        changes = {}
        for name in ("tokens", "soft", "seed"):
            whole = getattr(self.best, name).clone()
            whole[rows] = getattr(found, name).to(whole.dtype)
            changes[name] = whole
        self.best = self.best.replace(**changes)

    def told(self, looks: int) -> PromptBatch:
        """The best prompts; tells the view how the search went, of at most so many looks at pictures."""
        # Where all were caught early, nothing was left to gain.
        values = self.trace + self.trace[-1:] * (looks - len(self.trace))
        self.view.trace(torch.tensor(values))
        return self.best
