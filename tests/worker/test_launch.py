"""Starting workers and asking them: what is left where that is broken off, and answers that come late or with noise."""

from __future__ import annotations

import sys

import psutil
import pytest

from embcx_tui.store import lock
from embcx_tui.store.library import list_studies
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import StudyReader
from embcx_tui.study.errors import RequestError, StoreError
from embcx_tui.study.settings import validate
from embcx_tui.worker import launch

DIGITS = {"data": {"datasets": ["digits"]}, "networks": {"runs": 1, "depths": [1]}, "training": {"epochs": 10_000}}


def children() -> set[int]:
    """Return the processes that this one started and has not buried."""
    return {process.pid for process in psutil.Process().children()}


def test_nothing_is_left_of_a_study_that_ctrl_c_ends_before_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[StudyPaths] = []
    before = children()

    def interrupted(reader: StudyReader) -> None:
        assert lock.is_held(reader.paths.lock), "its worker is there"
        begun.append(reader.paths)
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "await_acceptance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        launch.begin(validate(DIGITS))
    assert begun and list_studies() == () and not begun[0].root.exists()
    assert children() <= before, "nor of its worker"  # one of an earlier test may have been buried meanwhile


def test_nothing_is_left_of_a_study_whose_worker_does_not_begin_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "START_PATIENCE_S", 0.0)
    before = children()
    answering(monkeypatch, "import time; time.sleep(1000)")
    with pytest.raises(StoreError, match="has not begun within"):
        launch.begin(validate(DIGITS))
    assert list_studies() == () and children() <= before


def answering(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the numerics process run `code`."""
    monkeypatch.setattr(launch, "_command", lambda *words: [sys.executable, "-c", code])


def test_a_process_that_says_much_beside_its_answer_is_heard_out(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = "import sys; sys.stderr.write('warning\\n' * 200_000); print('{a library that prints'); "
    answering(monkeypatch, noise + 'print(\'{"bytes": 1}\'); print(\'{"done": true, "x": 3}\')')
    seen: list[object] = []
    assert launch.ask("machine", on_line=seen.append)["x"] == 3
    assert seen == [{"bytes": 1}]


def test_the_last_line_of_a_process_that_fails_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "import sys; sys.stderr.write('warning\\n' * 200_000); sys.exit('no such thing')")
    with pytest.raises(RequestError, match=r"^no such thing$"):
        launch.ask("machine")
