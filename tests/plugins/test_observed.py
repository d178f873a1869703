"""What is observed of an attack."""

import pytest
import torch

from robeval.plugins.observed import VANISHED, Slopes


@pytest.mark.parametrize(
    ("slope", "zero", "nan"),
    [
        ([0.0, 0.0], 1.0, 0.0),
        ([0.0, VANISHED / 2], 1.0, 0.0),
        ([0.0, -1.0], 0.0, 0.0),
        ([float("nan"), 1.0], 0.0, 1.0),
        ([float("nan"), 0.0], 1.0, 1.0),
        ([float("inf"), 0.0], 0.0, 1.0),
    ],
)
def test_a_slope_is_of_use_where_a_part_of_it_is(slope: list[float], zero: float, nan: float) -> None:
    """Flat without a part that moves anything; broken where a part is not finite; it can be both."""
    slopes = Slopes(2)
    slopes.saw(torch.tensor([slope, [1.0, 1.0]]), torch.tensor([0, 1]))
    assert slopes.sums() == {
        "gradient_examples": 2.0,
        "zero_gradient_examples": zero,
        "nan_gradient_examples": nan,
    }
