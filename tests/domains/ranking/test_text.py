"""Insertions and substitutions of words."""

import pytest
import torch

from robeval.domains.ranking.text import inserted, is_text, place_of, substituted, to_bytes, to_texts

TWO = "One is here. Two is there."


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("front", "buy now One is here. Two is there."),
        ("middle", "One is here. buy now Two is there."),
        ("end", "One is here. Two is there. buy now"),
        (1, "One is here. buy now Two is there."),
        (99, "One is here. Two is there. buy now"),
    ],
)
def test_an_insertion_stands_where_it_was_put(where: str | int, wanted: str) -> None:
    """Front, middle, end and sentence numbers, with one blank on either side."""
    assert inserted([TWO], ["buy now"], where) == [wanted]


def test_the_middle_of_one_sentence_is_between_words() -> None:
    """Without a sentence boundary the insertion stands at the word boundary nearest to half."""
    assert inserted(["abcdef gh"], ["X"], "middle") == ["abcdef X gh"]
    assert inserted(["word"], ["X"], "middle") == ["word X"]


def test_an_empty_trigger_changes_nothing() -> None:
    """Blanks are no insertion, and an empty passage takes one without blanks."""
    assert inserted([TWO, ""], ["  ", "X"], "end") == [TWO, "X"]


def test_another_place_is_refused() -> None:
    """An unknown place is named."""
    with pytest.raises(ValueError, match="'top'"):
        place_of(TWO, "top")


def test_a_substitution_keeps_the_white_space() -> None:
    """Only the numbered words change."""
    assert substituted("a  b\nc", {1: "X", 2: "Y"}) == "a  X\nY"


def test_bytes_and_back() -> None:
    """Texts of any length survive, and torn UTF-8 is noticed."""
    texts = ["", "é", "plain"]
    rows = to_bytes(texts, 8)
    assert to_texts(rows) == texts
    assert is_text(rows).all()
    torn = rows.clone()
    torn[1, 1] = 0
    holed = rows.clone()
    holed[2, 1] = 0
    assert is_text(torn).tolist() == [True, False, True]
    assert is_text(holed).tolist() == [True, True, False]


def test_a_zero_byte_is_refused() -> None:
    """A text that holds the padding sign cannot be kept."""
    with pytest.raises(ValueError, match="zero byte"):
        to_bytes(["a\0b"], 8)


def test_the_width_is_kept() -> None:
    """Every row has the width that was asked for."""
    assert to_bytes(["a", "bb"], 5).shape == torch.Size([2, 5])
