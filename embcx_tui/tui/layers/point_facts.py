"""The facts of one point: its class, its image, and what is near it in the plane, in the layer and as an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import SealedFile
from embcx_tui.study.plan import Source
from embcx_tui.tui.layers.embeddings import (
    NEIGHBOURS,
    AlignedEmbedding,
    EmbeddingCache,
    embedding_files,
    nearest_to,
)
from embcx_tui.tui.layers.selection import LayerSelection, NetworkLayer

Near = tuple[tuple[int, bool], ...]
"""Near points, nearest first: the class of each, and whether it is also near in what the plane is compared with."""


@dataclass(frozen=True)
class ChosenPoint:
    """The chosen point and what its facts are made of.

    Parameters
    ----------
    row : its row in `embedding` and in `inputs` [n, d], which are None while they are not read
    shape : rows, columns and channels of an input that is an image
    similar : the rows nearest to it as inputs; empty where they are not known or are those of `embedding` itself
    source : the inputs of which it is one
    """

    embedding: AlignedEmbedding
    row: int
    classes: tuple[str, ...] = ()
    shape: tuple[int, int, int] | None = None
    inputs: NDArray[Any] | None = None
    similar: tuple[int, ...] = ()
    source: Source = "train"


def chosen_point(
    snapshot: Snapshot, embeddings: EmbeddingCache, target: NetworkLayer, selection: LayerSelection
) -> tuple[ChosenPoint | str | None, tuple[SealedFile, ...]]:
    """Return the chosen point of a layer, or words where there is none, and the files that it still needs.

    None while the layer is being read: what is shown of the point stays until then.
    """
    network, layer = target
    files = embedding_files(snapshot, network, layer, selection.method, selection.epoch)
    embedding = embeddings.embedding(files) if files else ""
    if embedding is None:
        return None, ()
    if isinstance(embedding, str):
        return "No points here.\nThe point stays chosen: , and . go to other layers.", ()
    row, sample = selection.row(embedding, network.input_set), snapshot.sample(network)
    if row is None and selection.point:
        words = f"Run {network.run} is measured on other inputs; arrows choose one of them."
        return f"Not in this sample.\n{words}", ()
    if row is None or sample is None:
        return "No point is chosen.\nArrows choose one; so does a click.", ()
    missing = (sample.file,) if embeddings.arrays.get(sample.file) is None else ()
    inputs, loaded = embeddings.arrays.inputs(sample.file), snapshot.datasets.get(network.dataset)
    # At the input itself, the neighbours in the layer are the most similar inputs.
    known = layer == 0 and embedding.neighbours is not None
    similar = () if known or inputs is None else embeddings.similar_inputs(embedding.sample, inputs, row)
    classes, shape = (loaded.classes, loaded.shape) if loaded else ((), None)
    return ChosenPoint(embedding, row, classes, shape, inputs, similar, network.source), missing


@dataclass(frozen=True)
class PointFacts:
    """What is known of one point."""

    index: int
    label: int
    predicted: int | None
    classes: tuple[str, ...]
    plane: Near
    """The nearest in the plane, and which of them are near in the layer too (all where that is not known)."""
    layer: Near
    """The nearest among the layer's activations, and which of them the plane keeps near; empty: not known."""
    similar: Near
    """The nearest as inputs, and which of them are near in the plane too; empty: not known, or the same as `layer`."""
    image: NDArray[np.float64] | None
    plane_images: tuple[NDArray[np.float64], ...]
    """Images of `plane`, or none."""
    layer_images: tuple[NDArray[np.float64], ...]
    """Images of `layer`, or none."""
    means: tuple[tuple[int, NDArray[np.float64]], ...]
    """The mean image of its class, and of the class that it is taken for where that is another; or none."""
    values: int
    """How many numbers the input is made of."""
    source: Source


def point_facts(point: ChosenPoint) -> PointFacts:
    """Return what the panel shows of a point."""
    embedding, inputs, row = point.embedding, point.inputs, point.row
    labels = embedding.sample.labels
    plane = nearest_to(embedding.points, row, NEIGHBOURS)
    layer = () if embedding.neighbours is None else tuple(int(other) for other in embedding.neighbours[row])

    def near(rows: tuple[int, ...], others: tuple[int, ...]) -> Near:
        return tuple((int(labels[one]), one in others) for one in rows)

    def images(rows: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
        found = () if inputs is None else (image_of(inputs, other, point.shape) for other in rows)
        return tuple(image for image in found if image is not None)

    label = int(labels[row])
    predicted = None if embedding.predicted is None else int(embedding.predicted[row])
    means = (
        ()
        if inputs is None
        else (
            (one, mean_image(inputs, labels == one, point.shape))
            for one in dict.fromkeys((label, predicted))
            if one is not None
        )
    )
    return PointFacts(
        int(embedding.sample.index[row]),
        label,
        predicted,
        point.classes,
        near(plane, layer or plane),
        near(layer, plane),
        near(point.similar, plane),
        None if inputs is None else image_of(inputs, row, point.shape),
        images(plane),
        images(layer),
        tuple((one, image) for one, image in means if image is not None),
        0 if inputs is None else inputs.shape[1],
        point.source,
    )


def image_of(inputs: NDArray[Any], row: int, shape: tuple[int, int, int] | None) -> NDArray[np.float64] | None:
    """Return input `row` of `inputs` [n, d] as an image [rows, columns, channels] of 0 … 1; None where it is no image.

    Bytes are scaled by the largest of all inputs (255, but 16 for scikit-learn's digits), other numbers by their range,
    so that the brightness of two images can be compared.
    """
    return _scaled(inputs[row], inputs, shape)


def mean_image(
    inputs: NDArray[Any], rows: NDArray[np.bool_], shape: tuple[int, int, int] | None
) -> NDArray[np.float64] | None:
    """Return the mean of the `rows` [n] of `inputs` as `image_of` has one; None of no rows, or where it is none."""
    return _scaled(inputs[rows].mean(axis=0, dtype=np.float64), inputs, shape) if rows.any() else None


def _scaled(
    values: NDArray[Any], inputs: NDArray[Any], shape: tuple[int, int, int] | None
) -> NDArray[np.float64] | None:
    if shape is None or inputs.shape[1] != shape[0] * shape[1] * shape[2] or shape[2] not in (1, 3):
        return None
    image = values.astype(np.float64).reshape(shape)
    if inputs.dtype == np.uint8:
        return np.asarray(image / max(int(inputs.max()), 1))
    low, high = float(np.nanmin(inputs)), float(np.nanmax(inputs))
    return np.asarray(np.clip(np.nan_to_num((image - low) / ((high - low) or 1.0)), 0, 1))
