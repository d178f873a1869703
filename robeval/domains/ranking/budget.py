"""What an attack on a passage really spent, measured on the text it returned, and inputs that are out of range."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.ranking.batch import NOBODY, RankingBatch
from robeval.domains.ranking.edits import edit_distance, shared_ends
from robeval.domains.ranking.text import is_text, words_of
from robeval.domains.ranking.tokens import Tokenizer, corpus_tokenizer

BROKEN = 2.0
"""A constraint that does not hold; constraints must stay at or below 1."""


def spent(
    clean: RankingBatch, adversarial: RankingBatch, tokenizer: Tokenizer | None = None
) -> dict[str, Tensor]:
    """Budgets and constraints by name, [batch] each, in double precision.

    ``tokens``: tokens inserted, removed or replaced, counted by `tokenizer` (the corpus's own without one) on the
    whole text, also where a victim would cut it. ``words``: the same in words between blanks. ``characters``: the same
    in UTF-8 bytes. ``insertion_only``: 0 where the passage stands whole around one inserted run of words, 2 elsewhere.
    ``substitution_only``: 0 where every word is kept or replaced in its place, 2 elsewhere. ``replaced_words``: words
    that were replaced in their places, infinite where their number changed. ``place``: where the first change is, as a
    share of the words: 0 front (or no change), 1 end. ``new_query_words``: query words that the text has and the
    passage had not.
    All are infinite where anything but the text was touched, or where it is no text.
    Raises ValueError when the batches hold other examples or shapes.
    """
    _comparable(clean, adversarial)
    before, after = clean.texts(), adversarial.texts()
    reader = tokenizer or corpus_tokenizer(clean.corpus)
    tokens = tuple(reader.encode(texts) for texts in (before, after))
    lengths = [token.mask.sum(dim=1) for token in tokens]
    words = _numbered(before, after)
    figures = {
        "tokens": edit_distance(tokens[0].ids, lengths[0], tokens[1].ids, lengths[1]),
        "words": edit_distance(*words),
        "characters": edit_distance(*_bytes(clean), *_bytes(adversarial)),
        **_shape(*words),
        "new_query_words": _new_query_words(clean, before, after),
    }
    honest = (untouched(clean, adversarial) & is_text(adversarial.text)).cpu()
    return {name: torch.where(honest, value.double().cpu(), torch.inf) for name, value in figures.items()}


def _shape(
    first: Tensor, first_length: Tensor, second: Tensor, second_length: Tensor
) -> dict[str, Float[Tensor, " batch"]]:
    """Insertion or substitution, and where it begins; in words."""
    kept = shared_ends(first, first_length, second, second_length)
    changed = kept.front + kept.end < torch.maximum(first_length, second_length)
    whole = kept.front + kept.end == first_length
    width = max(first.shape[1], second.shape[1])
    both = (
        torch.nn.functional.pad(words, (0, width - words.shape[1]), value=-1) for words in (first, second)
    )
    replaced = torch.ne(*both).sum(dim=1).double()
    return {
        "insertion_only": torch.where(whole, 0.0, BROKEN),
        "substitution_only": torch.where(first_length == second_length, 0.0, BROKEN),
        "replaced_words": torch.where(first_length == second_length, replaced, torch.inf),
        "place": torch.where(changed, kept.front / first_length.clamp_min(1), 0.0),
    }


def untouched(clean: RankingBatch, adversarial: RankingBatch) -> Bool[Tensor, " batch"]:
    """Where everything but the target's text is as it was."""
    mine, theirs = clean.tensors(), adversarial.tensors()
    same = torch.full((len(clean),), clean.corpus == adversarial.corpus)
    same &= torch.tensor(
        [a == b for a, b in zip(clean.zone, adversarial.zone, strict=True)], dtype=torch.bool
    )
    for name in ("query", "candidates", "target", "grades"):
        first, second = mine[name].cpu(), theirs[name].cpu()
        equal = (first == second) | (first.isnan() & second.isnan())
        same &= equal.reshape(len(clean), -1).all(dim=1)
    return same


def problems(batch: RankingBatch) -> dict[str, Tensor]:
    """What is wrong with an input → in which examples: bool [batch]."""
    place = batch.target.clamp(0, batch.candidates.shape[1] - 1)
    off = (place != batch.target) | (batch.candidates.gather(1, place.unsqueeze(1)).squeeze(1) == NOBODY)
    outside = (batch.candidates >= len(batch.corpus.passages)) | (batch.candidates < NOBODY)
    return {
        "the text is not UTF-8 or holds a zero byte": ~is_text(batch.text),
        "the target is not in its candidate list": off,
        "a candidate is not in the corpus": outside.any(dim=1),
        "fewer than two candidates to rank": batch.listed.sum(dim=1) < 2,
    }


def _new_query_words(
    clean: RankingBatch, before: Sequence[str], after: Sequence[str]
) -> Int64[Tensor, " batch"]:
    rows = zip(clean.query_texts(), before, after, strict=True)
    counts = [len(plain_words(query) & (plain_words(new) - plain_words(old))) for query, old, new in rows]
    return torch.tensor(counts, dtype=torch.long)


def plain_words(text: str) -> set[str]:
    """Words in lower case without punctuation at their ends."""
    return {word.strip(".,;:!?()[]\"'").lower() for word in words_of(text)} - {""}


def _numbered(
    before: Sequence[str], after: Sequence[str]
) -> tuple[Int64[Tensor, "rows m"], Int64[Tensor, " rows"], Int64[Tensor, "rows n"], Int64[Tensor, " rows"]]:
    """Words as numbers, padded with -1, and how many there are."""
    known: dict[str, int] = {}
    first, second = (
        [[known.setdefault(word, len(known)) for word in words_of(text)] for text in texts]
        for texts in (before, after)
    )
    return *_padded(first), *_padded(second)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    width = max(map(len, rows), default=0)
    table = torch.full((len(rows), width), -1, dtype=torch.long)
    table[torch.arange(width) < lengths.unsqueeze(1)] = torch.tensor(
        [number for row in rows for number in row], dtype=torch.long
    )
    return table, lengths


def _bytes(batch: RankingBatch) -> tuple[Int64[Tensor, "rows bytes"], Int64[Tensor, " rows"]]:
    text = batch.text.cpu().long()
    used = (text != 0).int().flip(1).cummax(dim=1).values.flip(1)
    return text, used.sum(dim=1)


def _comparable(clean: RankingBatch, adversarial: RankingBatch) -> None:
    if clean.ids != adversarial.ids:
        raise ValueError(
            f"the attack returned other examples: expected {len(clean)} ({', '.join(clean.ids[:3])}...), "
            f"got {len(adversarial)} ({', '.join(adversarial.ids[:3])}...)"
        )
    theirs = adversarial.tensors()
    for name, value in clean.tensors().items():
        if value.shape != theirs[name].shape or value.dtype != theirs[name].dtype:
            raise ValueError(
                f"the attack returned '{name}' as {theirs[name].dtype} {list(theirs[name].shape)}, "
                f"expected {value.dtype} {list(value.shape)}"
            )
    if len(adversarial.zone) != len(clean):
        raise ValueError(
            f"the attack returned {len(adversarial.zone)} values of 'zone', expected {len(clean)}"
        )
