"""The main figure: what it holds of a study, in cells, in CSV and in print."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from embcx_tui.analysis.summary import summarise
from embcx_tui.figures import gallery
from embcx_tui.figures.complexity_lines import dataset_lines, depth_lines
from embcx_tui.figures.export import render
from embcx_tui.figures.matplotlib_lines import draw_lines
from embcx_tui.figures.model import Bar, BarGroup, Lines, Panels
from embcx_tui.figures.serialization import figure_csv, figure_of, figure_text
from embcx_tui.store.snapshot import read_study
from tests import small_study
from tests.fake_measured import LAYERS
from tests.fake_studies import make_study, measured_study, settings_of


def test_a_line_goes_through_the_means_of_the_summary() -> None:
    snapshot = small_study.write().snapshot
    lines = depth_lines(snapshot, "mnist", 5)
    found = {
        (group.label, group.control or None, layer): (bar.mean, bar.sd)
        for group in lines.groups
        for layer, bar in enumerate(group.bars)
    }
    summary = {(s.architecture.activation, s.architecture.control, s.layer): s for s in summarise(snapshot)}
    assert found.keys() == summary.keys() and lines.kinds == ("", "untrained")
    for key, (mean, sd) in found.items():
        assert mean == pytest.approx(summary[key].kl_mean) and sd == pytest.approx(summary[key].kl_sd)


def test_networks_at_chance_diverged_and_degenerate_follow_the_selection() -> None:
    settings = settings_of(networks__depths=[3], networks__runs=3, networks__activations=["tanh", "relu"])
    study = make_study(settings, at_chance=("digits-d3-tanh-r0",), diverged=("digits-d3-relu-r1",), arrays=False)
    snapshot = read_study(study.paths)
    lines, without = (depth_lines(snapshot, "digits", 3, exclude) for exclude in (False, True))
    tanh, relu = ([next(g for g in one.groups if g.label == name and not g.control) for one in (lines, without)]
                  for name in ("tanh", "relu"))  # fmt: skip
    assert [len(group.bars[3].counted) for group in tanh] == [3, 2]
    assert [len(group.bars[3].counted) for group in relu] == [2, 2]
    assert "at chance, included: 1 of 12 networks" in lines.note and "relu run 1 trained (diverged)" in lines.note
    assert "without 1 of 12 networks at chance" in without.note


def test_all_depths_have_one_scale_and_stand_in_rows() -> None:
    settings = settings_of(networks__depths=[2, 1, 3, 5, 4], networks__runs=1, networks__activations=["relu"])
    snapshot = read_study(make_study(settings, arrays=False).paths)
    figure = dataset_lines(snapshot, "digits")
    panels = [one for one in figure.figures if isinstance(one, Lines)]
    assert [one.title for one in panels] == ["1 layer", "2 layers", "3 layers", "4 layers", "5 layers"]
    assert [len(one.groups[0].bars) for one in panels] == [2, 3, 4, 5, 6]
    every = [value for one in panels for value in one.values]
    assert {one.scale for one in panels} == {(min(every), max(every))}
    names = list(gallery.study_figures(snapshot, lambda sealed: {}))
    assert names[:1] != ["lines-digits-1"] and {"lines-digits", *(f"lines-digits-{n}" for n in range(1, 6))} < set(
        names
    )
    assert "trained and controls" in gallery.about("lines-digits")


def test_the_numbers_come_with_it_and_back() -> None:
    lines = depth_lines(small_study.write().snapshot, "mnist", 5)
    assert figure_of(figure_text(lines)) == lines
    rows = list(csv.DictReader(io.StringIO(figure_csv(lines))))
    assert len(rows) == sum(len(bar.values) for group in lines.groups for bar in group.bars)
    (one,) = (
        row
        for row in rows
        if (row["line"], row["control"], row["layer"], row["run"]) == ("relu", "untrained", "2", "1")
    )
    group = next(group for group in lines.groups if (group.label, group.control) == ("relu", "untrained"))
    assert float(one["value"]) == group.bars[2].values[1] and float(one["mean"]) == group.bars[2].mean
    panels = Panels("all", (lines, lines), 2)
    assert figure_csv(panels).startswith("panel,line,control,layer,run,value,state,mean,sd\n")


def example(runs: int) -> Lines:
    rng = np.random.default_rng(4)
    groups = []
    for control in ("", "untrained"):
        bars = tuple(Bar(str(layer), tuple(rng.uniform(0.3, 1.2, runs))) for layer in range(4))
        groups.append(BarGroup("relu", bars, 3, control))
    return Lines("MNIST", "KL (nats)", tuple(groups), "layer")


@pytest.mark.parametrize("runs", [3, 9])
def test_in_print_lines_bands_and_runs_are_where_their_numbers_are(runs: int) -> None:
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure as Canvas

    lines = example(runs)
    axes = Canvas().add_subplot()
    draw_lines(axes, lines, legend=True)
    means = [one for one in axes.get_lines() if len(one.get_xdata()) == 4]  # type: ignore[arg-type]
    bands = [one for one in axes.collections if isinstance(one, PolyCollection)]
    dots = [one for one in axes.get_lines() if one not in means]
    for group in lines.groups:
        line = next(one for one in means if one.get_linestyle() == ("--" if group.control else "-"))
        assert np.asarray(line.get_ydata()) == pytest.approx([bar.mean for bar in group.bars])
        values = np.array([bar.values for bar in group.bars])
        edges = [{(x, y) for x, y in np.asarray(band.get_paths()[0].vertices).tolist()} for band in bands]
        wanted = {(float(x), float(y)) for edge in (values.min(1), values.max(1)) for x, y in enumerate(edge)}
        assert any(wanted <= edge for edge in edges)
        if runs == 3:
            assert any(sorted(one.get_ydata()) == sorted(values.ravel()) for one in dots)  # type: ignore[type-var, arg-type]
    assert bool(dots) is (runs == 3), "many runs are a band alone"


def test_the_picture_says_its_signs_and_the_last_values() -> None:
    lines = example(3)
    svg = render(lines, "svg").decode()
    words = " ".join(
        "".join(text.itertext()) for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    )
    for group in lines.groups:
        bar = group.bars[-1]
        assert f"{group.label} {group.control}".strip() + f"  {bar.mean:.3f} ± {bar.sd:.3f}" in words
    assert "line: mean of the runs · band: lowest to highest run, dots: runs" in words
    many = render(Panels("all", (example(9), example(9)), 2, "note"), "svg").decode()
    assert "band: lowest to highest run" in many and "dots: runs" not in many
    assert many.count(">untrained<") == 1, "one legend for all panels"


def test_a_measured_models_layers_are_on_the_axis_by_their_names() -> None:
    from matplotlib.figure import Figure as Canvas

    snapshot = read_study(measured_study().paths)
    lines = depth_lines(snapshot, "cifar10-test", 12)
    assert lines.title == "cifar10-test · 12 layers" and "1,000 points, pooling flatten, " in lines.note
    axes = Canvas().add_subplot()
    draw_lines(axes, lines, legend=True)
    marks = [label.get_text() for label in axes.get_xticklabels()]
    assert marks == ["", *("head.projection.of.…" if len(name) > 20 else name for name in LAYERS)]
    # Of a deeper model every so many layers, so that no name runs into another.
    deep = replace(lines.groups[0], bars=tuple(Bar(str(layer), (0.5,)) for layer in range(101)))
    axes = Canvas().add_subplot()
    draw_lines(
        axes, replace(lines, groups=(deep,), layer_names=tuple(f"l{layer}" for layer in range(1, 101))), legend=True
    )
    marks = [label.get_text() for label in axes.get_xticklabels()]
    assert marks == ["0", *(f"l{layer}" for layer in range(3, 101, 3))]
