"""A figure as text and back: the very values on the screen go to the process that draws them as an image.

JSON and plain numbers, nothing that could be run: `{"is": "Bar", "label": …}` for a value, `{"array": "float32",
"shape": [n, 2], "data": base64}` for an array.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from embcx_tui.figures.values import (
    Bar,
    BarGroup,
    Bars,
    Curve,
    Curves,
    DotGroup,
    Dots,
    Figure,
    Heat,
    Panels,
    Scatter,
)
from embcx_tui.study.errors import RequestError

_KINDS = {kind.__name__: kind for kind in (Bar, BarGroup, Bars, Curve, Curves, DotGroup, Dots, Heat, Panels, Scatter)}
# What figures hold; nothing else is read, least of all objects.
_ARRAYS = ("float32", "float64", "int64", "bool")


def figure_text(figure: Figure) -> str:
    """Return `figure` as one line of JSON (NaN as Python writes it)."""
    return json.dumps(_plain(figure))


def figure_of(text: str) -> Figure:
    """Return the figure that `figure_text` wrote; RequestError where the text is none."""
    try:
        figure = _value(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        figure = None
    if not isinstance(figure, (Bars, Curves, Dots, Heat, Panels, Scatter)):
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
