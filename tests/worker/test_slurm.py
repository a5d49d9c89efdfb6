"""Studies through SLURM, with commands that start the batch script as a process (`tests/worker/fake_slurm.py`)."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

from embcx_tui.cli import cli
from embcx_tui.store import jobs
from embcx_tui.store.jobs import Job, read_job, write_job
from embcx_tui.store.library import create_study, delete_study, list_studies
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.errors import RequestError
from embcx_tui.study.events import WorkerStarted
from embcx_tui.study.settings import StudySettings, validate
from embcx_tui.worker import launch, slurm, slurm_job
from embcx_tui.worker.process import COMPLETE, FAILED, STOPPED
from tests.worker import fake_slurm
from tests.worker.test_worker import ended, run_to_the_end, wait_for

# SLURM tells the job of its time limit, as the worker sees it: after the second epoch of its first start.
AT_THE_LIMIT = """
import os, signal
if os.environ.get("SLURM_RESTART_COUNT") == "0":
    from embcx_tui.store.journal import JournalWriter
    whole = JournalWriter.append
    def append(self, event, *rest):
        whole(self, event, *rest)
        if event.kind == "epoch" and event.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
    JournalWriter.append = append
"""


def settings(epochs: int = 4) -> StudySettings:
    return validate(
        {
            "name": "small",
            "data": {"datasets": ["digits"], "samples_per_class": 5, "train_limit": 300},
            "networks": {"depths": [1], "activations": ["relu"], "runs": 2, "width": 4},
            "training": {"epochs": epochs},
            "measure": {"perplexity": 5, "metrics": []},
            "machine": {"device": "cpu"},
        }
    )


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the commands on the PATH, and let jobs wait until the test begins them; return their folder."""
    folder = tmp_path / "cluster"
    for name, value in fake_slurm.install(folder, os.environ["PATH"]).items():
        monkeypatch.setenv(name, value)
    (folder / "hold").touch()
    return folder


@pytest.fixture
def without(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a machine that knows none of the commands."""
    monkeypatch.setenv("PATH", str(cluster))


def embcx(*words: str) -> Result:
    done = CliRunner().invoke(cli, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def row(paths: StudyPaths) -> dict[str, Any]:
    rows = json.loads(embcx("list", "--json").stdout)
    return next(row for row in rows if row["id"] == paths.id)


def arrays(paths: StudyPaths) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths.arrays.iterdir()}


def test_a_study_waits_runs_is_requeued_at_its_time_limit_and_gives_the_same_bytes(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, job = launch.submit_new(settings(), "--gpus=1 -p 'a 100'")
    assert job == Job("101", submitted=job.submitted) and job.words == "waiting for SLURM job 101"
    given = fake_slurm.job_of(cluster, "101")["words"]
    assert given == ["--parsable", f"--chdir={paths.root}", "--gpus=1", "-p", "a 100", str(paths.job_script)]
    assert row(paths)["job"] == {"id": "101", "cluster": None, "state": "waiting", "reason": None}
    for said in (embcx("list").stdout, embcx("show", paths.id).stdout):
        assert "waiting for SLURM job 101" in said
    assert json.loads(embcx("show", paths.id, "--json").stdout)["job"]["state"] == "waiting"
    for refused in (launch.start, launch.enqueue, delete_study, lambda paths: launch.submit(paths, "")):
        with pytest.raises(RequestError, match=rf"waiting for SLURM job 101; .*: embcx-tui stop {paths.id}"):
            refused(paths)
    for path in (paths.job, paths.job_script, paths.worker_log):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    (tmp_path / "sitecustomize.py").write_text(AT_THE_LIMIT)
    with monkeypatch.context() as limited:
        limited.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
        fake_slurm.begin(cluster, "101")
        snapshot = wait_for(paths, lambda one: one.state == "complete")
    assert fake_slurm.job_of(cluster, "101")["restarts"] == 1
    assert sum(isinstance(line.event, WorkerStarted) for line in snapshot.log) == 2
    assert "SLURM job 101 goes back into the queue" in paths.worker_log.read_text()
    wait_for(paths, lambda one: one.job is None)
    plain = create_study(settings())
    assert run_to_the_end(plain).state == "complete"
    assert arrays(paths) == arrays(plain) and len(arrays(plain)) > 4


def test_a_running_job_is_told_and_not_requeued(cluster: Path) -> None:
    (cluster / "hold").unlink()
    paths, _ = launch.submit_new(settings(epochs=10_000), "")
    snapshot = wait_for(paths, lambda one: bool(one.histories) and one.histories["digits"].last > 0)
    assert snapshot.job and snapshot.job.state == "running" and snapshot.waiting is None
    assert "running, SLURM job 101" in embcx("list").stdout
    with pytest.raises(RequestError, match=r"is running already \(SLURM job 101\); follow it"):
        launch.start(paths)
    (cluster / "refuse").write_text("scancel: error: Kill job error on job id 101: Access\x1b[31m denied\n")
    with pytest.raises(RequestError, match=r"SLURM job 101: scancel refuses: Kill job error .*: Access denied$"):
        launch.stop(paths)
    assert read_study(paths).state == "running" and jobs.is_ours(paths, "101")
    (cluster / "refuse").unlink()
    assert launch.stop(paths, wait_s=600.0)
    assert read_study(paths).state == "stopped" and read_job(paths) is None
    assert fake_slurm.job_of(cluster, "101")["restarts"] == 0


def test_a_waiting_job_is_cancelled(cluster: Path) -> None:
    paths, _ = launch.submit_new(settings(), "")
    (cluster / "refuse").write_text("scancel: error: no right\n")
    with pytest.raises(RequestError, match="scancel refuses: no right"):
        launch.stop(paths)
    assert row(paths)["job"]["state"] == "waiting"
    (cluster / "refuse").unlink()
    assert embcx("stop", paths.id).exit_code == 0
    assert fake_slurm.job_of(cluster, "101")["state"] == "CANCELLED" and read_job(paths) is None
    assert row(paths)["job"] is None and row(paths)["state"] == "queued"
    with pytest.raises(RequestError, match="is not running"):
        launch.stop(paths)


def test_a_job_that_vanished_is_said_with_its_last_words_and_the_study_can_be_resumed(cluster: Path) -> None:
    paths, job = launch.submit_new(settings(), "")
    with paths.worker_log.open("a") as log:
        log.write("/var/spool/job 13: /opt/\x1b[31mpython: not found\n")
    os.utime(paths.worker_log, (job.submitted + 1, job.submitted + 1))
    fake_slurm.write(cluster, {**fake_slurm.job_of(cluster, "101"), "state": "FAILED"})
    words = "SLURM job 101 is gone, and its worker never began (/var/spool/job 13: /opt/python: not found)"
    offered = f"{words}; go on with: embcx-tui resume {paths.id}"
    assert offered in embcx("list").output and offered in embcx("show", paths.id).output
    assert "queued, SLURM job 101 is gone" in embcx("list").stdout
    assert read_study(paths).resumable
    again = launch.submit(paths, "")
    assert again.id == "102" and row(paths)["job"]["id"] == "102"
    fake_slurm.write(cluster, {**fake_slurm.job_of(cluster, "102"), "state": "FAILED"})
    slurm.refresh([paths])
    delete_study(paths)


def test_a_lost_study_waits_where_slurm_has_requeued_its_job(cluster: Path) -> None:
    paths, job = launch.submit_new(settings(), "")
    write_job(paths, Job(job.id, "", "running", job.submitted))  # its node died
    assert row(paths)["job"]["state"] == "waiting"
    fake_slurm.write(cluster, {**fake_slurm.job_of(cluster, "101"), "state": "NODE_FAIL"})
    write_job(paths, Job(job.id, "", "running", job.submitted))
    assert row(paths)["job"] is None, "its journal says how that ended"


def test_what_sbatch_refuses_leaves_nothing(cluster: Path) -> None:
    (cluster / "refuse").write_text("sbatch: warning: x\nsbatch: error: invalid partition \x1b[2Jspecified: a100\n")
    with pytest.raises(RequestError, match=r"^sbatch refuses: invalid partition specified: a100$"):
        launch.submit_new(settings(), "-p a100")
    assert list_studies() == ()
    (cluster / "refuse").unlink()
    for answer in ("Submitted batch job 7", "0", "12;a b", "7\n8", "9" * 11, "7;-M", ""):
        (cluster / "bin" / "sbatch").write_text(f"#!/bin/sh\nprintf '%s\\n' '{answer}'\n")
        with pytest.raises(RequestError, match="no job's number"):
            launch.submit_new(settings(), "")
    assert list_studies() == ()
    (cluster / "bin" / "sbatch").write_text("#!/bin/sh\necho '7;east'\n")
    _, job = launch.submit_new(settings(), "")
    assert (job.id, job.cluster) == ("7", "east")


def test_a_folder_from_elsewhere_cannot_cancel_another_job_of_the_user(cluster: Path) -> None:
    _, job = launch.submit_new(settings(), "")
    foreign = create_study(settings())
    write_job(foreign, job)
    assert row(foreign)["job"]["state"] == "gone"
    write_job(foreign, job)
    assert launch.stop(foreign) and read_job(foreign) is None
    write_job(foreign, job)
    assert not slurm.end_running(foreign, job, at_once=True)
    assert fake_slurm.job_of(cluster, "101")["state"] == "PENDING"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("'", "No closing quotation"),
        ("a100", "'a100' is no option"),
        ("--gpus=4 mine.sh", "'mine.sh' is no option"),
        ("-p a100 mine.sh", "'mine.sh' is no option"),
        ("--array=1-4", "--array=1-4 cannot be given"),
        ("--wait", "--wait cannot be given"),
        ("--wrap=x", "--wrap=x cannot be given"),
        ("-a 1-4", "-a cannot be given"),
        ("-D /tmp", "-D cannot be given"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_before_a_study_is_made(options: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        launch.submit_new(settings(), options)
    assert list_studies() == ()
    assert embcx("run", "demo", "--sbatch", "", "--queue").exit_code == 2


@pytest.mark.parametrize("machine", [{"devices": "all"}, {"devices": "all", "device": "cpu", "cluster": "ray"}])
def test_all_devices_of_a_job_are_a_number_that_nobody_knows_yet(machine: dict[str, str]) -> None:
    asked = validate({**settings().model_dump(by_alias=True), "machine": machine})
    with pytest.raises(RequestError, match=r"set machine\.devices to a number"):
        launch.submit_new(asked, "--gpus=4")
    assert list_studies() == ()


@pytest.mark.usefixtures("without")
def test_without_slurm_each_command_says_in_one_line_what_to_do() -> None:
    with pytest.raises(RequestError, match="sbatch is not on the PATH; run this where jobs are submitted"):
        launch.submit_new(settings(), "")
    paths = create_study(settings())
    write_job(paths, Job("7", submitted=1.0))
    with pytest.raises(RequestError, match="squeue is not on the PATH; ask on a machine of the cluster"):
        launch.stop(paths)
    assert read_job(paths) == Job("7", submitted=1.0)
    with pytest.raises(RequestError, match=r"squeue is not on the PATH here; .* remove .*job\.json$"):
        launch.start(paths)
    assert "waiting for SLURM job 7" in embcx("list").stdout


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"\xff",
        b"[" * 4_000,
        b"x" * 10_000,
        b'{"id": 7}',
        b'{"id": "-7", "state": "waiting"}',
        b'{"id": "7 8", "state": "waiting"}',
        b'{"id": "7", "state": "done"}',
        b'{"id": "7", "state": "waiting", "cluster": "--all"}',
        b'{"id": "7", "state": "waiting", "submitted": true}',
        b'{"id": "7", "state": "waiting", "submitted": 1e400}',
        b'{"id": "7", "state": "waiting", "submitted": NaN}',
        b'{"id": "7", "state": ["waiting"]}',
    ],
)
def test_a_hostile_record_is_none(content: bytes) -> None:
    paths = create_study(settings())
    paths.job.write_bytes(content)
    assert read_job(paths) is None and row(paths)["job"] is None and read_study(paths).waiting is None


@pytest.mark.usefixtures("without")
def test_a_record_is_shown_safely_and_links_are_not_followed(tmp_path: Path) -> None:
    paths = create_study(settings())
    hostile = {"id": "7", "state": "gone", "reason": "\x1b]0;x\x07no\nsuch \x1b[2Jthing" + "x" * 900}
    paths.job.write_text(json.dumps(hostile))
    said = embcx("list").output
    assert "no such thingxxx" in said and "\x1b" not in said and len(said) < 800
    paths.job.unlink()
    (tmp_path / "mine.json").write_text(json.dumps({"id": "7", "state": "waiting"}))
    paths.job.symlink_to(tmp_path / "mine.json")
    assert read_job(paths) is None
    write_job(paths, Job("8"))
    assert json.loads((tmp_path / "mine.json").read_text())["id"] == "7", "the link was replaced"


@pytest.mark.parametrize("name", ["it's $(touch x) `x`", "sp ace\nline", "\udcff"])
def test_the_script_holds_any_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / name
    monkeypatch.setenv("EMBCX_HOME", str(home))
    paths = create_study(settings())
    monkeypatch.setattr(sys, "executable", str(tmp_path / "says"))
    (tmp_path / "says").write_text('#!/bin/sh\nprintf "%s\\0" "$EMBCX_HOME" "$EMBCX_DATA_DIR" "$PWD" "$@" > "$SAID"\n')
    (tmp_path / "says").chmod(0o700)
    (tmp_path / "script").write_bytes(slurm.script_of(paths))
    monkeypatch.setenv("SAID", str(tmp_path / "said"))
    assert psutil.Popen(["/bin/sh", str(tmp_path / "script")], cwd="/").wait() == 0
    said = [os.fsdecode(word) for word in (tmp_path / "said").read_bytes().split(b"\0")[:-1]]
    root = str(paths.root)
    assert said == [str(home), str(home / "data"), root, "-P", "-m", "embcx_tui.worker", "job", root]


def ending(monkeypatch: pytest.MonkeyPatch, code: int, work: int) -> None:
    """Let the worker end with `code`, having done so much."""
    done = iter((0, work))
    monkeypatch.setattr(slurm_job, "work_done", lambda paths: next(done))

    def run_study(root: Path, taken: Any = lambda: None) -> int:
        taken()
        return code

    monkeypatch.setattr(slurm_job, "run_study", run_study)


@pytest.mark.parametrize(
    ("code", "work", "state", "words"),
    [
        (COMPLETE, 5, "RUNNING", None),
        (FAILED, 5, "RUNNING", None),
        (STOPPED, 0, "RUNNING", "it had no time for an epoch; give it a longer --time"),
        (STOPPED, 5, "CANCELLED", "it was cancelled"),
    ],
)
def test_no_job_is_requeued_for_nothing(
    code: int, work: int, state: str, words: str | None, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, _ = launch.submit_new(settings(), "")
    monkeypatch.setenv("SLURM_JOB_ID", "101")
    ending(monkeypatch, code, work)
    fake_slurm.write(cluster, {**fake_slurm.job_of(cluster, "101"), "state": state})
    assert slurm_job.run_job(paths.root) == code
    assert fake_slurm.job_of(cluster, "101")["restarts"] == 0
    job = read_job(paths)
    assert (job.words if job else None) == (
        words and f"SLURM job 101 ended with work left, and is not requeued: {words}"
    )
    assert read_study(paths).resumable


def test_a_script_that_is_started_by_hand_computes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    paths = create_study(settings())
    ending(monkeypatch, STOPPED, 5)
    assert slurm_job.run_job(paths.root) == STOPPED and read_job(paths) is None
    assert ended(read_study(paths))
