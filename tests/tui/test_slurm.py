"""Studies that wait for SLURM, in the application: what is shown, and the keys on them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embcx_tui.store.jobs import Job, read_job, write_job
from embcx_tui.tui import study_watcher
from embcx_tui.tui.app import make_app
from tests.fake_studies import FakeState, FakeStudy, make_study, settings_of
from tests.tui.pilot import listed, notifications, opened, sees, until
from tests.worker import fake_slurm


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cluster"
    for name, value in fake_slurm.install(folder, os.environ["PATH"]).items():
        monkeypatch.setenv(name, value)
    return folder


def waiting(cluster: Path, state: FakeState, study_id: str) -> FakeStudy:
    study = make_study(settings_of(networks__runs=1, name="waits"), state, study_id=study_id, arrays=False)
    fake_slurm.write(cluster, {"id": "101", "state": "PENDING", "folder": str(study.paths.root)})
    write_job(study.paths, Job("101", submitted=1.0))
    return study


async def test_the_list_shows_the_job_and_x_cancels_it(cluster: Path) -> None:
    study = waiting(cluster, "stopped", "w" * 10)
    async with make_app().run_test(size=(120, 40), notifications=True) as pilot:
        await listed(pilot)
        text = await sees(pilot, "○ waiting for SLURM job 101; x cancels it", "○ waiting   waits")
        assert "job 101" in text
        await pilot.press("r")
        await pilot.press("x")
        await until(pilot, lambda: "SLURM job 101 is cancelled; r starts the study here" in notifications(pilot))
        await sees(pilot, "■ stopped")
    assert read_job(study.paths) is None
    assert fake_slurm.job_of(cluster, "101")["state"] == "CANCELLED"


async def test_live_shows_the_job_and_stops_it_without_a_question(cluster: Path) -> None:
    study = waiting(cluster, "queued", "q" * 10)
    async with opened(study, "live") as pilot:
        await sees(pilot, "○ waiting for SLURM job 101", "x cancels it")
        (cluster / "refuse").write_text("scancel: error: Access denied\n")
        await pilot.press("x")
        await until(pilot, lambda: "scancel refuses: Access denied" in notifications(pilot))
        await sees(pilot, "○ waiting for SLURM job 101")
        (cluster / "refuse").unlink()
        await pilot.press("x")
        await sees(pilot, "not started yet", "r starts it")


async def test_a_job_that_vanishes_is_noticed_while_the_list_is_shown(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_watcher, "JOBS_EVERY_S", 0.2)
    waiting(cluster, "queued", "g" * 10)
    async with make_app().run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        await sees(pilot, "○ waiting for SLURM job 101; x cancels it")
        fake_slurm.write(cluster, {"id": "101", "state": "FAILED"})
        await sees(pilot, "? SLURM job 101 is gone, and its worker never began; r", "starts the study here")
