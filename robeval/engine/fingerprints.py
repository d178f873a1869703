"""What a run's plugins and data were, in digests that are the same on every machine.

The cache asks whether anything at all could change a figure. Here the question is whether two runs were about the
same thing, so robeval's own machinery is left out (a run says its version), and so is where a file lies.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from robeval.engine.catalog import Catalog
from robeval.engine.plan import CERTIFICATE, WORST_OF, Plan
from robeval.engine.sources import _OURS, _closure, _file
from robeval.plugins.data import Dataset
from robeval.plugins.specs import PluginSpec

_ABOUT_PLUGINS = ("robeval.domains", "robeval.optimise", "robeval.testing")
_LOADED_BY_PATH = re.compile(r"^robeval_plugin_[0-9a-f]+_")


def fingerprints(plan: Plan) -> dict[str, str]:
    """A digest for the domain and every plugin of a plan: ``"attack search:restarts=4"`` → 32 hex digits.

    It covers the plugin's options and code, with what that imports from its own package; a dataset's also the
    content of its files.
    """
    catalog = plan.catalog
    found = {f"domain {catalog.name}": _digest([_code(type(catalog.domain))])}
    for kind, spec in dict.fromkeys(_named(plan)):
        found[f"{kind} {spec}"] = _digest(_parts(catalog, kind, spec))
    return dict(sorted(found.items()))


def _named(plan: Plan) -> Iterator[tuple[str, PluginSpec]]:
    for cell in plan.cells:
        if cell.refused:
            continue
        yield "dataset", cell.dataset
        yield "victim", cell.victim
        yield "defense", cell.defense
        if cell.attack != CERTIFICATE and cell.attack.name != WORST_OF:
            yield "attack", cell.attack


def _parts(catalog: Catalog, kind: str, spec: PluginSpec) -> list[object]:
    cls = catalog.cls(kind, spec)
    parts: list[object] = [cls.__qualname__, catalog.effective(kind, spec), _code(cls)]
    return [*parts, catalog.dataset(spec).fingerprint()] if issubclass(cls, Dataset) else parts


def _code(cls: type) -> dict[str, str]:
    start = cls.__module__
    found = {}
    for module in _closure(start, (*_OURS, start.split(".")[0])):
        path = _file(module)
        is_machinery = module.split(".")[0] == "robeval" and not module.startswith(_ABOUT_PLUGINS)
        if path is not None and not is_machinery:
            found[_LOADED_BY_PATH.sub("", module)] = _text_digest(path)
    return found


def _text_digest(path: Path) -> str:
    # A checkout on Windows may end its lines otherwise.
    return hashlib.blake2b(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def _digest(parts: list[object]) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
