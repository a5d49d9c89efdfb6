"""Alignment of embeddings for display: position, rotation, reflection and scale, which an embedding leaves open, are
chosen so that the same points stay near each other. Scores are not affected.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def standard(points: NDArray[np.floating]) -> Plane:
    """Return `points` [n, 2] with mean 0 and root mean square distance 1 from it; rows that are not finite are NaN."""
    plane = np.array(points, dtype=np.float64).reshape(-1, 2)
    finite = np.isfinite(plane).all(axis=1)
    plane[~finite] = np.nan
    if finite.any():
        # First to about 1: squares of huge coordinates overflow.
        largest = np.abs(plane[finite]).max()
        plane /= largest or 1.0
        plane -= plane[finite].mean(axis=0)
        size = np.sqrt((plane[finite] ** 2).sum(axis=1).mean())
        plane /= size or 1.0
    return plane.astype(np.float32)


def align(points: NDArray[np.floating], onto: NDArray[np.floating]) -> Plane:
    """Return `points` [n, 2] in standard size, rotated or mirrored to lie as near as they can to `onto` [n, 2].

    Orthogonal Procrustes (Schönemann 1966) on the rows that are finite in both. The size is the standard one, not the
    least-squares one: that shrinks an embedding the more the less it agrees. Other numbers of rows: not turned.
    """
    plane, target = standard(points), standard(onto)
    if plane.shape != target.shape:
        return plane
    both = np.isfinite(plane).all(axis=1) & np.isfinite(target).all(axis=1)
    if not both.any():
        return plane
    left, _, right = np.linalg.svd(plane[both].astype(np.float64).T @ target[both].astype(np.float64))
    turned: Plane = (plane @ (left @ right)).astype(np.float32)
    return turned


def turned(points: NDArray[np.floating], onto: NDArray[np.floating]) -> Plane:
    """Return `points` [n, 2] rotated or mirrored to lie as near as they can to `onto` [n, 2], and moved to mean 0.

    Their distances stay what they are, and so does every score of them.
    """
    finite = np.asarray(points, dtype=np.float64)
    finite = finite[np.isfinite(finite).all(axis=1)]
    size = float(np.sqrt(((finite - finite.mean(axis=0)) ** 2).sum(axis=1).mean())) if len(finite) else 1.0
    return (align(points, onto) * np.float32(size)).astype(np.float32)


def between(one: Plane, other: Plane, share: float) -> Plane:
    """Return the points [n, 2] at `share` (0 … 1) of the straight way from `one` to `other`."""
    return (one + (other - one) * np.float32(share)).astype(np.float32)
