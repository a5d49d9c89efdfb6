"""P for tests: ours, and openTSNE's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from openTSNE.affinity import PerplexityBasedNN

from embcx_tui.compute.tsne.affinities import affinities


def joint_probabilities(rows: NDArray[np.floating], perplexity: float = 30.0) -> NDArray[np.float64]:
    """Return the P [n, n] of rows [n, d] that have one."""
    joint = affinities(rows, perplexity).joint
    assert joint is not None
    return joint


def opentsne_joint_probabilities(rows: NDArray[np.floating], perplexity: float = 30.0) -> NDArray[np.float64]:
    """Return openTSNE's own P over all neighbours, dense [n, n]."""
    theirs = PerplexityBasedNN(
        rows.astype(np.float64), perplexity=perplexity, method="exact", k_neighbors=len(rows) - 1, n_jobs=1
    )
    return np.asarray(theirs.P.todense())
