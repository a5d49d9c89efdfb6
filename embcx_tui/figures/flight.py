"""The flight of a network's points from layer to layer and back, as an animated SVG or GIF.

Each layer is a key frame, in which every point is exactly where the layer has it. Between key frames points move
straight; they rest at the layers, since the way begins and ends slowly.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.alignment import align, standard
from embcx_tui.figures.builders import Load, embedding
from embcx_tui.figures.model import Panels, Scatter
from embcx_tui.figures.palette import Rgb, blend, class_colour, class_names
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import hidden_layers, title_of
from embcx_tui.study.plan import Network
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:  # it comes with matplotlib, and like that it is imported only where a figure is drawn
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

FlightFormat = Literal["svg", "gif"]
FLIGHT_FORMATS: tuple[FlightFormat, ...] = ("svg", "gif")
SIZE = 600
"""The side in pixels of the square that holds the points."""
MARGIN = 16
"""Pixels between its edges and the outermost points."""
HEAD = 56
"""Rows of pixels above it, for the title and the layer's name."""
_FOOT, _RADIUS = 36, 2.6
# Seconds from layer to layer, most of which the points rest: the curve is an ease that is flat at both ends.
_LEG_S = 1.8
_EASE = ".85 0 .15 1"
# Of a GIF: it is this much smaller, drawn at twice that size, and has so many frames between layers and rests so long.
_GIF_SCALE, _OVER, _STEPS, _STEP_MS, _REST_MS = 0.7, 2, 12, 50, 900
_PAPER, _INK, _GREY = (255, 255, 255), (38, 38, 38), (108, 108, 108)


@dataclass(frozen=True)
class Flight:
    """The layers of one network, aligned each to the one before: the same points in every frame."""

    title: str
    frames: tuple[Scatter, ...]

    @property
    def panels(self) -> Panels:
        """All layers side by side, as they do not move."""
        return Panels(self.title, self.frames, 3)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The points that are finite in every frame: those that fly."""
        finite = [np.isfinite(frame.points).all(axis=1) for frame in self.frames]
        return np.flatnonzero(np.logical_and.reduce(finite)) if finite else np.empty(0, dtype=np.int64)

    def positions(self) -> list[NDArray[np.float64]]:
        """Return where the points of `rows` are in each frame [n, 2], in pixels of the square, y downwards."""
        planes = [frame.points[self.rows].astype(np.float64) for frame in self.frames]
        every = np.concatenate([*planes, np.zeros((1, 2))]) if not len(self.rows) else np.concatenate(planes)
        low, high = every.min(axis=0), every.max(axis=0)
        scale = (SIZE - 2 * MARGIN) / (float((high - low).max()) or 1.0)
        return [((plane - (low + high) / 2) * [scale, -scale]) + SIZE / 2 for plane in planes]


def network_flight(snapshot: Snapshot, network: Network, load: Load) -> Flight:
    """Return the flight through the layers of a network that are measured and can be read."""
    frames: list[Scatter] = []
    for layer in network.layers:
        one = embedding(snapshot, network, layer, load)
        if len(one.points) and (not frames or one.points.shape == frames[0].points.shape):
            points = align(one.points, frames[-1].points) if frames else standard(one.points)
            frames.append(replace(one, points=points))
    who = (hidden_layers(network.depth), network.activation, f"run {network.run}", network.control)
    return Flight(title_of(network.dataset, *who), tuple(frames))


def render_flight(flight: Flight, format: FlightFormat) -> bytes:
    """Return `flight` as the bytes of an animated image; one without frames says so."""
    return _svg(flight).encode() if format == "svg" else _gif(flight)


def key_times(count: int) -> list[float]:
    """Return when each of `count` layers is reached, as shares of the flight, which ends where it began, at 1."""
    return [layer / count for layer in range(count + 1)]


def _svg(flight: Flight) -> str:
    """Return the flight in SMIL: a path per class, a dot per point, whose places are the values of one animation."""
    frames, positions = flight.frames, flight.positions()
    width, height = SIZE, HEAD + SIZE + _FOOT
    timing = f'dur="{_LEG_S * max(len(frames), 1):g}s" repeatCount="indefinite"'
    times = ";".join(f"{time:.5g}" for time in key_times(max(len(frames), 1)))
    eases = ";".join([_EASE] * max(len(frames), 1))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="DejaVu Sans, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{MARGIN}" y="24" font-size="16" font-weight="bold" fill="{_hex(_INK)}">{_text(flight.title)}</text>',
        *_captions(flight, timing),
        f'<g transform="translate(0 {HEAD})" fill="none" stroke-linecap="round" stroke-width="{2 * _RADIUS}">',
    ]
    for label, rows in _by_class(flight):
        ways = [" ".join(f"M{x:.2f} {y:.2f}h0" for x, y in plane[rows].tolist()) for plane in positions]
        parts.append(
            f'<path stroke="{_hex(_colour(label, frames))}" d="{ways[0]}"><animate attributeName="d" {timing} '
            f'calcMode="spline" keyTimes="{times}" keySplines="{eases}" values="{";".join([*ways, ways[0]])}"/></path>'
        )
    return "\n".join([*parts, "</g>", *_legend(flight), "</svg>", ""])


def _captions(flight: Flight, timing: str) -> list[str]:
    """Return the name of each layer, seen from half the way to it to half the way from it."""
    count = len(flight.frames)
    style = f'x="{MARGIN}" y="46" font-size="14" fill="{_hex(_GREY)}"'
    if not count:
        return [f"<text {style}>nothing measured yet</text>"]
    texts = []
    for layer, frame in enumerate(flight.frames):
        # The first is seen at both ends of the flight.
        switches = [(0.0, layer == 0), ((layer - 0.5) / count, True), ((layer + 0.5) / count, False)]
        switches += [((count - 0.5) / count, True)] if layer == 0 else []
        switches = [switch for switch in switches if switch[0] >= 0]
        times, values = (";".join(f"{part:.5g}" for part in column) for column in zip(*switches, strict=True))
        texts.append(
            f'<text {style} opacity="{int(layer == 0)}">{_text(frame.title)}<animate attributeName="opacity" {timing} '
            f'calcMode="discrete" keyTimes="{times}" values="{values}"/></text>'
        )
    return texts


def _legend(flight: Flight) -> list[str]:
    names = class_names(flight.frames[0].classes) if flight.frames else ()
    step, y = (SIZE - 2 * MARGIN) / max(len(names), 1), HEAD + SIZE + 22
    longest = max(int((step - 16) / 7), 1)
    return [
        f'<circle cx="{MARGIN + 4 + step * place:.1f}" cy="{y - 4}" r="4" fill="{_hex(class_colour(place))}"/>'
        f'<text x="{MARGIN + 12 + step * place:.1f}" y="{y}" font-size="12" fill="{_hex(_INK)}">'
        f"{_text(name[:longest])}</text>"
        for place, name in enumerate(names)
    ]


def _by_class(flight: Flight) -> list[tuple[int, NDArray[np.int64]]]:
    """Return each class with its points, as places among `flight.rows`."""
    labels = np.asarray(flight.frames[0].labels)[flight.rows] if flight.frames else np.empty(0, dtype=np.int64)
    return [(int(label), np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _colour(label: int, frames: Sequence[Scatter]) -> Rgb:
    return class_colour(label) if 0 <= label < len(frames[0].classes) else _GREY


def _hex(rgb: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _text(text: str) -> str:
    return escape(safe_text(text))


def _gif(flight: Flight) -> bytes:
    from PIL import Image as images_of
    from PIL import ImageDraw

    scale = _GIF_SCALE * _OVER
    size = round(SIZE * scale), round((HEAD + SIZE + _FOOT) * scale)
    palette = _palette(flight)
    fonts = {points: _font(points * scale) for points in (12, 14, 16)}
    names = class_names(flight.frames[0].classes) if flight.frames else ()

    def draw(plane: NDArray[np.float64], caption: str) -> Image:
        image = images_of.new("RGB", size, _PAPER)
        pen = ImageDraw.Draw(image)
        pen.text((MARGIN * scale, 10 * scale), flight.title, _INK, fonts[16])
        pen.text((MARGIN * scale, 32 * scale), caption, _GREY, fonts[14])
        for label, rows in _by_class(flight):
            colour = _colour(label, flight.frames)
            for x, y in (plane[rows] + [0, HEAD]).tolist():
                box = [(x - _RADIUS) * scale, (y - _RADIUS) * scale, (x + _RADIUS) * scale, (y + _RADIUS) * scale]
                pen.ellipse(box, colour)
        step = (SIZE - 2 * MARGIN) / max(len(names), 1)
        for place, name in enumerate(names):
            x, y = (MARGIN + step * place) * scale, (HEAD + SIZE + 12) * scale
            pen.ellipse([x, y + 3 * scale, x + 8 * scale, y + 11 * scale], class_colour(place))
            pen.text((x + 12 * scale, y), name[: max(int((step - 16) / 7), 1)], _INK, fonts[12])
        small = image.resize((size[0] // _OVER, size[1] // _OVER), images_of.Resampling.BOX)
        return small.quantize(palette=palette, dither=images_of.Dither.NONE)

    images, times = [], []
    stops = [*zip(flight.positions(), flight.frames, strict=True)]
    for (here, frame), (there, following) in zip(stops, [*stops[1:], *stops[:1]], strict=True):
        for step in range(_STEPS):
            share = step / _STEPS
            way = here + (there - here) * (share * share * (3 - 2 * share))
            images.append(draw(way, (frame if share < 0.5 else following).title))
            times.append(_STEP_MS if step else _REST_MS)
    if not images:
        images, times = [draw(np.empty((0, 2)), "nothing measured yet")], [_REST_MS]
    out = io.BytesIO()
    images[0].save(out, "GIF", save_all=True, append_images=images[1:], duration=times, loop=0, disposal=1)
    return out.getvalue()


def _font(size: float) -> FreeTypeFont:
    """Return matplotlib's own font, which stands in all figures."""
    from PIL import ImageFont

    found = find_spec("matplotlib")
    assert found and found.origin
    return ImageFont.truetype(Path(found.origin).with_name("mpl-data") / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _palette(flight: Flight) -> Image:
    """Return the colours of a GIF: paper, ink, grey, those of the classes, and their blends with the paper."""
    from PIL import Image as images_of

    labels = [label for label, _ in _by_class(flight)]
    solid = [_INK, _GREY, *dict.fromkeys(_colour(label, flight.frames) for label in labels)]
    colours = [_PAPER, *(blend(_PAPER, one, share / 4) for one in solid for share in (1, 2, 3, 4))][:256]
    image = images_of.new("P", (1, 1))
    image.putpalette([channel for colour in colours for channel in colour])
    return image
