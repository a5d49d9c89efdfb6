"""Alignment for display: the best rotation or reflection by scipy, at the standard size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from embcx_tui.figures.alignment import align, standard, turned

CLOUD = np.random.default_rng(0).normal((30.0, -4.0), (5.0, 2.0), (60, 2))


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0, 3.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_or_mirrored_cloud_lies_where_the_other_does(angle: float, mirrored: bool) -> None:
    c, s = np.cos(angle), np.sin(angle)
    moved = 7 * CLOUD @ np.array([[c, -s], [s, c]]) @ np.diag([1.0, -1.0 if mirrored else 1.0]) + [1.0, 2.0]
    assert align(moved, CLOUD) == pytest.approx(standard(CLOUD), abs=1e-5)
    # Turned alone, its own distances stay.
    sizes = [np.linalg.norm(points - points.mean(axis=0), axis=1) for points in (turned(moved, CLOUD), moved)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-4)


def test_clouds_that_do_not_fit_are_turned_as_scipy_turns_them() -> None:
    other = np.random.default_rng(1).normal(0, [1.0, 3.0], (60, 2))
    plane, target = (standard(points).astype(np.float64) for points in (other, CLOUD))
    rotation, _ = orthogonal_procrustes(plane, target)
    assert align(other, CLOUD) == pytest.approx(plane @ rotation, abs=1e-5)
    assert (standard(CLOUD) ** 2).sum(axis=1).mean() == pytest.approx(1.0, abs=1e-5)
