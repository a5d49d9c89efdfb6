"""The sum of a study done with libraries: what is counted, and that its pieces are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from embcx_tui.bench.reference import Cost, library_cost, loop_cost, with_libraries
from embcx_tui.compute.datasets import load
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import validate


def test_the_sum_counts_every_epoch_and_every_embedding_once() -> None:
    plan = make_plan(
        validate(
            {
                "data": {"datasets": ["mnist", "svhn"]},
                "networks": {"depths": [1, 3], "activations": ["tanh", "relu"], "runs": 2},
                "training": {"epochs": 7},
            }
        )
    )
    rows = with_libraries(plan, {"mnist": Cost(2.0, "m"), "svhn": Cost(3.0, "s")}, Cost(5.0, "e"))
    # 2 depths × 2 activations × 2 runs × 7 epochs; a run's input once, layers of networks and of untrained controls.
    embeddings = 2 * (2 + 2 * 2 * 2 * (1 + 3))
    assert [(row["part"], row["count"]) for row in rows] == [
        ("train mnist", 56),
        ("train svhn", 56),
        ("embed", embeddings),
    ]
    assert [row["seconds"] for row in rows] == [112.0, 168.0, pytest.approx(5.0 * embeddings)]


def test_the_pieces_are_measured_on_the_study_s_own_networks() -> None:
    plan = make_plan(validate({"data": {"datasets": ["digits"]}, "networks": {"depths": [1, 2, 3], "width": 10}}))
    cost = loop_cost(load("digits", Path("/nowhere"), Path("/nowhere")), plan, torch.device("cpu"), quick=True)
    assert cost.seconds > 0 and "2 layers" in cost.words and "torch.optim.SGD" in cost.words
    rows = np.random.default_rng(0).normal(size=(120, 8)).astype(np.float32)
    embedding = library_cost([rows], 10.0, quick=True)
    assert embedding.seconds > 0 and "openTSNE" in embedding.words
