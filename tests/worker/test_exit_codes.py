"""A worker's exit codes, which a batch system reads: 0 complete, 1 failed, 2 refused, 3 stopped, 4 locked."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from embcx_tui.store.library import create_study
from embcx_tui.store.lock import StudyLock
from embcx_tui.store.snapshot import read_study
from tests.fake_studies import settings_of
from tests.worker.test_worker import EAGER, PATIENCE_S, STRUCK

# A worker that is asked to stop after its first epoch, long before a checkpoint is due.
ASKED = STRUCK.replace("checkpoints.CHECKPOINT_S = 0.0\n", "").replace("checkpoints.CHECKPOINT_SHARE = 1e9\n", "")
# A worker whose disk is full from the second epoch on.
FULL = EAGER.replace(
    "from embcx_tui.worker.process",
    """
from embcx_tui.worker.journal import Journal
append = Journal.append
def refuse(journal, event):
    if event.kind == "epoch" and event.epoch == 2:
        raise OSError(28, "No space left on device")
    append(journal, event)
Journal.append = refuse
from embcx_tui.worker.process""",
)


@pytest.mark.parametrize(
    ("code", "script", "words", "outcome", "reason"),
    [
        (0, EAGER, (), "complete", ""),
        (1, FULL, (), "failed", "No space left on device; resume goes on from the last checkpoint"),
        (2, EAGER, (), "failed", "mnist is not complete"),
        (3, ASKED, ("SIGTERM", "after", "epoch", "1"), "stopped", "when asked"),
    ],
    ids=["complete", "failed", "refused", "stopped"],
)
def test_an_end_has_its_code_and_its_word(
    code: int, script: str, words: tuple[str, ...], outcome: str, reason: str
) -> None:
    grid: dict[str, Any] = {"networks__activations": ["relu"], "networks__depths": [1], "networks__runs": 1}
    data = ["mnist"] if code == 2 else ["digits"]
    settings = settings_of(**grid, training__epochs=1_000 if code == 3 else 3, measure__metrics=[], data__datasets=data)
    paths = create_study(settings)
    command = [sys.executable, "-c", script, str(paths.root), *words]
    assert subprocess.run(command, check=False, timeout=PATIENCE_S).returncode == code
    snapshot = read_study(paths)
    assert snapshot.ended and snapshot.ended.outcome == outcome == snapshot.state
    assert snapshot.ended.reason.startswith(reason) and snapshot.accepted == (code != 2)
    assert len(snapshot.checkpoints) == (code != 2)
    if code == 3:  # nothing of the training is lost
        # Epochs are recorded beside the training: some more may be trained before the signal is sent.
        assert 1 <= snapshot.checkpoints["digits"].epoch == snapshot.histories["digits"].last < 1_000


def test_a_second_worker_leaves_at_once_and_writes_nothing() -> None:
    paths = create_study(settings_of())
    before = paths.journal.read_bytes()
    lock = StudyLock(paths.lock)
    assert lock.acquire()
    try:
        second = subprocess.run(
            [sys.executable, "-c", EAGER, str(paths.root)], check=False, timeout=PATIENCE_S, capture_output=True
        )
    finally:
        lock.release()
    assert second.returncode == 4 and b"another worker holds this study's lock" in second.stderr
    assert paths.journal.read_bytes() == before and not paths.pulse.exists()
