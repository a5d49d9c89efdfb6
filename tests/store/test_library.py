"""Studies are created whole, found by what people call them, and deleted only when nobody works on them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from embcx_tui.store import lock
from embcx_tui.store.library import create_study, delete_study, find_study, list_studies, read_settings
from embcx_tui.store.lock import StudyLock
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.errors import RequestError, StoreError
from embcx_tui.study.settings import StudySettings, load_preset, validate


def make(name: str) -> StudyPaths:
    return create_study(load_preset("demo").settings.model_copy(update={"name": name}))


def test_a_new_study_is_private_complete_and_queued(home: Path) -> None:
    paths = make("mine")
    assert paths.root.parent == home / "studies"
    assert stat.S_IMODE(paths.root.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths.root.iterdir() if path.is_file()} == {0o600}
    assert read_settings(paths).name == "mine"
    snapshot = read_study(paths)
    assert snapshot.state == "queued" and snapshot.id == paths.id
    assert len(snapshot.networks) == 24


def test_studies_are_found_by_id_prefix_name_and_last() -> None:
    first, second, third = make("one"), make("two"), make("two")
    os.utime(first.study_file, (1, 1))
    os.utime(second.study_file, (2, 2))
    assert [paths.id for paths in list_studies()] == [third.id, second.id, first.id]
    assert find_study("last").id == third.id
    assert find_study(first.id).id == first.id
    assert find_study("one").id == first.id
    assert find_study(first.id[:8]).id == first.id
    with pytest.raises(RequestError, match="2 studies are called 'two'") as caught:
        find_study("two")
    assert third.id in str(caught.value)
    with pytest.raises(RequestError, match="there is no study 'nine'"):
        find_study("nine")
    with pytest.raises(RequestError, match="there is no study ''"):
        find_study("")


def test_what_is_no_study_is_not_listed(home: Path) -> None:
    paths = make("mine")
    (home / "studies" / ".new-0123456789").mkdir()
    (home / "studies" / "notes").mkdir()
    (home / "studies" / "0123456789").mkdir()  # no study file: half of something
    assert [one.id for one in list_studies()] == [paths.id]


def test_without_any_study_last_says_how_to_start_one() -> None:
    with pytest.raises(RequestError, match="embcx-tui run demo"):
        find_study("last")


def test_a_home_that_cannot_be_written_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EMBCX_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="cannot be created") as caught:
        make("x")
    assert "\n" not in str(caught.value)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_damaged_study_file_is_one_line() -> None:
    paths = make("x")
    paths.study_file.write_bytes(b"\xff")
    with pytest.raises(StoreError, match=f"study {paths.id}"):
        read_settings(paths)


def test_a_study_file_without_the_search_keeps_the_plain_one_and_a_new_one_has_the_search() -> None:
    paths = make("x")
    assert read_settings(paths).measure.search == "thorough"
    text = paths.study_file.read_text(encoding="utf-8")
    assert 'search = "thorough"' in text
    paths.study_file.write_text(text.replace('search = "thorough"\n', ""), encoding="utf-8")
    assert read_settings(paths).measure.search == "plain"
    # Studies of the time when the annealed search was the default have its name.
    paths.study_file.write_text(text.replace('"thorough"', '"annealed"'), encoding="utf-8")
    assert read_settings(paths).measure.search == "annealed"


def test_a_study_file_without_the_way_of_large_samples_keeps_the_earlier_one() -> None:
    paths = make("x")
    assert read_settings(paths).measure.large == "packed"
    text = paths.study_file.read_text(encoding="utf-8")
    paths.study_file.write_text(text.replace('large = "packed"\n', ""), encoding="utf-8")
    assert read_settings(paths).measure.large == "whole"


@pytest.mark.parametrize("text", ["measure = 3", 'measure = ["tsne"]', "[[measure]]"])
def test_a_study_file_whose_tables_are_none_is_one_line(text: str) -> None:
    paths = make("x")
    paths.study_file.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=f"study {paths.id}: its study.toml is damaged .measure"):
        read_settings(paths)


def test_a_name_from_outside_is_one_harmless_line() -> None:
    settings = validate({"name": "a\x1b]0;x\x07b\nc"})
    assert isinstance(settings, StudySettings)
    assert settings.name == "ab c"


HOLDER = """
import sys
import time
from pathlib import Path
from embcx_tui.store.lock import StudyLock
assert StudyLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_one_process_holds_the_lock_until_it_is_killed() -> None:
    paths = make("x")
    assert not lock.is_held(paths.lock)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(paths.lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        assert lock.is_held(paths.lock)
        assert not StudyLock(paths.lock).acquire()
        assert read_study(paths).state == "running"
        with pytest.raises(RequestError, match="stop it first"):
            delete_study(paths)
        holder.kill()
    assert not lock.is_held(paths.lock)
    assert StudyLock(paths.lock).acquire()


def test_a_deleted_study_is_gone_with_all_its_files(home: Path) -> None:
    paths = make("x")
    delete_study(paths)
    assert list_studies() == ()
    assert [one.name for one in (home / "studies").iterdir()] == []


def test_what_a_killed_process_left_goes_with_the_next_study(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make("x")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", interrupted)
        delete_study(paths)
    (home / "studies" / ".new-0123456789").mkdir()
    make("y")
    assert len(list((home / "studies").iterdir())) == 3, "perhaps another process is at it"
    late = time.time() + 7_200
    monkeypatch.setattr("embcx_tui.store.library.time.time", lambda: late)
    kept = make("z")
    assert {one.name for one in (home / "studies").iterdir()} == {one.id for one in list_studies()}
    assert kept.id in {one.id for one in list_studies()} and len(list_studies()) == 2


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
