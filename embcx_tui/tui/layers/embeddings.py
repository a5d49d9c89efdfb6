"""The points of a layer as the browser shows them: aligned to the layers before, so that points stay near.

Every layer is aligned to the one before it in its network, and the first layer to the input, which all networks of a
run share. So two layers are always shown in the same position to each other, in whatever order they are visited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.alignment import Plane, align, standard
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import LayerMeasured, SealedFile
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.tui.layers.array_cache import ArrayCache, Sample
from embcx_tui.tui.lru_cache import LruCache

# 28 kB each with their neighbours: the layers of 40 networks of six.
_KEPT = 256
NEIGHBOURS = 10
"""How many of the nearest points or inputs are shown for a point."""
VOTERS = 10
"""How many nearest points vote, as in the metric knn_2d of `compute.metrics`."""


@dataclass(frozen=True)
class AlignedEmbedding:
    """One layer's points, aligned for display [n, 2]; `key` tells apart what they were made of."""

    key: tuple[str, ...]
    points: Plane
    sample: Sample
    predicted: NDArray[np.int64] | None
    neighbours: NDArray[np.unsignedinteger[Any]] | None = None
    """The rows [n, k] nearest to each among the activations, nearest first; None where they were not stored."""
    point_kls: NDArray[np.float64] | None = None
    """Each point's share [n] of the layer's KL by t-SNE; None where they were not stored."""

    @property
    def misclassified(self) -> NDArray[np.bool_] | None:
        """Which inputs [n] the network misclassifies; None where that is not known."""
        return None if self.predicted is None else np.asarray(self.predicted != self.sample.labels)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The rectangle (left, bottom, right, top) that holds all points."""
        finite = self.points[np.isfinite(self.points).all(axis=1)]
        if not len(finite):
            return (-1.0, -1.0, 1.0, 1.0)
        (left, bottom), (right, top) = finite.min(axis=0), finite.max(axis=0)
        return float(left), float(bottom), float(right), float(top)

    def position(self, row: int) -> tuple[float, float]:
        """Return where a point is."""
        return float(self.points[row, 0]), float(self.points[row, 1])


@dataclass(frozen=True)
class EmbeddingFiles:
    """The files of one embedding.

    Parameters
    ----------
    sample : the inputs with their labels
    chain : the layers up to the one shown, which is the last
    predicted : the network's predictions
    neighbours : the layer's file by t-SNE, whatever method is shown, since it holds the neighbours and the shares of
        the KL; one of the chain
    """

    sample: SealedFile
    chain: tuple[SealedFile, ...]
    predicted: SealedFile | None
    neighbours: SealedFile | None

    @property
    def all(self) -> tuple[SealedFile, ...]:
        return (*self.chain[-1:], self.sample, *self.chain[:-1], *((self.predicted,) if self.predicted else ()))


def epochs_of(snapshot: Snapshot, network: Network, layer: int) -> tuple[int, ...]:
    """Return after which epochs before the last one a layer was measured too, in their order."""
    layer_id = network.layer_ids()[layer]
    epochs = tuple(sorted(epoch for known, epoch in snapshot.earlier if known == layer_id))
    newest = snapshot.layer(network, layer)
    # A recorder's newest epoch is among them, and the layer's end too.
    again = snapshot.plan.is_measured and epochs and newest and newest.kl == snapshot.earlier[layer_id, epochs[-1]].kl
    return epochs[:-1] if again else epochs


def measured_at(
    snapshot: Snapshot, network: Network, layer: int, method: str = SCORE_METHOD, epoch: int | None = None
) -> LayerMeasured | None:
    """Return a layer as it was measured after an epoch, and at the end where it was not; None: not measured yet."""
    earlier = None if epoch is None else snapshot.earlier.get((network.layer_ids()[layer], epoch))
    return earlier if earlier and method == SCORE_METHOD else snapshot.layer(network, layer, method)


def embedding_files(
    snapshot: Snapshot, network: Network, layer: int, method: str = SCORE_METHOD, epoch: int | None = None
) -> EmbeddingFiles | None:
    """Return the files of a layer's embedding, as `measured_at` has it; None where it is not measured yet."""
    shown, sample = measured_at(snapshot, network, layer, method, epoch), snapshot.sample(network)
    if shown is None or sample is None:
        return None
    # Other methods and earlier epochs are aligned to the layer's own t-SNE too.
    own, last = shown.epoch is not None or method != SCORE_METHOD, shown.epoch is None
    before = (snapshot.layer(network, number) for number in range(layer + own))
    chain = (*(measured.file for measured in before if measured), shown.file)
    # What a network predicts is known of its last epoch alone, and so are neighbours in the layer.
    trained = snapshot.trained.get(network.id) if last else None
    scored = snapshot.layer(network, layer) if last else None
    return EmbeddingFiles(sample.file, chain, trained.file if trained else None, scored.file if scored else None)


class EmbeddingCache:
    """The aligned embeddings of one study."""

    def __init__(self, arrays: ArrayCache) -> None:
        self.arrays = arrays
        self._planes = LruCache[tuple[str, ...], Plane](_KEPT)
        self._embeddings = LruCache[tuple[str, ...], AlignedEmbedding](_KEPT)
        self._samples: dict[str, Sample] = {}
        self._similar = LruCache[tuple[str, int], tuple[int, ...]](_KEPT)

    def embedding(self, files: EmbeddingFiles) -> AlignedEmbedding | str | None:
        """Return an embedding, or why it cannot be shown; None while some of its files are not read yet."""
        predictions = files.predicted.sha256 if files.predicted else ""
        key = (files.sample.sha256, *(file.sha256 for file in files.chain), predictions)
        if key in self._embeddings:
            return self._embeddings[key]
        if any(self.arrays.get(file) is None for file in files.all):
            return None
        sample, points = self.arrays.sample(files.sample), self.arrays.points(files.chain[-1])
        for read in (points, sample):
            if read is None or isinstance(read, str):
                return read
        assert isinstance(sample, Sample) and points is not None and not isinstance(points, str)
        if len(points) != len(sample.labels):
            return f"{files.chain[-1].name}: {len(points)} points for a sample of {len(sample.labels)}"
        sample = self._samples.setdefault(sample.sha256, sample)  # one for all layers of a run, for memory
        predicted = self.arrays.predicted(files.predicted, len(points)) if files.predicted else None
        neighbours = self.arrays.neighbours(files.neighbours, len(points)) if files.neighbours else None
        shares = self.arrays.point_kls(files.neighbours, len(points)) if files.neighbours else None
        embedding = AlignedEmbedding(key, self._align(files.chain), sample, predicted, neighbours, shares)
        self._embeddings[key] = embedding
        return embedding

    def similar_inputs(self, sample: Sample, inputs: NDArray[Any], row: int) -> tuple[int, ...]:
        """Return the rows nearest to `row` among the `inputs` [n, d] of a sample; they are the same in every layer."""
        key = sample.sha256, row
        if key not in self._similar:
            self._similar[key] = nearest_to(inputs, row, NEIGHBOURS)
        return self._similar[key]

    def _align(self, chain: tuple[SealedFile, ...]) -> Plane:
        """Return the points of the last file, each file aligned to the one before; unreadable ones are passed over."""
        reference: Plane | None = None
        for end in range(1, len(chain) + 1):
            key = tuple(file.sha256 for file in chain[:end])
            if key not in self._planes:
                points = self.arrays.points(chain[end - 1])
                if points is None or isinstance(points, str):
                    continue
                fits = reference is not None and reference.shape == points.shape
                self._planes[key] = align(points, reference) if fits and reference is not None else standard(points)
            reference = self._planes[key]
        assert reference is not None
        return reference


def neighbour_accuracy(points: NDArray[np.floating], labels: NDArray[np.int64]) -> float | None:
    """Return how often (0 … 1) the 10 nearest other points of a point [n, 2] vote for its own label [n].

    Leave-one-out, equal weights; between classes with equally many votes the nearest voter's wins. None for 10 points
    or fewer and for a single class, where there is nothing to tell apart. 12 ms for 1,000 points.
    """
    plane = np.asarray(points, dtype=np.float32)
    finite = np.isfinite(plane).all(axis=1)
    plane, classes = plane[finite], np.unique(labels[finite], return_inverse=True)[1]
    if len(plane) <= VOTERS or classes.max() == 0:
        return None
    votes = classes[_nearest(plane, VOTERS)]
    counts = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    # Voters stand nearest first, and argmax takes the first of equals.
    winner = votes[np.arange(len(votes)), counts.argmax(axis=1)]
    return float((winner == classes).mean())


def _nearest(plane: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the rows [n, k] of the nearest others of each point, nearest first."""
    squares = (plane**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * (plane @ plane.T)
    np.fill_diagonal(distances, np.inf)
    near = np.argpartition(distances, k - 1, axis=1)[:, :k]
    order = np.argsort(np.take_along_axis(distances, near, axis=1), axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1)


def nearest_to(rows: NDArray[np.generic], row: int, k: int) -> tuple[int, ...]:
    """Return the `k` rows nearest to `row` among `rows` [n, d], nearest first, without itself."""
    # No copy of all rows in between: colour images are 3 MB, and this is done at every step from point to point.
    with np.errstate(all="ignore"):
        offsets = np.subtract(rows, rows[row], dtype=np.float32)
        distances = np.einsum("ij,ij->i", offsets, offsets)
    distances[row] = np.inf
    order = np.argsort(np.where(np.isfinite(distances), distances, np.inf), kind="stable")
    return tuple(int(other) for other in order[:k] if np.isfinite(distances[other]))
