"""What the list, the form and Live make of a study, as plain values: no screen."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from statistics import mean
from types import SimpleNamespace
from typing import Any

import pytest
from textual.message import Message

from embcx_tui.store.machine_records import Telemetry
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import StoreError
from embcx_tui.tui import study_watcher
from embcx_tui.tui.configure.fields import FILES, collect
from embcx_tui.tui.live.machine_panel import history
from embcx_tui.tui.messages import StudyRead, StudyUnreadable
from embcx_tui.tui.study_row import STATE_STYLES, row_of, training_rows
from tests import small_study
from tests.small_study import complexity


def test_a_damaged_study_is_called_so_whatever_its_state() -> None:
    study = small_study.write(small_study.settings(runs=1))
    row = row_of(study.paths, study.snapshot, 0.0)
    for state, style in STATE_STYLES.items():
        if state != "partly" and state != "waiting":  # what is shown of a study, not a state
            sound = replace(row, state=state, damage="", partly=False)
            assert sound.shown == state and STATE_STYLES[sound.shown] == style
            assert replace(sound, damage="1 damaged line", partly=True).shown == "unreadable"
    assert replace(row, damage="", partly=True).shown == "partly"


def test_what_the_open_study_says_of_itself_is_newer_than_its_row() -> None:
    study = small_study.write(small_study.settings(runs=1))
    row = replace(row_of(study.paths, study.snapshot, 0.0), state="running")
    runs, ended = replace(study.snapshot, state="running"), replace(study.snapshot, state="complete")
    assert training_rows([row], study.paths, ended) == []
    assert training_rows([row], study.paths, runs) == training_rows([row], study.paths, None) == [row]
    assert [one.paths for one in training_rows([], study.paths, runs)] == [study.paths]


def test_the_scores_of_a_row_are_the_last_layers_of_trained_networks_lowest_first() -> None:
    study = small_study.write(small_study.settings(depths=[2, 5]))
    row = row_of(study.paths, study.snapshot, 0.0)
    wanted = {
        f"{activation} d{depth}": mean(complexity(depth, run, False) for run in range(3))
        for depth in (2, 5)
        for activation in ("logsig", "relu")
    }
    assert dict(row.scores) == pytest.approx(wanted) and len(row.scores) == 4
    assert [score for _, score in row.scores] == sorted(wanted.values())


def test_a_cell_of_the_history_is_the_mean_of_its_samples() -> None:
    def drawn(*loads: float | None, width: int = 10) -> str:
        samples = [replace(Telemetry(float(at), 0.0, 0, 1), gpu_percent=load) for at, load in enumerate(loads)]
        return history(samples, lambda sample: sample.gpu_percent, 100, width)

    assert drawn(*[0.0, 100.0] * 10) == drawn(*[50.0] * 20) == drawn(*[100.0, 0.0] * 10)
    assert len(set(drawn(*[50.0] * 20))) == 1
    assert drawn(*[0.0, None] * 10) == drawn(*[0.0] * 20), "what is not known counts in no mean"
    # Each cell has three samples, the newest at the right: 10, 50 and 90 per cent.
    assert drawn(0, 10, 20, 40, 50, 60, 80, 90, 100, width=3) == drawn(10, 50, 90, width=3)


def test_typed_files_come_after_the_chosen_datasets() -> None:
    rows: Any = {
        "data.datasets": SimpleNamespace(value=["digits", "mnist"]),
        FILES: SimpleNamespace(value=["file:/x.npz", "file:/y.npz"]),
        "training.epochs": SimpleNamespace(value=3),
        "networks.runs": SimpleNamespace(value=None),
    }
    values, mistakes = collect(rows)
    assert values["data"]["datasets"] == ["digits", "mnist", "file:/x.npz", "file:/y.npz"]
    assert values["training"] == {"epochs": 3} and mistakes == {"networks.runs": "needs a number"}


class FlakyReader:
    """Fails so many times in a row, then reads."""

    def __init__(self, snapshot: Snapshot, failures: list[int]) -> None:
        self._snapshot, self._failures = snapshot, failures
        self.polls = 0

    def poll(self) -> Snapshot:
        self.polls += 1
        if self.polls in self._failures:
            raise StoreError("Stale file handle")
        return self._snapshot


@pytest.mark.parametrize(
    ("failures", "given_up"), [([2], False), ([2, 3], False), ([2, 3, 5, 6], False), ([2, 3, 4], True)]
)
async def test_a_study_is_given_up_after_the_third_failure_in_a_row(
    failures: list[int], given_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_watcher, "STUDY_EVERY_S", 0.001)
    study = small_study.write(small_study.settings(runs=1))
    posted: list[Message] = []
    watcher = study_watcher.StudyWatcher(posted.append, asyncio.Event())
    reader = FlakyReader(study.snapshot, failures)
    monkeypatch.setattr(watcher._readers, "open", lambda paths: reader)
    task = asyncio.create_task(watcher.follow_study(study.paths))
    while reader.polls < 9 and not task.done():
        await asyncio.sleep(0.001)
    task.cancel()
    assert any(isinstance(message, StudyRead) for message in posted)
    assert any(isinstance(message, StudyUnreadable) for message in posted) == given_up == (reader.polls == 4)
