"""What a simple classifier reads off a layer: cross-validated accuracies of its rows. All float64."""

import numpy as np

from embcx_tui.compute.array_types import FloatArray, IntArray
from embcx_tui.compute.metrics.neighbours import NEIGHBOURS, nearest_rows, vote_accuracy
from embcx_tui.compute.metrics.separation import one_hot

FOLDS = 5
# Of the mean variance of a unit. Of 1e-6 … 10 the best or within 0.05 of it on MNIST's pixels and on random layers.
PENALTY = 0.1


def neighbour_accuracy(squared: FloatArray, classes: IntArray, k: int = NEIGHBOURS) -> float | None:
    """Return the leave-one-out k-nearest-neighbour accuracy, 0 … 1, larger is better, of rows with squared distances
    [n, n] and classes [n] (0 … K - 1).

    Each row is given the class that most of its k nearest other rows have (Cover & Hart 1967; Euclidean distances,
    equal weights). Rows equally near: the one of the lower index first. Classes with equally many votes: the one with
    the nearest voter. A class with one row is always missed. None for a single class and for n <= k.
    """
    n = classes.size
    if n <= k or classes.max() == 0:
        return None
    return vote_accuracy(nearest_rows(squared, k), classes)


def folds(classes: IntArray, seed: int) -> IntArray:
    """Return the fold, 0 … FOLDS - 1, of each of classes [n]: each class shuffled (keyed by seed) and dealt out in
    turn, so that sizes differ by 1 at most, of a class and altogether.
    """
    shuffled = np.random.default_rng([seed % 2**63, FOLDS]).permutation(classes.size)
    dealt = shuffled[np.argsort(classes[shuffled], kind="stable")]
    fold = np.empty(classes.size, dtype=np.int64)
    fold[dealt] = np.arange(classes.size) % FOLDS
    return fold


def linear_accuracy(rows: FloatArray, classes: IntArray, seed: int) -> float | None:
    """Return the 5-fold cross-validated accuracy, 0 … 1, larger is better, of a linear probe of rows [n, d] with
    classes [n] (0 … K - 1).

    The probe (Alain & Bengio 2016) is a ridge classifier in closed form: least squares of 0/1 targets with an intercept
    and a penalty λ|w|², λ = 0.1 · the mean of the units' sums of squares about their training mean; the class of the
    largest output wins. It is no logistic regression, which takes 20 to 50 times as long and agrees to some hundredths.
    The penalty follows the scale of the rows, so scale does not matter. Folds are stratified and keyed by `seed`.
    None for a single class, for a class with one row (it cannot be learnt and tested), and for rows without variance.
    """
    if classes.max() == 0 or np.bincount(classes).min() < 2:
        return None
    centred = rows - rows.mean(axis=0)
    if not centred.any():
        return None
    fold = folds(classes, seed)
    targets = one_hot(classes)
    outputs = _primal(centred, targets, fold) if rows.shape[1] <= rows.shape[0] else _dual(centred, targets, fold)
    return float(np.mean(outputs.argmax(axis=1) == classes))


def _primal(rows: FloatArray, targets: FloatArray, fold: IntArray) -> FloatArray:
    """Return the outputs [n, K] for each row of the ridge fit to the other folds, from the units' moments [d, d]."""
    units = rows.shape[1]
    parts = [fold == part for part in range(FOLDS)]
    # The moments of four folds are those of all less those of the fifth: 2 passes over the rows and not 5.
    squares = [rows[part].T @ rows[part] for part in parts]
    products = [rows[part].T @ targets[part] for part in parts]
    all_squares, all_products = sum(squares), sum(products)
    outputs = np.zeros_like(targets)
    for part, square, product in zip(parts, squares, products, strict=True):
        n = int(np.count_nonzero(~part))
        if not part.any():
            continue
        mean, target = rows[~part].mean(axis=0), targets[~part].mean(axis=0)
        moments = np.outer(mean, -n * mean)
        moments += all_squares
        moments -= square
        moments[np.diag_indices(units)] += _penalty(float(np.trace(moments)), units)
        weights = _solve(moments, all_products - product - n * np.outer(mean, target))
        outputs[part] = (rows[part] - mean) @ weights + target
    return outputs


def _dual(rows: FloatArray, targets: FloatArray, fold: IntArray) -> FloatArray:
    """Return what `_primal` does, from the rows' inner products [n, n]: the cheaper way for more units than rows."""
    inner = rows @ rows.T
    outputs = np.zeros_like(targets)
    for part in range(FOLDS):
        test = fold == part
        if not test.any():
            continue
        train = ~test
        among = inner[np.ix_(train, train)]
        mean = among.mean(axis=0)
        target = targets[train].mean(axis=0)
        centred = among - mean[:, None] - mean[None, :] + mean.mean()
        centred[np.diag_indices_from(centred)] += _penalty(float(np.trace(centred)), rows.shape[1])
        weights = _solve(centred, targets[train] - target)
        across = inner[np.ix_(test, train)]
        # Σ weights = 0 in each column, so that what is constant along the training rows need not be taken off.
        outputs[test] = (across - mean) @ weights + target
    return outputs


def _penalty(squares: float, units: int) -> float:
    """Return λ for rows whose sums of squares about the mean add up to `squares` over `units` units; never 0."""
    return max(PENALTY * squares / units, np.finfo(np.float64).tiny)


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Return matrix⁻¹ right for a symmetric positive definite matrix; of least squares where rounding left it
    singular.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        solution: FloatArray = cho_solve(cho_factor(matrix, lower=True, check_finite=False), right, check_finite=False)
    except LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0], dtype=np.float64)
    return solution
