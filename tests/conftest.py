"""What every test has: a home of its own, and the shared datasets where they are."""

from __future__ import annotations

import gc
import os

# OpenMP's threads wait asleep, here and in all processes that tests start. They would spin for a while after each
# operation of torch: with as many test processes as cores, small trainings took 86 s of processor time instead of 27 s.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from pathlib import Path

import pytest

from embcx_tui.compute.gpu_path import gpu_path

# The folder that the person running the tests named; the tests themselves get a home of their own.
_DATA_DIR = os.environ.get("EMBCX_DATA_DIR")


def pytest_collection_finish() -> None:
    """Leave what was imported out of all later collections: with torch and scipy one takes half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty `$EMBCX_HOME` and no datasets but scikit-learn's digits."""
    folder = tmp_path / "home"
    monkeypatch.setenv("EMBCX_HOME", str(folder))
    monkeypatch.delenv("EMBCX_DATA_DIR", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return folder


@pytest.fixture(autouse=True)
def whole_gpu_path() -> None:
    """Let no test go on with the steps down of another."""
    gpu_path.begin()


@pytest.fixture
def mnist(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the test at real MNIST, or skip it."""
    folder = Path(_DATA_DIR).absolute() if _DATA_DIR else None
    if folder is None or not (folder / "MNIST" / "raw").is_dir():
        pytest.skip("real MNIST is not at hand: set EMBCX_DATA_DIR to a folder that holds MNIST/raw")
    monkeypatch.setenv("EMBCX_DATA_DIR", str(folder))
    return folder
