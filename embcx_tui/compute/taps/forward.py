"""The rows of layers by forward hooks: passes of a sample through a model, as many as the memory asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from embcx_tui.compute.reduction import is_wide, reduce_layer, reduction_bytes
from embcx_tui.compute.taps.batches import Forward, batch_rows, nbytes, run_batch
from embcx_tui.compute.taps.hooks import as_found, device_of, forward_hooks, named_parts, unwrapped
from embcx_tui.compute.taps.layers import LayerInfo
from embcx_tui.compute.taps.outputs import first_tensor, pooled, pooled_units, token_mask
from embcx_tui.study.errors import RequestError
from embcx_tui.study.pooling import Pool


@dataclass(frozen=True, slots=True, eq=False)
class TappedLayer:
    """The rows of one layer."""

    info: LayerInfo
    pool: Pool
    rows: NDArray[np.floating] | None
    """[n, units] float32; of a wide layer [n, k] float64, reduced, unless raw rows are asked for. None where it has
    `error`.
    """
    width: int
    """Units of a wide layer, before they were reduced where they were; else 0."""
    varying: int
    """Of a reduced layer, the units that are not the same in all rows; else 0."""
    error: str = ""
    """Why this layer has no rows, as one line."""


class _Enough(BaseException):
    """Ends a forward pass whose remaining layers nobody asked for. No Exception, which a forward may catch."""


@dataclass(slots=True, eq=False)
class _Filling:
    """The rows of one layer as batches come."""

    info: LayerInfo
    pool: Pool
    units: int
    rows: NDArray[np.float32]
    filled: int = 0

    def add(self, output: Any, rows: int, mask: Tensor | None) -> None:
        tensor = first_tensor(output, rows)
        taken = None if tensor is None else pooled(tensor.detach(), self.info.axis, self.pool, mask)
        if taken is None or taken.shape[1] != self.units:
            now = "no tensor" if taken is None else f"{taken.shape[1]:,}"
            raise RequestError(
                f"{self.info.name} gives {now} units for one batch and {self.units:,} for another: pad inputs to one"
                ' length, or use pool="mean"'
            )
        # A copy, here and now: what follows may work in place on the output (ReLU(inplace=True), out += identity).
        target = torch.from_numpy(self.rows[self.filled : self.filled + rows])
        target.copy_(taken)
        self.filled += rows


class Outputs:
    """Runs a sample through a model and gives the rows of its layers."""

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Any],
        chosen: Sequence[tuple[LayerInfo, Pool]],
        memory: int,
        forward: Forward | None = None,
        raw_bytes: int = 0,
    ) -> None:
        """batches: the sample, as the loader gives it. memory: bytes, for the sample, the rows and their reduction.
        raw_bytes: where the wide layers take no more, and one pass will do, they are not reduced here.

        Raises RequestError where a layer does not fit `memory` by itself.
        """
        self._model = unwrapped(model)
        self._batches = batches
        self._forward = forward
        self._n = sum(batch_rows(batch) for batch in batches)
        self._groups = self._grouped(chosen, memory - sum(nbytes(batch) for batch in batches), memory)
        self._budget = memory
        wide = sum(4 * self._n * units for group in self._groups for _, _, units in group if is_wide(self._n, units))
        self._reduces = wide > raw_bytes or len(self._groups) > 1

    @property
    def passes(self) -> int:
        """Forward passes over the sample."""
        return len(self._groups)

    def _grouped(
        self, chosen: Sequence[tuple[LayerInfo, Pool]], left: int, memory: int
    ) -> list[list[tuple[LayerInfo, Pool, int]]]:
        """Return the layers with their units in as few groups, in their order, as fit the memory."""
        groups: list[list[tuple[LayerInfo, Pool, int]]] = [[]]
        used = 0
        for info, pool in chosen:
            units = pooled_units((0, *info.shape), info.axis, pool)
            size = 4 * self._n * units
            extra = reduction_bytes(self._n, units) if is_wide(self._n, units) else 0
            if size + extra > left:
                raise RequestError(
                    f"{info.name}: {self._n:,} rows of {units:,} units take {(size + extra) / 1e9:.1f} GB, and of"
                    f" memory={memory / 1e9:.1f} GB {max(0, left) / 1e9:.1f} are left beside the inputs: raise memory=,"
                    ' lower points=, or use pool="mean"'
                )
            if groups[-1] and used + size + extra > left:
                groups.append([])
                used = 0
            groups[-1].append((info, pool, units))
            used += size
        return groups

    def layers(self) -> Iterator[TappedLayer]:
        """Yield the layers in their order; a layer whose rows are not finite has an `error`. The model is run for a
        group of layers when its first is asked for, and left as it was found before that is yielded.
        """
        for group in self._groups:
            filling = self._pass(group)
            while filling:
                yield self._finished(filling.pop(0))

    def _pass(self, group: Sequence[tuple[LayerInfo, Pool, int]]) -> list[_Filling]:
        """Run the sample through the model as far as the last layer of `group`: wide layers, which need passes of their
        own, come early. The first two blocks of ResNet-18 are a fifth of its work.
        """
        filling = {
            (info.path, info.call): _Filling(info, pool, units, np.empty((self._n, units), dtype=np.float32))
            for info, pool, units in group
        }
        paths = {path for path, _ in filling}
        modules = [(name, module) for name, module in named_parts(self._model) if name in paths]
        calls: dict[str, int] = {}
        rows, mask = 0, None

        def receive(name: str, module: nn.Module, output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if one := filling.get((name, calls[name])):
                one.add(output, rows, mask)
                if all(other.filled == done + rows for other in filling.values()):
                    raise _Enough

        device = device_of(self._model)
        done = 0
        with as_found(self._model), forward_hooks(modules, receive):
            for batch in self._batches:
                calls.clear()
                rows, mask = batch_rows(batch), token_mask(batch)
                with suppress(_Enough):
                    run_batch(self._model, batch, self._forward, device)
                done += rows
                for one in filling.values():
                    if one.filled != done:
                        raise RequestError(f"{one.info.name} was not called for every batch; name other layers")
        return list(filling.values())

    def _finished(self, one: _Filling) -> TappedLayer:
        """Return a layer with its rows, reduced where it is wide."""
        try:
            wide = is_wide(self._n, one.units)
            if wide and self._reduces:
                reduced = reduce_layer(one.rows, budget_bytes=self._budget)
                return TappedLayer(one.info, one.pool, reduced.rows, one.units, reduced.varying)
            finite = np.isfinite(one.rows).all(axis=1)
        except ValueError as error:
            return TappedLayer(one.info, one.pool, None, one.units, 0, str(error))
        if finite.all():
            return TappedLayer(one.info, one.pool, one.rows, one.units if wide else 0, 0)
        bad = int(np.count_nonzero(~finite))
        return TappedLayer(one.info, one.pool, None, 0, 0, f"{bad:,} of {self._n:,} rows are not finite (float16?)")
