"""Images in terminal cells: two pixels a cell in half blocks, a ramp of shades where there is no colour."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.cells import Look, Row, Span

_SHADES = " ░▒▓█"
_ASCII_SHADES = " .:*#"


def image_of(inputs: NDArray[Any], row: int, shape: tuple[int, int, int] | None) -> NDArray[np.float64] | None:
    """Return input `row` of `inputs` [n, d] as an image [rows, columns, channels] of 0 … 1; None where it is no image.

    Bytes are scaled by the largest of all inputs (255, but 16 for scikit-learn's digits), other numbers by their range:
    so one image's brightness is another's.
    """
    if shape is None or inputs.shape[1] != shape[0] * shape[1] * shape[2] or shape[2] not in (1, 3):
        return None
    image = inputs[row].astype(np.float64).reshape(shape)
    if inputs.dtype == np.uint8:
        return np.asarray(image / max(int(inputs.max()), 1))
    low, high = float(np.nanmin(inputs)), float(np.nanmax(inputs))
    return np.asarray(np.clip(np.nan_to_num((image - low) / ((high - low) or 1.0)), 0, 1))


def _cells(shape: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Return (columns, rows) of cells for an image of `shape` within `width` × `height` cells, its pixels square."""
    rows, columns = shape
    scale = min(width / columns, 2 * height / rows)
    if scale >= 1:
        scale = int(scale)  # whole pixels stay sharp
    return max(round(columns * scale), 1), max(-(-round(rows * scale) // 2), 1)


def half_blocks(image: NDArray[np.float64], width: int, height: int, look: Look) -> tuple[Row, ...]:
    """Return `image` [rows, columns, channels] of 0 … 1 as rows of cells, as large as fits `width` × `height`."""
    if width < 1 or height < 1:
        return ()
    rows, columns, channels = image.shape
    across, down = _cells((rows, columns), width, height)
    pixels = _resized(image, across, 2 * down)
    if not look.colours:
        shades = _SHADES if look.unicode else _ASCII_SHADES
        light = pixels.mean(axis=2).reshape(down, 2, across).mean(axis=1)
        levels = np.clip((light * len(shades)).astype(int), 0, len(shades) - 1)
        return tuple((Span("".join(shades[level] for level in line)),) for line in levels)
    colours = np.round(255 * (pixels if channels == 3 else pixels.repeat(3, axis=2))).astype(int)
    return tuple(_line(colours[2 * row], colours[2 * row + 1], look) for row in range(down))


def _line(upper: NDArray[np.int64], lower: NDArray[np.int64], look: Look) -> Row:
    glyph = "▀" if look.unicode else " "
    spans: list[Span] = []
    for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True):
        fg, bg = (top[0], top[1], top[2]), (bottom[0], bottom[1], bottom[2])
        if spans and (spans[-1].fg, spans[-1].bg) == (fg, bg):
            spans[-1] = Span(spans[-1].text + glyph, fg, bg)
        else:
            spans.append(Span(glyph, fg, bg))
    return tuple(spans)


def _resized(image: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """Return `image` at `width` × `height` pixels, each the mean over the area it covers."""
    # One axis after the other: both at once is 25 ms for a colour image.
    lower = np.tensordot(_weights(height, image.shape[0]), image, axes=(1, 0))  # [rows, old columns, channels]
    return np.tensordot(_weights(width, image.shape[1]), lower, axes=(1, 1)).transpose(1, 0, 2)


def _weights(new: int, old: int) -> NDArray[np.float64]:
    """Return how much of each old pixel [new, old] a new one covers, its row's sum 1."""
    edges = np.linspace(0, old, new + 1)
    places = np.arange(old)
    cover = np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places)
    cover = np.clip(cover, 0, None)
    return np.asarray(cover / cover.sum(axis=1, keepdims=True))
