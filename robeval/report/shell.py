"""A command on several lines that can still be copied as a whole."""

from __future__ import annotations


def wrapped_command(command: str, width: int) -> list[str]:
    """The command broken at its spaces, each broken line ended by a backslash; quoted words stay whole."""
    lines: list[str] = []
    current = ""
    for word in _words(command):
        if current and len(current) + 1 + len(word) + 2 > width:
            lines.append(current + " \\")
            current = "  " + word
        else:
            current = f"{current} {word}" if current else word
    return [*lines, current] if current else lines


def _words(command: str) -> list[str]:
    """The words as written, quotes kept; an option stays with its value."""
    words, quote = [""], ""
    for sign in command:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == " ":
            words.append("")
            continue
        words[-1] += sign
    joined: list[str] = []
    for word in filter(None, words):
        follows_option = (
            joined and joined[-1].startswith("-") and " " not in joined[-1] and "=" not in joined[-1]
        )
        if follows_option and not word.startswith("-"):
            joined[-1] += " " + word
        else:
            joined.append(word)
    return joined
