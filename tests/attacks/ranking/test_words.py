"""Which tokens a trigger may be made of."""

import pytest
import torch

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.ranker import NeuralRanker
from robeval_attacks.ranking.words import (
    banned,
    best_words,
    first_pieces,
    is_related,
    later_pieces,
    pieces_in,
    single_word_scores,
)


@pytest.mark.parametrize(
    ("piece", "word"),
    [("foxes", "fox"), ("fox", "foxes"), ("berries", "berry"), ("hunting", "hunted"), ("hunter", "hunt")],
)
def test_inflections_are_related(piece: str, word: str) -> None:
    """Singular and plural, -ed, -ing, and words that begin with each other belong together."""
    assert is_related(piece, word)


@pytest.mark.parametrize(("piece", "word"), [("box", "fox"), ("fo", "fox"), ("sail", "tide")])
def test_other_words_are_not(piece: str, word: str) -> None:
    """Likeness in letters, or a beginning of two letters, is not enough."""
    assert not is_related(piece, word)


def test_a_ban_holds_the_querys_content_words(small_world: RankingBatch) -> None:
    """The first query's two words are banned for it and for no query of another topic."""
    from robeval.domains.ranking.tokens import corpus_tokenizer

    tokenizer = corpus_tokenizer(small_world.corpus)
    table = banned(tokenizer, small_world, "query")
    pieces = tokenizer.pieces
    assert {pieces[i] for i in table[0].nonzero().squeeze(1).tolist()} == {"fox", "burrow"}
    assert not table[7, pieces.index("fox")]
    assert banned(tokenizer, small_world, "none").sum() == 0
    anchors = ["the bread is here"] * len(small_world)
    assert banned(tokenizer, small_world, "anchor", anchors)[3, pieces.index("bread")]


def test_triggers_begin_with_words_and_hold_no_signs(small_world: RankingBatch) -> None:
    """No special token anywhere, no full stop; continuations only behind the first place."""
    from robeval.domains.ranking.tokens import corpus_tokenizer

    tokenizer = corpus_tokenizer(small_world.corpus)
    first, later = first_pieces(tokenizer), later_pieces(tokenizer)
    assert not (first & tokenizer.special).any()
    assert not (later & tokenizer.special).any()
    assert not later[tokenizer.pieces.index(".")]
    assert not first[tokenizer.pieces.index("##a")]
    assert later[tokenizer.pieces.index("##a")]


def test_stop_words_are_left_out_on_request(small_world: RankingBatch) -> None:
    """Of "the fox" only the fox is left."""
    from robeval.domains.ranking.tokens import corpus_tokenizer

    tokenizer = corpus_tokenizer(small_world.corpus)
    found = pieces_in(tokenizer, ["the fox"], without_stop_words=True)
    assert [tokenizer.pieces[i] for i in found[0].nonzero().squeeze(1).tolist()] == ["fox"]


def test_the_best_single_words_are_the_querys(small_world: RankingBatch, word_ranker: NeuralRanker) -> None:
    """A ranker that matches words likes nothing better than a word of the query."""
    scores = single_word_scores(word_ranker, small_world)
    chosen = best_words(scores, 2)
    query = word_ranker.query_tokens(small_world.corpus, small_world.query)
    assert (chosen.sum(dim=1) == 2).all()
    assert chosen.gather(1, query.ids).any(dim=1).all()
    assert not (chosen & ~word_ranker.tokenizer(small_world.corpus).is_word).any()
    alone = word_ranker.text_scores(small_world.corpus, torch.tensor([0]), ["fox"])
    fox = word_ranker.tokenizer(small_world.corpus).pieces.index("fox")
    assert torch.allclose(scores[0, fox], alone[0], atol=1e-6)
