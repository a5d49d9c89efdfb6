"""What is known of each class of a sample in a layer: its share of the complexity, its errors, what it is taken for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.model import Heat
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import hidden_layers, title_of
from embcx_tui.study.plan import Network
from embcx_tui.study.text import safe_text
from embcx_tui.tui.layers.embeddings import AlignedEmbedding

_UNKNOWN = "n/a"


def class_table(embedding: AlignedEmbedding, classes: int) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the heads and the cells of a legend's table, one row per class: its share of the KL and its errors.

    The shares of all classes add up to the KL of the layer; they are n/a in studies measured before they were stored.
    Nothing where predictions are not known either, no errors where they alone are not.
    """
    labels, wrong, shares = embedding.sample.labels, embedding.misclassified, embedding.point_kls
    if wrong is None and shares is None:
        return (), ()
    rows = [labels == index for index in range(classes)]
    kls = [_UNKNOWN if shares is None else f"{shares[of].sum():.3f}" for of in rows]
    if wrong is None:
        return ("KL",), tuple((kl,) for kl in kls)
    return ("KL", "errors"), tuple((kl, f"{int(wrong[of].sum()):,}") for kl, of in zip(kls, rows, strict=True))


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return how many inputs of each class (rows) are taken for each class (columns) [classes, classes].

    Classes that are not among them count nowhere.
    """
    counts = np.zeros((classes, classes))
    known = (labels >= 0) & (labels < classes) & (predicted >= 0) & (predicted < classes)
    np.add.at(counts, (labels[known], predicted[known]), 1.0)
    return counts


def confusion_heat(
    snapshot: Snapshot,
    network: Network,
    known: tuple[NDArray[np.int64], NDArray[np.int64]] | str,
    chosen: int | None = None,
) -> Heat:
    """Return the confusion matrix of a network on its sample, from labels and predictions [n], or why there is none.

    `chosen` is the class that is shown before the others.
    """
    title = title_of(network.dataset, hidden_layers(network.depth), network.activation, network.control)
    title = f"{title} · run {network.run} · {'training' if network.source == 'train' else 'test'} sample"
    if isinstance(known, str):
        return Heat(title, "predicted", "label", (), (), np.empty((0, 0)), note=known)
    loaded = snapshot.datasets.get(network.dataset)
    most = int(max(known[0].max(initial=0), known[1].max(initial=0))) + 1
    classes = loaded.classes if loaded else tuple(str(one) for one in range(most))
    names = tuple(safe_text(name, 40) for name in classes)
    chosen = chosen if chosen is not None and chosen < len(names) else None
    return Heat(title, "predicted", "label", names, names, confusion(*known, len(names)), chosen=chosen)
