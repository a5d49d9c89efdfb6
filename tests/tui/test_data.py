"""Data without leaving the application: what is missing, fetching it, and studies that could not begin."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embcx_tui.analysis.formatting import size
from embcx_tui.store.library import list_studies
from embcx_tui.store.paths import StudyPaths, data_folder
from embcx_tui.study.dataset_catalogue import CATALOGUE, bytes_to_fetch
from embcx_tui.study.errors import RequestError
from embcx_tui.tui.app import make_app
from embcx_tui.tui.fetch_progress import Fetch
from embcx_tui.tui.messages import CreateStudy, OpenStudy
from embcx_tui.worker import launch
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import AppPilot, app_of, listed, notifications, sees, sees_no, text_of, until

SVHN = CATALOGUE["svhn"]
WHOLE = sum(file.distributed.size for file in SVHN.files)


def put(*names: str) -> None:
    """Let files of SVHN exist, whatever they hold."""
    for file in SVHN.files:
        path = data_folder() / file.distributed.path
        if file.distributed.name in names:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")


def test_what_an_interrupted_fetch_has_kept_counts_as_fetched(home: Path) -> None:
    assert bytes_to_fetch(SVHN, data_folder()) == WHOLE
    first = SVHN.files[0].distributed
    part = data_folder() / first.path
    part = part.with_name(f".{part.name}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1_000)
    assert bytes_to_fetch(SVHN, data_folder()) == WHOLE - 1_000
    put(first.name)
    assert bytes_to_fetch(SVHN, data_folder()) == WHOLE - first.size
    put(*(file.distributed.name for file in SVHN.files))
    assert bytes_to_fetch(SVHN, data_folder()) == 0
    assert bytes_to_fetch(CATALOGUE["digits"], data_folder()) == 0


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (248_000_000, "248 MB"), (9_960_000, "10 MB"), (1.2e9, "1.2 GB")],
)
def test_sizes_are_short(count: float, words: str) -> None:
    assert size(count) == words


def test_the_words_of_a_fetch() -> None:
    assert Fetch("svhn").words == "connecting …"
    assert Fetch("svhn", 124_000_000, 248_000_000, 12_400_000).words == "50% of 248 MB · 12 MB/s · 10 s left"


async def _form_with_svhn(pilot: AppPilot) -> None:
    await listed(pilot)
    await pilot.press("c")
    await sees(pilot, "start from", "svhn (246 MB to fetch)")
    await pilot.press("down", "down", "right", "right", "space")
    await sees(pilot, "✗ svhn is not on this machine · f fetches it (246 MB")


async def test_nothing_starts_without_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []
    monkeypatch.setattr(launch, "begin", lambda *given: begun.append(given))
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await _form_with_svhn(pilot)
        await pilot.press("ctrl+r")
        await sees(pilot, "The data are not on this machine", "svhn: 246 MB to fetch into")
        await pilot.press("escape")
        assert not begun and not list_studies()
        put(*(file.distributed.name for file in SVHN.files))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: begun)


async def test_the_form_fetches_with_progress_and_stops_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    asked: list[tuple[str, ...]] = []

    def ask(*arguments: str, on_line: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        asked.append(arguments)
        on_line({"bytes": WHOLE // 4 + 1, "total": WHOLE})
        go_on.wait(60)
        go_on.clear()
        on_line({"bytes": WHOLE, "total": WHOLE})
        put(*(file.distributed.name for file in SVHN.files))
        return {"done": True}

    monkeypatch.setattr(launch, "ask", ask)
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await _form_with_svhn(pilot)
        await pilot.press("f")
        await sees(pilot, "svhn ━━━━━", "25% of 246 MB · f stops")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "not started: svhn is still being fetched" in notifications(pilot))
        await pilot.press("f")
        go_on.set()
        await until(pilot, lambda: "svhn: stopped; what has arrived is kept" in notifications(pilot))
        await sees(pilot, "✗ svhn is not on this machine")
        await pilot.press("f")
        await sees(pilot, "25% of 246 MB")
        go_on.set()
        await sees_no(pilot, "svhn is not on this machine")
        await sees_no(pilot, "svhn (246 MB to fetch)")
        await until(pilot, lambda: "svhn is here" in notifications(pilot))
        assert asked == [("data-fetch", "svhn")] * 2


async def test_the_palette_fetches_what_is_missing_and_says_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*arguments: str, on_line: object) -> dict[str, Any]:
        raise RequestError(f"{arguments[1]} could not be fetched (no route to host)")

    monkeypatch.setattr(launch, "ask", ask)
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("ctrl+p", *"fetch kmnist")
        await sees(pilot, "Fetch kmnist (21 MB)")
        await pilot.press("down", "enter")
        await until(pilot, lambda: "kmnist could not be fetched (no route to host)" in notifications(pilot))
        assert not app_of(pilot).data_fetches.active


async def test_a_refused_study_gives_back_the_one_that_was_open(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = make_study(settings_of(name="mine", networks__runs=1), arrays=False)
    refused: list[StudyPaths] = []

    def begin(settings: object, show: Callable[[StudyPaths], None]) -> None:
        paths = make_study(settings_of(networks__runs=1), "queued", study_id="z" * 10).paths
        refused.append(paths)
        show(paths)
        raise RequestError("there is no GPU 3 here")

    monkeypatch.setattr(launch, "begin", begin)
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        pilot.app.post_message(OpenStudy(opened.paths, "configure"))
        await sees(pilot, "start from", "mine  ✓ complete")
        pilot.app.post_message(CreateStudy(settings_of()))
        await until(pilot, lambda: refused and app_of(pilot).paths == opened.paths)
        text = await sees(pilot, "✗ not started: there is no GPU 3 here", "mine  ✓ complete")
        assert "start from" in text and app_of(pilot).current_mode == "configure"
        await pilot.press("down", "down", "right", "space")
        await sees_no(pilot, "not started:")
        assert "mine  ✓ complete" in text_of(pilot)
