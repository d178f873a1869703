"""Correcting the p-values of a family of tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values: those at most α hold together with an error rate of α for the whole family.

    None stands for a comparison that was not tested: it stays None and does not count for the family.
    Source: Holm, Scandinavian Journal of Statistics 6, 1979. scipy has no Holm (its
    `false_discovery_control` answers another question).
    """
    tested = [k for k, value in enumerate(p) if value is not None]
    values = np.array([p[k] for k in tested], dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted: list[float | None] = [None] * len(p)
    for k, value in zip(order, np.minimum(np.maximum.accumulate(steps), 1.0), strict=True):
        adjusted[tested[k]] = float(value)
    return adjusted
