"""The form over a study file, as the keys a person presses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from embcx_tui.store.library import list_studies, read_settings
from embcx_tui.store.machine_records import ROUGH
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.settings import load_preset, parse_toml, preset_names, to_toml, validate
from embcx_tui.tui.app import make_app
from embcx_tui.tui.configure.estimate import estimate
from embcx_tui.tui.configure.fields import FIELDS, editor_id
from embcx_tui.tui.messages import ReuseStudy
from embcx_tui.tui.widgets.choices import Choices
from embcx_tui.worker import launch
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import AppPilot, app_of, listed, notifications, sees, text_of, until


def cost_of(pilot: AppPilot) -> str:
    """Return the line that says what the study of the form would cost."""
    return str(pilot.app.screen.query_one("#cost", Static).content)


async def _load(pilot: Pilot[None], path: Path) -> None:
    await pilot.press("ctrl+o")
    await sees(pilot, "Load a study file")
    pilot.app.screen.query_one(Input).value = str(path)
    await pilot.press("enter")


async def _open_form(pilot: AppPilot) -> None:
    await listed(pilot)
    await pilot.press("c")
    await sees(pilot, "start from")
    await until(pilot, lambda: "networks" in cost_of(pilot))


async def _type(pilot: Pilot[None], key: str, text: str) -> None:
    """Go to a field and type `text` in the place of what it holds."""
    field = pilot.app.screen.query_one(f"#{editor_id(key)}", Input)
    field.focus()
    await pilot.pause()
    await pilot.press("end", "ctrl+u")
    field.insert_text_at_cursor(text[:-1])
    await pilot.press(*text[-1:])


async def test_the_form_begins_with_the_demo_and_says_what_it_costs() -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await _open_form(pilot)
        assert cost_of(pilot).startswith("12 networks + 12 controls · 75 embeddings · about ")


async def test_arrows_move_between_fields_and_space_chooses() -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await _open_form(pilot)
        await pilot.press("right", "space")
        second = load_preset(preset_names()[1]).settings
        await until(pilot, lambda: cost_of(pilot).startswith(f"{second.network_count:,} network"))
        await pilot.press("down", "down", "space")
        sets = len({*second.data.datasets} ^ {"digits"})
        more = second.network_count // len(second.data.datasets) * sets
        await until(pilot, lambda: cost_of(pilot).startswith(f"{more:,} network"))
        assert pilot.app.screen.query_one("#presets", Choices).chosen == ()


async def test_the_sentence_of_a_preset_stands_below_it_before_it_is_chosen() -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await _open_form(pilot)
        await sees(pilot, load_preset("demo").about[:47])
        await pilot.press("right")
        await sees(pilot, load_preset(preset_names()[1]).about[:47])
        await pilot.press("down")  # to the next field: the chosen one counts again
        await sees(pilot, load_preset("demo").about[:47])
        await _type(pilot, "networks.runs", "4")
        await sees(pilot, "demo, with changes.")
        pilot.app.screen.post_message(ReuseStudy(load_preset("fig3").settings))
        await sees(pilot, "Settings of another study, or of a file.")


async def test_a_mistake_stands_at_its_field_while_typing() -> None:
    async with make_app().run_test(size=(120, 40)) as pilot:
        await _open_form(pilot)
        await _type(pilot, "measure.perplexity", "2000")
        await sees(pilot, "✗ must be at most 1000 (is 2000)")
        await sees(pilot, "✗ 1 error: perplexity")
        await _type(pilot, "networks.runs", "")
        await sees(pilot, "✗ needs a number")
        await sees(pilot, "✗ 2 errors: runs, perplexity")
        await pilot.press("ctrl+r")
        assert not list_studies()
        await _type(pilot, "measure.perplexity", "30")
        await _type(pilot, "networks.runs", "3")
        await sees(pilot, "12 networks")


async def test_a_mistake_about_the_whole_study_stands_at_the_field_to_change() -> None:
    async with make_app().run_test(size=(120, 40)) as pilot:
        await _open_form(pilot)
        await _type(pilot, "data.samples_per_class", "5")
        await sees(pilot, "✗ must be below 16.6667 (a third of the 50 points of a sample)")
        await _type(pilot, "data.files", "file:a.npz, mnsit")
        await sees(pilot, "did you mean 'mnist'?")


async def test_start_creates_what_the_form_says(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[StudyPaths] = []
    monkeypatch.setattr(launch, "start", started.append)
    monkeypatch.setattr(launch, "await_acceptance", lambda paths: None)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await _open_form(pilot)
        await _type(pilot, "name", "my [b]study")
        await _type(pilot, "networks.depths", "1, 2")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: started and app_of(pilot).current_mode == "live")
    settings = read_settings(started[0])
    assert (settings.name, settings.networks.depths) == ("my [b]study", (1, 2))
    assert settings.training == load_preset("demo").settings.training


async def test_a_saved_file_loads_again_and_is_never_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "kept.toml"
    path.write_text("mine")
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await _open_form(pilot)
        await _type(pilot, "networks.runs", "7")

        async def save_to(name: Path) -> None:
            await pilot.press("ctrl+s")
            await sees(pilot, "Save as a study file")
            field = pilot.app.screen.query_one(Input)
            field.value = str(name)
            await pilot.press("enter")

        await save_to(path)
        await sees(pilot, "Replace the file?")
        await pilot.press("enter")
        await pilot.pause()
        assert path.read_text() == "mine"
        await save_to(path)
        await sees(pilot, "Replace the file?")
        await pilot.press("right", "enter")
        await until(pilot, lambda: "saved" in notifications(pilot))
        assert validate(parse_toml(path.read_text())).networks.runs == 7
        await save_to(tmp_path / "no folder" / "x.toml")
        await until(pilot, lambda: "cannot be written" in notifications(pilot))


async def test_loading_fills_the_form_with_its_mistakes_too(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text('name = "odd"\n[networks]\nruns = 0\nwidht = 3\n')
    async with make_app().run_test(size=(120, 40), notifications=True) as pilot:
        await _open_form(pilot)
        await _load(pilot, path)
        await sees(pilot, "must be at least 1 (is 0)")
        assert "did you mean networks.width?" in notifications(pilot)
        await _load(pilot, tmp_path / "none.toml")
        await until(pilot, lambda: "cannot be read" in notifications(pilot))


@pytest.mark.parametrize(
    ("typed", "loading", "saving"),
    [
        ("~nobodyhere/x.toml", "there is no home folder of that name", "there is no home folder of that name"),
        ("/", "not a plain file", "it is a folder or a device"),
        ("..", "not a plain file", "it is a folder or a device"),
        (f"/tmp/{'a' * 300}.toml", "File name too long", "File name too long"),
        ("/dev/null", "not a plain file", "it is a folder or a device"),
        ("{pipe}", "not a plain file", "it is a folder or a device"),
    ],
)
async def test_a_path_that_is_none_is_one_line(typed: str, loading: str, saving: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = Path(typed.format(pipe=tmp_path / "pipe"))
    async with make_app().run_test(size=(120, 40), notifications=True) as pilot:
        await _open_form(pilot)
        await _load(pilot, path)
        await until(pilot, lambda: loading in notifications(pilot))
        await pilot.press("ctrl+s")
        await sees(pilot, "Save as a study file")
        pilot.app.screen.query_one(Input).value = str(path)
        await pilot.press("enter")
        await until(pilot, lambda: saving in notifications(pilot))


async def test_a_studys_settings_can_be_used_again() -> None:
    make_study(settings_of(networks__runs=6, name="six"), "stopped", arrays=False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("u")
        await sees(pilot, "start from")
        await until(pilot, lambda: "24 networks" in cost_of(pilot))
        assert "six" in text_of(pilot)


def test_every_key_of_a_study_file_has_a_field() -> None:
    from embcx_tui.study.settings import known_keys

    assert set(known_keys()) <= set(FIELDS)


@pytest.mark.parametrize("preset", ["demo", "fig2"])
def test_the_estimate_counts_what_the_plan_has(preset: str) -> None:
    from embcx_tui.study.plan import make_plan

    settings = load_preset(preset).settings
    plan = make_plan(settings)
    cost = estimate(settings, ROUGH)
    assert (cost.networks + cost.controls, cost.embeddings) == (len(plan.networks), len(plan.layers))
    assert cost.seconds > 0
    assert "name" in to_toml(settings)


async def test_a_file_is_looked_for_where_the_application_was_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[StudyPaths] = []
    monkeypatch.setattr(launch, "start", started.append)
    monkeypatch.setattr(launch, "await_acceptance", lambda paths: None)
    here = tmp_path / "here"
    here.mkdir()
    (here / "some.npz").write_bytes(b"its content is the worker's concern")
    monkeypatch.chdir(here)
    async with make_app().run_test(size=(240, 40)) as pilot:
        await _open_form(pilot)
        await _type(pilot, "data.files", "file:othr.npz")
        await sees(pilot, f"✗ there is no file {here / 'othr.npz'}")
        await sees(pilot, "✗ 1 error: from files")
        await pilot.press("ctrl+r")
        await _type(pilot, "data.files", "file:some.npz")
        await until(pilot, lambda: "✗" not in cost_of(pilot))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: started and app_of(pilot).current_mode == "live")
    assert len(started) == 1
    assert f"file:{here / 'some.npz'}" in read_settings(started[0]).data.datasets


async def test_a_loaded_files_paths_begin_at_its_folder(tmp_path: Path) -> None:
    (tmp_path / "own.npz").write_bytes(b"")
    path = tmp_path / "own.toml"
    path.write_text('name = "own"\n[data]\ndatasets = ["file:own.npz"]\n')
    async with make_app().run_test(size=(120, 40)) as pilot:
        await _open_form(pilot)
        await _load(pilot, path)
        await until(pilot, lambda: pilot.app.screen.query(f"#{editor_id('data.files')}"))
        field = pilot.app.screen.query_one(f"#{editor_id('data.files')}", Input)
        await until(pilot, lambda: field.value == f"file:{tmp_path / 'own.npz'}")
        assert "✗" not in cost_of(pilot)


PROBLEM = "NVIDIA H100 is here, driver 550.54 (CUDA 12.4), but this torch needs CUDA 13.0: update the driver"


async def test_a_gpu_that_cannot_be_used_is_told_and_hours_beside_it_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[StudyPaths] = []
    monkeypatch.setattr(launch, "gpu_problem", lambda: PROBLEM)
    monkeypatch.setattr(launch, "start", started.append)
    monkeypatch.setattr(launch, "await_acceptance", lambda paths: None)
    async with make_app().run_test(size=(120, 40)) as pilot:
        await _open_form(pilot)
        await sees(pilot, "! NVIDIA H100 is here, driver 550.54 (CUDA 12.4), but this torch needs CUDA 13.0")
        await _long(pilot)
        await until(pilot, lambda: " h " in cost_of(pilot))
        await pilot.press("ctrl+r")
        await sees(pilot, "Compute on the CPU?", "takes about")
        await pilot.press("enter")
        await until(pilot, lambda: "Compute on the CPU?" not in text_of(pilot))
        assert not list_studies() and not started
        await pilot.press("ctrl+r")
        await sees(pilot, "Compute on the CPU?")
        await pilot.press("right", "enter")
        await until(pilot, lambda: started and app_of(pilot).current_mode == "live")
    assert read_settings(started[0]).machine.device == "auto"


async def _long(pilot: AppPilot) -> None:
    """Make the form's study one of hours."""
    await _type(pilot, "training.epochs", "10000")
    await _type(pilot, "networks.runs", "50")


@pytest.mark.parametrize("device", ["auto", "cpu"])
async def test_a_short_study_and_one_that_wants_the_cpu_begin_unasked(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[StudyPaths] = []
    monkeypatch.setattr(launch, "gpu_problem", lambda: PROBLEM)
    monkeypatch.setattr(launch, "start", started.append)
    monkeypatch.setattr(launch, "await_acceptance", lambda paths: None)
    async with make_app().run_test(size=(120, 40)) as pilot:
        await _open_form(pilot)
        await sees(pilot, "! NVIDIA H100 is here")
        if device == "cpu":
            await _long(pilot)
            await _type(pilot, "machine.device", device)
            await until(pilot, lambda: "NVIDIA H100" not in text_of(pilot))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: started and app_of(pilot).current_mode == "live")
