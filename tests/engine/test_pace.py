"""What an attack's passes cost alone."""

from typing import Any

from robeval.engine.pace import bare_seconds
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
