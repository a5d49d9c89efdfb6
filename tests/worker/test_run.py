"""What goes on around the work of a study must not end it."""

from __future__ import annotations

import pytest
import torch

from embcx_tui.store.library import create_study
from embcx_tui.study.settings import load_preset
from embcx_tui.worker import calibrate, run
from embcx_tui.worker.journal import Journal


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: out of memory"), MemoryError(), OSError(28, "full")])
def test_a_study_goes_on_where_the_machine_cannot_be_measured(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(device: torch.device) -> None:
        raise error

    monkeypatch.setattr(calibrate, "calibrate", refuse)
    monkeypatch.setattr(run, "CALIBRATE_FROM_S", 0.0)
    journal = Journal(create_study(load_preset("demo").settings))
    assert run._calibration(journal, torch.device("cpu")) is None
    assert "this machine's speed is not known" in journal.snapshot.log[-1].text
