"""The queue: files in the studies' folders, and whose turn it is."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace

import pytest

from embcx_tui.analysis.formatting import ordinal
from embcx_tui.store import queue
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.queue_rows import with_queue
from embcx_tui.tui.studies.details import queue_words
from embcx_tui.tui.study_row import StudyRow, row_of
from tests.fake_events import START
from tests.fake_studies import FakeStudy, make_study, release_all, settings_of


@pytest.fixture
def three() -> list[FakeStudy]:
    """Three queued studies, whose processes do not wait."""
    made = [
        make_study(settings_of(name=name, networks__runs=1), "queued", study_id=name[0] * 10)
        for name in ("first", "second", "third")
    ]
    for place, study in enumerate(made):
        queue.write_entry(study.paths, float(place))
    return made


def names(entries: tuple[queue.Entry, ...]) -> str:
    return "".join(entry.paths.id[0] for entry in entries)


def waiting(monkeypatch: pytest.MonkeyPatch, *studies: FakeStudy) -> None:
    """Let the processes of these studies wait."""
    held = {study.paths.waiting for study in studies}
    monkeypatch.setattr("embcx_tui.store.queue.lock.is_held", lambda path: path in held)


def test_the_queue_is_in_order_and_studies_move_in_it(three: list[FakeStudy]) -> None:
    assert names(queue.entries()) == "fst"
    assert queue.move(three[2].paths, -1) and names(queue.entries()) == "fts"
    assert queue.move(three[0].paths, 1) and names(queue.entries()) == "tfs"
    assert not queue.move(three[2].paths, -1) and not queue.move(three[1].paths, 1)
    assert queue.remove_entry(three[0].paths) and not queue.remove_entry(three[0].paths)
    assert names(queue.entries()) == "ts"


def test_entries_of_one_time_can_be_told_apart_again(three: list[FakeStudy]) -> None:
    for study in three:
        queue.write_entry(study.paths, 5.0)
    assert names(queue.entries()) == "fst"
    assert queue.move(three[1].paths, -1) and names(queue.entries()) == "sft"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"order": "x", "host": 3}', b'{"order": null}', b"\xff" * 9_000]
)
def test_a_damaged_entry_is_none(three: list[FakeStudy], content: bytes) -> None:
    three[0].paths.queue.write_bytes(content)
    assert names(queue.entries()) == "st" and not queue.is_queued(three[0].paths)


def test_entries_of_other_machines_are_theirs(three: list[FakeStudy]) -> None:
    entry = json.loads(three[0].paths.queue.read_bytes())
    three[0].paths.queue.write_text(json.dumps({**entry, "host": "another"}))
    assert names(queue.entries()) == "st" and queue.is_queued(three[0].paths)


def test_a_folder_that_was_copied_here_queues_nothing(three: list[FakeStudy]) -> None:
    first, root = three[0].paths, three[0].paths.root
    shutil.copytree(root, root.parent / "stranger")
    shutil.rmtree(root)
    (root.parent / "stranger").rename(root)
    assert json.loads(first.queue.read_bytes())["host"] == socket.gethostname()
    assert names(queue.entries()) == "st" and not queue.is_queued(first)


def test_an_order_that_is_no_number_is_damage(three: list[FakeStudy]) -> None:
    entry = json.loads(three[0].paths.queue.read_bytes())
    three[0].paths.queue.write_text(json.dumps({**entry, "order": float("nan")}))
    assert names(queue.entries()) == "st"


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("auto", "cpu", True),
        ("auto", "auto", True),
        ("cpu", "cpu", True),
        ("cpu", "cuda", False),
        ("cuda", "cuda:1", True),
        ("cuda:0", "cuda:1", False),
        ("cuda:1", "cuda:1", True),
    ],
)
def test_which_studies_share_a_device(one: str, other: str, shared: bool) -> None:
    assert queue.share_a_device(one, other) is shared and queue.share_a_device(other, one) is shared


def test_the_first_that_waits_has_its_turn_once_nothing_runs(
    three: list[FakeStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second, third = three
    waiting(monkeypatch, *three)
    assert [queue.has_turn(study.paths) for study in three] == [True, False, False]
    waiting(monkeypatch, second, third)  # the first one's process was killed
    assert not queue.has_turn(third.paths) and queue.has_turn(second.paths)
    assert queue.is_taken("cpu", but=second.paths), "the third one waits"
    queue.remove_entry(second.paths)
    assert queue.has_turn(third.paths)


def test_nothing_has_its_turn_while_a_study_runs_on_its_device(three: list[FakeStudy]) -> None:
    running = make_study(settings_of(networks__runs=1), "running", study_id="r" * 10, epochs=1, arrays=False)
    try:
        assert queue.busy_with("cpu") == (running.paths,)
        assert not any(queue.has_turn(study.paths) for study in three)
        assert queue.is_taken("auto")
    finally:
        release_all()
    assert queue.busy_with("cpu") == () and queue.has_turn(three[0].paths)


def test_the_rows_say_the_place_and_count_what_is_before(
    three: list[FakeStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(study: FakeStudy) -> StudyRow:
        return replace(row_of(study.paths, read_study(study.paths), START), work=600.0)

    rows = [row(study) for study in three]
    waiting(monkeypatch, *three)
    runs = replace(rows[0], paths=make_study(study_id="r" * 10).paths, state="running", seconds_left=300.0)
    first, second, third = with_queue([*rows, runs])[:3]
    assert [one.place for one in (first, second, third)] == [1, 2, 3]
    assert [one.starts_in for one in (first, second, third)] == [300.0, 900.0, 1_500.0]
    assert queue_words(second) == "2nd, starts in about 15 min" and second.shown == "queued"
    unknown = with_queue([*rows, replace(runs, seconds_left=None)])[1]
    assert unknown.starts_in is None and queue_words(unknown) == "2nd"
    waiting(monkeypatch, three[0], three[2])
    gone, last = with_queue(rows)[1:]
    assert queue_words(gone) == "2nd, but its process is gone"
    assert last.starts_in == 600.0, "what nobody works on does not count"


def test_places_are_ordinals() -> None:
    assert [ordinal(place) for place in (1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111)] == [
        *("next", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "111th")
    ]
