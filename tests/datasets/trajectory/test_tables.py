"""Number tables with errors that say where."""

import pytest

from robeval.errors import DataError, MissingFile
from robeval_datasets.trajectory.tables import existing_folder, read_columns, read_numbers


@pytest.mark.parametrize(
    "text", ["1 2\n3 4\n", "1\t2\n3\t4", "1,2\n\n3,4\n", "# head\n1 2\n3 4\n", "\ufeff1 2\n3 4\n"]
)
def test_blanks_tabs_and_commas_read_the_same(tmp_path, text: str) -> None:
    """Separators, empty lines, comments and a byte order mark do not matter."""
    path = tmp_path / "t.txt"
    path.write_text(text, encoding="utf-8")
    assert read_numbers(path, (2,), "a, b").tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty; expected rows of a, b"),
        ("1 2\n3\n", "line 2: 1 values, expected 2"),
        ("1 2\n3 oak\n", "line 2: 'oak' is not a number"),
        ("1 2 3\n", r"3 columns, expected 2 \(a, b\)"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(tmp_path, text: str, says: str) -> None:
    """File, line, value and expectation are in the message."""
    path = tmp_path / "t.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        read_numbers(path, (2,), "a, b")


def test_csv_columns_are_found_by_name_in_any_order_and_case(tmp_path) -> None:
    """Headers decide, not positions."""
    path = tmp_path / "t.csv"
    path.write_text("v_class,Frame_ID,x\n2,10,0.5\n3,11,0.6\n")
    assert read_columns(path, ("Frame_ID", "v_Class")).tolist() == [[10.0, 2.0], [11.0, 3.0]]


@pytest.mark.parametrize(
    ("text", "says"), [("a,b\n1,2\n", "no column c"), ("c\n", "no rows"), ("c\noak\n", "oak")]
)
def test_a_wrong_csv_is_refused(tmp_path, text: str, says: str) -> None:
    """A missing column, an empty table and a word are named."""
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        read_columns(path, ("c",))


def test_a_missing_root_says_how_to_get_the_data(tmp_path) -> None:
    """Neither a forgotten nor a wrong folder leaves the user alone."""
    with pytest.raises(MissingFile, match=r"no root given.*take it there"):
        existing_folder("", "take it there")
    with pytest.raises(MissingFile, match=r"nowhere.*take it there"):
        existing_folder(str(tmp_path / "nowhere"), "take it there")
