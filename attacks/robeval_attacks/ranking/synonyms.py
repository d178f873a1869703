"""Which words may stand for which: neighbours by the company they keep, or a list that the user brings."""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.substitutes import read_substitutes
from robeval.domains.ranking.tokens import Tokenizer
from robeval.domains.ranking.word_vectors import counted_vectors
from robeval_attacks.ranking.words import stop_pieces

HIDDEN = 64
_ROWS = 1024


def neighbours(
    corpus: Corpus, tokenizer: Tokenizer, most: int, cosine: float, path: str | None
) -> tuple[Int64[Tensor, "vocabulary most"], Bool[Tensor, "vocabulary most"]]:
    """Up to `most` substitutes of every piece, and which of them count; whole words only, never stop words.

    Without a file: the nearest by the cosine of vectors counted from the passages. Made once per corpus.
    """
    key = ("synonyms", tokenizer.digest, most, cosine, path)
    return corpus.shared(
        key,
        lambda: _counted(corpus, tokenizer, most, cosine) if path is None else _read(tokenizer, most, path),
    )


def _counted(corpus: Corpus, tokenizer: Tokenizer, most: int, cosine: float) -> tuple[Tensor, Tensor]:
    usable = tokenizer.is_word & ~stop_pieces(tokenizer)
    vectors = torch.nn.functional.normalize(counted_vectors(corpus, tokenizer, HIDDEN), dim=1)
    usable = usable & (vectors.norm(dim=1) > 0)
    found = []
    for rows in torch.split(torch.arange(tokenizer.size), _ROWS):  # vocabulary squared need not fit in memory
        alike = (vectors[rows] @ vectors.T).masked_fill(~usable, -1.0)
        alike[torch.arange(len(rows)), rows] = -1.0
        alike[~usable[rows]] = -1.0
        found.append(alike.topk(min(most, tokenizer.size), dim=1))
    values, ids = (torch.cat(parts) for parts in zip(*found, strict=True))
    return ids, values >= max(cosine, 0.0)


def _read(tokenizer: Tokenizer, most: int, path: str) -> tuple[Tensor, Tensor]:
    """``word<TAB>substitute,substitute``, one word a line; words that the vocabulary has not are left out."""
    number = {piece: place for place, piece in enumerate(tokenizer.pieces) if tokenizer.is_word[place]}
    ids = torch.zeros(tokenizer.size, most, dtype=torch.long)
    counts = torch.zeros(tokenizer.size, most, dtype=torch.bool)
    for word, others in read_substitutes(path):
        known = [number[other] for other in others if other in number][:most]
        if word in number and known:
            ids[number[word], : len(known)] = torch.tensor(known)
            counts[number[word], : len(known)] = True
    return ids, counts
