"""Measured studies: their file, their plan, and what is refused."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from embcx_tui.study.errors import SettingsError
from embcx_tui.study.measured import MeasuredSettings, kind_of, validate_study
from embcx_tui.study.plan import dataset_key, make_plan
from embcx_tui.study.settings import StudySettings, to_toml

LAYERS = ["conv1", "layer2.1", "fc"]


def study_values(*models: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the tables of a measured study of `models`, each completed with a file and layers."""
    given = models or ({},)
    complete = [{"name": "net", "dataset": "photos", "file": "/acts.npz", "layers": LAYERS, **model} for model in given]
    return {"kind": "measured", "name": "study", "models": complete, **more}


def test_a_file_without_kind_is_a_grid_and_says_nothing_of_one() -> None:
    settings = validate_study({"name": "old"})
    assert type(settings) is StudySettings
    assert settings == validate_study({"name": "old", "kind": "grid"})
    assert "kind" not in tomllib.loads(to_toml(settings))


def test_another_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="kind: must be grid or measured, not 'guessed'"):
        kind_of({"kind": "guessed"})


def test_the_file_of_a_measured_study_is_complete_and_reads_back() -> None:
    settings = validate_study(study_values({"input": "X"}, {"run": 1, "input": "X"}))
    tables = tomllib.loads(to_toml(settings))
    assert validate_study(tables) == settings
    assert tables["kind"] == "measured" and tables["source"]["from"] == "files"
    assert not {"data", "networks", "training"} & tables.keys()
    assert not {"controls", "epochs"} & tables["measure"].keys()
    assert tables["sample"] == {"points": 1000, "per_class": 0, "pool": "flatten"}


def test_datasets_models_and_runs_stand_where_those_of_a_grid_do() -> None:
    settings = validate_study(
        study_values({}, {"run": 1}, {"control": "untrained"}, {"name": "vit", "dataset": "scans", "layers": ["a"]})
    )
    assert isinstance(settings, MeasuredSettings)
    assert settings.data.datasets == ("photos", "scans")
    assert settings.networks.depths == (1, 3) and settings.networks.runs == 2
    assert list(settings.networks.activations) == ["net", "vit"]
    assert settings.controls == ("untrained",) and settings.network_count == 3
    assert settings.training.epochs == 0


def test_ids_hold_nothing_of_a_foreign_name() -> None:
    name = "../../etc $(x) ü"
    plan = make_plan(validate_study(study_values({"name": name, "dataset": name, "input": "X"})))
    (network,) = plan.networks
    hidden = network.layer_ids()[1:]
    assert [one.rpartition("-")[2] for one in hidden] == ["l1", "l2", "l3"]
    for one in (network.id, network.sample_id, plan.cohorts[0].id, *network.layer_ids()):
        assert one.isascii() and one.replace("-", "").isalnum()
    assert network.activation == name and network.layer_name(2) == "layer2.1"


def test_ids_tell_models_runs_and_controls_apart() -> None:
    models = [
        {"name": name, "run": run, "control": control}
        for name in ("a", "b")
        for run in (0, 1)
        for control in ("", "untrained")
    ]
    plan = make_plan(validate_study(study_values(*models)))
    assert len({network.id for network in plan.networks}) == 8
    assert len({layer.id for layer in plan.layers}) == 8 * len(LAYERS)


def test_the_input_is_a_layer_only_where_it_is_known() -> None:
    without = make_plan(validate_study(study_values({}, {"run": 1})))
    assert [layer.layer for layer in without.layers] == [1, 2, 3, 1, 2, 3]
    assert without.embeddings == 6 and list(without.networks[0].layers) == [1, 2, 3]
    known = make_plan(validate_study(study_values({"input": "X"}, {"run": 1, "input": "X"})))
    assert [layer.layer for layer in known.layers] == [0, 0, 1, 2, 3, 1, 2, 3]


def test_names_of_known_datasets_and_files_keep_their_keys() -> None:
    assert dataset_key("mnist") == "mnist"
    assert dataset_key("file:/a.npz").startswith("file-")
    assert dataset_key("cifar10-test").startswith("data-")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (study_values({"layers": ["a", "a"]}), "a layer is listed twice"),
        (study_values({}, {}), "net, run 0, is listed twice"),
        (study_values({}, {"run": 1, "layers": ["a"]}), "run 1, has 1 layers, its first run 3"),
        (study_values({"file": "acts.npz"}), "file must be a whole path"),
        (study_values({"name": "a\x1b[31mb"}), "holds characters that cannot be shown"),
        (study_values({"layers": ["a\x07"]}), "holds characters that cannot be shown"),
        (study_values(training={"epochs": 3}), r"has no table \[training\]"),
        (study_values(measure={"epochs": [1]}), "measure.epochs"),
        (study_values(sample={"points": 60}), "must be below 20"),
        (study_values(sample={"points": 12000}), "needs engine"),
        (study_values(sample={"pool": "guess"}), "sample.pool"),
    ],
)
def test_what_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        validate_study(values)
