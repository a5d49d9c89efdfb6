"""P against openTSNE's dense P, and against closed forms where the distances are extreme."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from embcx_tui.compute.tsne.affinities import (
    affinities,
    conditional_probabilities,
    nearest_squared,
    squared_distances,
)
from tests.compute.affinity_reference import joint_probabilities, opentsne_joint_probabilities


@pytest.mark.parametrize("perplexity", [15.0, 30.0, 60.0])
def test_joint_probabilities_equal_those_of_opentsne(perplexity: float) -> None:
    """Not at a perplexity of 5: there openTSNE's search leaves one row of these 0.5 % off (ours 1e-12)."""
    rows = load_digits().data[:300].astype(np.float32)
    joint = joint_probabilities(rows, perplexity)
    assert np.abs(joint - opentsne_joint_probabilities(rows, perplexity)).sum() < 1e-6
    assert joint.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.array_equal(joint, joint.T)
    assert np.all(np.diag(joint) == 0.0)


def test_every_row_has_the_perplexity_asked_for() -> None:
    """Independent of any library; scales differ by row, so that no common bandwidth would do."""
    rows = np.random.default_rng(0).standard_normal((200, 7)) * np.geomspace(1e-3, 1e3, 200)[:, None]
    squared = squared_distances(np.ascontiguousarray(rows.T))
    assert conditional_probabilities(squared, nearest_squared(squared), 12.0)
    logs = np.log(squared, out=np.zeros_like(squared), where=squared > 0.0)
    assert np.exp(-(squared * logs).sum(axis=1)) == pytest.approx(np.full(200, 12.0), rel=1e-7)


def test_distances_of_nearly_identical_rows_do_not_cancel() -> None:
    """An untrained deep logsig layer: 0.5 plus a few float32 roundings. The same rows, scaled and moved exactly, are
    the oracle.
    """
    roundings = np.random.default_rng(1).integers(0, 200, size=(150, 20))
    near = (0.5 + roundings * 2.0**-24).astype(np.float32)
    assert np.array_equal((near.astype(np.float64) - 0.5) * 2.0**24, roundings)
    assert joint_probabilities(near, 20.0) == pytest.approx(
        joint_probabilities(roundings.astype(np.float64), 20.0), rel=1e-9
    )


def test_scale_does_not_matter() -> None:
    rows = np.random.default_rng(2).standard_normal((100, 5))
    wanted = joint_probabilities(rows, 10.0)
    for scale in (1e-18, 1e-6, 1e6, 1e18):
        assert joint_probabilities((rows * scale).astype(np.float64), 10.0) == pytest.approx(wanted, rel=1e-9)


def test_any_number_of_rows_and_units() -> None:
    """Row counts and widths that no block of four divides."""
    rng = np.random.default_rng(3)
    for n, d in ((97, 1), (98, 2), (99, 3), (100, 5), (101, 7)):
        rows = rng.standard_normal((n, d))
        assert np.abs(joint_probabilities(rows, 10.0) - opentsne_joint_probabilities(rows, 10.0)).sum() < 1e-6


def test_duplicates_are_counted_and_only_many_make_a_layer_degenerate() -> None:
    rows = np.random.default_rng(4).standard_normal((120, 6)).astype(np.float32)
    assert not affinities(rows, 10.0).degenerate
    rows[7] = rows[3]
    p = affinities(rows, 10.0)
    assert (p.duplicates, p.degenerate) == (2, False)
    assert p.joint is not None
    assert np.isfinite(p.joint).all()
    # A fifth of the rows have a twin: 12 pairs of 120 rows.
    for count, degenerate in ((11, False), (12, True)):
        twins = rows.copy()
        twins[60 : 60 + count] = twins[100 : 100 + count]
        twins[7] += 1
        p = affinities(twins, 10.0)
        assert (p.duplicates, p.degenerate) == (2 * count, degenerate)


def test_a_dead_layer_has_no_joint_probabilities() -> None:
    dead = np.zeros((120, 6), dtype=np.float32)
    p = affinities(dead, 10.0)
    assert (p.joint, p.duplicates, p.degenerate) == (None, 120, True)


def test_as_many_identical_rows_as_the_perplexity_have_none_either() -> None:
    """Thirty equal rows have at least 29 neighbours of distance 0 each: a perplexity of 29 or less cannot be reached,
    31 can.
    """
    rows = np.random.default_rng(5).standard_normal((200, 6)).astype(np.float32)
    rows[:30] = rows[0]
    assert affinities(rows, 29.0).joint is None
    assert affinities(rows, 31.0).joint is not None


def test_rows_within_the_rounding_of_float32_are_degenerate() -> None:
    rng = np.random.default_rng(6)
    rows = (0.5 + rng.integers(0, 8, size=(150, 100)) * 2.0**-24).astype(np.float32)
    p = affinities(rows, 10.0)
    assert p.near_identical
    assert p.degenerate


@pytest.mark.parametrize(("pairs", "near"), [(45, True), (35, False)])
def test_half_of_the_rows_decide_however_far_off_the_others_are(pairs: int, near: bool) -> None:
    """Rows in pairs one rounding apart, 90 or 70 of 160, and others some thousand times as far."""
    rng = np.random.default_rng(9)
    rows = rng.standard_normal((160, 30)).astype(np.float32)
    twins = rows[:pairs].copy()
    twins[:, 0] = np.nextafter(twins[:, 0], np.float32(9))
    rows[pairs : 2 * pairs] = twins
    rows[2 * pairs :] *= 3
    p = affinities(rows, 10.0)
    assert p.near_identical == near == p.degenerate and p.duplicates == 0


@pytest.mark.parametrize(("twins", "many"), [(14, False), (15, True), (16, True)])
def test_a_fifth_of_the_rows_are_many_duplicates(twins: int, many: bool) -> None:
    rows = np.random.default_rng(10).standard_normal((150, 5)).astype(np.float32)
    rows[-twins:] = rows[:twins]
    p = affinities(rows, 10.0)
    # Each of a pair equals another row: 30 of 150 are a fifth.
    assert p.duplicates == 2 * twins and p.many_duplicates == many == p.degenerate


@pytest.mark.parametrize("perplexity", [1.0, 0.0, -3.0, 40.0, float("nan")])
def test_a_perplexity_that_does_not_fit_is_refused(perplexity: float) -> None:
    with pytest.raises(ValueError, match="perplexity"):
        affinities(np.random.default_rng(7).standard_normal((120, 4)), perplexity)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    rows = np.ones((120, 4), dtype=np.float32)
    rows[5, 2] = number
    with pytest.raises(ValueError, match="not finite"):
        affinities(rows, 10.0)


def test_a_bandwidth_is_p_from_a_start_where_newton_swings() -> None:
    """Two tight groups far apart, and few rows for the perplexity: the entropy is nearly a step in the bandwidth."""
    rng = np.random.default_rng(8)
    for spread in (1e-4, 1e-2, 1.0):
        rows = rng.standard_normal((100, 3)) * spread + np.repeat([[0.0], [50.0]], 50, axis=0)
        for perplexity in (2.0, 15.0, 33.0):
            assert affinities(rows, perplexity).joint is not None
