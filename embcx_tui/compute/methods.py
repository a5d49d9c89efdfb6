"""The other embedding methods, shown beside t-SNE: PCA, LLE, MDS and Isomap, by scikit-learn."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike

from embcx_tui.compute.array_types import FloatArray, Points
from embcx_tui.compute.tsne.affinities import finite_rows, squared_distances
from embcx_tui.compute.tsne.initialization import oriented
from embcx_tui.study.errors import MeasureError

# Of LLE and Isomap: 1 % of a sample; with scikit-learn's 5 the graph of a trained layer falls apart.
NEIGHBOURS = 10
STRESS_TOLERANCE = 1e-6  # relative change of the stress per iteration, scikit-learn's own since 1.7; 1e-3 stops after 6
STRESS_ITERATIONS = 300  # at most; 220 to 250 are usual on MNIST


def embed(method: str, activations: ArrayLike, seed: int = 0) -> Points:
    """Return points [n, 2] of `method` (of METHODS) for activations [n, d], centred and rotated as by
    `initialization.oriented`.

    - pca: scores on the first two principal axes.
    - lle: standard locally linear embedding (Roweis & Saul 2000), 10 neighbours, regularisation 1e-3, dense solver.
    - mds: metric MDS by SMACOF (de Leeuw 1977) of Euclidean distances, begun at the PCA scores. Not classical MDS,
      which for Euclidean distances is PCA.
    - isomap: geodesic distances over the graph of 10 neighbours, then kernel PCA (Tenenbaum et al. 2000), dense solver.

    None of them draws random numbers with these settings: `seed` is passed on where scikit-learn takes one, and equal
    activations give equal points. Raises MeasureError, in one line, where the method cannot embed these rows: all
    equal, too few, a graph in several parts, a matrix that cannot be decomposed. Raises ValueError for an unknown
    method and for activations that are not finite.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; there are {', '.join(METHODS)}")
    rows = finite_rows(activations).astype(np.float64)
    if rows.shape[0] < 2 or not (rows != rows[0]).any():
        raise MeasureError("all rows of the layer are equal: there is nothing to spread")
    # First the difference from a row, which is exact for nearly equal float32 rows.
    rows = rows - rows[0]
    rows -= rows.mean(axis=0)
    if rows.shape[1] == 1:
        rows = np.hstack([rows, np.zeros_like(rows)])  # every method is asked for two dimensions
    try:
        with _quiet(), np.errstate(all="ignore"):
            points = EMBEDDERS[method](rows, seed % 2**32)
    except (ValueError, RuntimeError, ArithmeticError) as error:
        raise MeasureError(" ".join(str(error).split())[:200]) from error
    with np.errstate(over="ignore", invalid="ignore"):
        rotated = oriented(points)
    if not np.isfinite(rotated).all():
        raise MeasureError("the points are not finite: the layer's rows are too nearly equal")
    if not rotated.any():
        raise MeasureError("all points fall on one place: the layer's rows are too nearly equal")
    return rotated


def _pca(rows: FloatArray, seed: int) -> FloatArray:
    from sklearn.decomposition import PCA

    solver = "covariance_eigh" if rows.shape[1] <= rows.shape[0] else "full"
    return np.asarray(PCA(2, svd_solver=solver, random_state=seed).fit_transform(rows))


def _lle(rows: FloatArray, seed: int) -> FloatArray:
    from sklearn.manifold import LocallyLinearEmbedding

    _check_graph(rows)
    model = LocallyLinearEmbedding(n_neighbors=NEIGHBOURS, eigen_solver="dense", random_state=seed, n_jobs=1)
    return np.asarray(model.fit_transform(rows))


def _mds(rows: FloatArray, seed: int) -> FloatArray:
    from sklearn.manifold import smacof

    points, _ = smacof(
        np.sqrt(squared_distances(np.ascontiguousarray(rows.T))),
        init=_pca(rows, seed),
        n_init=1,
        n_jobs=1,
        max_iter=STRESS_ITERATIONS,
        eps=STRESS_TOLERANCE,
        normalized_stress=False,
    )
    return np.asarray(points)


def _isomap(rows: FloatArray, _seed: int) -> FloatArray:
    from sklearn.manifold import Isomap

    _check_graph(rows)
    return np.asarray(Isomap(n_neighbors=NEIGHBOURS, eigen_solver="dense", n_jobs=1).fit_transform(rows))


EMBEDDERS: dict[str, Callable[[FloatArray, int], FloatArray]] = {
    "pca": _pca,
    "lle": _lle,
    "mds": _mds,
    "isomap": _isomap,
}
METHODS = tuple(EMBEDDERS)


def _check_graph(rows: FloatArray) -> None:
    """Raise ValueError unless the graph of NEIGHBOURS nearest neighbours connects all rows.

    Between several parts there is no geodesic distance (scikit-learn would invent edges), and LLE's smallest
    eigenvectors separate the parts and show nothing within them.
    """
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import kneighbors_graph

    if rows.shape[0] <= NEIGHBOURS:
        raise ValueError(f"{rows.shape[0]} rows are too few: {NEIGHBOURS} neighbours need {NEIGHBOURS + 1}")
    parts = connected_components(kneighbors_graph(rows, NEIGHBOURS, n_jobs=1), directed=False)[0]
    if parts > 1:
        raise ValueError(f"the graph of {NEIGHBOURS} nearest neighbours falls into {parts} parts")


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_filters = warnings.catch_warnings()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings off the terminal while any thread is inside: filters belong to the process, so the first thread in
    sets them and the last one out restores them.
    """
    global _quiet_depth, _quiet_filters
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.simplefilter("ignore")
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                _quiet_filters.__exit__(None, None, None)
