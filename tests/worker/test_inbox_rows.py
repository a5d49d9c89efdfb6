"""The worker's side of a recorder's study, in this process: order, stops, damage, and a recorder that ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from embcx_tui.store.inbox import HandedArray, HandedLayers, HandedSample, Producer, SubmittedLayer
from embcx_tui.store.library import create_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.errors import DataError
from embcx_tui.study.events import LayerDescribed
from embcx_tui.study.measured import validate_study
from embcx_tui.study.plan import make_plan
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.run import compute_study

POINTS = 40
SETTINGS = validate_study(
    {
        "kind": "measured",
        "source": {"from": "recorder"},
        "models": [{"name": "net", "dataset": "data", "layers": ["a", "b"]}],
        "measure": {"perplexity": 5.0, "metrics": ["knn"], "methods": ["tsne", "pca"]},
    }
)
NETWORK = make_plan(SETTINGS).networks[0]


def rows(epoch: int, layer: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng([epoch, layer]).standard_normal((POINTS, 5)).astype(np.float32)


def hand_layers(producer: Producer, epoch: int | None, error: str = "") -> None:
    def describe(files: Mapping[str, HandedArray]) -> HandedLayers:
        return HandedLayers(
            network=NETWORK.id,
            epoch=epoch,
            described=tuple(LayerDescribed(name=name, units=5) for name in "ab"),
            layers=(
                SubmittedLayer(name="a", rows=files["a"]),
                SubmittedLayer(name="b", rows=None if error else files["b"], error=error),
            ),
        )

    producer.hand_over({"a": rows(epoch or 0, 1), "b": rows(epoch or 0, 2)}, describe)


@pytest.fixture
def paths() -> StudyPaths:
    return create_study(SETTINGS)


@pytest.fixture
def producer(paths: StudyPaths) -> Producer:
    found = Producer(paths)

    def describe(files: Mapping[str, HandedArray]) -> HandedSample:
        return HandedSample(dataset="data", run=0, total=90, classes=("x", "y"), words="the first ones", **files)  # type: ignore[arg-type]  # the files have these names

    found.hand_over({"index": np.arange(POINTS), "label": np.arange(POINTS) % 2}, describe)
    return found


def compute(paths: StudyPaths, stop: Callable[[], bool] = lambda: False) -> tuple[tuple[str, str], Snapshot]:
    outcome = compute_study(Journal(paths), stop)
    return outcome, read_study(paths)


def test_epochs_are_measured_in_their_order_and_the_newest_is_the_layers_own(
    paths: StudyPaths, producer: Producer
) -> None:
    for epoch in (2, 5):
        hand_layers(producer, epoch)
    producer.close()
    outcome, snapshot = compute(paths)
    assert outcome == ("complete", "")
    layers = NETWORK.layer_ids()[1:]
    assert sorted(snapshot.earlier) == sorted((layer, epoch) for layer in layers for epoch in (2, 5))
    for layer in layers:
        assert snapshot.measured[layer, "tsne"].kl == snapshot.earlier[layer, 5].kl != snapshot.earlier[layer, 2].kl
        assert (layer, "pca") in snapshot.measured
    assert snapshot.received[NETWORK.id].epoch == 5
    assert [line.text for line in snapshot.log if "first ones" in line.text] == ["the first ones"]
    assert not list(paths.inbox.glob("0*"))
    assert snapshot.damaged == 0


def test_a_stopped_worker_goes_on_where_it_was(paths: StudyPaths, producer: Producer) -> None:
    hand_layers(producer, 1)
    hand_layers(producer, 2)
    producer.close()
    asked = 0

    def soon() -> bool:
        nonlocal asked
        asked += 1
        return asked > 12

    outcome, snapshot = compute(paths, soon)
    assert outcome == ("stopped", "when asked") and len(list(paths.inbox.glob("0*"))) >= 1
    outcome, resumed = compute(paths)
    assert outcome == ("complete", "") and len(resumed.earlier) == 4
    for key, measured in snapshot.earlier.items():
        assert resumed.earlier[key] == measured  # not measured again


def test_a_layer_without_rows_fails_alone(paths: StudyPaths, producer: Producer) -> None:
    hand_layers(producer, None, "12 of 40 rows are not finite")
    producer.close()
    outcome, snapshot = compute(paths)
    first, second = NETWORK.layer_ids()[1:]
    assert outcome == ("complete", "") and snapshot.measured[first, "tsne"].kl is not None
    assert snapshot.failed[second, "tsne"].reason == "12 of 40 rows are not finite"


def test_a_damaged_handover_is_left_out_with_a_warning_and_a_damaged_array_is_its_layers(
    paths: StudyPaths, producer: Producer
) -> None:
    for epoch in (1, 2, 3):
        hand_layers(producer, epoch)
    producer.close()
    (paths.inbox / "000001" / "manifest.json").write_bytes(b"{")
    (paths.inbox / "000002" / "001.npy").write_bytes(b"")
    outcome, snapshot = compute(paths)
    assert outcome == ("complete", "")
    assert {epoch for _, epoch in snapshot.earlier} == {2, 3}
    assert "inbox/000001: cannot be read (it is no manifest); it is left out" in [line.text for line in snapshot.log]
    assert "damaged (not what its manifest announced)" in next(iter(snapshot.earlier_failed.values())).reason


def test_a_recorder_that_ended_leaves_a_stopped_study(
    paths: StudyPaths, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_layers(producer, 1)
    monkeypatch.setattr("embcx_tui.store.inbox.worker_process", lambda worker: None)
    outcome, snapshot = compute(paths)
    assert outcome == ("stopped", "the recorder ended") and len(snapshot.earlier) == 2


def test_without_a_sample_nothing_is_accepted(paths: StudyPaths, tmp_path: Path) -> None:
    Producer(paths)
    with pytest.raises(DataError, match="ended before it handed over a sample"):
        compute_study(Journal(paths), lambda: False)
