"""What a worker does before it computes on a GPU: it checks its numbers and notes each step down."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import torch

from embcx_tui.compute.device import describe, one_blas_thread
from embcx_tui.compute.gpu_path import gpu_path
from embcx_tui.compute.precision import asked_for_tf32, forbid_tf32
from embcx_tui.compute.selfcheck import Outcome, Sizes, self_check
from embcx_tui.store.machine_records import library_versions, numeric_versions
from embcx_tui.store.self_checks import has_passed, store_passed
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.events import Noted
from embcx_tui.study.sample_sizes import MAX_WHOLE_POINTS
from embcx_tui.worker.outlet import Outlet


def follow_gpu_path(outlet: Outlet) -> None:
    """Begin with the path that the study asks for; each step down becomes a warning, and a new line of the machine."""

    def note(text: str) -> None:
        outlet.append(Noted(level="warning", text=text))
        machine, worker = outlet.snapshot.machine, outlet.snapshot.worker
        is_ours = machine is not None and (worker is None or machine.at >= worker.at)
        if machine and is_ours and machine.path and machine.path != gpu_path.words():
            outlet.append(machine.model_copy(update={"path": gpu_path.words()}))

    gpu_path.begin(plain=outlet.snapshot.plan.settings.machine.gpu_path == "plain", listener=note)


def prepare_device(outlet: Outlet, device: torch.device) -> None:
    """Check the numbers of `device` where that is due; note that, and what the environment asked for and does not get.

    Raises RequestError where they are wrong.
    """

    def note(text: str) -> None:
        outlet.append(Noted(level="info", text=text))

    if asked := asked_for_tf32():
        note(f"{' and '.join(asked)} asked for TF32; it is off: float32 products are computed in float32")
    check_once(device, study_sizes(outlet.snapshot), note)


def check_once(device: torch.device, sizes: Sizes, note: Callable[[str], None]) -> None:
    """Check `device` unless it has passed in the same circumstances before; not remembered where it stepped down."""
    circumstances = _circumstances(device, sizes)
    if has_passed(circumstances):
        return
    note(f"checking {device} against the CPU: some seconds, and 10 to 25 more where its kernels are compiled first")
    begun = time.monotonic()
    with one_blas_thread():
        outcomes = self_check(device, sizes)
    note(f"{device} computes what the CPU does: {len(outcomes)} checks in {time.monotonic() - begun:.0f} s")
    if all(outcome.was_made for outcome in outcomes) and gpu_path.is_as_asked:
        with suppress(OSError, EmbcxError):  # it is then checked again
            store_passed(circumstances)


def check_now(device: torch.device) -> tuple[tuple[Outcome, ...], list[str]]:
    """Return the outcomes of the self-check of `device`, made now, and each step down from the fast path, in words.

    Raises RequestError where the plainest path gives wrong numbers too.
    """
    steps: list[str] = []
    forbid_tf32()
    gpu_path.begin(listener=steps.append)
    with one_blas_thread():
        return self_check(device), steps


def study_sizes(snapshot: Snapshot) -> Sizes:
    """Return the sizes at which a study's device computes."""
    settings = snapshot.plan.settings
    default = Sizes()
    # Larger samples are embedded on the CPU.
    points = {sample.points for sample in snapshot.samples.values() if sample.points <= MAX_WHOLE_POINTS}
    return Sizes(
        points=tuple(sorted(points)) or default.points,
        perplexity=settings.measure.perplexity,
        features=tuple(sorted({one.features for one in snapshot.datasets.values()} - {0})) or default.features,
        width=settings.networks.width or default.width,
        batch_size=settings.training.batch_size,
    )


def _circumstances(device: torch.device, sizes: Sizes) -> dict[str, str]:
    """Return all that may change what `device` computes: card, driver, libraries and sizes."""
    known = describe(device)
    return {
        "device": known.name,
        "uuid": known.uuid,
        "capability": known.capability,
        "driver": known.driver,
        "cuda": str(torch.version.cuda),
        "path": str(gpu_path.words()),
        "sizes": str(sizes),
        **numeric_versions(),
        **library_versions(("triton",)),
    }
