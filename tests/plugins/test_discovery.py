"""Discovery: our own packages, installed guests and single files come through one door."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from robeval.errors import DuplicatePlugin, MissingFile, PluginError
from robeval.plugins import discovery
from robeval.plugins.contracts import Attack
from robeval.plugins.discovery import built_in, discover
from robeval.plugins.options import configure

PLUGIN = '''
from dataclasses import dataclass
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel


@dataclass(frozen=True)
class Mine(Attack):
    """Mine."""

    threat = ThreatModel(access="none", budget=Budget("deviation", "m", 1.0))
    steps: int = 3


def register(registry):
    registry.attack("trajectory/mine", {target})
'''

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a plugin file."""

    def writer(text: str) -> Path:
        path = tmp_path / "my_attack.py"
        path.write_text(text)
        return path

    return writer


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Sequence[str]], None]:
    """Makes modules of the given texts look like installed guests."""

    def installer(texts: Sequence[str]) -> None:
        guests = []
        for number, text in enumerate(texts):
            (tmp_path / f"robeval_guest_{number}.py").write_text(text)
            guests.append(EntryPoint(f"guest-{number}", f"robeval_guest_{number}:register", discovery.GROUP))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(
            discovery, "entry_points", lambda group: guests if group == discovery.GROUP else []
        )

    return installer


def test_built_ins_name_every_kind() -> None:
    """The trajectory domain has all that a matrix needs."""
    registry = built_in()
    assert registry.broken == []
    for kind, name in [("attack", "none"), ("defense", "none"), ("dataset", "synthetic"), ("victim", "lstm")]:
        assert registry.find(kind, name, "trajectory")
    assert all(entry.summary for entry in registry.entries.values())


def test_two_registries_share_nothing() -> None:
    """There is no global registry."""
    one, other = built_in(), built_in()
    one.attack("trajectory/only-here", "module:Class")
    assert ("attack", "trajectory/only-here") not in other.entries


@pytest.mark.parametrize("target", ["Mine", '"my_attack:Mine"'])
def test_a_file_brings_a_plugin(write: Write, target: str) -> None:
    """Its target may be the class or text, its source can be read, and its options work."""
    path = write(PLUGIN.replace("{target}", target))
    entry = discover([path]).find("attack", "mine", "trajectory")
    cls = entry.load()
    assert issubclass(cls, Attack)
    assert configure(cls, {"steps": 4}, "attack 'mine'").steps == 4
    assert inspect.getsource(cls).startswith("@dataclass")
    assert entry.place.startswith(str(path))


def test_a_changed_file_is_read_again(write: Write) -> None:
    """Each discovery runs the file as it is now."""
    write(PLUGIN.replace("{target}", "Mine"))
    path = write(PLUGIN.replace("{target}", "Mine").replace("steps: int = 3", "steps: int = 33"))
    cls = discover([path]).load("attack", "trajectory/mine")
    assert configure(cls, {}, "x").steps == 33
    assert "= 33" in inspect.getsource(cls)


def test_an_edit_within_the_second_is_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same size and same time: to Python, byte code of the old text fits the new one."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for steps in (3, 4):
        path = write(PLUGIN.replace("{target}", "Mine").replace("steps: int = 3", f"steps: int = {steps}"))
        os.utime(path, (1e9, 1e9))
        cls = discover([path]).load("attack", "trajectory/mine")
        assert configure(cls, {}, "x").steps == steps


def test_a_file_given_twice_counts_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment and a flag may both name it, in different ways."""
    path = write(PLUGIN.replace("{target}", "Mine"))
    monkeypatch.chdir(path.parent)
    assert discover([path, Path(path.name)]).find("attack", "trajectory/mine")


def test_a_folder_with_an_init_is_a_plugin_too(tmp_path: Path) -> None:
    """Its modules are reached relative to it."""
    folder = tmp_path / "kit"
    folder.mkdir()
    text = PLUGIN.replace("{target}", '"kit.inner:Mine"')
    (folder / "inner.py").write_text(text[: text.index("def register")])
    (folder / "__init__.py").write_text(text[text.index("def register") :])
    assert discover([folder]).load("attack", "trajectory/mine").__name__ == "Mine"


def test_a_missing_file_says_what_is_expected(tmp_path: Path) -> None:
    """Neither a missing path nor a folder without __init__.py is a plugin."""
    for path in (tmp_path / "absent.py", tmp_path):
        with pytest.raises(MissingFile, match="--plugin takes"):
            discover([path])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x = 1\n", ["no register function", "def register(registry)"]),
        ("x = 1\nx.y\n", [":2", "AttributeError"]),
        ("import no_such_package\n", [":1", "no_such_package"]),
        ("def broken(:\n", [":1", "SyntaxError"]),
        ("raise SystemExit(4)\n", [":1", "SystemExit"]),
        ("def register(registry):\n    registry.atack('x/y', 'm:C')\n", [":2", "register failed", "atack"]),
        ("def register(registry):\n    registry.attack('x y', 'm:C')\n", ["my_attack.py:2", "cannot name"]),
    ],
)
def test_a_broken_file_names_the_line(write: Write, text: str, parts: list[str]) -> None:
    """The message has the place and the reason."""
    path = write(text)
    with pytest.raises(PluginError) as error:
        discover([path])
    for part in [str(path), *parts]:
        assert part in str(error.value)


def test_a_file_that_is_no_python_is_refused(tmp_path: Path) -> None:
    """Only .py files are run."""
    path = tmp_path / "attack.txt"
    path.write_text("def register(registry): pass")
    with pytest.raises(PluginError, match=r"\.py"):
        discover([path])


def test_a_file_cannot_take_a_built_in_name(write: Write) -> None:
    """The clash names both places."""
    path = write(PLUGIN.replace("trajectory/mine", "trajectory/noise").replace("{target}", "Mine"))
    with pytest.raises(DuplicatePlugin) as error:
        discover([path])
    assert f"{path}:" in str(error.value)
    assert "robeval_attacks" in str(error.value)


def test_a_broken_guest_breaks_nobody_else(install: Callable[[Sequence[str]], None]) -> None:
    """The healthy guest is there, the broken one is named with its reason, the built-ins are untouched."""
    healthy = PLUGIN.replace("{target}", '"robeval_guest_1:Mine"')
    clash = PLUGIN.replace("trajectory/mine", "trajectory/noise").replace("{target}", "Mine")
    install(["import no_such_package\n", healthy, clash])
    registry = discover()
    assert registry.load("attack", "trajectory/mine").__name__ == "Mine"
    reasons = dict(registry.broken)
    assert len(reasons) == 2
    broken, clashing = (next(r for place, r in reasons.items() if f"guest-{n}" in place) for n in (0, 2))
    assert "no_such_package" in broken
    assert "registered twice" in clashing
    assert built_in().entries.keys() < registry.entries.keys()
