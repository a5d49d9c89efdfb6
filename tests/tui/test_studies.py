"""The list of studies, as the keys a person presses."""

from __future__ import annotations

import threading

import pytest

from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.errors import StoreError
from embcx_tui.tui.app import make_app
from embcx_tui.tui.help import HelpScreen
from embcx_tui.tui.live.header import next_words, state_words
from embcx_tui.tui.messages import OpenStudy
from embcx_tui.tui.widgets.dialogs import Ask
from embcx_tui.worker import launch
from tests.fake_events import START
from tests.fake_studies import FakeState, make_study, settings_of
from tests.tui.pilot import app_of, listed, notifications, sees, text_of, until

SMALL = settings_of(networks__runs=1, networks__activations=["relu", "tanh"], training__epochs=4)


async def test_an_empty_list_says_what_to_press() -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await sees(pilot, "No studies yet")
        assert "press n to configure one" in text_of(pilot)
        assert "T for the one-minute demo" in text_of(pilot)
        assert "Open" not in text_of(pilot)


async def test_newest_first_and_each_state_in_words() -> None:
    make_study(SMALL, "complete", study_id="a" * 10, at=START - 9_000, arrays=False)
    make_study(SMALL, "failed", study_id="b" * 10, at=START - 8_000, reason="the disk is full", arrays=False)
    make_study(SMALL, "lost", study_id="c" * 10, at=START - 7_000, arrays=False)
    make_study(SMALL, "stopped", study_id="d" * 10, at=START - 6_000, arrays=False)
    make_study(SMALL, "running", study_id="e" * 10, at=START, arrays=False)
    make_study(SMALL, "queued", study_id="f" * 10, at=START + 500)
    async with make_app().run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        lines = text_of(pilot).splitlines()[2:8]
        states = ["○ queued", "● running", "■ stopped", "? lost", "✗ failed", "✓ complete"]
        assert all(state in line for state, line in zip(states, lines, strict=True)), lines
        await pilot.press("down", "down")
        await sees(pilot, "■ stopped 2 h ago, epoch 2 of 4; r resumes")
        await pilot.press("down")
        await sees(pilot, "? lost: the worker ended without a word 2 h ago; r resumes")
        await pilot.press("down")
        await sees(pilot, "the disk is full; r tries again")


async def test_a_running_study_moves_on_while_it_is_watched() -> None:
    study = make_study(SMALL, "running", epochs=1, arrays=False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await sees(pilot, "epoch 1 of 4")
        study.append(*(event for event in study.events(epochs=3, arrays=False) if event.kind == "epoch"))
        await sees(pilot, "epoch 3 of 4")
        study.end(None)
        await sees(pilot, "? lost")


async def test_the_pointer_stays_on_its_study_when_a_new_one_comes() -> None:
    make_study(SMALL, study_id="a" * 10, at=START, arrays=False)
    make_study(SMALL, study_id="b" * 10, at=START + 1, arrays=False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("down")
        await sees(pilot, "study       aaaaaaaaaa")
        make_study(SMALL, study_id="c" * 10, at=START + 2, arrays=False)
        await until(pilot, lambda: len(app_of(pilot).rows) == 3)
        assert "study       aaaaaaaaaa" in text_of(pilot)


@pytest.mark.parametrize(("state", "mode"), [("running", "live"), ("complete", "layers")])
async def test_enter_opens_a_study_where_it_is_best_seen(state: FakeState, mode: str) -> None:
    make_study(SMALL, state, arrays=True)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: app_of(pilot).current_mode == mode)
        assert app_of(pilot).snapshot is not None


@pytest.mark.parametrize(("key", "mode"), [("v", "live"), ("l", "layers")])
async def test_live_and_layers_show_the_study_pointed_at_where_none_is_open(key: str, mode: str) -> None:
    make_study(SMALL, "complete", study_id="a" * 10, at=START, arrays=False)
    older = make_study(SMALL, "complete", study_id="b" * 10, at=START - 9, arrays=False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("down", key)
        await until(pilot, lambda: app_of(pilot).current_mode == mode and app_of(pilot).snapshot is not None)
        assert app_of(pilot).paths == older.paths


async def test_who_goes_elsewhere_while_a_study_is_read_is_not_called_back() -> None:
    study = make_study(SMALL)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        app = app_of(pilot)
        app.open_study(OpenStudy(study.paths))
        app.action_mode("configure")  # before anything is read
        await until(pilot, lambda: app.snapshot is not None)
        await pilot.pause()
        assert app.current_mode == "configure"


async def test_t_creates_and_starts_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[StudyPaths] = []
    monkeypatch.setattr(launch, "start", started.append)
    monkeypatch.setattr(launch, "await_acceptance", lambda paths: None)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await sees(pilot, "No studies yet")
        await pilot.press("T")
        await until(pilot, lambda: started and app_of(pilot).current_mode == "live")
        assert app_of(pilot).paths == started[0]


async def test_t_pressed_twice_starts_one_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[StudyPaths] = []
    accepted = threading.Event()
    monkeypatch.setattr(launch, "start", started.append)
    monkeypatch.setattr(launch, "await_acceptance", lambda paths: accepted.wait(20))
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await sees(pilot, "No studies yet")
        await pilot.press("T", "T")
        await until(pilot, lambda: started and app_of(pilot).current_mode == "live")
        await pilot.press("s", "T")
        await until(pilot, lambda: app_of(pilot).current_mode == "studies")
        await until(pilot, lambda: "is being started" in notifications(pilot))
        accepted.set()
        await until(pilot, lambda: not app_of(pilot).study_actions.beginning)
        assert len(started) == 1
        await pilot.press("T")
        await until(pilot, lambda: len(started) == 2)


async def test_a_worker_that_cannot_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(paths: StudyPaths) -> int:
        raise StoreError("the worker of study x cannot be started (Permission denied)")

    monkeypatch.setattr(launch, "start", refuse)
    make_study(SMALL, "stopped", arrays=False)
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("r")
        await until(pilot, lambda: "Permission denied" in notifications(pilot))


async def test_x_stops_a_running_study() -> None:
    make_study(SMALL, "running", epochs=1, arrays=False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("x")
        await sees(pilot, "■ stopped")


async def test_delete_asks_and_enter_keeps() -> None:
    study = make_study(SMALL, "complete", arrays=False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("delete")
        await sees(pilot, "Delete “demo”?")
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Ask))
        assert study.paths.root.exists()
        await pilot.press("delete", "right", "enter")
        await sees(pilot, "No studies yet")
        assert not study.paths.root.exists()


async def test_a_running_study_cannot_be_deleted_or_resumed() -> None:
    study = make_study(SMALL, "running", epochs=1, arrays=False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("delete", "r")
        assert not isinstance(pilot.app.screen, Ask)
        assert study.paths.root.exists()


async def test_a_damaged_study_is_listed_with_its_reason() -> None:
    study = make_study(SMALL, "complete", arrays=False)
    study.paths.study_file.write_text("networks = 3")
    async with make_app().run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        assert "! damaged" in text_of(pilot)
        assert "networks" in text_of(pilot)
        await pilot.press("enter")
        assert app_of(pilot).current_mode == "studies"


async def test_a_study_that_has_lost_a_line_says_so_and_can_be_resumed() -> None:
    study = make_study(SMALL, "complete", arrays=False)
    whole = study.paths.journal.read_bytes().splitlines(keepends=True)
    study.paths.journal.write_bytes(b"".join(line for line in whole if b'"trained"' not in line))
    async with make_app().run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        text = " ".join(text_of(pilot).split())
        assert "! damaged" in text and "✓ partly" in text
        assert "its journal has lost" in text and "r makes it again" in text
        assert pilot.app.screen.check_action("resume", ())
        await pilot.press("enter", "v")
        await pilot.pause()
    snapshot = read_study(study.paths)
    assert state_words(snapshot).startswith("complete, but damaged: its journal has lost")
    assert next_words(snapshot, str) == "live.resume resumes"


HOSTILE = "\x1b]0;owned\x07[bold red]x[/] \x1b[31m\u202ename[/nope"


async def test_a_hostile_name_is_shown_and_never_obeyed() -> None:
    make_study(settings_of(name=HOSTILE, networks__runs=1), "failed", reason=HOSTILE, arrays=False)
    async with make_app().run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        text = text_of(pilot)
        assert "[bold red]x[/] name[/nope" in text
        assert not any(bad in text for bad in ("\x1b", "\x07", "\u202e", "owned"))
        await pilot.press("ctrl+p", *"name")
        await sees(pilot, "Open [bold red]x[/] name[/nope")
        await pilot.press("escape", "escape", "delete")
        await sees(pilot, "Delete “[bold red]x[/] name[/nope”?")


async def test_help_lists_the_keys_of_the_screen_and_closes() -> None:
    make_study(SMALL, arrays=False)
    async with make_app().run_test(size=(80, 40)) as pilot:
        await listed(pilot)
        await pilot.press("question_mark")
        await sees(pilot, "Delete the marked studies, else this one")
        assert "Watch the open study train" in text_of(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, HelpScreen))


async def test_diverged_networks_and_those_at_chance_are_counted_in_the_list_and_named_below() -> None:
    make_study(
        settings_of(networks__runs=2, networks__activations=["relu", "tanh"], name="a name that is much too long"),
        at_chance=["digits-d3-relu-r0", "digits-d3-relu-r1"],
        diverged=["digits-d3-tanh-r1"],
        broken=["digits-d3-tanh-r0-l2"],
        arrays=False,
    )
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await sees(pilot, "… ✗1 ≈2")
        await sees(pilot, "✗ 1 network diverged, excluded from means")
        await sees(pilot, "≈ 2 networks at chance, in the means above")
        await sees(pilot, "! 1 layer could not be measured")


async def test_a_folder_of_studies_that_may_not_be_entered_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied() -> None:
        raise PermissionError(13, "Permission denied", "/root/studies")

    monkeypatch.setattr("embcx_tui.tui.study_watcher.list_studies", denied)
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "/root/studies: Permission denied" in notifications(pilot))
        await pilot.press("c")
        await sees(pilot, "start from")
