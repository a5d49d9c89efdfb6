"""TF32 is off in a worker, whatever the environment asks for, and the journal says that it asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from embcx_tui.store.library import create_study
from embcx_tui.store.snapshot import read_study
from tests.gpu.stand_in import PATIENCE_S, WORKER, settings

ASK = """
import json, os
from embcx_tui.compute.precision import asked_for_tf32, clear_environment, forbid_tf32
clear_environment()
forbid_tf32()
import torch
print(json.dumps([
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision(),
    os.environ["NVIDIA_TF32_OVERRIDE"], list(asked_for_tf32()),
]))
"""


@pytest.mark.parametrize("names", [(), ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "NVIDIA_TF32_OVERRIDE")])
def test_tf32_is_off(names: tuple[str, ...]) -> None:
    environment = {**os.environ, **dict.fromkeys(names, "1")}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert json.loads(done.stdout) == [False, False, "highest", "0", list(names)]
    assert done.stderr == ""


def test_the_journal_says_that_the_environment_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    paths = create_study(settings(networks={"depths": [1], "activations": ["relu"]}))
    subprocess.run([sys.executable, "-c", WORKER.format(fault=""), str(paths.root)], check=True, timeout=PATIENCE_S)
    texts = [line.text for line in read_study(paths).log]
    assert "NVIDIA_TF32_OVERRIDE asked for TF32; it is off: float32 products are computed in float32" in texts
