"""Inputs as images in cells."""

from __future__ import annotations

import numpy as np
import pytest

from embcx_tui.figures.cells import Look
from embcx_tui.tui.layers.point_facts import image_of
from embcx_tui.tui.layers.point_panel import half_blocks


@pytest.mark.parametrize("room", [(28, 14), (24, 12), (60, 40), (5, 3), (1, 1)])
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (8, 8, 1), (3, 50, 1)])
def test_an_image_fits_its_room_with_square_pixels(room: tuple[int, int], shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).random(shape)
    rows = half_blocks(image, *room, Look())
    widths = {sum(len(span.text) for span in row) for row in rows}
    assert len(rows) <= room[1] and len(widths) == 1 and widths.pop() <= room[0]


def test_two_pixels_a_cell_keep_their_colours() -> None:
    image = np.zeros((2, 2, 3))
    image[0, 0], image[1, 0], image[0, 1] = (1, 0, 0), (0, 0, 1), (0, 1, 0)
    (row,) = half_blocks(image, 2, 1, Look())
    assert [(one.text, one.fg, one.bg) for one in row] == [
        ("▀", (255, 0, 0), (0, 0, 255)),
        ("▀", (0, 255, 0), (0, 0, 0)),
    ]


def test_a_smaller_picture_is_the_mean_of_what_it_covers() -> None:
    image = np.zeros((8, 8, 1))
    image[:, ::2] = 1
    rows = half_blocks(image, 4, 2, Look())
    assert {span.fg for row in rows for span in row} == {(128, 128, 128)}


def test_no_colour_means_shades() -> None:
    image = np.linspace(0, 1, 10).reshape(1, 10, 1).repeat(2, axis=0)
    (row,) = half_blocks(image, 10, 1, Look(colours=False))
    assert row[0].text == "  ░░▒▒▓▓██" and row[0].fg is None
    (plain,) = half_blocks(image, 10, 1, Look(colours=False, unicode=False))
    assert plain[0].text.isascii()


def test_bytes_and_other_numbers_become_brightness() -> None:
    grey = np.array([[0, 255, 51, 102], [1, 2, 3, 4]], dtype=np.uint8)
    found = image_of(grey, 0, (2, 2, 1))
    assert found is not None and np.allclose(found[:, :, 0], [[0.0, 1.0], [0.2, 0.4]])
    digits = np.array([[0, 8, 4, 2], [16, 2, 3, 4]], dtype=np.uint8)  # the brightest of all is 16
    found = image_of(digits, 0, (2, 2, 1))
    assert found is not None and np.allclose(found[:, :, 0], [[0.0, 0.5], [0.25, 0.125]])
    given = np.array([[0.0, 16.0, 4.0, np.nan]])
    found = image_of(given, 0, (2, 2, 1))
    assert found is not None and np.allclose(found[:, :, 0], [[0.0, 1.0], [0.25, 0.0]])
    assert image_of(given, 0, None) is None and image_of(given, 0, (3, 3, 1)) is None
