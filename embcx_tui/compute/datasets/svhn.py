"""SVHN's cropped digits: two MATLAB files, `X` [32, 32, 3, n] and `y` [n, 1] in which 10 means the digit 0.

Netzer, Wang, Coates, Bissacco, Wu, Ng 2011, http://ufldl.stanford.edu/housenumbers/.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from embcx_tui.compute.datasets.source import DamagedError, Pair
from embcx_tui.study.catalogue import DatasetFacts

_LABEL_OF_ZERO = 10


def read_svhn(facts: DatasetFacts, forms: tuple[tuple[Path, ...], ...]) -> tuple[Pair, Pair]:
    """Return training and test pairs from two .mat files; raises DamagedError."""
    (train,), (test,) = forms
    return read_mat(train, facts.n_stored, facts.shape), read_mat(test, facts.n_test, facts.shape)


def read_mat(path: Path, count: int, shape: tuple[int, int, int]) -> Pair:
    """Return inputs [count, features] and labels 0 … 9 [count] of a file of SVHN's form; raises DamagedError."""
    # Imported here: a tenth of a second that no other dataset needs.
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    try:
        # Names, shapes and types first, which cost no memory.
        kinds = {name: (sizes, kind) for name, sizes, kind in whosmat(path)}
        for name, wanted in (("X", (*shape, count)), ("y", (count, 1))):
            sizes, kind = kinds.get(name, (None, "missing"))
            if sizes != wanted or kind not in ("uint8", "double"):
                is_there = "nothing" if sizes is None else f"{'×'.join(map(str, sizes))} of {kind}"
                raise ValueError(f"its {name} is {is_there} where {'×'.join(map(str, wanted))} of uint8 is expected")
        values = loadmat(path, variable_names=("X", "y"))
        x, y = values["X"], values["y"]
        if x.dtype != np.uint8 or x.shape != (*shape, count) or y.shape != (count, 1):
            raise ValueError(f"it holds {x.dtype} {x.shape} and labels {y.shape}")
        labels = y[:, 0].astype(np.int64)
        if (labels != y[:, 0]).any():
            raise ValueError("its labels are not whole numbers")
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        MemoryError,
        NotImplementedError,
        AttributeError,
        struct.error,
        zlib.error,
        MatReadError,
    ) as error:  # whatever scipy stumbles over in a damaged file
        raise DamagedError(path, error) from None
    labels[labels == _LABEL_OF_ZERO] = 0
    return np.ascontiguousarray(x.transpose(3, 0, 1, 2)).reshape(count, -1), labels
