"""The Python examples of docs/measure.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from embcx_tui.api.results import Study

PAGE = (Path(__file__).parents[1] / "docs" / "measure.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## From Python") :]


def example(title: str) -> dict[str, Any]:
    """Run the first block of Python under a title; return its names."""
    block = re.search(r"```python\n(.*?)```", SECTION[SECTION.index(f"### {title}") :], re.DOTALL)
    assert block
    names: dict[str, Any] = {}
    exec(compile(block[1], title, "exec"), names)
    return names


def test_an_own_training_loop(capsys: pytest.CaptureFixture[str]) -> None:
    study = example("Your own training loop")["study"]
    assert isinstance(study, Study) and study.state == "complete"
    assert [one.name for one in study.layers] == 2 * ["input", "1", "3", "4"]
    assert {one.epoch for one in study.epochs} == {0, 1, 2}
    assert f"study {study.id} 'own loop': complete" in capsys.readouterr().out


def test_a_model_of_torchvision(capsys: pytest.CaptureFixture[str]) -> None:
    study = example("A model of torchvision")["study"]
    names = ["input", "maxpool", "layer1.1", "layer2.1", "layer3.1", "layer4.1", "fc"]
    assert [one.name for one in study.layers] == names and all(one.kl for one in study.layers)
    assert study.snapshot.datasets["data"].classes == ("cat", "dog", "cow", "hen")
    assert re.search(r"^auto +layer1\.1 +BasicBlock +64 × 16 × 16 +16,384 +1$", capsys.readouterr().out, re.MULTILINE)


def test_a_transformer_from_a_configuration() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (the extra `dev` has it)")
    study = example("A transformer from a configuration")["study"]
    assert [one.name for one in study.layers] == ["embeddings", "encoder.layer.0", "encoder.layer.1", "pooler"]
    assert {one.pool for one in study.layers} == {"mean"} and all(one.kl for one in study.layers)
