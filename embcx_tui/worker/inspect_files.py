"""What files of activations hold, before a study is made of them: asked for by `worker.launch.ask`, in a process that
may crash without harm.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from embcx_tui.compute.activation_files import ActivationFile, ArrayInfo, open_activations
from embcx_tui.compute.activation_files.base import sizes
from embcx_tui.compute.activation_files.labels import (
    Labels,
    class_names,
    input_array,
    label_array,
    labels_of,
    only_label_array,
)
from embcx_tui.compute.activation_files.pooling import effective_pool
from embcx_tui.study.errors import DataError
from embcx_tui.study.measured import MAX_LAYERS, shown_name
from embcx_tui.study.pooling import Pool
from embcx_tui.study.text import safe_text

_NEAREST = 3


def look(request: str, opening: Callable[[str], object] = lambda where: None) -> dict[str, Any]:
    """Return what would be measured of the files of a request, JSON with `files`, `labels`, `labels_array`, `classes`,
    `layers` (patterns) and `pool`; raises DataError with one line where they cannot be measured. `opening` is told of
    each file before it is opened.
    """
    asked = json.loads(request)
    names = class_names(Path(asked["classes"])) if asked["classes"] else None
    labels: Labels | None = None
    where = ""
    if asked["labels"]:
        opening(safe_text(asked["labels"], 200))
        with open_activations(Path(asked["labels"])) as file:
            where = file.where
            array = label_array(file, asked["labels_array"]) or only_label_array(file)
            labels = labels_of(file.values(array), where, names)
    files = []
    for path in asked["files"]:
        opening(safe_text(path, 200))
        with open_activations(Path(path)) as file:
            files.append(_look_into(file, asked, labels, where, names))
    return {"files": files, "classes": files[0]["classes"] if files else []}


def _look_into(
    file: ActivationFile, asked: dict[str, Any], labels: Labels | None, where: str, names: tuple[str, ...] | None
) -> dict[str, Any]:
    own = ""
    if labels is None and (own := label_array(file, asked["labels_array"])):
        labels = labels_of(file.values(own), f"{file.where}: {safe_text(own, 40)}", names)
        where = f"{file.where}: {safe_text(own, 40)}"
    floating = [array for array in file.arrays if array.is_floating and len(array.shape) >= 2 and array.name != own]
    rows = len(labels.numbers) if labels else _common_rows(floating, file)
    if floating and not any(array.rows == rows for array in floating):
        first = floating[0]
        raise DataError(
            f"{where}: {rows:,} labels, but {first.rows:,} rows in {safe_text(first.name, 60)} of {file.where}; "
            "one label per row is needed"
        )
    given = input_array(file.arrays, rows)
    others = [(array, _reason(array, rows)) for array in file.arrays if array.name not in (own, given)]
    chosen = _chosen([array for array, reason in others if not reason], asked["layers"], file.where)
    for array in chosen:
        _check(array, asked["pool"], file.where)
    return {
        "path": file.where,
        "rows": rows,
        "layers": [_described(array) for array in chosen],
        "input": given,
        "labels": own,
        "classes": list(labels.classes) if labels and labels.are_given else [],
        "skipped": [{"name": safe_text(array.name, 200), "reason": reason} for array, reason in others if reason],
    }


def _common_rows(floating: Sequence[ArrayInfo], file: ActivationFile) -> int:
    """Return the number of rows that most arrays have; raises DataError where there is none with rows."""
    counts = Counter(array.rows for array in floating if array.rows and array.units)
    if not counts:
        held = safe_text(
            "; ".join(f"{array.name} {sizes(array.shape)} {array.dtype}" for array in file.arrays[:6]), 160
        )
        raise DataError(
            f"{file.where}: no array of floating-point numbers [rows, units, …] (it holds {held or 'none'})"
        )
    return counts.most_common(1)[0][0]


def _reason(array: ArrayInfo, rows: int) -> str:
    """Return why an array is no layer; empty where it is one."""
    if not array.is_floating:
        return f"{array.dtype}, not floating-point"
    if len(array.shape) < 2:
        return f"shape {sizes(array.shape)}: a layer has rows and units"
    if array.rows != rows:
        return f"{array.rows:,} rows, not {rows:,}"
    return "" if array.units else "no units"


def _chosen(layers: list[ArrayInfo], patterns: list[str], where: str) -> list[ArrayInfo]:
    """Return the layers that match a pattern, in the order of the patterns; all where there is no pattern."""
    found: dict[str, ArrayInfo] = {}
    for pattern in patterns or ["*"]:
        matching = [array for array in layers if fnmatchcase(array.name, pattern)]
        if not matching:
            near = difflib.get_close_matches(pattern, [array.name for array in layers], _NEAREST, cutoff=0.3)
            names = near or [array.name for array in layers[:_NEAREST]]
            shown = safe_text(", ".join(name[:40] for name in names), 140)
            raise DataError(
                f"{where}: no layer matches {safe_text(pattern, 60)!r}" + (f" (there is {shown})" * bool(shown))
            )
        found.update({array.name: array for array in matching if array.name not in found})
    if len(found) > MAX_LAYERS:
        raise DataError(f"{where}: {len(found):,} layers are too many (at most {MAX_LAYERS}); choose with --layers")
    return list(found.values())


def _check(array: ArrayInfo, pool: Pool, where: str) -> None:
    try:
        shown_name(array.name, 200)
        effective_pool(array.shape, pool)
    except ValueError as error:
        raise DataError(f"{where}: layer {safe_text(array.name, 60)}: {error}") from None


def _described(array: ArrayInfo) -> dict[str, Any]:
    return {
        "name": array.name,
        "shape": list(array.shape),
        "dtype": array.dtype,
        "units": array.units,
        "bytes": array.nbytes,
    }
