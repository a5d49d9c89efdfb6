"""Many streams through one pair of pipes: hands behind a bridge give the bytes of one process, and none holds up
another.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest

from embcx_tui.store.library import create_study
from embcx_tui.worker.channels import PIECE_BYTES, Channel, Channels
from embcx_tui.worker.cluster import BoundedLog, ClusterHand
from embcx_tui.worker.dataset_cache import DatasetCache
from embcx_tui.worker.hand import Hand
from embcx_tui.worker.hand_pool import HandPool
from embcx_tui.worker.hand_process import HandDevice
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.part import study_parts
from embcx_tui.worker.pipe_link import PipeLink
from tests.worker.test_hands import alone, differences, eager, lost_hands, study
from tests.worker.test_worker import PATIENCE_S

__all__ = ["alone", "eager"]  # fixtures
Opened = Callable[[Channel], None]


@contextmanager
def joined(opened: Opened, patience_s: float | None = PATIENCE_S, **more: Any) -> Iterator[tuple[Channels, Channels]]:
    """Yield the worker's end and the bridge's, which is a thread here."""
    there, back = os.pipe(), os.pipe()
    worker = Channels(PipeLink(back[0], there[1], patience_s), patience_s, **more)
    bridge = Channels(PipeLink(there[0], back[1]), opened=opened)
    worker.begin()
    bridge.begin()
    yield worker, bridge
    worker.hang_up()
    bridge.gone.wait(PATIENCE_S)
    bridge.hang_up()
    worker.close()
    bridge.close()


def compute(channel: Channel) -> None:
    """Be the hand of a channel."""
    hand = Hand(channel, int(channel.greeting), "cpu")
    threading.Thread(target=hand.work, args=(lambda: None,), daemon=True).start()


def test_hands_behind_a_bridge_give_the_bytes_of_one_process_also_where_one_is_lost(alone: dict[str, Any]) -> None:
    journal = Journal(create_study(study(2, parts=3)))
    DatasetCache(journal).accept()
    opened: list[Channel] = []
    lock = threading.Lock()
    sent = 0

    def begin(channel: Channel) -> None:
        opened.append(channel)
        compute(channel)
        if len(opened) > 1:
            return
        write = channel.write

        def write_and_die(data: bytes) -> None:
            nonlocal sent
            write(data)
            with lock:
                sent += 1
            if sent == 30:
                channel.end("its Ray actor on node17 is gone")

        channel.write = write_and_die  # type: ignore[method-assign]

    with (
        joined(begin) as (worker, _),
        HandPool(journal, lambda number: ClusterHand(worker.open(str(number))), 2, PATIENCE_S) as hands,
    ):
        hands.compute(study_parts(journal), lambda: False)
    assert differences(journal.paths, alone) == []
    (lost,) = lost_hands(journal.snapshot)
    assert lost.part and lost.reason == "its Ray actor on node17 is gone"
    assert [channel.greeting for channel in opened].count(str(lost.hand)) == 2, "another one took its place"


def test_a_stream_that_nobody_reads_holds_up_no_other() -> None:
    first: list[Channel] = []

    def echo(channel: Channel) -> None:
        def run() -> None:
            while data := channel.read():
                channel.write(data)

        if channel.greeting == "deaf":
            first.append(channel)
        else:
            threading.Thread(target=run, daemon=True).start()

    with joined(echo, patience_s=0.5) as (worker, _):
        deaf, other = worker.open("deaf"), worker.open("other")
        with pytest.raises(TimeoutError):
            deaf.write(bytes(17 * PIECE_BYTES))
        data = os.urandom(3 * PIECE_BYTES + 5)
        other.write(data)
        came = b""
        while len(came) < len(data):
            came += other.read(PATIENCE_S)
        assert came == data
        with pytest.raises(TimeoutError):
            other.read(0.01)
        # 16 pieces are on the way and no more: what has been read makes room.
        assert sum(len(first[0].read(PATIENCE_S)) for _ in range(16)) == 16 * PIECE_BYTES
        deaf.write(b"more")
        assert first[0].read(PATIENCE_S) == b"more"


def test_an_end_comes_after_what_was_sent_and_says_why() -> None:
    opened: SimpleQueue[Channel] = SimpleQueue()
    ended: list[str] = []

    def take(channel: Channel) -> None:
        opened.put(channel)
        channel.on_end = lambda: ended.append(channel.greeting)
        if channel.greeting == "0":
            channel.write(b"last")
            channel.end("no GPU is free")

    with joined(take) as (worker, _):
        hand, other = ClusterHand(worker.open("0")), worker.open("1")
        assert isinstance(hand.link, Channel)
        assert (hand.link.read(PATIENCE_S), hand.link.read(PATIENCE_S)) == (b"last", b"")
        assert hand.how_it_ended("?") == "no GPU is free"
        with pytest.raises(BrokenPipeError):
            hand.link.write(b"x")
        other.end()
        assert other.read(PATIENCE_S) == b""
        assert [opened.get(timeout=PATIENCE_S).ended.wait(PATIENCE_S) for _ in range(2)] == [True, True]
        third = worker.open("2")
    assert sorted(ended) == ["0", "1", "2"], "each once; the last where the worker ended"
    assert third.read(PATIENCE_S) == b""


@pytest.mark.parametrize("sent", [b"\0\0\0\x01\x02\xff\0\0\0", b"\0\0\0\x01\x63\0\0\0\0", b"\0\0\0\x09\x02\0\0\0\x01x"])
def test_nonsense_ends_all_streams(sent: bytes) -> None:
    """Too long a piece, an unknown operation, a channel that nobody opened."""
    there, back = os.pipe(), os.pipe()
    worker = Channels(PipeLink(back[0], there[1]), PATIENCE_S)
    channel = worker.open("0")
    os.write(back[1], sent)
    worker.begin()
    assert channel.read(PATIENCE_S) == b"" and worker.gone.is_set()
    hand = ClusterHand(worker.open("1"))
    assert "bridge.log" in hand.how_it_ended("?")
    for fd in (there[0], back[1]):
        os.close(fd)
    worker.close()


def test_what_is_said_beside_the_streams_comes_through() -> None:
    said: list[str] = []
    came = threading.Event()

    def take(text: str) -> None:
        said.append(text)
        came.set()

    with joined(lambda channel: None, said=take) as (_, bridge):
        bridge.say('{"hands": 2}')
        assert came.wait(PATIENCE_S)
    assert said == ['{"hands": 2}']


def test_the_log_of_the_bridge_keeps_the_newest_in_bounds() -> None:
    paths = create_study(study())
    incoming, outgoing = os.pipe()
    log = BoundedLog(paths)
    thread = threading.Thread(target=log.fill, args=(incoming,))
    thread.start()
    with os.fdopen(outgoing, "w") as file:
        for number in range(20_000):
            file.write(f"line {number} of Ray\n")
    thread.join(PATIENCE_S)
    os.close(incoming)
    lines = paths.bridge_log.read_text().splitlines()
    assert lines[-1] == log.last == "line 19999 of Ray" and 40_000 < paths.bridge_log.stat().st_size <= 100_000
    first = int(lines[0].split()[1])
    assert lines == [f"line {number} of Ray" for number in range(first, 20_000)]
    assert stat.S_IMODE(paths.bridge_log.stat().st_mode) == 0o600


def test_a_relay_starts_its_hand_and_passes_bytes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from embcx_tui.worker.ray_actor import HandRelay

    devices: list[HandDevice] = []
    there, back = os.pipe(), os.pipe()

    class Process:
        def __init__(self, number: int, on: HandDevice, hands: int, patience_s: float) -> None:
            devices.append(on)
            self.link = PipeLink(back[0], there[1], patience_s)

        def how_it_ended(self, otherwise: str) -> str:
            return "its process was killed"

    monkeypatch.setattr("embcx_tui.worker.ray_actor.HandProcess", Process)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 3, 5, 7}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    relay = HandRelay(3, "cpu")
    relay.begin(1, 2, 2)
    relay.put(b"to the hand")
    os.write(back[1], b"from it")
    os.close(back[1])
    assert os.read(there[0], 100) == b"to the hand"
    assert (relay.take(), relay.take(), relay.how_it_ended()) == (b"from it", b"", "its process was killed")
    for share, cores in ((3, 2), (0, 9)):
        HandRelay(3, "cpu").begin(share, 2, cores)
    HandRelay(3, "cuda").begin(0, 8, 0)
    assert [(one.device, one.cores) for one in devices] == [
        ("cpu", (5, 7)),
        ("cpu", (5, 7)),
        ("cpu", (2, 3, 5, 7)),
        ("cuda", ()),
    ]
    assert "OMP_NUM_THREADS" not in os.environ, "Ray's own would hold the hand to one thread"
