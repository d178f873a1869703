"""Triggers that read like language: a language model proposes, a ranker and a next-sentence model choose."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.language import LanguageModel
from robeval.domains.ranking.tokens import Tokens
from robeval.plugins.views import View
from robeval_attacks.ranking.beams import Beams, Extensions
from robeval_attacks.ranking.narrowing import narrowed
from robeval_attacks.ranking.reader import Reader, full

Proposals = Literal["lm", "grad", "both"]

REACH = 10.0
"""The most that one unit of coherence is worth: log-probabilities below -10 count as -10."""
ADAM = (0.9, 0.999, 1e-8)
ROWS = 4096


NextSentence = Callable[[Tokens, Tokens], tuple[Tensor, Tensor]]
"""log P(the second text follows the first) and log P(it does not): [rows] each."""


@dataclass(frozen=True)
class Taste:
    """How much everything counts."""

    candidates: int = 48
    relevance: float = 1.0
    pairwise: bool = False
    """Relevance is log P(better than the anchor) instead of log P(relevant), which flattens out for good triggers."""
    fluency: float = 0.6
    coherence: float = 0.1
    repetition: float = 5.0
    temperature: float = 0.1
    gradient_steps: int = 5
    gradient_step: float = 1e-3
    proposals: Proposals = "lm"
    next_form: Literal["minus_not_next", "plus_next"] = "minus_not_next"
    next_order: Literal["passage_first", "as_inserted"] = "passage_first"


@dataclass(frozen=True)
class Fluent:
    """The beam search's task for a batch of targets.

    A sequence is worth ``relevance * log P(relevant) + fluency * log P(language) + coherence * next sentence + bonus``.
    """

    view: View[RankingBatch] | None
    """Counts gradients when they are the victim's."""
    batch: RankingBatch
    reader: Reader
    language: LanguageModel
    next_sentence: NextSentence | None
    passage: Tokens
    rival: Float[Tensor, " batch"]
    """The score of the anchor, which the pairwise loss compares with."""
    bonus: Float[Tensor, "batch vocabulary"]
    first: Bool[Tensor, "batch vocabulary"]
    later: Bool[Tensor, "batch vocabulary"]
    taste: Taste
    width: int
    """Beams that the search keeps."""
    full: bool = False
    """Compare finished sequences by the whole sum instead of the ranker's score alone."""

    def extend(self, beams: Beams) -> Extensions:
        """The likeliest next tokens after the language model was bent towards relevance."""
        count, width, length = beams.ids.shape
        prefix = beams.ids.flatten(0, 1)
        row = torch.arange(count, device=prefix.device).repeat_interleave(width)
        with torch.no_grad():
            log_p = self.language.next_log_probs(prefix)
        usable = (self.later if length else self.first)[row]
        ids, allowed = self._proposed(row, prefix, log_p, usable)
        shape = (count, width, -1)
        return Extensions(ids.view(shape), log_p.gather(1, ids).view(shape), allowed.view(shape))

    def _proposed(self, row: Tensor, prefix: Tensor, log_p: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
        count = min(self.taste.candidates, log_p.shape[1])
        bent = log_p
        if self.taste.gradient_steps and self.taste.proposals != "grad":
            bent = bent + self._bend(row, prefix, log_p, usable) / self.taste.temperature
        likely = repeated(bent, prefix, self.taste.repetition).masked_fill(~usable, -torch.inf)
        if self.taste.proposals == "lm":
            ids = likely.topk(count, dim=1).indices
            return ids, usable.gather(1, ids)
        gain = repeated(self._gain(row, prefix, log_p, usable), prefix, self.taste.repetition)
        gain = gain.masked_fill(~usable, -torch.inf)
        if self.taste.proposals == "grad":
            ids = gain.topk(count, dim=1).indices
            return ids, usable.gather(1, ids)
        halves = [likely.topk(count - count // 2, dim=1).indices, gain.topk(count // 2, dim=1).indices]
        twice = (halves[1].unsqueeze(2) == halves[0].unsqueeze(1)).any(dim=2)
        ids = torch.cat(halves, dim=1)
        return ids, usable.gather(1, ids) & torch.cat(
            [torch.ones_like(halves[0], dtype=torch.bool), ~twice], dim=1
        )

    def _bend(
        self, row: Tensor, prefix: Tensor, log_p: Tensor, usable: Tensor
    ) -> Float[Tensor, "rows vocabulary"]:
        """Steps of Adam on an offset to the logits, so that the soft next token beats the anchor."""
        taste = self.taste
        mask = torch.where(usable, self.bonus[row], -torch.inf)
        vectors, table = self._embedded(prefix), self._table(log_p)
        offset = torch.zeros_like(log_p)
        first, second = torch.zeros_like(offset), torch.zeros_like(offset)
        slow, fast, tiny = ADAM
        for step in range(1, taste.gradient_steps + 1):
            offset = offset.detach().requires_grad_()
            soft = ((taste.temperature * log_p + self.seen(offset, row) + mask) / taste.temperature).softmax(
                dim=1
            )
            whole = torch.cat([vectors, (soft[:, : len(table)] @ table).unsqueeze(1)], dim=1)
            margin = self.reader.soft_scores(row, whole) - self.rival[row]
            (slope,) = torch.autograd.grad(torch.nn.functional.softplus(-margin).sum(), offset)
            first = slow * first + (1 - slow) * slope
            second = fast * second + (1 - fast) * slope**2
            size = (first / (1 - slow**step)) / ((second / (1 - fast**step)).sqrt() + tiny)
            offset = offset.detach() - taste.gradient_step * size
        return offset.detach()

    def _gain(
        self, row: Tensor, prefix: Tensor, log_p: Tensor, usable: Tensor
    ) -> Float[Tensor, "rows vocabulary"]:
        """First-order gain in score of every token in the next place, taken at the language model's mean vector."""
        table = self._table(log_p)
        soft = log_p.masked_fill(~usable, -torch.inf).softmax(dim=1)[:, : len(table)]
        middle = (soft @ table).unsqueeze(1).requires_grad_()
        whole = torch.cat([self._embedded(prefix), self.seen(middle, row)], dim=1)
        (slope,) = torch.autograd.grad(self.reader.soft_scores(row, whole).sum(), middle)
        gain = torch.full_like(log_p, -torch.inf)
        gain[:, : len(table)] = slope.squeeze(1) @ table.T
        return gain

    def _table(self, logits: Tensor) -> Float[Tensor, "pieces hidden"]:
        """The word vectors of the vocabulary; a ranker's table may be longer than its tokenizer's vocabulary."""
        return self.reader.ranker.word_vectors[: logits.shape[1]].detach()

    def _embedded(self, prefix: Tensor) -> Float[Tensor, "rows length hidden"]:
        return self.reader.ranker.embed(full(prefix)).detach()

    def seen(self, variable: Tensor, row: Tensor) -> Tensor:
        """A variable that the ranker is differentiated by, watched where that counts as the victim's gradient."""
        return variable if self.view is None else self.view.watch(variable, self.batch.select(row))

    def value(self, beams: Beams, extensions: Extensions) -> Float[Tensor, "batch beams candidates"]:
        """The full sum; both models are only asked where it can matter, and what cannot be kept is -inf."""
        taste = self.taste
        ids, row = _sequences(beams, extensions)
        total = taste.fluency * (extensions.log_p + beams.log_p.unsqueeze(2))
        total = total + self.bonus.gather(1, extensions.ids.flatten(1)).view(total.shape)
        total = total.masked_fill(~extensions.allowed, -torch.inf).flatten(1)
        coherent = self.next_sentence is not None and taste.coherence != 0
        span = taste.coherence * REACH if coherent else 0.0
        total = narrowed(
            total, lambda asked: self._relevance(row[asked], ids[asked]), 0.0, self.width, slack=span
        )
        if coherent:
            total = narrowed(
                total,
                lambda asked: taste.coherence * self._coherence(row[asked], ids[asked]),
                span if taste.next_form == "minus_not_next" else 0.0,
                self.width,
            )
        return total.view(extensions.ids.shape)

    def _relevance(self, row: Tensor, ids: Tensor) -> Float[Tensor, " rows"]:
        """Its term of the sum: 0 at most."""
        score = self.reader.scores(row, ids)
        against = self.rival[row] if self.taste.pairwise else 0.0
        return self.taste.relevance * torch.nn.functional.logsigmoid(score - against)

    def worth(self, row: Int64[Tensor, " rows"], ids: Int64[Tensor, "rows length"]) -> Float[Tensor, " rows"]:
        """The whole sum of finished sequences, without the bonus: that is for tokens under way."""
        total = self._relevance(row, ids)
        if self.taste.fluency:
            with torch.no_grad():
                total = total + self.taste.fluency * self.language.log_probs(full(ids)).sum(dim=1)
        return total + self.taste.coherence * self._coherence(row, ids) if self.taste.coherence else total

    def compared(
        self, row: Int64[Tensor, " rows"], ids: Int64[Tensor, "rows length"], worth: Float[Tensor, " rows"]
    ) -> Float[Tensor, " rows"]:
        """By what finished sequences are compared: the ranker's score, or their worth."""
        return worth if self.full else self.reader.scores(row, ids)

    def _coherence(self, row: Tensor, ids: Tensor) -> Float[Tensor, " rows"]:
        if self.next_sentence is None or not len(row):
            return torch.zeros(len(row), device=ids.device)
        values = []
        for part_row, part_ids in zip(torch.split(row, ROWS), torch.split(ids, ROWS), strict=True):
            passage, trigger = self.passage.select(part_row), full(part_ids)
            pair = (passage, trigger) if self.taste.next_order == "passage_first" else (trigger, passage)
            with torch.no_grad():
                follows, not_follows = self.next_sentence(*pair)
            plus = self.taste.next_form == "plus_next"
            value = follows.clamp_min(-REACH) if plus else -not_follows.clamp_min(-REACH)
            # A passage without a token has no next sentence.
            values.append(
                value.masked_fill(~passage.mask.any(dim=1), 0.0) if passage.mask.shape[1] else value * 0
            )
        return torch.cat(values)

    def check(
        self, ids: Int64[Tensor, "batch beams length"], value: Float[Tensor, "batch beams"]
    ) -> Float[Tensor, "batch beams"]:
        """The ranker's score of the sequences, or the whole sum."""
        row = torch.arange(ids.shape[0], device=ids.device).repeat_interleave(ids.shape[1])
        return self.compared(row, ids.flatten(0, 1), value.flatten()).view(ids.shape[:2])


def _sequences(
    beams: Beams, extensions: Extensions
) -> tuple[Int64[Tensor, "rows longer"], Int64[Tensor, " rows"]]:
    """Every beam with each of its candidates behind it, and the example of each."""
    count, width, options = extensions.ids.shape
    prefix = beams.ids.unsqueeze(2).expand(-1, -1, options, -1)
    ids = torch.cat([prefix, extensions.ids.unsqueeze(3)], dim=3).flatten(0, 2)
    return ids, torch.arange(count, device=ids.device).repeat_interleave(width * options)


def repeated(
    logits: Float[Tensor, "rows vocabulary"], prefix: Int64[Tensor, "rows length"], penalty: float
) -> Float[Tensor, "rows vocabulary"]:
    """Tokens that are already in the sequence are less likely: negative logits times the penalty, others over it."""
    if not prefix.shape[1] or penalty == 1.0:
        return logits
    known = logits.gather(1, prefix)
    return logits.scatter(1, prefix, torch.where(known < 0, known * penalty, known / penalty))
