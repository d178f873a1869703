"""`robeval new`: a working, documented plugin and its test, to start from."""

from __future__ import annotations

import inspect
import keyword
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robeval.cli.flags import plugin_files
from robeval.errors import RobevalError, UsageError
from robeval.plugins.registry import KINDS

if TYPE_CHECKING:
    from robeval.plugins.contracts import Domain
    from robeval.plugins.registry import Registry

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_UNCHANGED = (
    "# Until then nothing is changed, which is valid in every domain. A first attack asks view(batch),",
    "# changes a copy with batch.replace(...) and returns it.",
    "return batch",
)


@click.command("new")
@click.argument("kind", type=click.Choice(sorted(KINDS)))
@click.argument("name")
@click.option("--domain", metavar="NAME", help="The domain that it belongs to (robeval list domains).")
@click.option("--package", is_flag=True, help="An installable project with entry point, CI file and README.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Folder to write into. Default: the current one.",
)
@plugin_files
def command(
    kind: str, name: str, domain: str | None, package: bool, out: Path, plugin_files: tuple[Path, ...]
) -> None:
    """Write a plugin that works, and its test, for you to fill with your method.

    \b
    robeval new attack my-attack --domain trajectory
    robeval new domain my-domain --package
    """
    from robeval.testing.conformance import known

    _check_name(kind, name)
    registry = known(plugin_files)
    if kind == "domain" and domain is not None:
        raise UsageError(f"a domain belongs to no other; leave out --domain {domain}")
    if kind != "domain" and domain is None:
        names = ", ".join(registry.names("domain"))
        raise UsageError(f"say which domain the {kind} belongs to: --domain NAME. Known: {names}")
    full = name if domain is None else f"{registry.find('domain', domain).name}/{name}"
    taken = registry.entries.get((kind, full))
    if taken is not None:
        raise UsageError(
            f"there is {_article(kind)} {kind} '{full}' already ({taken.place}); choose another name"
        )
    words = _words(kind, name, domain, package) | _hints(kind, domain, registry)
    words["plugin_files"] = [
        f'here / "{os.path.relpath(path.resolve(), out.resolve())}"' for path in plugin_files
    ]
    files = _package(words, out) if package else _single(words, out)
    _write(files)
    for path in files:
        click.echo(f"wrote {path}")
    click.echo("next:")
    for line in _next(words, out, plugin_files):
        click.echo(f"  {line}")


def _check_name(kind: str, name: str) -> None:
    if "/" in name:
        raise UsageError(
            f"'{name}' holds a domain; write: robeval new {kind} {name.split('/')[-1]} --domain NAME"
        )
    if not _NAME.fullmatch(name):
        plain = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()).strip("-")
        near = f" Did you mean '{plain}'?" if _NAME.fullmatch(plain) else ""
        raise UsageError(
            f"'{name}' cannot name a plugin: use lower-case words with hyphens between them.{near}"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise UsageError(f"'{name}' is a name of Python's own; choose another, as in '{name}-{kind}'")


def _article(kind: str) -> str:
    return "an" if kind == "attack" else "a"


def _words(kind: str, name: str, domain: str | None, package: bool) -> dict[str, Any]:
    """What the templates call things."""
    full = name if kind == "domain" else f"{domain}/{name}"
    own = [
        ("domain", name),
        ("dataset", f"{name}/points"),
        ("victim", f"{name}/line"),
        ("attack", f"{name}/shift"),
    ]
    chosen = {"attack": f" -a {name}", "defense": f" -d {name}", "domain": ""}
    return {
        "kind": kind,
        "article": _article(kind),
        "name": name,
        "full_name": full,
        "domain": domain,
        "package": package,
        "title": name.replace("-", " ").capitalize(),
        "cls": "".join(word.capitalize() for word in name.split("-")),
        "module": name.replace("-", "_"),
        "module_path": f"robeval_{name.replace('-', '_')}",
        "subjects": own if kind == "domain" else [(kind, full)],
        "run": f"run {domain or name}{chosen.get(kind, f' --{kind} {name}')}",
        "show": f"list --domain {name}" if kind == "domain" else f"show {full}",
    }


def _hints(kind: str, domain: str | None, registry: Registry) -> dict[str, Any]:
    """What a domain and its plugins say of how a new one looks."""
    if domain is None:
        return {}
    contract: type[Domain[Any]] = registry.load("domain", domain)
    batch = _importable(contract.batch)
    words: dict[str, Any] = {
        "batch": batch[1] if batch else "Batch",
        "batch_module": batch[0] if batch else "",
    }
    if kind == "attack":
        body = contract.first_attack or _UNCHANGED
        words |= _budget_of(domain, registry, contract)
        words |= {"body": body, "needs_torch": any("torch." in line for line in body)}
    if kind in ("dataset", "victim"):
        words |= _usual(kind, domain, registry, contract)
        if batch is None or not words["base_module"]:
            raise UsageError(
                f"the domain '{domain}' comes from a single file, so a {kind} in another file cannot import from it. "
                f"Put both into one package: robeval new domain {domain} --package"
            )
    return words


def _importable(cls: type) -> tuple[str, str] | None:
    """Module and name to import a class from; None for a class of a single plugin file."""
    is_file = cls.__module__.startswith("robeval_plugin_") or cls.__module__ == "__main__"
    return None if is_file else (cls.__module__, cls.__name__)


def _budget_of(domain: str, registry: Registry, contract: type[Domain[Any]]) -> dict[str, Any]:
    """The budget and access of an attack that the domain has already."""
    from robeval.plugins.contracts import Attack
    from robeval.plugins.specs import PluginSpec

    usual = [PluginSpec.parse(text).name for text in contract.defaults.attacks]
    probe = contract.probes.random
    for name in dict.fromkeys([*([probe] if probe else []), *usual, *registry.names("attack", domain)]):
        try:
            attack = registry.load("attack", name, domain)
        except RobevalError:
            continue
        if attack.perturb is Attack.perturb or attack.threat.goal == "none":
            continue
        budget, limits = attack.threat.budget, attack.threat.constraints
        constraints = (
            "" if contract.first_attack or not limits else f", constraints={limits!r}".replace("'", '"')
        )
        text = f'Budget("{budget.name}", "{budget.unit}", {budget.default!r})'
        return {"budget": text, "access": "score", "constraints": constraints}
    return {"budget": 'Budget("NAME", "unit", 1.0)', "access": "score", "constraints": ""}


def _usual(kind: str, domain: str, registry: Registry, contract: type[Domain[Any]]) -> dict[str, Any]:
    """The dataset or victim that a new one starts from."""
    from robeval.plugins.specs import PluginSpec

    defaults = contract.defaults
    texts = defaults.small or (defaults.dataset, defaults.victim)
    spec = PluginSpec.parse(texts[kind == "victim"])
    base = _importable(registry.load(kind, spec.name, domain))
    options = ", ".join(f"{name}={value!r}" for name, value in spec.options.items())
    words = {"base_module": base[0] if base else "", "base": base[1] if base else "", "base_options": options}
    return words | {"imports": _imports(base, _importable(contract.batch))}


def _imports(*wanted: tuple[str, str] | None) -> list[str]:
    """Import lines, sorted as a linter wants them."""
    modules: dict[str, set[str]] = {"robeval.plugins.data": {"Split"}}
    for module, name in filter(None, wanted):
        modules.setdefault(module, set()).add(name)
    return [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(modules.items())]


def _single(words: Mapping[str, Any], out: Path) -> dict[Path, str]:
    return {
        out / f"{words['module']}.py": _rendered(f"{words['kind']}.py", words),
        out / f"test_{words['module']}.py": _rendered("test.py", words),
    }


def _package(words: Mapping[str, Any], out: Path) -> dict[Path, str]:
    root = out / f"robeval-{words['name']}"
    if root.exists():
        raise UsageError(f"{root} exists already; choose another --out, or remove it")
    package = root / words["module_path"]
    return {
        root / "pyproject.toml": _rendered("pyproject.toml", words),
        root / "README.md": _rendered("README.md", words),
        root / ".github" / "workflows" / "test.yml": _rendered("ci.yml", words),
        package / "__init__.py": _rendered("init.py", words),
        package / f"{words['module']}.py": _rendered(f"{words['kind']}.py", words),
        root / "tests" / f"test_{words['module']}.py": _rendered("test.py", words),
    }


def _rendered(template: str, words: Mapping[str, Any]) -> str:
    import jinja2

    folder = Path(__file__).with_name("templates") / "new"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Python and TOML, not HTML
    )
    text = environment.get_template(f"{template}.jinja").render(words)
    return inspect.cleandoc(text) + "\n"


def _write(files: Mapping[Path, str]) -> None:
    """All files, or none: existing ones are never replaced."""
    for path in files:
        if path.exists():
            raise UsageError(f"{path} exists already; choose another name or another --out")
    made: list[Path] = []
    try:
        for path, text in files.items():
            missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            made += [*reversed(missing), path]
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        raise UsageError(f"cannot write {error.filename or ''}: {error.strerror}") from error


def _next(words: Mapping[str, Any], out: Path, plugin_files: tuple[Path, ...]) -> list[str]:
    from robeval.testing import linear

    if words["package"]:
        root = shlex.quote(str(out / f"robeval-{words['name']}"))
        return [f"python -m pip install -e {root}", f"python -m pytest {root}", f"robeval {words['run']}"]
    file, test = (shlex.quote(str(out / f"{start}{words['module']}.py")) for start in ("", "test_"))
    files = [*([Path(linear.__file__)] if words["domain"] == "linear" else []), *plugin_files]
    others = "".join(f" --plugin {shlex.quote(str(path))}" for path in files)
    return [f"python -m pytest {test}", f"robeval {words['run']}{others} --plugin {file}"]
