"""The balanced sample: exact counts, keyed, refused with the numbers where a class is too small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embcx_tui.compute.datasets import load
from embcx_tui.compute.samples import balanced_sample, run_sample
from embcx_tui.study.errors import DataError

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [40, 25, 30, 50, 28])).astype(np.int64)


def test_every_class_has_its_number_in_order() -> None:
    indices = balanced_sample(LABELS, 25, seed=1)
    assert indices.dtype == np.int64 and len(set(indices.tolist())) == 125
    np.testing.assert_array_equal(LABELS[indices], np.repeat(np.arange(5), 25))


def test_the_seed_decides() -> None:
    np.testing.assert_array_equal(balanced_sample(LABELS, 10, seed=1), balanced_sample(LABELS, 10, seed=1))
    assert (balanced_sample(LABELS, 10, seed=1) != balanced_sample(LABELS, 10, seed=2)).any()


def test_every_member_is_as_likely() -> None:
    counts = np.zeros(len(LABELS))
    for seed in range(2000):
        counts[balanced_sample(LABELS, 10, seed)] += 1
    for label, size in enumerate([40, 25, 30, 50, 28]):
        share = 10 / size
        error = np.sqrt(share * (1 - share) / 2000)
        assert np.abs(counts[label == LABELS] / 2000 - share).max() < 5 * error


def test_too_small_a_class_is_named_with_its_count() -> None:
    with pytest.raises(DataError, match="samples_per_class = 26 is too many: the smallest class, 1, has 25") as caught:
        balanced_sample(LABELS, 26, seed=1)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="the smallest class, cat, has 25"):
        balanced_sample(LABELS, 26, seed=1, classes=("ant", "cat", "dog", "elk", "fox"))


def test_a_class_without_inputs_is_too_small() -> None:
    with pytest.raises(DataError, match="the smallest class, five, has 0"):
        balanced_sample(LABELS, 2, seed=1, classes=("0", "1", "2", "3", "4", "five"))


def test_runs_have_samples_of_their_own() -> None:
    digits = load("digits", Path("/nowhere"), Path("/nowhere"))
    first, second = run_sample(digits, 100, 0, run=0), run_sample(digits, 100, 0, run=1)
    assert len(first) == 1000 and (first != second).any()
    np.testing.assert_array_equal(first, run_sample(digits, 100, 0, run=0))
    assert digits.inputs(first).shape == (1000, 64)
