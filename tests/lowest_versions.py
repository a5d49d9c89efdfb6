"""Runs a part of the tests with the lowest version of every dependency that pyproject.toml allows:
`python -m tests.lowest_versions FOLDER [PATH …]`.

FOLDER gets an environment of its own (6 GB, most of it torch and CUDA; it is used again if it is there). uv is needed,
on PATH or in the environment of this Python; it finds the lowest direct versions that go together.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What uses each dependency: study files, figures, commands, numerics, screens, a real worker, a real terminal.
TESTS = (
    "tests/study",
    "tests/store",
    "tests/analysis",
    "tests/figures",
    "tests/cli/test_commands.py",
    "tests/cli/test_damage.py",
    "tests/cli/test_export.py",
    "tests/cli/test_export_options.py",
    "tests/cli/test_report.py",
    "tests/compute/test_affinities.py",
    "tests/compute/test_complexity.py",
    "tests/compute/test_datasets.py",
    "tests/compute/test_datasets_file.py",
    "tests/compute/test_methods.py",
    "tests/compute/test_metrics.py",
    "tests/compute/test_training.py",
    "tests/worker/test_worker.py",
    "tests/tui/test_app.py",
    "tests/tui/test_configure.py",
    "tests/tui/test_studies.py",
    "tests/tui/test_layers.py",
    "tests/tui/test_live.py",
    "tests/test_journeys.py::test_first_start_demo_detach_return_browse_export",
)


def uv() -> str:
    """Return uv's path; ends the program where there is none."""
    found = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if not found:
        sys.exit("uv is needed: pip install uv")
    return found


def install(folder: Path) -> Path:
    """Make the environment; return its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([uv(), "venv", "--python", sys.executable, str(folder)], check=True)
    # Pins first: `install` would keep a version that is there already, where it is within the bounds.
    words = ["--quiet", "--python-version", "{}.{}".format(*sys.version_info[:2]), "--extra", "dev", "pyproject.toml"]
    lowest = subprocess.run(
        [uv(), "pip", "compile", "--resolution", "lowest-direct", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout
    pins = folder / "lowest.txt"
    pins.write_bytes(lowest)
    subprocess.run([uv(), "pip", "sync", "--python", str(python), str(pins)], check=True)
    subprocess.run([uv(), "pip", "install", "--python", str(python), "--no-deps", "--editable", str(ROOT)], check=True)
    return python


def main(folder: str, *paths: str) -> int:
    python = install(Path(folder).absolute())
    listed = subprocess.run([uv(), "pip", "list", "--python", str(python)], check=True, stdout=subprocess.PIPE).stdout
    print(listed.decode(), flush=True)
    return subprocess.run([str(python), "-P", "-m", "pytest", *(paths or TESTS)], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
