"""What keeps keys quick, as far as it is not a matter of time: what is read, styled and collected, and when."""

from __future__ import annotations

import gc

import pytest
from textual.app import App
from textual.css.stylesheet import Stylesheet
from textual.events import Key, Resize
from textual.geometry import Size

from embcx_tui.store.library import delete_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.tui import gc_pause, study_watcher
from embcx_tui.tui.app import EmbcxApp, make_app
from embcx_tui.tui.messages import OpenStudy
from embcx_tui.tui.screen_loading import style_sheets
from embcx_tui.tui.study_watcher import Readers
from tests.fake_events import START
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import listed, sees, until

SMALL = settings_of(networks__runs=1, networks__activations=["relu"], training__epochs=4)
ONE, OTHER = "a" * 10, "b" * 10


def knows_all_styles(app: EmbcxApp) -> bool:
    return all(app.stylesheet.has_source(str(path)) for path in style_sheets())


async def test_no_screen_and_no_window_lets_all_styles_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    make_study(SMALL, "complete", study_id=ONE)
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        await until(pilot, lambda: knows_all_styles(app))
        again: list[str] = []
        monkeypatch.setattr(Stylesheet, "reparse", lambda self: again.append(app.current_mode))
        monkeypatch.setattr(App, "refresh_css", lambda self, animate=True: again.append(app.current_mode))
        await pilot.press("enter")
        await sees(pilot, "KL (nats)")
        await pilot.press("e")
        await sees(pilot, "PNG")
        await pilot.press("escape", "v")
        await sees(pilot, "Machine")
        await pilot.press("c")
        await until(pilot, lambda: app.current_mode == "configure")
        await pilot.press("escape", "s")
        await until(pilot, lambda: app.current_mode == "studies")
        await pilot.press("question_mark")
        await sees(pilot, "The list of all studies")
        assert again == []


async def test_a_screen_that_first_comes_after_a_change_of_theme_has_its_colours() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        dark = app.screen.styles.background
        await pilot.press("ctrl+t")
        await until(pilot, lambda: app.screen.styles.background != dark)
        light = app.screen.styles.background
        for key, mode in (("l", "layers"), ("v", "live")):
            await pilot.press(key)
            await until(pilot, lambda mode=mode: app.current_mode == mode)  # type: ignore[misc]
            assert app.screen.styles.background == light
        await pilot.press("ctrl+t", "ctrl+t", "s")
        await until(pilot, lambda: app.current_mode == "studies" and app.screen.styles.background == dark)


@pytest.fixture
def read_ahead(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the ids of the studies that have been read ahead, as they are."""
    ids: list[str] = []
    prefetch = Readers.prefetch

    def noted(readers: Readers, paths: StudyPaths) -> None:
        prefetch(readers, paths)
        ids.append(paths.id)

    monkeypatch.setattr(Readers, "prefetch", noted)
    return ids


async def test_a_study_of_the_list_is_read_once_and_as_it_stands_when_it_is_opened(
    monkeypatch: pytest.MonkeyPatch, read_ahead: list[str]
) -> None:
    make_study(SMALL, study_id=ONE, arrays=False)
    study = make_study(SMALL, "running", study_id=OTHER, at=START + 1, epochs=1, arrays=False)
    opened: list[str] = []

    class Noted(study_watcher.SharedReader):
        def __init__(self, paths: StudyPaths) -> None:
            opened.append(paths.id)
            super().__init__(paths)

    monkeypatch.setattr(study_watcher, "SharedReader", Noted)
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: opened == [OTHER, ONE])
        await pilot.press("down")
        await until(pilot, lambda: ONE in read_ahead)
        await pilot.press("up")
        study.append(*(event for event in study.events(epochs=3, arrays=False) if event.kind == "epoch"))
        await pilot.press("enter")
        await sees(pilot, "3/4")
        assert opened == [OTHER, ONE], "nothing is read twice"


async def test_a_study_that_has_gone_since_it_was_looked_at_is_said_to_be_gone(read_ahead: list[str]) -> None:
    study = make_study(SMALL, study_id=ONE, arrays=False)
    make_study(SMALL, study_id=OTHER, at=START - 1, arrays=False)
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await until(pilot, lambda: ONE in read_ahead)
        delete_study(study.paths)
        app.post_message(OpenStudy(study.paths))
        await sees(pilot, "no study")
        assert app.paths is None


@pytest.mark.parametrize("room", [0, 1 << 20])
def test_beside_the_readers_of_the_last_studies_those_are_kept_for_which_there_is_room(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_watcher, "LISTED_BYTES", room)
    studies = [make_study(SMALL, study_id=letter * 10, arrays=False) for letter in "abcd"]
    readers = Readers()
    snapshots: dict[str, Snapshot] = {}
    for study in studies:
        readers.prefetch(study.paths)
        snapshots[study.paths.id] = readers.open(study.paths).poll()
    last, first = studies[-1].paths, studies[0].paths
    assert readers.open(last).poll() is snapshots[last.id]
    assert (readers.open(first).poll() is snapshots[first.id]) is bool(room)
    readers.keep_only([])
    assert readers.open(last).poll() is snapshots[last.id], "one that was just looked at stays"
    assert readers.open(studies[2].paths).poll() is snapshots[studies[2].paths.id], "and the one before it"


def test_garbage_is_collected_between_keys_and_when_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[bool] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(True))
    count = [0, 0, 10]
    monkeypatch.setattr(gc, "get_count", lambda: tuple(count))
    now = [100.0]
    pause = gc_pause.GcPause(lambda: now[0])
    pause.note(Key("down", None))
    now[0] += 2.0
    assert not pause.collect_if_due() and collected == [], "a key was pressed just now"
    pause.note(Resize(Size(80, 24), Size(80, 24)))  # no input
    now[0] += 58.0
    assert pause.quiet_s == 60.0
    assert pause.collect_if_due() and collected == [True]
    count[2] = 0
    assert not pause.collect_if_due() and collected == [True], "there is nothing to collect"


async def test_a_key_is_noted_when_it_is_handled() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.pause(0.05)
        before = app.gc_pause.quiet_s
        await pilot.press("down")
        assert app.gc_pause.quiet_s < before


def test_no_full_collection_begins_by_itself() -> None:
    before = gc.get_threshold()
    try:
        gc_pause.disable_full_collections()
        assert gc.get_threshold()[:2] == before[:2] and gc.get_threshold()[2] > 1_000_000
    finally:
        gc.set_threshold(*before)
