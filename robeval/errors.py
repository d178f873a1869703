"""Every error that robeval raises on purpose.

RobevalError
├── UsageError                the user asked for something that cannot be (exit code 2)
│   ├── UnknownPlugin         no plugin of that name; carries the nearest ones
│   ├── DuplicatePlugin       two plugins claim one name; carries both places
│   ├── OptionError           an option that a plugin does not have, or a value it cannot take
│   ├── ExperimentError       an experiment document that does not fit its schema
│   ├── MissingExtra          an optional dependency is absent; says what to install
│   ├── MissingFile           a path that does not exist; says how to get it
│   └── DataError             a data file that cannot be right: NaN, malformed rows, empty
├── PluginError               a plugin that cannot be imported or breaks its contract
├── AccessError               an attack asked for more than its threat model grants
├── QueryBudgetSpent          a black-box attack has used all its queries
└── StoreError                a run folder or cache entry that cannot be read
"""

from collections.abc import Iterable
from difflib import get_close_matches


class RobevalError(Exception):
    """Base of all errors meant for people: the message is complete without a traceback."""


class UsageError(RobevalError):
    """The request itself is wrong; nothing was run."""


class UnknownPlugin(UsageError):
    """No plugin has that name."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        names = sorted(known)
        near = nearest(name, names)
        scope = f" for domain '{where}'" if where else ""
        hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        listing = ", ".join(names) if names else "none"
        article = "an" if kind[:1] in "aeiou" else "a"
        super().__init__(
            f"no {kind} '{name}'{scope}.{hint}\n"
            f"Known here: {listing}. "
            f"See: robeval list {kind}s (or give {article} {kind} of your own: --plugin FILE)"
        )
        self.name = name
        self.nearest = near


class DuplicatePlugin(UsageError):
    """Two plugins claim the same name."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        super().__init__(
            f"the {kind} '{name}' is registered twice: at {first} and at {second}. Rename one of them."
        )


class OptionError(UsageError):
    """A plugin's option is unknown or its value is out of range."""


class ExperimentError(UsageError):
    """An experiment document does not fit its schema."""


class MissingExtra(UsageError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, module: str, extra: str | None) -> None:
        command = f"pip install 'robeval[{extra}]'" if extra else f"pip install {module}"
        super().__init__(f"{what} needs the package '{module}', which is not installed. Run: {command}")
        self.command = command


class MissingFile(UsageError):
    """A path that does not exist."""

    def __init__(self, path: object, how_to_get_it: str = "") -> None:
        super().__init__(f"no such file or folder: {path}." + (f" {how_to_get_it}" if how_to_get_it else ""))


class DataError(UsageError):
    """A data file that cannot be right."""


class PluginError(RobevalError):
    """A plugin cannot be imported, or breaks its contract."""


class AccessError(RobevalError):
    """An attack asked for more than its threat model grants."""


class QueryBudgetSpent(RobevalError):
    """The attack has used all the queries it was granted; what it submitted last counts."""


class StoreError(RobevalError):
    """A run folder or a cache entry cannot be read."""


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known names that look most like `name`, best first; separators and a missing prefix are ignored."""
    forms: dict[str, list[str]] = {}
    for candidate in known:
        for form in {_plain(candidate), _plain(candidate).split("/")[-1]}:
            forms.setdefault(form, []).append(candidate)
    close = get_close_matches(_plain(name), forms, n=most, cutoff=0.6)
    return list(dict.fromkeys(candidate for form in close for candidate in forms[form]))[:most]


def _plain(name: str) -> str:
    return name.replace("_", "-").lower()
