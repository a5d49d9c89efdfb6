"""`bench` as a user types it, on digits: what it says, not how fast it is."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from embcx_tui.cli import cli
from embcx_tui.store.machine_records import Calibration
from embcx_tui.worker import launch
from tests.cli.test_commands import embcx, refused

# Different places where descents come to rest score up to a percent apart on one layer.
NOISE = 0.02


def finite(value: Any) -> bool:
    """Tell whether every number in a JSON value is one."""
    if isinstance(value, dict):
        return all(finite(one) for one in value.values())
    if isinstance(value, list):
        return all(finite(one) for one in value)
    return not isinstance(value, float) or math.isfinite(value)


def test_embed_beside_opentsne() -> None:
    done = embcx("bench", "embed", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert finite(found)
    ours, theirs = found["ours"], found["reference"]
    for one in (ours, theirs):
        assert {"name", "seconds", "cpu_seconds", "exact_kl", "settings"} <= set(one)
    assert theirs["name"].startswith("openTSNE ")
    assert found["ratio"] == pytest.approx(theirs["seconds"] / ours["seconds"])
    assert 0 < ours["exact_kl"] <= theirs["exact_kl"] * (1 + NOISE)
    assert {"cpu", "cores", "load", "gpu", "driver", "versions"} <= set(found["machine"])
    layers = [row["layer"] for row in found["rows"]]
    assert layers[::2] == layers[1::2] == ["input", "trained 1", "trained 2", "untrained 1", "untrained 2"]
    mean = sum(row["exact_kl"] for row in found["rows"][::2]) / 5
    assert mean == pytest.approx(ours["exact_kl"], rel=1e-6)
    assert [row["n"] for row in found["growth"]] == [100, 200]
    assert [row["embeddings"] for row in found["counts"]] == [1, 2]
    assert found["memory"]["ours"] > 0


@pytest.fixture(scope="module")
def bench_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def train_result(bench_home: Path) -> dict[str, Any]:
    """What `bench train` says as JSON."""
    done = embcx("bench", "train", "--quick", "--json", EMBCX_HOME=str(bench_home))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_train_beside_a_plain_loop(train_result: dict[str, Any], bench_home: Path) -> None:
    found = train_result
    assert finite(found)
    ours, theirs = found["ours"], found["reference"]
    assert found["ratio"] == pytest.approx(theirs["seconds"] / ours["seconds"])
    # The same weights and the same minibatches: a few steps lead to the same predictions but for rounding.
    assert ours["test_accuracy"] == pytest.approx(theirs["test_accuracy"], abs=0.01)
    assert [row["networks"] for row in found["rows"]] == [1, 4]
    assert all(row["peak_memory"] > 0 for row in found["rows"])
    # Measured on the way, for the estimates of studies.
    assert set(found["calibration"]) == {field.name for field in fields(Calibration)}
    assert (bench_home / "calibration.json").stat().st_mode & 0o777 == 0o600


def test_the_paper_is_extrapolated_and_says_so() -> None:
    done = embcx("bench", "paper", "--quick")
    assert done.returncode == 0, done.stderr
    assert "(extrapolated)" in done.stdout and "random pixels" in done.stdout
    assert "where the time of demo goes" in done.stdout and "descent and score" in done.stdout


def test_a_user_gets_tables_and_a_chart(train_result: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "ask", lambda *words, **options: {"result": train_result})
    done = CliRunner().invoke(cli, ["bench", "train", "--quick"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for words in ("times as fast as plain PyTorch loop", "networks in a cohort", "test accuracy", "load"):
        assert words in done.stdout
    assert "\x1b" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) < 400


@pytest.mark.parametrize(
    "words", [("bench", "fly"), ("bench", "embed", "--device", "cuda:99"), ("bench", "--device", "tpu")]
)
def test_what_cannot_be_measured_is_one_line(words: tuple[str, ...]) -> None:
    assert "embcx-tui: " in refused(embcx(*words))
