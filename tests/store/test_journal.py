"""The journal loses nothing that was finished and believes nothing that was not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from embcx_tui.store import journal as journal_module
from embcx_tui.store.journal import JournalWriter, read_journal, seal_line
from embcx_tui.study.events import EpochTrained, Noted, decode, encode


def note(text: str) -> Noted:
    return Noted(level="info", text=text)


def texts(path: Path) -> list[str]:
    return [event.text for event in read_journal(path).events if isinstance(event, Noted)]


def write(path: Path, *lines: str) -> None:
    writer = JournalWriter(path)
    for line in lines:
        writer.append(note(line))
    writer.close()


def test_what_is_written_is_read_in_order_and_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    seen: list[str] = []
    position = 0
    for number in range(50):
        writer.append(note(f"line {number}"))
        batch = read_journal(path, position)
        position = batch.position
        seen += [event.text for event in batch.events if isinstance(event, Noted)]
    assert seen == [f"line {number}" for number in range(50)]
    assert position == path.stat().st_size


def test_a_torn_line_is_not_yet_for_readers_and_cut_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, "one", "two")
    whole = path.read_bytes()
    torn = seal_line(note("three"))
    for length in range(1, len(torn)):
        path.write_bytes(whole + torn[:length])
        batch = read_journal(path)
        assert texts(path) == ["one", "two"]
        assert batch.position == len(whole)
        assert batch.damaged == 0
        write(path, "four")
        assert texts(path) == ["one", "two", "four"]


def test_a_journal_torn_in_its_only_line_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"half a li")
    write(path, "one")
    assert texts(path) == ["one"]


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, "one", "two", "three")
    whole = path.read_bytes()
    line = len(seal_line(note("one")))
    for place in range(line, 2 * line):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(bytes(damaged))
        found = texts(path)
        assert "two" not in found
        assert found[0] == "one"
        assert read_journal(path).damaged >= 1


class FullDisk:
    """`os.write` on a disk that takes `room` more bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def __call__(self, fd: int, data: memoryview) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(self.room, len(data))
        self.room -= taken
        return self._write(fd, bytes(data)[:taken])


def test_a_full_disk_leaves_no_half_line_for_the_next_one_to_glue_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    writer.append(note("one"))
    for room in range(len(seal_line(note("two")))):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", FullDisk(room))
            with pytest.raises(OSError, match="No space"):
                writer.append(note("two"))
        assert texts(path) == ["one"]
    writer.append(note("three"))
    assert texts(path) == ["one", "three"]


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    write(path, "a line of some length")
    assert texts(path) == ["a line of some length"]


def test_a_line_longer_than_one_read_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "READ_BYTES", 64)
    path = tmp_path / "journal.jsonl"
    write(path, "x" * 1000, "y")
    assert texts(path) == ["x" * 1000, "y"]
    path.write_bytes(path.read_bytes() + b"torn" * 100)
    write(path, "z")
    assert texts(path) == ["x" * 1000, "y", "z"]


def test_events_survive_json_and_numbers_that_are_not_finite_become_null() -> None:
    event = EpochTrained(
        cohort="c",
        epoch=1,
        loss=(float("nan"), 0.1),
        train_accuracy=(float("inf"), 0.5),
        test_accuracy=(None, 1.0),
        seconds=1,
    )
    read = decode(encode(event))
    assert isinstance(read, EpochTrained)
    assert read.loss == (None, 0.1)
    assert read.train_accuracy == (None, 0.5)
    # A float64 comes back bit for bit: a score must not change by being written down.
    assert decode(encode(note("x"))) == note("x")
    exact = EpochTrained(
        cohort="c", epoch=1, loss=(0.1 + 0.2,), train_accuracy=(1 / 3,), test_accuracy=(1e-17,), seconds=0
    )
    assert decode(encode(exact)) == exact


def test_a_line_is_on_the_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    synced: list[int] = []
    sync = os.fsync

    def fsync(fd: int) -> None:
        sync(fd)
        if os.fstat(fd).st_ino == path.stat().st_ino:
            synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    for number in range(3):
        writer.append(note(f"line {number}"))
        # The whole file, and after the line was written.
        assert synced[-1] == path.stat().st_size and len(synced) == number + 1
    writer.close()
