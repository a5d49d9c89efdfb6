"""Figures drawn in terminal cells, and what is under a cell of such a drawing. plotext paints, behind one adapter."""

from __future__ import annotations

from embcx_tui.figures.cells.curves_and_dots import dot_cells
from embcx_tui.figures.cells.hit_testing import (
    bar_at,
    data_at,
    heat_row,
    locate,
    nearest_cell,
    next_in_direction,
    part_at,
)
from embcx_tui.figures.cells.layer_lines import line_at
from embcx_tui.figures.cells.panels import Part, draw, draw_text, parts
from embcx_tui.figures.cells.value_words import value_words, words_of
from embcx_tui.figures.cells.values import Value, next_value, values_of

__all__ = [
    "Part",
    "Value",
    "bar_at",
    "data_at",
    "dot_cells",
    "draw",
    "draw_text",
    "heat_row",
    "line_at",
    "locate",
    "nearest_cell",
    "next_in_direction",
    "next_value",
    "part_at",
    "parts",
    "value_words",
    "values_of",
    "words_of",
]
