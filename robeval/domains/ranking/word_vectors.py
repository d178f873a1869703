"""Word vectors from counts: words that share passages are neighbours before any training."""

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.tokens import Tokenizer, Tokens

LENGTH = 1.0
"""Longer than positions and segments (0.16 each), or a word would not know itself at another place."""
POWER = 0.25
_MORE, _ROUNDS = 16, 4


def counted_vectors(
    corpus: Corpus, tokenizer: Tokenizer, hidden: int
) -> Float[Tensor, "vocabulary {hidden}"]:
    """A vector of length 1 for every piece, from PPMI over whole passages; 0 for pieces in no passage.

    Singular vectors of the positive pointwise mutual information, singular values to the power 0.25. Made once per
    corpus. Needs a vocabulary that fits in memory squared (a corpus's own, not a pretrained model's).
    """
    key = ("counted vectors", tokenizer.digest, hidden)
    return corpus.shared(key, lambda: _vectors(tokenizer.encode(corpus.passages), tokenizer.size, hidden))


def _vectors(passages: Tokens, size: int, hidden: int) -> Tensor:
    table = torch.nn.functional.normalize(_singular(_information(passages, size), hidden), dim=1) * LENGTH
    return torch.nn.functional.pad(table, (0, hidden - table.shape[1]))


def _information(passages: Tokens, size: int) -> Float[Tensor, "vocabulary vocabulary"]:
    """Positive pointwise mutual information of two pieces in one passage."""
    together = torch.zeros(size, size)
    for start in range(0, len(passages.ids), 512):  # a corpus times its vocabulary need not fit in memory
        ids, mask = passages.ids[start : start + 512], passages.mask[start : start + 512]
        holds = torch.zeros(len(ids), size).scatter_add_(1, ids, mask.float()).clamp_max(1.0)
        together += holds.T @ holds
    together.fill_diagonal_(0.0)
    share = together.sum(dim=1, keepdim=True) / together.sum().clamp_min(1.0)
    expected = share @ share.T * together.sum()
    return torch.where(together > 0, (together / expected.clamp_min(1e-12)).log(), 0.0).clamp_min(0.0)


def _singular(matrix: Tensor, hidden: int) -> Tensor:
    """The leading singular vectors times their values to the power 0.25."""
    rank = min(hidden, len(matrix))
    with torch.random.fork_rng(devices=[]):  # svd_lowrank knows no generator
        torch.manual_seed(0)
        left, values, _ = torch.svd_lowrank(matrix, q=min(rank + _MORE, len(matrix)), niter=_ROUNDS)
    return left[:, :rank] * values[:rank] ** POWER
