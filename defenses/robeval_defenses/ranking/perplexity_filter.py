"""Throwing out passages that a language model finds unlikely."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.language import JUDGE, LanguageModel, language_model
from robeval.plugins.contracts import Defense, GradientPath
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval_defenses.ranking.filtered import FalseAlarms, FilteredRanker, calibration_lists


@dataclass(frozen=True)
class PerplexityFilter(Defense):
    """Throw out passages whose perplexity, as a whole or in a window, is above that of clean ones.

    The suspicion is the mean negative log-probability of a token: the largest of any `window` tokens in a row, or of
    the whole passage with ``window=0``. A few odd words vanish in the mean of a long passage, not in a window.

    Source: perplexity as a filter of adversarial passages, Song et al., arXiv:2011.04743; windows after Jain et al.,
    arXiv:2309.00614.
    Differs: a small language model of the collection itself (GPT-2 there), which sees attacks far more easily than
    one of the open web would; a passage under two tokens is never thrown out.
    """

    gradient: ClassVar[GradientPath] = "straight-through"

    false_alarms: FalseAlarms = 0.05
    window: Annotated[
        int, Field(ge=0, le=128, description="tokens of a window; 0 judges the passage as a whole")
    ] = 12

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the calibrated filter."""
        corpus = calibration_lists(data).corpus
        filtered = PerplexityFiltered(victim, language_model(corpus, seed=JUDGE), self.window)
        filtered.calibrate(data, self.false_alarms)
        return filtered


class PerplexityFiltered(FilteredRanker):
    """A ranker behind a language model's threshold."""

    def __init__(self, victim: nn.Module, model: LanguageModel, window: int = 12) -> None:
        super().__init__(victim)
        self.model = deepcopy(model)  # others use it too
        self.window = window

    def suspicion(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """The log of the perplexity; 0, the least possible, under two tokens."""
        tokens = self.model.tokenizer.encode(texts).to(self.model.bias.device)
        found = (
            self.model.window_perplexity(tokens, self.window)
            if self.window
            else self.model.perplexity(tokens)
        )
        return torch.where(found.isnan(), 0.0, found.log())
