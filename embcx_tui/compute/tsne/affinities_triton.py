"""The three passes over all pairs that compute P, as Triton kernels: all layers of a batch in four launches, without
waiting for the device.

Every number depends on its own layer alone, and every sum has a fixed order: P does not depend on the composition of
the batch.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from embcx_tui.compute.device import on_device_of
from embcx_tui.compute.jit.triton_sum import row_sums
from embcx_tui.compute.tsne.affinities import ENTROPY_ACCEPTED, ENTROPY_TOLERANCE, MAX_STEPS

TILE = 32  # rows and columns of distances per program: 8 float64 sums per thread of 4 warps
ROW_SHARE = 256  # entries of a row per warp: 8 float64 per thread, kept in registers through all Newton steps


@triton.jit  # type: ignore[untyped-decorator]  # Triton reads the source: not its annotations
def distances_kernel(units, squared, n, d, SIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write the squared distances between SIDE and SIDE rows of one layer to squared [b, n, n]; units [b, d, n]."""
    layer = tl.program_id(0).to(tl.int64)
    rows = tl.program_id(1) * SIDE + tl.arange(0, SIDE)
    columns = tl.program_id(2) * SIDE + tl.arange(0, SIDE)
    unit = units + layer * d * n
    total = tl.zeros((SIDE, SIDE), tl.float64)
    for _ in range(d):
        of_rows = tl.load(unit + rows, mask=rows < n, other=0.0)
        of_columns = tl.load(unit + columns, mask=columns < n, other=0.0)
        difference = of_rows[:, None] - of_columns[None, :]
        total += difference * difference
        unit += n
    at = squared + (layer * n + rows)[:, None] * n + columns[None, :]
    tl.store(at, total, mask=(rows < n)[:, None] & (columns < n)[None, :])


@triton.jit  # type: ignore[untyped-decorator]
def perplexity_kernel(  # type: ignore[no-untyped-def]
    squared, nearest, reached, target, n, tolerance, accepted, max_steps, COLUMNS: tl.constexpr,
):  # fmt: skip
    """`affinities.conditional_probabilities` of one row of one layer; target is (perplexity, ln perplexity) in float64.

    Scalar arguments of a kernel are float32: enough for the tolerances, not for the perplexity.
    """
    program = tl.program_id(0)
    columns = tl.arange(0, COLUMNS)
    others = (columns < n) & (columns != program % n)
    at = squared + program.to(tl.int64) * n + columns
    distance = tl.load(at, mask=others, other=float("inf"))
    closest = tl.min(distance, axis=0)
    distance = tl.where(others, distance - closest, 0.0)
    total = tl.sum(distance, axis=0)
    ties = tl.sum((others & (distance == 0.0)).to(tl.int32), axis=0)
    sound = (ties < tl.load(target)) & (total > 0.0)
    entropy = tl.load(target + 1)
    log_beta = -tl.log(tl.where(sound, total, 1.0) / n)
    infinite = closest * 0.0 + float("inf")
    low = -infinite
    high = infinite
    previous_step = infinite
    error = tl.where(sound, infinite, 0.0)
    beta = closest * 0.0
    mass = beta + 1.0
    steps = 0
    while (steps < max_steps) & (tl.abs(error) >= tolerance):
        beta = tl.exp(log_beta)
        weight = tl.where(others, tl.exp(-beta * distance), 0.0)
        mass = tl.sum(weight, axis=0)
        mean = tl.sum(weight * distance, axis=0) / mass
        spread = tl.sum(weight * distance * distance, axis=0) / mass - mean * mean
        error = tl.log(mass) + beta * mean - entropy
        low = tl.where(error > 0.0, log_beta, low)
        high = tl.where(error > 0.0, high, log_beta)
        slope = beta * beta * tl.maximum(spread, 0.0)
        step = tl.where(slope > 0.0, error / slope, infinite)
        after = log_beta + step
        inside = (after > low) & (after < high) & (tl.abs(step) <= 0.5 * tl.abs(previous_step))
        bisected = tl.where(inside, step, 0.5 * (low + high) - log_beta)
        bracketed = (low > -infinite) & (high < infinite)
        previous_step = tl.where(bracketed, bisected, tl.minimum(tl.maximum(step, -3.0), 3.0))
        log_beta += previous_step
        steps += 1
    good = sound & (tl.abs(error) < accepted)
    share = tl.where(good, 1.0 / mass, 0.0)
    tl.store(at, tl.where(others, tl.exp(-beta * distance) * share, 0.0), mask=columns < n)
    tl.store(nearest + program, closest)
    tl.store(reached + program, good)


@triton.jit  # type: ignore[untyped-decorator]
def symmetrise_kernel(joint, parts, n, tiles, SIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Replace a tile of p_j|i and its mirror image by (p_j|i + p_i|j) / 2n, and write their -Σ p ln p to parts [b,
    tiles, tiles], float64.
    """
    layer = tl.program_id(0).to(tl.int64)
    top = tl.program_id(1)
    left = tl.program_id(2)
    part = parts + (layer * tiles + top) * tiles + left
    if left < top:
        tl.store(part, 0.0)
    else:
        rows = top * SIDE + tl.arange(0, SIDE)
        columns = left * SIDE + tl.arange(0, SIDE)
        inside = (rows < n)[:, None] & (columns < n)[None, :]
        inside_mirror = (columns < n)[:, None] & (rows < n)[None, :]
        at = joint + (layer * n + rows)[:, None] * n + columns[None, :]
        mirror = joint + (layer * n + columns)[:, None] * n + rows[None, :]
        mirrored = tl.load(mirror, mask=inside_mirror, other=0.0)
        p = (tl.load(at, mask=inside, other=0.0) + tl.trans(mirrored)) / (2 * n).to(tl.float64)
        tl.store(at, p, mask=inside)
        # A tile on the diagonal is its own mirror image, and symmetric: written once, as rows.
        tl.store(mirror, tl.trans(p), mask=inside_mirror & (left > top))
        entropy = -tl.sum(tl.sum(p * tl.log(tl.where(p > 0.0, p, 1.0)), axis=1), axis=0)
        tl.store(part, tl.where(left > top, 2.0, 1.0) * entropy)


def squared_distances(rows: Tensor, out: Tensor) -> None:
    """As `kernels_torch.squared_distances`; out contiguous."""
    b, n, d = rows.shape
    tiles = triton.cdiv(n, TILE)
    with on_device_of(out):
        distances_kernel[(b, tiles, tiles)](rows.transpose(1, 2).contiguous(), out, n, d, SIDE=TILE)


def conditional_probabilities(squared: Tensor, perplexity: float) -> tuple[Tensor, Tensor]:
    """As `kernels_torch.conditional_probabilities`; squared contiguous."""
    b, n, _ = squared.shape
    columns = triton.next_power_of_2(n)
    nearest = torch.empty(b, n, dtype=torch.float64, device=squared.device)
    reached = torch.empty(b, n, dtype=torch.bool, device=squared.device)
    target = torch.tensor([perplexity, math.log(perplexity)], dtype=torch.float64).to(squared.device)
    warps = min(max(columns // ROW_SHARE, 1), 16)
    with on_device_of(squared):
        perplexity_kernel[(b * n,)](
            squared, nearest, reached, target, n, ENTROPY_TOLERANCE, ENTROPY_ACCEPTED, MAX_STEPS,
            COLUMNS=columns, num_warps=warps,
        )  # fmt: skip
    return nearest, reached


def symmetrise(conditional: Tensor) -> Tensor:
    """As `kernels_torch.symmetrise`; conditional contiguous."""
    b, n, _ = conditional.shape
    tiles = triton.cdiv(n, TILE)
    parts = torch.empty(b, tiles * tiles, dtype=torch.float64, device=conditional.device)
    with on_device_of(conditional):
        symmetrise_kernel[(b, tiles, tiles)](conditional, parts, n, tiles, SIDE=TILE)
        return row_sums(parts)


def probe(device: torch.device) -> None:
    """Compile and run every kernel on `device` once; raises whatever a missing compiler or driver raises."""
    rows = torch.eye(8, dtype=torch.float64, device=device)[None]
    joint = torch.empty(1, 8, 8, dtype=torch.float64, device=device)
    squared_distances(rows, joint)
    conditional_probabilities(joint, 2.0)
    symmetrise(joint)
