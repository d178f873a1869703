"""Words replaced by neighbours."""

from pathlib import Path
from typing import Any

import pytest
import torch

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.tokens import corpus_tokenizer
from robeval.errors import DataError, MissingFile
from robeval_attacks.ranking.synonyms import neighbours
from robeval_attacks.ranking.word_substitution import WordSubstitution, replaceable


def test_only_single_pieces_are_replaceable(small_world: RankingBatch) -> None:
    """Punctuation around a word is left out of it; words in letters and signs are left alone."""
    batch = small_world.select([0]).with_texts(["(Fox), zzqx sea."])
    tokenizer = corpus_tokenizer(batch.corpus)
    tokens = tokenizer.encode(batch.texts())
    places = replaceable(tokenizer, batch, tokens)
    assert places.word[places.there].tolist() == [0, 2]
    assert [tokenizer.pieces[i] for i in tokens.ids[0, places.token[0]].tolist()] == ["fox", "sea"]


def test_a_file_of_synonyms_decides(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any, tmp_path: Path
) -> None:
    """Only words of the file are replaced, only by its substitutes; capitals and punctuation stay."""
    path = tmp_path / "synonyms.txt"
    path.write_text("sea\tfox\noven\tbread\n")
    batch = small_world.select([0]).with_texts(["The Sea, was near the oven ."])
    attack = WordSubstitution(surrogate="victim", synonyms=str(path))
    found, _ = run_attack(attack, word_ranker, batch)
    # The query is "fox burrow": fox raises the score, bread does not.
    assert found.texts() == ["The Fox, was near the oven ."]


def test_bad_files_of_synonyms_are_named(small_world: RankingBatch, tmp_path: Path) -> None:
    """A line without a tab is shown with its number; a missing file says what belongs there."""
    tokenizer = corpus_tokenizer(small_world.corpus)
    path = tmp_path / "bad.txt"
    path.write_text("sea\tfox\n\noven piston\n")
    with pytest.raises(DataError, match="line 3"):
        neighbours(small_world.corpus, tokenizer, 4, 0.5, str(path))
    with pytest.raises(MissingFile, match="substitute"):
        neighbours(small_world.corpus, tokenizer, 4, 0.5, str(tmp_path / "none.txt"))


def test_neighbours_share_passages(small_world: RankingBatch) -> None:
    """By counts, the neighbours of a word are of its topic; none is itself, and stop words have none."""
    tokenizer = corpus_tokenizer(small_world.corpus)
    ids, usable = neighbours(small_world.corpus, tokenizer, 4, 0.1, None)
    fox = tokenizer.pieces.index("fox")
    found = [tokenizer.pieces[i] for i in ids[fox][usable[fox]].tolist()]
    assert found
    assert "fox" not in found
    assert set(found) <= {"forest", "burrow", "hunt", "fur"}
    assert not usable[tokenizer.pieces.index("the")].any()


def test_the_score_rises_and_words_are_counted(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any, spent_of: Any
) -> None:
    """On the victim itself no passage gets a lower score, and at most the budget's words differ."""
    attack = WordSubstitution(surrogate="victim", cosine=0.0)
    found, _ = run_attack(attack, word_ranker, small_world, budget=2.0)
    spent = spent_of(small_world, found)
    assert (spent["words"] <= 2).all()
    assert (spent["words"] > 0).any()
    assert (spent["substitution_only"] == 0).all()
    scores = [word_ranker.text_scores(b.corpus, b.query, b.texts()) for b in (small_world, found)]
    assert (scores[1] >= scores[0] - 1e-6).all()
    assert (scores[1] > scores[0] + 1e-3).any()
    assert torch.equal(found.candidates, small_world.candidates)
