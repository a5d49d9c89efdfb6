"""Forward hooks on a model that is measured as it is and left as it was found, also where its forward raises."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from embcx_tui.study.errors import RequestError

# By their names: importing torch.distributed.fsdp costs 0.5 s, and models that are sharded have it loaded.
_SHARDED = ("FullyShardedDataParallel", "FSDPModule")


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DataParallel, DistributedDataParallel and torch.compile.

    Raises RequestError for what is no module, for a sharded model, and for one whose parameters have no sizes yet.
    """
    if not isinstance(model, nn.Module):
        raise RequestError(f"the model must be a torch.nn.Module, not {type(model).__name__}")
    for _ in range(8):
        kinds = {kind.__name__ for kind in type(model).__mro__}
        inner: object = None
        if kinds & {"DataParallel", "DistributedDataParallel"}:
            inner = model.module
        elif "OptimizedModule" in kinds:
            inner = model._orig_mod
        if not isinstance(inner, nn.Module):
            break
        model = inner
    for module in model.modules():
        if any(kind.__name__ in _SHARDED for kind in type(module).__mro__):
            raise RequestError("the model is sharded (FSDP), no rank has its layers: gather it into one process first")
    if isinstance(model, torch.jit.ScriptModule):
        raise RequestError("the model is a TorchScript program, whose layers take no hooks: use the Python model")
    if any(is_lazy(parameter) for parameter in model.parameters()):
        raise RequestError("the model has lazy layers without sizes: run a batch through it first")
    return model


def named_parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the modules of a model with their places in it, without itself and the wrappers of compiled parts."""
    return [
        (".".join(part for part in name.split(".") if part != "_orig_mod"), module)
        for name, module in model.named_modules()
        if name and not is_compiled_wrapper(module)
    ]


def is_compiled_wrapper(module: nn.Module) -> bool:
    """Return whether a module is what `torch.compile` made of another."""
    return "_orig_mod" in module._modules


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's first parameter or buffer; the CPU where it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


@contextmanager
def untouched_streams(
    generators: Iterable[torch.Generator] = (), devices: Iterable[torch.device] = ()
) -> Iterator[None]:
    """Leave the streams of random numbers as they were: torch's, of `devices` too, numpy's, Python's, and those of
    `generators`: a loader draws from one whenever it is iterated, and training would go on with another order.
    """
    cuda = sorted({device.index or 0 for device in devices if device.type == "cuda"})
    given = [(generator, generator.get_state()) for generator in generators]
    python, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=cuda):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        for generator, state in given:
            generator.set_state(state)


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Let `model` be run in eval mode without gradients; afterwards the mode of every module, its buffers and the
    streams of random numbers are what they were. Nothing is moved, and no parameter is touched.

    Modes are set module by module and not by `eval()`, which some models override to rewrite their weights (LoRA).
    Gradients are off by `no_grad`: what a model keeps from an inference-mode pass could not be trained with later.
    Compiled parts run as written, and attention takes the way on which all of its modules are called.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(module, dict(module._buffers)) for module in model.modules()]
    kept = {id(tensor): _Kept(tensor) for _, own in buffers for tensor in own.values() if tensor is not None}
    with ExitStack() as stack:
        stack.callback(_restore, modes, buffers, kept)
        stack.enter_context(untouched_streams(devices={tensor.device for tensor in model.parameters()}))
        stack.enter_context(torch.no_grad())
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        if any(_is_compiled(module) for module in model.modules()):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        for module, _ in modes:
            module.training = False
        yield


def _is_compiled(module: nn.Module) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None or is_compiled_wrapper(module)


class _Kept:
    """A buffer and its numbers."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.copy = tensor.detach().clone()
        self.version = None if tensor.is_inference() else tensor._version

    def restore(self) -> None:
        # Only where something was written: writing makes a graph that waits for its backward pass invalid.
        if self.version is None or self.tensor._version != self.version:
            self.tensor.detach().copy_(self.copy)


def _restore(
    modes: list[tuple[nn.Module, bool]],
    buffers: list[tuple[nn.Module, dict[str, Tensor | None]]],
    kept: dict[int, _Kept],
) -> None:
    for module, training in modes:
        module.training = training
    for module, own in buffers:
        # Tensors are compared by what they are, not by their numbers: a forward may have put another one in place.
        if [(name, id(tensor)) for name, tensor in module._buffers.items()] != [(n, id(t)) for n, t in own.items()]:
            module._buffers.clear()
            module._buffers.update(own)
    with torch.no_grad():
        for buffer in kept.values():
            buffer.restore()


@contextmanager
def forward_hooks(
    modules: Iterable[tuple[str, nn.Module]], receive: Callable[[str, nn.Module, Any], None]
) -> Iterator[None]:
    """Call `receive(name, module, output)` whenever one of `modules` has been called; remove our hooks, and them alone,
    at the end. A module that takes no hook (TorchScript) is not heard.
    """

    def hook_of(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            receive(name, module, output)

        return hook

    with ExitStack() as stack:
        for name, module in modules:
            if not isinstance(module, torch.jit.ScriptModule):
                stack.callback(module.register_forward_hook(hook_of(name)).remove)
        yield
