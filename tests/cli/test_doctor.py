"""`robeval doctor`: every plugin imports, or the reason is said."""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from robeval.cli import doctor
from robeval.engine.cache import Cache
from robeval.plugins import discovery
from robeval.plugins.none import NoAttack, NoDefense
from robeval.plugins.registry import Registry

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache with one entry of 3 MiB."""
    folder = tmp_path / "cache"
    folder.mkdir()
    Cache(folder).put("victims", "aa01", {"content": bytes(3 * 2**20)})
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(folder))
    return folder


def test_a_sound_installation_is_all_good(robeval: Run, own_cache: Path) -> None:
    """Every built-in imports; versions, device, extras and the cache's size are shown; the exit code is 0."""
    outcome = robeval("doctor")
    assert outcome.code == 0, outcome.out
    assert outcome.out.endswith("all good\n")
    for part in ["python", "torch", "CPU threads", "pytorch-lightning", f"{own_cache}, 1 entry, 3.0 MiB"]:
        assert part in outcome.out
    count = len(discovery.built_in().entries)
    assert f"{count} of {count} import" in outcome.out


def test_absent_extras_name_the_command() -> None:
    """Every optional domain is listed, installed or with what to run."""
    found = {finding.what: finding for finding in doctor.extras()}
    assert {"extra ranking", "extra diffusion"} <= found.keys()
    assert "extra test" not in found
    for name, finding in found.items():
        assert (
            finding.state == "ok" or f"pip install 'robeval[{name.removeprefix('extra ')}]'" in finding.detail
        )


def test_a_broken_guest_is_named_with_its_reason(robeval: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code says that something is broken."""
    guest = EntryPoint("sick", "no_such_guest:register", discovery.GROUP)
    monkeypatch.setattr(discovery, "entry_points", lambda group: [guest])
    monkeypatch.setattr(doctor, "plugins", lambda registry: [])
    outcome = robeval("doctor")
    assert outcome.code == 3
    assert "no_such_guest" in outcome.out
    assert outcome.out.endswith("1 broken\n")


@pytest.mark.parametrize(
    ("kind", "target", "extra", "state", "part"),
    [
        ("attack", NoAttack, None, None, ""),
        ("attack", "robeval.nowhere:X", None, "broken", "nowhere"),
        ("attack", "robeval.errors:RobevalError", None, "broken", "not a robeval.plugins.contracts.Attack"),
        ("defense", NoAttack, None, "broken", "not a robeval.plugins.contracts.Defense"),
        ("attack", NoDefense, None, "broken", "not a robeval.plugins.contracts.Attack"),
        ("attack", "no_such_package:X", None, "broken", "no_such_package"),
    ],
)
def test_a_plugin_is_checked_against_its_contract(
    kind: str, target: str | type, extra: str | None, state: str | None, part: str
) -> None:
    """It imports, it is a class of its kind, and its options can be read."""
    registry = Registry()
    registry._add(kind, "toy/x", target, "", extra)
    (entry,) = registry.entries.values()
    finding = doctor.check(entry)
    assert (finding.state if finding else None) == state
    assert part in (finding.detail if finding else "")


def test_a_plugin_whose_extra_is_absent_is_no_fault(tmp_path: Path) -> None:
    """The note says what to install."""
    folder = tmp_path / "heavy"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "def register(registry):\n    registry.attack('toy/heavy', 'heavy.inner:X', extra='ranking')\n"
    )
    (folder / "inner.py").write_text("import no_such_transformers\n")
    entry = discovery.discover([folder]).find("attack", "toy/heavy")
    finding = doctor.check(entry)
    assert finding is not None
    assert finding.state == "note"
    assert "pip install 'robeval[ranking]'" in finding.detail


def test_datasets_that_need_files_say_how_to_point_at_them() -> None:
    """A required option becomes a hint with its help."""

    class Files:
        def __init__(self, *, root: str) -> None:
            self.root = root

    registry = Registry()
    registry.dataset("toy/files", Files)
    (finding,) = doctor.data(registry)
    assert finding.state == "note"
    assert "--dataset files:root=VALUE" in finding.detail


def test_a_cache_that_does_not_exist_yet_is_fine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The nearest existing folder decides whether it can be made."""
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "a" / "b"))
    (finding,) = doctor.cache()
    assert (finding.state, "0.0 MiB" in finding.detail) == ("ok", True)
    monkeypatch.setattr(doctor.os, "access", lambda folder, mode: False)
    (finding,) = doctor.cache()
    assert finding.state == "broken"


def test_a_damaged_entry_is_a_note(own_cache: Path) -> None:
    """It is never used, so nothing is broken; the note says which it is and how to be rid of it."""
    (own_cache / "victims" / "aa" / "aa01" / "content").write_bytes(b"other")
    whole, torn = doctor.cache()
    assert (whole.state, torn.state) == ("ok", "note")
    assert "aa01" in torn.detail
    assert "robeval cache prune --damaged" in torn.detail
