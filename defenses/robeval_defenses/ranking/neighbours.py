"""Which words may stand for which, for smoothing over substitutions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.substitutes import read_substitutes
from robeval.domains.ranking.tokens import corpus_tokenizer
from robeval.domains.ranking.word_vectors import counted_vectors

HIDDEN = 64
REMOVED = 2
"""Main components that are taken out of the vectors: they hold frequency, not meaning."""
COMMON = 0.2
"""A word that stands in more of the passages than this has no neighbours: function words are no one's synonyms."""
PIECES = re.compile(r"\w+|[^\w]+")


@dataclass(frozen=True)
class Neighbours:
    """Words that may replace each other, and for each word the set that its copies are drawn from.

    Words are lower-case; a word that is not listed has no neighbours and stands for itself.
    """

    words: tuple[str, ...]
    near: Bool[Tensor, "words words"]
    """Who may replace whom: symmetric, nobody himself."""
    sets: Int64[Tensor, "words most"]
    """The numbers of the words in each word's set, padded with -1; the word itself is one of them."""

    @classmethod
    def of(
        cls,
        words: Sequence[str],
        near: Bool[Tensor, "words words"],
        alike: Float[Tensor, "words words"],
        most: int,
    ) -> "Neighbours":
        """Sets are the `most` words of a word's connected component that are most alike, itself included."""
        itself = torch.eye(len(words), dtype=torch.bool)
        near = (near | near.T) & ~itself
        if not len(words):
            return cls((), near, torch.zeros(0, 1, dtype=torch.long))
        together = _components(near)
        member = together.unsqueeze(0) == together.unsqueeze(1)
        # Itself first, whatever the similarities are.
        order = alike.masked_fill(~member, -torch.inf).masked_fill(itself, torch.inf)
        found = order.topk(min(most, len(words)), dim=1)
        sets = torch.where(found.values > -torch.inf, found.indices, -1)
        return cls(tuple(words), near, sets[:, : int((sets >= 0).sum(dim=1).max())])

    def overlap(self) -> Float[Tensor, " words"]:
        """Per word the smallest share that its set and a neighbour's have in common; 1 without neighbours."""
        held = torch.zeros(len(self.words), len(self.words) + 1)
        held.scatter_(1, self.sets.masked_fill(self.sets < 0, len(self.words)), 1.0)
        held = held[:, :-1]
        size = held.sum(dim=1)
        share = (held @ held.T) / torch.maximum(size.unsqueeze(0), size.unsqueeze(1)).clamp_min(1.0)
        return share.masked_fill(~self.near, 1.0).amin(dim=1) if len(self.words) else torch.ones(0)


def _components(near: Bool[Tensor, "words words"]) -> Int64[Tensor, " words"]:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    labels = connected_components(csr_matrix(near.numpy()), directed=False)[1]
    return torch.from_numpy(labels).long()


def counted_neighbours(corpus: Corpus, cosine: float, most: int) -> Neighbours:
    """Neighbours by the cosine of vectors counted from the passages, centred, without their main components."""
    return corpus.shared(("neighbours", cosine, most), lambda: _counted(corpus, cosine, most))


def _counted(corpus: Corpus, cosine: float, most: int) -> Neighbours:
    tokenizer = corpus_tokenizer(corpus)
    vectors = counted_vectors(corpus, tokenizer, HIDDEN)
    read = tokenizer.encode(corpus.passages)
    holds = torch.zeros(len(read.ids), tokenizer.size).scatter_add_(1, read.ids, read.mask.float()) > 0
    usable = tokenizer.is_word & (vectors.norm(dim=1) > 0) & (holds.float().mean(dim=0) < COMMON)
    numbers = usable.nonzero().squeeze(1)
    chosen = vectors[numbers] - vectors[numbers].mean(dim=0)
    if len(chosen) > REMOVED:
        main = torch.linalg.svd(chosen.double(), full_matrices=False).Vh[:REMOVED].to(chosen)
        chosen = chosen - chosen @ main.T @ main
    alike = torch.nn.functional.normalize(chosen, dim=1)
    alike = alike @ alike.T
    words = [tokenizer.pieces[number] for number in numbers.tolist()]
    return Neighbours.of(words, alike > cosine, alike, most)


def read_neighbours(path: str, most: int) -> Neighbours:
    """From lines ``word<TAB>substitute,substitute``. Raises MissingFile or DataError."""
    known: dict[str, int] = {}
    pairs = []
    for word, others in read_substitutes(path):
        numbers = [known.setdefault(name, len(known)) for name in (word, *others)]
        pairs += [(numbers[0], number) for number in numbers[1:]]
    near = torch.zeros(len(known), len(known), dtype=torch.bool)
    for first, second in pairs:
        near[first, second] = True
    near = near | near.T
    return Neighbours.of(list(known), near, near.float(), most)


def split(text: str) -> list[str]:
    """Words and what stands between them; joined they are the text again."""
    return PIECES.findall(text)
