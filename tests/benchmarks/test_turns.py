"""Timing in turns."""

from benchmarks.turns import in_turns


def test_ways_take_turns_and_the_warm_up_is_not_counted() -> None:
    """Two ways and two rounds: once each beforehand, then forwards, then backwards."""
    called: list[str] = []
    ways = {name: (lambda name=name: called.append(name)) for name in ("a", "b")}
    found = in_turns(ways, 2)
    assert called == ["a", "b", "a", "b", "b", "a"]
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": 2, "b": 2}


def test_seconds_are_those_of_the_clock() -> None:
    """A clock that a way moves by three seconds says three seconds."""
    now = 0.0

    def work() -> None:
        nonlocal now
        now += 3.0

    assert in_turns({"work": work}, 2, lambda: now, warm_up=False) == {"work": [3.0, 3.0]}
