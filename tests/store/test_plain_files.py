"""Nothing is opened through a link, and nothing that is no plain file: at once, and in one line."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from embcx_tui.store.files import is_intact, make_folder, publish, read_arrays, remove_temporaries
from embcx_tui.store.journal import JournalWriter, read_journal
from embcx_tui.store.lock import StudyLock, is_held
from embcx_tui.store.machine_records import TelemetryWriter, read_telemetry
from embcx_tui.store.plain_files import open_plain, read_plain
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import SealedFile


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


NOT_PLAIN: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "folder": Path.mkdir,
    "socket": make_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to(path.with_name("victim")),
    "dangling link": lambda path: path.symlink_to(path.with_name("nowhere")),
    "link to itself": lambda path: path.symlink_to(path.name),
}


@pytest.fixture(params=NOT_PLAIN)
def strange(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something in the place of a file, in the folder `arrays`, with a person's file beside it."""
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    folder = Path("arrays")
    folder.mkdir()
    (folder / "victim").write_text("mine")
    NOT_PLAIN[request.param](folder / "x")
    return tmp_path / folder / "x"


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_APPEND])
def test_only_a_plain_file_is_opened(strange: Path, flags: int) -> None:
    with pytest.raises(OSError) as caught:  # the kind of thing decides the errno
        open_plain(strange, flags)
    assert caught.value.filename == str(strange) and caught.value.strerror
    assert sorted(path.name for path in strange.parent.iterdir()) == ["victim", "x"]


def test_every_reader_and_writer_of_a_study_refuses_it(strange: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        read_journal(strange)
    with pytest.raises(OSError):
        JournalWriter(strange)
    with pytest.raises(StoreError, match="cannot be opened"):
        StudyLock(strange).acquire()
    assert not is_held(strange)
    assert read_telemetry(strange) == ()
    with pytest.raises(OSError):
        TelemetryWriter(strange)
    sealed = SealedFile(name="arrays/x", sha256="0" * 64)
    assert not is_intact(strange.parents[1], sealed)
    with pytest.raises(StoreError, match="cannot be read"):
        read_arrays(strange.parents[1], sealed)
    assert (strange.parent / "victim").read_text() == "mine"


def test_a_link_in_the_place_of_a_published_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "x").symlink_to("victim")
    publish(tmp_path / "x", b"ours")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "x").read_bytes() == b"ours" and not (tmp_path / "x").is_symlink()


def test_a_folder_that_is_a_link_is_not_written_read_or_swept(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / ".draft.tmp").write_text("mine")
    (theirs / "x").write_text("mine")
    arrays = tmp_path / "arrays"
    arrays.symlink_to(theirs)
    for attempt in (
        lambda: publish(arrays / "x", b"ours"),
        lambda: remove_temporaries(arrays),
        lambda: read_plain(arrays / "x", 100),
        lambda: JournalWriter(arrays / "journal.jsonl"),
    ):
        with pytest.raises(OSError, match="symbolic link") as caught:
            attempt()
        assert caught.value.errno == errno.ELOOP
    assert {path.name: path.read_text() for path in theirs.iterdir()} == {".draft.tmp": "mine", "x": "mine"}
    assert read_plain(arrays / "x", 100, follow=True) == b"mine"


def test_exports_are_not_written_through_a_link_but_a_users_own_folder_may_be_one(home: Path, tmp_path: Path) -> None:
    study = home / "studies" / "0123456789"
    study.mkdir(parents=True)
    (tmp_path / "thesis" / "report").mkdir(parents=True)
    (study / "exports").symlink_to(tmp_path / "thesis")
    for folder in (study / "exports", study / "exports" / "report", study / "exports" / "new"):
        with pytest.raises(StoreError, match="symbolic link"):
            make_folder(folder)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["report"]
    (tmp_path / "mine").symlink_to(tmp_path / "thesis")
    make_folder(tmp_path / "mine" / "new")
    publish(tmp_path / "mine" / "x", b"ours", follow=True)
    assert (tmp_path / "thesis" / "new").is_dir() and (tmp_path / "thesis" / "x").read_bytes() == b"ours"


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a sparse file takes no room
    with pytest.raises(OSError, match="longer than"):
        read_plain(path, 1_000)
    with pytest.raises(StoreError, match="no journal"):
        read_journal(path)
