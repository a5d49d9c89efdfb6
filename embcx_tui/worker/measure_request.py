"""A study of activations from files: what was asked for, what the files hold, and the study file that follows.

For the command and the application alike: the files are looked into in a process of their own (`worker.inspect_files`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embcx_tui.store.paths import typed_path
from embcx_tui.study.errors import RequestError
from embcx_tui.study.measured import MEASURED, MeasuredSettings, validate_study
from embcx_tui.study.settings import StudySettings, apply_overrides
from embcx_tui.study.text import safe_text
from embcx_tui.worker import launch

DEFAULT_DATASET = "activations"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model: one per run, and of its untrained controls one per run too. `name` empty: the study's."""

    name: str
    runs: tuple[Path, ...]
    untrained: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """What a user asks for: the models with their files, where the labels are, and what else is not the default."""

    models: tuple[ModelFiles, ...]
    labels: Path | None = None
    labels_array: str = ""
    classes: Path | None = None
    layers: tuple[str, ...] = ()
    pool: str = "flatten"
    points: int | None = None
    per_class: int | None = None
    name: str = ""
    dataset: str = DEFAULT_DATASET
    assignments: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of activations, in the order of `settings`' models."""
        return tuple(file for model in self.models for file in (*model.runs, *model.untrained))


def split_labels(typed: str) -> tuple[Path, str]:
    """Return the file and the array that `FILE[:NAME]` means; raises RequestError where no such file is there."""
    path = typed_path(typed)
    if path.exists() or ":" not in typed:
        return path, ""
    before, _, name = typed.rpartition(":")
    return typed_path(before), name


def typed_paths(line: str) -> tuple[Path, ...]:
    """Return the paths that a line names: words between blanks or commas, in quotation marks where a path holds either.

    A line that is the path of something that exists is that path. Raises RequestError.
    """
    if line.strip() and typed_path(line.strip()).exists():
        return (typed_path(line.strip()),)
    words = shlex.shlex(line, posix=True)
    words.whitespace, words.whitespace_split, words.commenters = " \t,", True, ""
    try:
        return tuple(map(typed_path, words))
    except ValueError:
        raise RequestError("a quotation mark is not closed") from None


def look_into(request: MeasureRequest) -> dict[str, Any]:
    """Return what would be measured, file by file, as `worker.inspect_files.look` describes it; raises RequestError."""
    asked = {
        "files": [str(file) for file in request.files],
        "labels": str(request.labels or ""),
        "labels_array": request.labels_array,
        "classes": str(request.classes or ""),
        "layers": list(request.layers),
        "pool": request.pool,
    }
    opened: list[str] = []
    try:
        return launch.ask("activations", json.dumps(asked), on_line=lambda line: opened.append(line.get("file", "")))
    except launch.CrashedError as error:
        where = opened[-1] if opened else safe_text(request.files[0], 200)
        raise RequestError(f"{safe_text(where, 200)}: the reader crashed (signal {error.signal})") from None


# What a list of layers says of each.
LAYER_COLUMNS = ("", "layer", "shape", "type", "units", "bytes")


def layer_rows(one: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row of `LAYER_COLUMNS` per layer of a file that was looked into."""
    return [
        (
            str(number),
            safe_text(layer["name"], 200),
            " × ".join(f"{length:,}" for length in layer["shape"][1:]),
            layer["dtype"],
            f"{layer['units']:,}",
            f"{layer['bytes']:,}",
        )
        for number, layer in enumerate(one["layers"], 1)
    ]


def file_facts(request: MeasureRequest, one: dict[str, Any]) -> str:
    """Return what a file that was looked into holds beside its layers: `60 rows, 3 classes (y), input: none`."""
    labels = str(request.labels) if request.labels else one["labels"]
    classes = f"{len(one['classes'])} classes ({safe_text(labels)})" if one["classes"] else "no labels"
    return f"{one['rows']:,} rows, {classes}, input: {safe_text(one['input']) or 'none'}"


def settings_of(request: MeasureRequest, found: dict[str, Any]) -> StudySettings:
    """Return the settings of the study that `request` asks for, whose files hold `found`; raises RequestError."""
    looked = iter(found["files"])
    first = request.files[0]
    default = request.name or (first.name if first.is_dir() else first.stem)
    models: list[dict[str, Any]] = []
    for model in request.models:
        name = model.name or safe_text(default, 40)
        held = [
            (run, control, file, next(looked))
            for control, files in (("", model.runs), ("untrained", model.untrained))
            for run, file in enumerate(files)
        ]
        _check_same_layers(held)
        models += [
            {
                "name": name,
                "dataset": request.dataset,
                "run": run,
                "control": control,
                "file": str(file),
                "layers": [layer["name"] for layer in one["layers"]],
                "input": one["input"] if all(other["input"] for _, _, _, other in held) else "",
                "labels": one["labels"],
            }
            for run, control, file, one in held
        ]
    sample = {"points": request.points, "per_class": request.per_class, "pool": request.pool}
    values = {
        "kind": MEASURED,
        "name": request.name or models[0]["name"],
        "source": {
            "from": "files",
            "labels": str(request.labels or ""),
            "labels_array": request.labels_array if request.labels else "",
            "classes": str(request.classes or ""),
        },
        "models": models,
        "sample": {key: value for key, value in sample.items() if value is not None},
    }
    return validate_study(apply_overrides(values, request.assignments, MeasuredSettings))


def _check_same_layers(held: Sequence[tuple[int, str, Path, dict[str, Any]]]) -> None:
    """Raise RequestError where the files of one model have other layers than the first, with what differs."""
    _, _, file, first = held[0]
    names = [layer["name"] for layer in first["layers"]]
    for _, _, other, one in held[1:]:
        others = [layer["name"] for layer in one["layers"]]
        if others != names:
            differing = [name for name in (*names, *others) if (name in names) != (name in others)]
            which = f" ({safe_text(', '.join(differing), 100)})" if differing else " in another order"
            raise RequestError(
                f"{safe_text(other)}: other layers than {safe_text(file)}{which}; the runs of a model have the same "
                "layers: choose with --layers, or begin another model with --model"
            )
