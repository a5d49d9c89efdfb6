"""Which figures a study serves, and what they hold: the paper's eight and those beyond it."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest

from embcx_tui.analysis.correlation import relations
from embcx_tui.analysis.selection import select
from embcx_tui.figures import builders, gallery, paper_figures
from embcx_tui.figures.cells import draw_text
from embcx_tui.figures.export import render
from embcx_tui.figures.model import Bars, Curves, Dots, Figure, Heat, Panels, Scatter
from embcx_tui.figures.serialization import figure_csv
from embcx_tui.figures.spans import Look
from embcx_tui.study.plan import make_plan
from tests import small_study
from tests.small_study import SmallStudy, complexity

EVERY = {"activations": ["logsig", "tanh", "softsign", "relu"]}


def figure(study: SmallStudy, name: str, exclude_chance: bool = False) -> Figure:
    return gallery.study_figures(study.snapshot, study.load, exclude_chance)[name]()


def bars(study: SmallStudy, name: str, exclude_chance: bool = False) -> Bars:
    found = figure(study, name, exclude_chance)
    assert isinstance(found, Bars)
    return found


def panels(study: SmallStudy, name: str, exclude_chance: bool = False) -> Panels:
    found = figure(study, name, exclude_chance)
    assert isinstance(found, Panels)
    return found


def test_a_study_names_the_figures_it_can_serve_and_all_of_them_build() -> None:
    study = small_study.write()
    figures = gallery.study_figures(study.snapshot, study.load)
    assert list(figures)[:7] == [
        "fig2",
        "accuracy-mnist",
        "lines-mnist-5",
        "complexity-mnist-5",
        "complexity-mnist-5-untrained",
        "controls-mnist-5",
        "training-mnist",
    ]
    assert "embedding-mnist-5-relu-run0" in figures and "embedding-mnist-5-logsig-run2-untrained" in figures
    assert len(figures) == 7 + 12
    for make in figures.values():
        assert figure_csv(make()).count("\n") > 1
    assert len(bars(study, "fig2").groups) == 2


def test_an_unmeasured_study_serves_no_complexity() -> None:
    plan = make_plan(small_study.settings())
    study = small_study.write(skip=frozenset(layer.id for layer in plan.layers))
    assert list(gallery.study_figures(study.snapshot, study.load)) == ["training-mnist"]


def test_the_papers_grid_serves_all_eight_and_a_note_names_what_is_missing() -> None:
    measure = {"methods": ["tsne", "pca", "isomap"]}
    asked = small_study.settings(datasets=["svhn"], measure=measure, depths=[4, 5, 7], runs=2, **EVERY)
    study = small_study.write(asked, skip=frozenset({"svhn-d7-relu-r0-l6"}), diverged=frozenset({"svhn-d7-tanh-r1"}))
    figures = gallery.study_figures(study.snapshot, study.load)
    names = [name for name in figures if name.startswith("fig")]
    assert names == ["fig1", "fig2-svhn", "fig3-svhn", "fig4", "fig5", "fig6", "fig7", "fig8"]

    fig1 = panels(study, "fig1")
    assert [one.title.split(" · ")[0] for one in fig1.figures] == ["PCA", "Isomap", "t-SNE"]
    assert "methods not in this study: LLE, MDS" in fig1.note and "softsign · layer 7 · run 0" in fig1.title
    fig2 = bars(study, "fig2-svhn")
    assert fig2.title.startswith("like Fig. 2 · SVHN") and "not the paper's dataset (MNIST)" in fig2.note
    assert "not in this study: depth 3" in bars(study, "fig3-svhn").note
    fig4 = bars(study, "fig4")
    assert fig4.title == "Fig. 4 · SVHN · 7 hidden layers" and "not the paper's" not in fig4.note
    assert "relu run 0 layer 6 (not measured)" in fig4.note and "tanh run 1 (diverged)" in fig4.note
    assert "the paper has 5 runs" in fig4.note
    assert [len(group.bars) for group in fig4.groups] == [8] * 4
    assert math.isnan(fig4.groups[3].bars[6].values[0])
    assert fig4.groups[1].bars[0].values[1:] != fig4.groups[0].bars[0].values[1:]  # no input of a diverged network
    fig5 = panels(study, "fig5")
    assert len(fig5.figures) == 32 and fig5.columns == 8 and fig5.title.endswith("run 0")
    fig6 = bars(study, "fig6")
    assert [group.label for group in fig6.groups] == ["4 layers", "5 layers", "7 layers"]
    assert "not in this study: depth 6" in fig6.note and {group.place for group in fig6.groups} == {3}
    fig7 = panels(study, "fig7")
    assert [one.title for one in fig7.figures] == [
        f"{depth} layers · KL {complexity(depth, fig7_run, False):.3f}" for depth in (4, 5, 7) for fig7_run in (1,)
    ]
    fig8 = panels(study, "fig8")
    assert [one.title.split(" · ")[0] for one in fig8.figures] == [f"layer {layer}" for layer in (4, 5, 6, 7)]
    assert fig8.title.endswith("relu · run 1")  # of run 0 a layer is missing


def test_a_dataset_of_ones_own_is_labelled_and_found_by_the_papers_name() -> None:
    asked = small_study.settings(datasets=["file:/data/house numbers.npz"], depths=[7], runs=1)
    study = small_study.write(asked)
    figures = gallery.study_figures(study.snapshot, study.load)
    name = gallery.resolve(figures, "fig4")
    assert name is not None and name.startswith("fig4-file-")
    found = bars(study, name)
    assert found.title == "like Fig. 4 · house numbers.npz · 7 hidden layers"
    assert "not the paper's dataset (SVHN)" in found.note and "not in this study: tanh, softsign" in found.note
    assert gallery.resolve(figures, "fig3") is None and gallery.resolve(figures, "nonsense") is None
    assert "at least 2 of the depths 3, 4, 5" in gallery.explain_missing(study.snapshot, figures, "fig3")
    assert "it has fig4-file" in gallery.explain_missing(study.snapshot, figures, "nonsense")


def test_every_paper_figure_has_its_place() -> None:
    assert [one.number for one in paper_figures.FIGURES] == list(range(1, 9)) == sorted(paper_figures.BUILDERS)


def test_accuracy_has_a_dot_a_network_and_the_correlation_in_its_note() -> None:
    study = small_study.write(spread=0.3, chance=frozenset({"mnist-d5-relu-r1"}))
    found = figure(study, "accuracy-mnist")
    assert isinstance(found, Dots) and sum(len(group.x) for group in found.groups) == 6
    assert {(group.label, group.mark, group.place) for group in found.groups} == {("logsig", 5, 0), ("relu", 5, 3)}
    # Across the complexity of the last hidden layer, upwards the accuracy, as the axes say, network by network.
    assert "complexity" in found.x_label and "accuracy" in found.y_label
    for group in found.groups:
        runs = [f"mnist-d5-{group.label}-r{run}" for run in range(3)]
        assert group.x.tolist() == [study.snapshot.measured[f"{name}-l5", "tsne"].kl for name in runs]
        assert group.y.tolist() == [study.snapshot.trained[name].test_accuracy for name in runs]
    selection = select(study.snapshot)
    (one,) = relations(selection)
    assert f"ρ = {one.rho:.2f}".replace("-", "−") in found.note and "(6 networks, 2 architectures" in found.note
    assert "no interval below 6 architectures (2)" in found.note
    assert "at chance, included: 1 of 6 networks" in found.note
    without = figure(study, "accuracy-mnist", exclude_chance=True)
    assert (
        isinstance(without, Dots)
        and "(5 networks, 2 architectures" in without.note
        and "without 1 of 6 networks at chance" in without.note
    )


def test_chance_is_left_out_of_bars_when_asked_and_the_note_says_so() -> None:
    study = small_study.write(chance=frozenset({"mnist-d5-relu-r1"}))
    kept, without = bars(study, "fig2"), bars(study, "fig2", exclude_chance=True)
    assert kept.groups[1].bars[5].values[1] == complexity(5, 1, False) and "at chance, included" in kept.note
    assert all(math.isnan(bar.values[1]) for bar in without.groups[1].bars)
    assert "relu run 1 (at chance, left out)" in without.note


def test_controls_stand_against_the_trained() -> None:
    asked = small_study.settings(measure={"controls": ["untrained", "shuffled"]})
    found = panels(small_study.write(asked), "controls-mnist-5")
    for panel in found.figures:
        assert isinstance(panel, Curves) and panel.zero and panel.x_names[0] == "input"
        assert [line.label for line in panel.lines] == ["trained"] * 3 + ["untrained"] * 3 + ["shuffled"] * 3
        assert panel.lines[0].y[0] > panel.lines[0].y[-1] and panel.lines[3].y[0] < panel.lines[3].y[-1]
        assert len({line.name for line in panel.lines}) == 9


def test_complexity_over_epochs_is_the_mean_over_runs() -> None:
    asked = small_study.settings(measure={"epochs": [0, 2, 4]})
    study = small_study.write(
        asked, skip=frozenset({"mnist-d5-relu-r0-l3"}), diverged=frozenset({"mnist-d5-logsig-r0"})
    )
    found = panels(study, "epochs-mnist-5")
    logsig, relu = found.figures
    assert isinstance(logsig, Heat) and isinstance(relu, Heat)
    assert relu.columns == ("0", "2", "4", "8") and relu.rows == ("input", "1", "2", "3", "4", "5")
    assert relu.values[5, -1] == pytest.approx(np.mean([complexity(5, run, False) for run in range(3)]))
    assert relu.values[5, 0] == pytest.approx(np.mean([complexity(5, run, True) for run in range(3)]))
    assert relu.values[3, -1] == pytest.approx(np.mean([complexity(3, run, False) for run in (1, 2)]))
    assert np.allclose(relu.values[0], relu.values[0, 0]) and relu.scale == logsig.scale
    assert "relu run 0 layer 3 (epochs 2, 4, 8)" in found.note and "logsig run 0 (diverged)" in found.note
    event = study.snapshot.earlier["mnist-d5-relu-r1-l5", 2]
    assert event.kl == pytest.approx(0.36 * complexity(5, 1, True) + 0.64 * complexity(5, 1, False))


def test_the_methods_table_holds_their_quality() -> None:
    asked = small_study.settings(measure={"methods": ["tsne", "pca"]})
    found = panels(small_study.write(asked), "methods-mnist-5-relu")
    assert [one.title for one in found.figures] == ["trustworthiness", "continuity", "k-NN accuracy in 2-D"]
    first = found.figures[0]
    assert isinstance(first, Heat) and first.rows == ("t-SNE", "PCA")
    assert np.allclose(first.values, [[0.98] * 6, [0.85] * 6])


def test_only_tsne_is_told_with_a_perplexity() -> None:
    snapshot = small_study.write(small_study.settings(measure={"methods": ["tsne", "pca"]})).snapshot
    networks = builders.networks_at(snapshot, "mnist", 5, "relu")
    points = 10 * small_study.PER_CLASS
    assert (
        builders.how_words(select(snapshot), networks, "tsne", runs=False) == f"t-SNE, perplexity 30, {points} points"
    )
    assert builders.how_words(select(snapshot), networks, "pca", runs=False) == f"PCA, {points} points"


def test_degenerate_layers_are_in_no_mean_of_the_methods_table() -> None:
    asked = small_study.settings(measure={"methods": ["tsne", "pca"]})
    bad = frozenset(f"mnist-d5-relu-r{run}-l5" for run in range(3))
    found = panels(small_study.write(asked, degenerate=bad), "methods-mnist-5-relu")
    for one in found.figures:
        assert isinstance(one, Heat) and np.isnan(one.values).all()
    assert "networks with a degenerate layer left out" in found.note
    # One run of three: the others' means are there.
    one_run = panels(small_study.write(asked, degenerate=frozenset({"mnist-d5-relu-r0-l5"})), "methods-mnist-5-relu")
    assert one_run.figures
    assert all(isinstance(one, Heat) and np.isfinite(one.values).all() for one in one_run.figures)


def test_the_numbers_beside_a_figure() -> None:
    study = small_study.write(skip=frozenset({"mnist-d5-relu-r1-l4"}), degenerate=frozenset({"mnist-d5-relu-r0-l5"}))
    rows = list(csv.DictReader(io.StringIO(figure_csv(bars(study, "fig2")))))
    assert len(rows) == 2 * 6 * 3
    by_place = {(row["group"], row["bar"], row["run"]): row for row in rows}
    assert float(by_place["relu", "3", "2"]["value"]) == complexity(3, 2, False)
    assert (by_place["relu", "4", "1"]["value"], by_place["relu", "4", "1"]["state"]) == ("", "missing")
    assert by_place["relu", "5", "0"]["state"] == "degenerate"
    one = panels(study, "embedding-mnist-5-relu-run1")
    rows = list(csv.DictReader(io.StringIO(figure_csv(one))))
    first = one.figures[0]
    assert isinstance(first, Scatter) and len(rows) == 5 * len(first.points) + 1
    assert np.float32(rows[0]["x"]) == first.points[0, 0] and rows[0]["class"] == "0"
    assert [row["missing"] for row in rows if row["missing"]] == ["nothing measured yet"]


def test_a_degenerate_layer_without_a_score_is_named_and_marked() -> None:
    measured = small_study.write(small_study.settings(runs=1), degenerate=frozenset({"mnist-d5-relu-r0-l5"})).snapshot
    key = ("mnist-d5-relu-r0-l5", "tsne")
    without = measured.measured[key].model_copy(update={"kl": None})
    snapshot = replace(measured, measured={**measured.measured, key: without})
    found = builders.layer_bars(snapshot, "mnist", 5, "relu")
    assert "run 0 layer 5 (degenerate, no score)" in found.note
    # It has no height, least of all that of the easiest layer; the layers before it are drawn, and count in no mean.
    *before, last = found.groups[0].bars
    assert all(math.isnan(value) for value in last.values) and last.flagged == (True,)
    assert all(bar.values[0] > 0 and bar.mean is None for bar in before)
    words = draw_text(found, 80, 20, Look(colours=False))
    assert "!" in words
    assert b">!<" in render(found, "svg")


def test_figures_of_the_paper_that_no_dataset_serves_are_named_with_what_they_need() -> None:
    study = small_study.write()
    figures = gallery.study_figures(study.snapshot, study.load)
    lacking = gallery.missing_paper_figures(figures)
    served = {name.partition("-")[0] for name in figures}
    assert "fig2" in served and not any(words.startswith("fig2 ") for words in lacking)
    assert [words.partition(" ")[0] for words in lacking] == [
        f.name for f in paper_figures.FIGURES if f.name not in served
    ]
    assert "fig3 (networks of at least 2 of the depths 3, 4, 5 with relu)" in lacking
    assert not any(words.startswith("fig4 ") for words in gallery.missing_paper_figures({"fig4-file-ab12": None}))
