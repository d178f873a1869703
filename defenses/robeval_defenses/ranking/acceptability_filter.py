"""Throwing out passages that read badly, however rare their words are."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.language import FLOOR, JUDGE, LanguageModel, language_model
from robeval.plugins.contracts import Defense, GradientPath
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval_defenses.ranking.filtered import FalseAlarms, FilteredRanker, calibration_lists


@dataclass(frozen=True)
class AcceptabilityFilter(Defense):
    """Throw out passages that a language model finds no likelier than their words alone.

    The suspicion is minus SLOR: the mean of log p(word) - log p(word | what stands before) over a passage.

    Source: SLOR, Kann et al., arXiv:1809.08731; acceptability as a filter of ranking attacks, Liu et al.,
    arXiv:2209.06506.
    Differs: they classify with a model trained on CoLA, which needs a download; SLOR stands for it.
    """

    gradient: ClassVar[GradientPath] = "straight-through"

    false_alarms: FalseAlarms = 0.05

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the calibrated filter."""
        corpus = calibration_lists(data).corpus
        filtered = AcceptabilityFiltered(victim, language_model(corpus, seed=JUDGE), corpus)
        filtered.calibrate(data, self.false_alarms)
        return filtered


class AcceptabilityFiltered(FilteredRanker):
    """A ranker behind a threshold of SLOR."""

    alone: Tensor

    def __init__(self, victim: nn.Module, model: LanguageModel, corpus: Corpus) -> None:
        super().__init__(victim)
        self.model = deepcopy(model)  # others use it too
        read = model.tokenizer.encode(corpus.passages)
        counts = torch.bincount(read.ids[read.mask], minlength=model.tokenizer.size).float()
        self.register_buffer("alone", (counts / counts.sum().clamp_min(1)).log().clamp_min(FLOOR))

    def suspicion(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """Log-probability of a token on its own less that in its place, mean over tokens; 0 without tokens."""
        tokens = self.model.tokenizer.encode(texts).to(self.alone.device)
        gain = (self.alone[tokens.ids] * tokens.mask).sum(dim=1) - self.model.log_probs(tokens).sum(dim=1)
        return gain / tokens.mask.sum(dim=1).clamp_min(1)
