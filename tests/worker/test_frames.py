"""What worker and hand say to each other: whole frames however the stream is cut, and one line for whatever is none."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest

from embcx_tui.study.events import SealedFile
from embcx_tui.worker.frames import (
    CHUNK_BYTES,
    HEADER,
    FileReader,
    Frame,
    FrameReader,
    Kind,
    MalformedFrame,
    file_frames,
    pack,
)
from embcx_tui.worker.pipe_link import PipeLink


def sealed(data: bytes, name: str = "arrays/a.npz") -> SealedFile:
    return SealedFile(name=name, sha256=hashlib.sha256(data).hexdigest())


def test_frames_are_whole_however_the_stream_is_cut() -> None:
    sent = [Frame(Kind.PULSE), Frame(Kind.EVENT, b"{}"), Frame(Kind.LOG, b"x" * 5_000), Frame(Kind.DONE)]
    stream = b"".join(pack(frame.kind, frame.payload) for frame in sent)
    random = np.random.default_rng(0)
    for _ in range(50):
        cuts = sorted(random.integers(0, len(stream), 6).tolist())
        reader = FrameReader()
        got = [
            frame
            for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True)
            for frame in reader.feed(stream[first:last])
        ]
        assert got == sent


def test_a_file_comes_in_chunks_with_its_bytes() -> None:
    data = os.urandom(CHUNK_BYTES + 7)
    frames = [frame for raw in file_frames(sealed(data), data) for frame in FrameReader().feed(raw)]
    assert [frame.kind for frame in frames] == [Kind.FILE, Kind.CHUNK, Kind.CHUNK]
    files = FileReader()
    assert [files.take(frame) for frame in frames] == [None, None, (sealed(data), data)]
    assert [files.take(frame) for frame in (Frame(Kind.PULSE),)] == [None]
    (empty,) = [frame for raw in file_frames(sealed(b""), b"") for frame in FrameReader().feed(raw)]
    assert files.take(empty) == (sealed(b""), b"")


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (HEADER.pack(99, 0), "unknown kind 99"),
        (HEADER.pack(Kind.EVENT, 1 << 31), "EVENT of 2,147,483,648 bytes"),
        (HEADER.pack(Kind.PULSE, 1) + b"x", "PULSE of 1 bytes"),
    ],
)
def test_what_is_no_frame_is_said_in_one_line(stream: bytes, said: str) -> None:
    with pytest.raises(MalformedFrame, match=said):
        list(FrameReader().feed(stream))
    with pytest.raises(MalformedFrame, match="16,777,217"):
        pack(Kind.CHUNK, bytes(CHUNK_BYTES + 1))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([Frame(Kind.CHUNK, b"x")], "no file"),
        ([Frame(Kind.FILE, b"{}")], "FILE that cannot be read"),
        ([Frame(Kind.FILE, b'{"file":{"name":"../x","sha256":""},"size":1}')], "FILE that cannot be read"),
        ([Frame(Kind.CHUNK, b"other")], "other bytes than announced"),
        ([Frame(Kind.CHUNK, b"longer")], "other bytes than announced"),
        ([Frame(Kind.PULSE)], "PULSE within a file"),
        ([Frame(Kind.FILE, b"{}")], "a file within a file"),
    ],
)
def test_a_file_out_of_place_or_of_other_bytes_is_refused(frames: list[Frame], said: str) -> None:
    files = FileReader()
    if said != "no file" and "cannot be read" not in said:
        files.take(next(iter(FrameReader().feed(next(iter(file_frames(sealed(b"bytes"), b"bytes")))))))
    with pytest.raises(MalformedFrame, match=said):
        for frame in frames:
            files.take(frame)


def test_a_pipe_tells_silence_a_torn_frame_and_the_end_apart() -> None:
    (a_in, a_out), (b_in, b_out) = os.pipe(), os.pipe()
    worker, hand = PipeLink(a_in, b_out, patience_s=0.05), PipeLink(b_in, a_out)
    with pytest.raises(TimeoutError):
        worker.receive(0.05)
    with pytest.raises(TimeoutError):  # the hand takes nothing in, and a pipe holds less than that
        worker.send_file(sealed(bytes(1 << 20)), bytes(1 << 20))
    hand.send(Kind.PULSE)
    assert worker.receive(5) == Frame(Kind.PULSE)
    os.write(a_out, b"\x01")
    hand.close()
    assert worker.receive(5) is None, "killed within a frame"
    with pytest.raises(BrokenPipeError):
        worker.send(Kind.STOP)
    worker.close()
