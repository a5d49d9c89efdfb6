"""The cache of compiled kernels: never an error, and never another's code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
from embcx_tui.compute.jit.numba_cache import compiled

@compiled()
def total(values):
    found = 0.0
    for value in values:
        found += value
    return found
"""
# Prints the sum of [1, 2] as the type that is asked for, and how often machine code was found in the cache.
RUN = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
{before}
from kernel import total
print(total(np.array([1, 2], dtype=sys.argv[2])), sum(total.stats.cache_hits.values()))
"""
FULL = """
import errno, os
from numba.core import caching
def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
caching.IndexDataCacheFile._save_{what} = full
"""


def run(folder: Path, kind: str, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN.format(before=before), str(folder), kind]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    return out.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kernel.py").write_text(MODULE)
    return tmp_path


@pytest.mark.parametrize("what", ["index", "data"])
def test_a_full_disk_is_no_error(folder: Path, what: str) -> None:
    assert said(run(folder, "float32", FULL.format(what=what))) == "3.0 0"
    assert said(run(folder, "float32")) == "3.0 0"
    assert said(run(folder, "float32")) == "3.0 1", "kept as soon as there is room"


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"damaged"])
def test_a_damaged_file_is_made_again(folder: Path, kind: str, content: bytes) -> None:
    assert said(run(folder, "float32")) == "3.0 0"
    (victim,) = (folder / "__pycache__").glob(f"*.{kind}")
    victim.write_bytes(content)
    assert said(run(folder, "float32")) == "3.0 0"
    assert said(run(folder, "float32")) == "3.0 1"


# Both have read the index before either writes it, and the first writes its code last.
RACE = """
import time
from pathlib import Path
from numba.core import caching
here = Path({here!r})
save_index, save_data = caching.IndexDataCacheFile._save_index, caching.IndexDataCacheFile._save_data
def wait_for(name):
    end = time.monotonic() + 3  # a process that waits for the other's lock does not come here
    while not (here / name).exists() and time.monotonic() < end:
        time.sleep(0.01)
def index(self, overloads):
    (here / "{me}-has-read").touch()
    wait_for("{other}-has-read")
    if "{me}" == "second":
        wait_for("first-has-written")
    save_index(self, overloads)
    (here / "{me}-has-written").touch()
def data(self, *rest):
    if "{me}" == "first":
        wait_for("second-is-done")
    save_data(self, *rest)
    (here / "{me}-is-done").touch()
caching.IndexDataCacheFile._save_index, caching.IndexDataCacheFile._save_data = index, data
"""


def test_two_processes_that_compile_for_two_types_keep_their_own(folder: Path) -> None:
    first, second = (
        run(folder, kind, RACE.format(here=str(folder), me=me, other=other))
        for kind, me, other in (("float32", "first", "second"), ("int32", "second", "first"))
    )
    assert said(first) == said(second) == "3.0 0"
    for kind in ("float32", "int32"):
        assert said(run(folder, kind)) == "3.0 1", kind
