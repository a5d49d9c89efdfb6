"""A Ray cluster of several nodes within this machine: a study's bytes are those of one process, a node may die, nothing
of a study stays, and who has no token stays out.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from embcx_tui.store.library import create_study, list_studies
from embcx_tui.store.machine_records import numeric_versions
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.errors import RequestError
from embcx_tui.study.settings import StudySettings, validate
from embcx_tui.worker import launch
from embcx_tui.worker.cluster import ClusterHand, require_ray
from embcx_tui.worker.dataset_cache import DatasetCache
from embcx_tui.worker.frames import Kind
from embcx_tui.worker.hand_pool import HandPool
from embcx_tui.worker.hand_thread import HandsFailed
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.part import study_parts
from tests.worker.hand_in_thread import Talk
from tests.worker.test_channels import joined
from tests.worker.test_hands import alone, by_threads, differences, eager, lost_hands, saying, study
from tests.worker.test_hands import joined as joining
from tests.worker.test_worker import PATIENCE_S, STRUCK, ended, wait_for

__all__ = ["alone", "eager"]  # fixtures
ray = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("ray") is None or sys.platform != "linux",
    reason="Ray is not installed, or this is no Linux: pip install -e '.[dev]'",
)


def in_cluster(devices: int | str, parts: int = 0) -> StudySettings:
    settings = study(2, parts)
    machine = settings.machine.model_copy(update={"devices": devices, "cluster": "ray"})
    return validate(settings.model_copy(update={"machine": machine}).model_dump(by_alias=True))


@contextmanager
def cluster(patch: pytest.MonkeyPatch, nodes: int, cpus: int, *, token: bool = True) -> Iterator[psutil.Process]:
    """Let a cluster run whose environment this process has too, within a folder that is its user's alone."""
    folder = Path(tempfile.mkdtemp(prefix="em-", dir="/tmp"))  # short: names of sockets are
    patch.setenv("RAY_TMPDIR", str(folder))
    patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # everything on 127.0.0.1
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_memory_monitor_interval_ms", "0")
    patch.setenv("RAY_AUTH_MODE", "token" if token else "disabled")
    patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    command = [sys.executable, "-m", "tests.worker.ray_cluster", str(nodes), str(cpus)]
    log = folder / "output"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, start_new_session=True
        ) as process,
    ):
        assert process.stdin and process.stdout
        family: list[psutil.Process] = []
        try:
            line = process.stdout.readline()
            assert line, log.read_text()[-2_000:]
            patch.setenv("RAY_ADDRESS", json.loads(line)["address"])
            yield psutil.Process(process.pid)
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            for one in psutil.wait_procs(family, timeout=5)[1]:
                one.kill()
            shutil.rmtree(folder, ignore_errors=True)  # an ending process may write still


def listeners(processes: list[psutil.Process]) -> set[str]:
    """Return the addresses at which processes listen, without their ports."""
    found = set()
    for process in processes:
        try:
            connections = process.net_connections("inet")
        except psutil.Error:
            continue
        found |= {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}
    return found


def family(paths: StudyPaths) -> list[psutil.Process]:
    """Return a study's worker and what it started."""
    worker = read_study(paths).worker
    assert worker
    process = psutil.Process(worker.pid)
    return [process, *process.children(recursive=True)]


def hand_processes(snapshot: Snapshot) -> list[psutil.Process]:
    found = []
    for hand in snapshot.hands.values():
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(hand.pid))
    return found


def is_gone(processes: list[psutil.Process]) -> bool:
    _, left = psutil.wait_procs(processes, timeout=30)
    return not [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@ray
def test_a_node_dies_and_the_study_has_the_bytes_of_one_process(
    alone: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(monkeypatch, nodes=3, cpus=2) as nodes:
        paths = create_study(in_cluster(3))
        assert read_study(paths).plan.settings.machine.parts == 3
        launch.start(paths)
        snapshot = wait_for(paths, lambda one: one.hands or ended(one))
        first = psutil.Process(next(iter(snapshot.hands.values())).pid)
        first.send_signal(signal.SIGSTOP)  # so that it has its part still when its node dies
        snapshot = wait_for(paths, lambda one: one.histories or ended(one))
        assert not snapshot.ended, snapshot.ended
        assert listeners([*family(paths), nodes, *nodes.children(recursive=True)]) <= {"127.0.0.1", "::ffff:127.0.0.1"}
        relay = first.parent()
        raylet = relay and relay.parent()
        assert raylet and raylet.name() == "raylet"
        raylet.kill()
        snapshot = wait_for(paths, ended)
        assert snapshot.state == "complete", [str(line) for line in snapshot.log[-5:]]
        assert differences(paths, alone) == []
        (lost,) = [one for one in lost_hands(snapshot) if one.part]
        assert lost.reason.startswith("its Ray actor on "), lost.reason
        assert is_gone([first, *hand_processes(snapshot)])
    assert paths.worker_log.read_bytes() == b""
    assert 0 < paths.bridge_log.stat().st_size <= 100_000
    for path in (paths.root, *paths.root.rglob("*")):
        assert not stat.S_IMODE(path.lstat().st_mode) & 0o077, path


@ray
def test_a_study_in_a_cluster_is_killed_and_stopped_and_resumes_with_the_same_bytes(
    alone: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(monkeypatch, nodes=1, cpus=2):
        paths = create_study(launch.settle(in_cluster(2)))
        launch.start(paths)
        snapshot = wait_for(paths, lambda one: len(one.hands) == 2 or ended(one))
        worker, bridge = family(paths)
        assert "ray" in bridge.cmdline()
        processes = [bridge, *hand_processes(snapshot)]
        worker.kill()
        assert len(processes) == 3 and is_gone(processes)
        wait_for(paths, lambda one: one.state == "lost")

        # Asked to end by a signal when a first layer is measured.
        command = [sys.executable, "-c", STRUCK, str(paths.root), "SIGTERM", "after", "measured", "1"]
        with subprocess.Popen(command) as ending:
            begun = wait_for(paths, lambda one: bool(one.worker and one.worker.pid == ending.pid and one.hands))
            processes = [*hand_processes(begun), *psutil.Process(ending.pid).children(recursive=True)]
        assert is_gone(processes)
        snapshot = read_study(paths)
        assert snapshot.state == "stopped" and not lost_hands(snapshot), [str(line) for line in snapshot.log[-5:]]

        launch.start(paths)
        snapshot = wait_for(paths, ended)
        assert snapshot.state == "complete", [str(line) for line in snapshot.log[-5:]]
        assert differences(paths, alone) == []
        assert paths.worker_log.read_bytes() == b""
        assert launch.settle(in_cluster("all")).machine.parts == 1, "one hand per node, where there are no GPUs"


@ray
def test_a_cluster_that_lets_anybody_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        cluster(monkeypatch, nodes=1, cpus=1, token=False),
        pytest.raises(RequestError, match="asks for no token") as no,
    ):
        launch.begin(in_cluster(1))
    assert "\n" not in str(no.value) and list_studies() == ()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(RequestError, match="does not answer"):
        launch.settle(in_cluster("all"))
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(RequestError, match="RAY_ADDRESS is ray://head:10001"):
        launch.settle(in_cluster("all"))


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embcx_tui.worker.cluster.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'embcx-tui\[ray\]'"):
        require_ray()


class Asked:
    """A method of an actor, or what it was called with, for a Ray that is not there."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def remote(self, *arguments: Any) -> Asked:
        return self


class FakeRay:
    """Ray without a cluster: an actor whose methods have these answers, or raise them."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.options_asked: dict[str, Any] = {}
        self.killed = 0

    def remote(self, actor: Any) -> Any:
        def options(**asked: Any) -> Asked:
            self.options_asked = asked
            actor = Asked(None)
            for name, answer in self.answers.items():
                setattr(actor, name, Asked(answer))
            return actor

        return SimpleNamespace(options=options)

    def get(self, asked: Asked, timeout: float = 0) -> Any:
        if isinstance(asked.answer, Exception):
            raise asked.answer
        return asked.answer

    def kill(self, actor: Any) -> None:
        self.killed += 1

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": "n", "Resources": {"CPU": 4.0}}]


@ray
@pytest.mark.parametrize("problem", ["full", "died", "gone"])
def test_a_hand_without_room_is_left_out_and_one_whose_machine_is_lost_may_be_started_again(
    problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray import exceptions

    from embcx_tui.worker import ray_bridge

    died = exceptions.RayActorError(error_msg="The actor died: its node has crashed.\nmore")
    answers: dict[str, Any] = {
        "full": {"where": exceptions.GetTimeoutError("still waiting")},
        "died": {"where": died},
        "gone": {"where": ("n", "node17"), "begin": None, "take": died, "put": None},
    }[problem]
    fake = FakeRay(**answers)
    monkeypatch.setattr(ray_bridge, "ray", fake)
    monkeypatch.setattr(ray_bridge, "ROOM_S", -1.0)
    bridge = ray_bridge.Bridge(ray_bridge.Room(2, "cpu", 2))
    journal = Journal(create_study(study(1, parts=1)))
    DatasetCache(journal).accept()
    with (
        joined(bridge.serve) as (worker, _),
        pytest.raises(HandsFailed, match=r"no hand is left"),
        HandPool(journal, lambda number: ClusterHand(worker.open(str(number))), 1, PATIENCE_S) as hands,
    ):
        hands.compute(study_parts(journal), lambda: False)
    losses = [one.reason for one in lost_hands(journal.snapshot)]
    words = {
        "full": ["the cluster has not had 2 core(s) free for it for -1 s"],
        "died": ["its Ray actor is gone (The actor died: its node has crashed.)"] * 3,
        "gone": ["its Ray actor on node17 is gone (The actor died: its node has crashed.)"] * 3,
    }
    assert losses == words[problem] and fake.killed >= len(losses)
    asked = fake.options_asked
    assert (asked["num_cpus"], asked["num_gpus"]) == (2, 0) and asked["max_restarts"] == asked["max_task_retries"] == 0


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        (saying((Kind.FAILED, b'{"reason": "digits has changed", "final": true}'), first=joining(host="node17")),
         "^on node17: digits has changed$"),
        (saying(first=joining(host="node17", versions=numeric_versions() | {"torch": "1.0"})),
         "^on node17: hand 0 has torch 1.0 instead of .*: install the same everywhere"),
        (saying((Kind.FAILED, b'{"reason": "cuda:0 fell off the bus"}'), first=joining(host="node17")),
         "lost 3 times.*on node17: cuda:0 fell off the bus"),
    ],
)  # fmt: skip
def test_what_a_machine_of_the_cluster_lacks_is_said_with_its_name(talk: Talk, said: str) -> None:
    with pytest.raises(HandsFailed, match=said):
        by_threads(Journal(create_study(in_cluster(1))), 1, talk=talk)


@ray
def test_what_a_cluster_has_room_for() -> None:
    from embcx_tui.worker.ray_bridge import Room, room

    def nodes(*resources: tuple[int, int]) -> list[dict[str, Any]]:
        alive = [{"Alive": True, "Resources": {"CPU": float(cpus), "GPU": float(gpus)}} for cpus, gpus in resources]
        return [*alive, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}]

    gpus = nodes((16, 4), (8, 0), (16, 8))
    assert room(gpus, "auto", "all") == room(gpus, "cuda", 12) == Room(12, "cuda", 0)
    assert room(gpus, "auto", 3) == Room(3, "cuda", 0)
    assert room(gpus, "cuda", 20).hands == 12 and "12 GPU(s)" in room(gpus, "cuda", 20).note
    # Cores: as many for each as leave none of them on two machines.
    assert room(gpus, "cpu", "all") == Room(3, "cpu", 8)
    assert room(gpus, "cpu", 1) == Room(1, "cpu", 16)
    assert room(nodes((5, 0), (3, 0)), "auto", 4) == Room(4, "cpu", 1)
    assert room(nodes((6, 0), (3, 0)), "auto", 3) == Room(3, "cpu", 3)
    assert room(nodes((2, 0)), "cpu", 3).hands == 2 and "2 processor cores" in room(nodes((2, 0)), "cpu", 3).note
    with pytest.raises(RequestError, match="has no GPU"):
        room(nodes((2, 0)), "cuda", 1)
    with pytest.raises(RequestError, match="no processor cores"):
        room(nodes((0, 0)), "auto", 1)
