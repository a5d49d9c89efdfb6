"""The points of a layer as the browser shows them: turned onto those of the layers before, so that points stay near.

Every layer is aligned to the one before it in its network, the first to the input, which all networks of a run share:
so two layers always stand to each other in the same way, whichever way a person came.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.alignment import Plane, align, standard
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import SealedFile
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.tui.layers.array_cache import ArrayCache, Sample

# 28 kB each with their neighbours: the layers of 40 networks of six.
_KEPT = 256


@dataclass(frozen=True)
class AlignedEmbedding:
    """One layer's points, aligned for display [n, 2]; `key` says what they were made of."""

    key: tuple[str, ...]
    points: Plane
    sample: Sample
    predicted: NDArray[np.int64] | None
    neighbours: NDArray[np.unsignedinteger[Any]] | None = None
    """The rows [n, k] nearest to each among the activations, nearest first; None where that was not stored."""

    @property
    def missed(self) -> NDArray[np.bool_] | None:
        """Which inputs [n] the network takes for another class; None where that is not known."""
        return None if self.predicted is None else np.asarray(self.predicted != self.sample.labels)


@dataclass(frozen=True)
class Files:
    """What has to be read for one picture: the sample, the layers up to the one shown, its network's answers.

    `scored` is the layer's file by t-SNE, whatever method is shown: it holds the neighbours. It is one of the chain.
    """

    sample: SealedFile
    chain: tuple[SealedFile, ...]
    predicted: SealedFile | None
    scored: SealedFile | None

    @property
    def all(self) -> tuple[SealedFile, ...]:
        return (*self.chain[-1:], self.sample, *self.chain[:-1], *((self.predicted,) if self.predicted else ()))


def files_of(snapshot: Snapshot, network: Network, layer: int, method: str = SCORE_METHOD) -> Files | None:
    """Return the files of a layer's picture; None where it is not measured yet."""
    shown, sample = snapshot.layer(network, layer, method), snapshot.sample(network)
    if shown is None or sample is None:
        return None
    upto = layer if method == SCORE_METHOD else layer + 1
    before = (snapshot.layer(network, place) for place in range(upto))
    trained = snapshot.trained.get(network.id)
    chain = (*(one.file for one in before if one), shown.file)
    scored = snapshot.layer(network, layer)
    return Files(sample.file, chain, trained.file if trained else None, scored.file if scored else None)


class EmbeddingCache:
    """Aligned points of one study, kept by what they were made of."""

    def __init__(self, shelf: ArrayCache) -> None:
        self.shelf = shelf
        self._aligned: OrderedDict[tuple[str, ...], Plane] = OrderedDict()
        self._known: OrderedDict[tuple[str, ...], AlignedEmbedding] = OrderedDict()
        self._samples: dict[str, Sample] = {}

    def cloud(self, files: Files) -> AlignedEmbedding | str | None:
        """Return the points to show, or why they cannot be; None while something is not read yet."""
        answers = files.predicted.sha256 if files.predicted else ""
        key = (files.sample.sha256, *(file.sha256 for file in files.chain), answers)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        if any(self.shelf.known(file) is None for file in files.all):
            return None
        sample, points = self.shelf.sample(files.sample), self.shelf.points(files.chain[-1])
        for read in (points, sample):
            if read is None or isinstance(read, str):
                return read
        assert isinstance(sample, Sample) and points is not None and not isinstance(points, str)
        if len(points) != len(sample.labels):
            return f"{files.chain[-1].name}: {len(points)} points for a sample of {len(sample.labels)}"
        # One object for all layers of a run: that they show the same points is seen by it.
        sample = self._samples.setdefault(sample.sha256, sample)
        aligned = self._align(files.chain)
        predicted = self.shelf.predicted(files.predicted, len(points)) if files.predicted else None
        neighbours = self.shelf.neighbours(files.scored, len(points)) if files.scored else None
        self._known[key] = AlignedEmbedding(key, aligned, sample, predicted, neighbours)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return self._known[key]

    def _align(self, chain: tuple[SealedFile, ...]) -> Plane:
        """Return the points of the last file, turned onto those before; a file that cannot be read is passed over."""
        reference: Plane | None = None
        for place in range(len(chain)):
            key = tuple(file.sha256 for file in chain[: place + 1])
            if key not in self._aligned:
                points = self.shelf.points(chain[place])
                if points is None or isinstance(points, str):
                    continue
                fits = reference is not None and reference.shape == points.shape
                self._aligned[key] = align(points, reference) if fits and reference is not None else standard(points)
                if len(self._aligned) > _KEPT:
                    self._aligned.popitem(last=False)
            reference = self._aligned[key]
        assert reference is not None
        return reference
