"""How well the classes of a layer can be told apart: a linear probe, and the separation of the classes. All float64."""

import numpy as np

from embcx_tui.compute.array_types import FloatArray, IntArray

FOLDS = 5
# Relative to the mean variance of a unit. Of 1e-6 … 10 the best or within 0.05 of it on MNIST's pixels and on random
# layers.
PENALTY = 0.1
# Eigenvalues of S_b, relative to the largest, that count as 0: numpy's own for a pseudo-inverse.
RANK_TOLERANCE = 1e-15


def one_hot(classes: IntArray) -> FloatArray:
    """Return classes [n], 0 … K - 1, as columns of 0 and 1, [n, K]."""
    return np.eye(int(classes.max()) + 1)[classes]


def stratified_folds(classes: IntArray, seed: int) -> IntArray:
    """Return the fold, 0 … FOLDS - 1, of each of classes [n]: each class shuffled (by `seed`) and dealt out in turn,
    so that fold sizes differ by 1 at most, within each class and altogether.
    """
    shuffled = np.random.default_rng([seed % 2**63, FOLDS]).permutation(classes.size)
    dealt = shuffled[np.argsort(classes[shuffled], kind="stable")]
    fold = np.empty(classes.size, dtype=np.int64)
    fold[dealt] = np.arange(classes.size) % FOLDS
    return fold


def linear_accuracy(rows: FloatArray, classes: IntArray, seed: int, units: int | None = None) -> float | None:
    """Return the 5-fold cross-validated accuracy, 0 … 1, larger is better, of a linear probe of rows [n, d] with
    classes [n] (0 … K - 1).

    The probe (Alain & Bengio 2016) is a ridge classifier in closed form: least squares of 0/1 targets with an intercept
    and a penalty λ|w|², λ = 0.1 · the mean of the units' sums of squares about their training mean; the class of the
    largest output wins. It is no logistic regression, which takes 20 to 50 times as long and agrees to some hundredths.
    The penalty follows the scale of the rows, so scale does not matter. Folds are stratified and seeded by `seed`.
    units: over how many the mean is taken, where rows are coordinates of a wider layer; None: d.
    None for a single class, for a class with one row (it cannot be learnt and tested), and for rows without variance.
    """
    if classes.max() == 0 or np.bincount(classes).min() < 2:
        return None
    centred = rows - rows.mean(axis=0)
    if not centred.any():
        return None
    fold = stratified_folds(classes, seed)
    targets = one_hot(classes)
    outputs = (
        primal_outputs(centred, targets, fold, units)
        if rows.shape[1] <= rows.shape[0]
        else dual_outputs(centred, targets, fold, units)
    )
    return float(np.mean(outputs.argmax(axis=1) == classes))


def primal_outputs(rows: FloatArray, targets: FloatArray, fold: IntArray, units: int | None = None) -> FloatArray:
    """Return the outputs [n, K] for each row of the ridge fit to the other folds, from the units' moments [d, d]."""
    diagonal = np.diag_indices(rows.shape[1])
    parts = [fold == part for part in range(FOLDS)]
    # The moments of four folds are those of all rows less those of the fifth: 2 passes over the rows instead of 5.
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
        moments[diagonal] += _penalty(float(np.trace(moments)), units or rows.shape[1])
        weights = _solve(moments, all_products - product - n * np.outer(mean, target))
        outputs[part] = (rows[part] - mean) @ weights + target
    return outputs


def dual_outputs(rows: FloatArray, targets: FloatArray, fold: IntArray, units: int | None = None) -> FloatArray:
    """Return what `primal_outputs` does, from the rows' inner products [n, n]: the cheaper way for more units than
    rows.
    """
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
        centred[np.diag_indices_from(centred)] += _penalty(float(np.trace(centred)), units or rows.shape[1])
        weights = _solve(centred, targets[train] - target)
        across = inner[np.ix_(test, train)]
        # Σ weights = 0 in each column, so a term that is constant along the training rows need not be subtracted.
        outputs[test] = (across - mean) @ weights + target
    return outputs


def _penalty(squares: float, units: int) -> float:
    """Return λ for rows whose sums of squares about the mean add up to `squares` over `units` units; never 0."""
    return max(PENALTY * squares / units, np.finfo(np.float64).tiny)


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Return matrix⁻¹ right for a symmetric positive definite matrix; the least-squares solution where rounding left it
    singular.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        solution: FloatArray = cho_solve(cho_factor(matrix, lower=True, check_finite=False), right, check_finite=False)
    except LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0], dtype=np.float64)
    return solution


def separation_fuzziness(rows: FloatArray, classes: IntArray) -> float | None:
    """Return the separation fuzziness Tr(S_w S_b⁺) of rows [n, d] with classes [n] (0 … K - 1); from 0, smaller is more
    separated.

    S_b = Σ_k n_k/n (m_k - m)(m_k - m)ᵀ and S_w = 1/n Σ_k Σ_{i in k} (x_i - m_k)(x_i - m_k)ᵀ, with m_k the class means,
    m the mean; ⁺ is the Moore-Penrose inverse. No unit: scale and rotation of the rows do not matter.
    He & Su 2023, PNAS 120 (36), e2221704120. A class with one row has no spread of its own and counts in S_b alone.
    None for a single class, for one row per class, and where all class means are equal.
    """
    members = one_hot(classes)
    n, count = members.shape
    if count < 2 or n <= count:
        return None
    size = members.sum(axis=0)
    centred = rows - rows.mean(axis=0)
    means = (members.T @ centred) / size[:, None]
    # S_b = BᵀB of rank K - 1 at most: its pseudo-inverse and the trace need the K right singular vectors of B alone.
    _, singular, axes = np.linalg.svd(np.sqrt(size / n)[:, None] * means, full_matrices=False)
    between = singular[: count - 1] ** 2
    # Below the first bound the means differ by the rounding of their sums alone.
    floor = max((1e-14 * float(np.abs(centred).max())) ** 2, RANK_TOLERANCE * float(between[0]))
    kept = between > floor
    if not kept.any():
        return None
    within = (centred - means[classes]) @ axes[: count - 1][kept].T
    return float((np.mean(within**2, axis=0) / between[kept]).sum())


def discrimination_value(rows: FloatArray, classes: IntArray, units: int | None = None) -> float | None:
    """Return the generalised discrimination value of rows [n, d] with classes [n] (0 … K - 1): -1 is perfect
    separation, about 0 none.

    GDV = 1/√D (mean over classes of the mean distance within a class - mean over pairs of classes of the mean distance
    between them), Euclidean distances of s = (x - mean) / 2σ, z-scored for each unit over all rows (σ with 1/n) and
    halved. No unit: shift and scale of each unit do not matter. Schilling, Maier, Gerum, Metzner & Krauss 2021, Neural
    Networks 139, 278-293. A unit without variance is 0 throughout and counts in D, as in the authors' program.
    units: D, where units without variance were left out of rows; None: d. None for a single class, a class with one
    row, and rows without any variance.
    """
    members = one_hot(classes)
    size = members.sum(axis=0)
    count = size.size
    if count < 2 or size.min() < 2:
        return None
    deviation = rows.std(axis=0)
    # A constant unit's mean may be off by a rounding, and its deviation with it.
    varies = (rows.max(axis=0) > rows.min(axis=0)) & (deviation > 0.0)
    if not varies.any():
        return None
    halved = (rows[:, varies] - rows[:, varies].mean(axis=0)) / (2.0 * deviation[varies])
    sums = members.T @ _distances(halved) @ members
    within = float(np.mean(np.diag(sums) / (size * (size - 1.0))))
    upper = np.triu_indices(count, k=1)
    between = float(np.mean((sums / np.outer(size, size))[upper]))
    return (within - between) / float(np.sqrt(units or rows.shape[1]))


def _distances(rows: FloatArray) -> FloatArray:
    """Return Euclidean distances [n, n] of z-scored rows [n, d], from inner products: 3 to 20 times as fast as from
    differences.

    What cancels is 1e-8 of a typical distance, in each of equal rows: nothing in a mean over thousands of pairs.
    """
    lengths = np.einsum("ij,ij->i", rows, rows)
    squared = rows @ rows.T
    squared *= -2.0
    squared += lengths[:, None]
    squared += lengths
    np.maximum(squared, 0.0, out=squared)
    np.fill_diagonal(squared, 0.0)
    return np.sqrt(squared, out=squared)
