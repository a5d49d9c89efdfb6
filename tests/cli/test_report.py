"""`embcx-tui report`: one page from which a stranger can repeat a study."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from embcx_tui.analysis.markdown import escaped, fenced
from embcx_tui.analysis.report import report
from embcx_tui.cli import cli
from embcx_tui.compute.training.network import GAINS, OUTPUT_GAIN
from embcx_tui.compute.tsne.affinities import MAX_DUPLICATES
from embcx_tui.compute.tsne.initialization import START_SPREAD
from embcx_tui.compute.tsne.large_layer import TOLERANCE
from embcx_tui.compute.tsne.schedule import (
    DEFAULT_SCHEDULE,
    PLAIN_SCHEDULE,
    THOROUGH_SCHEDULE,
    Search,
    ThoroughSearch,
)
from embcx_tui.study.parts import with_parts
from embcx_tui.study.sample_sizes import PACKED
from embcx_tui.study.settings import validate
from tests import small_study


def write(folder: Path, *more: str) -> str:
    done = CliRunner().invoke(cli, ["report", "last", "--out", str(folder), *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(folder / "report.md")
    return (folder / "report.md").read_text(encoding="utf-8")


def test_the_page_holds_all_and_links_only_what_is_there(tmp_path: Path) -> None:
    asked = small_study.settings(runs=2, measure={"methods": ["tsne", "pca"]})
    small_study.write(
        asked,
        skip=frozenset({"mnist-d5-logsig-r0-l2"}),
        degenerate=frozenset({"mnist-d5-logsig-r1-l5"}),
        diverged=frozenset({"mnist-d5-relu-r1"}),
        chance=frozenset({"mnist-d5-relu-r0"}),
        spread=0.1,
    )
    page = write(tmp_path)
    for name in re.findall(r"!\[.*?\]\((.*?)\)", page):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / name).with_suffix(".csv").is_file()
    for name in ("layers.csv", "summary.csv", "trend.csv", "accuracy.csv", "epochs.csv"):
        assert (tmp_path / name).is_file() and name in page
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert validate(tomllib.loads(toml)) == with_parts(asked)
    for words in (
        "perplexity 30", "N = 120 points", "built-in exact engine", "| seed | 0 |", "8 epochs; the paper: up to 100",
        "not convex", "60,000 images", "Page's L", "Spearman's ρ", "trustworthiness", "fig2.png",
        r"Diverged networks, left out: mnist-d5-relu-r1 \(epoch 3\)", "at chance, included: mnist-d5-relu-r0",
        r"Degenerate layers, whose networks enter no mean: mnist-d5-logsig-r1-l5 \(tsne\)",
        r"mnist-d5-logsig-r0-l2 \(pca\)",
        "This study is not complete",
    ):  # fmt: skip
        assert words.replace("_", r"\_") in page or words in page, words
    again = tmp_path / "again"
    assert write(again) == page
    assert "at chance, left out, as asked: mnist-d5-relu-r0" in write(again, "--exclude-chance")


def test_it_has_every_figure_but_the_embeddings_of_single_networks(tmp_path: Path) -> None:
    small_study.write(small_study.settings(depths=[1], activations=["relu"], runs=2))
    listed = CliRunner().invoke(cli, ["export", "last", "--list"], catch_exceptions=False).stdout.split()
    single = {name for name in listed if name.startswith(("embedding", "flight"))}
    assert len(single) == 8, "two networks and their controls, their layers side by side and in flight"
    page = write(tmp_path)
    there = {path.stem for path in tmp_path.glob("*.png")}
    assert there == set(listed) - single == {Path(name).stem for name in re.findall(r"!\[.*?\]\((.*?)\)", page)}


def run_there(home: Path, folder: Path, *command: str) -> str:
    """Run `embcx-tui` in a process of its own with its own home and folder; its standard output."""
    environment = {**os.environ, "EMBCX_HOME": str(home)}
    words = [sys.executable, "-m", "embcx_tui", *command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_study_is_repeated_from_its_report_alone(tmp_path: Path) -> None:
    first, second, page_at = tmp_path / "first", tmp_path / "second", tmp_path / "page"
    asked = {
        "data.datasets": "digits",
        "data.samples_per_class": "12",
        "data.sample_from": "both",
        "networks.depths": "2",
        "networks.activations": "tanh,relu",
        "networks.runs": "2",
        "networks.width": "16",
        "training.epochs": "3",
        "measure.perplexity": "10",
        "machine.seed": "7",
    }
    run_there(first, tmp_path, "run", "demo", *(f"--set={key}={value}" for key, value in asked.items()))
    run_there(first, tmp_path, "report", "last", "--out", str(page_at))
    page = (page_at / "report.md").read_text(encoding="utf-8")
    # From here on nothing but the page is used.
    (commands,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    (study,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "study.toml").write_text(study, encoding="utf-8")
    for line in commands.strip().splitlines():
        program, *words = shlex.split(line)
        assert program == "embcx-tui"
        run_there(second, folder, *words)
    told = [json.loads(run_there(home, tmp_path, "show", "last", "--json")) for home in (first, second)]
    for key in ("networks", "summary", "statistics"):
        assert told[0][key] == told[1][key]
    assert len(told[1]["networks"]) == 12 and all(len(network["layers"]) == 3 for network in told[1]["networks"])


def test_text_from_outside_cannot_write_into_the_page() -> None:
    evil = "![x](http://a/b) <script>|`_*\x1b[31m\n# head www.a.b $x$"
    shown = escaped(evil)
    assert "\x1b" not in shown and "\n" not in shown
    assert not re.search(r"(?<!\\)[\[\]()<>|`*_$:#]", shown)
    asked = validate(
        {
            "name": evil,
            "data": {"datasets": ["file:/data/```# no.npz"], "samples_per_class": 12},
            "networks": {"depths": [3], "activations": ["relu"], "runs": 1},
        }
    )
    page = report(small_study.write(asked).snapshot, {}, ())
    assert not re.search(r"^# (head|no)", page, re.MULTILINE) and "<script>" not in page.split("~~~")[0].split("```")[0]
    assert "\x1b" not in page


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert fenced("a\n````\n  b\u202e", "toml") == ["`````toml", "a", "````", "  b", "`````", ""]


def test_a_study_without_measurements_has_a_page_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = small_study.settings(runs=1)
    small_study.write(asked, diverged=frozenset({"mnist-d5-relu-r0", "mnist-d5-logsig-r0"}), skip=frozenset({"x"}))
    page = write(tmp_path)
    assert "Diverged networks, left out: mnist-d5-logsig-r0" in page and "fewer than 2 runs" in page


def test_the_page_states_the_choices_that_the_code_makes() -> None:
    """What the paper leaves open, against the constants that decide it."""
    page = report(small_study.write().snapshot, {}, ())
    gain = {name: "√2" if value == math.sqrt(2) else f"{value:g}" for name, value in GAINS.items()}
    assert f"the gain being {gain['logsig']} for logsig, {gain['tanh']} for tanh and softsign, " in page
    assert gain["softsign"] == gain["tanh"]
    assert f"{gain['relu']} for relu and {OUTPUT_GAIN:g} for the output layer" in page
    *annealing, last = DEFAULT_SCHEDULE.phases
    factors = [f"{phase.exaggeration:g}" for phase in annealing]
    (iterations,) = {phase.iterations for phase in annealing}
    search = DEFAULT_SCHEDULE.search
    assert isinstance(search, Search) and (search.starts, search.kept, search.groups) == (4, 2, 1)
    assert f"while P is multiplied by {', '.join(factors[:-1])} and {factors[-1]}, {iterations} iterations each" in page
    assert f"lowest exact KL after {search.screened_after * iterations} iterations go on" in page
    assert f"{DEFAULT_SCHEDULE.window} iterations after the last factor" in page and last.exaggeration == 1
    assert f"a standard deviation of {START_SPREAD:.0e}".replace("e-0", "e-") in page
    assert f"less than {DEFAULT_SCHEDULE.tolerance:.0e}".replace("e-0", "e-") in page
    assert f"{DEFAULT_SCHEDULE.max_iterations:,} iterations in all at most" in page
    assert MAX_DUPLICATES == 1 / 5 and "a fifth of its rows or more equal another" in page
    of_input = THOROUGH_SCHEDULE.search
    assert isinstance(of_input, ThoroughSearch) and THOROUGH_SCHEDULE.phases == DEFAULT_SCHEDULE.phases
    (early, many), (late, few) = of_input.screens
    assert (
        f"has {of_input.starts} starts instead: the {many} with the lowest exact KL after {early * iterations}" in page
    )
    assert f"of these the {few} lowest after {late * iterations}" in page
    assert f"scaled to {of_input.gathered_to:g}, with normal noise of {of_input.jitter:g} times its extent" in page
    factors = [f"{phase.exaggeration:g}" for phase in of_input.phases]
    assert f"multiplied by {', '.join(factors[:-1])} and {factors[-1]}, {of_input.phases[0].iterations} iter" in page
    annealed = report(small_study.write(small_study.settings(measure={"search": "annealed"})).snapshot, {}, ())
    assert "24 starts" not in annealed and "Of four starts the two" in annealed
    plain = report(small_study.write(small_study.settings(measure={"search": "plain"})).snapshot, {}, ())
    first, second, rest = PLAIN_SCHEDULE.phases
    assert (
        f"{first.iterations} iterations with P multiplied by {first.exaggeration:g}, {second.iterations} with" in plain
    )
    assert (second.exaggeration, rest.exaggeration) == (1, 1) and "5,000 in all at most" in plain
    assert PLAIN_SCHEDULE.max_iterations == 5_000


def test_large_samples_are_named_with_their_tolerance() -> None:
    snapshot = small_study.write(small_study.settings()).snapshot
    assert "exact-packed" not in report(snapshot, {}, ())
    large = {key: one.model_copy(update={"engine": PACKED}) for key, one in snapshot.measured.items()}
    page = report(replace(snapshot, measured=large), {}, ())
    assert f"`{PACKED}`" in page and f"changes by less than {TOLERANCE:.0e}".replace("e-0", "e-") in page
