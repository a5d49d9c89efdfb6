"""A study file is read whole or refused whole, every mistake at once with its key."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from embcx_tui.study.errors import RequestError, SettingsError
from embcx_tui.study.settings import (
    MAX_STUDY_FILE_BYTES,
    StudySettings,
    apply_overrides,
    known_keys,
    load_preset,
    parse_toml,
    preset_names,
    read_study_file,
    to_toml,
    validate,
)


def mistakes(values: dict[str, object]) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        validate(values)
    return {mistake.key: mistake.text for mistake in caught.value.mistakes}


def test_every_mistake_of_a_file_is_reported_at_once_with_its_key() -> None:
    found = mistakes(
        {
            "networks": {"activations": ["rlu", "relu"], "depths": [5, 5], "runs": 0},
            "data": {"datasets": ["mnst"]},
            "measure": {"perplexty": 3},
            "x": 1,
        }
    )
    assert found["networks.activations.0"].startswith("must be 'logsig', 'tanh', 'softsign' or 'relu'")
    assert found["networks.depths"] == "5 is listed twice"
    assert found["networks.runs"] == "must be at least 1 (is 0)"
    assert "did you mean 'mnist'?" in found["data.datasets.0"]
    assert found["measure.perplexty"] == "unknown key; did you mean measure.perplexity?"
    assert found["x"] == "unknown key"


@pytest.mark.parametrize("perplexity", [2000, 333.4, 1, -5, float("nan")])
def test_a_perplexity_that_fits_no_sample_is_refused(perplexity: float) -> None:
    assert list(mistakes({"measure": {"perplexity": perplexity}})) == ["measure.perplexity"]


def test_a_perplexity_of_exactly_a_third_of_the_points_is_refused() -> None:
    """As t-SNE refuses it, which would be after hours of training: 90 points have a perplexity below 30."""
    data = {"datasets": ["digits"], "samples_per_class": 9}
    assert validate({"data": data, "measure": {"perplexity": 29.999}}).measure.perplexity == 29.999
    for perplexity in (30, 30.0):
        with pytest.raises(SettingsError, match=r"measure\.perplexity: must be below 30 \(a third of the 90 points"):
            validate({"data": data, "measure": {"perplexity": perplexity}})


def test_the_largest_perplexity_that_fits_is_accepted() -> None:
    assert validate({"measure": {"perplexity": 333.0}}).measure.perplexity == 333.0


def test_too_many_networks_are_refused_with_their_number() -> None:
    found = mistakes({"networks": {"runs": 1000, "depths": [1, 2, 3, 4, 5, 6, 7]}})
    assert found == {"networks.runs": "this asks for 28,000 networks; at most 20,000 in one study"}


def test_more_samples_a_class_than_there_are_is_refused_with_the_numbers() -> None:
    found = mistakes({"data": {"datasets": ["digits"], "samples_per_class": 200}})
    assert found == {"data.samples_per_class": "the smallest class of digits has 139 training inputs"}
    found = mistakes({"data": {"datasets": ["mnist"], "train_limit": 500}})
    assert found == {"data.samples_per_class": "the smallest class of mnist has at most 50 training inputs"}


def test_a_sample_too_large_for_the_exact_engine_names_the_other() -> None:
    found = mistakes({"data": {"samples_per_class": 1_100}})
    assert "opentsne" in found["measure.engine"]
    large = {"data": {"samples_per_class": 1_100}, "measure": {"engine": "opentsne"}}
    assert validate(large).data.samples_per_class == 1_100
    found = mistakes({"data": {"samples_per_class": 2_100}, "measure": {"engine": "opentsne"}})
    assert found == {"measure.engine": "a sample of 21,000 points is too large: at most 20,000 can be measured"}


def test_the_way_of_earlier_studies_keeps_their_limit() -> None:
    assert validate({"data": {"samples_per_class": 501}}).measure.large == "packed"
    found = mistakes({"data": {"samples_per_class": 501}, "measure": {"large": "whole"}})
    assert "up to 5,000" in found["measure.engine"]


@pytest.mark.parametrize(
    "values",
    [
        {"networks": 3},
        {"networks": []},
        {"data": {"datasets": "mnist" * 400}},
        {"training": {"learning_rate": "fast"}},
        {"training": {"epochs": 1.5}},
        {"training": {"epochs": True}},
        {"training": {"momentum": 1}},
        {"machine": {"device": "gpu"}},
        {"machine": {"seed": -1}},
        {"name": 5},
        {"measure": {"methods": []}},
        {"data": {"datasets": ["file:x.csv"]}},
    ],
)
def test_values_of_the_wrong_kind_are_refused_in_one_line(values: dict[str, object]) -> None:
    for text in mistakes(values).values():
        assert "\n" not in text and "NetworkSettings" not in text and len(text) < 300


def test_a_study_file_written_out_is_complete_and_reads_back_equal() -> None:
    settings = validate({"name": 'a "b" é', "networks": {"depths": [3, 1], "runs": 2}, "machine": {"seed": 2**62}})
    text = to_toml(settings)
    assert validate(parse_toml(text)) == settings
    written = tomllib.loads(text)
    flat = {"name"} | {f"{section}.{key}" for section in written if section != "name" for key in written[section]}
    assert flat == set(known_keys())


def test_every_key_has_a_description() -> None:
    assert all(known_keys().values())


def test_overrides_are_toml_or_bare_words_or_lists() -> None:
    values = apply_overrides(
        {"networks": {"depths": [1]}},
        [
            "networks.runs=2",
            "networks.activations=relu, tanh",
            "networks.depths=[2,3]",
            "name=hi there",
            "measure.controls=[]",
            "training.learning_rate=1e-2",
        ],
    )
    settings = validate(values)
    assert settings.networks.runs == 2
    assert settings.networks.activations == ("relu", "tanh")
    assert settings.networks.depths == (2, 3)
    assert settings.name == "hi there"
    assert settings.measure.controls == ()
    assert settings.training.learning_rate == 0.01


def test_overrides_that_name_no_key_are_refused_together() -> None:
    with pytest.raises(SettingsError) as caught:
        apply_overrides({}, ["networks.run=2", "epochs"])
    assert [str(one) for one in caught.value.mistakes] == [
        "networks.run: unknown key; did you mean networks.runs?",
        "epochs: write --set KEY=VALUE",
    ]


def test_a_file_that_is_no_study_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    for content, wanted in (
        (b"a = \xff", "not UTF-8"),
        (b"a = [1,", "not a TOML file"),
        (b"a = " + b"[" * 5000, "not a TOML file"),
        (b"#" * (MAX_STUDY_FILE_BYTES + 1), "is no study file"),
    ):
        path.write_bytes(content)
        with pytest.raises(RequestError, match=wanted) as caught:
            read_study_file(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(RequestError, match="cannot be read"):
        read_study_file(tmp_path)
    with pytest.raises(RequestError, match="cannot be read"):
        read_study_file(tmp_path / "missing.toml")


def test_presets_are_sound_and_the_demo_comes_first() -> None:
    names = preset_names()
    assert names[0] == "demo"
    for name in names:
        preset = load_preset(name)
        assert preset.settings.name == name
        assert preset.about


def test_fig2_is_the_papers_figure() -> None:
    settings = load_preset("fig2").settings
    assert settings == StudySettings(name="fig2")
    assert settings.data.datasets == ("mnist",)
    assert settings.networks.depths == (5,)
    assert settings.networks.width == 100
    assert settings.networks.runs == 5
    assert set(settings.networks.activations) == {"logsig", "tanh", "softsign", "relu"}


def test_a_mark_before_the_text_is_no_mistake_and_a_mistake_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "bom"\n')
    assert read_study_file(path) == {"name": "bom"}
    path.write_text("[networks\n")
    with pytest.raises(RequestError, match=r"windows.toml: not a TOML file: .*line 1"):
        read_study_file(path)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("file:/a,b.npz", ["file:/a,b.npz"]),
        ("file:/a, b.npz, mnist", ["file:/a, b.npz", "mnist"]),
        ("digits, file:/a,,b.npz,file:c.npz", ["digits", "file:/a,,b.npz", "file:c.npz"]),
        ("mnist,svhn,", ["mnist", "svhn"]),
    ],
)
def test_a_comma_in_a_path_divides_nothing(typed: str, wanted: list[str]) -> None:
    assert apply_overrides({}, [f"data.datasets={typed}"])["data"]["datasets"] == wanted


@pytest.mark.parametrize(("typed", "wanted"), [(".01", 0.01), ("1.", 1.0), ("-.5e-3", -0.0005), ("1e-2", 0.01)])
def test_numbers_as_people_write_them(typed: str, wanted: float) -> None:
    assert apply_overrides({}, [f"training.learning_rate={typed}"])["training"]["learning_rate"] == wanted
