"""How an attacked passage reads: perplexity, and what the inserted words have to do with the query."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.budget import plain_words
from robeval.domains.ranking.edits import shared_ends
from robeval.domains.ranking.language import JUDGE, language_model
from robeval.domains.ranking.text import words_of
from robeval.domains.ranking.tokens import Tokens


class Change(NamedTuple):
    """What stands between the parts that two texts share at either end, in words."""

    before: list[str]
    removed: list[str]
    added: list[str]
    after: list[str]


def change(old: str, new: str) -> Change:
    """The one run of words in which two texts differ."""
    first, second = words_of(old), words_of(new)
    shorter = min(len(first), len(second))
    front = next((i for i in range(shorter) if first[i] != second[i]), shorter)
    end = next((i for i in range(shorter - front) if first[-1 - i] != second[-1 - i]), shorter - front)
    return Change(
        first[:front],
        first[front : len(first) - end],
        second[front : len(second) - end],
        first[len(first) - end :],
    )


def measured(clean: RankingBatch, adversarial: RankingBatch) -> dict[str, Float[Tensor, " batch"]]:
    """Perplexities under the judge's language model, and the added words' overlap with the query.

    ``trigger_perplexity``, ``query_overlap`` and ``inserted_share`` are NaN where nothing was added;
    ``perplexity`` is NaN under two tokens.
    """
    model = language_model(clean.corpus, seed=JUDGE).to(clean.device)
    old, new = clean.texts(), adversarial.texts()
    read = [model.tokenizer.encode(texts).to(clean.device) for texts in (old, new)]
    log_p = model.log_probs(read[1])
    count = read[1].mask.sum(dim=1)
    changes = [change(*pair) for pair in zip(old, new, strict=True)]
    queries = [plain_words(text) for text in clean.query_texts()]
    added = [[w for word in found.added for w in plain_words(word)] for found in changes]
    shares = [
        (
            sum(word in query for word in words) / max(len(words), 1) if words else torch.nan,
            len(found.added) / max(len(words_of(text)), 1) if found.added else torch.nan,
        )
        for query, words, found, text in zip(queries, added, changes, old, strict=True)
    ]
    table = torch.tensor(shares, dtype=torch.float64).reshape(-1, 2)
    return {
        "perplexity": torch.where(
            count < 2, torch.nan, (-log_p.sum(dim=1) / count.clamp_min(1)).exp()
        ).double(),
        "trigger_perplexity": _added_perplexity(read[0], read[1], log_p),
        "query_overlap": table[:, 0],
        "inserted_share": table[:, 1],
    }


def _added_perplexity(old: Tokens, new: Tokens, log_p: Tensor) -> Float[Tensor, " batch"]:
    """Over the tokens between the shared ends; NaN where there are none."""
    lengths = [tokens.mask.sum(dim=1) for tokens in (old, new)]
    kept = shared_ends(old.ids, lengths[0], new.ids, lengths[1])
    place = torch.arange(log_p.shape[1], device=log_p.device)
    inside = (place >= kept.front.unsqueeze(1)) & (place < (lengths[1] - kept.end).unsqueeze(1))
    count = inside.sum(dim=1)
    mean = (log_p * inside).sum(dim=1) / count.clamp_min(1)
    return torch.where(count > 0, (-mean).exp(), torch.nan).double()
