"""What the defenses that train share: pairs of a better and a worse passage, and the victims' own recipe."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.tokens import Tokens
from robeval.domains.ranking.victims.base import SmallVictim, ranknet
from robeval.errors import UsageError
from robeval.plugins.victim import RobustTraining, Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.ranking.around import trainable

LEARNING_RATE = 0.5
"""Share of the victim's step size that a fine-tuning starts from."""


class Pairs(NamedTuple):
    """Texts to compare for each query: which should be above, and whether there is anything to compare (else 0)."""

    query: Tensor
    better: list[str]
    worse: list[str]
    counts: Tensor
    """1 where the two have different grades: float [batch]."""


class RankTraining(RobustTraining):
    """Fine-tuning of a trained ranker. Write `row_loss`."""

    def __init__(self, victim: Victim, seed: Seed, steps: int) -> None:
        """Raises UsageError when `victim` cannot be trained."""
        super().__init__(victim, steps)
        self.learning_rate = LEARNING_RATE * victim.learning_rate
        trainable(victim)
        self.seed = seed

    @property
    def ranker(self) -> "NeuralRanker":
        """The victim in training."""
        return trainable(self.victim)

    def row_loss(self, batch: RankingBatch, draw: Draws) -> Float[Tensor, " batch"]:
        """The loss of every example; `draw` is fresh in every training step."""
        raise NotImplementedError

    def objective(self, batch: RankingBatch) -> Float[Tensor, " batch"]:
        """The loss of every example. Raises UsageError when none has judgements."""
        if bool(batch.grades.isnan().all()):
            raise UsageError(
                "these training queries have no judgements, so no defense can be trained on them: give the dataset "
                "qrels, or take a defense at inference (a filter, random-masking)"
            )
        if isinstance(self.victim, SmallVictim):
            self.victim.prepare(batch.corpus)
        return self.row_loss(batch, self.seed.child("step", self.global_step).draws(batch.ids, batch.device))

    def ranked(self, margin: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The victim's own loss of a margin between a better and a worse passage."""
        return ranknet(margin, trainable(self.victim).smoothing)

    def configure_optimizers(self) -> Any:
        """AdamW, linearly to 0: small encoders diverge without the decay."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=max(self.steps, 1))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rivals(batch: RankingBatch, draw: Draws) -> tuple[Tensor, Tensor]:
    """A passage of another grade for each target, and which is better: 1 the target, -1 the other, 0 there is none."""
    own = batch.grades.gather(1, batch.target.unsqueeze(1))
    differs = batch.others & (batch.grades != own) & ~batch.grades.isnan()
    # A stream for each place, so that the width of the list does not matter.
    lots = draw.uniform(batch.candidates.shape[1]).masked_fill(~differs, -1.0)
    place = lots.argmax(dim=1, keepdim=True)
    sign = (own - batch.grades.gather(1, place)).sign()
    sign = torch.where(differs.any(dim=1, keepdim=True), sign, torch.zeros_like(sign))
    return batch.candidates.gather(1, place).squeeze(1).clamp_min(0), sign.squeeze(1)


def pairs(batch: RankingBatch, draw: Draws) -> Pairs:
    """Each target's text and that of a candidate of another grade, drawn at random, the better one first."""
    rival, sign = rivals(batch, draw)
    both = zip(batch.texts(), [batch.corpus.passages[n] for n in rival.tolist()], sign.tolist(), strict=True)
    ordered = [(own, other) if side >= 0 else (other, own) for own, other, side in both]
    return Pairs(batch.query, [b for b, _ in ordered], [w for _, w in ordered], sign.abs())


class Read(NamedTuple):
    """Query tokens, and passages as word vectors [rows, length, hidden] with their mask."""

    query: Tokens
    vectors: Tensor
    mask: Tensor


def read(ranker: NeuralRanker, batch: RankingBatch, query: Tensor, texts: list[str]) -> Read:
    """Texts as word vectors, cut to what fits behind their queries; differentiable in the ranker's weights."""
    asked = ranker.query_tokens(batch.corpus, query)
    tokens = ranker.text_tokens(batch.corpus, texts).cut(max(ranker.room(asked), 0))
    return Read(asked, ranker.embed(tokens), tokens.mask)


def in_ball(
    shift: Float[Tensor, "rows length hidden"],
    vectors: Float[Tensor, "rows length hidden"],
    mask: Bool[Tensor, "rows length"],
    radius: float,
) -> Float[Tensor, "rows length hidden"]:
    """`shift` with every token's part no longer than `radius` times the token's vector; 0 on padding."""
    most = radius * vectors.norm(dim=-1, keepdim=True) * mask.unsqueeze(-1)
    length = shift.norm(dim=-1, keepdim=True)
    inside: Tensor = shift * (most / length.clamp_min(1e-12)).clamp_max(1.0)
    return inside
