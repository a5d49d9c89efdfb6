"""`embcx-tui export --size --dpi`: what a figure measures in print and on a slide."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_studies import make_study, settings_of


@pytest.mark.parametrize(("size", "inches"), [("column", 3.35), ("page", 6.7), ("slide", 10.0)])
def test_a_png_is_as_wide_as_asked(size: str, inches: float, tmp_path: Path) -> None:
    settings = settings_of(networks__runs=1, networks__activations=["relu"], training__epochs=4)
    study = make_study(settings, arrays=False)
    command = (sys.executable, "-m", "embcx_tui", "export", study.paths.id, "--figure", "training-digits")
    subprocess.run([*command, "--size", size, "--dpi", "100", "--out", str(tmp_path)], check=True, capture_output=True)
    width, _ = struct.unpack(">II", (tmp_path / "training-digits.png").read_bytes()[16:24])
    assert abs(width - 100 * inches) <= 1
