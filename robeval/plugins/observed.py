"""What is observed of an attack for the trust checks: the gradients it got, and what its steps gained."""

import torch
from torch import Tensor

from robeval.arrays import per_example

VANISHED = 1e-20
"""A slope below this in every coordinate is as good as none: float32 steps by it move nothing."""
LATE = 0.8
"""The share of an attack's steps after which it should have found most of what it finds."""


class Slopes:
    """Which examples a gradient came back to, and whether it was of any use."""

    def __init__(self, examples: int) -> None:
        self._flat = torch.ones(examples, dtype=torch.bool)
        self._asked = torch.zeros(examples, dtype=torch.bool)
        self._broken = torch.zeros(examples, dtype=torch.bool)

    def saw(self, gradient: Tensor, places: Tensor) -> None:
        """Look at the gradient of some rows; `places` says which example each row is of."""
        self._asked[places] = True
        rows = per_example(gradient.detach())
        if not rows.numel():
            return
        # The largest slope tells all, unless it is NaN: only then the parts are looked at.
        steepest = torch.linalg.vector_norm(rows, ord=float("inf"), dim=1)
        broken, moving = ~steepest.isfinite(), steepest > VANISHED
        if bool(broken.any()):
            moving[broken] = (rows[broken].abs() > VANISHED).any(dim=1)
        self._broken[places[broken.cpu()]] = True
        self._flat[places[moving.cpu()]] = False

    def sums(self) -> dict[str, float]:
        """Over the examples."""
        return {
            "gradient_examples": float(self._asked.sum()),
            "zero_gradient_examples": float((self._flat & self._asked).sum()),
            "nan_gradient_examples": float((self._broken & self._asked).sum()),
        }


class Trace:
    """An attack's objective after each of its steps, summed over all that it traced."""

    def __init__(self) -> None:
        self._values: Tensor | None = None

    def add(self, values: Tensor) -> None:
        """Another trace beside those that are known."""
        values = values.detach().double().cpu()
        if self._values is not None and len(values) and len(self._values):
            # What stopped earlier keeps what it had.
            length = max(len(values), len(self._values))
            values, known = (torch.cat([v, v[-1:].expand(length - len(v))]) for v in (values, self._values))
            values = values + known
        self._values = values

    def sums(self) -> dict[str, float]:
        """What the steps gained, and how much of that came late."""
        values = self._values
        if values is None or len(values) < 5 or not bool(values.isfinite().all()):
            return {}
        late = values[int(LATE * (len(values) - 1))]
        return {"trace_gain": float(values[-1] - values[0]), "trace_late_gain": float(values[-1] - late)}
