"""What a person chooses and finds again: theme, keys, notifications, the screen and the study they left."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from embcx_tui.store.paths import preferences_file, state_file
from embcx_tui.tui import preferences, session
from embcx_tui.tui.app import EmbcxApp, make_app
from embcx_tui.tui.keymap import check_keys
from embcx_tui.tui.preferences import Remembered
from embcx_tui.tui.study_row import StudyRow
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import app_of, has_exited, listed, notifications, sees, text_of, until

SMALL = settings_of(networks__runs=1, networks__activations=["relu"], training__epochs=4)


@pytest.fixture
def file(home: Path) -> Path:
    home.mkdir()
    return preferences_file()


async def test_ctrl_t_goes_through_the_themes_and_the_next_start_has_the_last() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        for name in ("embcx-light", "embcx-contrast"):
            await pilot.press("ctrl+t")
            assert app.theme == name
        await until(pilot, lambda: preferences_file().exists() and '"contrast"' in preferences_file().read_text())
    assert make_app().theme == "embcx-contrast"
    assert stat.S_IMODE(preferences_file().stat().st_mode) == 0o600


async def test_the_palette_finds_a_theme_and_how_to_tell_an_end() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("ctrl+p", *"high contrast")
        await sees(pilot, "Theme: high contrast")
        await pilot.press("enter")
        await until(pilot, lambda: app.theme == "embcx-contrast")
        await pilot.press("ctrl+p", *"osc9")
        await sees(pilot, "Notify when a study ends: osc9")
        await pilot.press("enter")
        await until(pilot, lambda: app.session.notifies == "osc9")
        await until(pilot, lambda: preferences_file().exists() and 'notify = "osc9"' in preferences_file().read_text())


def test_a_choice_changes_its_own_line_and_no_other(file: Path) -> None:
    file.write_text('# mine\ntheme = "light"  # day\n\n[keys] # all of them\n"live.zoom" = "Z"\n')
    assert preferences.choose("theme", "contrast") == ""
    assert preferences.choose("notify", "bell") == ""
    text = file.read_text()
    assert text.startswith('# mine\ntheme = "contrast"\n') and '[keys] # all of them\n"live.zoom" = "Z"\n' in text
    chosen, said = preferences.read_preferences()
    assert (chosen.theme, chosen.notify, chosen.keys, said) == ("contrast", "bell", {"live.zoom": "Z"}, ())


@pytest.mark.parametrize("content", [b'theme = "dark', b"\xff\xfe", b"[" * 5_000, b"x" * 200_000])
def test_a_damaged_file_is_said_and_kept(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    chosen, lines = preferences.read_preferences()
    assert chosen == preferences.Preferences() and len(lines) == 1 and "cannot be read" in lines[0]
    problem = preferences.choose("theme", "light")
    assert "preferences.damaged-1.toml" in problem
    assert (file.parent / "preferences.damaged-1.toml").read_bytes() == content
    assert preferences.read_preferences()[0].theme == "light"


def test_what_cannot_be_followed_is_said_in_one_line_each(file: Path) -> None:
    file.write_text('theme = "pink"\ncolour = 1\n[keys]\n"live.zoom" = 3\n')
    chosen, lines = preferences.read_preferences()
    assert chosen == preferences.Preferences()
    assert lines == (
        "preferences.toml: theme is “pink”, not one of dark, light, contrast",
        "preferences.toml: the key of “live.zoom” is not a text",
        "preferences.toml: nothing is known of “colour”",
    )


async def test_complaints_stand_on_the_screen(file: Path) -> None:
    file.write_text('theme = "pink"\n[keys]\n"live.zoom" = "x"\n')
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await until(
            pilot,
            lambda: "theme is “pink”" in notifications(pilot) and "x is the key of live.stop" in notifications(pilot),
        )


async def test_another_key_works_and_help_and_footer_show_it(file: Path) -> None:
    file.write_text('[keys]\n"mode.live" = "f9"\n"studies.new" = "I,f2"\n')
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await sees(pilot, "f9 Live")
        assert "I New" in text_of(pilot)
        await pilot.press("question_mark")
        await sees(pilot, "I f2")
        await pilot.press("escape", "v")
        assert app_of(pilot).current_mode == "studies"
        await pilot.press("f9")
        await until(pilot, lambda: app_of(pilot).current_mode == "live")


@pytest.mark.parametrize(
    ("wanted", "kept", "said"),
    [
        ({"live.zoom": "Z"}, {"live.zoom": "Z"}, ""),
        ({"live.zoom": "ctrl+up,+"}, {"live.zoom": "ctrl+up,plus"}, ""),
        ({"live.zoom": "?"}, {}, "[keys] live.zoom: question_mark is the key of app.help; it keeps its own"),
        ({"live.stop": "z", "live.zoom": "x"}, {"live.stop": "z", "live.zoom": "x"}, ""),
        ({"live.stop": "z"}, {}, "[keys] live.stop: z is the key of live.zoom; it keeps its own"),
        ({"live.stop": "d"}, {"live.stop": "d"}, ""),
        ({"no.such": "x"}, {}, "[keys] there is no binding “no.such”"),
        ({"live.zoom": "hyperspace"}, {}, "[keys] live.zoom: “hyperspace” is no key"),
        ({"live.mark": "K", "live.zoom": "K"}, {"live.mark": "K"}, "K is the key of live.mark"),
    ],
)
def test_keys_are_checked_against_their_screen(wanted: dict[str, str], kept: dict[str, str], said: str) -> None:
    keymap, lines = check_keys(wanted)
    assert keymap == kept
    assert said in "".join(lines) and len(lines) == bool(said)


async def test_the_screen_and_the_study_come_back() -> None:
    study = make_study(SMALL, "complete")
    async with make_app(study.paths).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app_of(pilot).current_mode == "layers")
        await pilot.press("v")
        await sees(pilot, "● measured")
        await pilot.press("q")
        await until(pilot, lambda: has_exited(pilot))
    assert preferences.read_remembered().study == study.paths.id
    async with make_app().run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app_of(pilot).current_mode == "live" and app_of(pilot).paths == study.paths)
        await sees(pilot, "● measured")


async def test_a_study_that_is_gone_does_not_come_back(home: Path) -> None:
    home.mkdir()
    preferences.remember(Remembered("layers", "zzzzzzzzzz"))
    async with make_app().run_test(size=(80, 24)) as pilot:
        await sees(pilot, "No studies yet")
        assert app_of(pilot).paths is None


@pytest.mark.parametrize("content", ['mode = "nowhere"\nstudy = 7\nplaces = [1]\n', "mode = ", "[places]\nlive = 3\n"])
def test_a_damaged_memory_is_nothing(home: Path, content: str) -> None:
    home.mkdir()
    state_file().write_text(content)
    known = preferences.read_remembered()
    assert (known.mode, known.study, dict(known.places)) == ("studies", "", {})


async def test_the_end_of_a_study_is_told_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('notify = "osc9"\n')
    told: list[str] = []
    monkeypatch.setattr(EmbcxApp, "send_sequence", lambda app, sequence: told.append(sequence))
    study = make_study(SMALL, "running", epochs=4, arrays=False)
    other = make_study(SMALL, "running", study_id="a2c4e6g8j0", epochs=1, arrays=False)
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: len(app_of(pilot).rows) == 2)
        study.end("complete")
        other.end("stopped")
        await until(pilot, lambda: {row.state for row in app_of(pilot).rows} == {"complete", "stopped"})
        assert told == [f"\x1b]9;“{SMALL.name}” is complete\x1b\\"]


def test_a_notification_holds_no_payload() -> None:
    text = "a\x1b]52;c;aGk=\a;b\x9c\nc"
    assert session.sequence("off", text) == ""
    assert session.sequence("bell", text) == "\a"
    desktop: tuple[preferences.Notify, ...] = ("osc9", "osc777")
    for how in desktop:
        sent = session.sequence(how, text)
        assert sent.startswith("\x1b]") and sent.endswith("\x1b\\") and sent.count("\x1b") == 2
        assert "52;c" not in sent and sent.count(";") == (1 if how == "osc9" else 3)


def test_only_what_ran_and_ended_by_itself_is_told() -> None:
    study = make_study(SMALL, "queued")
    row = StudyRow(study.paths, "complete", "a", 0.0, 0.0)
    assert session.ended({row.paths.id: "running"}, [row]) == (row,)
    assert session.ended({row.paths.id: "complete"}, [row]) == ()
    assert session.ended({}, [row]) == ()
