"""Figures as JSON, for the process that draws them, and as CSV tables of their numbers."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from embcx_tui.analysis.json_csv import csv_text
from embcx_tui.figures.model import (
    Bar,
    BarGroup,
    Bars,
    Curve,
    Curves,
    DotGroup,
    Dots,
    Figure,
    Heat,
    Lines,
    Panels,
    Scatter,
    Single,
)
from embcx_tui.study.errors import RequestError

_KINDS = {
    kind.__name__: kind for kind in (Bar, BarGroup, Bars, Curve, Curves, DotGroup, Dots, Heat, Lines, Panels, Scatter)
}
# The only types of array in figures; others, such as objects, are refused.
_ARRAYS = ("float32", "float64", "int64", "bool")


def figure_text(figure: Figure) -> str:
    """Return `figure` as one line of JSON (NaN as Python writes it)."""
    return json.dumps(_plain(figure))


def figure_of(text: str) -> Figure:
    """Return the figure that `figure_text` wrote; RequestError where the text is not a figure."""
    try:
        figure = _value(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        figure = None
    if not isinstance(figure, (Bars, Curves, Dots, Heat, Lines, Panels, Scatter)):
        raise RequestError("there is no figure in what was given")
    return figure


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {"array": value.dtype.name, "shape": value.shape, "data": data}
    if is_dataclass(value):
        return {"is": type(value).__name__, **{one.name: _plain(getattr(value, one.name)) for one in fields(value)}}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(_value(one) for one in plain)
    if not isinstance(plain, dict):
        return plain
    if "array" in plain:
        if plain["array"] not in _ARRAYS:
            raise ValueError(plain["array"])
        data = base64.b64decode(plain["data"], validate=True)
        return np.frombuffer(data, dtype=plain["array"]).reshape(plain["shape"])
    named = {name: _value(one) for name, one in plain.items() if name != "is"}
    return _KINDS[plain["is"]](**named)


# The columns of each kind of figure.
_COLUMNS: dict[type[Single], tuple[str, ...]] = {
    Bars: ("group", "bar", "run", "value", "state", "mean", "sd"),
    Lines: ("line", "control", "layer", "run", "value", "state", "mean", "sd"),
    Scatter: ("point", "x", "y", "class", "missing"),
    Curves: ("line", "name", "x", "y"),
    Dots: ("group", "mark", "name", "x", "y"),
    Heat: ("row", "column", "value"),
}


def figure_csv(figure: Figure) -> str:
    """Return the numbers of a figure as CSV, one line per value; a missing value is empty.

    Where classes are left out or a part is enlarged, only visible points are listed; `point` is the row among all.

    Panels have their title in the first column; panels of several kinds have the columns of all kinds.
    """
    if not isinstance(figure, Panels):
        return csv_text(_COLUMNS[type(figure)], _rows(figure))
    heads = [_COLUMNS[type(one)] for one in figure.figures]
    head = tuple(dict.fromkeys(name for one in heads for name in one))
    rows: list[list[Any]] = []
    for one, names in zip(figure.figures, heads, strict=True):
        for row in _rows(one):
            known = dict(zip(names, row, strict=True))
            rows.append([one.title, *(known.get(name) for name in head)])
    return csv_text(("panel", *head), rows)


def _rows(figure: Single) -> Iterator[Sequence[Any]]:
    if isinstance(figure, (Bars, Lines)):
        for group in figure.groups:
            control = () if isinstance(figure, Bars) else (group.control,)
            for bar in group.bars:
                flagged = bar.flagged or (False,) * len(bar.values)
                for run, (value, flag) in enumerate(zip(bar.values, flagged, strict=False)):
                    known = _number(value)
                    state = "degenerate" if flag else "missing" if known is None else "measured"
                    yield group.label, *control, bar.label, run, known, state, bar.mean, bar.sd
    elif isinstance(figure, Scatter):
        whole = figure.shown is None and figure.view is None
        # Points that are not finite are listed too, unless only a part is shown.
        for place in range(len(figure.points)) if whole else np.flatnonzero(figure.seen):
            x, y = figure.points[place]
            label = int(figure.labels[place]) if place < len(figure.labels) else -1
            name = figure.classes[label] if 0 <= label < len(figure.classes) else ""
            yield int(place), _number(x), _number(y), name, None
        if not len(figure.points):
            yield None, None, None, None, figure.note
    elif isinstance(figure, Curves):
        for line in figure.lines:
            for x, y in zip(line.x, line.y, strict=False):
                yield line.label, line.name, _number(x), _number(y)
    elif isinstance(figure, Dots):
        for dots in figure.groups:
            names = dots.names or ("",) * len(dots.x)
            for name, x, y in zip(names, dots.x, dots.y, strict=False):
                yield dots.label, dots.mark, name, _number(x), _number(y)
    else:
        for row, name in enumerate(figure.rows):
            for column, head in enumerate(figure.columns):
                yield name, head, _number(figure.values[row, column])


def _number(value: Any) -> float | None:
    """Return a number as Python's own (float32 as the shortest text that gives it back); None where not finite."""
    if not math.isfinite(value):
        return None
    return float(str(value)) if type(value) is not float else value
