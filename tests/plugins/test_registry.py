"""The registry: one door, nothing imported until it is used, every refusal names the way out."""

import sys
from pathlib import Path

import pytest

from robeval.errors import DuplicatePlugin, MissingExtra, PluginError, UnknownPlugin, nearest
from robeval.plugins.none import NoAttack, NoDefense
from robeval.plugins.registry import Registry

HERE = Path(__file__).name


@pytest.fixture
def registry() -> Registry:
    """Two domains with one attack of the same short name, and one attack for every domain."""
    found = Registry()
    found.domain("toy", "no_such_module:Toy", "A toy.")
    found.domain("game", "no_such_module:Game")
    found.attack("none", NoAttack)
    found.attack("toy/climb", "no_such_module:Climb", "Climbs.")
    found.attack("toy/sa-attack", "no_such_module:SA")
    found.attack("game/climb", "no_such_module:GameClimb")
    return found


def test_listing_imports_nothing(registry: Registry) -> None:
    """Targets are text until they are loaded."""
    assert [entry.name for entry in registry.of("attack")] == [
        "none",
        "game/climb",
        "toy/climb",
        "toy/sa-attack",
    ]
    assert "no_such_module" not in sys.modules


def test_inside_a_domain_the_prefix_may_be_dropped(registry: Registry) -> None:
    """The short name finds the domain's own plugin, and those for every domain stay visible."""
    assert registry.find("attack", "climb", "toy").name == "toy/climb"
    assert registry.find("attack", "game/climb", "toy").name == "game/climb"
    assert registry.find("attack", "none", "toy").domain == "*"
    assert list(registry.names("attack", "toy")) == ["none", "climb", "sa-attack"]
    assert registry.find("domain", "toy").domain == "toy"


@pytest.mark.parametrize(
    ("name", "domain", "suggestion"),
    [
        ("sa_attack", "toy", "'sa-attack'"),
        ("clim", "toy", "'climb'"),
        ("toy/clim", "toy", "'toy/climb'"),
        ("sa-attack", None, "'toy/sa-attack'"),
        ("Climb", None, "'toy/climb' or 'game/climb'"),
    ],
)
def test_an_unknown_name_answers_with_the_nearest(
    registry: Registry, name: str, domain: str | None, suggestion: str
) -> None:
    """Separators, case and a missing prefix do not matter for a suggestion."""
    with pytest.raises(UnknownPlugin) as error:
        registry.find("attack", name, domain)
    hint = str(error.value).partition("Did you mean ")[2].partition("?")[0]
    assert set(hint.split(" or ")) == set(suggestion.split(" or "))
    assert "robeval list attacks" in str(error.value)


def test_nothing_near_is_suggested_for_a_far_name(registry: Registry) -> None:
    """The known names are listed instead."""
    with pytest.raises(UnknownPlugin) as error:
        registry.find("attack", "zzz", "toy")
    assert "Did you mean" not in str(error.value)
    assert "climb, none, sa-attack" in str(error.value)
    assert nearest("zzz", ["climb"]) == []


def test_a_name_taken_twice_names_both_places(registry: Registry) -> None:
    """Both lines of this file stand in the message."""
    first = registry.entries["attack", "toy/climb"].place
    with pytest.raises(DuplicatePlugin) as error:
        registry.attack("toy/climb", "elsewhere:Climb")
    assert HERE in first
    assert first in str(error.value)
    assert str(error.value).count(HERE) == 2


def test_the_same_name_may_stand_for_two_kinds(registry: Registry) -> None:
    """An attack and a defense are looked up apart."""
    registry.defense("none", NoDefense)
    assert registry.load("defense", "none") is NoDefense
    assert registry.load("attack", "none") is NoAttack


def test_a_missing_extra_says_the_command(registry: Registry) -> None:
    """An absent package of an optional dependency is the person's to install, with the extra's name."""
    registry.attack("toy/heavy", "tests_of_a_plugin:Heavy", extra="ranking")
    module = type(sys)("tests_of_a_plugin")

    class Finder:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "tests_of_a_plugin":
                raise ModuleNotFoundError("No module named 'transformers'", name="transformers.models")

    finder = Finder()
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    try:
        with pytest.raises(MissingExtra) as error:
            registry.load("attack", "toy/heavy")
    finally:
        sys.meta_path.remove(finder)  # type: ignore[arg-type]
    assert module.__name__ not in sys.modules
    assert error.value.command == "pip install 'robeval[ranking]'"
    assert "transformers" in str(error.value)


def test_a_missing_module_of_its_own_is_the_plugins_fault(registry: Registry) -> None:
    """A typo in a target is no missing extra."""
    registry.attack("toy/typo", "robeval.no_such_module:Typo", extra="ranking")
    with pytest.raises(PluginError, match="no_such_module"):
        registry.load("attack", "toy/typo")


@pytest.mark.parametrize("target", ["robeval.errors:NoSuchName", "robeval.errors:nearest"])
def test_a_target_must_be_a_class_that_exists(registry: Registry, target: str) -> None:
    """A missing attribute and a function are both reported with the place."""
    registry.attack("toy/odd", target)
    with pytest.raises(PluginError, match=HERE):
        registry.load("attack", "toy/odd")


@pytest.mark.parametrize("target", ["module", "module:", ":Class", "module:Class.method", "a b:C"])
def test_a_target_that_cannot_be_one_is_refused_at_once(target: str) -> None:
    """The mistake is reported where it is made."""
    with pytest.raises(PluginError, match="'module:Class'"):
        Registry().attack("toy/x", target)


@pytest.mark.parametrize("name", ["", "a b", "toy/a/b", "toy/", "/a", "a:b", "a,b", "toy/-a"])
def test_a_name_that_no_spec_could_hold_is_refused(name: str) -> None:
    """Colons, commas, blanks and further slashes would be unreadable on a command line."""
    with pytest.raises(PluginError, match="cannot name"):
        Registry().attack(name, NoAttack)


def test_a_domain_has_a_plain_name() -> None:
    """A slash belongs between domain and plugin."""
    with pytest.raises(PluginError, match="plain word"):
        Registry().domain("toy/x", "module:Class")


def test_a_class_brings_its_summary() -> None:
    """The first line of its own docstring, neither a base's nor dataclass's signature."""
    registry = Registry()
    registry.attack("none", NoAttack)
    registry.attack("silent", type("Silent", (NoAttack,), {}))
    assert registry.find("attack", "none").summary == "The clean row: nothing is perturbed."
    assert registry.find("attack", "silent").summary == ""


@pytest.mark.parametrize("failure", [ValueError("broken"), SystemExit(3)])
def test_a_broken_guest_is_isolated(registry: Registry, failure: BaseException) -> None:
    """What it had added is taken back, and the reason is kept."""

    def guest(door: Registry) -> None:
        door.attack("toy/half", "module:Half")
        raise failure

    before = dict(registry.entries)
    registry.add_all(guest, "some-guest 1.0")
    assert registry.entries == before
    ((place, reason),) = registry.broken
    assert place == "some-guest 1.0"
    assert type(failure).__name__ in reason


def test_a_guest_that_takes_a_known_name_is_reported_with_both_places(registry: Registry) -> None:
    """The first owner keeps the name."""
    first = registry.entries["attack", "toy/climb"]
    registry.add_all(lambda door: door.attack("toy/climb", "elsewhere:Climb"), "some-guest 1.0")
    assert registry.entries["attack", "toy/climb"] is first
    ((_, reason),) = registry.broken
    assert first.place in reason
    assert "some-guest 1.0" in reason
