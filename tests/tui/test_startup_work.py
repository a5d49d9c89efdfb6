"""What keeps keys quick, as far as it is not a matter of time: what is read, styled and collected, and when."""

from __future__ import annotations

import gc

import pytest
from textual.app import App
from textual.css.stylesheet import Stylesheet

from embcx_tui.store.library import delete_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.reader import StudyReader
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.tui import gc_pause, study_watcher
from embcx_tui.tui.app import EmbcxApp, make_app, style_sheets
from embcx_tui.tui.messages import OpenStudy
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
        await sees(pilot, "embedding complexity")
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


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list in which the ids of studies will be that were read ahead, as the pointer rested on them."""
    ids: list[str] = []
    genuine = Readers.look_ahead

    def look_ahead(readers: Readers, paths: StudyPaths) -> None:
        genuine(readers, paths)
        ids.append(paths.id)

    monkeypatch.setattr(Readers, "look_ahead", look_ahead)
    return ids


async def test_a_study_of_the_list_is_read_once_and_as_it_stands_when_it_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_study(SMALL, study_id=ONE, arrays=False)
    study = make_study(SMALL, "running", study_id=OTHER, at=START + 1, epochs=1, arrays=False)
    opened: list[str] = []
    looked_at = noted(monkeypatch)
    genuine = StudyReader.__init__

    def open_reader(reader: StudyReader, paths: StudyPaths) -> None:
        opened.append(paths.id)
        genuine(reader, paths)

    monkeypatch.setattr(StudyReader, "__init__", open_reader)
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: opened == [OTHER, ONE])
        await pilot.press("down")
        await until(pilot, lambda: ONE in looked_at)
        await pilot.press("up")
        study.append(*(event for event in study.events(epochs=3, arrays=False) if event.kind == "epoch"))
        await pilot.press("enter")
        await sees(pilot, "3/4")
        assert opened == [OTHER, ONE], "nothing is read twice"


async def test_a_study_that_has_gone_since_it_was_looked_at_is_said_to_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at = noted(monkeypatch)
    study = make_study(SMALL, study_id=ONE, arrays=False)
    make_study(SMALL, study_id=OTHER, at=START - 1, arrays=False)
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await until(pilot, lambda: ONE in looked_at)
        delete_study(study.paths)
        app.post_message(OpenStudy(study.paths))
        await sees(pilot, "no study")
        assert app.paths is None


@pytest.mark.parametrize("room", [0, 1 << 20])
def test_beside_the_readers_of_the_last_studies_those_are_kept_for_which_there_is_room(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_watcher, "_LISTED_BYTES", room)
    studies = [make_study(SMALL, study_id=letter * 10, arrays=False) for letter in "abcd"]
    readers = Readers()
    snapshots: dict[str, Snapshot] = {}
    for study in studies:
        readers.look_ahead(study.paths)
        snapshots[study.paths.id] = readers.open(study.paths).poll()
    last, first = studies[-1].paths, studies[0].paths
    assert readers.open(last).poll() is snapshots[last.id]
    assert (readers.open(first).poll() is snapshots[first.id]) is bool(room)
    readers.keep_only([])
    assert readers.open(last).poll() is snapshots[last.id], "one that was just looked at stays"
    assert readers.open(studies[2].paths).poll() is snapshots[studies[2].paths.id], "and the one before it"


async def test_garbage_is_collected_between_keys_and_when_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[bool] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(True))
    count = [0, 0, 0]
    monkeypatch.setattr(gc, "get_count", lambda: tuple(count))
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("down")
        quiet = 0.0
        monkeypatch.setattr(EmbcxApp, "quiet_s", property(lambda app: quiet))
        count[2] = 10
        assert not app.tidy() and collected == [], "a key was pressed just now"
        quiet = 60.0
        assert app.tidy() and collected == [True]
        count[2] = 0
        assert not app.tidy() and collected == [True], "there is nothing to collect"


def test_no_full_collection_begins_by_itself() -> None:
    before = gc.get_threshold()
    try:
        gc_pause.collect_when_quiet()
        assert gc.get_threshold()[:2] == before[:2] and gc.get_threshold()[2] > 1_000_000
    finally:
        gc.set_threshold(*before)
