"""Measuring a model, or rows that somebody has taken of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from embcx_tui.api.handover import (
    Control,
    Handover,
    Options,
    Row,
    Sample,
    SubmittedStudy,
    bytes_of,
    encoded,
    encoder,
    no_labels,
    pictures,
)
from embcx_tui.api.results import Study
from embcx_tui.compute.activation_files.labels import INPUT_NAMES
from embcx_tui.compute.activation_files.pooling import effective_pool, pooled
from embcx_tui.compute.reduction import is_wide, reduce_layer
from embcx_tui.compute.samples import measured_sample
from embcx_tui.compute.taps import layers as tap_layers
from embcx_tui.compute.taps.batches import Forward
from embcx_tui.compute.taps.draw_sample import Drawn, Wanted, draw
from embcx_tui.compute.taps.forward import Outputs
from embcx_tui.compute.taps.hooks import unwrapped
from embcx_tui.compute.taps.layers import MAX_UNITS, LayerInfo, LayerTable, chosen_layers
from embcx_tui.study.errors import RequestError
from embcx_tui.study.events import LayerDescribed
from embcx_tui.study.pooling import Pool
from embcx_tui.study.text import safe_text

AUTO = "auto"
# Of the caller's process, beside what it holds already: the sample, the rows of some layers, and their reduction.
MEMORY = "2 GiB"


def layers(model: nn.Module, batch: Any, *, forward: Forward | None = None) -> LayerTable:
    """Return the layers of `model` in the order in which a pass over `batch` calls them; as text, a table.

    Each has `name`, `module` (its class), `shape` (of a row), `calls` per pass, `units`, and `auto`: whether `measure`
    takes it where no layers are named. The model is left as it was found.

    model: a torch module; DataParallel and torch.compile are unwrapped. batch: as a loader gives it: a tensor, a tuple
    that begins with the inputs, or a dict of keyword arguments; for others give `forward=lambda model, batch: …`.
    EmbcxError where the model is sharded (FSDP) or a TorchScript program.

    >>> print(embcx_tui.layers(model, next(iter(loader))))
    """
    return tap_layers.layers(model, batch, forward)


class Tapped:
    """A model with the sample and the layers that are measured of it."""

    def __init__(
        self,
        model: nn.Module,
        loader: Any,
        options: Options,
        wanted: str | Sequence[str],
        labels: Any,
        classes: Sequence[str] | None,
        memory: int | str,
        forward: Forward | None,
    ) -> None:
        self.model = model
        self._forward = forward
        self._memory = bytes_of(memory)
        inner = unwrapped(model)
        self.drawn = _drawn(loader, options, labels, classes)
        options.check_points(len(self.drawn.index))
        table = tap_layers.layers(model, self.drawn.batches[0], forward)
        self.chosen, self.left_out = chosen_layers(table, wanted, options.pool)
        self._parameters = sum(parameter.numel() for parameter in inner.parameters())
        self.has_input = _has_input(self.drawn)
        Outputs(model, self.drawn.batches, self.chosen, self._memory, forward)  # refused now where memory is short

    @property
    def sample(self) -> Sample:
        shown, shape = pictures(_inputs(self.drawn)) if self.has_input else (None, None)
        drawn = self.drawn
        return Sample(drawn.index, drawn.labels, drawn.classes, drawn.total, drawn.words, shown, shape)

    def handover(
        self,
        model: nn.Module | None = None,
        *,
        control: Control = "",
        epoch: int | None = None,
        first: bool = True,
        raw_bytes: int = 0,
    ) -> Handover:
        """Return the layers of the model as it is now; with the input where it is the `first` of its run. Wide layers
        of at most `raw_bytes` are left to the worker to reduce.
        """
        outputs = Outputs(model or self.model, self.drawn.batches, self.chosen, self._memory, self._forward, raw_bytes)
        rows = [
            Row(_described(one.info, one.pool), one.rows, one.width, one.varying, one.error) for one in outputs.layers()
        ]
        given = self._input_row() if first else None
        return Handover(rows, self._parameters, given, control, epoch)

    def _input_row(self) -> Row | None:
        if not self.has_input:
            return None
        inputs = _inputs(self.drawn)
        flat = inputs.reshape(len(inputs), -1)
        described = LayerDescribed(name="input", shape=inputs.shape[1:], units=flat.shape[1], pool="flatten")
        return _row(described, flat.astype(np.float32, copy=False), self._memory)


def _row(described: LayerDescribed, rows: NDArray[np.float32], memory: int) -> Row:
    """Return a layer to hand over, reduced where it is wide."""
    try:
        if is_wide(*rows.shape):
            reduced = reduce_layer(rows, budget_bytes=memory)
            return Row(described, reduced.rows, rows.shape[1], reduced.varying)
    except ValueError as error:
        return Row(described, None, rows.shape[1], error=str(error))
    bad = int(np.count_nonzero(~np.isfinite(rows).all(axis=1)))
    if bad:
        return Row(described, None, error=f"{bad:,} of {len(rows):,} rows are not finite (float16?)")
    return Row(described, rows)


def _described(info: LayerInfo, pool: Pool) -> LayerDescribed:
    return LayerDescribed(
        name=info.name, kind=info.module, shape=info.shape, units=info.units, pool=pool, calls=info.calls
    )


def _drawn(loader: Any, options: Options, labels: Any, classes: Sequence[str] | None) -> Drawn:
    given = None if labels is None or (isinstance(labels, str) and labels == AUTO) else np.asarray(_plain(labels))
    if classes is None and labels is not None:
        classes = _dataset_classes(loader)
    encode = encoder(classes)
    wanted = Wanted(
        options.points, options.per_class, options.sample_seed, encode, given, is_labelled=labels is not None
    )
    return draw(loader, wanted)


def _dataset_classes(loader: Any) -> Sequence[str] | None:
    """Return the names of the classes that a loader's dataset has (torchvision's do), where they are texts."""
    dataset = getattr(loader, "dataset", loader)
    for _ in range(4):
        found = getattr(dataset, "classes", None)
        if isinstance(found, (list, tuple)) and found and all(isinstance(name, str) for name in found):
            return found
        dataset = getattr(dataset, "dataset", None)
    return None


def _has_input(drawn: Drawn) -> bool:
    """Return whether the inputs of a sample are a layer: tensors of one shape, neither tokens nor too wide."""
    tensors = _input_tensors(drawn)
    if len(tensors) < len(drawn.batches) or len({part.shape[1:] for part in tensors}) > 1:
        return False
    first = tensors[0]
    return (first.is_floating_point() or first.dtype == torch.uint8) and first[0].numel() <= MAX_UNITS


def _input_tensors(drawn: Drawn) -> list[Tensor]:
    parts = [batch[0] if isinstance(batch, (tuple, list)) else batch for batch in drawn.batches]
    return [part for part in parts if isinstance(part, Tensor) and part.dim() > 1]


def _inputs(drawn: Drawn) -> NDArray[Any]:
    """Return a copy of the inputs [n, …] of a sample; not kept, since 1,000 images of 224 × 224 take 0.6 GB."""
    together = torch.cat(_input_tensors(drawn))
    return (together if together.dtype == torch.uint8 else together.float()).numpy()


def _plain(values: Any) -> Any:
    """Return an array of anybody's as numpy's: torch's of any device and float type too."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return values


def options_of(default_name: str, name: str, dataset: str, **others: Any) -> Options:
    shown = safe_text(name or default_name, 60) or "model"
    return Options(name=shown, dataset=safe_text(dataset, 40) or "data", **others)


def dataset_name(loader: Any) -> str:
    """Return what a loader's data are called where nobody says it: the class of its dataset."""
    dataset = getattr(loader, "dataset", None)
    kind = type(getattr(dataset, "dataset", dataset)).__name__
    return "data" if dataset is None or kind in ("TensorDataset", "Subset", "ConcatDataset") else kind


def measure(
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
    untrained: nn.Module | None = None,
    control: Control = "",
    run: int = 0,
    forward: Forward | None = None,
    memory: int | str = MEMORY,
    perplexity: float = 30.0,
    engine: str = "exact",
    device: str = "cpu",
    seed: int = 0,
    wait: bool = True,
    quiet: bool = False,
) -> Study:
    """Measure the embedding complexity of the layers of `model` on inputs of `loader`; return the study.

    The model is run here, in eval mode and without gradients, and left as it was found; a process of its own measures,
    and `embcx-tui open ID` shows it. Prints a line per layer (units, n, KL in nats, knn) unless `quiet`.

    model: a torch module. loader: a DataLoader, an iterable of batches, a dataset, or a tensor of inputs [total, …].
    name: of the study and the model. dataset: what the inputs are called.
    layers: "auto" (blocks, and what comes before and after them: see `embcx_tui.layers`), or globs of names.
    pool: "flatten" (all units), or "mean", "max", "first", "last" of a map's places or a text's tokens; or such by
        globs, {"encoder.*": "mean"}. Numbers of different pooling are different numbers.
    labels: of all inputs, [total], numbers or text; "auto": the dataset's or the batches'; None: there are none.
    classes: the names of labels 0 … K - 1. points: inputs in all, balanced over the classes; per_class: of each.
    untrained: the same model before it was trained, as a control. control: "untrained" or "shuffled" where `model`
        itself is one. run: its number among the runs of a model.
    forward: how the model is called on a batch that is no tensor, tuple that begins with the inputs, or dict.
    memory: bytes that may be used here, as "2 GiB"; more layers than fit take further passes.
    perplexity, engine, device, seed: as in a study file; engine="opentsne" for more than 10,000 points.
    wait: False returns at once; `study.wait()` waits then.

    Raises EmbcxError, one line that says what is wrong and what to do; what the model's own forward raises comes
    through.

    >>> study = embcx_tui.measure(model, loader, name="resnet18"); study.layers[3].kl
    """
    options = options_of(
        type(model).__name__, name, dataset or dataset_name(loader), points=points, per_class=per_class, pool=pool,
        run=run, perplexity=perplexity, engine=engine, device=device, seed=seed,
    )  # fmt: skip
    tapped = Tapped(model, loader, options, layers, labels, classes, memory, forward)
    first = [tapped.handover(control=control)]
    if untrained is not None:
        if control:
            raise RequestError("control= says that the model is one itself; untrained= is for a trained one")
        first.append(tapped.handover(untrained, control="untrained", first=False))
        first[1] = _with_input(first[1], first[0])
    return _finished(SubmittedStudy(options, tapped.sample), first, tapped.left_out, wait=wait, quiet=quiet)


def _with_input(handover: Handover, other: Handover) -> Handover:
    """Return a control with the input that it shares with its network."""
    return Handover(handover.layers, handover.parameters, other.input, handover.control, handover.epoch)


def measure_rows(
    rows: Mapping[str, Any],
    labels: Any = None,
    *,
    untrained: Mapping[str, Any] | None = None,
    name: str = "rows",
    dataset: str = "data",
    pool: Pool = "flatten",
    classes: Sequence[str] | None = None,
    points: int = 1_000,
    per_class: int = 0,
    control: Control = "",
    run: int = 0,
    memory: int | str = MEMORY,
    perplexity: float = 30.0,
    engine: str = "exact",
    device: str = "cpu",
    seed: int = 0,
    wait: bool = True,
    quiet: bool = False,
) -> Study:
    """Measure rows of layers that you have taken yourself; return the study, as `measure` does.

    rows: by the names of the layers, in their order, arrays [n, …] of numpy, torch, or anything that gives an array;
        "input" or "X" is layer 0. Rows of more dimensions are maps [n, channels, height, width] or tokens [n, tokens,
        units]: see `pool`. labels: [n], numbers or text; None: there are none. untrained: the same layers of the
        untrained network, on the same inputs. The other arguments are those of `measure`.

    EmbcxError, one line, also where lengths differ.

    >>> embcx_tui.measure_rows({"conv1": x1, "fc": x2}, labels=y)
    """
    options = options_of(
        "rows", name, dataset, points=points, per_class=per_class, pool=pool,
        run=run, perplexity=perplexity, engine=engine, device=device, seed=seed,
    )  # fmt: skip
    arrays = _arrays(rows)
    total = len(next(iter(arrays.values())))
    names = None if classes is None else tuple(classes)
    found = no_labels(total) if labels is None else encoded(_plain(labels), names)
    if len(found.numbers) != total:
        raise RequestError(f"{len(found.numbers):,} labels, but {total:,} rows; one label per row is needed")
    index = measured_sample(found.numbers, found.classes, points, per_class, options.sample_seed)
    options.check_points(len(index))
    budget = bytes_of(memory)
    first = [_handover_of(arrays, index, pool, control, budget)]
    if untrained is not None:
        others = _arrays(untrained)
        if list(others) != list(arrays) or len(next(iter(others.values()))) != total:
            raise RequestError("untrained= needs the same layers of the same inputs as rows=")
        first.append(_handover_of(others, index, pool, "untrained", budget))
    shown, shape = (None, None)
    if key := next((name for name in INPUT_NAMES if name in arrays), ""):
        shown, shape = pictures(arrays[key][index])
    sample = Sample(index, found.numbers[index], found.classes, total, "", shown, shape)
    return _finished(SubmittedStudy(options, sample), first, [], wait=wait, quiet=quiet)


def _arrays(rows: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return rows as arrays [n, …] of one length; RequestError where they are none."""
    if not isinstance(rows, Mapping) or not rows:
        raise RequestError('rows are a dict by the names of the layers: {"conv1": x1, "fc": x2}')
    found: dict[str, NDArray[Any]] = {}
    for name, given in rows.items():
        array = np.asarray(_plain(given))
        if array.dtype.kind not in "fiub" or array.ndim < 2 or not array.size:
            raise RequestError(
                f"{safe_text(name, 60)}: {array.dtype} of shape {array.shape} are no rows; floats [n, units] are"
            )
        found[str(name)] = array
    first, *others = found.items()
    for name, array in others:
        if len(array) != len(first[1]):
            raise RequestError(
                f"{safe_text(name, 60)} has {len(array):,} rows and {safe_text(first[0], 60)} {len(first[1]):,}; layers"
                " have one row per input"
            )
    return found


def _handover_of(
    arrays: Mapping[str, NDArray[Any]], index: NDArray[np.int64], pool: Pool, control: Control, memory: int
) -> Handover:
    """Return the rows `index` of arrays, pooled, to hand over."""
    rows: list[Row] = []
    given: Row | None = None
    for name, array in arrays.items():
        is_input = given is None and name in INPUT_NAMES and len(arrays) > 1
        try:
            kind: Pool = "flatten" if is_input else effective_pool(array.shape, pool)
            taken = pooled(array[index], kind)
        except ValueError as error:
            raise RequestError(f"{safe_text(name, 60)}: {error}") from None
        described = LayerDescribed(
            name="input" if is_input else name, shape=array.shape[1:], units=int(np.prod(array.shape[1:])), pool=kind
        )
        row = _row(described, taken, memory)
        if is_input:
            given = row
        else:
            rows.append(row)
    return Handover(rows, 0, given, control)


def _finished(
    study: SubmittedStudy, first: list[Handover], left_out: Sequence[str], *, wait: bool, quiet: bool
) -> Study:
    """Begin a study, print what is left out, wait where asked, and print its layers."""
    found = Study(study.begin(first))
    study.close()
    if not quiet:
        for words in left_out:
            print(f"left out: {words}")
    if not wait:
        if not quiet:
            print(f"study {found.id} runs; embcx-tui open {found.id}")
        return found
    found.wait()
    if found.state != "complete":
        raise RequestError(f"study {found.id}: {found.reason or 'its worker ended without a word'}")
    if not quiet:
        print(found)
    return found
