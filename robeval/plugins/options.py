"""A plugin's options: what they are, what they may be, and an instance made from them.

The fields of a dataclass (attacks, defenses) or the keyword parameters of ``__init__`` (datasets, victims)
are the options. Their annotations are validated by pydantic;
``Annotated[int, Field(ge=1, description="...")]`` adds limits and help.
"""

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from robeval.errors import MissingExtra, OptionError, PluginError, RobevalError, nearest
from robeval.plugins.annotations import choices, constraint, help_text, takes_text, type_text, value_text

P = TypeVar("P")

_REQUIRED = dataclasses.MISSING
_CONFIG = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
_EMPTY = inspect.Parameter.empty
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Option:
    """One option as `robeval show` prints it."""

    name: str
    type: str
    """In words a person types: ``int``, ``linear | cubic``, ``list of float``."""
    default: str
    """Empty when the option must be given."""
    help: str
    constraint: str
    """``≥ 1, ≤ 100``; empty without limits."""
    required: bool


@dataclass(frozen=True)
class _Parameter:
    name: str
    annotation: Any
    default: Any

    def expected(self) -> str:
        """What a value should look like, for messages."""
        limits = constraint(self.annotation)
        text = ", ".join(part for part in (type_text(self.annotation), limits) if part)
        return text + (f" ({help_text(self.annotation)})" if help_text(self.annotation) else "")


def describe(cls: type) -> list[Option]:
    """The options of a plugin class in the order of its definition."""
    return [
        Option(
            name=parameter.name,
            type=type_text(parameter.annotation),
            default="" if parameter.default is _REQUIRED else value_text(parameter.default),
            help=help_text(parameter.annotation),
            constraint=constraint(parameter.annotation),
            required=parameter.default is _REQUIRED,
        )
        for parameter in _parameters(cls)
    ]


def configure(cls: type[P], options: Mapping[str, Any], owner: str) -> P:
    """An instance of `cls` with these options; `owner` names it in messages: ``attack 'trajectory/pso'``.

    Raises OptionError for an unknown option or an impossible value, PluginError when the class is broken.
    """
    values = validate(cls, options, owner)
    try:
        return cls(**values)
    except RobevalError:
        raise
    except ModuleNotFoundError as error:
        raise MissingExtra(owner, error.name or str(error), None) from error
    except (ValueError, OSError) as error:
        raise OptionError(f"{owner}: {error}") from error
    except Exception as error:
        raise PluginError(f"{owner} cannot be made: {type(error).__name__}: {error}") from error


def identity(plugin: Any, options: Mapping[str, Any], owner: str = "") -> dict[str, Any]:
    """All effective options, defaults filled in, as plain JSON values, however they were written.

    `plugin` is the class or an instance of it.
    """
    cls = plugin if isinstance(plugin, type) else type(plugin)
    given = validate(cls, options, owner or cls.__name__)
    effective: dict[str, Any] = {}
    for parameter in _parameters(cls):
        if parameter.name in given:
            effective[parameter.name] = _plain(given[parameter.name])
        elif parameter.default is not _REQUIRED:
            effective[parameter.name] = _plain(_as_if_given(parameter))
    return effective


def validate(cls: type, options: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """The options in the types that `cls` asks for; nothing is filled in.

    Raises OptionError with the offending value, what was expected and the nearest names.
    """
    known = {parameter.name: parameter for parameter in _parameters(cls)}
    values: dict[str, Any] = {}
    for written, value in options.items():
        name = str(written).replace("-", "_")
        if name not in known:
            raise OptionError(_unknown(owner, str(written), known))
        if name in values:
            raise OptionError(f"{owner}: the option '{name}' is given twice")
        values[name] = _checked(known[name], value, owner)
    for parameter in known.values():
        if parameter.default is _REQUIRED and parameter.name not in values:
            short = owner.split("'")[1] if owner.count("'") == 2 else "NAME"
            raise OptionError(
                f"{owner} needs the option '{parameter.name}': {parameter.expected()}. "
                f"Write {short}:{parameter.name}=VALUE"
            )
    return values


def _unknown(owner: str, name: str, known: Mapping[str, _Parameter]) -> str:
    if not known:
        return f"{owner} has no option '{name}': it has no options at all."
    near = nearest(name, known)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return f"{owner} has no option '{name}'.{hint}\nIts options: {', '.join(known)}."


def _checked(parameter: _Parameter, value: Any, owner: str) -> Any:
    try:
        return _adapter(parameter, owner).validate_python(value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        reason = problem["msg"][:1].lower() + problem["msg"][1:]
        raise OptionError(
            f"{owner}: the option '{parameter.name}' cannot be {value!r}: {reason}."
            f"{_advice(parameter, value)}\nExpected: {parameter.expected()}."
        ) from error


def _advice(parameter: _Parameter, value: Any) -> str:
    allowed = [str(choice) for choice in choices(parameter.annotation)]
    if isinstance(value, str):
        near = nearest(value, allowed, most=1)
        return f" Did you mean '{near[0]}'?" if near else ""
    if isinstance(value, int | float) and (allowed or takes_text(parameter.annotation)):
        return f" If it is meant as text, quote it: '{parameter.name}=\"TEXT\"'."
    return ""


def _adapter(parameter: _Parameter, owner: str) -> TypeAdapter:
    try:
        return TypeAdapter(parameter.annotation, config=_CONFIG)
    except PydanticUserError:
        # Types that bring their own configuration (pydantic models, dataclasses) refuse a second one.
        return TypeAdapter(parameter.annotation)
    except Exception as error:
        raise PluginError(
            f"{owner}: the option '{parameter.name}' has an annotation that cannot be checked: "
            f"{parameter.annotation!r}: {error}"
        ) from error


def _as_if_given(parameter: _Parameter) -> Any:
    """The default in the type that a given value would have (a float's default 1 becomes 1.0)."""
    try:
        return _adapter(parameter, "").validate_python(parameter.default)
    except ValidationError:
        return parameter.default


@lru_cache(maxsize=512)
def _parameters(cls: type) -> tuple[_Parameter, ...]:
    found = _of_dataclass(cls) if dataclasses.is_dataclass(cls) else _of_signature(cls)
    for parameter in found:
        if isinstance(parameter.default, FieldInfo):
            raise PluginError(
                f"{cls.__qualname__}.{parameter.name} has Field(...) as its default; "
                f"write {parameter.name}: Annotated[TYPE, Field(...)] = DEFAULT"
            )
    return tuple(found)


def _of_dataclass(cls: type) -> list[_Parameter]:
    own = [name for name, kind in inspect.get_annotations(cls).items() if "ClassVar" not in str(kind)]
    if own and "__dataclass_fields__" not in vars(cls):
        raise PluginError(
            f"{cls.__qualname__} needs @dataclass(frozen=True): without it '{own[0]}' is no option"
        )
    found = []
    for field in dataclasses.fields(cls):
        if field.init:
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            home = next(base for base in cls.__mro__ if field.name in inspect.get_annotations(base))
            scope = vars(sys.modules[home.__module__]) if home.__module__ in sys.modules else {}
            annotation = _resolved(cls, field.name, field.type, scope)
            found.append(_Parameter(field.name, annotation, default))
    return found


def _of_signature(cls: type) -> list[_Parameter]:
    construct = inspect.unwrap(cls.__init__)  # type: ignore[misc]
    scope = getattr(construct, "__globals__", {})
    return [
        _Parameter(
            name,
            Any if given.annotation is _EMPTY else _resolved(cls, name, given.annotation, scope),
            _REQUIRED if given.default is _EMPTY else given.default,
        )
        for name, given in list(inspect.signature(construct).parameters.items())[1:]
        if given.kind in _NAMED
    ]


def _resolved(cls: type, name: str, annotation: Any, scope: Mapping[str, Any]) -> Any:
    """The annotation as an object, also where the plugin's file postpones annotations."""
    holder = types.SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(holder, globalns=dict(scope), include_extras=True)[name]
    except Exception as error:
        raise PluginError(
            f"{cls.__qualname__}.{name}: the annotation {annotation!r} cannot be resolved ({error}); "
            "import its names at the top of the file, not under TYPE_CHECKING"
        ) from error


def _plain(value: Any) -> Any:
    """JSON values; sets are sorted, because their order changes from process to process."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return to_jsonable_python(value, inf_nan_mode="strings")
