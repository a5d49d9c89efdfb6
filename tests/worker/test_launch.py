"""Starting workers and asking them: what is left where that is broken off, and answers that come late or with noise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from embcx_tui.store import lock
from embcx_tui.store.library import create_study, list_studies
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import StudyReader, read_study
from embcx_tui.study.errors import RequestError, StoreError
from embcx_tui.study.settings import validate
from embcx_tui.worker import launch
from embcx_tui.worker.process import FAILED, REFUSED

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


BROKEN = {
    "torch": 'raise ImportError("libcudnn.so.9: cannot open shared object file")',
    "numba": 'raise ImportError("Numba needs NumPy 2.3 or less. Got NumPy 2.4.")',
    "sklearn": "raise OSError(12, 'Cannot allocate memory')",
}


@pytest.mark.parametrize("library", BROKEN)
def test_a_library_that_cannot_be_imported_is_named_with_its_reason(
    library: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken" / library).mkdir(parents=True)
    (tmp_path / "broken" / library / "__init__.py").write_text(f"{BROKEN[library]}\n")
    own = str(Path(launch.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path / "broken"), own, os.environ.get("PYTHONPATH", ""))))
    reason = BROKEN[library].split("'")[1] if "'" in BROKEN[library] else BROKEN[library].split('"')[1]
    with pytest.raises(RequestError) as caught:
        launch.begin(validate(DIGITS))
    line = str(caught.value)
    assert library in line and reason in line and "cannot be imported" in line and "\n" not in line
    assert list_studies() == ()
    kept = home / "refused" / "worker.log"
    assert str(kept) in line and "Traceback" in kept.read_text()


def test_a_query_names_the_library_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numba.py").write_text(BROKEN["numba"])
    own = str(Path(launch.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), own, os.environ.get("PYTHONPATH", ""))))
    with pytest.raises(RequestError, match=r"^numba cannot be imported \(Numba needs NumPy 2.3 or less"):
        launch.ask("embed", "--help", module="embcx_tui.bench")


def test_modules_of_the_users_folder_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "numpy", "json", "embcx_tui"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user was run')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(launch.__file__).parents[2]))
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    (digits,) = launch.ask("data-check", "digits")["datasets"]
    assert digits["name"] == "digits"


def test_without_a_home_to_write_the_libraries_keep_their_caches_in_ours(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home.parent))
    assert launch._environment() == {"LOGNAME": "embcx", **os.environ}
    monkeypatch.setenv("HOME", "/nowhere/at/all")
    monkeypatch.delenv("LOGNAME", raising=False)
    monkeypatch.setenv("EMBCX_DATA_DIR", "data")
    given = launch._environment()
    assert given["HOME"] == given["EMBCX_HOME"] == str(home) and given["LOGNAME"]
    assert given["EMBCX_DATA_DIR"] == str(Path("data").absolute())


def test_a_machine_without_a_temporary_folder_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/nowhere"])
    answering(monkeypatch, 'import tempfile; print(\'{"x": "%s"}\' % tempfile.gettempdir())')
    assert launch.ask("machine")["x"] == str(home / "temporary")


def test_kernels_are_compiled_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    code = "from embcx_tui.compute.tsne import descent_cpu; print(type(descent_cpu.forces).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "CPUDispatcher\n"


@pytest.mark.parametrize("name", ["lock", "journal.jsonl", "checkpoints"])
def test_a_worker_that_the_disk_lets_not_begin_says_so_in_a_line_that_names_the_file(name: str) -> None:
    paths = create_study(validate(DIGITS))
    begin = "from pathlib import Path; import sys; from embcx_tui.worker.process import run_study; "
    file = paths.root / name
    file.rmdir() if file.is_dir() else file.rename(paths.root / "aside")
    file.write_bytes(b"") if name == "checkpoints" else file.mkdir()
    command = [sys.executable, "-c", f"{begin}sys.exit(run_study(Path(sys.argv[1])))", str(paths.root)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == FAILED and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert name in line and "Error" not in line.split(), line


# A disk on which a worker's first line still finds room, and after that only what the pulse's file leaves.
FULL = """
import errno, sys
from pathlib import Path
from embcx_tui.store.journal import JournalWriter
root = Path(sys.argv[1])
append = JournalWriter.append
def full(writer, event):
    if event.kind != "worker-started" and (root / "pulse.json").exists():
        raise OSError(errno.ENOSPC, "No space left on device")
    append(writer, event)
JournalWriter.append = full
from embcx_tui.worker.process import run_study
sys.exit(run_study(root))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_the_last_word_of_the_journal() -> None:
    paths = create_study(validate(DIGITS))
    with Path("/dev/full").open("w", encoding="utf-8") as log:  # worker.log is on the same disk
        done = subprocess.run([sys.executable, "-c", FULL, str(paths.root)], stderr=log)
    snapshot = read_study(paths)
    assert done.returncode == REFUSED and snapshot.state == "failed" and not paths.pulse.exists()
    assert snapshot.ended and snapshot.ended.reason.startswith("No space left on device; resume goes on")


def test_a_worker_without_a_word_on_a_full_disk_is_no_question_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = create_study(validate(DIGITS))
    answering(monkeypatch, "import sys; sys.exit(1)")
    with pytest.raises(StoreError, match=r"cannot start; its log is empty \(was it out of memory\?\)"):
        launch.start(paths)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(StoreError, match="cannot start; its log is empty, for the disk is full"):
        launch.start(paths)
