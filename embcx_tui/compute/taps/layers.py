"""The layers of a model: what is called in a pass, in which order and shape, and which of it is measured by default."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import torch
from torch import nn

from embcx_tui.compute.taps.batches import Forward, batch_rows, run_batch
from embcx_tui.compute.taps.hooks import as_found, device_of, forward_hooks, is_compiled_wrapper, named_parts, unwrapped
from embcx_tui.compute.taps.outputs import channel_axis, check_pool, first_tensor, pooled_units
from embcx_tui.study.errors import RequestError
from embcx_tui.study.pooling import POOLS, Pool
from embcx_tui.study.text import safe_text

# Calls of one module in a pass: more are a loop over time steps, whose layers nobody can look through.
MAX_CALLS = 64
# Layers that are measured where none are named: as many bars as a screen shows, and minutes on two cores.
MAX_AUTO = 64
# Units after pooling. n² × units multiply-adds make a layer's distances: at 1,000 rows some 12 s of a core.
MAX_UNITS = 250_000
# A part with less than this share (1/4) of a model's modules is no trunk: a block that came once, with branches in it.
TRUNK = 4

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# What follows a layer with weights and belongs to it. Flatten, Identity and Dropout give the same rows (in eval mode).
_FOLLOWERS = (
    "Norm", "ReLU", "GELU", "SiLU", "ELU", "CELU", "Sigmoid", "Tanh", "Softmax", "Softplus", "Softsign", "Mish",
    "Hardswish", "Pool", "Dropout", "DropPath", "Flatten", "Unflatten", "Identity", "Pad", "Activation",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """What a module gave at one of its calls in a pass."""

    name: str
    """Its place in the model (`layer1.0.relu`), with `:2` for its second call in a pass."""
    module: str
    """Its class."""
    shape: tuple[int, ...]
    """Of one row, without the batch; empty where it gives no floating tensor with the batch in front."""
    calls: int
    """Calls of the module in a pass."""
    units: int
    """Numbers of a row, before pooling."""
    axis: int
    """The axis of the channels in [batch, …]."""
    auto: bool = False
    """Whether it is measured where no layers are named."""
    reason: str = ""
    """Why it cannot be measured; empty where it can."""
    parameters: int = 0
    """Of the module, with its parts."""
    path: str = ""
    """The module's place in the model, without the call."""
    call: int = 1
    """Which call of the module in a pass it is, from 1."""


class LayerTable(Sequence[LayerInfo]):
    """The layers of a model in the order of their calls; as text, a table."""

    def __init__(self, layers: Sequence[LayerInfo]) -> None:
        self._layers = tuple(layers)

    @overload
    def __getitem__(self, index: int) -> LayerInfo: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LayerInfo]: ...
    def __getitem__(self, index: int | slice) -> LayerInfo | Sequence[LayerInfo]:
        return self._layers[index]

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        rows = [("", "name", "class", "shape", "units", "calls", "")]
        for layer in self._layers:
            shape = " × ".join(str(size) for size in layer.shape)
            number = f"{layer.units:,}" if layer.shape else ""
            mark = "auto" if layer.auto else ""
            rows.append((mark, layer.name, layer.module, shape, number, str(layer.calls), layer.reason))
        widths = [max(len(row[column]) for row in rows) for column in range(7)]
        right = (4, 5)
        lines = (
            "  ".join(
                text.rjust(width) if column in right else text.ljust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )
        return "\n".join(lines)


@dataclass(slots=True)
class _Seen:
    """One call of a module while a batch goes through a model."""

    name: str
    module: nn.Module
    call: int
    shape: tuple[int, ...]
    axis: int


def layers(model: nn.Module, batch: Any, forward: Forward | None = None) -> LayerTable:
    """Return the layers of `model`, in the order in which a forward pass of `batch` calls them first; the model is left
    as it was found.

    batch: as a loader gives it: a tensor, a tuple of which the first is the input, or a dict of keyword arguments;
    anything else needs `forward(model, batch)`. RequestError where the model is sharded or a TorchScript program.
    """
    model = unwrapped(model)
    rows = batch_rows(batch)
    seen: list[_Seen] = []
    counts: dict[str, int] = {}
    # How many channels the last layer with weights gave, and on which axis: what follows keeps them there.
    channels = (0, 0)

    def receive(name: str, module: nn.Module, output: Any) -> None:
        nonlocal channels
        counts[name] = counts.get(name, 0) + 1
        if (found := _channels(module))[0]:
            channels = found
        if counts[name] > MAX_CALLS:
            return
        tensor = first_tensor(output, rows)
        shape = () if tensor is None else tuple(tensor.shape)
        seen.append(_Seen(name, module, counts[name], shape, channel_axis(shape, *channels) if shape else 0))

    with as_found(model), forward_hooks(named_parts(model), receive):
        run_batch(model, batch, forward, device_of(model))
    return LayerTable(_with_auto(model, [_info(one, counts[one.name]) for one in seen]))


def _channels(module: nn.Module) -> tuple[int, int]:
    """Return (features, axis) of what a layer with weights gives, (0, 0) for other modules."""
    for attribute, axis in (("out_channels", 1), ("num_features", 1), ("num_channels", 1), ("out_features", -1)):
        if isinstance(value := getattr(module, attribute, None), int) and not any(module.children()):
            return value, axis
    shape = getattr(module, "normalized_shape", None)
    if isinstance(shape, (tuple, list)) and len(shape) == 1 and isinstance(shape[0], int):
        return shape[0], -1
    return 0, 0


def _info(seen: _Seen, calls: int) -> LayerInfo:
    reason = "" if seen.shape else "gives no floating tensor with the batch in front"
    if calls > MAX_CALLS:
        reason = f"called {calls} times in a pass (at most {MAX_CALLS})"
    return LayerInfo(
        name=seen.name if seen.call == 1 else f"{seen.name}:{seen.call}",
        module=safe_text(type(seen.module).__name__, 60),
        shape=seen.shape[1:],
        calls=calls,
        units=pooled_units(seen.shape, seen.axis, "flatten") if seen.shape else 0,
        axis=seen.axis,
        reason=reason,
        parameters=sum(parameter.numel() for parameter in seen.module.parameters()),
        path=seen.name,
        call=seen.call,
    )


def _with_auto(model: nn.Module, found: list[LayerInfo]) -> list[LayerInfo]:
    """Return the layers with their `auto` set: see `_chosen` and `_grouped`."""
    chosen = _chosen(model)
    usable = [info for info in found if not info.reason and info.path in chosen]
    modules = dict(named_parts(model))
    auto = _grouped(usable, modules)
    if len(auto) > MAX_AUTO:
        places = torch.linspace(0, len(auto) - 1, MAX_AUTO).round().int().tolist()
        auto = [auto[place] for place in places]
    names = {info.name for info in auto}
    return [replace(info, auto=info.name in names) for info in found]


def _chosen(model: nn.Module) -> frozenset[str]:
    """Return the names of the modules that are layers of their own: from the root down, containers are opened, and the
    trunk, which holds blocks and a quarter of the model; a module whose siblings share its class (a block), and any
    other, is one.
    """
    chosen: set[str] = set()
    whole = _size(model)

    def go_down(module: nn.Module, prefix: str) -> None:
        children = [
            (f"{prefix}{name}", next(child.children()) if is_compiled_wrapper(child) else child)
            for name, child in module.named_children()
        ]
        for place, child in children:
            twins = sum(type(other) is type(child) for _, other in children)
            is_trunk = twins == 1 and TRUNK * _size(child) >= whole and _holds_blocks(child)
            if type(child) in _CONTAINERS or is_trunk:
                go_down(child, f"{place}.")
            else:
                chosen.add(place)

    go_down(model, "")
    return frozenset(chosen)


def _size(module: nn.Module) -> int:
    """Return how many modules there are in a module."""
    return sum(1 for _ in module.modules())


def _holds_blocks(module: nn.Module) -> bool:
    """Return whether somewhere in `module` two modules with parts of their own and the same class are siblings."""
    for parent in module.modules():
        kinds = [type(child) for child in parent.children() if any(child.children()) and type(child) not in _CONTAINERS]
        if len(kinds) > len(set(kinds)):
            return True
    return False


def _grouped(found: Sequence[LayerInfo], modules: Mapping[str, nn.Module]) -> list[LayerInfo]:
    """Return one layer per group: a convolution or the like with the normalisation, activation and pooling after it is
    one layer, and what its last member gives its rows.
    """
    groups: list[LayerInfo] = []
    is_open = False
    for info in found:
        module = modules[info.path]
        is_leaf = not any(module.children())
        if is_leaf and is_open and any(word in info.module for word in _FOLLOWERS):
            groups[-1] = info
        else:
            groups.append(info)
        is_open = is_leaf
    return groups


def chosen_layers(
    table: LayerTable, wanted: str | Sequence[str], pool: Pool | Mapping[str, Pool]
) -> tuple[list[tuple[LayerInfo, Pool]], list[str]]:
    """Return the layers that `wanted` names with the pooling of each, in the order of the table, and words on those
    that "auto" leaves out because they are too wide.

    wanted: "auto", a glob or globs (`layer*.1`, `*.relu:2`). pool: one for all, or by globs, the first that fits;
    "flatten" where none does. RequestError for a glob that fits nothing, for layers that cannot be measured, for
    pooling that a layer has no tokens for, and for more than MAX_UNITS units.
    """
    is_auto = wanted == "auto"
    globs = ("*",) if is_auto else (wanted,) if isinstance(wanted, str) else tuple(wanted)
    names = [info.name for info in table]
    for glob in globs:
        if not any(fnmatch.fnmatchcase(name, glob) for name in names):
            near = difflib.get_close_matches(glob, names, 3, 0.3) or names[:3]
            raise RequestError(f"no layer is called {safe_text(glob, 60)!r}; the nearest names: {', '.join(near)}")
    chosen: list[tuple[LayerInfo, Pool]] = []
    left_out: list[str] = []
    for info in table:
        if not info.auto if is_auto else not any(fnmatch.fnmatchcase(info.name, glob) for glob in globs):
            continue
        if info.reason:
            if info.name in globs or info.calls > MAX_CALLS:
                raise RequestError(f"{info.name}: {info.reason}; name other layers")
            left_out.append(f"{info.name}: {info.reason}")
            continue
        kind = _pool_of(info.name, pool)
        shape = (0, *info.shape)
        check_pool(info.name, shape, info.axis, kind)
        if (units := pooled_units(shape, info.axis, kind)) > MAX_UNITS:
            words = (
                f"{info.name}: {units:,} units are more than {MAX_UNITS:,} (distances of 1,000 rows take"
                f' {units * 1e6:.0e} multiply-adds); pool="mean" leaves {info.shape[info.axis - 1]:,}'
            )
            if not is_auto:
                raise RequestError(words)
            left_out.append(words)
            continue
        chosen.append((info, kind))
    if not chosen:
        raise RequestError("no layer is left to measure" + "".join(f"; {words}" for words in left_out[:3]))
    return chosen, left_out


def _pool_of(name: str, pool: Pool | Mapping[str, Pool]) -> Pool:
    kinds: Mapping[str, Pool] = pool if isinstance(pool, Mapping) else {"*": pool}
    for kind in kinds.values():
        if kind not in POOLS:
            raise RequestError(f"pool={safe_text(repr(kind), 40)} is none of {', '.join(POOLS)}")
    return next((kind for glob, kind in kinds.items() if fnmatch.fnmatchcase(name, glob)), "flatten")
