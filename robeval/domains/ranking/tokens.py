"""Texts as tokens: one face for a vocabulary made from the corpus and for a pretrained model's tokenizer."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNKNOWN, CLS, SEP, MASK)
VOCABULARY = 4096
"""Pieces of a corpus's own vocabulary, at most."""
_RARE = 3


class Tokens(NamedTuple):
    """Token ids without special tokens, and which of them are no padding: int64 and bool [rows, length]."""

    ids: Tensor
    mask: Tensor

    def select(self, rows: Tensor) -> "Tokens":
        """Some rows, cut to the longest of them."""
        mask = self.mask[rows]
        longest = int(mask.any(dim=0).nonzero().max()) + 1 if bool(mask.any()) else 0
        return Tokens(self.ids[rows][:, :longest], mask[:, :longest])

    def cut(self, most: int) -> "Tokens":
        """At most the first `most` tokens of every row."""
        return Tokens(self.ids[:, :most], self.mask[:, :most])

    def to(self, device: torch.device | str) -> "Tokens":
        """On another device."""
        return Tokens(self.ids.to(device), self.mask.to(device))


class Template(NamedTuple):
    """Special tokens around a query and a passage, with their segment numbers: ``[CLS] q [SEP] d [SEP]``."""

    before: list[int]
    between: list[int]
    after: list[int]
    segments: tuple[list[int], list[int], list[int]]
    query_segment: int
    passage_segment: int

    @property
    def length(self) -> int:
        """How many special tokens there are."""
        return len(self.before) + len(self.between) + len(self.after)


class Tokenizer:
    """A tokenizer of the `tokenizers` library, whole batches at a time, without special tokens unless asked."""

    def __init__(self, backend: "Backend") -> None:
        self.backend = type(backend).from_str(backend.to_str())  # ours alone: padding and cutting are off
        self.backend.no_padding()
        self.backend.no_truncation()

    def __deepcopy__(self, memo: dict) -> "Tokenizer":
        return self  # nothing in it changes

    @cached_property
    def digest(self) -> str:
        """Changes with the vocabulary and with every rule."""
        return hashlib.blake2b(self.backend.to_str().encode(), digest_size=16).hexdigest()

    @cached_property
    def size(self) -> int:
        """Ids are below this."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def pieces(self) -> list[str]:
        """The vocabulary by id; '' where an id is not used."""
        pieces = [""] * self.size
        for piece, number in self.backend.get_vocab(with_added_tokens=True).items():
            pieces[number] = piece
        return pieces

    @cached_property
    def special(self) -> Bool[Tensor, " vocabulary"]:
        """Which ids are special tokens (or unused, or reserved): never part of a text."""
        added = {token.content for token in self.backend.get_added_tokens_decoder().values() if token.special}
        named = [
            not piece or piece in added or piece in SPECIAL or piece.startswith("[unused")
            for piece in self.pieces
        ]
        return torch.tensor(named)

    @cached_property
    def is_word(self) -> Bool[Tensor, " vocabulary"]:
        """Which ids are whole alphanumeric words on their own: a text of that piece alone gives it back."""
        alone = self.encode([piece if piece.isalnum() else "" for piece in self.pieces])
        single = alone.mask.sum(dim=1) == 1
        same = torch.zeros(self.size, dtype=torch.bool)
        if alone.ids.shape[1]:
            same = alone.ids[:, 0] == torch.arange(self.size)
        return single & same & ~self.special

    def encode(self, texts: Sequence[str]) -> Tokens:
        """Token ids without special tokens, padded to the longest text."""
        found = [coded.ids for coded in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]
        longest = max(map(len, found), default=0)
        lengths = torch.tensor([len(ids) for ids in found], dtype=torch.long)
        mask = torch.arange(longest) < lengths.unsqueeze(1)
        flat = torch.tensor([number for ids in found for number in ids], dtype=torch.long)
        ids = torch.zeros(len(found), longest, dtype=torch.long)
        ids[mask] = flat
        return Tokens(ids, mask)

    def decode(self, tokens: Tokens) -> list[str]:
        """The texts of token rows, special tokens left out."""
        rows = [
            [number for number, used in zip(ids, mask, strict=True) if used]
            for ids, mask in zip(tokens.ids.tolist(), tokens.mask.tolist(), strict=True)
        ]
        return list(self.backend.decode_batch(rows))

    def round_trips(self, tokens: Tokens) -> Bool[Tensor, " rows"]:
        """Which rows come back as they are after decoding and encoding."""
        again = self.encode(self.decode(tokens))
        width = max(again.ids.shape[1], tokens.ids.shape[1])
        mine, theirs = (_flushed(t, width) for t in (tokens, again))
        return (mine == theirs).all(dim=1).cpu()

    @cached_property
    def template(self) -> Template:
        """How this tokenizer frames a pair."""
        coded = self.backend.encode("a", "b")
        # The first text's tokens are those of sequence 0; special tokens belong to none.
        owner = coded.sequence_ids
        first = [i for i, who in enumerate(owner) if who == 0]
        second = [i for i, who in enumerate(owner) if who == 1]
        spans = (slice(0, first[0]), slice(first[-1] + 1, second[0]), slice(second[-1] + 1, None))
        before, between, after = (list(coded.ids[span]) for span in spans)
        segments = tuple(list(coded.type_ids[span]) for span in spans)
        return Template(
            before,
            between,
            after,
            (segments[0], segments[1], segments[2]),
            coded.type_ids[first[0]],
            coded.type_ids[second[0]],
        )


def _flushed(tokens: Tokens, width: int) -> Tensor:
    """Ids with padding at the end as -1."""
    ids = torch.full((tokens.ids.shape[0], width), -1, dtype=torch.long)
    lengths = tokens.mask.sum(dim=1, keepdim=True).cpu()
    ids[torch.arange(width) < lengths] = tokens.ids[tokens.mask].cpu()
    return ids


def corpus_tokenizer(corpus: Corpus, most: int = VOCABULARY) -> Tokenizer:
    """A word-piece vocabulary made from the passages, made once per corpus and size.

    Special tokens, every sign alone and as a continuation, then words seen at least 3 times by falling frequency.
    Rarer words fall apart into letters.
    """
    return corpus.shared(("tokenizer", most), lambda: _trained(corpus.passages, most))


def _trained(passages: Sequence[str], most: int) -> Tokenizer:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in passages:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    signs = sorted({sign for word in counts for sign in word} | set("abcdefghijklmnopqrstuvwxyz0123456789"))
    pieces = [*SPECIAL, *signs, *(f"##{sign}" for sign in signs)]
    known = set(pieces)
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    pieces += [word for word, count in by_count if count >= _RARE and word not in known]
    vocabulary = {piece: number for number, piece in enumerate(pieces[:most])}
    backend = Backend(models.WordPiece(vocab=vocabulary, unk_token=UNKNOWN))
    backend.normalizer, backend.pre_tokenizer = normalizer, splitter
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens(list(SPECIAL))
    backend.post_processor = processors.BertProcessing((SEP, vocabulary[SEP]), (CLS, vocabulary[CLS]))
    return Tokenizer(backend)


def bert_template() -> Template:
    """``[CLS] q [SEP] d [SEP]`` in a corpus's own vocabulary."""
    cls, sep = SPECIAL.index(CLS), SPECIAL.index(SEP)
    return Template([cls], [sep], [sep], ([0], [0], [1]), 0, 1)
