"""Plugin specs: one text form that parses, prints, compares and hashes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from robeval.errors import OptionError
from robeval.plugins.specs import PluginSpec, Spec

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}(/[a-z][a-z0-9-]{0,8})?", fullmatch=True)
KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False), st.text(max_size=12)
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))


@given(name=NAMES, options=st.dictionaries(KEYS, VALUES, max_size=4))
def test_text_and_spec_are_the_same_thing(name: str, options: dict[str, Any]) -> None:
    """Printing and parsing gives back every name and value, whatever signs a text holds."""
    spec = PluginSpec(name=name, options=options)
    again = PluginSpec.parse(str(spec))
    assert again == spec
    assert hash(again) == hash(spec)
    assert {key: type(value) for key, value in again.options.items()} == {
        k: type(v) for k, v in options.items()
    }


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("search", {}),
        ("search:", {}),
        ("search:restarts=4", {"restarts": 4}),
        ("search:restarts=4,objective=all", {"restarts": 4, "objective": "all"}),
        ("search:weights=[1, 2],step=0.5", {"weights": [1, 2], "step": 0.5}),
        ("nuscenes:root=/data/a=b,version=v1.0-mini", {"root": "/data/a=b", "version": "v1.0-mini"}),
        ("files:root='a,b'", {"root": "a,b"}),
        ("x:train-steps=1", {"train_steps": 1}),
        ("x:surrogate=null,flag=true", {"surrogate": None, "flag": True}),
        (" x : a = 1 ", {"a": 1}),
        ("x:root=/it's,b=2", {"root": "/it's", "b": 2}),
        ("x:root=/a[1,b=2", {"root": "/a[1", "b": 2}),
        ('x:root="a\\",b",c=1', {"root": 'a",b', "c": 1}),
        ("x:day=2024-01-31", {"day": "2024-01-31"}),
        ("x:items=[{a: 1}, 'b,c'],d=1", {"items": [{"a": 1}, "b,c"], "d": 1}),
    ],
)
def test_a_spec_reads_as_a_person_writes_it(text: str, options: dict[str, Any]) -> None:
    """Values are YAML; quotes and brackets protect commas; hyphens in keys are underscores."""
    assert PluginSpec.parse(text).options == options


@pytest.mark.parametrize(
    ("text", "part"), [("a:b", "'b'"), ("a:=3", "'=3'"), (":b=1", "names no plugin"), ("", "''")]
)
def test_a_spec_that_is_none_is_refused_with_the_part_at_fault(text: str, part: str) -> None:
    """The message quotes what could not be read."""
    with pytest.raises(OptionError) as error:
        PluginSpec.parse(text)
    assert part in str(error.value)


def test_order_of_options_does_not_matter() -> None:
    """Two ways to write the same spec are equal and print alike."""
    one, other = PluginSpec.parse("a:x=1,y=2"), PluginSpec.parse("a:y=2,x=1")
    assert one == other
    assert str(one) == str(other)


class Holder(BaseModel):
    """A document with a spec in it."""

    attack: Spec


@pytest.mark.parametrize(
    "written",
    ["search:restarts=4", {"search": {"restarts": 4}}, {"name": "search", "options": {"restarts": 4}}],
)
def test_documents_take_text_and_mappings(written: Any) -> None:
    """YAML may hold either form, and writes the shortest."""
    holder = Holder(attack=written)
    assert holder.attack == PluginSpec(name="search", options={"restarts": 4})
    assert holder.model_dump() == {"attack": {"search": {"restarts": 4}}}
    assert Holder(attack={"search": None}).model_dump() == {"attack": "search"}


def test_documents_refuse_unknown_keys() -> None:
    """A misspelt key is an error, not an option that silently vanishes."""
    with pytest.raises(ValidationError, match="option"):
        Holder(attack={"name": "search", "option": {}})
