"""Studies of activations from files: the same numbers as those of the networks' own study, from every format."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from embcx_tui.compute.activation_files import open_activations
from embcx_tui.compute.activation_files.pooling import pooled
from embcx_tui.store.files import read_arrays
from embcx_tui.store.library import create_study
from embcx_tui.store.paths import studies_folder
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.errors import DataError
from embcx_tui.study.events import LayerMeasured
from embcx_tui.study.settings import validate
from embcx_tui.worker import file_rows
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.measure import TrainedRows
from embcx_tui.worker.pending import Task, is_whole
from embcx_tui.worker.row_source import LayerRows
from embcx_tui.worker.run import compute_study
from tests.activations import (
    CLASSES,
    POINTS,
    compute,
    kls,
    labels,
    layers_of,
    request_of,
    settings_for,
    write_chunks,
    write_hdf5,
    write_npy_folder,
    write_npz,
    write_parquet,
    write_safetensors,
)


def points_of(snapshot: Snapshot, layer: LayerMeasured) -> NDArray[np.float32]:
    """Return the points [n, 2] of a layer."""
    return read_arrays(studies_folder() / snapshot.id, layer.file)["points"]


@pytest.mark.parametrize("search", ["thorough", "plain"])
def test_the_layers_of_a_study_measured_from_a_file_have_its_own_scores(
    search: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit: all layers start from the same points, or from the principal plane."""
    settings = validate(
        {
            "data": {"datasets": ["digits"], "samples_per_class": 12},
            "networks": {"depths": [2], "width": 20, "activations": ["relu"], "runs": 1},
            "training": {"epochs": 1},
            "measure": {"perplexity": 20.0, "search": search, "controls": [], "metrics": ["knn"]},
        }
    )
    rows: dict[int, LayerRows] = {}
    whole = TrainedRows.rows

    def kept(self: TrainedRows, task: Task) -> LayerRows:
        rows[task.layer.layer] = whole(self, task)
        return rows[task.layer.layer]

    monkeypatch.setattr(TrainedRows, "rows", kept)
    own = compute(settings)
    (network,) = own.plan.networks
    arrays = {"input": rows[0].rows, "hidden one": rows[1].rows, "hidden two": rows[2].rows, "y": rows[0].labels}
    file = write_npz(tmp_path / "acts.npz", arrays)
    asked = ("measure.perplexity=20", f"measure.search={search}", "measure.metrics=knn")
    measured = compute(settings_for(request_of(file, assignments=asked)))
    (other,) = measured.plan.networks
    for layer in range(3):
        here, there = measured.layer(other, layer), own.layer(network, layer)
        assert here and there and there.kl is not None
        assert (here.kl, here.explained, here.iterations) == (there.kl, there.explained, there.iterations)
        assert here.metrics == there.metrics
        assert (points_of(measured, here) == points_of(own, there)).all()
    assert [measured.layer(other, layer).name for layer in (1, 2)] == ["hidden one", "hidden two"]  # type: ignore[union-attr]


def _with_labels(arrays: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    return {**arrays, "y": labels()}


WRITERS: dict[str, Callable[[Path, dict[str, NDArray[Any]]], Path]] = {
    "npz": lambda folder, arrays: write_npz(folder / "acts.npz", arrays),
    "npz in Fortran order": lambda folder, arrays: write_npz(
        folder / "acts.npz", {name: np.asfortranarray(array) for name, array in arrays.items()}
    ),
    "npy folder": lambda folder, arrays: write_npy_folder(folder / "acts", arrays),
    "npy folder in Fortran order": lambda folder, arrays: write_npy_folder(
        folder / "acts", {name: np.asfortranarray(array) for name, array in arrays.items()}
    ),
    "thingsvision's pieces": lambda folder, arrays: write_chunks(folder / "acts", arrays),
    "safetensors": lambda folder, arrays: write_safetensors(folder / "acts.safetensors", arrays),
    "hdf5": lambda folder, arrays: write_hdf5(folder / "acts.h5", arrays),
    "hdf5 in pieces": lambda folder, arrays: write_hdf5(folder / "acts.hdf5", arrays, chunks=True),
    "parquet": lambda folder, arrays: write_parquet(folder / "acts.parquet", arrays),
}


@pytest.fixture(scope="module")
def ten_layers() -> dict[str, NDArray[np.float32]]:
    """Layers whose names sort otherwise than their numbers: `l2` before `l10`."""
    return {name: array for name, array in layers_of(10).items() if name in ("l1", "l2", "l10")}


@pytest.fixture(scope="module")
def from_npz(ten_layers: dict[str, NDArray[np.float32]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The scores of `ten_layers` from an .npz."""
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBCX_HOME", str(folder / "home"))
        file = write_npz(folder / "acts.npz", _with_labels(ten_layers))
        return kls(compute(settings_for(request_of(file))))


@pytest.mark.parametrize("writer", WRITERS)
def test_one_score_and_one_order_from_every_format(
    writer: str, tmp_path: Path, ten_layers: dict[str, NDArray[np.float32]], from_npz: dict[str, Any]
) -> None:
    arrays = _with_labels(ten_layers)
    if "pieces" not in writer or "hdf5" in writer:
        arrays = dict(sorted(arrays.items()))  # l1, l10, l2: as a format without an order keeps them
    if writer in ("npz", "npz in Fortran order", "parquet"):
        arrays = _with_labels(ten_layers)  # which keep an order of their own
    found = kls(compute(settings_for(request_of(WRITERS[writer](tmp_path, arrays)))))
    assert list(found.items()) == list(from_npz.items())
    assert list(found) == ["l1", "l2", "l10"]


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".txt"])
def test_one_score_from_text(
    ending: str, tmp_path: Path, ten_layers: dict[str, NDArray[np.float32]], from_npz: dict[str, Any]
) -> None:
    """A layer per file, labels beside it; and with a head and its labels in a column, where there are commas."""
    between = {".tsv": "\t", ".csv": ",", ".txt": " "}[ending]
    lines = [between.join(repr(float(value)) for value in row) for row in ten_layers["l10"]]
    names = ["cat", "dog", "owl"]
    if ending == ".csv":
        lines = [f"{line},{names[label]}" for line, label in zip(lines, labels(), strict=True)]
        lines.insert(0, ",".join([*(f"unit {unit}" for unit in range(8)), "label"]))
    (tmp_path / f"l10{ending}").write_text("\n".join(lines) + "\n")
    (tmp_path / "names.tsv").write_text("\n".join(names[label] for label in labels()))
    own = ending == ".csv"
    request = request_of(tmp_path / f"l10{ending}", labels=None if own else tmp_path / "names.tsv")
    snapshot = compute(settings_for(request))
    assert kls(snapshot) == {"l10": from_npz["l10"]}
    assert snapshot.datasets["activations"].classes == ("cat", "dog", "owl")


def test_bfloat16_is_within_a_hundredth_and_metadata_give_the_order(
    tmp_path: Path, ten_layers: dict[str, NDArray[np.float32]], from_npz: dict[str, Any]
) -> None:
    order = ["l10", "l1", "l2"]
    file = write_safetensors(
        tmp_path / "acts.safetensors", _with_labels(ten_layers), brain=True, metadata={"layers": json.dumps(order)}
    )
    found = kls(compute(settings_for(request_of(file))))
    assert list(found) == order
    for name, kl in found.items():
        assert kl == pytest.approx(from_npz[name], rel=0.01)


def test_a_layer_that_is_not_finite_fails_alone(tmp_path: Path) -> None:
    arrays = layers_of(3)
    arrays["l2"][[5, 9]] = np.nan
    half = arrays["l3"].astype(np.float32)
    half[7] *= 1e6
    with np.errstate(over="ignore"):
        file = write_npz(tmp_path / "acts.npz", {**_with_labels(arrays), "l3": half.astype(np.float16)})
    snapshot = compute(settings_for(request_of(file)))
    (network,) = snapshot.plan.networks
    assert list(kls(snapshot)) == ["l1"] and snapshot.partly_failed
    reasons = [snapshot.failed[network.layer_ids()[layer], "tsne"].reason for layer in (2, 3)]
    assert reasons == ["2 of 60 rows are not finite", "1 of 60 rows are not finite (float16 ends at 65,504)"]
    assert snapshot.networks[network.id].status == "failed"


def test_labels_of_another_length_are_refused_with_both_numbers(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "acts.npz", layers_of(2))
    np.save(tmp_path / "y.npy", labels()[:-1])
    with pytest.raises(DataError, match=r"59 labels, but 60 rows in l1 of .*acts.npz; one label per row is needed"):
        settings_for(request_of(file, labels=tmp_path / "y.npy"))


def test_a_file_that_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "acts.npz", _with_labels(layers_of(2)))
    paths = create_study(settings_for(request_of(file)))
    stopped = iter([False])
    compute_study(Journal(paths), lambda: next(stopped, True))
    assert not is_whole(paths, read_study(paths))
    write_npz(file, _with_labels(layers_of(2, seed=1)))
    with pytest.raises(DataError, match="has changed since this study began; start a new one"):
        compute_study(Journal(paths), lambda: False)


def test_a_stopped_study_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "acts.npz", {**_with_labels(layers_of(3)), "X": labels()[:, None] + 0.5})
    settings = settings_for(request_of(file, tmp_path / "acts.npz"))
    whole = compute(settings)
    paths = create_study(settings)
    calls = iter(range(6))
    compute_study(Journal(paths), lambda: next(calls, None) is None)
    before = len(read_study(paths).measured)
    assert before < len(whole.measured)
    compute_study(Journal(paths), lambda: False)
    resumed = read_study(paths)
    assert {key: one.file for key, one in resumed.measured.items()} == {
        key: one.file for key, one in whole.measured.items()
    }
    assert {key: one.kl for key, one in resumed.measured.items()} == {
        key: one.kl for key, one in whole.measured.items()
    }


def test_a_wide_layer_is_reduced_and_says_so(tmp_path: Path) -> None:
    """Its distances stay, so its complexity does, but for a start that lies elsewhere within the same plane."""
    rng = np.random.default_rng(3)
    narrow = layers_of(1)["l1"]
    turned, _ = np.linalg.qr(rng.normal(0, 1, (5_000, narrow.shape[1])))
    file = write_npz(tmp_path / "acts.npz", {"narrow": narrow, "wide": (narrow @ turned.T).astype(np.float32)})
    np.save(tmp_path / "y.npy", labels())
    asked = ("measure.perplexity=10", "measure.metrics=knn,probe,gdv", "measure.search=plain")
    snapshot = compute(settings_for(request_of(file, labels=tmp_path / "y.npy", assignments=asked)))
    (network,) = snapshot.plan.networks
    one, other = (snapshot.layer(network, layer) for layer in (1, 2))
    assert one and other and one.kl and other.kl
    assert (one.units, one.width) == (8, 8)
    assert other.units <= POINTS and (other.width, other.pool) == (5_000, "flatten")
    assert other.kl == pytest.approx(one.kl, rel=0.02)
    assert other.metrics["knn"] == one.metrics["knn"]
    assert one.metrics["gdv"] is not None and other.metrics["gdv"] is None


def test_the_sample_is_balanced_keyed_and_the_same_for_all_networks_of_a_run(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "acts.npz", _with_labels(layers_of(2)))
    request = request_of(file, file, untrained=(file,), points=36)
    snapshot = compute(settings_for(request))
    samples = [read_arrays(studies_folder() / snapshot.id, one.file) for one in snapshot.samples.values()]
    assert len(samples) == 2 and len(snapshot.plan.networks) == 3
    for sample in samples:
        assert np.bincount(sample["label"]).tolist() == [12] * CLASSES
        assert (labels()[sample["index"]] == sample["label"]).all()
    assert set(samples[0]["index"]) != set(samples[1]["index"])  # a run has its own
    scores = {
        network.control: [snapshot.layer(network, layer).kl for layer in (1, 2)]  # type: ignore[union-attr]
        for network in snapshot.plan.networks
        if network.run == 0
    }
    assert scores["untrained"] == scores[None]  # the same rows, under another name
    assert all(one.points == 36 for one in snapshot.measured.values())


def test_rows_are_read_by_their_index(tmp_path: Path) -> None:
    """What is embedded are the sample's rows in the sample's order: their neighbours say so."""
    arrays = layers_of(1)
    file = write_npz(tmp_path / "acts.npz", _with_labels(arrays))
    snapshot = compute(settings_for(request_of(file, points=36)))
    root = studies_folder() / snapshot.id
    (sample,) = snapshot.samples.values()
    index = read_arrays(root, sample.file)["index"]
    rows = arrays["l1"][index].astype(np.float64)
    distances = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    (measured,) = snapshot.measured.values()
    assert (read_arrays(root, measured.file)["neighbours"][:, 0] == distances.argmin(axis=1)).all()


def test_rows_without_labels_are_measured_and_have_no_numbers_of_classes(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "acts.npz", layers_of(1))
    asked = ("measure.perplexity=10", "measure.metrics=knn,probe,separation,twonn")
    snapshot = compute(settings_for(request_of(file, assignments=asked)))
    (measured,) = snapshot.measured.values()
    assert measured.kl is not None and measured.metrics["twonn"] is not None
    assert [measured.metrics[name] for name in ("knn", "probe", "separation")] == [None] * 3
    assert snapshot.datasets["activations"].classes == ("all",)


def test_too_few_points_are_refused_with_what_fits(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "acts.npz", _with_labels(layers_of(1)))
    paths = create_study(settings_for(request_of(file, assignments=())))
    with pytest.raises(DataError, match=r"perplexity 30 .* there are 60; --set measure.perplexity=19 fits"):
        compute_study(Journal(paths), lambda: False)


def test_a_study_file_names_and_describes_everything(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).normal(0, 1, (POINTS, 4, 5, 5)).astype(np.float32)
    tokens = maps.reshape(POINTS, 10, 10)
    file = write_npz(tmp_path / "acts.npz", {"maps": maps, "tokens": tokens, "flat": maps[:, 0, 0], "y": labels()})
    snapshot = compute(settings_for(request_of(file, pool="mean", name="net")))
    (described,) = snapshot.described.values()
    assert [(one.name, one.shape, one.units, one.pool) for one in described.layers] == [
        ("maps", (4, 5, 5), 100, "mean"),
        ("tokens", (10, 10), 100, "mean"),
        ("flat", (5,), 5, "flatten"),
    ]
    found = sorted((one.layer, one.name, one.pool, one.width, one.units) for one in snapshot.measured.values())
    assert found == [(1, "maps", "mean", 4, 4), (2, "tokens", "mean", 10, 10), (3, "flat", "flatten", 5, 5)]


@pytest.mark.parametrize("writer", ["npz", "npy folder", "safetensors", "hdf5 in pieces"])
def test_only_the_rows_of_the_sample_are_in_memory(writer: str, tmp_path: Path) -> None:
    """20 MB of rows, of which 400 kB are asked for; numpy tells `tracemalloc` of its arrays."""
    layer = np.random.default_rng(0).random((5_000, 1_000), np.float32)
    path = WRITERS[writer](tmp_path, {"layer": layer})
    index = np.arange(0, 5_000, 50, dtype=np.int64)
    tracemalloc.start()
    try:
        with open_activations(path) as file:
            found = np.concatenate(list(file.pieces("layer", index)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found == layer[index]).all()
    assert peak < 10_000_000


def test_a_class_with_too_few_rows_is_refused_with_what_fits(tmp_path: Path) -> None:
    uneven = np.where(np.arange(POINTS) < 7, 0, labels() + 1)
    file = write_npz(tmp_path / "acts.npz", {**layers_of(1), "y": uneven})
    paths = create_study(settings_for(request_of(file, points=48)))
    words = r"the smallest class, 0, has 7 rows, and 12 of each of the 4 classes are needed; .* \(--per-class\) to 7 or"
    with pytest.raises(DataError, match=words):
        compute_study(Journal(paths), lambda: False)
    asked = ("measure.perplexity=5", "measure.metrics=knn")
    sample = compute(settings_for(request_of(file, per_class=7, assignments=asked))).samples
    assert [one.points for one in sample.values()] == [28]


def test_labels_beside_another_array_are_found_the_same_way_twice(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "acts.npz", layers_of(1))
    other = write_npz(tmp_path / "meta.npz", {"a": np.zeros((POINTS, 2), np.float32), "kind": labels()})
    snapshot = compute(settings_for(request_of(file, labels=other)))
    assert snapshot.datasets["activations"].classes == ("0", "1", "2")


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("pool", ["mean", "max", "first", "last", "flatten"])
def test_pooling_is_what_torch_pools(pool: Any, kind: str) -> None:
    import torch

    tokens = np.random.default_rng(0).normal(0, 3, (5, 7, 6)).astype(kind)
    given = torch.from_numpy(tokens).to(torch.float64)
    expected = {
        "mean": given.mean(dim=1),
        "max": given.amax(dim=1),
        "first": given[:, 0],
        "last": given[:, -1],
        "flatten": given.flatten(1),
    }[pool]
    assert pooled(tokens, pool) == pytest.approx(expected.numpy(), rel=1e-6)
    maps = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (5, 4, 3, 2)).astype(kind))
    if pool in ("mean", "max", "flatten"):
        wide = maps.to(torch.float64)
        taken = {"mean": wide.mean(dim=(2, 3)), "max": wide.amax(dim=(2, 3)), "flatten": wide.flatten(1)}[pool]
        assert pooled(maps.numpy(), pool) == pytest.approx(taken.numpy(), rel=1e-6)
    else:
        with pytest.raises(ValueError, match="takes a token"):
            pooled(maps.numpy(), pool)


def test_a_layer_too_large_for_memory_is_gathered_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers, and nothing of it is left."""
    file = write_npz(tmp_path / "acts.npz", _with_labels(layers_of(1, units=5_000)))
    settings = settings_for(request_of(file))
    inside = compute(settings)
    monkeypatch.setattr(file_rows, "_IN_MEMORY_BYTES", 1_000)
    outside = compute(settings)
    assert kls(outside) == kls(inside)
    assert {path.suffix for path in (studies_folder() / outside.id).iterdir()} <= {"", ".toml", ".jsonl"}


def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    file = write_npz(tmp_path / "acts.npz", _with_labels(layers_of(1)))
    monkeypatch.setattr(file_rows, "_IN_MEMORY_BYTES", 1_000)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        compute(settings_for(request_of(file)))
