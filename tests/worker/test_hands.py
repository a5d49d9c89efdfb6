"""Hands: the same bytes as one process whatever their number and whichever are lost, and one line where they cannot."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest

from embcx_tui.analysis.json_csv import measurements
from embcx_tui.store.library import create_study
from embcx_tui.store.machine_records import numeric_versions
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.errors import RequestError
from embcx_tui.study.events import (
    AnyEvent,
    EpochTrained,
    HandJoined,
    HandLost,
    LayerMeasured,
    SealedFile,
    WorkerEnded,
    encode,
)
from embcx_tui.study.settings import StudySettings, validate
from embcx_tui.worker import checkpoints, launch
from embcx_tui.worker.dataset_cache import DatasetCache
from embcx_tui.worker.frames import Failure, Frame, Kind
from embcx_tui.worker.hand_devices import chosen_gpus, core_shares, hand_devices
from embcx_tui.worker.hand_pool import HandPool
from embcx_tui.worker.hand_thread import HandsFailed
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.part import is_done, study_parts
from embcx_tui.worker.pipe_link import PipeLink
from embcx_tui.worker.run import compute_study
from tests.worker.hand_in_thread import HandInThread, Talk
from tests.worker.test_worker import PATIENCE_S, ended, wait_for


def study(devices: int = 1, parts: int = 1, **training: Any) -> StudySettings:
    return validate(
        {
            "name": "hands",
            "data": {"datasets": ["digits"], "samples_per_class": 6, "sample_from": "both", "train_limit": 300},
            "networks": {"depths": [1, 2], "activations": ["relu", "tanh"], "runs": 2, "width": 10},
            "training": {"epochs": 3, **training},
            "measure": {"perplexity": 5, "metrics": ["knn"], "epochs": [1], "controls": ["untrained", "shuffled"]},
            "machine": {"device": "cpu", "devices": devices, "parts": parts},
        }
    )


def numbers(paths: StudyPaths) -> dict[str, Any]:
    """What `show --json` says of the networks and their layers, and the bytes of every array file."""
    others = ("id", "state", "settings", "machine", "machines", "hands")
    document = {key: value for key, value in measurements(read_study(paths)).items() if key not in others}
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in paths.arrays.iterdir()}
    return document | {"arrays": files}


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after each epoch."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SHARE", 1e9)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The numbers of the study in one part, computed by one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBCX_HOME", str(tmp_path_factory.mktemp("alone")))
        paths = create_study(study())
        assert compute_study(Journal(paths), lambda: False) == ("complete", "")
        assert read_study(paths).parts == {}
        return numbers(paths)


def by_threads(
    journal: Journal,
    count: int,
    *,
    arm: Callable[[int, HandInThread], None] = lambda number, hand: None,
    stop: Callable[[], bool] = lambda: False,
    talk: Talk | None = None,
    patience_s: float = PATIENCE_S,
) -> None:
    """Compute what is left of a study by hands that are threads; `arm` may prepare a stroke of fate for each."""
    if not journal.snapshot.accepted:
        DatasetCache(journal).accept()

    def start(number: int) -> HandInThread:
        hand = HandInThread(number, patience_s, talk)
        arm(number, hand)
        return hand

    left = [part for part in study_parts(journal) if not is_done(journal, part)]
    with HandPool(journal, start, count, patience_s) as hands:
        hands.compute(left, stop)


def lost_hands(snapshot: Snapshot) -> list[HandLost]:
    return [line.event for line in snapshot.log if isinstance(line.event, HandLost)]


def differences(paths: StudyPaths, alone: dict[str, Any]) -> list[str]:
    """Return what of a study's numbers is not that of one process."""
    here = numbers(paths)
    return [key for key in here.keys() | alone.keys() if here.get(key) != alone.get(key)]


def test_two_hands_give_the_bytes_of_one_process(alone: dict[str, Any]) -> None:
    paths = create_study(study(2, parts=3))
    journal = Journal(paths)
    by_threads(journal, 2)
    assert differences(paths, alone) == []
    snapshot = journal.snapshot
    assert set(snapshot.hands) == {0, 1} and len(snapshot.parts["digits"].parts) == 3 and not snapshot.damaged
    assert list(paths.checkpoints.iterdir()) == []
    # Parts without hands, as a study file of several parts runs on one device.
    paths = create_study(study(1, parts=3))
    compute_study(Journal(paths), lambda: False)
    assert differences(paths, alone) == []


def test_lost_and_stopped_hands_cost_no_byte(alone: dict[str, Any]) -> None:
    paths = create_study(study(2, parts=2))
    journal = Journal(paths)
    fates = iter((14, 25, 1))  # frames until a hand is killed: before it computes, within and after its training
    stopped = False

    def arm(number: int, hand: HandInThread) -> None:
        fate = next(fates, 0)

        def strike(count: int, frame: Frame) -> None:
            if count == fate:
                hand.kill()

        hand.link.on_frame = strike

    def stop() -> bool:
        nonlocal stopped
        stopped = stopped or len(journal.snapshot.earlier) > 3
        return stopped

    by_threads(journal, 2, arm=arm, stop=stop)
    assert not all(is_done(journal, part) for part in study_parts(journal)), "it was stopped on the way"
    begun = {name: history.last for name, history in journal.snapshot.histories.items()}
    by_threads(journal, 1)  # a resumed study has other hands
    assert differences(paths, alone) == []
    lost = [line.text for line in journal.snapshot.log if isinstance(line.event, HandLost)]
    assert lost and all("it was killed" in line for line in lost)
    assert any(begun.values())


def test_the_third_loss_of_a_part_ends_the_study_with_its_reason() -> None:
    journal = Journal(create_study(study(2, parts=2)))

    def arm(number: int, hand: HandInThread) -> None:
        def strike(count: int, frame: Frame) -> None:
            if frame.kind is Kind.EVENT and b'"cohort":"digits.part0"' in frame.payload:
                hand.kill()

        hand.link.on_frame = strike

    with pytest.raises(HandsFailed, match=r"digits.part0 was lost 3 times, at last with hand \d \(it was killed\)"):
        by_threads(journal, 2, arm=arm)
    losses = lost_hands(journal.snapshot)
    assert [event.part for event in losses] == ["digits.part0"] * 3
    assert len({event.hand for event in losses}) == 2, "the third time another hand has it"
    assert any(name.startswith("digits.part1") for name in journal.snapshot.histories)


def joined(**changes: Any) -> bytes:
    facts = {"hand": 0, "host": "h", "pid": 1, "device": "cpu", "cores": 1, "memory": 1, "versions": numeric_versions()}
    return HandJoined(**{**facts, **changes}).model_dump_json().encode()


def saying(*frames: tuple[Kind, bytes], first: bytes = b"") -> Talk:
    """Return what a hand says after it has got its task, and then falls silent."""

    def talk(link: PipeLink) -> None:
        link.send(Kind.JOINED, first or joined())
        with suppress(OSError):
            while (frame := link.receive()) and frame.kind is not Kind.BEGIN:
                pass
            for kind, payload in frames:
                link.send(kind, payload)
            while link.receive():
                pass

    return talk


def event(one: AnyEvent) -> tuple[Kind, bytes]:
    return Kind.EVENT, encode(one)


MEASURED = LayerMeasured(
    layer_id="digits-d1-relu-r0-l1", network="digits-d1-relu-r0", dataset="digits", run=0, layer=1, units=10,
    method="tsne", engine="exact", perplexity=5.0, points=60, seed=1, kl=1.0, explained=0.5, degenerate=False,
    duplicates=0, converged=True, iterations=9, gradient_norm=None, relative_change=None, restart_kls=(), seconds=1.0,
    file=SealedFile(name="arrays/digits-d1-relu-r0-l1.npz", sha256="0" * 64),
)  # fmt: skip
ELSEWHERE = MEASURED.model_copy(update={"file": SealedFile(name="arrays/digits-r0-sample.npz", sha256="0" * 64)})
EPOCH = EpochTrained(cohort="digits", epoch=1, loss=(), train_accuracy=(), test_accuracy=(), seconds=0)


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        (saying(), "no sign of life for 0.5 s"),
        (saying((Kind.EVENT, b"{}")), "an event that cannot be read"),
        (saying(event(WorkerEnded(outcome="complete"))), "kind ended that its part does not have"),
        (saying(event(EPOCH)), "kind epoch that its part does not have"),
        (saying(event(MEASURED)), "an event of a file that did not come"),
        (saying(event(ELSEWHERE)), "kind measured that its part does not have"),
        (saying((Kind.TASK, b"{}")), "TASK out of its place"),
        (saying((Kind.CHUNK, b"x")), "a part of no file"),
        (saying((Kind.FAILED, Failure(reason="cuda:0 fell off the bus").model_dump_json().encode())), "off the bus"),
        (saying(first=b"{}"), "a first word that cannot be read"),
    ],
)
def test_a_hand_that_hangs_or_sends_nonsense_is_lost_and_nothing_of_it_is_written(talk: Talk, said: str) -> None:
    journal = Journal(create_study(study(1, parts=1)))
    with pytest.raises(HandsFailed, match=r"was lost 3 times|no hand is left"):
        by_threads(journal, 1, talk=talk, patience_s=0.5 if "sign of life" in said else PATIENCE_S)
    losses = [line for line in journal.snapshot.log if isinstance(line.event, HandLost)]
    assert len(losses) == 3
    assert all(re.search(said, line.text) for line in losses), losses[0].text
    assert not journal.snapshot.measured and not journal.snapshot.histories and not journal.snapshot.damaged
    assert {file.name for file in journal.paths.arrays.iterdir()} == {
        f"digits-r{run}-sample{of}.npz" for run in (0, 1) for of in ("", "-test")
    }


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        (
            saying(first=joined(versions=numeric_versions() | {"torch": "1.0"})),
            "torch 1.0 instead of .* the same",
        ),
        (
            saying((Kind.FAILED, b'{"reason": "digits has changed", "final": true}')),
            "has changed",
        ),
    ],
)
def test_what_no_other_hand_does_better_ends_the_study_at_once(talk: Talk, said: str) -> None:
    journal = Journal(create_study(study(1, parts=1)))
    with pytest.raises(HandsFailed, match=said):
        by_threads(journal, 1, talk=talk)
    assert not [line for line in journal.snapshot.log if isinstance(line.event, HandLost)]


def test_gpus_are_pinned_by_uuid_and_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [
        {"number": 1, "uuid": "b", "visible": "GPU-b", "refusal": ""},
        {"number": 0, "uuid": "a", "visible": "GPU-a", "refusal": ""},
        {"number": 2, "uuid": "c", "visible": "MIG-c", "refusal": "cuda:2 fails at a first product"},
    ]

    def visible(devices: Any) -> list[str]:
        hands = chosen_gpus(known, devices)
        assert all(hand.device == "cuda" for hand in hands)
        return [hand.environment["CUDA_VISIBLE_DEVICES"] for hand in hands]

    assert visible("all") == ["GPU-b", "GPU-a"] and visible(1) == ["GPU-b"] and visible(8) == ["GPU-b", "GPU-a"]
    assert visible(("cuda:0",)) == ["GPU-a"]
    for name, said in (("cuda:2", "first product"), ("cuda:7", "this machine has 3")):
        with pytest.raises(RequestError, match=said):
            chosen_gpus(known, (name,))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 3, 5, 7, 9})
    monkeypatch.setattr("embcx_tui.worker.hand_devices.cores", lambda: 5)
    assert core_shares(2) == ((2, 3), (5, 7, 9)) and core_shares(1) == ((2, 3, 5, 7, 9),)
    assert core_shares(9) == ((2,), (3,), (5,), (7,), (9,))


def gpu(number: int, refusal: str = "") -> dict[str, Any]:
    return {"number": number, "uuid": f"{number}", "visible": f"GPU-{number}", "refusal": refusal}


@pytest.mark.parametrize(
    ("machine", "found", "devices", "said"),
    [
        ({"devices": "all"}, [gpu(0), gpu(1, "busy")], ["cuda"], ""),
        ({"devices": 8}, [gpu(0), gpu(1)], ["cuda", "cuda"], "machine.devices is 8, and 2 GPUs can be used"),
        ({"devices": "all"}, [], ["cpu"], "computing on the CPU: an old driver"),
        ({"devices": 3, "device": "cpu"}, [gpu(0)], ["cpu", "cpu"], "machine.devices is 3, and there are 2 processor"),
        ({"devices": 2, "device": "cuda"}, [], [], "no GPU can be used here .an old driver"),
        ({"devices": ["cuda:1"]}, [gpu(0)], [], "this machine has 1 GPU"),
    ],
)
def test_what_there_is_of_the_devices_that_are_asked_for_computes(
    machine: dict[str, Any], found: list[Any], devices: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embcx_tui.worker.hand_devices.ask", lambda query: {"gpus": found, "problem": "an old driver"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr("embcx_tui.worker.hand_devices.cores", lambda: 2)
    journal = Journal(create_study(validate({"data": {"datasets": ["digits"]}, "machine": machine})))
    if devices:
        assert [one.device for one in hand_devices(journal)] == devices
        assert said in journal.snapshot.log[-1].text
    else:
        with pytest.raises(RequestError, match=said):
            hand_devices(journal)


def test_all_gpus_are_counted_once_when_a_study_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "ask", lambda query: {"gpus": [gpu(0), gpu(1, "busy"), gpu(2)]})
    asked = validate({"data": {"datasets": ["digits"]}, "machine": {"devices": "all"}})
    settings = read_study(create_study(launch.settle(asked))).plan.settings
    assert (settings.machine.devices, settings.machine.parts) == ("all", 2)


# A worker whose first hand to join is killed: another one might have computed all before a certain one joins. It stands
# still once that hand is lost. `tests/hands.py` stops some, too.
STRUCK = """
import os, signal, sys, time
from pathlib import Path
from embcx_tui.worker.journal import Journal
append = Journal.append
joined = []
def append_and_strike(journal, event):
    append(journal, event)
    if event.kind == "hand-joined":
        joined.append(event.pid)
        if joined[0] == event.pid:
            os.kill(event.pid, signal.SIGKILL)
    if event.kind == "hand-lost":
        time.sleep(1e6)
Journal.append = append_and_strike
from embcx_tui.worker.process import run_study
sys.exit(run_study(Path(sys.argv[1])))
"""


def test_hands_and_worker_are_killed_and_nothing_of_them_stays(alone: dict[str, Any]) -> None:
    """Real processes: no port, no bit for group or others, no process left; the study ends with the same bytes."""
    paths = create_study(study(2, parts=2))
    worker = subprocess.Popen([sys.executable, "-c", STRUCK, str(paths.root)])
    try:
        snapshot = wait_for(paths, lambda one: lost_hands(one) or worker.poll() is not None)
        assert ["signal 9" in event.reason for event in lost_hands(snapshot)] == [True]
        family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        assert len(family) > 1, "the other hand goes on"
        assert [one for each in family for one in each.net_connections() if one.status == psutil.CONN_LISTEN] == []
        worker.kill()
        worker.wait()
        # Whoever adopts them may be slow to fetch their exit codes.
        _, left = psutil.wait_procs(family[1:], timeout=2)
        assert [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        worker.kill()
    for path in paths.root.rglob("*"):
        assert not stat.S_IMODE(path.lstat().st_mode) & 0o077, path
    launch.start(paths)
    snapshot = wait_for(paths, ended)
    assert snapshot.state == "complete", [str(line) for line in snapshot.log[-5:]]
    assert differences(paths, alone) == []
    assert paths.worker_log.read_bytes() == b""
