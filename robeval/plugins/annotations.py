"""What an annotation says to a person: the type in words, its limits, its help."""

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "a multiple of", "pattern": "matching"}
_LENGTHS = {"min_length": "at least", "max_length": "at most"}


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(_bare(annotation)) in (Union, types.UnionType)


def choices(annotation: Any) -> list[Any]:
    """The values that a Literal allows; empty for everything else."""
    bare = _bare(annotation)
    if get_origin(bare) is Literal:
        return list(get_args(bare))
    return [choice for part in get_args(bare) for choice in choices(part)] if _is_union(bare) else []


def takes_text(annotation: Any) -> bool:
    """Whether a string is a possible value."""
    bare = _bare(annotation)
    return bare is str or (_is_union(bare) and any(takes_text(part) for part in get_args(bare)))


def type_text(annotation: Any) -> str:
    """The type as a person would say it: ``int``, ``linear | cubic``, ``list of float``."""
    bare = _bare(annotation)
    origin, parts = get_origin(bare), get_args(bare)
    if bare is Any:
        return "anything"
    if bare is type(None):
        return "null"
    if origin is Literal:
        return " | ".join(value_text(choice) for choice in parts)
    if _is_union(bare):
        return " | ".join(type_text(part) for part in parts)
    if origin in (list, tuple, set, frozenset) or getattr(origin, "__name__", "") == "Sequence":
        items = [part for part in parts if part is not Ellipsis]
        inside = ", ".join(dict.fromkeys(type_text(part) for part in items)) or "anything"
        fixed = origin is tuple and Ellipsis not in parts
        return f"list of {len(items)} {inside}" if fixed else f"list of {inside}"
    return {"Path": "path", "PluginSpec": "plugin"}.get(name := getattr(bare, "__name__", str(bare)), name)


def _fields(annotation: Any) -> list[FieldInfo]:
    if get_origin(annotation) is Annotated:
        return [extra for extra in annotation.__metadata__ if isinstance(extra, FieldInfo)]
    return [info for part in get_args(annotation) for info in _fields(part)] if _is_union(annotation) else []


def help_text(annotation: Any) -> str:
    """The `description` of the annotation's Field; empty without one."""
    return next((info.description for info in _fields(annotation) if info.description), "")


def constraint(annotation: Any) -> str:
    """The limits of the annotation's Field: ``≥ 1, ≤ 100``; empty without any."""
    limits = []
    for info in _fields(annotation):
        for rule in info.metadata:
            for attribute, sign in _SIGNS.items():
                if getattr(rule, attribute, None) is not None:
                    limits.append(f"{sign} {getattr(rule, attribute)}")
            for attribute, sign in _LENGTHS.items():
                if getattr(rule, attribute, None):
                    limits.append(f"{sign} {getattr(rule, attribute)} long")
    return ", ".join(limits)


def value_text(value: Any) -> str:
    """A value as it would be typed in a plugin spec."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if value == "":
        return "''"
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    return str(value)
