"""What the figures of a real study folder hold."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from embcx_tui.figures import builders, gallery
from embcx_tui.figures.model import Panels, Scatter
from embcx_tui.study.errors import StoreError
from embcx_tui.study.naming import dataset_title
from tests import small_study
from tests.small_study import complexity


def test_bars_hold_every_run_of_every_layer() -> None:
    snapshot = small_study.write().snapshot
    bars = builders.layer_bars(snapshot, "mnist", 5, "relu", highlight=1, chosen_layer=3)
    (group,) = bars.groups
    assert [bar.label for bar in group.bars] == ["input", "1", "2", "3", "4", "5"]
    for layer, bar in enumerate(group.bars):
        assert bar.values == pytest.approx([complexity(layer, run, False) for run in range(3)])
        assert bar.mean == pytest.approx(np.mean(bar.values))
    assert (bars.highlight, bars.chosen) == (1, (0, 3))
    assert "3 runs" in bars.note and "120 points" in bars.note


def test_controls_are_their_own_bars() -> None:
    snapshot = small_study.write().snapshot
    (group,) = builders.layer_bars(snapshot, "mnist", 5, "relu", "untrained").groups
    means = [bar.mean for bar in group.bars]
    assert all(a is not None and b is not None and a < b for a, b in pairwise(means))


def test_what_is_missing_is_named_and_never_zero() -> None:
    study = small_study.write(
        skip=frozenset({"mnist-d5-relu-r1-l4"}),
        degenerate=frozenset({"mnist-d5-relu-r0-l5"}),
        diverged=frozenset({"mnist-d5-relu-r2"}),
    )
    bars = builders.layer_bars(study.snapshot, "mnist", 5, "relu")
    third, fourth, fifth = bars.groups[0].bars[3:]
    # A network with a degenerate layer is drawn, flagged in every layer, and in none of the means.
    assert third.flagged == (True, False, False) and third.values[0] == complexity(3, 0, False)
    assert third.mean == pytest.approx(complexity(3, 1, False))
    assert math.isnan(fourth.values[1]) and math.isnan(fourth.values[2])
    assert fourth.mean is None
    assert fifth.flagged == (True, False, False)
    assert fifth.mean == pytest.approx(complexity(5, 1, False))
    assert bars.note.endswith("missing: run 1 layer 4 (not measured); run 2 (diverged)")
    assert math.isnan(bars.groups[0].bars[0].values[2])


def test_what_the_study_does_not_hold_is_said() -> None:
    snapshot = small_study.write().snapshot
    assert "not in this study" in builders.layer_bars(snapshot, "digits", 2, "tanh").note


def test_activations_keep_their_colour_whatever_the_study_holds() -> None:
    snapshot = small_study.write().snapshot
    groups = builders.activation_bars(snapshot, "mnist", 5).groups
    assert [(group.label, group.place) for group in groups] == [("logsig", 0), ("relu", 3)]
    assert builders.layer_bars(snapshot, "mnist", 5, "relu").groups[0].place == 3


def test_curves_hold_what_was_trained() -> None:
    snapshot = small_study.write(diverged=frozenset({"mnist-d5-relu-r2"})).snapshot
    curves = builders.training_curves(snapshot, ["mnist-d5-relu-r0", "mnist-d5-relu-r2"], "loss")
    first, second = curves.lines
    assert first.y == pytest.approx(2 * 0.7 ** np.arange(1, 9))
    assert list(first.x) == list(range(1, 9))
    assert np.isnan(second.y).all()
    assert (first.label, second.label) == ("run 0", "run 2")
    assert not builders.training_curves(snapshot, [], "loss").lines


def test_embeddings_come_from_the_arrays() -> None:
    study = small_study.write(skip=frozenset({"mnist-d5-relu-r0-l4"}))
    panels = gallery.study_figures(study.snapshot, study.load)["embedding-mnist-5-relu-run0"]()
    assert isinstance(panels, Panels) and len(panels.figures) == 6
    third, fourth = panels.figures[3], panels.figures[4]
    assert isinstance(third, Scatter) and isinstance(fourth, Scatter)
    network = next(n for n in study.snapshot.plan.networks if n.id == "mnist-d5-relu-r0")
    measured = study.snapshot.layer(network, 3)
    assert measured is not None
    raw = study.load(measured.file)["points"].astype(np.float64)
    # Turned onto the layer before: its distances are those of the file, and the file's own angle is not kept.
    assert np.allclose(distances(third.points), distances(raw), rtol=1e-4, atol=1e-4)
    assert not np.allclose(third.points, raw, atol=0.1)
    second, before = panels.figures[2], study.snapshot.layer(network, 2)
    assert isinstance(second, Scatter) and before is not None
    assert apart(third, second) < apart(replace(third, points=raw.astype(np.float32)), second)
    assert "Procrustes" in panels.note and "3 runs" not in panels.note, "one run is shown"
    assert list(np.bincount(third.labels)) == [small_study.PER_CLASS] * 10
    assert third.title == f"layer 3 · KL {complexity(3, 0, False):.3f}"
    assert len(fourth.points) == 0 and "nothing measured" in fourth.note


def distances(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """All distances [n, n] between points."""
    plane = np.asarray(points, dtype=np.float64)
    return np.asarray(np.linalg.norm(plane[:, None] - plane[None], axis=2))


def apart(one: Scatter, other: Scatter) -> float:
    """How far the same points lie from each other in two embeddings."""
    return float(np.linalg.norm(one.points - other.points, axis=1).mean())


def test_a_damaged_file_becomes_words() -> None:
    study = small_study.write()
    for path in study.paths.arrays.glob("mnist-d5-relu-r0-l*.npz"):
        path.write_bytes(b"damaged")
    panels = gallery.study_figures(study.snapshot, study.load)["embedding-mnist-5-relu-run0"]()
    assert isinstance(panels, Panels)
    assert "damaged" in panels.figures[1].note
    with pytest.raises(StoreError):
        study.load(next(iter(study.snapshot.measured.values())).file.model_copy(update={"name": "arrays/none.npz"}))


def test_text_from_outside_is_made_harmless() -> None:
    hostile = "\x1b]0;pwned\x07three\x1b[31m\u202e"
    classes = (hostile, *small_study.CLASSES[1:])
    study = small_study.write(classes=classes)
    panels = gallery.study_figures(study.snapshot, study.load)["embedding-mnist-5-relu-run0"]()
    assert isinstance(panels, Panels) and isinstance(panels.figures[0], Scatter)
    assert panels.figures[0].classes[0] == "three"
    assert dataset_title("file:/home/x/\x1b[2Jmy.npz") == "my.npz"


def test_drawing_in_the_terminal_loads_no_heavy_library() -> None:
    code = "import sys, embcx_tui.figures.cells, embcx_tui.figures.builders; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"matplotlib", "torch", "scipy", "textual", "plotext", "sklearn"} & set(loaded)
