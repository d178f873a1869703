"""What every ranking victim shares: the pairwise loss, and a small encoder that starts as similarity."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robeval.domains.ranking.batch import Ranking, RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.ranker import NeuralRanker, Ranker
from robeval.domains.ranking.tokens import VOCABULARY, Tokenizer, corpus_tokenizer
from robeval.domains.ranking.word_vectors import counted_vectors
from robeval.errors import UsageError
from robeval.plugins.victim import Victim

SMOOTHING = 0.1
WARM_UP = 0.1
WEIGHT_DECAY = 0.01
SHARPNESS = 1.7
"""How far queries and keys start from nothing: 1.7² makes attention pick the nearest word out of twenty."""


class RankingVictim(Ranker, Victim):
    """A ranker that `Trainer.fit` can train."""

    domain: ClassVar[str] = "ranking"

    def forward(self, batch: RankingBatch) -> Ranking:
        """The list of every example with the target's text as it is now."""
        return Ranker.forward(self, batch)


class NeuralVictim(NeuralRanker, RankingVictim):
    """A neural ranker that `Trainer.fit` can train on graded lists."""

    smoothing: float = SMOOTHING

    def loss(self, batch: RankingBatch) -> Float[Tensor, " batch"]:
        """RankNet between the target's text and another candidate of another grade, drawn at random.

        0 where all candidates have one grade. Raises UsageError when no example has judgements.
        """
        if bool(batch.grades.isnan().all()):
            raise UsageError(
                "these training queries have no judgements, so this victim cannot be trained on them: give the "
                "dataset qrels, or take a pretrained victim with steps=0"
            )
        place, sign = self.rival(batch)
        rival = batch.candidates.gather(1, place.unsqueeze(1)).squeeze(1)
        own = self.text_scores(batch.corpus, batch.query, batch.texts())
        other = self.pair_scores(batch.corpus, batch.query, rival)
        return ranknet(sign * (own - other), self.smoothing) * sign.abs()

    @staticmethod
    def rival(batch: RankingBatch) -> tuple[Tensor, Tensor]:
        """A candidate of another grade for each target, and whether the target is the better one (1, -1, 0 none)."""
        own = batch.grades.gather(1, batch.target.unsqueeze(1))
        differs = batch.others & (batch.grades != own) & ~batch.grades.isnan()
        lots = torch.rand(differs.shape, device=own.device).masked_fill(~differs, -1.0)
        place = lots.argmax(dim=1, keepdim=True)
        theirs = batch.grades.gather(1, place)
        sign = torch.where(differs.any(dim=1, keepdim=True), (own - theirs).sign(), 0.0)
        return place.squeeze(1), sign.squeeze(1)

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up over a tenth of the steps, then linear to 0: without the decay small encoders diverge."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=WEIGHT_DECAY)
        total = max(self.steps, 1)
        warm = max(1, round(WARM_UP * total))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, max(0.0, (total - step) / max(1, total - warm)))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def ranknet(margin: Float[Tensor, " rows"], smoothing: float) -> Float[Tensor, " rows"]:
    """Cross entropy of "the first is better", from the difference of two scores, with smoothed labels."""
    softplus = torch.nn.functional.softplus
    return (1 - smoothing / 2) * softplus(-margin) + smoothing / 2 * softplus(margin)


class SmallVictim(NeuralVictim):
    """A small encoder over the corpus's own vocabulary; its word vectors start from the corpus's counts."""

    vocabulary: int = VOCABULARY
    prepared: Tensor

    def _start(self) -> None:
        self.register_buffer("prepared", torch.zeros((), dtype=torch.bool))

    def tokenizer(self, corpus: Corpus) -> Tokenizer:
        """The corpus's own vocabulary."""
        return corpus_tokenizer(corpus, self.vocabulary)

    def prepare(self, corpus: Corpus) -> None:
        """Take the word vectors that the corpus's counts give, if nothing was trained yet."""
        if bool(self.prepared):
            return
        counted = counted_vectors(corpus, self.tokenizer(corpus), self.word_vectors.shape[1])
        with torch.no_grad():
            known = counted.norm(dim=1) > 0
            self.word_vectors[: len(counted)][known] = counted[known].to(self.word_vectors.device)
            self.prepared.fill_(True)

    def loss(self, batch: RankingBatch) -> Float[Tensor, " batch"]:
        """See `NeuralVictim.loss`."""
        self.prepare(batch.corpus)
        return super().loss(batch)


def start_as_similarity(encoder: nn.Module) -> None:
    """Queries and keys start near 1.7 of the identity, values and outputs near 0.7: attention begins as similarity.

    Source: measured for this project: without it a minute of training learns nothing (NDCG@10 .3 against .8).
    """
    with torch.no_grad():
        for name, module in encoder.named_modules():
            if not isinstance(module, nn.Linear) or module.weight.shape[0] != module.weight.shape[1]:
                continue
            if name.endswith(("self.query", "self.key")):
                module.weight += SHARPNESS * torch.eye(len(module.weight))
            elif name.endswith(("self.value", "attention.output.dense")):
                module.weight += 0.7 * torch.eye(len(module.weight))
