"""Gradient and update of exact t-SNE as Triton kernels: one launch per iteration for all restarts; P is read once,
and no matrix is written.

A program has BLOCK_ROWS points of one restart and goes through all others in a fixed order, so results do not depend on
the batch. Restarts are the first axis of every grid: it may be as long as 2^31, the others 65,535, and programs that
read the same rows of P run at the same time.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from embcx_tui.compute.device import on_device_of
from embcx_tui.compute.jit.triton_sum import row_sums
from embcx_tui.compute.tsne.schedule import DEFAULT_SCHEDULE, GAIN_DECAY, GAIN_INCREASE, Phase

# Rows and columns of pairs per iteration of 4 warps: float32 keeps 8 pairs and three sums of 8 per thread, float64 4
# and two sums of 4, in under 100 registers on every GPU from 2018 on. With twice as many the compiler takes 250
# registers, two blocks then fill a multiprocessor, and the float64 pass spills.
BLOCK_ROWS = 8
BLOCK_COLUMNS = 128
WIDE_ROWS = 4


@triton.jit  # type: ignore[untyped-decorator]  # Triton reads the source: not its annotations
def _forces(  # type: ignore[no-untyped-def]
    points, p_rows, rows, n, scale, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Return Σ_j (scale·p_ij - w_ij)·w_ij·(y_i - y_j) for ROWS points of one restart, x and y [ROWS] each, and the sum
    of their w; points [2, n], p_rows [ROWS] point to the rows of P. As `descent_cpu.forces`.
    """
    inside = rows < n
    x = tl.load(points + rows, mask=inside, other=0.0)
    y = tl.load(points + n + rows, mask=inside, other=0.0)
    sum_w = tl.zeros((ROWS, COLUMNS), tl.float32)
    sum_x = tl.zeros((ROWS, COLUMNS), tl.float32)
    sum_y = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(0, n, COLUMNS):
        columns = first + tl.arange(0, COLUMNS)
        near = columns < n
        dx = x[:, None] - tl.load(points + columns, mask=near, other=0.0)[None, :]
        dy = y[:, None] - tl.load(points + n + columns, mask=near, other=0.0)[None, :]
        pair = inside[:, None] & near[None, :] & (rows[:, None] != columns[None, :])
        p = tl.load(p_rows[:, None] + columns[None, :], mask=pair, other=0.0)
        w = tl.where(pair, 1.0 / (1.0 + dx * dx + dy * dy), 0.0)
        f = (scale * p - w) * w
        sum_w += w
        sum_x += f * dx
        sum_y += f * dy
    return tl.sum(sum_x, axis=1), tl.sum(sum_y, axis=1), tl.sum(tl.sum(sum_w, axis=1), axis=0)


@triton.jit  # type: ignore[untyped-decorator]
def iterate_kernel(  # type: ignore[no-untyped-def]
    points, moved, velocity, gain, z_parts, new_z_parts, joint, p_index,
    n, parts, exaggeration, learning_rate, momentum, min_gain, gain_increase, gain_decay,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """One iteration of `descent_cpu.iterate` for ROWS points of one restart, from points [m, 2, n] to moved [m, 2, n].

    z_parts [m, parts] are the sums of w of the last pass, one per program; new_z_parts takes those of this pass.
    """
    restart = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    of_parts = tl.arange(0, PARTS)
    z = tl.sum(tl.load(z_parts + restart * parts + of_parts, mask=of_parts < parts, other=0.0), axis=0)
    rows = part * ROWS + tl.arange(0, ROWS)
    inside = rows < n
    start = points + restart * 2 * n
    p_rows = joint + (tl.load(p_index + restart) * n + rows) * n
    g_x, g_y, w = _forces(start, p_rows, rows, n, exaggeration * z, ROWS, COLUMNS)
    tl.store(new_z_parts + restart * parts + part, w)
    rate = learning_rate / z
    for axis in tl.static_range(2):
        of_axis = axis * n + rows
        at = restart * 2 * n + of_axis
        g = g_x if axis == 0 else g_y
        v = tl.load(velocity + at, mask=inside, other=0.0)
        k = tl.load(gain + at, mask=inside, other=1.0)
        k = tl.maximum(tl.where(g * v < 0.0, k + gain_increase, k * gain_decay), min_gain)
        v = momentum * v - rate * k * g
        tl.store(gain + at, k, mask=inside)
        tl.store(velocity + at, v, mask=inside)
        tl.store(moved + at, tl.load(start + of_axis, mask=inside, other=0.0) + v, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def gradient_kernel(  # type: ignore[no-untyped-def]
    points, z, joint, p_index, z_parts, square_parts, n, parts, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write to square_parts [m, parts] float64 the squares of `_forces` at the scale z [m], to z_parts the sums of
    w.
    """
    restart = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    rows = part * ROWS + tl.arange(0, ROWS)
    p_rows = joint + (tl.load(p_index + restart) * n + rows) * n
    g_x, g_y, w = _forces(points + restart * 2 * n, p_rows, rows, n, tl.load(z + restart), ROWS, COLUMNS)
    tl.store(z_parts + restart * parts + part, w)
    wide_x = g_x.to(tl.float64)
    wide_y = g_y.to(tl.float64)
    tl.store(square_parts + restart * parts + part, tl.sum(wide_x * wide_x + wide_y * wide_y, axis=0))


@triton.jit  # type: ignore[untyped-decorator]
def cross_entropy_kernel(  # type: ignore[no-untyped-def]
    points, joint, p_index, cross, weight, n, parts, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write the sums of p·ln(1 + distance²) and of 1 / (1 + distance²) over ROWS points' pairs to cross and weight [m,
    parts], float64.
    """
    restart = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    base = points + restart * 2 * n
    rows = part * ROWS + tl.arange(0, ROWS)
    inside = rows < n
    x = tl.load(base + rows, mask=inside, other=0.0).to(tl.float64)
    y = tl.load(base + n + rows, mask=inside, other=0.0).to(tl.float64)
    p_rows = joint + (tl.load(p_index + restart) * n + rows) * n
    sum_cross = tl.zeros((ROWS, COLUMNS), tl.float64)
    sum_weight = tl.zeros((ROWS, COLUMNS), tl.float64)
    for first in range(0, n, COLUMNS):
        columns = first + tl.arange(0, COLUMNS)
        near = columns < n
        dx = x[:, None] - tl.load(base + columns, mask=near, other=0.0).to(tl.float64)[None, :]
        dy = y[:, None] - tl.load(base + n + columns, mask=near, other=0.0).to(tl.float64)[None, :]
        pair = inside[:, None] & near[None, :] & (rows[:, None] != columns[None, :])
        d = 1.0 + dx * dx + dy * dy
        sum_cross += tl.load(p_rows[:, None] + columns[None, :], mask=pair, other=0.0) * tl.log(d)
        sum_weight += tl.where(pair, 1.0 / d, 0.0)
    tl.store(cross + restart * parts + part, tl.sum(tl.sum(sum_cross, axis=1), axis=0))
    tl.store(weight + restart * parts + part, tl.sum(tl.sum(sum_weight, axis=1), axis=0))


def iterate(
    points: Tensor,
    velocity: Tensor,
    gain: Tensor,
    z: Tensor,
    joint: Tensor,
    p_index: Tensor,
    iterations: int,
    phase: Phase,
    min_gain: float,
) -> None:
    """As `kernels_torch.iterate`; all tensors contiguous."""
    m, _, n = points.shape
    parts = triton.cdiv(n, BLOCK_ROWS)
    z_parts, new_z_parts = torch.zeros(m, parts, device=points.device), torch.empty(m, parts, device=points.device)
    z_parts[:, 0] = z
    current, moved = points, torch.empty_like(points)
    with on_device_of(points):
        for _ in range(iterations):
            iterate_kernel[(m, parts)](
                current, moved, velocity, gain, z_parts, new_z_parts, joint, p_index,
                n, parts, phase.exaggeration, phase.learning_rate * n, phase.momentum, min_gain,
                GAIN_INCREASE, GAIN_DECAY,
                ROWS=BLOCK_ROWS, COLUMNS=BLOCK_COLUMNS, PARTS=triton.next_power_of_2(parts),
            )  # fmt: skip
            current, moved = moved, current
            z_parts, new_z_parts = new_z_parts, z_parts
        z.copy_(row_sums(z_parts))
    if current is not points:
        points.copy_(current)


def cross_entropy(points: Tensor, joint: Tensor, p_index: Tensor) -> Tensor:
    """As `kernels_torch.cross_entropy`; all tensors contiguous."""
    m, _, n = points.shape
    parts = triton.cdiv(n, WIDE_ROWS)
    cross = torch.empty(m, parts, dtype=torch.float64, device=points.device)
    weight = torch.empty_like(cross)
    with on_device_of(points):
        cross_entropy_kernel[(m, parts)](
            points, joint, p_index, cross, weight, n, parts, ROWS=WIDE_ROWS, COLUMNS=BLOCK_COLUMNS
        )
        return row_sums(cross) + row_sums(weight).log()


def gradient_norms(points: Tensor, joint: Tensor, p_index: Tensor) -> Tensor:
    """As `kernels_torch.gradient_norms`; all tensors contiguous."""
    m, _, n = points.shape
    parts = triton.cdiv(n, BLOCK_ROWS)
    z_parts = torch.empty(m, parts, device=points.device)
    square_parts = torch.empty(m, parts, dtype=torch.float64, device=points.device)
    z = torch.full((m,), float(n) * (n - 1), device=points.device)
    with on_device_of(points):
        for _ in range(2):  # the first pass computes Z
            gradient_kernel[(m, parts)](
                points, z, joint, p_index, z_parts, square_parts, n, parts, ROWS=BLOCK_ROWS, COLUMNS=BLOCK_COLUMNS
            )
            z = row_sums(z_parts)
        return 4.0 / z.double() * row_sums(square_parts).sqrt()


def probe(device: torch.device) -> None:
    """Compile and run every kernel on `device` once; raises whatever a missing compiler or driver raises."""
    points = torch.zeros(1, 2, 8, device=device)
    joint = torch.zeros(1, 8, 8, device=device, dtype=torch.float64)
    p_index = torch.zeros(1, device=device, dtype=torch.int64)
    state = torch.zeros_like(points), torch.ones_like(points), torch.ones(1, device=device)
    iterate(points, *state, joint.float(), p_index, 1, DEFAULT_SCHEDULE.phases[0], DEFAULT_SCHEDULE.min_gain)
    cross_entropy(points, joint, p_index)
    gradient_norms(points, joint.float(), p_index)
