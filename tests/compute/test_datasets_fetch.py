"""Fetching, from a server on this machine that does what servers do."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from embcx_tui.compute import datasets
from embcx_tui.compute.datasets import check, fetch, load
from embcx_tui.compute.datasets import download as downloading
from embcx_tui.compute.datasets.download import download
from embcx_tui.study.errors import DataError
from tests.compute.fake_datasets import fake_source, files, idx_bytes, images

BODY = bytes(range(256)) * 2_000
MD5 = hashlib.md5(BODY).hexdigest()
# Nobody listens on the port "discard".
DEAD = "http://127.0.0.1:9/"


@dataclass
class Behaviour:
    """What the server does: its files, and how it misbehaves."""

    files: dict[str, bytes] = field(default_factory=lambda: {"file": BODY})
    ranges: bool = True
    breaks_after: list[int] = field(default_factory=list)  # bytes each coming answer gives before it breaks
    errors: list[int] = field(default_factory=list)  # codes of the coming answers
    shifted: bool = False  # answers a range with another one
    lengths: bool = True  # says how long its answers are
    asked: list[str] = field(default_factory=list)  # the Range of each request


class Server(NamedTuple):
    url: str
    does: Behaviour

    @property
    def urls(self) -> list[str]:
        return [f"{self.url}file"]


class Handler(BaseHTTPRequestHandler):
    does: Behaviour

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.does.asked.append(wanted)
        body = self.does.files.get(self.path.rpartition("/")[2])
        if self.does.errors or body is None:
            self.send_error(self.does.errors.pop(0) if self.does.errors else 404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.does.ranges else 0
        if start >= len(body) and wanted and self.does.ranges:
            self.send_error(416)
            return
        if start:
            start += self.does.shifted
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if self.does.lengths:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        given = self.does.breaks_after.pop(0) if self.does.breaks_after else len(body)
        self.wfile.write(body[start : start + given])

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """Serve files from this machine while the block runs."""
    does = Behaviour()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Made", (Handler,), {"does": does}))
    thread = threading.Thread(target=lambda: http.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    yield Server(f"http://127.0.0.1:{http.server_port}/", does)
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


def get(server: Server, folder: Path, urls: list[str] | None = None, size: int = len(BODY)) -> list[int]:
    calls: list[int] = []
    download(urls or server.urls, folder / "file", MD5, size, calls.append, pauses=(0.0, 0.0))
    assert (folder / "file").read_bytes() == BODY
    assert [path.name for path in folder.iterdir()] == ["file"]
    return calls


def fails(server: Server, folder: Path, urls: list[str] | None = None, size: int = len(BODY)) -> str:
    with pytest.raises(DataError) as caught:
        download(urls or server.urls, folder / "file", MD5, size, pauses=(0.0, 0.0))
    assert not (folder / "file").exists() and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("lengths", [True, False])
def test_a_whole_file_with_progress(server: Server, tmp_path: Path, lengths: bool) -> None:
    server.does.lengths = lengths
    calls = get(server, tmp_path)
    assert calls == sorted(calls) and calls[-1] == len(BODY) and server.does.asked == [""]
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("lengths", [True, False])
def test_a_broken_download_goes_on_where_it_ended(server: Server, tmp_path: Path, lengths: bool) -> None:
    server.does.lengths = lengths
    # More breaks than tries: each that brings bytes gives the full number of tries again.
    server.does.breaks_after = [70_000] * 6
    calls = get(server, tmp_path)
    assert calls == sorted(calls)
    assert server.does.asked == ["", *(f"bytes={70_000 * n}-" for n in range(1, 7))]


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.does.ranges = False
    server.does.breaks_after = [70_000, 60_000]
    get(server, tmp_path)
    assert server.does.asked == ["", "bytes=70000-", "bytes=60000-"]


def test_what_is_kept_serves_the_next_call(server: Server, tmp_path: Path) -> None:
    server.does.breaks_after = [100_000, 0, 0]
    text = fails(server, tmp_path)
    assert re.search(r"broke off after 100,000 of 512,000 bytes, 3 tries; 100,000 bytes are kept", text), text
    assert [path.name for path in tmp_path.iterdir()] == [".file.part"]
    server.does.asked.clear()
    get(server, tmp_path)
    assert server.does.asked == ["bytes=100000-"]


def test_another_address_goes_on_with_what_the_first_gave(server: Server, tmp_path: Path) -> None:
    server.does.files["late"] = BODY
    server.does.breaks_after = [100_000, 0, 0]
    get(server, tmp_path, [*server.urls, f"{server.url}late"])
    assert server.does.asked[-1] == "bytes=100000-"


@pytest.mark.parametrize(
    "kept",
    [b"another file's beginning", BODY + b"and more", BODY[:-1] + b"?", BODY],
    ids=["another", "longer", "wrong", "whole"],
)
def test_a_kept_part_that_fits_nothing_costs_only_time(server: Server, tmp_path: Path, kept: bytes) -> None:
    (tmp_path / ".file.part").write_bytes(kept)
    get(server, tmp_path)


def test_a_range_that_was_not_asked_for_is_not_taken(server: Server, tmp_path: Path) -> None:
    server.does.breaks_after = [100_000]
    server.does.shifted = True
    get(server, tmp_path)
    assert server.does.asked == ["", "bytes=100000-", ""]


def test_a_busy_server_is_asked_again_and_a_missing_page_is_not(server: Server, tmp_path: Path) -> None:
    server.does.errors = [503, 429]
    get(server, tmp_path)
    (tmp_path / "file").unlink()
    server.does.asked.clear()
    server.does.errors = [404, 503]
    assert "file: 404 Not Found" in fails(server, tmp_path) and len(server.does.asked) == 1


def test_a_wrong_file_is_refused_and_the_next_address_tried(server: Server, tmp_path: Path) -> None:
    for wrong in (BODY[:-1] + b"?", BODY + b"?", b"<html>log in to this network</html>", b""):
        server.does.files["wrong"] = wrong
        text = fails(server, tmp_path, [f"{server.url}wrong", f"{server.url}nothing"])
        assert "/wrong: " in text and "/nothing: 404 Not Found" in text
        assert "wrong checksum" in text
        get(server, tmp_path, [f"{server.url}wrong", *server.urls])
        (tmp_path / "file").unlink()


def test_an_endless_file_is_left(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "SPARE_BYTES", 1_000)
    assert "more than twice the 1,000 bytes" in fails(server, tmp_path, size=1_000)
    assert not list(tmp_path.iterdir())


def test_a_size_that_is_listed_wrongly_does_no_harm(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path, size=len(BODY) - 1_000)
    (tmp_path / "file").unlink()
    get(server, tmp_path, size=len(BODY) + 1_000)


def test_a_silent_server_is_given_up(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(downloading, "TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        assert re.search("timed out.*3 tries", fails(server, tmp_path, [url]))
        get(server, tmp_path, [url, *server.urls])


@pytest.mark.parametrize(
    "url", [DEAD + "file", "http://no-such-host.invalid/file", "http://[bad/file", "ftp://127.0.0.1:9/x"]
)
def test_no_network_is_one_line_and_leaves_nothing(server: Server, tmp_path: Path, url: str) -> None:
    assert fails(server, tmp_path, [url]).startswith(url)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, chunk: Any, /) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(io, "FileIO", Full)
    assert "cannot be written (No space left on device)" in fails(server, tmp_path)
    assert not list(tmp_path.iterdir())
    nothing_free = shutil._ntuple_diskusage(10, 10, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: nothing_free)
    assert "512,000 bytes are needed" in fails(server, tmp_path) and "0 are free" in fails(server, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_little_at_a_time(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(io.FileIO):
        def write(self, chunk: Any, /) -> int:
            return super().write(bytes(chunk)[:1_000])

    monkeypatch.setattr(io, "FileIO", Short)
    get(server, tmp_path)


def test_two_fetches_do_not_write_the_same_file(server: Server, tmp_path: Path) -> None:
    import subprocess
    import sys

    part = tmp_path / ".file.part"
    hold = "import fcntl,sys; f=open(sys.argv[1],'wb'); fcntl.lockf(f,fcntl.LOCK_EX); print(1,flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(part)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        other.stdout.readline()
        assert "another process is fetching" in fails(server, tmp_path)
        other.stdin.close()
    get(server, tmp_path)


def test_fetching_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(downloading, "PAUSES_SECONDS", ())
    server.does.files |= {path.rpartition("/")[2]: raw for path, raw in files("mnist").items()}
    # The first mirror is dead, as one of torchvision's usually is.
    monkeypatch.setitem(datasets.SOURCES, "mnist", fake_source("mnist", (DEAD, server.url)))
    calls: list[tuple[int, int]] = []
    fetch("mnist", tmp_path, lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls) and calls[-1] == (sum(map(len, files("mnist").values())),) * 2
    assert check("mnist", tmp_path).state == "present" and load("mnist", tmp_path, tmp_path / "cache").features == 20
    folder = tmp_path / "MNIST" / "raw"
    assert {f"MNIST/raw/{path.name}" for path in folder.iterdir()} == set(files("mnist"))
    server.does.asked.clear()
    fetch("mnist", tmp_path)
    assert not server.does.asked  # nothing is wanted
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    unpacked = folder / "train-labels-idx1-ubyte"
    unpacked.write_bytes(b"an unpacked one, damaged as well")
    assert check("mnist", tmp_path).state == "damaged"
    fetch("mnist", tmp_path)
    # A damaged unpacked file would have been read before the good one.
    assert check("mnist", tmp_path).state == "present" and not unpacked.exists()
    unpacked.write_bytes(idx_bytes(images("mnist")[1]))
    server.does.asked.clear()
    fetch("mnist", tmp_path)
    assert not server.does.asked and unpacked.exists()


def test_a_dataset_that_cannot_be_fetched_says_what_was_tried_and_what_belongs_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(datasets.SOURCES, "svhn", fake_source("svhn", (DEAD,)))
    with pytest.raises(DataError, match="svhn could not be fetched") as caught:
        fetch("svhn", tmp_path)
    text = str(caught.value)
    assert f"{DEAD}train_32x32.mat: " in text and "\n" not in text
    assert f"train_32x32.mat, test_32x32.mat belong in {tmp_path}" in text
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be (made|written)"):
        fetch("svhn", tmp_path / "file")
