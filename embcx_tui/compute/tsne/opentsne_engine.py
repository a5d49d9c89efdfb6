"""openTSNE as an engine: the reference beside the exact one, and the engine for samples too large for that."""

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.array_types import FloatArray, Points
from embcx_tui.compute.tsne.descent_cpu import gradient_norm
from embcx_tui.compute.tsne.gradient_descent import DescentResult, Schedule
from embcx_tui.compute.tsne.kl_divergence import exact_kl

# Rows; openTSNE's own bound. Below it Barnes-Hut is the faster of its two methods (1.4 s against 9 s at 1,000).
FFT_FROM = 10_000
EARLY_ITERATIONS = 250  # at exaggeration 12: openTSNE's defaults
FINAL_ITERATIONS = 500  # without exaggeration, likewise


def embed(
    activations: NDArray[np.floating],
    joint: FloatArray,
    joint_entropy: float,
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
    joint, joint_entropy: our P [n, n] and its entropy in nats, for the exact KL divergence.
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
    previous = exact_kl(joint, np.asarray(embedding), joint_entropy)
    embedding.optimize(n_iter=schedule.window, momentum=0.8, inplace=True)
    points = np.asarray(embedding, dtype=np.float32)
    kl = exact_kl(joint, points, joint_entropy)
    change = abs(previous - kl) / kl
    return DescentResult(
        points,
        kl,
        EARLY_ITERATIONS + FINAL_ITERATIONS,
        change,
        gradient_norm(joint, points.T),
        change < schedule.tolerance,
    )
