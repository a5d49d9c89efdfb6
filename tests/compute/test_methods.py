"""The other embedding methods where the result is known, and how they fail."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from embcx_tui.compute import methods
from embcx_tui.compute.methods import METHODS, embed
from embcx_tui.study.errors import MeasureError

FloatArray = NDArray[np.float64]


def digits(n: int = 200) -> NDArray[np.float32]:
    return np.asarray(load_digits().data[:n], dtype=np.float32)


def distances(rows: NDArray[np.floating]) -> FloatArray:
    return np.asarray(np.linalg.norm(rows[:, None].astype(np.float64) - rows, axis=2))


def into(plane: FloatArray, units: int, seed: int = 0) -> NDArray[np.float32]:
    """The plane, turned into `units` units and moved."""
    frame = np.linalg.qr(np.random.default_rng(seed).standard_normal((units, plane.shape[1])))[0]
    return np.asarray(plane @ frame.T + 3.0, dtype=np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_points_are_a_plane_centred_and_the_same_each_time(method: str) -> None:
    rows = digits()
    points = embed(method, rows, 1)
    assert points.shape == (200, 2) and points.dtype == np.float32
    assert np.abs(points.mean(axis=0)).max() < 1e-5 * np.abs(points).max()
    assert abs(np.corrcoef(points[:, 0], points[:, 1])[0, 1]) < 1e-3
    assert np.array_equal(points, embed(method, rows, 1))


@pytest.mark.parametrize("shape", [(200, 64), (40, 64)])
def test_pca_has_the_variances_of_the_first_two_singular_values(shape: tuple[int, int]) -> None:
    rows = digits(shape[0]).astype(np.float64)
    left, singular, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    points = embed("pca", rows)
    assert np.sqrt((points.astype(np.float64) ** 2).sum(axis=0)) == pytest.approx(singular[:2], rel=1e-5)
    assert np.abs(points) == pytest.approx(np.abs(left[:, :2] * singular[:2]), abs=1e-3)


@pytest.mark.parametrize("method", ["pca", "mds"])
def test_a_plane_in_many_units_keeps_its_distances(method: str) -> None:
    plane = np.random.default_rng(2).standard_normal((80, 2))
    assert distances(embed(method, into(plane, 12))) == pytest.approx(distances(plane), abs=1e-3)


def test_mds_has_less_stress_than_pca() -> None:
    rows = digits()
    true = distances(rows)
    stress = {method: float(((distances(embed(method, rows)) - true) ** 2).sum()) for method in ("pca", "mds")}
    assert stress["mds"] < 0.9 * stress["pca"]


def test_isomap_unrolls_what_pca_cannot() -> None:
    """A strip rolled up one and a half times: the first axis is the length along it."""
    random = np.random.default_rng(3)
    angle = 1.5 * np.pi * (1.0 + 2.0 * random.random(600))
    roll = np.stack([angle * np.cos(angle), 6.0 * random.random(600), angle * np.sin(angle)], axis=1)
    length = 0.5 * (angle * np.sqrt(1.0 + angle**2) + np.arcsinh(angle))
    assert abs(np.corrcoef(embed("isomap", roll)[:, 0], length)[0, 1]) > 0.99
    assert abs(np.corrcoef(embed("pca", roll)[:, 0], length)[0, 1]) < 0.8


def test_lle_orders_a_curve() -> None:
    t = np.sort(np.random.default_rng(4).random(300))
    curve = np.stack([np.cos(4.0 * t), np.sin(4.0 * t), 2.0 * t], axis=1)
    points = embed("lle", curve)
    ranks = max((np.abs(np.corrcoef(np.argsort(np.argsort(points[:, axis])), np.arange(300))[0, 1])) for axis in (0, 1))
    assert ranks > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_a_single_unit_is_a_line(method: str) -> None:
    rows = np.random.default_rng(5).standard_normal((60, 1)).astype(np.float32)
    assert embed(method, rows).shape == (60, 2)


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_without_structure_fails_with_one_line(method: str) -> None:
    with pytest.raises(MeasureError, match=r"^all rows of the layer are equal") as failure:
        embed(method, np.full((50, 7), 0.5, dtype=np.float32))
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("method", ["lle", "isomap"])
def test_a_graph_in_parts_and_too_few_rows_fail_with_the_numbers(method: str) -> None:
    random = np.random.default_rng(6)
    parts = random.standard_normal((90, 4)) + 100.0 * (np.arange(90) % 3)[:, None]
    with pytest.raises(MeasureError, match=r"^the graph of 10 nearest neighbours falls into 3 parts$"):
        embed(method, parts)
    with pytest.raises(MeasureError, match=r"^9 rows are too few"):
        embed(method, random.standard_normal((9, 4)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(2))
def test_every_finite_layer_gives_points_or_says_why_not(method: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    layers = [
        np.concatenate([np.zeros((60, 5)), random.standard_normal((15, 5))]),
        np.maximum(random.standard_normal((80, 6)) - 1.5, 0.0),
        0.5 + random.integers(0, 3, (80, 10)) * 2.0**-24,
        np.repeat(random.standard_normal((4, 6)), 20, axis=0),
        random.standard_normal((60, 5)) * 1e30,
        random.standard_normal((60, 5)) * 1e-38,
        random.standard_normal((30, 100)),
        np.eye(40),
        random.standard_normal((2, 3)),
    ]
    for layer in layers:
        rows = layer.astype(np.float32)
        try:
            points = embed(method, rows)
        except MeasureError as failure:
            assert "\n" not in str(failure) and str(failure)
        else:
            assert points.shape == (len(rows), 2) and np.isfinite(points).all()


def test_what_a_library_fails_and_warns_with_stays_inside(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def singular(rows: FloatArray, seed: int) -> FloatArray:
        warnings.warn("the number of iterations", ConvergenceWarning, stacklevel=1)
        np.linalg.inv(np.zeros((2, 2)))
        return rows

    monkeypatch.setitem(methods.EMBEDDERS, "lle", singular)
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        with pytest.raises(MeasureError, match=r"^Singular matrix$"):
            embed("lle", digits())
    assert leaked == []
    assert capfd.readouterr() == ("", "")


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    rows = digits(60)
    with ThreadPoolExecutor(4) as pool:
        points = list(pool.map(lambda index: embed(METHODS[index % 2], rows), range(16)))
    assert warnings.filters == before
    assert all(np.array_equal(points[index], points[index % 2]) for index in range(16))


def test_what_cannot_be_embedded_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown method 'umap'; there are pca, lle, mds, isomap"):
        embed("umap", digits())
    with pytest.raises(ValueError, match="not finite"):
        embed("pca", np.full((20, 3), np.inf))
