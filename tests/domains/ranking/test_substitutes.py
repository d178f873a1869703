"""Files of words that may stand for which."""

from pathlib import Path

import pytest

from robeval.domains.ranking.substitutes import read_substitutes
from robeval.errors import DataError, MissingFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "words.tsv"


def test_a_file_is_read_line_by_line(path: Path) -> None:
    """Empty lines and empty substitutes are passed over; everything is lower case."""
    path.write_text("Sea\tLake, ocean,\n\noven\t\n")
    assert read_substitutes(str(path)) == [("sea", ("lake", "ocean")), ("oven", ())]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("sea\tfox\n\noven fire\n", "line 3.*TAB"),
        ("sea\tred hare\n", "'red hare' is no single"),
        ("\tfox\n", "''"),
    ],
)
def test_a_bad_line_is_named(path: Path, content: str, told: str) -> None:
    """With its number and what is wrong."""
    path.write_text(content)
    with pytest.raises(DataError, match=told):
        read_substitutes(str(path))


def test_a_missing_file_says_what_belongs_there(path: Path) -> None:
    """The form of a line is shown."""
    with pytest.raises(MissingFile, match="substitute,substitute"):
        read_substitutes(str(path))
