"""The ways in which a layer's activations of one input become one vector: known to settings, requests and readers."""

from __future__ import annotations

from typing import Literal, get_args

Pool = Literal["flatten", "mean", "max", "first", "last"]
POOLS: tuple[Pool, ...] = get_args(Pool)
