"""A ranker that throws suspicious passages out: the base of all filters and detectors."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.ranking.around import RankerAround
from robeval.domains.ranking.batch import NOBODY, Ranking, RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.memo import PairMemo
from robeval.plugins.data import Dataset
from robeval_defenses.ranking.around import ranker

FalseAlarms = Annotated[
    float, Field(gt=0, lt=1, description="share of clean validation passages that is thrown out")
]
CALIBRATION_LISTS = 80
"""Lists that a threshold is calibrated on: with 100 passages each, a 5 % rate is known to about 0.3 %."""


class FilteredRanker(RankerAround):
    """Answers as `victim` does, without the passages above `threshold`. Write `suspicion`.

    The victim's scores and gradients stay as they are; `alarm` is a number, no gradient reaches the words by it.
    A `Detects`.
    """

    threshold: Tensor
    reads_query: bool = False
    """Whether a passage's suspicion depends on what was asked."""

    def __init__(self, victim: nn.Module) -> None:
        """Nothing is thrown out before `calibrate`. Raises PluginError when `victim` is no ranker."""
        super().__init__(ranker(victim))
        self.register_buffer("threshold", torch.tensor(torch.inf))

    @abstractmethod
    def suspicion(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """How suspicious any texts are, each for the query of that number; higher is more. Finite."""

    def alarm(self, batch: RankingBatch) -> Float[Tensor, " batch"]:
        """How far the target's text is above the threshold; above 0 it is thrown out."""
        return self._own(batch) - self.threshold

    def forward(self, batch: RankingBatch) -> Ranking:
        """The victim's list with suspicions, and what they remove."""
        ranking: Ranking = self.victim(batch)
        own = self._own(batch).unsqueeze(1)
        suspicion = self.listed_suspicion(batch).scatter(1, batch.target.unsqueeze(1), own)
        removed = ranking.removed | (batch.listed & (suspicion > self.threshold))
        return ranking._replace(removed=removed, suspicion=suspicion)

    def listed_scores(self, batch: RankingBatch) -> Float[Tensor, "batch list"]:
        """The victim's, which keeps them already."""
        return self.victim.listed_scores(batch)

    def listed_suspicion(self, batch: RankingBatch) -> Float[Tensor, "batch list"]:
        """The suspicion of all candidates as the corpus has them, each pair asked once; 0 where nobody is listed."""
        row, place = (batch.candidates != NOBODY).nonzero(as_tuple=True)

        def asked(query: Tensor, passage: Tensor) -> Tensor:
            return self.suspicion(batch.corpus, query, [batch.corpus.passages[n] for n in passage.tolist()])

        passage, query = batch.candidates[row, place], batch.query[row]
        query = query if self.reads_query else torch.zeros_like(query)
        values = self._suspicions.scores(self, batch.corpus, query, passage, asked)
        found = torch.zeros(batch.candidates.shape, device=values.device)
        found[row, place] = values
        return found

    def calibrate(self, data: Dataset, false_alarms: float) -> None:
        """Set the threshold so that at most this share of the validation lists' clean passages is thrown out."""
        lists = calibration_lists(data)
        values = self.listed_suspicion(lists)[lists.listed].double().sort().values
        keep = max(len(values) - int(false_alarms * len(values)), 1)
        self.threshold.fill_(values[keep - 1].float())

    def _own(self, batch: RankingBatch) -> Float[Tensor, " batch"]:
        with torch.no_grad():
            return self.suspicion(batch.corpus, batch.query, batch.texts()).float()

    @property
    def _suspicions(self) -> PairMemo:
        kept = self.__dict__.get("_suspicion_memo")
        if kept is None:
            kept = self.__dict__["_suspicion_memo"] = PairMemo()
        return kept


def calibration_lists(data: Dataset) -> RankingBatch:
    """One example of each validation query; of the training queries where there is no validation split."""
    batch = data.split("val")
    if not len(batch):
        batch = data.split("train")
    assert isinstance(batch, RankingBatch)
    return batch.first_of_each_query().select(slice(0, CALIBRATION_LISTS))
