"""Batches as loaders give them: how many rows, which labels, some rows of one, and a model's pass over it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from embcx_tui.study.errors import RequestError

Forward: TypeAlias = Callable[[nn.Module, Any], Any]
"""How a model is called on a batch: `lambda model, batch: model(batch["pixels"], scale=2)`."""

# What a batch or a dataset calls its labels.
LABEL_NAMES = ("labels", "label", "targets", "target", "y")


def batch_rows(batch: Any) -> int:
    """Return the rows of a batch: the length of the first tensor or array in it; RequestError where it has none."""
    rows = _rows(batch)
    if rows is None:
        raise RequestError(
            f"a batch holds no tensor ({type(batch).__name__}): give a tensor, a tuple that begins with the inputs, or"
            " a dict of them"
        )
    return rows


def _rows(part: Any) -> int | None:
    if isinstance(part, (Tensor, np.ndarray)):
        return len(part) if part.ndim else None
    parts = part.values() if isinstance(part, Mapping) else part if isinstance(part, (tuple, list)) else ()
    return next((rows for one in parts if (rows := _rows(one)) is not None), None)


def batch_labels(batch: Any) -> NDArray[Any] | None:
    """Return the labels [rows] of a batch: its second part, or what a dict has under a usual name; None where it has
    none, or a label per token.
    """
    found: Any = None
    if isinstance(batch, Mapping):
        found = next((batch[name] for name in LABEL_NAMES if name in batch), None)
    elif isinstance(batch, (tuple, list)) and len(batch) > 1:
        found = batch[1]
    return None if found is None else as_labels(found, batch_rows(batch))


def as_labels(found: Any, rows: int | None = None) -> NDArray[Any] | None:
    """Return `found` as an array of labels [rows]; None where it is of another shape."""
    values = found.detach().cpu().numpy() if isinstance(found, Tensor) else None
    if values is None:
        try:
            values = np.asarray(found)
        except (ValueError, TypeError):  # nested lists of several lengths; objects that refuse
            return None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    return (
        values
        if values.ndim == 1 and (rows is None or len(values) == rows) and values.dtype.kind in "biufUSO"
        else None
    )


def take(part: Any, places: Sequence[int], rows: int) -> Any:
    """Return the rows `places` of a batch (or a part of it) of `rows` rows, copied, on the CPU."""
    if isinstance(part, Tensor):
        if part.dim() and len(part) == rows:
            return part.detach().cpu()[list(places)]
        return part.detach().cpu()
    if isinstance(part, np.ndarray) and part.ndim and len(part) == rows:
        return part[list(places)]
    if isinstance(part, Mapping):
        return {key: take(value, places, rows) for key, value in part.items()}
    if isinstance(part, tuple) or (isinstance(part, list) and (not part or _rows(part) is not None)):
        taken = [take(value, places, rows) for value in part]
        return type(part)(*taken) if hasattr(part, "_fields") else type(part)(taken)
    if isinstance(part, list) and len(part) == rows:
        return [part[place] for place in places]
    return part


def nbytes(part: Any) -> int:
    """Return the bytes of the tensors and arrays of a batch."""
    if isinstance(part, (Tensor, np.ndarray)):
        return int(part.nbytes)
    parts = part.values() if isinstance(part, Mapping) else part if isinstance(part, (tuple, list)) else ()
    return sum(nbytes(one) for one in parts)


def run_batch(model: nn.Module, batch: Any, forward: Forward | None, device: torch.device) -> Any:
    """Return what `model` gives for a batch, whose tensors are copied to `device`; RequestError for a batch whose input
    is not clear.
    """
    batch = _on(batch, device)
    if forward is not None:
        return forward(model, batch)
    if isinstance(batch, Mapping):
        return model(**_arguments(model, batch))
    if isinstance(batch, (tuple, list)) and batch and isinstance(batch[0], Tensor):
        return model(batch[0])
    if isinstance(batch, Tensor):
        return model(batch)
    raise RequestError(
        f"a batch of {type(batch).__name__} is not clear: give forward=lambda model, batch: model(…), or batches that"
        " are tensors, tuples that begin with one, or dicts"
    )


def _on(part: Any, device: torch.device) -> Any:
    """Return a batch with its tensors on `device`."""
    if isinstance(part, Tensor):
        return part.to(device)
    if isinstance(part, Mapping):
        return {key: _on(value, device) for key, value in part.items()}
    if isinstance(part, (tuple, list)):
        moved = [_on(value, device) for value in part]
        return type(part)(*moved) if hasattr(part, "_fields") else type(part)(moved)
    return torch.from_numpy(part).to(device) if isinstance(part, np.ndarray) and part.dtype.kind in "biuf" else part


def _arguments(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a model's forward that a batch has, without its labels: with them some models compute a
    loss, and return it first.
    """
    parameters = inspect.signature(model.forward).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        names = set(batch)
    else:
        names = {parameter.name for parameter in parameters} & set(batch)
    arguments = {name: value for name, value in batch.items() if name in names and name not in LABEL_NAMES}
    if not arguments:
        wanted = ", ".join(parameter.name for parameter in parameters)
        raise RequestError(
            f"a batch has {', '.join(map(str, batch))}, and the model takes {wanted}: give forward=lambda model, batch:"
            " model(…)"
        )
    return arguments
