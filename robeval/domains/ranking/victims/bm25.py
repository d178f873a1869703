"""A lexical victim: BM25 with the statistics of the clean corpus."""

from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.tokens import Tokenizer, Tokens, corpus_tokenizer
from robeval.domains.ranking.victims.base import RankingVictim


class BM25(RankingVictim):
    """BM25 over the words between blanks and punctuation, in lower case, without stemming and stop words.

    An attacked passage has its own term counts and length; document frequencies stay those of the clean corpus.

    Source: Robertson et al., TREC-3 (1994), with Lucene's never negative idf.
    """

    def __init__(
        self,
        *,
        k1: Annotated[float, Field(ge=0, description="how soon repeated words stop counting")] = 0.9,
        b: Annotated[float, Field(ge=0, le=1, description="how much long passages are held back")] = 0.4,
    ) -> None:
        super().__init__()
        self.k1, self.b = k1, b

    def tokenizer(self, corpus: Corpus) -> Tokenizer:
        """The corpus's own vocabulary: budgets are measured with it; scores count whole words."""
        return corpus_tokenizer(corpus)

    def text_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """The sum over the query's words."""
        index = corpus.shared("word statistics", lambda: _Statistics(corpus))
        asked = index.queries.select(query.cpu())
        words, length = index.read(texts)
        # [rows, query words, passage words]: rows are short.
        times = (asked.ids.unsqueeze(2) == words.unsqueeze(1)).sum(dim=2).float()
        norm = self.k1 * (1 - self.b + self.b * length / index.mean_length).unsqueeze(1)
        gain = index.idf[asked.ids] * times / (times + norm)
        return (gain * asked.mask).sum(dim=1).to(query.device)


class _Statistics:
    """Document frequencies, the mean length, and words as numbers (-1 for words that no passage has)."""

    def __init__(self, corpus: Corpus) -> None:
        from tokenizers import normalizers, pre_tokenizers

        self.normalizer = normalizers.BertNormalizer(lowercase=True)
        self.splitter = pre_tokenizers.BertPreTokenizer()
        passages = [self.words(text) for text in corpus.passages]
        frequency = Counter(word for words in passages for word in set(words))
        self.number = {word: place for place, word in enumerate(frequency)}
        count = len(passages)
        idf = [log(1 + (count - n + 0.5) / (n + 0.5)) for n in frequency.values()]
        self.idf = torch.tensor([*idf, 0.0])  # the last is that of unknown words
        self.mean_length = max(sum(map(len, passages)) / max(count, 1), 1.0)
        ids, lengths = self.read(corpus.queries)
        self.queries = Tokens(ids, torch.arange(ids.shape[1]) < lengths.unsqueeze(1))

    def words(self, text: str) -> list[str]:
        """Words without punctuation."""
        pieces = self.splitter.pre_tokenize_str(self.normalizer.normalize_str(text))
        return [word for word, _ in pieces if any(sign.isalnum() for sign in word)]

    def read(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Word numbers padded with -1, and lengths."""
        rows = [[self.number.get(word, -1) for word in self.words(text)] for text in texts]
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
        width = max(map(len, rows), default=0)
        table = torch.full((len(rows), width), -1, dtype=torch.long)
        table[torch.arange(width) < lengths.unsqueeze(1)] = torch.tensor(
            [number for row in rows for number in row], dtype=torch.long
        )
        return table, lengths.float()
