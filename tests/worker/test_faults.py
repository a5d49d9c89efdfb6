"""A piece of tests/fault_injection.py: files that fail and workers that die at some operations of a whole study."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from embcx_tui.store.paths import StudyPaths
from tests import fault_injection, forked_studies
from tests.fuzz_studies import SOURCE, sealed

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(bool(fault_injection.lacking()), reason=fault_injection.lacking())
def test_whatever_file_operation_fails_a_resumed_study_has_the_same_bytes() -> None:
    command = [sys.executable, "-m", "tests.fault_injection", "--every", "89", "--kills", "4", "--jobs", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    tried, struck, kills = map(int, re.findall(r"(\d+) (?:tried|struck|kills)", last))
    assert struck > 2 * len(fault_injection.FAULTS) - 10 and tried > struck and kills >= 4, last
    assert last.endswith("0 lost, 0 differing, 0 computed twice, 0 leftovers, 0 other trouble")


@pytest.fixture
def complete(home: Path) -> StudyPaths:
    paths = StudyPaths(home / "studies" / "0123456789")
    shutil.copytree(SOURCE, paths.root)
    return paths


def test_the_comparison_notices_a_changed_number_a_lost_line_and_a_byte_of_an_array(complete: StudyPaths) -> None:
    before = forked_studies.facts(complete)
    assert forked_studies.differences(before, forked_studies.facts(complete)) == []
    lines = complete.journal.read_bytes().splitlines()
    index = next(index for index, line in enumerate(lines) if b'"kind":"measured"' in line)
    event = json.loads(lines[index].partition(b" ")[2])
    for changed, differs in (({"at": event["at"] + 9, "seconds": 7.0}, False), ({"kl": event["kl"] + 1e-9}, True)):
        complete.journal.write_bytes(b"\n".join([*lines[:index], sealed(event | changed), *lines[index + 1 :], b""]))
        assert bool(forked_studies.differences(before, forked_studies.facts(complete))) == differs
    complete.journal.write_bytes(b"\n".join([*lines[:index], *lines[index + 1 :], b""]))
    assert any("damage" in line for line in forked_studies.differences(before, forked_studies.facts(complete)))
    complete.journal.write_bytes(b"\n".join([*lines, lines[index], b""]))
    assert len(forked_studies.repeated(complete)) == 1
    complete.journal.write_bytes(b"\n".join([*lines, b""]))
    array = next(complete.arrays.iterdir())
    array.write_bytes(array.read_bytes() + b"\0")
    (difference,) = forked_studies.differences(before, forked_studies.facts(complete))
    assert array.name in difference


def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    kept, new, half = tmp_path / "kept", tmp_path / "new", tmp_path / "half"
    done = []
    for path, size in ((kept, 10), (half, 4), (new, 10)):
        path.write_bytes(b"x" * 10)
        done += [
            fault_injection.Operation("create", path, Path(), 0),
            fault_injection.Operation("write", path, Path(), 10),
        ]
        done.append(fault_injection.Operation("sync", path, Path(), size))
        if path == half:  # the folder is synced before the last file comes
            done.append(fault_injection.Operation("sync", tmp_path, Path(), 0))
    fault_injection.lose_unsynced(tmp_path / "home", done, "zeros")
    assert kept.read_bytes() == b"x" * 10 and half.read_bytes() == b"xxxx" + bytes(6) and not new.exists()
    fault_injection.lose_unsynced(tmp_path / "home", done, "cut")
    assert half.read_bytes() == b"xxxx"
