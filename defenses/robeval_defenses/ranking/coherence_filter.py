"""Throwing out passages whose first sentence does not lead to the rest."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.language import JUDGE
from robeval.domains.ranking.next_sentence import NextSentenceModel, next_sentence_model
from robeval.domains.ranking.text import boundaries
from robeval.plugins.contracts import Defense, GradientPath
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval_defenses.ranking.filtered import FalseAlarms, FilteredRanker, calibration_lists


@dataclass(frozen=True)
class CoherenceFilter(Defense):
    """Throw out passages with a seam: a next-sentence model finds that the rest does not follow the first sentence.

    The suspicion is the negative log-probability of "follows". Attacks with a next-sentence term optimise what this
    filter looks at.

    Source: ours, from the coherence term of arXiv:2209.06506 turned around.
    """

    gradient: ClassVar[GradientPath] = "straight-through"

    false_alarms: FalseAlarms = 0.05

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the calibrated filter."""
        corpus = calibration_lists(data).corpus
        filtered = CoherenceFiltered(victim, next_sentence_model(corpus, seed=JUDGE))
        filtered.calibrate(data, self.false_alarms)
        return filtered


class CoherenceFiltered(FilteredRanker):
    """A ranker behind a threshold of coherence."""

    def __init__(self, victim: nn.Module, model: NextSentenceModel) -> None:
        super().__init__(victim)
        self.model = deepcopy(model)  # others use it too

    def suspicion(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """-log P(the rest follows the first sentence); 0 where there is one sentence."""
        device = self.model.word_vectors.device
        pairs = [_first_and_rest(text) for text in texts]
        first, rest = (
            self.model.tokenizer.encode([pair[side] for pair in pairs]).to(device) for side in (0, 1)
        )
        # Rows of one length only: the model cuts the first text by the longest second one of a batch.
        found = torch.zeros(len(texts), device=device)
        lengths = rest.mask.sum(dim=1)
        for length in torch.unique(lengths[lengths > 0]).tolist():
            rows = (lengths == length).nonzero().squeeze(1)
            found[rows] = -self.model(first.select(rows), rest.select(rows)).follows.float()
        return found


def _first_and_rest(text: str) -> tuple[str, str]:
    end = boundaries(text)[1]
    return text[:end], text[end:]
