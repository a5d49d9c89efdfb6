"""Sums on a GPU whose order, and so whose last bit, does not depend on how many are taken at once.

torch.sum lays out its threads by the whole tensor's shape: a row's sum may differ in its last bit with the number of
rows beside it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024  # numbers a turn: eight a thread


@triton.jit  # type: ignore[untyped-decorator]  # Triton reads the source: not its annotations
def _totals(parts, total, count, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write the sum of each row of parts [rows, count] to total [rows], one program a row."""
    row = tl.program_id(0)
    start = parts + row.to(tl.int64) * count
    columns = tl.arange(0, COLUMNS)
    sums = tl.load(start + columns, mask=columns < count, other=0.0)
    for first in range(COLUMNS, count, COLUMNS):
        sums += tl.load(start + first + columns, mask=first + columns < count, other=0.0)
    tl.store(total + row, tl.sum(sums, axis=0))


def totals(parts: Tensor) -> Tensor:
    """Return the sums [rows] over parts [rows, count], contiguous, on the current device; the type stays."""
    total = torch.empty(len(parts), dtype=parts.dtype, device=parts.device)
    _totals[(len(parts),)](parts, total, parts.shape[1], COLUMNS=BLOCK)
    return total
