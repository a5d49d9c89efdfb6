"""Row sums on a GPU in an order, and so with a last bit, that does not depend on the number of rows.

torch.sum lays out its threads by the whole tensor's shape: the last bit of a row's sum may change with the batch size.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024  # numbers per iteration: eight per thread


@triton.jit  # type: ignore[untyped-decorator]  # Triton reads the source: not its annotations
def row_sum_kernel(parts, total, count, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write the sum of each row of parts [rows, count] to total [rows], one program per row."""
    row = tl.program_id(0)
    start = parts + row.to(tl.int64) * count
    columns = tl.arange(0, COLUMNS)
    sums = tl.load(start + columns, mask=columns < count, other=0.0)
    for first in range(COLUMNS, count, COLUMNS):
        sums += tl.load(start + first + columns, mask=first + columns < count, other=0.0)
    tl.store(total + row, tl.sum(sums, axis=0))


def row_sums(parts: Tensor) -> Tensor:
    """Return the sums [rows] over parts [rows, count], contiguous, on the current device, in their own type."""
    total = torch.empty(len(parts), dtype=parts.dtype, device=parts.device)
    row_sum_kernel[(len(parts),)](parts, total, parts.shape[1], COLUMNS=BLOCK)
    return total
