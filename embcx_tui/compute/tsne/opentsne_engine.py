"""openTSNE as an engine: the reference beside the exact one, and the one for samples too large for it."""

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.tsne import gradient_descent
from embcx_tui.compute.tsne.initialization import Points

# Rows; openTSNE's own bound. Below it Barnes-Hut is the faster of its two ways (1.4 s against 9 s at 1,000).
FFT_FROM = 10_000
EXAGGERATED = 250  # iterations at exaggeration 12: openTSNE's defaults
PLAIN = 500  # iterations after that, likewise


def embed(
    activations: NDArray[np.floating],
    joint: NDArray[np.float64],
    entropy: float,
    perplexity: float,
    start: Points,
    seed: int,
    jobs: int,
    descent: gradient_descent.Descent,
) -> gradient_descent.DescentResult:
    """Return where openTSNE leaves points [n, 2] from `start` for activations [n, d], scored for P [n, n] (of known
    entropy, nats).

    One affinity object with openTSNE's own choice of neighbours, its learning rate "auto"; only the score is ours, and
    exact.
    """
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    affinities = PerplexityBasedNN(
        np.asarray(activations, dtype=np.float64), perplexity=perplexity, n_jobs=jobs, random_state=seed
    )
    method = "fft" if len(start) >= FFT_FROM else "bh"
    embedding = TSNEEmbedding(
        start.astype(np.float64),
        affinities,
        negative_gradient_method=method,
        n_jobs=jobs,
        random_state=seed,
        learning_rate="auto",
    )
    embedding.optimize(n_iter=EXAGGERATED, exaggeration=12, momentum=0.8, inplace=True)
    embedding.optimize(n_iter=PLAIN - descent.window, momentum=0.8, inplace=True)
    before = gradient_descent.score(joint, np.asarray(embedding), entropy)
    embedding.optimize(n_iter=descent.window, momentum=0.8, inplace=True)
    points = np.asarray(embedding, dtype=np.float32)
    kl = gradient_descent.score(joint, points, entropy)
    change = abs(before - kl) / kl
    norm = gradient_descent.gradient_norm(joint, points.T)
    return gradient_descent.DescentResult(points, kl, EXAGGERATED + PLAIN, change, norm, change < descent.tolerance)
