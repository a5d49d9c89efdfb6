"""Figures as files: valid, the same bytes each time, text that stays text."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex
from PIL import Image

from embcx_tui.figures.export import COLUMN_WIDTH_IN, render
from embcx_tui.figures.matplotlib_axes import hex_of
from embcx_tui.figures.model import Bar, BarGroup, Bars, Curve, Curves, DotGroup, Dots, Figure, Heat, Panels, Scatter
from embcx_tui.figures.palette import class_colour, colour
from tests.figures import hostile

FORMATS: tuple[Literal["png", "svg", "pdf"], ...] = ("png", "svg", "pdf")
NAN = float("nan")


def bars() -> Bars:
    group = tuple(Bar(name, (0.9, 1.0, NAN), (False, True, False)) for name in ("input", "1"))
    return Bars("mnist · relu", "complexity (KL, nats)", (BarGroup("relu", group, 3),), "layer", note="1 run missing")


def scatter() -> Scatter:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (200, 2)).astype(np.float32)
    return Scatter("layer 1", points, np.arange(200) % 10, tuple("0123456789"), chosen=4)


def curves() -> Curves:
    x = np.arange(1.0, 20.0)
    return Curves("loss", "epoch", "nats", (Curve("relu", x, 1 / x), Curve("one", x, np.where(x == 3, 1.0, np.nan), 1)))


def dots() -> Dots:
    x = np.linspace(0.2, 0.6, 5)
    groups = tuple(DotGroup(name, mark, x, 1 - x / mark, mark) for name, mark in (("tanh", 3), ("relu", 5)))
    return Dots("mnist", "complexity", "accuracy", groups, "hidden layers", "ρ = −0.50")


def heat() -> Heat:
    values = np.array([[1.0, 2.0, NAN], [3.0, 4.0, 5.0]])
    return Heat("relu", "epoch", "layer", ("0", "10", "100"), ("input", "1"), values, (1.0, 5.0))


FIGURES: dict[str, Figure] = {
    "bars": bars(),
    "scatter": scatter(),
    "curves": curves(),
    "dots": dots(),
    "heat": heat(),
    "panels": Panels("all", (scatter(), scatter(), bars()), 2, "note"),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", FIGURES)
def test_the_same_figure_gives_the_same_bytes(name: str, format: Literal["png", "svg", "pdf"]) -> None:
    data = render(FIGURES[name], format)
    assert data.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[format])
    assert render(FIGURES[name], format) == data


def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "import hashlib; from embcx_tui.figures.export import render;"
        "from tests.figures.test_image import FIGURES;"
        "files = [render(FIGURES[name], kind) for name in ('bars', 'scatter') for kind in ('svg', 'pdf')];"
        "print(*(hashlib.sha256(data).hexdigest() for data in files))"
    )
    command = [sys.executable, "-c", code]
    runs = {subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1


def test_png_has_the_size_asked_for() -> None:
    width, height = struct.unpack(">II", render(bars(), "png", dpi=300)[16:24])
    assert width == round(COLUMN_WIDTH_IN * 300) and 0.4 < height / width < 1.0
    assert struct.unpack(">I", render(bars(), "png", width_in=2.0, dpi=100)[16:20])[0] == 200


def test_svg_is_xml_with_text_as_text() -> None:
    root = ElementTree.fromstring(render(bars(), "svg"))
    words = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"mnist · relu", "complexity (KL, nats)", "input", "layer"} <= words
    assert any("1 run missing" in word and "degenerate" in word for word in words)
    assert b"<dc:date>" not in render(bars(), "svg")


def test_pdf_embeds_its_fonts_and_carries_no_date() -> None:
    data = render(bars(), "pdf")
    assert b"/FontFile2" in data and b"/Type3" not in data
    assert b"CreationDate" not in data and b"Matplotlib" not in data


def test_images_have_the_colours_of_the_terminal() -> None:
    image = Image.open(io.BytesIO(render(scatter(), "png", dpi=300))).convert("RGB")
    present = {rgb for _, rgb in image.getcolors(maxcolors=1 << 24) or []}
    assert {class_colour(place) for place in range(10)} <= present


def test_every_run_is_its_own_rectangle_with_the_mean_on_top() -> None:
    root = ElementTree.fromstring(render(bars(), "svg"))
    styles = [node.get("style") or "" for node in root.iter("{http://www.w3.org/2000/svg}path")]
    filled = [style for style in styles if f"fill: {hex_of(colour(3))}" in style and "opacity" in style]
    assert len(filled) == 4  # two bars of two measured runs each
    assert sum("stroke-width: 1.6" in style for style in styles) == 2


def test_dots_have_the_markers_of_their_legend_and_a_note() -> None:
    root = ElementTree.fromstring(render(dots(), "svg"))
    words = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"tanh", "relu", "3 layers", "5 layers", "complexity", "accuracy", "ρ = −0.50"} <= words
    assert b"/FontFile2" in render(dots(), "pdf")


def test_a_heat_map_has_each_value_and_leaves_what_is_missing_empty() -> None:
    root = ElementTree.fromstring(render(heat(), "svg"))
    words = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    # Counts have no decimals.
    assert {"1", "2", "3", "4", "5", "input", "100"} <= set(words)
    assert "nan" not in words and "0.00" not in words
    fractions = ElementTree.fromstring(render(replace(heat(), values=heat().values / 4), "svg"))
    words = ["".join(node.itertext()) for node in fractions.iter("{http://www.w3.org/2000/svg}text")]
    assert {"0.25", "0.50", "0.75", "1.00", "1.25"} <= set(words)
    styles = [node.get("style") or "" for node in root.iter()]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        assert any(f"fill: {to_hex(colormaps['cividis'](share))}" in style for style in styles)


def test_the_run_that_stands_out_has_a_dot_on_every_bar_it_is_in() -> None:
    def dots(highlight: int | None) -> int:
        svg = render(replace(bars(), highlight=highlight), "svg")
        return svg.count(b"fill: #ffffff; stroke: #262626; stroke-width: 0.7")

    assert (dots(None), dots(0), dots(2)) == (0, 2, 0)  # run 2 is not measured
    assert b"dot: run 0" in render(replace(bars(), highlight=0), "svg")


def test_curves_that_are_compared_have_one_scale_and_differ_without_colour() -> None:
    x = np.arange(3.0)
    panels = Panels(
        "controls",
        tuple(
            Curves(str(top), "layer", "KL", (Curve("trained", x, x * 0 + 0.2), Curve("untrained", x, x * top / 2, 1)),
                   zero=True, x_names=("input", "1", "2"))
            for top in (0.5, 1.0, 1.5)
        ),
        2,
    )  # fmt: skip
    root = ElementTree.fromstring(render(panels, "svg"))
    words = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    ticks = {word: words.count(word) for word in words if re.fullmatch(r"\d\.\d+", word) and word not in "0.5 1.0 1.5"}
    assert ticks and set(ticks.values()) == {3}
    styles = [node.get("style") or "" for node in root.iter("{http://www.w3.org/2000/svg}path")]
    lines = [style for style in styles if "stroke-width: 0.9" in style and "fill: none" in style]
    assert {("dasharray" in style, hex_of(colour(1)) in style) for style in lines} == {(False, False), (True, True)}


def test_long_titles_and_notes_stay_inside_the_picture() -> None:
    panels = Panels("a long title of several words " * 3, (dots(), heat()), 1, "a note of several words " * 20)
    image = Image.open(io.BytesIO(render(panels, "png", dpi=150))).convert("L")
    pixels = np.asarray(image)
    assert pixels[:, 0].min() > 200 and pixels[:, -1].min() > 200 and pixels[0].min() > 200 and pixels[-1].min() > 200


@pytest.mark.parametrize("seed", range(15))
def test_trouble_in_the_data_is_drawn_or_said(seed: int) -> None:
    figure = hostile.figure(seed)
    ElementTree.fromstring(render(figure, "svg"))
    assert render(figure, "png", dpi=50).startswith(b"\x89PNG")


def test_rendering_leaves_the_settings_of_matplotlib_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    render(bars(), "svg")
    assert dict(matplotlib.rcParams) == before


def test_images_need_no_pyplot() -> None:
    code = (
        "import sys; from embcx_tui.figures.export import render; from tests.figures.test_image import FIGURES;"
        "[render(figure, 'pdf') for figure in FIGURES.values()]; print('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
