"""Products of inputs that are mostly zero, against numpy's in float64."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from embcx_tui.compute.training import sparse_inputs

MEAN, SCALE = 33.3, 0.0127


def raw(n: int, features: int, share: float, dtype: type[np.generic]) -> NDArray[np.generic]:
    """Return inputs of which about `share` is not zero; the first is all zero, the last has no zero."""
    random = np.random.default_rng(n)
    values = random.integers(1, 256, (n, features)) * (random.random((n, features)) < share)
    values[0], values[-1] = 0, 255
    return values.astype(dtype)


def transposed(
    given: sparse_inputs.KernelInputs, index: NDArray[np.int64], d: NDArray[np.float32]
) -> NDArray[np.float32]:
    features, batch = given.raw.shape[1], len(index)
    g = np.full((features, d.shape[1]), np.nan, np.float32)
    rows, values = np.empty((features, batch), np.uint32), np.empty((features, batch), np.float32)
    counts = np.full(features, 9, np.uint32)
    sparse_inputs.transposed_product(given, index, d, d.sum(0), rows, values, counts, g)
    return g


# Widths by every way of cutting rows: 96, 32, 16, 4 and 1 columns, several of each, none.
@pytest.mark.parametrize("width", [1, 3, 4, 11, 16, 21, 31, 52, 96, 100, 117, 149, 230])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_both_products_equal_float64s(width: int, dtype: type[np.generic]) -> None:
    random = np.random.default_rng(width)
    inputs = raw(40, 57, 0.2, dtype)
    given = sparse_inputs.kernel_inputs(inputs, MEAN, SCALE)
    assert len(given.values) == np.count_nonzero(inputs)
    index = np.array([39, 0, 7, 7, 31, 5, 0, 12])
    x = (inputs[index].astype(np.float64) - MEAN) * SCALE
    w = random.standard_normal((57, width)).astype(np.float32)
    z = np.full((8, width), np.nan, np.float32)
    sparse_inputs.product(given, index, w, z)
    np.testing.assert_allclose(z, x @ w, atol=2e-6 * np.abs(x @ w).max())
    d = random.standard_normal((8, width)).astype(np.float32)
    np.testing.assert_allclose(transposed(given, index, d), x.T @ d, atol=2e-6 * np.abs(x.T @ d).max())


def test_bytes_and_float32_give_the_same_bits() -> None:
    index, w = np.arange(30), np.random.default_rng(0).standard_normal((57, 100)).astype(np.float32)
    results = []
    for dtype in (np.uint8, np.float32):
        given = sparse_inputs.kernel_inputs(raw(30, 57, 0.3, dtype), MEAN, SCALE)
        z = np.empty((30, 100), np.float32)
        sparse_inputs.product(given, index, w, z)
        results.append((z, transposed(given, index, z)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_sum_over_many_rows_loses_little() -> None:
    inputs = raw(6, 3_000, 0.35, np.uint8)
    inputs[-1] = 0
    given = sparse_inputs.kernel_inputs(inputs, inputs.mean(), 1 / inputs.std())
    x = (inputs.astype(np.float64) - inputs.mean()) / inputs.std()
    w = np.random.default_rng(0).standard_normal((3_000, 100)).astype(np.float32)
    z = np.empty((6, 100), np.float32)
    sparse_inputs.product(given, np.arange(6), w, z)
    np.testing.assert_allclose(z, x @ w, atol=1e-5 * np.abs(x @ w).max())  # numpy's in float32: 2e-6


@pytest.mark.parametrize(("share", "is_sparse"), [(0.1, True), (0.3, True), (0.5, False), (1.0, False)])
def test_inputs_that_are_mostly_zero_are_sparse(share: float, is_sparse: bool) -> None:
    given = sparse_inputs.kernel_inputs(raw(200, 57, share, np.uint8), MEAN, SCALE)
    assert (len(given.indptr) == 201) is is_sparse
    assert (len(given.values) > 0) is is_sparse


def test_rows_too_long_for_uint16_indices_are_dense() -> None:
    for features, is_sparse in ((65_536, True), (65_537, False)):
        inputs = np.zeros((2, features), np.uint8)
        inputs[1, -1] = 7
        given = sparse_inputs.kernel_inputs(inputs, MEAN, SCALE)
        assert bool(given.indptr.size) is is_sparse
        assert not is_sparse or (given.indices[0], given.values[0]) == (65_535, 7)
