"""From token sequences to published text: what does not survive the way is not delivered."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.ranking.batch import RankedLists, RankingBatch, ranks
from robeval.domains.ranking.text import inserted
from robeval.domains.ranking.tokens import Tokenizer, Tokens
from robeval.plugins.views import View
from robeval_attacks.ranking.beams import Found

LOOKED_AT = 16
"""Sequences of each example that are tried to be written down, best first."""


def deliver(
    view: View[RankingBatch],
    batch: RankingBatch,
    found: Found,
    tokenizer: Tokenizer,
    budget: float,
    where: str,
    tries: int,
) -> RankingBatch:
    """The batch with the best triggers in their places that decode and encode to themselves and keep the budget.

    Where none does, the passage stays as it is (status ``no_trigger``). With more than one try the victim is asked to
    rank that many texts, and the best rank counts.
    """
    count = min(LOOKED_AT, found.score.shape[1])
    if not count:
        return batch
    cut = Found(found.ids[:, :count], found.length[:, :count], found.score[:, :count], found.trace)
    triggers = tokenizer.decode(Tokens(cut.ids.flatten(0, 1), cut.mask().flatten(0, 1)))
    good = cut.score.isfinite() & survives(tokenizer, cut)
    texts, fits = fitted(view, batch.repeat(count), triggers, where, budget, good.flatten())
    good &= fits.view(good.shape)
    view.note("no_trigger", batch, ~good.any(dim=1))
    return choose(view, batch, texts, good, tries)


def survives(tokenizer: Tokenizer, found: Found) -> Bool[Tensor, "batch kept"]:
    """Which sequences come back as the same tokens after decoding and encoding."""
    tokens = Tokens(found.ids.flatten(0, 1), found.mask().flatten(0, 1))
    return tokenizer.round_trips(tokens).view(found.score.shape).to(found.ids.device) & (found.length > 0)


def fitted(
    view: View[RankingBatch],
    rows: RankingBatch,
    triggers: Sequence[str],
    where: str,
    budget: float,
    asked: Bool[Tensor, " rows"],
) -> tuple[list[str], Bool[Tensor, " rows"]]:
    """The passages with their triggers, and which of the `asked` keep the budget.

    A trigger that costs too much, as the victim's tokenizer may count more tokens than the search did, loses its last
    words until it fits.
    """
    passages, words = rows.texts(), [trigger.split(" ") for trigger in triggers]
    texts = inserted(passages, triggers, where)
    good = within(view, rows, texts, budget, asked)
    for _ in range(max(map(len, words), default=0) - 1):
        costly = [n for n in (asked & ~good).nonzero().squeeze(1).tolist() if len(words[n]) > 1]
        if not costly:
            break
        for number in costly:
            words[number] = words[number][:-1]
        shorter = inserted([passages[n] for n in costly], [" ".join(words[n]) for n in costly], where)
        for number, text in zip(costly, shorter, strict=True):
            texts[number] = text
        again = torch.zeros_like(asked)
        again[costly] = True
        good = good | within(view, rows, texts, budget, again)
    return texts, good


def within(
    view: View[RankingBatch],
    rows: RankingBatch,
    texts: Sequence[str],
    budget: float,
    asked: Bool[Tensor, " rows"],
) -> Bool[Tensor, " rows"]:
    """Which texts keep the budget and the form of an insertion, and fit the batch, as the domain measures it."""
    fits = torch.tensor([len(text.encode()) <= rows.text.shape[1] for text in texts], dtype=torch.bool)
    kept = fits & asked.cpu()
    chosen = kept.nonzero().squeeze(1)
    if len(chosen):
        clean = rows.select(chosen)
        measured = view.spent(clean, clean.with_texts([texts[number] for number in chosen.tolist()]))
        kept[chosen] = (measured["tokens"] <= budget) & (measured["insertion_only"] <= 1)
    return kept.to(asked.device)


def choose(
    view: View[RankingBatch],
    batch: RankingBatch,
    texts: Sequence[str],
    good: Bool[Tensor, "batch options"],
    tries: int,
) -> RankingBatch:
    """Of the good texts of each example (row by row, best first) the first, or the best ranked of `tries`."""
    order = torch.sort((~good).to(torch.int8), dim=1, stable=True).indices
    if tries > 1:
        view.submit(_published(batch, texts, good, order[:, 0]))
        tried = order[:, : min(tries, good.shape[1])]
        rank = asked_ranks(view, batch, texts, tried, good.gather(1, tried))
        order = tried.gather(1, torch.sort(rank, dim=1, stable=True).indices)
    return _published(batch, texts, good, order[:, 0])


def _published(
    batch: RankingBatch,
    texts: Sequence[str],
    good: Bool[Tensor, "batch options"],
    option: Int64[Tensor, " batch"],
) -> RankingBatch:
    """One option of each example; where none is good the text as it was."""
    example = torch.arange(len(batch), device=option.device)
    wanted = texts_at(texts, example, option, good.shape[1])
    rows = zip(wanted, good.any(dim=1).tolist(), batch.texts(), strict=True)
    return batch.with_texts([text if is_good else own for text, is_good, own in rows])


def asked_ranks(
    view: View[RankingBatch],
    batch: RankingBatch,
    texts: Sequence[str],
    tried: Int64[Tensor, "batch tries"],
    good: Bool[Tensor, "batch tries"],
) -> Float[Tensor, "batch tries"]:
    """The victim's rank of some texts, one question each; infinite for texts that are not good, which are not asked."""
    rows = good.flatten().nonzero().squeeze(1)
    rank = torch.full((good.numel(),), torch.inf, device=good.device)
    if not len(rows):
        return rank.view(good.shape)
    example = rows // good.shape[1]
    wanted = texts_at(texts, example, tried.flatten()[rows], len(texts) // len(batch))
    asked = batch.select(example).with_texts(wanted)
    answer = view(asked)
    found = answer.rank_of(asked.passage).float() if isinstance(answer, RankedLists) else ranks(answer)
    rank[rows] = found.to(rank.device)
    return rank.view(good.shape)


def texts_at(
    texts: Sequence[str], example: Int64[Tensor, " rows"], option: Int64[Tensor, " rows"], options: int
) -> list[str]:
    """Texts by example and option, where `options` of each example stand in a row."""
    return [texts[number] for number in (example * options + option).tolist()]
