"""`embcx-tui export` and `show` on studies written by the real writer."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from embcx_tui.cli import cli
from embcx_tui.study.errors import RequestError
from embcx_tui.study.settings import load_preset, preset_names
from tests import small_study
from tests.small_study import SmallStudy


def embcx(*words: str) -> Result:
    """Run a command in this process: figures need no other."""
    done = CliRunner().invoke(cli, words, catch_exceptions=True)
    if isinstance(done.exception, RequestError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def study() -> SmallStudy:
    return small_study.write(chance=frozenset({"mnist-d5-relu-r1"}), diverged=frozenset({"mnist-d5-logsig-r2"}))


def test_a_figure_comes_with_its_numbers_and_repeats_byte_by_byte(study: SmallStudy, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for kind in ("png", "svg", "pdf"):
        for folder in (first, second):
            done = embcx("export", "last", "--figure", "fig2", "--format", kind, "--out", str(folder))
            assert done.stdout == f"{folder / 'fig2'}.{kind}\n"
            assert "1 network diverged (left out); 1 network at chance: 1 does not generalise (included" in done.stderr
    names = sorted(path.name for path in first.iterdir())
    assert names == ["fig2.csv", "fig2.pdf", "fig2.png", "fig2.svg"]
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    rows = list(csv.DictReader(io.StringIO((first / "fig2.csv").read_text())))
    assert {row["state"] for row in rows if row["group"] == "logsig" and row["run"] == "2"} == {"missing"}


def test_networks_at_chance_are_left_out_when_asked(study: SmallStudy, tmp_path: Path) -> None:
    done = embcx("export", "last", "--figure", "fig2", "--out", str(tmp_path), "--exclude-chance")
    assert "1 network at chance: 1 does not generalise (left out, as asked)" in done.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "fig2.csv").read_text())))
    assert {row["state"] for row in rows if row["group"] == "relu" and row["run"] == "1"} == {"missing"}


def test_what_a_study_cannot_serve_is_said_with_what_it_needs(study: SmallStudy) -> None:
    with pytest.raises(RequestError, match=r"no figure 'fig4' .*needs measured networks of depth 7.* asks for mnist"):
        embcx("export", "last", "--figure", "fig4")
    with pytest.raises(RequestError, match=r"no figure 'fig9' \(it has fig2, accuracy-mnist, .* or all\)"):
        embcx("export", "last", "--figure", "fig9")
    assert embcx("export", "last", "--list").stdout.splitlines()[0] == "fig2"


def test_show_says_what_is_left_out_and_counts_accordingly(study: SmallStudy) -> None:
    kept, without = (json.loads(embcx("show", "last", "--json", *more).stdout) for more in ((), ("--exclude-chance",)))
    counts = [
        {one["n"] for one in document["summary"] if one["activation"] == "relu" and one["control"] is None}
        for document in (kept, without)
    ]
    assert counts == [{3}, {2}]
    assert not kept["statistics"]["exclude_chance"] and without["statistics"]["exclude_chance"]
    assert [one["id"] for one in without["networks"] if one["left_out"]] == ["mnist-d5-logsig-r2", "mnist-d5-relu-r1"]
    assert len(kept["networks"]) == len(without["networks"]) == 12
    # The one at chance has learnt its training inputs.
    for more, n, left_out in (
        ("--exclude-does-not-generalise", {2}, ["mnist-d5-relu-r1"]),
        ("--exclude-did-not-train", {3}, []),
    ):
        document = json.loads(embcx("show", "last", "--json", more).stdout)
        assert n == {one["n"] for one in document["summary"] if one["activation"] == "relu" and one["control"] is None}
        assert document["statistics"]["left_out"]["at_chance"] == left_out
        assert document["statistics"]["excluded_flaw"] == more.removeprefix("--exclude-").replace("-", " ")
    assert kept["statistics"]["excluded_flaw"] is without["statistics"]["excluded_flaw"] is None
    text = embcx("show", "last", "--exclude-chance").stdout
    assert "1 network at chance: 1 does not generalise (left out, as asked)" in text and "does it fall" in text
    assert (
        "at chance: 1 does not generalise (included; --exclude-chance leaves them out)" in embcx("show", "last").stdout
    )


def test_tables_as_csv(study: SmallStudy) -> None:
    for table, lines in (("layers", 11 * 6 + 1), ("summary", 24), ("trend", 4), ("accuracy", 1), ("epochs", 0)):
        rows = list(csv.DictReader(io.StringIO(embcx("show", "last", "--table", table).stdout)))
        assert len(rows) == lines, table
    assert embcx("show", "last", "--csv").stdout == embcx("show", "last", "--table", "layers").stdout


def test_the_presets_are_the_papers_figures_at_full_scale() -> None:
    names = preset_names()
    assert names == ("demo", *(f"fig{number}" for number in range(1, 9)), "paper")
    settings = {name: load_preset(name).settings for name in names}
    for name in names[1:]:
        asked = settings[name]
        assert asked.name == name and asked.training.epochs == 100 and asked.data.samples_per_class == 100
        assert asked.networks.runs == (1 if name in ("fig1", "fig5", "fig7", "fig8") else 5)
        assert f"Figure {name[-1]}" in load_preset(name).about or name == "paper"
    assert set(settings["fig1"].measure.methods) == {"tsne", "pca", "lle", "mds", "isomap"}
    assert settings["paper"].network_count == 280
