"""Files of activations for tests, in every format that is read, and studies of them, computed in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from embcx_tui.store.library import create_study
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.settings import StudySettings
from embcx_tui.worker.inspect_files import look
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.measure_request import MeasureRequest, ModelFiles, settings_of
from embcx_tui.worker.run import compute_study

Arrays = Mapping[str, NDArray[Any]]
POINTS = 60
CLASSES = 3


def layers_of(count: int, units: int = 8, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return layers `l1`, `l2`, … whose classes lie further apart one after the other."""
    rng = np.random.default_rng(seed)
    y = labels()
    centres = rng.normal(0, 1, (CLASSES, units))
    return {
        f"l{layer}": (rng.normal(0, 1, (POINTS, units)) + centres[y] * layer).astype(np.float32)
        for layer in range(1, count + 1)
    }


def labels() -> NDArray[np.int64]:
    return np.repeat(np.arange(CLASSES), POINTS // CLASSES)


def write_npz(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]  # its stub takes the names for its own flag
    return path


def write_npy_folder(path: Path, arrays: Arrays) -> Path:
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


def write_chunks(path: Path, arrays: Arrays, size: int = 25) -> Path:
    """Write what thingsvision writes: per module a folder of pieces, named by their rows."""
    for name, array in arrays.items():
        (path / name).mkdir(parents=True)
        for start in range(0, len(array), size):
            piece = array[start : start + size]
            np.save(path / name / f"features_{start}-{start + len(piece)}.npy", piece)
    return path


def write_safetensors(
    path: Path, arrays: Arrays, *, brain: bool = False, metadata: dict[str, str] | None = None
) -> Path:
    import torch
    from safetensors.torch import save_file

    kind = torch.bfloat16 if brain else torch.float32
    tensors = {
        name: torch.from_numpy(array).to(kind if array.dtype == np.float32 else torch.int64)
        for name, array in arrays.items()
    }
    save_file(tensors, path, metadata)
    return path


def write_hdf5(path: Path, arrays: Arrays, *, chunks: bool = False) -> Path:
    h5py = pytest.importorskip("h5py", reason="HDF5 needs the extra `files`")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            how = {"chunks": (7, *array.shape[1:]), "compression": "gzip"} if chunks else {}
            file.create_dataset(name, data=array, **how)
    return path


def write_parquet(path: Path, arrays: Arrays) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra `files`")
    parquet = pytest.importorskip("pyarrow.parquet")
    kinds = {name: pyarrow.list_(pyarrow.float32()) if array.ndim > 1 else None for name, array in arrays.items()}
    table = pyarrow.table({name: pyarrow.array(array.tolist(), kinds[name]) for name, array in arrays.items()})
    parquet.write_table(table, path, row_group_size=17)
    return path


def raw_safetensors(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    """Write a header of any kind, of another length than it has where told."""
    text = json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def request_of(*files: Path, **more: Any) -> MeasureRequest:
    """Return the request to measure `files` as runs of one model; a perplexity that fits 60 points."""
    more.setdefault("assignments", ("measure.perplexity=10", "measure.metrics=knn"))
    return MeasureRequest(models=(ModelFiles("", files, more.pop("untrained", ())),), **more)


def settings_for(request: MeasureRequest) -> StudySettings:
    """Return the settings of a request, its files looked into in this process."""
    asked = {
        "files": [str(file) for file in request.files],
        "labels": str(request.labels or ""),
        "labels_array": request.labels_array,
        "classes": str(request.classes or ""),
        "layers": list(request.layers),
        "pool": request.pool,
    }
    return settings_of(request, look(json.dumps(asked)))


def compute(settings: StudySettings, stop: Callable[[], bool] = lambda: False) -> Snapshot:
    """Compute a study in this process and return what its journal says."""
    paths = create_study(settings)
    journal = Journal(paths)
    compute_study(journal, stop)
    return read_study(paths)


def kls(snapshot: Snapshot) -> dict[str, float | None]:
    """Return the KL of each layer of the first network, by name, in the order of the layers; of the input too."""
    network = snapshot.plan.networks[0]
    found = ((network.layer_name(layer) or "input", snapshot.layer(network, layer)) for layer in network.layers)
    return {name: measured.kl for name, measured in found if measured}
