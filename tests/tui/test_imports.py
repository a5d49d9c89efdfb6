"""What the application drags in before its first frame."""

from __future__ import annotations

import subprocess
import sys

NUMERICS = (
    "torch",
    "torchvision",
    "openTSNE",
    "sklearn",
    "matplotlib",
    "scipy",
    "numba",
    "plotext",
    "embcx_tui.compute",
    # Not numerics, but 0.3 s: they come with the feed, after the first frame.
    "numpy",
    "pydantic",
)


def test_the_application_imports_no_numerics() -> None:
    code = f"import sys, embcx_tui.tui.app; print([name for name in {NUMERICS!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
