"""Commands on several lines stay one command."""

import shlex

from hypothesis import given
from hypothesis import strategies as st

from robeval.report.shell import wrapped_command
from tests.report.synthetic_run import COMMAND


def test_a_wrapped_command_is_still_the_same_command() -> None:
    """Copied from the report, a shell reads the same words, and every line fits."""
    lines = wrapped_command(COMMAND, 78)
    assert len(lines) > 1
    assert max(map(len, lines)) <= 78
    assert _read(lines) == shlex.split(COMMAND)


@given(st.lists(st.text("ab '\"\\-=", min_size=1, max_size=12), min_size=1, max_size=8), st.integers(20, 60))
def test_quoted_words_survive(words: list[str], width: int) -> None:
    """Blanks, quotes and backslashes inside words are what they were."""
    assert _read(wrapped_command(shlex.join(words), width)) == words


def _read(lines: list[str]) -> list[str]:
    return shlex.split("\n".join(lines).replace("\\\n", ""))
