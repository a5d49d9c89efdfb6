"""What the commands say of a study of networks that were trained elsewhere."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from embcx_tui.analysis.selection import select
from embcx_tui.analysis.trend import trends
from embcx_tui.cli import OK, cli
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.plan import make_plan
from tests.fake_measured import LAYERS, SHAPES, measured_settings
from tests.fake_studies import FakeStudy, make_study, measured_study


def said(*arguments: str) -> str:
    """Return what a command prints; it must succeed."""
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == OK and not result.exception, result.output
    return result.output


def test_show_names_the_layers_with_units_pooling_and_points() -> None:
    text = said("show", measured_study().paths.id)
    lines = text.splitlines()
    assert "accuracy" not in text and "12x0" not in text
    head = next(line for line in lines if line.startswith("network"))
    assert head.split() == ["network", "n", *map(str, range(1, 13))]  # no input, no accuracies
    assert sum(line.startswith("layers of resnet18") for line in lines) == 1
    row = next(line.split() for line in lines if line.startswith("3 "))
    assert row == ["3", "layer1.1", "200,704", "flatten", "→", "1,000", "1,000"]
    assert "at most 1,000 points" in lines[1]


def test_json_and_csv_have_name_pool_and_width() -> None:
    study = measured_study()
    shown = json.loads(said("show", study.paths.id, "--json"))
    assert shown["settings"]["kind"] == "measured" and shown["settings"]["source"]["from"] == "files"
    for network in shown["networks"]:
        layers = network["layers"]
        assert [(one["layer"], one["name"], one["pool"]) for one in layers] == [
            (number, name, "flatten") for number, name in enumerate(LAYERS, 1)
        ]
        assert [one["width"] for one in layers] == [int(np.prod(shape)) for shape in SHAPES]
        assert network["train_accuracy"] is None and network["status"] == "measured"
    table = list(csv.reader(io.StringIO(said("show", study.paths.id, "--csv"))))
    assert table[0][-3:] == ["name", "pool", "width"]
    assert table[1][-3:] == ["relu", "flatten", str(64 * 112 * 112)]


def test_the_layers_of_a_grid_have_a_width_and_no_name() -> None:
    shown = json.loads(said("show", make_study(arrays=False).paths.id, "--json"))
    layer = shown["networks"][0]["layers"][1]
    assert (layer["name"], layer["pool"], layer["width"]) == ("", "", layer["units"])


def test_the_trend_is_over_the_layers_that_there_are() -> None:
    study = make_study(measured_settings(runs=3), arrays=False)
    (trained, untrained) = trends(select(read_study(study.paths)))
    assert trained.runs == (0, 1, 2) and not trained.reason and trained.first_break is None
    assert trained.slope is not None and trained.slope < 0
    assert untrained.reason and untrained.reason.startswith("fewer than 2 runs") and untrained.first_break == 2
    scores = list(csv.reader(io.StringIO(said("show", study.paths.id, "--table", "summary"))))
    assert [row[4] for row in scores[1:13]] == [str(layer) for layer in range(1, 13)]


def test_a_break_is_named_by_its_layer() -> None:
    """Layer 5 is made to lie above layer 4; without an input the first of the means is layer 1's."""
    study = make_study(measured_settings(runs=2), arrays=False)
    snapshot = read_study(study.paths)
    raised = [
        event.model_copy(update={"kl": 0.99})
        for event in snapshot.measured.values()
        if event.layer == 5 and "untrained" not in (event.network or "")
    ]
    study.append(*raised)
    assert trends(select(read_study(study.paths)))[0].first_break == 5


def test_the_report_says_where_the_networks_come_from(tmp_path: Path) -> None:
    study = measured_study()
    said("report", study.paths.id, "--out", str(tmp_path / "page"))
    page = (tmp_path / "page" / "report.md").read_text()
    assert "Networks that were trained elsewhere" in page and "all units of a map" in page
    assert "Fully connected" not in page and "differs from the paper" not in page and "0 test inputs" not in page
    assert "## Layers of resnet18, cifar10-test" in page
    assert "| 3 | layer1.1 | 200,704 flatten → 1,000 | 1,000 |" in page.replace("  ", " ")
    assert 'kind = "measured"' in page


def test_the_report_names_a_layer_that_failed(tmp_path: Path) -> None:
    settings = measured_settings(runs=1)
    layer = make_plan(settings).layers[2].id
    study = make_study(settings, broken=(layer,), arrays=False)
    said("report", study.paths.id, "--out", str(tmp_path / "page"))
    page = (tmp_path / "page" / "report.md").read_text()
    assert "resnet18, run 0, layer 3 layer1.1 (tsne): 12 of 1,000 rows are not finite" in page.replace("\\", "")


def _named(name: str) -> FakeStudy:
    """Return a study whose model, dataset and layers are called `name`."""
    settings = measured_settings(runs=1)
    models = [
        model.model_copy(
            update={"name": name, "dataset": name, "layers": (name, *(f"{name}{i}" for i in range(1, len(LAYERS))))}
        )
        for model in settings.models  # type: ignore[attr-defined]  # it is a measured study's
    ]
    from embcx_tui.study.measured import validate_study

    values = settings.model_dump(mode="json", by_alias=True) | {
        "models": [one.model_dump(mode="json") for one in models]
    }
    return make_study(validate_study(values))


@pytest.mark.parametrize("name", ["$x_1$ | *a* <b>", "../../../etc/passwd", "[red]", "-1", "a,b;c"])
def test_foreign_names_are_text_and_never_names_of_files(name: str, tmp_path: Path) -> None:
    study = _named(name)
    listed = [line.split()[0] for line in said("export", study.paths.id, "--list").splitlines()]
    assert all(one.replace("-", "").isalnum() for one in listed)
    said("export", study.paths.id, "--figure", listed[0], "--out", str(tmp_path / "figures"), "--dpi", "50")
    said("report", study.paths.id, "--out", str(tmp_path / "page"))
    said("show", study.paths.id)
    assert all(path.is_relative_to(tmp_path) for path in tmp_path.rglob("*"))
    assert sorted(path.suffix for path in (tmp_path / "figures").iterdir()) == [".csv", ".png"]
    assert {path.name for path in tmp_path.iterdir()} <= {"figures", "page", "home"}
