"""The queue in the application: who starts at once, who waits, and the keys on those that wait."""

from __future__ import annotations

import pytest

from embcx_tui.store import queue
from embcx_tui.store.library import list_studies, read_settings
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.app import make_app
from embcx_tui.tui.messages import CreateStudy
from embcx_tui.worker import launch
from tests.fake_studies import FakeStudy, make_study, settings_of
from tests.tui.pilot import app_of, listed, notifications, sees, until

SMALL = settings_of(networks__runs=1, name="waits")


@pytest.fixture
def running() -> FakeStudy:
    return make_study(settings_of(name="runs"), "running", study_id="r" * 10, epochs=1, arrays=False)


@pytest.fixture
def enqueued(monkeypatch: pytest.MonkeyPatch) -> list[StudyPaths]:
    """Studies that were queued, without a process."""
    found: list[StudyPaths] = []

    def enqueue(paths: StudyPaths) -> None:
        queue.write_entry(paths)
        found.append(paths)

    monkeypatch.setattr(launch, "enqueue", enqueue)
    monkeypatch.setattr(launch, "revive_queue", lambda: 0)
    return found


async def test_a_study_waits_while_another_runs_on_its_device(running: FakeStudy, enqueued: list[StudyPaths]) -> None:
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("c")
        await sees(pilot, "start from", "queued, starts in about")
        pilot.app.post_message(CreateStudy(SMALL))
        await until(pilot, lambda: enqueued and app_of(pilot).current_mode == "studies")
        await until(pilot, lambda: "queued: it starts when" in notifications(pilot))
        await sees(pilot, "○ queued    waits")
        assert read_settings(enqueued[0]).name == "waits" and read_study(enqueued[0]).worker is None
        assert app_of(pilot).paths is None, "what is open stays open"


async def test_studies_of_other_devices_start_at_once(
    running: FakeStudy, enqueued: list[StudyPaths], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    monkeypatch.setattr(launch, "begin", lambda settings, show: begun.append(settings))
    monkeypatch.setattr(queue, "share_a_device", lambda one, other: False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        pilot.app.post_message(CreateStudy(SMALL))
        await until(pilot, lambda: begun)
        assert not enqueued


async def test_the_keys_on_a_queued_study(
    running: FakeStudy, enqueued: list[StudyPaths], monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = [make_study(SMALL, "queued", study_id=letter * 10) for letter in "ab"]
    for place, study in enumerate(studies):
        queue.write_entry(study.paths, float(place))
    held = {study.paths.waiting for study in studies} | {running.paths.lock}
    monkeypatch.setattr("embcx_tui.store.lock.is_held", lambda path: path in held)
    started: list[StudyPaths] = []
    monkeypatch.setattr(launch, "start", started.append)
    async with make_app().run_test(size=(120, 40), notifications=True) as pilot:
        await listed(pilot)
        await sees(pilot, "○ queued, next, starts in")
        await pilot.press("shift+down")
        await sees(pilot, "○ queued, 2nd, starts in")
        assert [entry.paths.id[0] for entry in queue.entries()] == ["b", "a"]
        await pilot.press("x")
        await until(pilot, lambda: "out of the queue" in notifications(pilot))
        await sees(pilot, "○ queued; no worker has begun: r starts it")
        await pilot.press("r")
        await until(pilot, lambda: enqueued == [studies[0].paths])
        await sees(pilot, "○ queued, 2nd")
        await pilot.press("S")
        await until(pilot, lambda: started == [studies[0].paths])
    assert len(list_studies()) == 3
