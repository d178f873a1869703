"""From repeated measurements to one figure: medians, ratios taken round by round, slopes of growth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from benchmarks.frame import Figure


def middle(values: Sequence[float], unit: str = "") -> Figure:
    """The median with the lowest and the highest; a single value stands alone.

    Raises ValueError without values.
    """
    if not values:
        raise ValueError("no measurements: at least one round is needed")
    if len(values) == 1:
        return Figure(value=values[0], unit=unit)
    return Figure(
        value=statistics.median(values), unit=unit, low=min(values), high=max(values), rounds=len(values)
    )


def ratio(above: Sequence[float], below: Sequence[float], unit: str = "×") -> Figure:
    """The median of the ratios of both sides' rounds: what slows one round slows both sides of it alike."""
    return middle([a / b for a, b in zip(above, below, strict=True)], unit)


def slope(sizes: Sequence[float], costs: Sequence[float]) -> Figure:
    """The exponent of growth, cost ~ size**slope, with its 95 % interval (least squares on logarithms).

    Raises ValueError for fewer than three sizes.
    """
    import numpy as np
    from scipy.special import stdtrit

    if len(sizes) < 3:
        raise ValueError(f"{len(sizes)} sizes: an interval for a slope needs at least three")
    across, up = (np.log(values) - np.log(values).mean() for values in (sizes, costs))
    value = float((across * up).sum() / (across**2).sum())
    freedom = len(sizes) - 2
    rest = float(((up - value * across) ** 2).sum()) / freedom
    reach = float(stdtrit(freedom, 0.975)) * math.sqrt(rest / float((across**2).sum()))
    return Figure(value=value, low=value - reach, high=value + reach, rounds=len(sizes))
