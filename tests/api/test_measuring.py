"""`measure`, `measure_rows` and `load`: the whole way through a real worker, and every mistake in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import embcx_tui
from embcx_tui.compute.samples import measured_sample
from embcx_tui.compute.tsne.complexity import measure_layer
from embcx_tui.compute.tsne.result import Measurement
from embcx_tui.store.files import read_arrays
from embcx_tui.store.paths import StudyPaths, studies_folder
from embcx_tui.study.seeds import stream_seed
from tests.api.small import CLASSES, PERPLEXITY, POINTS, blobs, loader, network


def test_a_model_is_measured_beside_its_untrained_control(capsys: pytest.CaptureFixture[str]) -> None:
    data, model, untrained = blobs(), network(), network(seed=2)
    study = embcx_tui.measure(
        model, loader(data), untrained=untrained, name="small", points=POINTS, perplexity=PERPLEXITY
    )
    assert study.state == "complete" and study.name == "small"
    trained = [one for one in study.layers if one.control is None]
    assert [(one.layer, one.name, one.units, one.pool, one.points) for one in trained] == [
        (0, "input", 12, "flatten", POINTS),
        (1, "1", 16, "flatten", POINTS),
        (2, "3", 8, "flatten", POINTS),
        (3, "4", 4, "flatten", POINTS),
    ]
    assert [one.name for one in study.layers if one.control == "untrained"] == ["input", "1", "3", "4"]
    # Against the engine itself, on rows taken by hand.
    index = measured_sample(data.tensors[1].numpy(), tuple("0123"), POINTS, 0, stream_seed(0, "data", 0, "sample"))
    with torch.no_grad():
        rows = model[1](model[0](data.tensors[0][index])).numpy()
    seed = stream_seed(0, "", 0, "embedding/tsne")
    assert trained[1].kl == measure_layer(rows, seed, Measurement(perplexity=PERPLEXITY)).kl
    assert trained[1].knn is not None and trained[1].metrics["gdv"] is not None
    arrays = read_arrays(studies_folder() / study.id, study.snapshot.samples["data-" + _key()].file)
    assert arrays["index"].tolist() == index.tolist() and arrays["input"].shape == (POINTS, 12)
    assert not any(StudyPaths(studies_folder() / study.id).inbox.glob("[0-9]*"))
    printed = capsys.readouterr().out
    assert f"study {study.id} 'small': complete" in printed and f"{trained[1].kl:.4f}" in printed
    _can_be_read_again(study)


def _key() -> str:
    from embcx_tui.study.plan import sample_id

    return sample_id("data", 0).removeprefix("data-")


def _can_be_read_again(study: Any) -> None:
    """`load` gives the same, as plain values and, where pandas is installed, as a frame."""
    again = embcx_tui.load("last")
    assert again.id == study.id and again.layers == study.layers == embcx_tui.load(study.id[:6]).layers
    document = again.as_dict()
    assert [one["kl"] for one in document["networks"][0]["layers"]] == [one.kl for one in study.layers[:4]]
    with pytest.raises(embcx_tui.EmbcxError, match=r"^there is no table 'nets'; there are layers, summary"):
        again.frame("nets")
    try:
        import pandas  # noqa: F401
    except ImportError:
        with pytest.raises(embcx_tui.EmbcxError, match=r"^data frames need pandas"):
            again.frame()
    else:
        frame = again.frame()
        assert frame["kl"].tolist()[:4] == [one.kl for one in study.layers[:4]] and "width" in frame.columns


def test_rows_are_measured_as_they_are_and_a_layer_that_is_not_finite_fails_alone() -> None:
    random = np.random.default_rng(3)
    labels = np.repeat(["cat", "dog", "cow"], 30)
    maps = random.standard_normal((90, 3, 5, 5)).astype(np.float32)
    broken = random.standard_normal((90, 4)).astype(np.float32)
    broken[7, 1] = np.nan
    wide = torch.randn(90, 5000, dtype=torch.bfloat16)
    rows = {"input": random.random((90, 6)), "conv": maps, "broken": broken, "wide": wide}
    study = embcx_tui.measure_rows(rows, labels, pool="mean", perplexity=PERPLEXITY, quiet=True)
    assert [(one.name, one.units, one.pool, one.error) for one in study.layers] == [
        ("input", 6, "flatten", ""),
        ("conv", 3, "mean", ""),
        ("broken", 0, "", "1 of 90 rows are not finite (float16?)"),
        ("wide", 5000, "flatten", ""),
    ]
    seed = stream_seed(0, "", 0, "embedding/tsne")
    means = maps.mean(axis=(2, 3), dtype=np.float64).astype(np.float32)
    assert study.layers[1].kl == measure_layer(means, seed, Measurement(perplexity=PERPLEXITY)).kl
    # The widest is measured by 90 coordinates: gdv has no meaning for those.
    assert study.layers[3].kl is not None and study.layers[3].metrics["gdv"] is None
    assert study.layers[1].metrics["gdv"] is not None
    assert study.snapshot.datasets["data"].classes == ("cat", "cow", "dog")


X, Y = np.zeros((90, 4)) + np.arange(90)[:, None], np.arange(90) % 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rows": {"a": X}, "labels": Y[:89]}, "89 labels, but 90 rows; one label per row is needed"),
        ({"rows": {"a": X, "b": X[:80]}}, "b has 80 rows and a 90; layers have one row per input"),
        ({"rows": {"a": X.astype(str)}}, "a: <U32 of shape (90, 4) are no rows"),
        ({"rows": {"a": X[:, 0]}}, "a: float64 of shape (90,) are no rows"),
        ({"rows": {}}, "rows are a dict by the names of the layers"),
        ({"rows": {"a": X}, "labels": X[:, 0] + 0.5}, "labels: 90 different values with fractions are no classes"),
        ({"rows": {"a": X}, "labels": Y, "perplexity": 30.0}, "perplexity 30 needs more than 3 times as many points"),
        ({"rows": {"a": X}, "labels": Y, "points": 30, "per_class": 40}, "the smallest class, 0, has 30 rows"),
        ({"rows": {"a": X[:, :, None, None]}, "pool": "first"}, "a: first takes a token of [n, tokens, units]"),
        ({"rows": {"a": X}, "untrained": {"b": X}}, "untrained= needs the same layers of the same inputs"),
        ({"rows": {"a": X}, "memory": "lots"}, "memory='lots' is no amount of memory; write it as 4 GiB"),
        ({"rows": {"a": X}, "name": "a", "device": "tpu"}, "machine.device:"),
        ({"rows": {"a\x1b[2J": X}}, "the name 'a' holds characters that cannot be shown"),
    ],
)
def test_a_mistake_in_rows_is_one_line_and_leaves_no_study(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(embcx_tui.EmbcxError) as raised:
        embcx_tui.measure_rows(**{"perplexity": PERPLEXITY, **wrong})
    assert str(raised.value).startswith(said) and "\n" not in str(raised.value)
    assert not studies_folder().exists() or not list(studies_folder().iterdir())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layers": "conv*"}, "no layer is called 'conv*'; the nearest names: "),
        ({"layers": ["0", "9"]}, "no layer is called '9'"),
        (
            {"labels": torch.rand(400)},
            "labels: 400 different values with fractions are no classes; give other labels; ",
        ),
        ({"labels": torch.zeros(399)}, "399 labels, but 400 inputs in the loader's dataset"),
        ({"points": 30}, "perplexity 30 needs more than 3 times as many points, and there are 28; perplexity=9 fits"),
        ({"points": 80, "per_class": 101}, "the smallest class, 0, has 100 rows"),
        ({"memory": 5_000}, "1: 80 rows of 16 units take"),
        ({"pool": "median"}, "pool='median' is none of flatten, mean, max, first, last"),
        ({"control": "untrained", "untrained": nn.Linear(1, 1)}, "control= says that the model is one itself"),
    ],
)
def test_a_mistake_in_a_request_is_one_line_and_leaves_no_study(wrong: dict[str, Any], said: str) -> None:
    given = {"points": POINTS, "perplexity": 30.0 if "points" in wrong else PERPLEXITY, **wrong}
    if wrong.get("points") == 80:
        given["perplexity"] = PERPLEXITY
    with pytest.raises(embcx_tui.EmbcxError) as raised:
        embcx_tui.measure(network(), loader(), **given)
    assert str(raised.value).startswith(said) and "\n" not in str(raised.value)
    assert not studies_folder().exists() or not list(studies_folder().iterdir())


def test_more_points_than_the_exact_engine_holds_need_the_other_and_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"a": np.random.default_rng(0).random((12_000, 2))}
    with pytest.raises(embcx_tui.EmbcxError, match=r'^12,000 points need engine="opentsne"'):
        embcx_tui.measure_rows(rows, points=12_000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 800_000_000}))
    with pytest.raises(embcx_tui.EmbcxError, match=r"^12,000 points need 1\.4 GB, .* points=6,300 fit"):
        embcx_tui.measure_rows(rows, points=12_000, engine="opentsne")
    many = {"a": np.random.default_rng(0).random((20_001, 2))}
    with pytest.raises(embcx_tui.EmbcxError, match=r"^20,001 points are too many: at most 20,000"):
        embcx_tui.measure_rows(many, points=20_001, engine="opentsne")


def test_what_the_models_forward_raises_comes_through() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        embcx_tui.measure(nn.Sequential(nn.Linear(5, 5)), loader(), points=POINTS, perplexity=PERPLEXITY)


def test_names_of_classes_come_from_the_dataset_or_the_caller() -> None:
    from embcx_tui.api.measuring import Tapped, options_of

    data = blobs()
    data.classes = ["ant", "bee", "cat", "dog"]  # type: ignore[attr-defined]  # as torchvision's datasets have them
    options = options_of("small", "", "", points=POINTS, perplexity=PERPLEXITY)

    def classes(**given: Any) -> tuple[str, ...]:
        arguments = {"labels": "auto", "classes": None, **given}
        return Tapped(network(), loader(data), options, "auto", memory="1 GiB", forward=None, **arguments).drawn.classes

    assert classes() == ("ant", "bee", "cat", "dog")
    assert classes(classes=["w", "x", "y", "z"]) == ("w", "x", "y", "z")
    assert classes(labels=None) == ("all",)
    with pytest.raises(embcx_tui.EmbcxError, match=r"^labels: 2 names of classes are for labels from 0 to 1"):
        classes(classes=["w", "x"])
    assert CLASSES == 4
