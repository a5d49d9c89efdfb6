"""Recording the layers of a model while it trains."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from torch import nn

from embcx_tui.api.handover import SubmittedStudy
from embcx_tui.api.measuring import AUTO, MEMORY, Tapped, dataset_name, options_of
from embcx_tui.api.results import Study
from embcx_tui.compute.taps.batches import Forward
from embcx_tui.study.errors import EmbcxError, RequestError
from embcx_tui.study.pooling import Pool
from embcx_tui.study.text import safe_text


class Recorder:
    """Measures the layers of a model after each epoch, while it trains on: `embcx-tui open` shows it live.

    >>> with embcx_tui.Recorder(model, test_loader, name="resnet18") as record:
    ...     record(0)                        # before training: the untrained control, too
    ...     for epoch in range(90):
    ...         train_one_epoch(model)
    ...         record(epoch + 1)

    A call runs the sample's inputs through the model, writes the rows into the study's folder and returns; a process of
    its own measures them meanwhile, on the CPU unless `device` says otherwise. The sample is drawn once, so all epochs
    are measured on the same inputs, and its batches are kept in memory. The study is complete when the `with` block
    ends, or `close` is called; where this process is killed, what was handed over is still measured.

    Arguments are those of `embcx_tui.measure`; EmbcxError, one line, where something is wrong with them.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: Any,
        *,
        name: str = "",
        dataset: str = "",
        layers: str | Sequence[str] = AUTO,
        pool: Pool | Mapping[str, Pool] = "flatten",
        labels: Any = AUTO,
        classes: Sequence[str] | None = None,
        points: int = 1_000,
        per_class: int = 0,
        run: int = 0,
        forward: Forward | None = None,
        memory: int | str = MEMORY,
        perplexity: float = 30.0,
        engine: str = "exact",
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        options = options_of(
            type(model).__name__, name, dataset or dataset_name(loader), points=points, per_class=per_class, pool=pool,
            run=run, perplexity=perplexity, engine=engine, device=device, seed=seed,
        )  # fmt: skip
        self._tapped = Tapped(model, loader, options, layers, labels, classes, memory, forward)
        self._handed = SubmittedStudy(options, self._tapped.sample)
        self._last = -1
        self._closed = False

    @property
    def id(self) -> str:
        """The id of the study; empty before the first call."""
        return self._handed.paths.id if self._handed.paths else ""

    def __call__(self, epoch: int) -> None:
        """Hand over the layers as they are after `epoch` epochs: 0 before training, then 1, 2, …; any may be left out.

        The first call begins the study and waits for its worker, some seconds; EmbcxError where that cannot be. Later
        ones start the worker again where it is gone; where they fail (a full disk) they warn and training goes on.
        """
        if self._closed:
            raise RequestError("this recorder is closed: make a new one")
        if epoch <= self._last:
            raise RequestError(f"epoch {epoch} comes after epoch {self._last}: epochs are handed over in their order")
        is_first = self._handed.paths is None
        try:
            handover = self._tapped.handover(epoch=epoch, first=is_first, raw_bytes=self._handed.raw_bytes)
            if is_first:
                self._handed.begin([replace(handover, is_control_too=epoch == 0)])
                for words in self._tapped.left_out:
                    print(f"left out: {words}")
                print(f"study {self.id} records; embcx-tui open {self.id}")
            else:
                self._handed.hand_over(handover)
        except EmbcxError as error:
            if is_first:
                raise
            warnings.warn(f"epoch {epoch} is not recorded: {safe_text(error)}", RuntimeWarning, stacklevel=2)
        self._last = epoch

    def close(self) -> Study | None:
        """End the recording; return the study, whose last epochs may still be measured (`study.wait()`). None where
        nothing was recorded.
        """
        self._closed = True
        if self._handed.paths is None:
            return None
        self._handed.close()
        return Study(self._handed.paths)

    @property
    def study(self) -> Study:
        """The study, with the numbers that are there; EmbcxError before the first call."""
        if self._handed.paths is None:
            raise RequestError("nothing is recorded yet: call the recorder first")
        return Study(self._handed.paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except EmbcxError as problem:
            if error is None:
                raise
            warnings.warn(safe_text(problem), RuntimeWarning, stacklevel=2)  # what ended the training is told, not this
