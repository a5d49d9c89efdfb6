"""The array types of the numeric code; shapes stand in the docstrings."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.int64]

Points: TypeAlias = NDArray[np.float32]
"""The points of an embedding, [n, 2]."""

Real: TypeAlias = float | np.float32
"""A number given to a kernel: float32 where the kernel is called from Python, as it compiles for the type it is given.
"""
