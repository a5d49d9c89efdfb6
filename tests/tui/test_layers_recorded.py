"""A recorder's study in the layer browser: its epochs as a heat map, and the points after each of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embcx_tui.figures import gallery
from embcx_tui.figures.cells import draw_text
from embcx_tui.figures.model import Heat, Panels
from embcx_tui.figures.serialization import figure_csv
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.layers.charts import fit_chart
from embcx_tui.tui.layers.selection import NetworkLayer
from tests.fake_measured import LAYERS, measured_settings
from tests.fake_studies import FakeStudy, make_study, measured_study
from tests.tui.pilot import opened, sees, sees_no

EPOCHS = (0, 1, 5)
NETWORK = "m1-r0"


def kl(layer: int, epoch: int) -> float:
    """The score of a layer after an epoch but the last."""
    return round(0.9 + layer * (5 - epoch) / 100, 4)


@pytest.fixture
def recorded() -> FakeStudy:
    """A study whose trained network was recorded after three epochs, the last of which its scores are of."""
    study = make_study(measured_settings(1, recorded=True))
    snapshot = read_study(study.paths)
    (network,) = (one for one in snapshot.plan.networks if not one.control)
    for epoch in EPOCHS:
        for layer in range(1, network.depth + 1):
            newest = snapshot.layer(network, layer)
            assert newest
            again = newest.kl if epoch == EPOCHS[-1] else kl(layer, epoch)
            study.append(newest.model_copy(update={"epoch": epoch, "kl": again}))
    return study


def test_the_heat_map_has_the_epochs_that_were_handed_over(recorded: FakeStudy) -> None:
    snapshot = read_study(recorded.paths)
    (network,) = (one for one in snapshot.plan.networks if not one.control)
    figures = gallery.study_figures(snapshot, lambda file: {})
    (name,) = (name for name in figures if name.startswith("epochs-"))
    found = figures[name]()
    assert isinstance(found, Panels)
    (heat,) = found.figures
    assert isinstance(heat, Heat) and heat.columns == ("0", "1", "5")
    layers = range(1, len(LAYERS) + 1)
    last = [measured.kl for layer in layers if (measured := snapshot.layer(network, layer))]
    wanted = np.array([[kl(layer, 0) for layer in layers], [kl(layer, 1) for layer in layers], last]).T
    assert np.array_equal(heat.values[1:], wanted)
    assert np.isnan(heat.values[0]).all(), "its inputs are not known"
    assert "missing" not in found.note
    assert figure_csv(found).count("\n") > len(LAYERS) and draw_text(found, 100, 40)


async def test_layers_offers_the_heat_map_and_goes_through_the_epochs(recorded: FakeStudy) -> None:
    async with opened(recorded, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("B", "B")
        depth = len(LAYERS)
        await sees(pilot, "complexity over training", f"{kl(depth, 0):.3f}", f"{kl(depth, 1):.3f}", "to 12 of 12")
        await pilot.press("left_curly_bracket")
        await sees(pilot, f"epoch 1 · KL {kl(depth, 1):.3f}")  # the newest is the layer's end, and was shown before
        await pilot.press("left_curly_bracket")
        await sees(pilot, f"epoch 0 · KL {kl(depth, 0):.3f}")
        await pilot.press("right_curly_bracket", "right_curly_bracket")
        await sees_no(pilot, "epoch 1 ·")


async def test_a_click_on_a_part_of_the_heat_map_goes_to_the_layer_of_its_row(recorded: FakeStudy) -> None:
    async with opened(recorded, "layers", (80, 24), expect="10-NN ") as pilot:
        await pilot.press("B", "B")
        lines = (await sees(pilot, "to 12 of 12")).splitlines()
        wanted = f"{kl(11, 0):.2f}"
        row = next(place for place, line in enumerate(lines) if wanted in line and " 11 " in line)
        await pilot.click(offset=(lines[row].index(wanted), row))
        await sees(pilot, f"layer 11 of 12 · {LAYERS[10][:5]}")


def test_epochs_that_have_no_room_are_left_out_evenly_and_the_last_stays(recorded: FakeStudy) -> None:
    values = np.arange(13 * 100.0).reshape(13, 100)
    rows = ("input", *map(str, range(1, 13)))
    heat = Heat("relu", "epoch", "layer", tuple(map(str, range(100))), rows, values, (0.0, 1300.0))
    network = next(one for one in read_study(recorded.paths).plan.networks if not one.control)
    figure = Panels("complexity", (replace(heat, title=network.activation),), 1)
    for layer, first in ((0, 0), (6, 4), (12, 8)):
        shown = fit_chart(figure, NetworkLayer(network, layer), 40, 8)
        assert isinstance(shown, Panels) and shown.title.endswith("of 12, every 3 epochs")
        (part,) = shown.figures
        assert isinstance(part, Heat)
        assert part.rows[0] == rows[part.first] and part.chosen is not None
        assert part.rows[part.chosen] == rows[layer] and part.first <= first + 1
        assert part.columns == tuple(map(str, range(0, 100, 3))) and part.columns[-1] == "99"
        assert np.array_equal(part.values, values[part.first : part.first + len(part.rows), ::3])
        assert "too small" not in draw_text(shown, 40, 8)
    whole = fit_chart(figure, NetworkLayer(network, 6), 600, 40)
    assert isinstance(whole, Panels) and np.array_equal(whole.figures[0].values, values)  # type: ignore[union-attr]


async def test_of_files_there_are_no_epochs() -> None:
    async with opened(measured_study(), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("left_curly_bracket")
        await sees(pilot, "Epochs are embcx_tui.Recorder's")
