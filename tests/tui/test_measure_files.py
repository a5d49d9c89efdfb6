"""The window that measures files of activations, as the keys a person presses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from textual.widgets import Button, Input, Static

from embcx_tui.store import queue
from embcx_tui.store.library import list_studies, read_settings
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import RequestError
from embcx_tui.study.measured import MeasuredSettings
from embcx_tui.tui.app import make_app
from embcx_tui.tui.widgets.path_completion import completed
from embcx_tui.worker import launch
from embcx_tui.worker.measure_request import typed_paths
from tests.activations import labels, layers_of, write_npz
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import AppPilot, app_of, listed, notifications, sees, sees_no, until


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of a network, one of them with a layer too much, and labels of other lengths, in the current folder."""
    monkeypatch.chdir(tmp_path)
    maps = np.zeros((60, 3, 4, 4), np.float16)
    write_npz(tmp_path / "a.npz", {"conv": maps, **layers_of(2), "w": np.zeros((8, 8), "f4"), "y": labels()})
    write_npz(tmp_path / "b.npz", {"conv": maps, **layers_of(2), "y": labels()})
    write_npz(tmp_path / "c.npz", {**layers_of(3), "y": labels()})
    np.save(tmp_path / "short.npy", labels()[:-1])
    (tmp_path / "net.pt").write_bytes(b"")


async def open_window(pilot: AppPilot) -> None:
    await listed(pilot)
    await pilot.press("c")
    await sees(pilot, "start from", "m Measure files")
    await pilot.press("m")
    await sees(pilot, "Measure activation files", "perplexity")


def fill(pilot: AppPilot, **typed: str) -> None:
    for name, text in typed.items():
        pilot.app.screen.query_one(f"#{name}", Input).value = text


async def test_it_says_what_would_be_measured_and_starts_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[StudyPaths] = []
    monkeypatch.setattr(launch, "start", started.append)
    monkeypatch.setattr(launch, "await_acceptance", lambda paths: None)
    async with make_app().run_test(size=(120, 40)) as pilot:
        await open_window(pilot)
        assert pilot.app.screen.query_one("#measure", Button).disabled
        fill(pilot, files="a.npz b.npz", untrained="b.npz", points="50", perplexity="10", name="two [runs]")
        text = await sees(pilot, "9 layers of 50 rows, 29 kB")
        for line in (
            "a.npz: 60 rows, 3 classes (y), input: none",
            "b.npz (untrained): 60 rows, 3 classes (y), input: none",
            "1  conv   3 × 4 × 4  float16     48  5,760",
            "3  l2     8          float32      8  1,920",
            "skipped: w (8 rows, not 60)",
        ):
            assert line in text, line
        await pilot.press("ctrl+r")
        await until(pilot, lambda: started and app_of(pilot).current_mode == "live")
    settings = read_settings(started[0])
    assert isinstance(settings, MeasuredSettings)
    assert [(one.run, one.control, Path(one.file).name) for one in settings.models] == [
        (0, "", "a.npz"), (1, "", "b.npz"), (0, "untrained", "b.npz"),
    ]  # fmt: skip
    assert (settings.name, settings.sample.points, settings.measure.perplexity) == ("two [runs]", 50, 10)
    assert settings.models[0].layers == ("conv", "l1", "l2")


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"files": "a.npz nothing.npz"}, "files", "there is no file "),
        ({"files": "'a.npz"}, "files", "a quotation mark is not closed"),
        ({"files": "net.pt"}, "files", "reading a pickle can run any program"),
        ({"files": "a.npz c.npz"}, "files", "other layers than"),
        ({"files": "a.npz", "labels": "short.npy"}, "labels", "59 labels, but 60 rows"),
        ({"files": "a.npz", "labels": "y.npy"}, "labels", "there is no file "),
        ({"files": "a.npz", "untrained": "net.pt"}, "untrained", "reading a pickle can run any program"),
        ({"files": "a.npz", "layers": "k*"}, "layers", "no layer matches 'k*' (there is "),
        ({"files": "a.npz", "points": "many"}, "points", "needs a whole number"),
        ({"files": "a.npz", "points": "5"}, "points", "must be at least 10"),
        ({"files": "a.npz", "perplexity": "400"}, "perplexity", "must be below 333.333 (a third of the 1000 points"),
        ({"files": "a.npz", "perplexity": "x"}, "perplexity", "must be a number"),
    ],
)  # fmt: skip
async def test_a_mistake_stands_at_its_field(typed: dict[str, str], field: str, words: str) -> None:
    async with make_app().run_test(size=(200, 60)) as pilot:
        await open_window(pilot)
        fill(pilot, **typed)
        line = pilot.app.screen.query_one(f"#wrong-{field}", Static)
        await until(pilot, lambda: words in str(line.content))
        assert [one for one in pilot.app.screen.query(".measure-wrong") if one.display] == [line]
        assert pilot.app.screen.query_one("#measure", Button).disabled
        await pilot.press("ctrl+r", "escape")
        await sees(pilot, "start from")
    assert not list_studies()


async def test_where_the_study_is_refused_the_window_is_there_again_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(paths: StudyPaths) -> StudyPaths:
        raise RequestError("perplexity 30 needs more than 3 times as many points, and there are 60")

    monkeypatch.setattr(launch, "start", refuse)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("ctrl+p", *"activation files")
        await sees(pilot, "Layers of a network that was trained elsewhere")
        await pilot.press("enter")
        await sees(pilot, "Measure activation files")
        fill(pilot, files="a.npz", layers="l1, l2")
        await sees(pilot, "2 layers of 60 rows, 3.8 kB")
        await pilot.press("ctrl+r")
        await sees(pilot, "✗ not started: perplexity 30 needs more than", "l1, l2")
        assert not list_studies()
        fill(pilot, perplexity="10")
        await sees_no(pilot, "not started")
        await sees(pilot, "2 layers of 60 rows, 3.8 kB")


async def test_it_waits_in_the_queue_as_other_studies_do(monkeypatch: pytest.MonkeyPatch) -> None:
    make_study(settings_of(name="runs"), "running", study_id="r" * 10, epochs=1, arrays=False)
    queued: list[StudyPaths] = []
    monkeypatch.setattr(launch, "enqueue", queued.append)
    monkeypatch.setattr(queue, "is_taken", lambda device: True)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_window(pilot)
        fill(pilot, files="b.npz")
        await sees(pilot, "3 layers of 60 rows")
        pilot.app.screen.query_one("#measure").focus()
        await pilot.press("enter")
        await until(pilot, lambda: queued and "queued: it starts when" in notifications(pilot))
    assert read_settings(queued[0]).name == "b"


async def test_arrows_move_between_fields_and_complete_paths(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    write_npz(tmp_path / "runs" / "my run.npz", layers_of(1))
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_window(pilot)
        files, completes = pilot.app.screen.query_one("#files", Input), '"runs/my run.npz"'
        await pilot.press('"', *"ru")
        await until(pilot, lambda: files._suggestion)
        await pilot.press("right")
        await until(pilot, lambda: files.value == '"runs/' and files._suggestion.endswith(completes))
        await pilot.press("right")
        assert files.value == completes
        await pilot.press("enter", "down", "down", "down", "right", "space")
        await sees(pilot, "● mean", "1 layer of 60 rows")


def test_what_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "acts").mkdir()
    (tmp_path / "a b.npz").touch()
    (tmp_path / "a\x1b[2Jc.npz").touch()
    (tmp_path / ".hidden.npz").touch()
    assert completed("a") == "a.npz"
    assert completed("a.npz, ac") == "a.npz, acts/"
    assert completed("~/sh") == "~/short.npy"
    assert completed('"a ') == '"a b.npz"'
    assert completed(".h") == ".hidden.npz"
    for nothing in ("", "a.npz ", "a.npz", "x", "~nobody-of-that-name/x", "short.npy/x", "'a", "\0"):
        assert completed(nothing) is None, nothing


def test_paths_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "my acts.npz").write_bytes(b"")
    assert typed_paths("my acts.npz") == (tmp_path / "my acts.npz",)
    assert typed_paths("'my acts.npz' b.npz,c#1.npz, ~root") == (
        tmp_path / "my acts.npz", tmp_path / "b.npz", tmp_path / "c#1.npz", Path("~root").expanduser(),
    )  # fmt: skip
    assert typed_paths("  ") == ()
    with pytest.raises(RequestError, match="a quotation mark is not closed"):
        typed_paths("'a.npz")
