"""The two passes of exact t-SNE as Triton kernels: one launch an iteration for all restarts, P read once, nothing
written but points.

A program owns BLOCK_ROWS points of one restart and walks over all others in a fixed order, so results do not depend on
the batch.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from embcx_tui.compute import exact
from embcx_tui.compute.exact_torch import GAIN_DOWN, GAIN_UP

BLOCK_ROWS = 16  # with 128 columns and 4 warps: 16 pairs and three sums of 16 a thread, which fits its registers
BLOCK_COLUMNS = 128


@triton.jit  # type: ignore[untyped-decorator]  # Triton reads the source: not its annotations
def _step(  # type: ignore[no-untyped-def]
    here, there, velocity, gain, z_parts, new_z_parts, joint, which,
    n, parts, exaggeration, rate, momentum, least_gain, gain_up, gain_down,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """One iteration of `exact_cpu.descend` for ROWS points of one restart, from `here` [m, 2, n] to `there` [m, 2, n].

    z_parts [m, parts] are the last pass's sums of w, one a program; new_z_parts takes this pass's.
    """
    part = tl.program_id(0)
    member = tl.program_id(1)
    of_parts = tl.arange(0, PARTS)
    z = tl.sum(tl.load(z_parts + member * parts + of_parts, mask=of_parts < parts, other=0.0), axis=0)
    scale = exaggeration * z
    base = here + member * 2 * n
    rows = part * ROWS + tl.arange(0, ROWS)
    inside = rows < n
    x = tl.load(base + rows, mask=inside, other=0.0)
    y = tl.load(base + n + rows, mask=inside, other=0.0)
    p_rows = joint + (tl.load(which + member) * n + rows.to(tl.int64)) * n
    sum_w = tl.zeros((ROWS, COLUMNS), tl.float32)
    sum_x = tl.zeros((ROWS, COLUMNS), tl.float32)
    sum_y = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(0, n, COLUMNS):
        columns = first + tl.arange(0, COLUMNS)
        near = columns < n
        dx = x[:, None] - tl.load(base + columns, mask=near, other=0.0)[None, :]
        dy = y[:, None] - tl.load(base + n + columns, mask=near, other=0.0)[None, :]
        pair = inside[:, None] & near[None, :] & (rows[:, None] != columns[None, :])
        p = tl.load(p_rows[:, None] + columns[None, :], mask=pair, other=0.0)
        w = tl.where(pair, 1.0 / (1.0 + dx * dx + dy * dy), 0.0)
        f = (scale * p - w) * w
        sum_w += w
        sum_x += f * dx
        sum_y += f * dy
    tl.store(new_z_parts + member * parts + part, tl.sum(tl.sum(sum_w, axis=1), axis=0))
    step = rate / z
    for axis in tl.static_range(2):
        at = member * 2 * n + axis * n + rows
        g = tl.sum(sum_x, axis=1) if axis == 0 else tl.sum(sum_y, axis=1)
        v = tl.load(velocity + at, mask=inside, other=0.0)
        k = tl.load(gain + at, mask=inside, other=1.0)
        k = tl.maximum(tl.where(g * v < 0.0, k + gain_up, k * gain_down), least_gain)
        v = momentum * v - step * k * g
        tl.store(gain + at, k, mask=inside)
        tl.store(velocity + at, v, mask=inside)
        tl.store(there + at, (x if axis == 0 else y) + v, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _cross(  # type: ignore[no-untyped-def]
    points, joint, which, cross, weight, n, parts, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write the sums of p·ln(1 + distance²) and of 1 / (1 + distance²) over ROWS points' pairs to cross and weight [m,
    parts], float64.
    """
    part = tl.program_id(0)
    member = tl.program_id(1)
    base = points + member * 2 * n
    rows = part * ROWS + tl.arange(0, ROWS)
    inside = rows < n
    x = tl.load(base + rows, mask=inside, other=0.0).to(tl.float64)
    y = tl.load(base + n + rows, mask=inside, other=0.0).to(tl.float64)
    p_rows = joint + (tl.load(which + member) * n + rows.to(tl.int64)) * n
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
    tl.store(cross + member * parts + part, tl.sum(tl.sum(sum_cross, axis=1), axis=0))
    tl.store(weight + member * parts + part, tl.sum(tl.sum(sum_weight, axis=1), axis=0))


def descend(
    points: Tensor,
    velocity: Tensor,
    gain: Tensor,
    z: Tensor,
    joint: Tensor,
    which: Tensor,
    iterations: int,
    phase: exact.Phase,
    least_gain: float,
) -> None:
    """As `exact_torch.descend`; all tensors contiguous."""
    m, _, n = points.shape
    parts = triton.cdiv(n, BLOCK_ROWS)
    z_parts = torch.zeros(2, m, parts, device=points.device)
    z_parts[0, :, 0] = z
    here, there = points, torch.empty_like(points)
    for iteration in range(iterations):
        _step[(parts, m)](
            here, there, velocity, gain, z_parts[iteration % 2], z_parts[1 - iteration % 2], joint, which,
            n, parts, phase.exaggeration, phase.rate * n, phase.momentum, least_gain, GAIN_UP, GAIN_DOWN,
            ROWS=BLOCK_ROWS, COLUMNS=BLOCK_COLUMNS, PARTS=triton.next_power_of_2(parts),
        )  # fmt: skip
        here, there = there, here
    if here is not points:
        points.copy_(here)
    z.copy_(z_parts[iterations % 2].sum(dim=1))


def cross_entropy(points: Tensor, joint: Tensor, which: Tensor) -> Tensor:
    """As `exact_torch.cross_entropy`; all tensors contiguous."""
    m, _, n = points.shape
    parts = triton.cdiv(n, BLOCK_ROWS)
    cross = torch.empty(m, parts, dtype=torch.float64, device=points.device)
    weight = torch.empty_like(cross)
    _cross[(parts, m)](points, joint, which, cross, weight, n, parts, ROWS=BLOCK_ROWS, COLUMNS=BLOCK_COLUMNS)
    return cross.sum(dim=1) + weight.sum(dim=1).log()
