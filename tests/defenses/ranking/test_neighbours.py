"""Who may stand for whom."""

from pathlib import Path

import pytest
import torch

from robeval.domains.ranking.corpus import Corpus
from robeval.errors import DataError, MissingFile
from robeval_defenses.ranking.neighbours import Neighbours, counted_neighbours, read_neighbours, split


def test_a_file_of_neighbours(tmp_path: Path) -> None:
    """Both directions count, groups that share a word are one component, other words stand for themselves."""
    path = tmp_path / "words.tsv"
    path.write_text("Fox\thare, wolf\n\nwood\tfield\n")
    found = read_neighbours(str(path), most=10)
    number = {word: place for place, word in enumerate(found.words)}
    assert set(number) == {"fox", "hare", "wolf", "wood", "field"}
    assert bool(found.near[number["wolf"], number["fox"]])
    assert not bool(found.near[number["wolf"], number["hare"]])
    assert set(found.sets[number["hare"]].tolist()) == {number["fox"], number["hare"], number["wolf"]}
    assert found.overlap().tolist() == [1.0] * 5


def test_a_small_set_leaves_words_out(tmp_path: Path) -> None:
    """With two words a set, wolf and fox share one of two."""
    path = tmp_path / "words.tsv"
    path.write_text("fox\thare\nhare\twolf\n")
    found = read_neighbours(str(path), most=2)
    assert found.sets.shape == (3, 2)
    assert float(found.overlap().min()) == 0.5


@pytest.mark.parametrize(
    ("content", "told"), [("fox hare\n", "line 1"), ("fox\tred hare\n", "no single word")]
)
def test_bad_files(tmp_path: Path, content: str, told: str) -> None:
    """The line and what is wrong with it are named."""
    path = tmp_path / "words.tsv"
    path.write_text(content)
    with pytest.raises(DataError, match=told):
        read_neighbours(str(path), most=2)


def test_a_missing_file() -> None:
    """It is named."""
    with pytest.raises(MissingFile, match=r"nowhere\.tsv"):
        read_neighbours("nowhere.tsv", most=2)


def test_counted_neighbours(zoo: Corpus) -> None:
    """The lower the cosine, the more neighbours; the commonest words have none."""
    strict, loose = (counted_neighbours(zoo, cosine, 100) for cosine in (0.99, -0.99))
    assert "the" not in strict.words
    assert int(strict.near.sum()) < int(loose.near.sum())
    assert bool((loose.near == loose.near.T).all())
    assert not bool(loose.near.diagonal().any())


def test_no_words_at_all() -> None:
    """A collection without usable words has no neighbours, and that is no error."""
    empty = Neighbours.of((), torch.zeros(0, 0, dtype=torch.bool), torch.zeros(0, 0), most=3)
    assert len(empty.overlap()) == 0


def test_split_keeps_everything() -> None:
    """Joined, the pieces are the text."""
    text = "The fox, (red) runs:  it's fast.\n"
    assert "".join(split(text)) == text
    assert "fox" in split(text)
