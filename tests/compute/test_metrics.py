"""Each metric against scikit-learn, a literal transcription of its formula, or a case with a known answer."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier

from embcx_tui.compute.metrics import class_metrics
from embcx_tui.compute.metrics.layer_metrics import (
    DEFAULT_METRICS,
    METRICS,
    LayerRows,
    knn_accuracy,
    layer_metrics,
    nearest_rows,
    twonn,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def digits(n: int = 300) -> tuple[NDArray[np.float32], IntArray]:
    """Real rows with integer pixels: constant units, and a few equal distances."""
    data = load_digits()
    return data.data[:n].astype(np.float32), data.target[:n].astype(np.int64)


def clusters(
    n: int = 240, d: int = 12, classes: int = 4, spread: float = 1.0, seed: int = 0
) -> tuple[FloatArray, IntArray]:
    """Gaussian classes of unequal sizes around random means, rows shuffled."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.sort(random.integers(0, classes, n - 2 * classes).tolist() + [*range(classes)] * 2))
    return random.standard_normal((classes, d))[labels] + spread * random.standard_normal((n, d)), labels


def metric(name: str, rows: NDArray[np.floating], labels: IntArray, seed: int = 0) -> float | None:
    return layer_metrics(rows, labels, [name], seed)[name]


def test_all_metrics_come_in_the_order_asked_for() -> None:
    rows, labels = clusters()
    assert list(layer_metrics(rows, labels, ["rank", "knn"])) == ["rank", "knn"]
    assert tuple(layer_metrics(rows, labels)) == DEFAULT_METRICS
    assert set(DEFAULT_METRICS) <= set(METRICS)
    assert layer_metrics(rows, labels, []) == {}


# --- knn


def first_in_order(distances: FloatArray) -> FloatArray:
    """Voting weights for scikit-learn: one each, and so little more for a nearer one that it only decides ties."""
    return 1.0 + 2.0 ** -np.arange(1.0, 1.0 + distances.shape[1]) + 0.0 * distances


@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0])
def test_knn_equals_scikit_learn_leave_one_out(spread: float) -> None:
    rows, labels = clusters(spread=spread)
    model = KNeighborsClassifier(10, weights=first_in_order, algorithm="brute").fit(rows, labels)
    assert metric("knn", rows, labels) == pytest.approx(np.mean(model.predict(None) == labels), abs=1e-12)


def test_knn_orders_equal_distances_by_row_and_equal_votes_by_the_nearest_voter() -> None:
    # On a line: 0 is nearest to 1; 2 and 4 are equally near to 3. With two voters the nearer one decides.
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    squared = (x[:, None] - x) ** 2
    nearest = nearest_rows(squared, 2)
    assert nearest.tolist() == [[1, 2], [0, 2], [1, 3], [2, 4], [3, 2]]
    classes = np.array([0, 0, 0, 1, 1])
    # Row 3 sees 2 (class 0) before 4 (class 1): missed. Row 4 sees 3 before 2: right.
    assert knn_accuracy(squared, classes, 2) == pytest.approx(4 / 5)


def test_knn_of_equal_rows_does_not_follow_the_order_of_the_sample() -> None:
    """Half the rows equal (a dead layer), the sample class by class: the vote among equals is a draw, not class 0."""
    rows = np.random.default_rng(3).standard_normal((400, 6))
    rows[::2] = 0.0
    labels = np.repeat(np.arange(4), 100)
    values = [metric("knn", rows, labels, seed) for seed in range(5)]
    assert all(value is not None and 0.1 < value < 0.4 for value in values)
    assert len(set(values)) > 1
    assert values[0] == metric("knn", rows, labels, 0)


# --- probe


def folds_of(rows: NDArray[np.floating], labels: IntArray, seed: int) -> tuple[FloatArray, IntArray, IntArray]:
    layer = LayerRows(rows, labels, seed)
    return layer.rows, layer.classes, class_metrics.stratified_folds(layer.classes, seed)


@pytest.mark.parametrize(("n", "d"), [(240, 12), (60, 200), (300, 100)])
@pytest.mark.parametrize("classes", [2, 4])
def test_probe_equals_scikit_learns_ridge_classifier_on_the_same_folds(n: int, d: int, classes: int) -> None:
    """More units than rows takes the other way through the same algebra."""
    given, labels = clusters(n, d, classes, spread=0.8 * d**0.5)
    rows, classes_of_rows, fold = folds_of(given, labels, 7)
    right = 0
    for part in range(class_metrics.FOLDS):
        train, test = fold != part, fold == part
        spread = rows[train] - rows[train].mean(axis=0)
        model = RidgeClassifier(alpha=0.1 * float((spread**2).sum()) / d).fit(rows[train], classes_of_rows[train])
        right += int((model.predict(rows[test]) == classes_of_rows[test]).sum())
    assert metric("probe", given, labels, 7) == pytest.approx(right / n, abs=1e-12)
    assert 1 / classes < right / n < 1.0


def test_both_ways_to_the_probes_outputs_agree() -> None:
    rows, classes = clusters(80, 80)
    rows = rows - rows.mean(axis=0)
    fold = class_metrics.stratified_folds(classes, 0)
    targets = class_metrics.one_hot(classes)
    assert class_metrics.primal_outputs(rows, targets, fold) == pytest.approx(
        class_metrics.dual_outputs(rows, targets, fold), abs=1e-9
    )


def test_folds_are_stratified_and_keyed() -> None:
    classes = np.repeat(np.arange(5), [2, 7, 100, 33, 5])
    fold = class_metrics.stratified_folds(classes, 1)
    for members in (fold, *(fold[classes == label] for label in range(5))):
        sizes = np.bincount(members, minlength=class_metrics.FOLDS)
        assert sizes.max() - sizes.min() <= 1
    assert np.array_equal(fold, class_metrics.stratified_folds(classes, 1))
    assert not np.array_equal(fold, class_metrics.stratified_folds(classes, 2))


def test_probe_of_labels_that_say_nothing_is_at_chance() -> None:
    random = np.random.default_rng(5)
    value = metric("probe", random.standard_normal((1000, 100)), random.permutation(np.repeat(np.arange(10), 100)))
    assert value is not None and 0.06 < value < 0.14


# --- separation


def literal_fuzziness(rows: FloatArray, labels: IntArray) -> float:
    n, d = rows.shape
    between, within = np.zeros((d, d)), np.zeros((d, d))
    for label in np.unique(labels):
        members = rows[labels == label]
        offset = members.mean(axis=0) - rows.mean(axis=0)
        between += len(members) / n * np.outer(offset, offset)
        for row in members:
            within += np.outer(row - members.mean(axis=0), row - members.mean(axis=0)) / n
    return float(np.trace(within @ np.linalg.pinv(between, hermitian=True)))


@pytest.mark.parametrize(("n", "d", "classes"), [(240, 12, 4), (100, 3, 5), (50, 80, 3), (60, 5, 2)])
def test_separation_equals_the_formula_with_numpys_pseudo_inverse(n: int, d: int, classes: int) -> None:
    rows, labels = clusters(n, d, classes)
    assert metric("separation", rows, labels) == pytest.approx(literal_fuzziness(rows, labels), rel=1e-8)


def test_separation_of_real_pixels_equals_the_formula() -> None:
    rows, labels = digits()
    assert metric("separation", rows, labels) == pytest.approx(literal_fuzziness(rows.astype(float), labels), rel=1e-8)


def test_separation_of_two_classes_on_a_line_is_the_ratio_of_variances() -> None:
    """Means ±3, spread ±1 in each: S_w = 1, S_b = 9. Rotated into five dimensions, and moved, it stays."""
    line = np.array([-4.0, -2.0, 2.0, 4.0])[:, None]
    labels = np.array([0, 0, 1, 1])
    assert metric("separation", line, labels) == pytest.approx(1 / 9, rel=1e-12)
    direction = np.random.default_rng(0).standard_normal((1, 5))
    assert metric("separation", line @ direction + 100.0, labels) == pytest.approx(1 / 9, rel=1e-9)


# --- gdv


def literal_gdv(rows: FloatArray, labels: IntArray) -> float:
    """Schilling et al. 2021, eq. 1 to 5, pair by pair."""
    d = rows.shape[1]
    deviation = rows.std(axis=0)
    scored = 0.5 * np.divide(rows - rows.mean(axis=0), deviation, out=np.zeros_like(rows), where=deviation > 0)
    groups = [scored[labels == label] for label in np.unique(labels)]
    intra = [np.mean([np.linalg.norm(a - b) for a, b in combinations(group, 2)]) for group in groups]
    inter = [np.mean([np.linalg.norm(a - b) for a in p for b in q]) for p, q in combinations(groups, 2)]
    return float((np.mean(intra) - np.mean(inter)) / np.sqrt(d))


def test_gdv_equals_the_formula_pair_by_pair() -> None:
    rows, labels = clusters(90, 7, 3)
    assert metric("gdv", rows, labels) == pytest.approx(literal_gdv(rows, labels), rel=1e-9)


def test_gdv_counts_units_without_variance_as_the_authors_do() -> None:
    rows, labels = digits(120)
    assert (rows.std(axis=0) == 0.0).any()
    assert metric("gdv", rows, labels) == pytest.approx(literal_gdv(rows.astype(float), labels), rel=1e-6)


def test_gdv_is_minus_one_for_two_points_and_nothing_for_labels_that_say_nothing() -> None:
    rows = np.repeat([[-3.0, 8.0], [5.0, 1.0]], 6, axis=0)
    assert metric("gdv", rows, np.repeat([0, 1], 6)) == pytest.approx(-1.0, abs=1e-7)
    random = np.random.default_rng(1)
    value = metric("gdv", random.standard_normal((600, 30)), random.permutation(np.repeat(np.arange(3), 200)))
    assert value == pytest.approx(0.0, abs=2e-3)


# --- twonn


def literal_twonn(rows: FloatArray) -> float:
    distances = np.linalg.norm(rows[:, None] - rows, axis=2)
    ordered = np.sort(distances, axis=1)
    ratios = np.sort(ordered[:, 2] / ordered[:, 1])
    n, kept = len(rows), int(0.9 * len(rows))
    empirical = np.arange(1, kept + 1) / n
    slope = np.linalg.lstsq(np.log(ratios[:kept])[:, None], -np.log(1 - empirical), rcond=None)[0]
    return float(slope[0])


def test_twonn_equals_the_fit_of_the_paper() -> None:
    rows, labels = clusters(200, 6, 3)
    assert metric("twonn", rows, labels) == pytest.approx(literal_twonn(rows), rel=1e-9)


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_twonn_finds_the_dimension_of_a_cube(dimensions: int) -> None:
    """Uniform in a cube, turned into 20 units: within 10 % at 2,000 rows."""
    random = np.random.default_rng(dimensions)
    cube = random.random((2000, dimensions))
    frame = np.linalg.qr(random.standard_normal((20, dimensions)))[0]
    rows = (cube @ frame.T).astype(np.float32)
    assert metric("twonn", rows, np.arange(2000) % 2) == pytest.approx(dimensions, rel=0.1)


def test_twonn_keeps_one_of_equal_rows() -> None:
    rows, labels = clusters(200, 6, 3)
    with_copies = np.concatenate([rows, rows[:50], rows[:20]])
    wanted = metric("twonn", rows, labels)
    assert metric("twonn", with_copies, np.concatenate([labels, labels[:50], labels[:20]])) == pytest.approx(wanted)


def test_twonn_of_a_lattice_is_undefined() -> None:
    lattice = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), axis=-1).reshape(-1, 2)
    assert metric("twonn", lattice, np.arange(64) % 2) is None


# --- rank


def test_rank_of_orthogonal_axes_counts_them() -> None:
    """±e_k for each of d axes: centred, d equal singular values."""
    for d, units in ((1, 1), (4, 4), (7, 30)):
        axes = np.eye(units)[:d]
        rows = np.concatenate([axes, -axes])
        assert metric("rank", rows, np.arange(2 * d) % 2) == pytest.approx(d, rel=1e-9)


def test_rank_of_two_unequal_axes_is_the_entropy_of_their_lengths() -> None:
    rows = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) + 17.0
    shares = np.array([0.75, 0.25])
    assert metric("rank", rows, np.array([0, 1, 0, 1])) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize(("n", "d"), [(240, 12), (60, 200), (100, 100)])
def test_rank_equals_the_formula_from_numpys_singular_values(n: int, d: int) -> None:
    rows, labels = clusters(n, d)
    singular = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    shares = singular[singular > 1e-10] / singular.sum()
    assert metric("rank", rows, labels) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)


# --- all


def test_scale_offset_and_order_do_not_matter() -> None:
    rows, labels = clusters(200, 9)
    wanted = layer_metrics(rows, labels, METRICS)
    order = np.random.default_rng(9).permutation(200)
    names = [name for name in METRICS if name != "probe"]  # its folds go by row
    assert layer_metrics(rows[order], labels[order], names) == pytest.approx({name: wanted[name] for name in names})
    for scale, offset in ((2.0**-40, 0.0), (2.0**60, 0.0), (1e-30, 0.0), (1e200, 0.0), (1e-200, 0.0), (1.0, 64.0)):
        assert layer_metrics(rows * scale + offset, labels, METRICS) == pytest.approx(wanted, rel=1e-7)


def test_nearly_equal_rows_keep_their_structure() -> None:
    """An untrained deep logsig layer: 0.5 plus a few float32 roundings. The roundings, scaled up exactly, are the
    oracle.
    """
    random = np.random.default_rng(1)
    labels = np.arange(150) % 3
    roundings = random.integers(0, 200, size=(150, 20)) + 60 * labels[:, None]
    near = (0.5 + roundings * 2.0**-24).astype(np.float32)
    assert np.array_equal((near.astype(np.float64) - 0.5) * 2.0**24, roundings)
    assert layer_metrics(near, labels) == pytest.approx(layer_metrics(roundings.astype(np.float64), labels), rel=1e-7)


def test_a_constant_layer_has_no_metrics() -> None:
    rows = np.full((100, 8), 0.3, dtype=np.float32)
    assert layer_metrics(rows, np.arange(100) % 4) == dict.fromkeys(METRICS)


def test_what_a_single_class_and_lone_rows_leave_undefined() -> None:
    rows, _ = clusters(60, 5)
    values = layer_metrics(rows, np.full(60, 3))
    assert {name for name, value in values.items() if value is None} == {"knn", "probe", "separation", "gdv"}
    lone = np.arange(60) % 3
    lone[0] = 9
    values = layer_metrics(rows, lone)
    assert {name for name, value in values.items() if value is None} == {"probe", "gdv"}
    assert class_metrics.separation_fuzziness(rows, np.arange(60)) is None  # one row a class: no spread within
    assert twonn(np.zeros((20, 20))) is None


def dead_relu(random: np.random.Generator) -> FloatArray:
    rows = np.maximum(random.standard_normal((80, 6)) - 1.5, 0.0)
    rows[:, :3] = 0.0
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_every_finite_layer_gives_numbers_or_none(seed: int) -> None:
    random = np.random.default_rng(seed)
    float32 = np.finfo(np.float32)
    layers = [
        dead_relu(random),
        np.sign(random.standard_normal((80, 3))),
        np.repeat(random.standard_normal((2, 4)), 40, axis=0),
        random.standard_normal((80, 1)),
        np.eye(80)[:, :70],
        random.standard_normal((80, 1)) @ random.standard_normal((1, 30)),
        random.standard_normal((80, 5)) * np.geomspace(1e-30, 1e30, 5),
        np.where(random.random((80, 4)) < 0.5, float32.max, -float32.max),
        np.where(random.random((80, 4)) < 0.1, float32.smallest_subnormal, 0.0),
        np.where(random.random((80, 4)) < 0.5, np.finfo(np.float64).max, -np.finfo(np.float64).max),
        0.5 + random.integers(0, 2, (80, 10)) * 2.0**-24,
        *(random.standard_normal((n, d)) for n in (1, 2, 3, 9, 10, 11, 12) for d in (1, 2, 20)),
    ]
    for rows in layers:
        for labels in (random.integers(-2, 3, len(rows)), np.arange(len(rows)) % 2, np.arange(len(rows))):
            for name, value in layer_metrics(rows, labels, METRICS, seed).items():
                assert value is None or np.isfinite(value), (name, rows.shape)


def test_what_cannot_be_measured_is_refused() -> None:
    rows, labels = clusters()
    with pytest.raises(ValueError, match="unknown metric 'knm'; there are knn, probe"):
        layer_metrics(rows, labels, ["knm"])
    with pytest.raises(ValueError, match="not finite"):
        layer_metrics(np.where(rows > 1.0, np.nan, rows), labels)
    with pytest.raises(ValueError, match="240 rows of activations need as many integer labels"):
        layer_metrics(rows, labels[1:])
    with pytest.raises(ValueError, match="integer labels"):
        layer_metrics(rows, labels.astype(float))
