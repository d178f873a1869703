"""What an attack's passes cost alone."""

from typing import Any

import pytest
import torch

from robeval.engine import pace
from robeval.engine.pace import bare_seconds, fastest
from robeval.plugins.views import View
from robeval.testing.linear import Line, LinearDomain, PointData, WorstCase


def test_gradients_by_what_is_no_field_of_the_batch_are_not_timed() -> None:
    """An attack on words asks the network by embeddings, which examples do not have: no yardstick, and no error."""
    examples = PointData().split("test")
    asked: dict[str, Any] = {"calls": 4, "forward_rows": 256, "backward_rows": 256}

    def seconds(*moved: str) -> float:
        view: View[Any] = View(Line(), LinearDomain(), WorstCase.threat, examples.ids)
        vars(view).update(asked, moved=set(moved))
        return bare_seconds(Line(), LinearDomain(), view, examples, {})

    assert seconds("point") > 0
    assert seconds("embedded") == 0
    assert seconds("point", "embedded") == 0
    assert seconds() == 0


@pytest.mark.parametrize(("seconds", "times"), [(0.01, 3), (0.3, 2), (2.0, 1)])
def test_what_takes_long_is_timed_less_often(
    monkeypatch: pytest.MonkeyPatch, seconds: float, times: int
) -> None:
    """The yardstick of an expensive victim must not cost as much as attacking it."""
    now = [0.0]
    monkeypatch.setattr(pace, "clock_of", lambda device: lambda: now[0])
    calls = []

    def work() -> None:
        calls.append(None)
        now[0] += seconds

    assert fastest(work, torch.device("cpu")) == pytest.approx(seconds)
    assert len(calls) == times
