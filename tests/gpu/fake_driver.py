"""Builds the stand-in for NVIDIA's driver, and starts the command under it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("fake_driver.c")


def build(folder: Path, *libraries: str) -> Path:
    """Compile the stand-in into `folder` under each name of `libraries`; skip the test without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("the stand-in for NVIDIA's driver needs a C compiler")
    folder.mkdir(parents=True, exist_ok=True)
    for library in libraries:
        options = ["-shared", "-fPIC", "-w", f"-Wl,-soname,{library}", "-o", str(folder / library)]
        subprocess.run([compiler, *options, str(SOURCE)], check=True)
    return folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return variables under which programs find the stand-in before a driver of this machine."""
    here = os.environ.get("LD_LIBRARY_PATH", "")
    return {"LD_LIBRARY_PATH": f"{folder}:{here}" if here else str(folder), **more}
