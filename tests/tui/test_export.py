"""Saving a figure: the window, its keys, and the file whose path it shows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from textual.widgets import Input, Static

from embcx_tui.tui.export import save
from embcx_tui.tui.export.dialog import REPORT, SCREEN_TEXT, _ChoiceField
from embcx_tui.tui.export.save import ExportFigure, ExportOptions
from embcx_tui.tui.preferences import read_remembered
from tests.fake_studies import FakeStudy, make_study, settings_of
from tests.tui.pilot import opened, sees, sees_no, text_of, until

NOT_ROOT = pytest.mark.skipif(os.getuid() == 0, reason="root may enter every folder")


@pytest.fixture
def study() -> FakeStudy:
    return make_study(
        settings_of(networks__activations=["relu"], networks__runs=1, training__epochs=4, data__samples_per_class=20)
    )


def instead(monkeypatch: pytest.MonkeyPatch, code: str) -> list[tuple[str, str]]:
    """Let the drawing process run `code`; return the list that (figure, format) of each request go to."""
    asked: list[tuple[str, str]] = []

    def command(
        paths: object, figure: str | ExportFigure, options: ExportOptions, exclude_chance: bool
    ) -> tuple[str, ...]:
        asked.append((figure if isinstance(figure, str) else figure.name, options.format))
        return (sys.executable, "-S", "-c", code)

    monkeypatch.setattr(save, "export_command", command)
    return asked


async def test_e_saves_the_points_on_the_screen(study: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = instead(monkeypatch, "print('/somewhere/points.png')")
    async with opened(study, "layers", expect="Layer 3 of 3 ·") as pilot:
        await pilot.press("e")
        await sees(pilot, "Save a figure", "relu, run 0", "PNG", "SVG", "PDF")
        await pilot.press("enter")
        await sees(pilot, "Saved: /somewhere/points.png", "Close", "y copies the path")
        await pilot.press("y")
        await until(pilot, lambda: pilot.app.clipboard == "/somewhere/points.png")
        await pilot.press("Y")
        await until(pilot, lambda: pilot.app.clipboard.endswith(":/somewhere/points.png ."))
        assert asked == [("embedding-digits-3-relu-run0-layer3", "png")]
        await pilot.press("enter")
        await sees_no(pilot, "Saved:")


async def test_the_focused_chart_is_saved_as_svg(study: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = instead(monkeypatch, "print('/somewhere/bars.svg')")
    async with opened(study, "layers", expect="Layer 3 of 3 ·") as pilot:
        await pilot.press("tab", "e")
        await sees(pilot, "Save a figure")
        await pilot.press("right", "enter")
        await sees(pilot, "Saved: /somewhere/bars.svg")
        assert asked == [("lines-digits-3", "svg")]


async def test_an_error_is_one_line(study: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; print('disk full \\x1b[2J: /somewhere cannot be written', file=sys.stderr); sys.exit(2)"
    instead(monkeypatch, code)
    async with opened(study, "live", expect="KL (nats)") as pilot:
        await pilot.press("e")
        await sees(pilot, "Loss and accuracy over epochs", "training-digits.png")
        await pilot.press("enter")
        text = await sees(pilot, "disk full : /somewhere cannot be written")
        assert "\x1b" not in text
        await pilot.press("escape")
        await sees_no(pilot, "disk full")


@pytest.mark.parametrize("figure", [True, False])
@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("a" * 300, "File name too long"),
        ("~nobodyhere/x", "there is no home folder of that name"),
        pytest.param(
            "{denied}/x",
            "Permission denied",
            marks=pytest.mark.skipif(os.getuid() == 0, reason="root enters all folders"),
        ),
    ],
)
async def test_a_folder_that_is_none_is_one_line(
    study: FakeStudy, tmp_path: Path, folder: str, says: str, figure: bool
) -> None:
    (tmp_path / "denied").mkdir(mode=0)
    async with opened(study, "live", expect="KL (nats)") as pilot:
        await pilot.press("e")
        await sees(pilot, "Loss and accuracy over epochs")
        if not figure:
            pilot.app.screen.query_one("#what", _ChoiceField).select(SCREEN_TEXT)
        pilot.app.screen.query_one("#folder", Input).value = folder.format(denied=tmp_path / "denied")
        await pilot.press("enter")
        await until(pilot, lambda: says in str(pilot.app.screen.query_one("#outcome", Static).content))
        await pilot.press("escape")
        await sees_no(pilot, "Save a figure")


async def test_nothing_measured_is_nothing_to_save() -> None:
    queued = make_study(settings_of(), "queued")
    async with opened(queued, "layers", expect="No layer is measured.") as pilot:
        await pilot.press("e")
        await sees(pilot, "No layer is measured yet")


@pytest.mark.parametrize("figure", ["embedding-digits-3-relu-run0", "complexity-digits-3", "training-digits"])
async def test_the_real_command_knows_the_figures(study: FakeStudy, figure: str) -> None:
    path, written = await save.export(study.paths, figure, ExportOptions("svg", "one column", 100))
    assert written, path
    assert Path(path).read_bytes().lstrip().startswith(b"<?xml")


async def test_the_window_saves_the_report_as_one_html_file_and_a_flight_as_what_moves(
    study: FakeStudy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, ...]] = []

    async def drawn(command: tuple[str, ...], figure: object) -> tuple[int, str, str]:
        asked.append(command[len(save.EMBCX) :])
        return 0, "/somewhere/file\n", ""

    monkeypatch.setattr(save, "run_drawing", drawn)
    async with opened(study, "layers", expect="Layer 3 of 3 ·") as pilot:
        await pilot.press("e")
        await sees(pilot, "Save a figure")
        what = pilot.app.screen.query_one("#what", _ChoiceField)
        pilot.app.screen.query_one("#folder", Input).value = str(tmp_path)
        what.focus()
        while what.value != REPORT:
            await pilot.press("right")
        await sees(pilot, "one HTML file", "report.html")
        await pilot.press("enter")
        await sees(pilot, "Saved: /somewhere/file")
        assert asked == [("report", study.paths.id, "--html", "--overwrite", "--out", str(tmp_path))]
    flight = "flight-digits-3-relu-run0"
    for format, moving in (("png", "gif"), ("pdf", "gif"), ("svg", "svg")):
        command = save.export_command(study.paths, flight, ExportOptions(format))
        assert command[command.index("--format") + 1] == moving


async def test_what_is_there_is_written_over_only_when_told(study: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = instead(monkeypatch, "print('/somewhere/points.png')")
    there = study.paths.exports / "embedding-digits-3-relu-run0-layer3.png"
    there.write_bytes(b"old")
    async with opened(study, "layers", expect="Layer 3 of 3 ·") as pilot:
        await pilot.press("e")
        await sees(pilot, "Save a figure")
        await pilot.press("enter")
        await sees(pilot, "exists already.", "Press Enter again to overwrite it")
        assert not asked
        await pilot.press("enter")
        await sees(pilot, "Saved:")
        assert asked


@pytest.mark.parametrize(
    ("steps", "name", "holds"), [(3, "screen-live.svg", "<svg"), (4, "screen-live.txt", " embcx-tui  s Studies")]
)
async def test_the_screen_is_saved(study: FakeStudy, tmp_path: Path, steps: int, name: str, holds: str) -> None:
    async with opened(study, "live", (120, 40), expect="digits · 3 hidden layers") as pilot:
        await pilot.press("e")
        await sees(pilot, "Save a figure")
        await pilot.press("shift+tab", "shift+tab", *["right"] * steps)
        pilot.app.screen.query_one("#folder", Input).value = str(tmp_path / "mine")
        await pilot.press("enter")
        await sees(pilot, "Saved:", "Close")
        text = (tmp_path / "mine" / name).read_text()
        assert holds in text and "Save a figure" not in text


async def test_the_choices_are_remembered(study: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, "print('/somewhere/points.svg')")
    async with opened(study, "layers", expect="Layer 3 of 3 ·") as pilot:
        await pilot.press("e")
        await sees(pilot, "Save a figure")
        await pilot.press("right", "down", "right", "right", "enter")
        await sees(pilot, "Saved:")
        await pilot.press("escape", "q")
    assert read_remembered().export == {"format": "svg", "size": "two columns", "dpi": 300, "folder": ""}
    assert ExportOptions.from_values({"format": 3, "dpi": 10**9}) == ExportOptions()


async def test_a_dpi_that_cannot_be_is_said(study: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = instead(monkeypatch, "print('x')")
    async with opened(study, "live", expect="KL (nats)") as pilot:
        await pilot.press("e")
        await sees(pilot, "Save a figure")
        await pilot.press("down", "down", *"0", "enter")
        await sees(pilot, "dpi is a number from 50 to 1200")
        assert not asked


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_any_named_figure_is_found_by_typing_and_saved(
    size: tuple[int, int], study: FakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = instead(monkeypatch, "print('/somewhere/figure.png')")
    async with opened(study, "layers", size, expect="Layer 3 of 3 ·") as pilot:
        await pilot.press("e")
        await sees(pilot, "Save a figure", "points shown")
        assert "type to narrow" not in text_of(pilot)
        await pilot.press("up", "right", "right")
        # The network's own stands first among all that the study can serve.
        await sees(pilot, "type to narrow", "embedding-digits-3-relu-run0.png", "Points of all layers")
        await pilot.press("down", *"over")
        text = await sees(pilot, "training-digits ", "complexity-digits-3-untrained")
        assert "embedding-digits" not in text
        await pilot.press("down")
        await sees(pilot, "complexity-digits-3-untrained.png")
        await pilot.press("enter")
        await sees(pilot, "Saved: /somewhere/figure.png", "Close")
        assert asked == [("complexity-digits-3-untrained", "png")]


async def test_what_no_figure_is_called_saves_nothing(study: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = instead(monkeypatch, "print('x')")
    async with opened(study, "live", expect="KL (nats)") as pilot:
        await pilot.press("e")
        await sees(pilot, "training-digits.png")
        await pilot.press("up", *"zebra")
        await sees(pilot, "No figure matches")
        await pilot.press("enter", "f3")
        assert not asked and "No figure matches" in text_of(pilot)
        for _ in "zebra":
            await pilot.press("backspace")
        await sees(pilot, "lines-digits-3 ")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_f3_shows_the_figure_whole_before_it_is_saved(size: tuple[int, int], study: FakeStudy) -> None:
    async with opened(study, "layers", size, expect="Layer 3 of 3 ·") as pilot:
        await pilot.press("e")
        await sees(pilot, "Save a figure")
        await pilot.press("f3")
        await sees(pilot, "embedding-digits-3-relu-run0-layer3", "drawn in cells", "Procrustes")
        await pilot.press("escape")
        await sees(pilot, "Save a figure")
        await pilot.press("up", "right", "right", "down", *"complexity-digits-3")
        await sees(pilot, "complexity-digits-3.png")
        await pilot.press("f3")
        await sees(pilot, "digits · 3 hidden layers", "drawn in cells")
        await pilot.press("f3")
        await sees(pilot, "Save a figure", "complexity-digits-3.png")


async def test_a_preview_names_the_file_that_is_damaged(study: FakeStudy) -> None:
    async with opened(study, "layers", expect="Layer 3 of 3 ·") as pilot:
        (study.paths.arrays / "digits-d3-relu-r0-l2.npz").write_bytes(b"no array")
        await pilot.press("e")
        await sees(pilot, "Save a figure")
        await pilot.press("up", "right", "right")
        await sees(pilot, "embedding-digits-3-relu-run0.png", "Points of all layers")
        await pilot.press("f3")
        await sees(pilot, "layer 3 · KL", "digits-d3-relu-r0-l2.np…", "drawn in cells")
