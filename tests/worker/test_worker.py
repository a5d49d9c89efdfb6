"""Real workers in real processes: they finish, stop, die and go on, and the numbers stay the same bit for bit."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from embcx_tui.analysis.json_csv import measurements
from embcx_tui.store.files import is_intact
from embcx_tui.store.journal import read_journal
from embcx_tui.store.library import create_study, list_studies
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.errors import RequestError
from embcx_tui.study.events import EpochTrained, LayerMeasured, SealedFile
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import StudySettings, validate
from embcx_tui.worker import launch
from tests.warm_process import WORKER, run_script

# A worker whose checkpoints come after every epoch, so that short studies have some to go on from.
EAGER = """
import sys
from pathlib import Path
from embcx_tui.worker import checkpoints
checkpoints.CHECKPOINT_S = 0.0
checkpoints.CHECKPOINT_SHARE = 1e9
from embcx_tui.worker.process import run_study
sys.exit(run_study(Path(sys.argv[1])))
"""

# The same, struck by a signal just before or after it writes its nth journal line of a kind.
STRUCK = EAGER.replace(
    "from embcx_tui.worker.process",
    """
import os, signal
from embcx_tui.worker.journal import Journal
name, when, kind, number = sys.argv[2:6]
left = int(number)
append = Journal.append
def append_and_strike(journal, event):
    global left
    left -= event.kind == kind
    struck = event.kind == kind and left == 0
    if struck and when == "before":
        os.kill(os.getpid(), signal.Signals[name])
    append(journal, event)
    if struck and when == "after":
        os.kill(os.getpid(), signal.Signals[name])
Journal.append = append_and_strike
from embcx_tui.worker.process""",
)

# The first again, killed at the worst moment: its third checkpoint is written, but the journal has no line of it yet.
KILLED_IN_BETWEEN = EAGER.replace(
    "from embcx_tui.worker.process",
    """
import os, signal
from embcx_tui.worker import journal
whole = journal.publish
def publish(path, data):
    digest = whole(path, data)
    if "epoch3" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return digest
journal.publish = publish
from embcx_tui.worker.process""",
)


def small(**training: Any) -> StudySettings:
    return validate(
        {
            "name": "small",
            "data": {"datasets": ["digits"], "samples_per_class": 15},
            "networks": {"depths": [1, 2], "activations": ["logsig", "relu"], "runs": 2, "width": 20},
            "training": {"epochs": 6, **training},
            "measure": {"perplexity": 10},
        }
    )


# A worker on a device that holds no more than three networks at once.
CRAMPED = """
import sys
from pathlib import Path
from embcx_tui.worker import checkpoints, train
checkpoints.CHECKPOINT_S = 0.0
from embcx_tui.compute.memory import OutOfMemory
class Cramped(train.CohortTraining):
    def __init__(self, networks, *rest):
        if len(networks) > 3:
            raise OutOfMemory("a cohort of so many networks does not fit")
        super().__init__(networks, *rest)
train.CohortTraining = Cramped
from embcx_tui.worker.process import run_study
sys.exit(run_study(Path(sys.argv[1])))
"""


# Far beyond any wait of a healthy run on a crowded machine: reached only where something hangs.
PATIENCE_S = 600.0


def wait_for(paths: StudyPaths, holds: Any, seconds: float = PATIENCE_S) -> Snapshot:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        snapshot = read_study(paths)
        if holds(snapshot):
            return snapshot
        time.sleep(0.02)
    raise AssertionError(f"still {snapshot.state}: {[str(line) for line in snapshot.log[-5:]]}")


def strike(paths: StudyPaths, signal_name: str, when: str, kind: str, number: int) -> int:
    """Run a worker that is struck by a signal `when` ("before", "after") it writes its nth line of `kind`; its code."""
    return run_script(STRUCK, paths.root, signal_name, when, kind, str(number))


def ended(snapshot: Snapshot) -> bool:
    return snapshot.state != "running"


def run_to_the_end(paths: StudyPaths) -> Snapshot:
    """Begin or resume a study as `launch.start` does, in a fork of the warm process; how it ended."""
    run_script(WORKER, paths.root)
    return read_study(paths)


def numbers(paths: StudyPaths) -> dict[str, Any]:
    """What `show --json` says that must not depend on interruptions, and the bytes of every result."""
    snapshot = read_study(paths)
    document = {key: value for key, value in measurements(snapshot).items() if key != "id"}
    files = [event.file for event in (*snapshot.measured.values(), *snapshot.earlier.values())]
    files += [event.file for event in snapshot.trained.values()]
    return document | {"arrays": {file.name: file.sha256 for file in files}}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The numbers of the small study, computed in one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBCX_HOME", str(tmp_path_factory.mktemp("uninterrupted")))
        paths = create_study(small())
        snapshot = run_to_the_end(paths)
        assert snapshot.state == "complete", [str(line) for line in snapshot.log]
        return numbers(paths)


def test_a_study_is_measured_whole(uninterrupted: dict[str, Any]) -> None:
    networks = uninterrupted["networks"]
    assert len(networks) == 16
    assert {network["status"] for network in networks} == {"measured"}
    for network in networks:
        layers = network["layers"]
        assert [layer["layer"] for layer in layers] == list(range(network["depth"] + 1))
        assert [layer["units"] for layer in layers] == [64] + [20] * network["depth"]
        assert all(0 < layer["kl"] < 5 and layer["points"] == 150 for layer in layers)
        assert network["epochs"] == (0 if network["control"] else 6)
    inputs = {(network["run"], network["layers"][0]["kl"]) for network in networks}
    assert len(inputs) == 2, "layer 0 is one measurement a run, shared by its networks"
    assert {(one["n"], one["degenerate"]) for one in uninterrupted["summary"]} == {(2, 0)}


def test_a_study_stopped_and_resumed_equals_the_uninterrupted_one(uninterrupted: dict[str, Any]) -> None:
    paths = create_study(small())
    for kind, number in (("sample", 1), ("epoch", 1), ("measured", 5)):
        strike(paths, "SIGTERM", "after", kind, number)
        assert read_study(paths).state == "stopped", (kind, number)
    assert run_to_the_end(paths).state == "complete"
    assert numbers(paths) == uninterrupted


def test_a_killed_worker_loses_no_result_and_repeats_none(uninterrupted: dict[str, Any]) -> None:
    paths = create_study(small())
    moments = [
        ("before", "sample", 2),
        ("after", "checkpoint", 1),
        ("before", "trained", 2),
        ("after", "measured", 9),
        # The last one: what is left to do is to remove the checkpoints.
        ("after", "measured", len(make_plan(small()).layers) - 9),
        ("before", "ended", 1),
    ]
    for moment in moments:
        assert strike(paths, "SIGKILL", *moment) == -signal.SIGKILL, moment
        assert read_study(paths).state == "lost", moment
    measured_before = dict(read_study(paths).measured)
    snapshot = run_to_the_end(paths)
    assert snapshot.state == "complete"
    assert numbers(paths) == uninterrupted
    events = read_journal(paths.journal).events
    times = Counter(event.layer_id for event in events if isinstance(event, LayerMeasured))
    assert set(times.values()) == {1}, "a finished layer is never measured twice"
    assert all(snapshot.measured[key] == event for key, event in measured_before.items())
    assert not list(paths.checkpoints.iterdir())
    # The checkpoint after the first epoch was there: no worker trained that epoch again.
    first = [event for event in events if isinstance(event, EpochTrained) and event.epoch == 1]
    assert len(first) == 1


def test_a_worker_killed_between_a_checkpoint_and_its_line_goes_on_from_the_one_before(
    uninterrupted: dict[str, Any],
) -> None:
    paths = create_study(small())
    assert run_script(KILLED_IN_BETWEEN, paths.root) == -signal.SIGKILL
    assert [event.epoch for event in read_study(paths).checkpoints.values()] == [2]
    assert sorted(path.name for path in paths.checkpoints.iterdir()) == [
        "digits.epoch2.safetensors",
        "digits.epoch3.safetensors",
    ]
    snapshot = run_to_the_end(paths)
    assert snapshot.state == "complete"
    assert numbers(paths) == uninterrupted
    epochs = Counter(event.epoch for event in read_journal(paths.journal).events if isinstance(event, EpochTrained))
    assert epochs[1] == epochs[2] == 1, "what the checkpoint holds is not trained again"
    assert not any("damaged" in str(line) for line in snapshot.log)
    assert not list(paths.checkpoints.iterdir()), "nothing is left of either"


def test_a_cohort_that_memory_does_not_hold_is_halved_until_it_does(uninterrupted: dict[str, Any]) -> None:
    paths = create_study(small())
    assert run_script(CRAMPED, paths.root) == 0
    snapshot = read_study(paths)
    assert snapshot.state == "complete"
    assert sorted(len(history.networks) for history in snapshot.histories.values()) == [2, 2, 2, 2]
    assert any("out of memory" in line.text for line in snapshot.log)
    # Company changes rounding alone: the same networks to well within run-to-run noise.
    for one, other in zip(numbers(paths)["networks"], uninterrupted["networks"], strict=True):
        assert one["test_accuracy"] == pytest.approx(other["test_accuracy"], abs=0.01)
        assert [layer["layer"] for layer in one["layers"]] == [layer["layer"] for layer in other["layers"]]


def test_whatever_is_damaged_or_lost_of_a_complete_study_is_made_again_and_comes_out_the_same() -> None:
    settings = small(epochs=3)
    settings = settings.model_copy(update={"measure": settings.measure.model_copy(update={"epochs": (1,)})})
    paths = create_study(settings)
    snapshot = run_to_the_end(paths)
    before = numbers(paths)
    result, earlier = (next(iter(events.values())) for events in (snapshot.measured, snapshot.earlier))
    trained = next(iter(snapshot.trained.values()))
    final = b'"epoch":null'
    # Each alone, and a line of the journal that cannot be read any more.
    for file in (result.file, earlier.file, trained.file, None):
        if file:
            (paths.root / file.name).write_bytes(b"damaged")
        else:
            lines = paths.journal.read_bytes().splitlines(keepends=True)
            # Not the result that was made again above: the journal has two lines of it.
            once = [line for line in lines if b'"kind":"measured"' in line and result.file.name.encode() not in line]
            victim = lines.index([line for line in once if final in line][-1])
            lines[victim] = b"x" + lines[victim][1:]
            paths.journal.write_bytes(b"".join(lines))
        assert run_to_the_end(paths).state == "complete"
        assert numbers(paths) == before, file
        assert all(is_intact(paths.root, SealedFile(name=n, sha256=s)) for n, s in before["arrays"].items()), file
        with pytest.raises(RequestError, match="complete"):
            launch.start(paths)


def test_a_part_of_a_cohort_that_is_done_is_not_trained_again(uninterrupted: dict[str, Any]) -> None:
    settings = small()
    settings = settings.model_copy(update={"measure": settings.measure.model_copy(update={"epochs": (2,)})})
    paths = create_study(settings)
    killed = CRAMPED.replace(
        "from embcx_tui.worker.process",
        """
import os, signal
class Killed(Cramped):
    def epoch(self, *rest):
        # Of the second part, before the epoch after which its layers are to be measured.
        if self.networks[0].id == SECOND and self.epochs_done == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().epoch(*rest)
train.CohortTraining = Killed
from embcx_tui.worker.process""",
    ).replace("SECOND", repr(make_plan(settings).cohorts[0].networks[2].id))
    assert run_script(killed, paths.root) == -signal.SIGKILL
    assert run_script(CRAMPED, paths.root) == 0
    events = [event for event in read_journal(paths.journal).events if isinstance(event, EpochTrained)]
    assert Counter(event.epoch for event in events if event.cohort == "digits.0.0") == Counter(range(1, 7))


def test_a_study_runs_once_at_a_time_and_outlives_its_terminal() -> None:
    paths = create_study(small(epochs=10_000, batch_size=1))
    worker = launch.start(paths).poll().worker
    assert worker is not None
    pid = worker.pid
    assert os.getsid(pid) == pid, "its own session: a closed terminal does not reach it"
    wait_for(paths, lambda s: bool(s.histories))
    os.kill(pid, signal.SIGHUP)
    os.kill(pid, signal.SIGINT)
    with pytest.raises(RequestError, match="running already"):
        launch.start(paths)
    before = read_study(paths).histories["digits"].last
    wait_for(paths, lambda s: s.histories["digits"].last > before)
    # Asked twice, it still finishes its epoch.
    launch.stop(paths)
    assert launch.stop(paths, wait_s=PATIENCE_S)
    assert read_study(paths).state == "stopped"
    with pytest.raises(RequestError, match="is not running"):
        launch.stop(paths)


def test_a_diverged_network_is_reported_and_the_others_are_measured() -> None:
    # Seven layers of relu overflow at this learning rate; softsign cannot.
    grid = {"activations": ("relu", "softsign"), "depths": (7,), "runs": 1, "width": 100}
    settings = small(learning_rate=1.0).model_copy(update={"networks": small().networks.model_copy(update=grid)})
    paths = create_study(settings)
    snapshot = run_to_the_end(paths)
    assert snapshot.state == "complete"
    diverged = [state for state in snapshot.networks.values() if state.status == "diverged"]
    measured = [state for state in snapshot.networks.values() if state.status == "measured"]
    assert [state.network.activation for state in diverged] == ["relu"]
    assert len(measured) == 3, "softsign and both untrained controls"
    document = measurements(snapshot)
    for network in document["networks"]:
        if network["status"] == "diverged":
            assert [layer["layer"] for layer in network["layers"]] == [0]


def test_missing_data_is_refused_before_anything_is_made() -> None:
    with pytest.raises(RequestError, match="embcx-tui data fetch mnist") as caught:
        launch.begin(validate({"data": {"datasets": ["mnist"]}}))
    assert "train-images-idx3-ubyte" in str(caught.value) and "\n" not in str(caught.value)
    assert list_studies() == ()


def test_damaged_data_is_refused_before_anything_is_made(
    mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(mnist / "MNIST", copy / "MNIST")
    labels = copy / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz"
    labels.chmod(0o644)
    labels.write_bytes(gzip.compress(b"not labels"))
    monkeypatch.setenv("EMBCX_DATA_DIR", str(copy))
    with pytest.raises(RequestError, match="train-labels") as caught:
        launch.begin(validate({"data": {"datasets": ["mnist"]}}))
    assert "\n" not in str(caught.value)
    assert list_studies() == ()


def test_what_a_worker_writes_is_for_its_user_alone() -> None:
    before = os.umask(0)  # a worker has its own, whatever the shell's is
    try:
        paths = create_study(small(epochs=1))
        launch.start(paths)
        snapshot = wait_for(paths, ended)
    finally:
        os.umask(before)
    assert snapshot.state == "complete"
    written = [path for path in paths.root.rglob("*") if path.is_file()]
    assert {"journal.jsonl", "telemetry.jsonl", "worker.log"} <= {path.name for path in written} and len(written) > 20
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    folders = [paths.root, *(path for path in paths.root.rglob("*") if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
