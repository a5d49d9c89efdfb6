"""From a layer's output to rows: which tensor of it, which axis holds its channels, and how the others are pooled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from embcx_tui.study.errors import RequestError
from embcx_tui.study.pooling import Pool

# Outputs are looked through no deeper than this: {"hidden": ((a, b), c)} has three levels.
_DEPTH = 4


def first_tensor(output: object, rows: int, depth: int = _DEPTH) -> Tensor | None:
    """Return the first floating tensor in `output` (a tensor, tuples, lists, mappings) with `rows` rows in front; None
    where there is none.
    """
    if isinstance(output, Tensor):
        if output.is_nested:
            output = output.to_padded_tensor(0.0)
        fits = output.is_floating_point() and output.dim() >= 2 and output.shape[0] == rows > 0
        return output if fits and output[0].numel() else None
    parts: Sequence[object] = ()
    if isinstance(output, Mapping):
        parts = tuple(output.values())
    elif isinstance(output, (tuple, list)):
        parts = output
    if not depth:
        return None
    return next((found for part in parts if (found := first_tensor(part, rows, depth - 1)) is not None), None)


def channel_axis(shape: Sequence[int], features: int, natural: int) -> int:
    """Return the axis of the channels in an output of `shape` [rows, …]: 1 as in maps [rows, channels, height, width],
    or the last, as in tokens [rows, tokens, units].

    features, natural: how many channels the last layer with weights gave, and on which axis (1 or -1); 0 where there is
    none. That axis if it has so many, else the other one if it has, else the usual one of that many dimensions.
    """
    last = len(shape) - 1
    usual = 1 if len(shape) > 3 else last
    preferred = usual if not natural else natural % len(shape)
    for axis in (preferred, 1 if preferred == last else last):
        if features and shape[axis] == features:
            return axis
    return usual


def pooled_units(shape: Sequence[int], axis: int, pool: Pool) -> int:
    """Return the units of a row after `pool`, of an output of `shape` [rows, …] with its channels on `axis`."""
    return math.prod(shape[1:]) if pool == "flatten" else int(shape[axis])


def check_pool(name: str, shape: Sequence[int], axis: int, pool: Pool) -> None:
    """Raise RequestError where `pool` says nothing for layer `name` of that output: first and last take tokens."""
    if pool in ("first", "last") and len(shape) > 2 and (len(shape) != 3 or axis != 2):
        words = " × ".join(str(size) for size in shape[1:])
        raise RequestError(f'pool="{pool}" takes a token, and {name} gives {words}: use "flatten", "mean" or "max"')


def pooled(output: Tensor, axis: int, pool: Pool, mask: Tensor | None) -> Tensor:
    """Return rows [b, units] of an output [b, …] with its channels on `axis`, in its own dtype.

    mask: [b, t], true where a token is a real one, false where it is padding; it counts where the output is [b, t,
    units] with as many tokens, for mean, max, first and last.
    """
    if pool == "flatten" or output.dim() == 2:
        return output.reshape(len(output), -1)
    tokens = output.movedim(axis, -1).flatten(1, -2)
    real = None
    if mask is not None and output.dim() == 3 and axis == 2 and mask.shape == tokens.shape[:2]:
        real = mask.to(tokens.device)
    if pool == "mean":
        # Sums in float32 at least: 65,504 is the end of float16.
        wide = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        if real is None:
            return wide.mean(dim=1)
        kept = torch.where(real[..., None], wide, 0.0)
        return kept.sum(dim=1) / real.sum(dim=1, keepdim=True)
    if pool == "max":
        return (tokens if real is None else torch.where(real[..., None], tokens, -math.inf)).amax(dim=1)
    count = tokens.shape[1]
    if real is None:
        return tokens[:, 0 if pool == "first" else -1]
    place = real.int().argmax(dim=1) if pool == "first" else count - 1 - real.flip(1).int().argmax(dim=1)
    return tokens[torch.arange(len(tokens), device=tokens.device), place]


def token_mask(batch: Any) -> Tensor | None:
    """Return the `attention_mask` [b, t] of a batch as booleans, true for real tokens; None where it has none.

    Raises RequestError for a row without a real token.
    """
    mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
    if mask is None:
        return None
    mask = torch.as_tensor(mask)
    if mask.dim() != 2:
        return None
    real = mask != 0
    if empty := int((~real.any(dim=1)).sum()):
        raise RequestError(f"attention_mask: {empty} of {len(real)} rows hold no token but padding; leave them out")
    return real
