"""A published file is the old one or the whole new one; an array file is what the journal announced or an error."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from embcx_tui.store.files import is_intact, publish, read_arrays, remove_temporaries, write_arrays
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import SealedFile


def test_a_published_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    publish(path, b"one")
    publish(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_without_replace_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x"
    publish(path, b"one", replace=False)
    with pytest.raises(FileExistsError):
        publish(path, b"two", replace=False)
    assert path.read_bytes() == b"one"
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("name", ["write", "fsync", "open"])
def test_where_the_disk_refuses_the_old_file_stays_and_nothing_is_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "x"
    publish(path, b"one")

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, refuse)
        with pytest.raises(OSError, match="No space"):
            publish(path, b"two")
    assert path.read_bytes() == b"one"
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("replace", [True, False])
def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_returns(
    replace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    steps: list[str] = []
    sync = os.fsync

    def fsync(fd: int) -> None:
        sync(fd)
        found = os.fstat(fd)
        steps.append("folder" if stat.S_ISDIR(found.st_mode) else f"file of {found.st_size} bytes")

    def noted(name: Callable[..., None]) -> Callable[..., None]:
        def give(*names: str, **folders: int) -> None:
            steps.append("name")
            name(*names, **folders)

        return give

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", noted(os.replace))
    monkeypatch.setattr(os, "link", noted(os.link))
    publish(path, b"seventeen of them", replace=replace)
    assert steps == ["file of 17 bytes", "name", "folder"] and path.read_bytes() == b"seventeen of them"


def test_a_disk_that_takes_little_at_a_time_gets_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:5])))
    publish(tmp_path / "x", b"seventeen of them")
    assert (tmp_path / "x").read_bytes() == b"seventeen of them"


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".x.123456.tmp").write_bytes(b"half")
    (tmp_path / "x").write_bytes(b"whole")
    remove_temporaries(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def sealed_points(folder: Path) -> SealedFile:
    (folder / "arrays").mkdir()
    return write_arrays(folder / "arrays", "layer.npz", {"points": np.arange(8, dtype=np.float32).reshape(4, 2)})


def test_arrays_come_back_equal_and_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    sealed = sealed_points(tmp_path)
    again = write_arrays(tmp_path / "arrays", "again.npz", read_arrays(tmp_path, sealed))
    assert again.sha256 == sealed.sha256
    assert is_intact(tmp_path, sealed)


def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    sealed = sealed_points(tmp_path)
    path = tmp_path / sealed.name
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert not is_intact(tmp_path, sealed)
        with pytest.raises(StoreError, match="damaged"):
            read_arrays(tmp_path, sealed)
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        read_arrays(tmp_path, sealed)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "arrays/../x", "/etc/passwd", "arrays/.x", "other/x.npz", "arrays/a/b"]
)
def test_a_journal_from_elsewhere_cannot_point_outside_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        SealedFile(name=name, sha256="0" * 64)
