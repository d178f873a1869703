"""How a plugin is written down: ``search:restarts=4,objective=all`` in a shell, a mapping in YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_serializer

from robeval.errors import OptionError

_OPEN, _CLOSE, _QUOTES = "[{", "]}", "'\""
_PLAIN = re.compile(r"[A-Za-z0-9_./+-][A-Za-z0-9_./+@=-]*")
_NEVER = ("timestamp", "merge", "value")


class _Reader(yaml.SafeLoader):
    """YAML's numbers, booleans and null; a date stays text."""


_Reader.yaml_implicit_resolvers = {
    sign: [(tag, pattern) for tag, pattern in rules if tag.rpartition(":")[2] not in _NEVER]
    for sign, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class PluginSpec(BaseModel):
    """A plugin's name with the options that differ from its defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = {}

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}:" + ",".join(
            f"{key}={_text(value)}" for key, value in sorted(self.options.items())
        )

    def __hash__(self) -> int:
        return hash(str(self))

    @model_serializer
    def _plain(self) -> str | dict[str, Any]:
        return {self.name: dict(self.options)} if self.options else self.name

    @classmethod
    def parse(cls, text: str) -> PluginSpec:
        """From ``name:key=value,key=value``; values are YAML scalars or flow lists, quotes protect commas.

        Raises OptionError with the part that is not ``key=value``.
        """
        name, colon, rest = text.strip().partition(":")
        if not name:
            raise OptionError(f"'{text}' names no plugin; write NAME or NAME:option=value,option=value")
        options: dict[str, Any] = {}
        for part in _split(rest) if colon else []:
            key, equals, value = part.partition("=")
            if not equals or not key.strip():
                raise OptionError(f"'{part}' in '{text}' is not option=value")
            options[key.strip().replace("-", "_")] = _value(value)
        return cls(name=name.strip(), options=options)


def _value(text: str) -> Any:
    try:
        return yaml.load(text, _Reader)  # _Reader is a SafeLoader
    except yaml.YAMLError:
        return text


def _text(value: Any) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and _value(value) == value:
            return value
        return yaml.safe_dump(value, default_style='"', width=10**9, allow_unicode=True).strip()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_text(item)}" for key, item in value.items()) + "}"
    return yaml.safe_dump(value, default_flow_style=True).strip().removesuffix("\n...")


def _split(text: str) -> list[str]:
    """Split at commas outside brackets and quotes.

    Both count where a value or an item begins, so that a path may hold an apostrophe.
    """
    parts, depth, quote, current, escaped = [], 0, "", "", False
    for sign in text:
        begins = current.rstrip()[-1:] in (("=",) if depth == 0 else ("[", "{", ",", ":"))
        if quote:
            closes = sign == quote and not escaped
            escaped = sign == "\\" and quote == '"' and not escaped
            quote = "" if closes else quote
        elif sign in _QUOTES and begins:
            quote = sign
        elif sign in _OPEN and (begins or depth):
            depth += 1
        elif sign in _CLOSE and depth:
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(current)
            current = ""
            continue
        current += sign
    return [part for part in [*parts, current] if part.strip()]


def _read(value: Any) -> Any:
    if isinstance(value, str):
        return PluginSpec.parse(value)
    if isinstance(value, Mapping) and len(value) == 1 and "name" not in value:
        ((name, options),) = value.items()
        return {"name": name, "options": options or {}}
    return value


Spec = Annotated[PluginSpec, BeforeValidator(_read)]
"""A PluginSpec field that also reads ``"search:restarts=4"`` and ``{search: {restarts: 4}}``."""
