"""Computing a study: the tasks of its plan that have no sound result yet, cohort by cohort."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch

from embcx_tui.analysis.forecast import forecast
from embcx_tui.compute.device import device_choice, is_accelerator, one_blas_thread
from embcx_tui.compute.precision import forbid_tf32
from embcx_tui.store.machine_records import ROUGH, Calibration, stored_calibration
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.events import Noted
from embcx_tui.study.measured import MeasuredSettings
from embcx_tui.study.text import safe_text
from embcx_tui.worker.background import BackgroundQueue, worthwhile
from embcx_tui.worker.cluster import Cluster
from embcx_tui.worker.dataset_cache import DatasetCache
from embcx_tui.worker.file_rows import FileRows
from embcx_tui.worker.gpu import follow_gpu_path, prepare_device
from embcx_tui.worker.hand_devices import hand_devices
from embcx_tui.worker.hand_loads import HandLoads
from embcx_tui.worker.hand_pool import PATIENCE_S, compute_by_hands, start_here, start_in_cluster, started
from embcx_tui.worker.inbox_rows import InboxRows
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.machine import card_words, elsewhere, machine_described, tell_choice
from embcx_tui.worker.measure import Measurer
from embcx_tui.worker.part import clear_checkpoints, compute_part, is_done, study_parts
from embcx_tui.worker.pending import pending_tasks
from embcx_tui.worker.telemetry import telemetry

# Shorter studies are not held up by the 3 to 6 s of a calibration.
CALIBRATE_FROM_S = 20.0


def compute_study(journal: Journal, stop: Callable[[], bool]) -> tuple[str, str]:
    """Compute the pending tasks of a study; return how it ended, ("complete", "") or ("stopped", reason).

    Raises RequestError (device or data do not fit) before anything is computed; other errors end it where it stands.
    """
    machine = journal.snapshot.plan.settings.machine
    if machine.devices != 1 or machine.cluster:
        return _compute_with_hands(journal, stop)
    forbid_tf32()
    choice = device_choice(journal.snapshot.plan.settings.machine.device)
    device = choice.device
    follow_gpu_path(journal)
    tell_choice(journal, choice)
    if journal.snapshot.plan.is_measured:
        return _measure_models(journal, device, stop)
    cache = DatasetCache(journal)
    # First of all, so that the user of a study that cannot work learns of it at once.
    cache.accept()
    _describe(journal, device)
    with (
        one_blas_thread(),
        telemetry(journal.paths.telemetry, device.index if device.type == "cuda" else None),
        BackgroundQueue(worthwhile(device), device) as background,
    ):
        for part in study_parts(journal):
            if is_done(journal, part):
                clear_checkpoints(journal, part, stop)  # an earlier worker may have died before it did
                continue
            compute_part(journal, part, cache.dataset(part.dataset), device, background, stop)
            if stop() or background.failed:
                break
            background.submit(partial(clear_checkpoints, journal, part, stop))
        background.join()
    return ("stopped", "when asked") if stop() else ("complete", "")


def _compute_with_hands(journal: Journal, stop: Callable[[], bool]) -> tuple[str, str]:
    """As `compute_study`, in several processes: this one computes nothing and never touches a GPU."""
    loads = HandLoads()
    machine = journal.snapshot.plan.settings.machine
    with ExitStack() as stack:
        stack.callback(loads.end)
        if machine.cluster:
            assert not isinstance(machine.devices, tuple)  # the settings refuse it
            cluster = stack.enter_context(Cluster(journal.paths, machine.device, machine.devices, PATIENCE_S))
            if cluster.note:
                journal.append(Noted(level="warning", text=cluster.note))
            start, count = start_in_cluster(cluster, loads), cluster.hands
        else:
            devices = hand_devices(journal)
            start, count = start_here(devices, loads), len(devices)
        most = max(machine.parts, 1) * len(journal.snapshot.plan.cohorts)
        with started(start, min(count, most)) as start_or_take:
            DatasetCache(journal).accept()
            with telemetry(journal.paths.telemetry, None, loads):
                compute_by_hands(journal, start_or_take, count, stop, loads)
    return ("stopped", "when asked") if stop() else ("complete", "")


def _measure_models(journal: Journal, device: torch.device, stop: Callable[[], bool]) -> tuple[str, str]:
    """As `compute_study`, for networks that were trained elsewhere."""
    settings = journal.snapshot.plan.settings
    assert isinstance(settings, MeasuredSettings)
    if settings.source.origin == "recorder":
        handed = InboxRows(journal)
        handed.accept()
        with _measuring(journal, device):
            return handed.work(Measurer(journal, stop), str(device), stop)
    with FileRows(journal) as source:
        source.accept()
        with _measuring(journal, device):
            measurer = Measurer(journal, stop)
            for cohort in journal.snapshot.plan.cohorts:
                measurer.run(pending_tasks(journal.is_intact, journal.snapshot, cohort), source, str(device))
    return ("stopped", "when asked") if stop() else ("complete", "")


@contextmanager
def _measuring(journal: Journal, device: torch.device) -> Iterator[None]:
    _describe(journal, device)
    with one_blas_thread(), telemetry(journal.paths.telemetry, device.index if device.type == "cuda" else None):
        yield


def _describe(journal: Journal, device: torch.device) -> None:
    if is_accelerator(device):
        prepare_device(journal, device)
    calibration = _calibration(journal, device)
    machine = machine_described(device, calibration)
    if note := elsewhere(journal.snapshot.machine, machine):
        journal.append(note)
    journal.append(machine)


def _calibration(journal: Journal, device: torch.device) -> Calibration | None:
    """Return how fast `device` is: as stored, or measured now where the study is long enough."""
    calibration = stored_calibration(card_words(device) or str(device))
    if calibration or forecast(journal.snapshot.plan, ROUGH).total < CALIBRATE_FROM_S:
        return calibration
    from embcx_tui.worker.calibrate import calibrate

    try:
        return calibrate(device)
    except (OSError, EmbcxError, RuntimeError, MemoryError) as error:
        # A study goes on without a forecast. RuntimeError: a GPU whose memory other programs fill, or no fit.
        journal.append(Noted(level="warning", text=f"this machine's speed is not known ({safe_text(error, 100)})"))
        return None
