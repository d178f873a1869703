"""Options: read from annotations, checked for people, turned into an identity."""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from robeval.errors import MissingExtra, OptionError, PluginError
from robeval.plugins.contracts import Attack
from robeval.plugins.none import NoAttack
from robeval.plugins.options import configure, describe, identity, validate
from robeval.plugins.specs import PluginSpec, Spec

OWNER = "attack 'toy/climb'"


@dataclass(frozen=True)
class Climb(Attack[Any]):
    """An attack with one option of every sort."""

    steps: Annotated[int, Field(ge=1, le=99, description="gradient steps")] = 5
    mode: Literal["repo", "adaptive"] = "repo"
    rate: Annotated[float, Field(gt=0)] | None = None
    share: float = 1
    weights: tuple[float, ...] = (1, 2)
    root: Path = Path("somewhere")
    surrogate: Spec | None = None
    tags: frozenset[str] = frozenset({"c", "a", "b"})
    labels: list[str] = field(default_factory=lambda: ["x"])


class Files:
    """A dataset-like class: keyword parameters are the options."""

    def __init__(self, *, root: str, frames: Annotated[int, Field(ge=2)] = 4, **kept: Any) -> None:
        if frames == 13:
            raise ValueError("13 frames are one too many")
        if frames == 14:
            raise RuntimeError("a defect")
        if frames == 15:
            raise ModuleNotFoundError("No module named 'devkit'", name="devkit")
        self.root, self.frames = root, frames


def message(error: pytest.ExceptionInfo[BaseException]) -> str:
    return str(error.value)


def test_options_are_described_in_the_words_a_person_types() -> None:
    """Type, default, help and limits are read from the annotations."""
    found = {option.name: option for option in describe(Climb)}
    steps = found["steps"]
    assert (steps.type, steps.default, steps.help, steps.constraint) == (
        "int",
        "5",
        "gradient steps",
        "≥ 1, ≤ 99",
    )
    assert found["mode"].type == "repo | adaptive"
    assert (found["rate"].type, found["rate"].default, found["rate"].constraint) == (
        "float | null",
        "null",
        "> 0",
    )
    assert (found["weights"].type, found["weights"].default) == ("list of float", "[1, 2]")
    assert found["root"].type == "path"
    assert found["surrogate"].type == "plugin | null"
    assert found["tags"].default == "[a, b, c]"
    assert found["labels"].default == "[x]"
    assert not any(option.required for option in found.values())


def test_a_plugin_without_fields_has_no_options() -> None:
    """Class variables such as the threat are not options."""
    assert describe(NoAttack) == []


def test_keyword_parameters_are_options_and_may_be_required() -> None:
    """A parameter without default must be given; `**kept` is no option."""
    root, frames = describe(Files)
    assert (root.name, root.required, root.default) == ("root", True, "")
    assert (frames.name, frames.required, frames.constraint) == ("frames", False, "≥ 2")


def test_values_arrive_in_the_declared_types() -> None:
    """Text from a command line becomes the number, path or spec that the annotation asks for."""
    given_options = {
        "steps": "7",
        "rate": "1e-3",
        "root": "a/b",
        "weights": [1],
        "surrogate": "lstm:hidden=3",
    }
    climb = configure(Climb, given_options, OWNER)
    assert (climb.steps, climb.rate, climb.root, climb.weights) == (7, 1e-3, Path("a/b"), (1.0,))
    assert climb.surrogate == PluginSpec(name="lstm", options={"hidden": 3})


def test_hyphens_are_as_good_as_underscores() -> None:
    """An option may be written the way that flags are."""

    @dataclass(frozen=True)
    class Two(Attack[Any]):
        two_words: int = 1

    assert configure(Two, {"two-words": 3}, OWNER).two_words == 3
    with pytest.raises(OptionError, match="given twice"):
        configure(Two, {"two-words": 3, "two_words": 3}, OWNER)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (
            {"steps": 0},
            ["'steps' cannot be 0", "greater than or equal to 1", "int, ≥ 1, ≤ 99 (gradient steps)"],
        ),
        ({"steps": "many"}, ["cannot be 'many'", "valid integer"]),
        ({"steps": 2.5}, ["cannot be 2.5"]),
        ({"mode": "adaptiv"}, ["Did you mean 'adaptive'?", "repo | adaptive"]),
        ({"mode": True}, ["quote it"]),
        ({"share": float("nan")}, ["cannot be nan", "finite"]),
        ({"rate": -1}, ["greater than 0"]),
        ({"weights": ["heavy"]}, ["list of float"]),
        ({"step": 3}, ["no option 'step'", "Did you mean 'steps'?", "Its options: ", "weights"]),
        ({"colour": 3}, ["no option 'colour'", "Its options: "]),
    ],
)
def test_a_wrong_option_says_the_value_and_what_was_expected(
    options: dict[str, Any], parts: list[str]
) -> None:
    """Every refusal names the plugin, the offending value and the next step."""
    with pytest.raises(OptionError) as error:
        configure(Climb, options, OWNER)
    assert message(error).startswith(OWNER)
    for part in parts:
        assert part in message(error)


def test_a_number_where_text_is_wanted_asks_for_quotes() -> None:
    """YAML reads 1.10 as a number and would lose the zero, so it is refused rather than guessed."""
    with pytest.raises(OptionError, match="quote it"):
        configure(Files, {"root": 1.10}, "dataset 'toy/files'")


def test_a_plugin_without_options_says_so() -> None:
    """There is nothing to suggest when nothing can be set."""
    with pytest.raises(OptionError, match="no options at all"):
        configure(NoAttack, {"steps": 3}, "attack 'none'")


def test_a_missing_option_shows_how_to_give_it() -> None:
    """The message holds the spec to write."""
    with pytest.raises(OptionError, match=re.escape("Write toy/files:root=VALUE")):
        configure(Files, {}, "dataset 'toy/files'")


def test_complaints_of_the_class_itself_become_messages() -> None:
    """A ValueError is the person's mistake, others are the plugin's; an absent package says pip install."""
    with pytest.raises(OptionError, match="dataset 'toy/files': 13 frames"):
        configure(Files, {"root": "x", "frames": 13}, "dataset 'toy/files'")
    with pytest.raises(PluginError, match="RuntimeError: a defect"):
        configure(Files, {"root": "x", "frames": 14}, "dataset 'toy/files'")
    with pytest.raises(MissingExtra, match="pip install devkit"):
        configure(Files, {"root": "x", "frames": 15}, "dataset 'toy/files'")


def test_identity_holds_every_effective_option() -> None:
    """Defaults are filled in, and values are plain JSON."""
    assert identity(Climb, {"steps": 7}) == {
        "surrogate": None,
        "steps": 7,
        "mode": "repo",
        "rate": None,
        "share": 1.0,
        "weights": [1.0, 2.0],
        "root": "somewhere",
        "tags": ["a", "b", "c"],
        "labels": ["x"],
    }


def test_a_default_and_the_same_value_given_have_one_text() -> None:
    """The default 1 of a float is written 1.0, as a given 1 is: cache keys are made from the text."""
    said = {"share": 1, "weights": [1, 2]}
    assert json.dumps(identity(Climb, {})) == json.dumps(identity(Climb, said))


def test_identity_takes_an_instance_for_its_class() -> None:
    """The options that were given are what counts."""
    assert identity(Climb(steps=7), {"steps": 7}) == identity(Climb, {"steps": "7"})


@given(steps=st.integers(1, 99), share=st.floats(0, 1), mode=st.sampled_from(["repo", "adaptive"]))
def test_identity_does_not_depend_on_how_options_were_written(steps: int, share: float, mode: str) -> None:
    """A value and its text have one identity, and saying a default changes nothing."""
    as_values = identity(Climb, {"steps": steps, "share": share, "mode": mode})
    as_text = identity(Climb, {"mode": mode, "share": repr(share), "steps": str(steps)})
    assert as_values == as_text
    assert identity(Climb, as_values) == as_values


def test_validation_fills_nothing_in() -> None:
    """What was not given is left to the class."""
    assert validate(Climb, {"steps": "3"}, OWNER) == {"steps": 3}


def test_a_forgotten_decorator_is_reported() -> None:
    """Without @dataclass the fields of an attack would silently not be options."""

    class Bare(Attack[Any]):
        steps: int = 3

    with pytest.raises(PluginError, match="@dataclass"):
        describe(Bare)


def test_a_field_call_as_default_is_reported() -> None:
    """`steps: int = Field(5)` would hand a FieldInfo to the algorithm."""

    @dataclass(frozen=True)
    class Mistaken(Attack[Any]):
        steps: int = Field(5, ge=1)

    with pytest.raises(PluginError, match="Annotated"):
        describe(Mistaken)


def test_an_annotation_that_cannot_be_resolved_is_reported() -> None:
    """The message names the option and says where to import its type."""
    broken = dataclasses.make_dataclass("Broken", [("size", "Unknowable", 3)], bases=(Attack,), frozen=True)
    with pytest.raises(PluginError, match=r"size.*TYPE_CHECKING"):
        describe(broken)
