"""The list reads again only what has changed, and says the same as if it read everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from embcx_tui.cli import OK, PARTLY, cli
from embcx_tui.store.library import list_studies
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.study_list_cache import ListRow, StudyListCache
from tests.cli.test_damage import first_of, flip, restored

# Holds the lock of a study, as its worker does, until its input ends.
HOLDER = """
import sys
from pathlib import Path
from embcx_tui.store.lock import StudyLock
assert StudyLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def listed(code: int = OK) -> list[dict[str, Any]]:
    done = CliRunner().invoke(cli, ["list", "--json"])
    assert done.exit_code == code, done.output
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def never(paths: StudyPaths) -> ListRow:
    raise AssertionError(f"{paths.id} is read again")


@pytest.fixture
def studies(home: Path) -> list[StudyPaths]:
    return [restored(home, study_id) for study_id in ("0123456789", "abcdefghjk")]


def test_an_unchanged_study_is_listed_the_same_without_being_read(studies: list[StudyPaths]) -> None:
    first = listed()
    assert [row["state"] for row in first] == ["complete"] * 2
    assert listed() == first
    kept = StudyListCache()
    assert {kept.row(paths, never).name for paths in studies} == {row["name"] for row in first}
    code = "import sys\nfrom embcx_tui.cli import cli\ntry: cli(['list'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "0123456789" in done.stdout and "complete" in done.stdout
    assert "pydantic" not in done.stdout.split(), "settings and events are loaded for nothing"


def test_one_byte_of_a_kept_study_is_noticed_whatever_the_time_of_its_file_says(studies: list[StudyPaths]) -> None:
    listed()
    journal = studies[0].journal
    before = journal.stat()
    lines = journal.read_bytes().splitlines(keepends=True)
    flip(lines, first_of(lines, "measured"))
    journal.write_bytes(b"".join(lines))
    os.utime(journal, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):  # nor is the damaged row kept
        damage = {row["id"]: row["damage"] for row in listed(PARTLY)}
        assert "checksum" in damage[studies[0].id] and damage[studies[1].id] is None
    studies[1].study_file.write_text("", encoding="utf-8")
    assert {row["state"] for row in listed(PARTLY)} == {"complete", "damaged"}


def test_a_study_that_runs_is_read_and_one_that_ended_is_not_said_to_run(studies: list[StudyPaths]) -> None:
    listed()
    command = [sys.executable, "-c", HOLDER, str(studies[0].lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        states = {row["id"]: row["state"] for row in listed()}
        assert states == {studies[0].id: "running", studies[1].id: "complete"}
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait()
    assert {row["state"] for row in listed()} == {"complete"}


@pytest.mark.parametrize(
    "edited", [{"name": "\x1b]0;x\x07"}, {"progress": 7}, {"created": "now"}, {"state": None}, {"damage": "x"}]
)
def test_kept_rows_that_somebody_edited_are_not_believed(
    edited: dict[str, object], studies: list[StudyPaths], home: Path
) -> None:
    first = listed()
    file = home / "list.json"
    record = json.loads(file.read_bytes())
    for entry in record["rows"].values():
        entry.update(edited)
    file.write_text(json.dumps(record), encoding="utf-8")
    assert listed() == first


@pytest.mark.parametrize("instead", ["folder", "FIFO", "noise", "none of ours"])
def test_whatever_lies_in_place_of_the_kept_rows_the_list_is_right(
    instead: str, studies: list[StudyPaths], home: Path
) -> None:
    file = home / "list.json"
    if instead == "folder":
        file.mkdir()
    elif instead == "FIFO":
        os.mkfifo(file)
    else:
        file.write_bytes(b"\xff\x00" if instead == "noise" else b'{"rows": [1]}')
    for _ in range(2):
        assert {row["id"] for row in listed()} == {paths.id for paths in list_studies()} == {one.id for one in studies}
