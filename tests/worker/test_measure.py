"""What a measured layer's file holds beside its points: who is near whom among the activations."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from embcx_tui.store.files import read_arrays
from embcx_tui.store.library import create_study
from embcx_tui.study.settings import validate
from tests.worker.test_worker import run_to_the_end


def test_layers_by_tsne_keep_their_neighbours_at_the_last_epoch() -> None:
    settings = {
        "name": "near",
        "data": {"datasets": ["digits"], "samples_per_class": 10},
        "networks": {"depths": [1], "activations": ["relu"], "runs": 1, "width": 20},
        "training": {"epochs": 2},
        "measure": {"perplexity": 10, "methods": ["tsne", "pca"], "epochs": [1], "controls": []},
    }
    paths = create_study(validate(settings))
    snapshot = run_to_the_end(paths)
    assert snapshot.state == "complete"
    for (_, method), event in snapshot.measured.items():
        arrays = read_arrays(paths.root, event.file)
        assert set(arrays) == ({"points", "neighbours"} if method == "tsne" else {"points"})
    assert snapshot.earlier
    assert all(set(read_arrays(paths.root, event.file)) == {"points"} for event in snapshot.earlier.values())
    # The input's activations are the sample: pixels are integers, so many distances are equal.
    (sample,) = snapshot.samples.values()
    rows = np.asarray(read_arrays(paths.root, sample.file)["input"], dtype=np.float64).reshape(100, -1)
    near = read_arrays(paths.root, snapshot.measured["digits-r0-input", "tsne"].file)["neighbours"].astype(int)
    theirs, _ = NearestNeighbors(n_neighbors=10).fit(rows).kneighbors()
    assert near.shape == (100, 10) and (near != np.arange(100)[:, None]).all()
    assert np.allclose(np.linalg.norm(rows[near] - rows[:, None], axis=2), theirs)
