"""How a plugin is written down: ``search:restarts=4,objective=all`` in a shell, a mapping in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_serializer

from robeval.errors import OptionError

_OPEN, _CLOSE, _QUOTES = "[{(", "]})", "'\""


class PluginSpec(BaseModel):
    """A plugin's name with the options that differ from its defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = {}

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}:" + ",".join(f"{key}={_text(value)}" for key, value in sorted(self.options.items()))

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
            try:
                options[key.strip().replace("-", "_")] = yaml.safe_load(value)
            except yaml.YAMLError:
                options[key.strip().replace("-", "_")] = value
        return cls(name=name.strip(), options=options)


def _text(value: Any) -> str:
    if isinstance(value, str):
        plain = yaml.safe_load(value) if value else None
        needs_quotes = not isinstance(plain, str) or any(sign in value for sign in ",[]{}'\"")
        return yaml.safe_dump(value, default_style='"').strip() if needs_quotes else value
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip().removesuffix("\n...").strip()


def _split(text: str) -> list[str]:
    """Split at commas that stand outside brackets and quotes."""
    parts, depth, quote, current = [], 0, "", ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in _QUOTES:
            quote = sign
        elif sign in _OPEN:
            depth += 1
        elif sign in _CLOSE:
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
