"""The flight from layer to layer: key frames hold the layers' exact points, in SVG and in GIF."""

from __future__ import annotations

import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from embcx_tui.cli import cli
from embcx_tui.figures.alignment import align, standard
from embcx_tui.figures.flight import HEAD, MARGIN, SIZE, Flight, key_times, network_flight, render_flight
from embcx_tui.figures.palette import class_colour
from tests import small_study

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Flight:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBCX_HOME", str(tmp_path_factory.mktemp("home")))
        study = small_study.write(small_study.settings(depths=[3], activations=["tanh"], runs=1))
        network = study.snapshot.plan.networks[0]
        return network_flight(study.snapshot, network, study.load)


def pixels(flight: Flight) -> list[NDArray[np.float64]]:
    """Return where the points of each layer are in the square, from the layers' own points."""
    planes = [standard(flight.frames[0].points)]
    for frame in flight.frames[1:]:
        planes.append(align(frame.points, planes[-1]))
    every = np.concatenate(planes).astype(np.float64)
    middle, reach = (every.max(axis=0) + every.min(axis=0)) / 2, np.ptp(every, axis=0).max()
    return [(plane - middle) * [1, -1] * (SIZE - 2 * MARGIN) / reach + SIZE / 2 for plane in planes]


def numbers(way: str) -> NDArray[np.float64]:
    return np.array([[float(part) for part in dot.strip().removesuffix("h0").split()] for dot in way.split("M")[1:]])


def test_each_key_frame_of_the_svg_holds_its_layers_points(flight: Flight) -> None:
    root = ElementTree.fromstring(render_flight(flight, "svg"))
    paths = root.findall(f".//{SVG}path")
    labels = flight.frames[0].labels
    assert len(flight.frames) == 4 and len(paths) == len(set(labels.tolist())) == 10
    wanted = pixels(flight)
    for label, path in enumerate(paths):
        (animation,) = path
        assert path.get("stroke") == "#{:02x}{:02x}{:02x}".format(*class_colour(label))
        assert animation.tag == f"{SVG}animate" and animation.get("attributeName") == "d"
        frames = [numbers(way) for way in str(animation.get("values")).split(";")]
        times = [float(time) for time in str(animation.get("keyTimes")).split(";")]
        assert times == pytest.approx(key_times(4)) and times[-1] == 1.0
        # It ends where it began.
        for frame, plane in zip(frames, [*wanted, wanted[0]], strict=True):
            assert np.abs(frame - plane[labels == label]).max() <= 0.006
        assert np.array_equal(numbers(str(path.get("d"))), frames[0])


def test_one_caption_is_seen_at_a_time_that_of_the_layer_at_its_key_frame(flight: Flight) -> None:
    root = ElementTree.fromstring(render_flight(flight, "svg"))
    captions = [text for text in root.findall(f"{SVG}text") if len(text)]
    for time in np.linspace(0, 0.999, 97):
        seen = [text for text in captions if _opacity(text, time) == 1.0]
        layer = round(time * 4) % 4
        if abs(time * 4 % 1 - 0.5) > 0.01:
            assert [text.text for text in seen] == [flight.frames[layer].title]


def _opacity(text: ElementTree.Element, time: float) -> float:
    times, values = (str(text[0].get(name)).split(";") for name in ("keyTimes", "values"))
    before = [value for at, value in zip(times, values, strict=True) if float(at) <= time]
    return float(before[-1]) if before else float(str(text.get("opacity")))


def test_it_runs_nothing_and_loads_nothing(flight: Flight) -> None:
    hostile = replace(flight, title='<script>alert(1)</script>" onload="x', frames=tuple(
        replace(frame, classes=("<script>", *frame.classes[1:])) for frame in flight.frames
    ))  # fmt: skip
    root = ElementTree.fromstring(render_flight(hostile, "svg"))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg", "rect", "text", "g", "path", "animate", "circle",
    }  # fmt: skip
    names = {name for element in root.iter() for name in element.attrib}
    assert not any("href" in name or name.startswith("on") for name in names)
    assert hostile.title in {text.text for text in root.iter(f"{SVG}text")}


def test_the_key_frames_of_the_gif_have_each_point_where_its_layer_has_it(flight: Flight) -> None:
    with Image.open(io.BytesIO(render_flight(flight, "gif"))) as image:
        scale = image.width / SIZE
        rests = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            if image.info["duration"] > 500:
                rests.append(np.array(image.convert("RGB"), dtype=int))
    assert len(rests) == 4 and image.info.get("loop") == 0
    labels = flight.frames[0].labels
    for pixels_seen, plane in zip(rests, pixels(flight), strict=True):
        right = 0
        for (x, y), label in zip(plane + np.array([0, HEAD]), labels, strict=True):
            seen = pixels_seen[int(y * scale), int(x * scale)]
            right += int(np.abs(seen - class_colour(int(label))).max() <= 8)
        # A point may lie under a later one of another class.
        assert right >= 0.9 * len(labels)


def test_points_that_are_not_finite_do_not_fly(flight: Flight) -> None:
    points = flight.frames[1].points.copy()
    points[3] = np.nan
    broken = replace(flight, frames=(flight.frames[0], replace(flight.frames[1], points=points)))
    assert 3 not in broken.rows and len(broken.rows) == len(points) - 1
    root = ElementTree.fromstring(render_flight(broken, "svg"))
    assert sum(len(numbers(str(path.get("d")))) for path in root.iter(f"{SVG}path")) == len(points) - 1


@pytest.mark.parametrize("format", ["svg", "gif"])
def test_a_flight_without_layers_says_so(format: str) -> None:
    nothing = Flight("nothing", ())
    assert render_flight(nothing, "svg" if format == "svg" else "gif")[:4] in (b"<svg", b"GIF8")


def test_the_command_writes_it_and_refuses_what_does_not_move(tmp_path: object) -> None:
    small_study.write(small_study.settings(depths=[1], activations=["relu"], runs=1))

    def call(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["export", "last", "--out", str(tmp_path), *arguments])
        return done.exit_code, done.output

    assert call("--figure", "flight")[1].strip().endswith("flight-mnist-1-relu-run0.gif")
    code, said = call("--figure", "flight-mnist-1-relu-run0-untrained", "--format", "svg")
    assert code == 0 and said.strip().endswith("flight-mnist-1-relu-run0-untrained.svg")
    assert "flight-mnist-1-relu-run0" in call("--list")[1].split()
    for arguments, words in (
        (("--figure", "flight", "--format", "pdf"), "a flight moves: --format svg or gif, not pdf"),
        (("--figure", "fig2", "--format", "gif"), "only a flight is a GIF"),
    ):
        done = CliRunner().invoke(cli, ["export", "last", "--out", str(tmp_path), *arguments])
        assert done.exception is not None and words in str(done.exception) + done.output
