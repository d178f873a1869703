"""Scores of unchanged (query, passage) pairs: an attack changes one passage of a hundred, the rest is asked once."""

from collections.abc import Callable, Hashable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from robeval.domains.ranking.corpus import Corpus

Score = Callable[[Tensor, Tensor], Tensor]


class PairMemo:
    """Keeps scores by pair; forgets them when the corpus, the weights or the device change."""

    def __init__(self) -> None:
        self._owner: Hashable = None
        self._keys = torch.empty(0, dtype=torch.long)
        self._values = torch.empty(0)

    def __deepcopy__(self, memo: dict) -> "PairMemo":
        return PairMemo()

    def scores(
        self,
        module: nn.Module,
        corpus: Corpus,
        query: Int64[Tensor, " pairs"],
        passage: Int64[Tensor, " pairs"],
        score: Score,
    ) -> Float[Tensor, " pairs"]:
        """The score of every pair; `score(queries, passages)` is asked about new ones, each once."""
        owner = (corpus.digest, query.device, *state_of(module))
        if owner != self._owner:
            self.__init__()  # type: ignore[misc]
            self._owner = owner
            self._keys, self._values = self._keys.to(query.device), self._values.to(query.device)
        wanted = query * len(corpus.passages) + passage
        new = torch.unique(wanted)
        new = new[~torch.isin(new, self._keys)]
        if len(new):
            with torch.no_grad():
                values = score(new // len(corpus.passages), new % len(corpus.passages)).float()
            keys = torch.cat([self._keys, new])
            order = keys.argsort()
            self._keys, self._values = keys[order], torch.cat([self._values, values])[order]
        return self._values[torch.searchsorted(self._keys, wanted)]


def state_of(module: nn.Module) -> tuple[Hashable, ...]:
    """Changes whenever a weight does: where every tensor lies, and how often it was written to."""
    tensors = (*module.parameters(), *module.buffers())
    return (module.training, *((value.data_ptr(), value._version) for value in tensors))
