"""What becomes of maps and tokens: all their units, or one number per channel or per unit of a token."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.study.pooling import Pool


def pooled_units(shape: tuple[int, ...], pool: Pool) -> int:
    """Return the number of units of an array [n, …] of `shape` once pooled; raises ValueError as `pooled` does."""
    effective = effective_pool(shape, pool)
    if effective == "flatten":
        return math.prod(shape[1:])
    return shape[2] if len(shape) == 3 else shape[1]


def effective_pool(shape: tuple[int, ...], pool: Pool) -> Pool:
    """Return how an array of `shape` is pooled: rows that are vectors are always taken as they are."""
    if len(shape) <= 2:
        return "flatten"
    if pool in ("first", "last") and len(shape) != 3:
        raise ValueError(f"{pool} takes a token of [n, tokens, units], and this has {len(shape)} dimensions")
    return pool


def pooled(rows: NDArray[Any], pool: Pool) -> NDArray[np.float32]:
    """Return rows [k, …] pooled, [k, units] float32.

    Rows of two dimensions are [tokens, units] and pooled over the tokens; of three or more [channels, …], over all but
    the channels. Means are taken in float64. Raises ValueError for `first` and `last` where there are no tokens.
    """
    how = effective_pool(rows.shape, pool)
    with np.errstate(over="ignore", invalid="ignore"):
        if how == "flatten":
            return np.asarray(rows.reshape(len(rows), -1), np.float32)
        if how in ("first", "last"):
            return np.asarray(rows[:, 0 if how == "first" else -1], np.float32)
        axes = (1,) if rows.ndim == 3 else tuple(range(2, rows.ndim))
        if how == "max":
            return np.asarray(rows.max(axis=axes), np.float32)
        return np.asarray(rows.mean(axis=axes, dtype=np.float64), np.float32)
