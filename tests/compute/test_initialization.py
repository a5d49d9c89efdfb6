"""Where points start and how the finished plane lies."""

import numpy as np
import pytest

from embcx_tui.compute.tsne.initialization import START_SPREAD, initial_points, oriented, principal_start, random_start


def test_a_start_is_the_principal_plane() -> None:
    """Against numpy's SVD, on axes far enough apart for power iteration to have settled."""
    rows = np.random.default_rng(0).standard_normal((200, 12)) * np.r_[9.0, 4.0, np.ones(10)] + 5.0
    start = principal_start(rows.astype(np.float32))
    left, _, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    for axis in range(2):
        assert abs(np.corrcoef(start[:, axis], left[:, axis])[0, 1]) > 0.99
    assert start[:, 0].std() == pytest.approx(START_SPREAD, rel=0.01)


@pytest.mark.parametrize("rows", [np.zeros((50, 4)), np.arange(50.0)[:, None], np.repeat(np.eye(2), 25, axis=0)])
def test_a_start_exists_for_degenerate_rows_and_keeps_rows_apart(rows: np.ndarray) -> None:
    start = principal_start(rows.astype(np.float32))
    assert np.isfinite(start).all()
    assert len(np.unique(start, axis=0)) == 50
    assert start.std(axis=0).min() > 0.0


def test_random_starts_are_keyed() -> None:
    assert np.array_equal(random_start(30, 5), random_start(30, 5))
    assert not np.array_equal(random_start(30, 5), random_start(30, 6))


def test_every_start_of_every_layer_is_another_one() -> None:
    rows = np.random.default_rng(3).standard_normal((40, 6)).astype(np.float32)
    assert np.array_equal(initial_points(rows, 7, 0), principal_start(rows))
    starts = [initial_points(rows, seed, index) for seed in (7, 8) for index in range(1, 6)]
    assert len({start.tobytes() for start in starts}) == 10
    for start in starts:
        # Normal numbers: of 80 of them the deviation is within a third of START_SPREAD, but for one in 10,000.
        assert start.std() == pytest.approx(START_SPREAD, rel=0.33) and abs(start.mean()) < 0.5 * START_SPREAD
    assert np.array_equal(starts[0], initial_points(2 * rows, 7, 1)), "of the seed and the number alone"


def test_orientation_undoes_rotation_and_reflection() -> None:
    rng = np.random.default_rng(1)
    points = rng.gamma(2.0, size=(300, 2)) * [5.0, 2.0]
    wanted = oriented(points)
    c, s = np.cos(0.7), np.sin(0.7)
    for turn in (np.array([[c, -s], [s, c]]), np.diag([-1.0, 1.0]), np.array([[0.0, 1.0], [1.0, 0.0]])):
        assert oriented(points @ turn + [3.0, -8.0]) == pytest.approx(wanted, abs=1e-4)
    assert wanted.std(axis=0)[0] > wanted.std(axis=0)[1]
