"""What `doctor` and the form ask of this machine: whether all that studies use works here, each part by itself.

A process of its own, since a broken library may end it: each part is named before it is tried, so that the terminal
process knows which one did. No library is imported before its turn.
"""

from __future__ import annotations

import importlib
import json
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from embcx_tui.study.errors import EmbcxError, RequestError
from embcx_tui.study.text import safe_text
from embcx_tui.worker.process import prepare_environment

# The modules of each library that studies use.
_LIBRARIES = {
    "scikit-learn": ("sklearn.datasets", "sklearn.decomposition", "sklearn.manifold", "sklearn.neighbors"),
    "openTSNE": ("openTSNE",),
}
_POINTS, _UNITS, _PERPLEXITY = 100, 8, 10.0
_GB = 1e9
# P of numpy and of the kernels, relative to the largest: both are float64, bisection ends at 1e-12.
_P_TOLERANCE = 1e-8
# The KL divergence that is recorded and the one of its points, which are rounded to float32.
_KL_TOLERANCE = 1e-4


class _Report:
    """The findings so far, and which parts work."""

    def __init__(self) -> None:
        self.findings: list[dict[str, str]] = []
        self.works: set[str] = set()

    def add(self, what: str, verdict: str, text: str) -> None:
        self.findings.append({"what": what, "verdict": verdict, "text": text})

    def attempt(self, what: str, part: Callable[[], str]) -> None:
        """Try a part and note what it says, or why it fails; a part that says nothing needs no line."""
        print(json.dumps({"part": what}), flush=True)
        try:
            text = part()
        except Exception as error:  # whatever a broken library raises is what its user is to be told
            words = safe_text(str(error).strip().partition("\n")[0], 200) or type(error).__name__
            kind = "cannot be imported: " if isinstance(error, ImportError | OSError) else f"{type(error).__name__}: "
            self.add(what, "bad", words if isinstance(error, EmbcxError) else f"{kind}{words}")
            return
        self.works.add(what)
        if text:
            self.add(what, "ok", text)


def check() -> dict[str, Any]:
    """Return {"findings": [{"what", "verdict", "text"}, …]}: the device, and each part that studies use."""
    report = _Report()
    prepare_environment()
    card = None
    report.attempt("torch", _torch)
    if "torch" in report.works:
        report.attempt("torchvision", _torchvision)
        card = _device(report)
    report.attempt("numba", _numba)
    for library, modules in _LIBRARIES.items():
        report.attempt(library, partial(_imported, modules))
    if {"torch", "numba", "scikit-learn", "openTSNE"} <= report.works:
        report.attempt("embedding", embedding_check)
        if card is not None:
            report.attempt("self-check", partial(_self_check, report, card))
    return {"findings": report.findings}


def gpu() -> dict[str, Any]:
    """Return {"problem": …}: one line on why torch cannot use a GPU that is here, empty where nothing is amiss."""
    from embcx_tui.compute.gpus import automatic

    trouble = automatic().trouble
    return {"problem": "" if trouble.wanted else trouble.text}


def gpus() -> dict[str, Any]:
    """Return {"gpus": [{"number", "uuid", "visible", "refusal"}, …], "problem": …}: torch's GPUs, those with most room
    first, what CUDA_VISIBLE_DEVICES calls each, and why one cannot be used.
    """
    import torch

    from embcx_tui.compute import gpus, nvml

    if not gpus.is_available():
        trouble = gpus.trouble()
        return {"gpus": [], "problem": "" if trouble.wanted else trouble.text}
    nvml.connect()  # where it cannot, it answers nothing
    uuids = {number: gpus.uuid_of(number) or "" for number in range(torch.cuda.device_count())}
    loads = {number: nvml.load_of(nvml.handle_of(uuid) if uuid else None) for number, uuid in uuids.items()}
    found = [
        {
            "number": number,
            "uuid": uuids[number],
            "visible": nvml.visible_name(uuids[number]) or gpus.visible_number(number),
            "refusal": gpus.refusal(number),
        }
        for number in gpus.by_room(loads)
    ]
    return {"gpus": found, "problem": next((str(one["refusal"]) for one in found if one["refusal"]), "")}


def _torch() -> str:
    import torch

    torch.ones(2, 2) @ torch.ones(2, 2)
    return ""


def _torchvision() -> str:
    try:
        importlib.import_module("torchvision.datasets")
    except (ImportError, RuntimeError, OSError) as error:
        words = safe_text(str(error).partition("\n")[0], 160)
        raise RequestError(
            f"does not fit this torch ({words}); reinstall both together: "
            "pip install --force-reinstall torch torchvision"
        ) from None
    return ""


def _device(report: _Report) -> int | None:
    """Add what `auto` computes on and what keeps a GPU that is here from being it; return the number of its GPU."""
    import torch

    from embcx_tui.compute import gpus

    print(json.dumps({"part": "device"}), flush=True)
    chosen = gpus.automatic()
    if chosen.number is not None:
        properties = torch.cuda.get_device_properties(chosen.number)
        driver = gpus.nvml_driver_version()
        report.add(
            "device",
            "ok",
            f"cuda:{chosen.number}: {safe_text(properties.name, 80)}, {properties.total_memory / _GB:.0f} GB, compute "
            f"capability {properties.major}.{properties.minor}, driver {driver or 'unknown'}",
        )
        if chosen.words:
            report.add("GPUs", "ok", chosen.words)
        for number in range(torch.cuda.device_count()):
            if number != chosen.number and (reason := gpus.refusal(number)):
                report.add("GPUs", "note", reason)
        return chosen.number
    on_cpu = f"computing on {torch.get_num_threads()} CPU threads"
    if chosen.trouble.text:
        verdict = "note" if chosen.trouble.wanted else "bad"
        report.add("device", verdict, f"{chosen.trouble.text}; {on_cpu}")
        return None
    built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "this torch is for CPUs alone"
    report.add("device", "note", f"no GPU that torch can use ({built}); {on_cpu}")
    return None


def _self_check(report: _Report, number: int) -> str:
    """Compare what torch's GPU `number` computes with the CPU, and add what it has to do in a slower way."""
    import torch

    from embcx_tui.worker.gpu import check_now

    outcomes, steps = check_now(torch.device("cuda", number))
    for text in (*steps, *(f"{one.name}: {one.words}" for one in outcomes if not one.was_made)):
        report.add("GPU path", "note", text)
    return f"cuda:{number} computes what the CPU does ({len(outcomes)} checks)"


def _numba() -> str:
    """Compile a kernel, none that is kept from an earlier time, and compare its sum."""
    import numba
    import numpy as np

    @numba.njit(nogil=True)
    def total(values: Any) -> float:
        found = 0.0
        for value in values:
            found += value
        return found

    found = float(total(np.arange(_POINTS, dtype=np.float64)))
    if found != _POINTS * (_POINTS - 1) / 2:
        raise ArithmeticError(f"a kernel adds 0 … {_POINTS - 1} to {found:g}")
    return ""


def _imported(modules: tuple[str, ...]) -> str:
    for module in modules:
        importlib.import_module(module)
    return ""


def embedding_check() -> str:
    """Compare P of 100 points with numpy's, descend, and compute the KL divergence of the points again."""
    import numpy as np

    from embcx_tui.compute.tsne.affinities import affinities
    from embcx_tui.compute.tsne.complexity import measure
    from embcx_tui.compute.tsne.result import Measurement

    started = time.perf_counter()
    random = np.random.default_rng(0)
    rows = (random.standard_normal((_POINTS, _UNITS)) + 6 * (np.arange(_POINTS) % 4)[:, None]).astype(np.float32)
    joint = affinities(rows, _PERPLEXITY).joint
    expected = plain_joint(rows, _PERPLEXITY)
    if joint is None or not np.abs(joint - expected).max() <= _P_TOLERANCE * expected.max():
        raise ArithmeticError(f"P of {_POINTS} points differs from numpy's")
    ((_, found),) = measure([rows], [0], Measurement(perplexity=_PERPLEXITY, threads=1))
    kl = plain_kl(expected, found.points)
    uniform = plain_kl(expected, np.zeros((_POINTS, 2)))
    if found.kl is None or not math.isclose(found.kl, kl, rel_tol=_KL_TOLERANCE) or not 0 <= kl < uniform / 2:
        raise ArithmeticError(f"a descent of {_POINTS} points gives a KL of {found.kl}, its points {kl:.6g}")
    seconds = time.perf_counter() - started
    return (
        f"torch, numba and scikit-learn work: a kernel compiled, P and a descent of {_POINTS} points right in "
        f"{seconds:.1f} s"
    )


def plain_joint(rows: Any, perplexity: float) -> Any:
    """Return P [n, n] of rows [n, d] by bisection in numpy: what the kernels are compared with."""
    import numpy as np

    squared = ((rows[:, None, :].astype(np.float64) - rows[None, :, :]) ** 2).sum(axis=2)
    np.fill_diagonal(squared, np.inf)
    squared -= squared.min(axis=1, keepdims=True)
    low, high = np.full((len(rows), 1), -30.0), np.full((len(rows), 1), 30.0)
    for _ in range(80):
        beta = np.exp((low + high) / 2)
        weights = np.exp(-beta * squared)
        conditional = weights / weights.sum(axis=1, keepdims=True)
        entropy = -(conditional * np.log(np.where(conditional > 0, conditional, 1.0))).sum(axis=1, keepdims=True)
        wide = entropy > math.log(perplexity)
        low, high = np.where(wide, (low + high) / 2, low), np.where(wide, high, (low + high) / 2)
    return (conditional + conditional.T) / (2 * len(rows))


def plain_kl(joint: Any, points: Any) -> float:
    """Return KL(P‖Q) in nats of points [n, 2] in numpy."""
    import numpy as np

    squared = ((points[:, None, :].astype(np.float64) - points[None, :, :]) ** 2).sum(axis=2)
    similar = 1.0 / (1.0 + squared)
    np.fill_diagonal(similar, 0.0)
    similar /= similar.sum()
    present = joint > 0
    return float((joint[present] * np.log(joint[present] / similar[present])).sum())
