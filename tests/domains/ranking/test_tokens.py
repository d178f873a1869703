"""The corpus's own vocabulary."""

import torch

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.tokens import SPECIAL, Tokens, bert_template, corpus_tokenizer


def test_frequent_words_are_pieces_and_rare_ones_fall_apart(foxes: Corpus) -> None:
    """A word seen three times is one token, a rarer one its letters."""
    tokenizer = corpus_tokenizer(foxes)
    found = tokenizer.encode(["The", "fox", ""])
    assert found.mask.sum(dim=1).tolist() == [1, 3, 0]
    assert tokenizer.decode(found) == ["the", "fox", ""]


def test_round_trips_are_noticed(foxes: Corpus) -> None:
    """Letters that decode to a known word do not come back as they were."""
    tokenizer = corpus_tokenizer(foxes)
    letters = [tokenizer.pieces.index(piece) for piece in ("t", "##h", "##e")]
    word = tokenizer.pieces.index("the")
    rows = Tokens(
        torch.tensor([letters, [word, 0, 0]]), torch.tensor([[True, True, True], [True, False, False]])
    )
    assert tokenizer.round_trips(rows).tolist() == [False, True]


def test_words_are_told_from_pieces(foxes: Corpus) -> None:
    """Special tokens, continuations and punctuation are no words."""
    tokenizer = corpus_tokenizer(foxes)
    words = {piece for piece, good in zip(tokenizer.pieces, tokenizer.is_word.tolist(), strict=True) if good}
    assert {"the", "a", "7"} <= words
    assert not words & {"##a", ".", *SPECIAL}
    assert tokenizer.special.sum() == len(SPECIAL)


def test_a_vocabulary_can_be_cut(foxes: Corpus) -> None:
    """No more pieces than asked for, and one vocabulary per size."""
    assert corpus_tokenizer(foxes, 60).size == 60
    assert corpus_tokenizer(foxes) is corpus_tokenizer(foxes)


def test_the_template_is_berts(foxes: Corpus) -> None:
    """The frame read off the tokenizer is the one that small victims build in."""
    assert corpus_tokenizer(foxes).template == bert_template()


def test_selecting_cuts_to_the_longest(foxes: Corpus) -> None:
    """Rows without long neighbours carry no padding."""
    found = corpus_tokenizer(foxes).encode(["the", "the the the"])
    assert found.select(torch.tensor([0])).ids.shape == (1, 1)
    assert found.cut(2).mask.sum(dim=1).tolist() == [1, 2]
