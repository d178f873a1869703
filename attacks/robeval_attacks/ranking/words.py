"""Which tokens a trigger may be made of, and which ones are rewarded or forbidden."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.budget import plain_words
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.tokens import Tokenizer
from robeval_attacks.ranking.reader import full

Forbid = Literal["none", "query", "query+inflections", "anchor"]

UNWANTED = (".", "@", "=")
"""Pieces that no trigger may hold, as in the published code (and special tokens)."""
_ENDINGS = ("s", "es", "ed", "ing", "d", "er", "ly")


def first_pieces(tokenizer: Tokenizer) -> Bool[Tensor, " vocabulary"]:
    """Pieces that a trigger may begin with: whole alphanumeric words."""
    return tokenizer.is_word


def later_pieces(tokenizer: Tokenizer) -> Bool[Tensor, " vocabulary"]:
    """Pieces that may follow: anything but special tokens and the unwanted signs."""
    unwanted = torch.tensor([piece in UNWANTED for piece in tokenizer.pieces])
    return ~tokenizer.special & ~unwanted


def pieces_in(
    tokenizer: Tokenizer, texts: Sequence[str], without_stop_words: bool = False
) -> Bool[Tensor, "texts vocabulary"]:
    """Which pieces each text is made of."""
    tokens = tokenizer.encode(texts)
    found = torch.zeros(len(texts), tokenizer.size, dtype=torch.bool)
    row = torch.arange(len(texts)).unsqueeze(1).expand_as(tokens.ids)
    found[row[tokens.mask], tokens.ids[tokens.mask]] = True
    return found & ~stop_pieces(tokenizer) if without_stop_words else found


@lru_cache(maxsize=8)
def stop_pieces(tokenizer: Tokenizer) -> Bool[Tensor, " vocabulary"]:
    """Function words of English and signs."""
    from bm25s.stopwords import STOPWORDS_EN, STOPWORDS_EN_PLUS

    stop = {*STOPWORDS_EN, *STOPWORDS_EN_PLUS}
    return torch.tensor([piece in stop or not piece.isalnum() for piece in tokenizer.pieces])


def forms_of(word: str) -> set[str]:
    """The word and its regular inflections, in both directions: singular and plural, -ed, -ing."""
    stems = {word} | {
        word[: -len(end)] for end in _ENDINGS if word.endswith(end) and len(word) > len(end) + 2
    }
    stems |= {f"{stem[:-1]}y" for stem in tuple(stems) if stem.endswith("i")}
    if word.endswith("ies"):
        stems.add(f"{word[:-3]}y")
    forms = stems | {f"{stem}{end}" for stem in stems for end in _ENDINGS}
    return forms | {f"{stem[:-1]}ies" for stem in stems if stem.endswith("y")}


def is_related(piece: str, word: str) -> bool:
    """Whether one is an inflection of the other, or begins with it."""
    if len(piece) < 3 or len(word) < 3:
        return piece == word
    return piece.startswith(word) or word.startswith(piece) or bool(forms_of(piece) & forms_of(word))


@lru_cache(maxsize=1024)
def pieces_of_word(tokenizer: Tokenizer, word: str, related: bool) -> Bool[Tensor, " vocabulary"]:
    """The pieces that spell the word; with `related`, also those of its inflections and of words that begin alike."""
    found = pieces_in(tokenizer, [word])[0]
    if related:
        found = found | torch.tensor(
            [piece.isalnum() and is_related(piece, word) for piece in tokenizer.pieces]
        )
    return found


def banned(
    tokenizer: Tokenizer, batch: RankingBatch, forbid: Forbid, anchors: Sequence[str] = ()
) -> Bool[Tensor, "batch vocabulary"]:
    """The pieces that the trigger of each example must not hold."""
    if forbid == "none":
        return torch.zeros(len(batch), tokenizer.size, dtype=torch.bool)
    if forbid == "anchor":
        return pieces_in(tokenizer, anchors, without_stop_words=True)
    return _by_text(tokenizer, batch.query_texts(), related=forbid == "query+inflections")


def _by_text(tokenizer: Tokenizer, texts: Sequence[str], related: bool) -> Bool[Tensor, "texts vocabulary"]:
    known = {text: _pieces_of_words(tokenizer, plain_words(text), related) for text in set(texts)}
    return torch.stack([known[text] for text in texts])


def _pieces_of_words(tokenizer: Tokenizer, words: Iterable[str], related: bool) -> Tensor:
    found = torch.zeros(tokenizer.size, dtype=torch.bool)
    for word in words:
        pieces = pieces_of_word(tokenizer, word, related)
        # A function word of the query says nothing; a rare word is its letters, which must stay usable.
        found |= pieces & ~stop_pieces(tokenizer)
    return found


def single_word_scores(ranker: NeuralRanker, batch: RankingBatch) -> Float[Tensor, "batch vocabulary"]:
    """The score of every word of the vocabulary as if it were the passage; -inf for pieces that are no words.

    Asked once per query and ranker.
    """
    tokenizer = ranker.tokenizer(batch.corpus)
    words = tokenizer.is_word.nonzero().squeeze(1).to(batch.query.device)
    queries, which = torch.unique(batch.query, return_inverse=True)
    query = ranker.query_tokens(batch.corpus, queries)
    row: Int64[Tensor, " rows"] = torch.arange(len(queries), device=words.device).repeat_interleave(
        len(words)
    )
    with torch.no_grad():
        found = ranker.token_scores(query.select(row), full(words.repeat(len(queries)).unsqueeze(1)))
    table = torch.full((len(queries), tokenizer.size), -torch.inf, device=found.device)
    table[:, words] = found.view(len(queries), -1).float()
    return table[which]


def best_words(scores: Float[Tensor, "batch vocabulary"], count: int) -> Bool[Tensor, "batch vocabulary"]:
    """The `count` best pieces of each row that are words."""
    best = scores.topk(min(count, scores.shape[1]), dim=1).indices
    chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)
    return chosen & scores.isfinite()
