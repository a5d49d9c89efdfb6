"""Modes, quitting, small windows: the application as a whole."""

from __future__ import annotations

from functools import partial

from textual.events import Paste
from textual.message import Message

from embcx_tui.tui.app import make_app
from embcx_tui.tui.mode_screen import TABS
from embcx_tui.tui.widgets.dialogs import Ask
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import PATIENCE_S, AppPilot, app_of, has_exited, listed, sees, text_of, until

SMALL = settings_of(networks__runs=1, networks__activations=["relu"], training__epochs=4)


def _is_in(pilot: AppPilot, mode: str) -> bool:
    return app_of(pilot).current_mode == mode


async def test_one_key_a_mode() -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        for key, (mode, title) in zip("scvl", TABS, strict=True):
            await pilot.press(key)
            await until(pilot, partial(_is_in, pilot, mode))
            await sees(pilot, f"{key} {title}")


async def test_a_click_on_a_mode_and_on_a_key_does_the_same() -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.click(offset=(15, 0))
        await until(pilot, lambda: app_of(pilot).current_mode == "configure")
        await pilot.press("s")
        await until(pilot, lambda: app_of(pilot).current_mode == "studies")
        place = text_of(pilot).splitlines()[-1].index("Help")
        await pilot.click(offset=(place, 23))
        await sees(pilot, "Open the study, in Live while it runs")


async def test_q_leaves_at_once_when_nothing_runs() -> None:
    make_study(SMALL, "complete", arrays=False)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("q")
        await until(pilot, lambda: has_exited(pilot))
    assert app.study_actions.last_words == ""


async def test_q_while_a_study_trains_asks_and_enter_detaches() -> None:
    study = make_study(SMALL, "running", epochs=1, arrays=False)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("q")
        await sees(pilot, "Leave embcx-tui?")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Ask))
        await pilot.press("q")
        await sees(pilot, "Detach")
        await pilot.press("enter")
        await until(pilot, lambda: has_exited(pilot))
    assert study.holder is not None and study.holder.poll() is None
    assert f"embcx-tui open {study.paths.id}" in app.study_actions.last_words


async def test_q_can_stop_the_study_after_its_epoch() -> None:
    study = make_study(SMALL, "running", epochs=1, arrays=False)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("q")
        await sees(pilot, "Stop after this epoch")
        await pilot.press("right", "enter")
        await until(pilot, lambda: has_exited(pilot))
    assert study.holder is not None
    assert study.holder.wait(PATIENCE_S) == 0
    assert "embcx-tui resume" in app.study_actions.last_words


async def test_q_stops_only_the_study_it_names() -> None:
    study = make_study(SMALL, "running", epochs=1, arrays=False)
    other = make_study(SMALL, "running", study_id="a2c4e6g8j0", epochs=1, arrays=False)
    app = make_app(study.paths)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.rows_complete and app.snapshot)
        await pilot.press("q")
        await sees(pilot, "2 studies are still running")
        await sees(pilot, "Stop the open one")
        await pilot.press("right", "enter")
        await until(pilot, lambda: has_exited(pilot))
    assert study.holder and other.holder
    assert study.holder.wait(PATIENCE_S) == 0 and other.holder.poll() is None
    assert f"embcx-tui resume {study.paths.id}" in app.study_actions.last_words
    assert f"embcx-tui open {other.paths.id}" in app.study_actions.last_words


async def test_q_without_an_open_study_offers_no_stop_for_several() -> None:
    make_study(SMALL, "running", epochs=1, arrays=False)
    make_study(SMALL, "running", study_id="a2c4e6g8j0", epochs=1, arrays=False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("q")
        await sees(pilot, "Detach")
        assert "Stop" not in text_of(pilot).splitlines()[-8:][0] and "Stop the open one" not in text_of(pilot)


async def test_opened_on_a_study_it_shows_that_study() -> None:
    study = make_study(SMALL, "complete")
    async with make_app(study.paths).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app_of(pilot).current_mode == "layers")
        assert app_of(pilot).paths == study.paths


async def test_a_window_too_small_says_so_and_q_works() -> None:
    make_study(SMALL, "running", epochs=1, arrays=False)
    app = make_app()
    async with app.run_test(size=(39, 11)) as pilot:
        await until(pilot, lambda: app.rows)
        assert text_of(pilot).strip().startswith("q quits · needs 40×12 cells")
        assert len(text_of(pilot).split("\n")[1].strip()) == 0
        for key in "vlcs":
            await pilot.press(key)
            await sees(pilot, "q quits · needs 40×12 cells")
        await pilot.press("q")
        await until(pilot, lambda: has_exited(pilot))


async def test_nothing_is_cut_at_80_columns() -> None:
    make_study(SMALL, "complete", arrays=False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        for key in "scvl":
            await pilot.press(key)
            await pilot.pause()
            last = text_of(pilot).splitlines()[-1]
            assert "? Help" in last and "q Quit" in last, last


async def test_what_is_pasted_where_nothing_takes_it_is_dropped() -> None:
    """It climbs to the application, which must not send it down again, without end."""
    make_study(SMALL, "complete", arrays=False)
    app = make_app()
    times = 0

    def received(message: Message) -> None:
        nonlocal times
        times += isinstance(message, Paste)

    async with app.run_test(size=(80, 24), message_hook=received) as pilot:
        await listed(pilot)
        app.post_message(Paste("q\nsecond line"))
        await until(pilot, lambda: times >= 2)  # on its way down and up again
        await pilot.pause(0.3)
        assert times < 20
