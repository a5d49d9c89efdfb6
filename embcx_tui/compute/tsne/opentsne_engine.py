"""openTSNE as an engine: the reference beside the exact one, and the engine for samples too large for that."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.array_types import Points
from embcx_tui.compute.tsne.schedule import DescentResult, Schedule

# Rows; openTSNE's own bound. Below it Barnes-Hut is the faster of its two methods (1.4 s against 9 s at 1,000).
FFT_FROM = 10_000
EARLY_ITERATIONS = 250  # at exaggeration 12: openTSNE's defaults
FINAL_ITERATIONS = 500  # without exaggeration, likewise


def embed(
    activations: NDArray[np.floating],
    score: Callable[[NDArray[np.floating]], float],
    gradient_norm: Callable[[NDArray[np.floating]], float],
    perplexity: float,
    start: Points,
    seed: int,
    jobs: int,
    schedule: Schedule,
) -> DescentResult:
    """Return openTSNE's embedding of activations [n, d], with the exact KL divergence of its points.

    openTSNE's own affinities (its choice of neighbours) and its learning rate "auto".

    Parameters
    ----------
    score, gradient_norm: the exact KL divergence (nats) of points [n, 2] by our P, and the norm of its gradient.
    start: the initial points [n, 2].
    jobs: threads of openTSNE.
    schedule: window and tolerance of the test of convergence; openTSNE has phases of its own.
    """
    # Imported here: 0.5 s that only this engine needs.
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    affinities = PerplexityBasedNN(
        np.asarray(activations, dtype=np.float64), perplexity=perplexity, n_jobs=jobs, random_state=seed
    )
    embedding = TSNEEmbedding(
        start.astype(np.float64),
        affinities,
        negative_gradient_method="fft" if len(start) >= FFT_FROM else "bh",
        n_jobs=jobs,
        random_state=seed,
        learning_rate="auto",
    )
    embedding.optimize(n_iter=EARLY_ITERATIONS, exaggeration=12, momentum=0.8, inplace=True)
    embedding.optimize(n_iter=FINAL_ITERATIONS - schedule.window, momentum=0.8, inplace=True)
    previous = score(np.asarray(embedding))
    embedding.optimize(n_iter=schedule.window, momentum=0.8, inplace=True)
    points = np.asarray(embedding, dtype=np.float32)
    kl = score(points)
    change = abs(previous - kl) / kl
    return DescentResult(
        points,
        kl,
        EARLY_ITERATIONS + FINAL_ITERATIONS,
        change,
        gradient_norm(points),
        change < schedule.tolerance,
    )
