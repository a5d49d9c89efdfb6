"""Damage of a study is said by every command and harms no other study; resume makes what was lost again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from embcx_tui.cli import PARTLY, cli
from embcx_tui.store.journal import checksum, open_line
from embcx_tui.store.library import create_study, list_studies
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.events import LineDamaged
from embcx_tui.study.settings import load_preset
from tests.fuzz_studies import SOURCE, Fuzz, sealed
from tests.worker.test_worker import run_to_the_end


def call(*words: str) -> Result:
    """Run a command in this process; an error that is not one of ours ends the test."""
    done = CliRunner().invoke(cli, words)
    if done.exception and not isinstance(done.exception, (SystemExit, EmbcxError)):
        raise done.exception
    return done


def restored(home: Path, study_id: str = SOURCE.name) -> StudyPaths:
    """Copy a complete study into the test's home."""
    paths = StudyPaths(home / "studies" / study_id)
    shutil.copytree(SOURCE, paths.root)
    return paths


def flip(lines: list[bytes], index: int) -> None:
    lines[index] = lines[index][:-3] + bytes([lines[index][-3] ^ 1]) + lines[index][-2:]


def lose(lines: list[bytes], index: int) -> None:
    del lines[index]


def bury(lines: list[bytes], index: int) -> None:
    """Put 5 MB of zeros before a line, as a file system may after a power cut."""
    lines[index] = bytes(5_000_000) + b"\n" + lines[index]


def zero(lines: list[bytes], index: int) -> None:
    lines[index:] = [bytes(sum(map(len, lines[index:])))]


def first_of(lines: list[bytes], kind: str) -> int:
    return next(index for index, line in enumerate(lines) if f'"kind":"{kind}"'.encode() in line)


def damage(paths: StudyPaths, how: Callable[[list[bytes], int], None], kind: str) -> None:
    lines = paths.journal.read_bytes().splitlines(keepends=True)
    how(lines, first_of(lines, kind))
    paths.journal.write_bytes(b"".join(lines))


LOSSES = [
    *((how, kind) for how in (flip, lose) for kind in ("measured", "trained", "sample", "dataset", "epoch", "cohort")),
    (lose, "created"),
    (flip, "accepted"),
    (flip, "created"),
    (bury, "measured"),
]


@pytest.mark.parametrize(("how", "kind"), LOSSES)
def test_a_lost_line_of_a_complete_study_is_said_by_every_command(
    how: Callable[[list[bytes], int], None], kind: str, home: Path, tmp_path: Path
) -> None:
    paths = restored(home)
    assert read_study(paths).damage == ""
    assert call("list").exit_code == 0
    damage(paths, how, kind)
    assert read_study(paths).state == "complete"
    listed = call("list")
    assert listed.exit_code == PARTLY
    assert "complete, damaged" in listed.stdout and "damaged" in listed.stderr
    (row,) = json.loads(call("list", "--json").stdout)
    assert row["state"] == "complete" and "damaged" in row["damage"] and f"resume {paths.id}" in row["damage"]
    for words in (
        ("show", paths.id), ("show", paths.id, "--json"), ("show", paths.id, "--csv"), ("export", paths.id, "--list"),
    ):  # fmt: skip
        done = call(*words)
        assert done.exit_code == PARTLY, words
        assert done.stdout and len(done.stderr.splitlines()) == 1 and f"resume {paths.id}" in done.stderr, words
    assert json.loads(call("show", paths.id, "--json").stdout)["damage"]


def test_a_report_and_figures_of_a_damaged_study_say_so(home: Path, tmp_path: Path) -> None:
    paths = restored(home)
    damage(paths, flip, "measured")
    for command in (("report", paths.id), ("export", paths.id, "--figure", "training-digits", "--dpi", "50")):
        done = call(*command, "--out", str(tmp_path / command[0]))
        assert done.exit_code == PARTLY and "damaged" in done.stderr and done.stdout.count("\n") == 1
    assert "**This study is damaged: " in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_zeros_to_the_end_of_the_journal_make_a_lost_study(home: Path) -> None:
    paths = restored(home)
    damage(paths, zero, "measured")
    assert read_study(paths).state == "lost"
    assert call("list").exit_code == 0


@pytest.mark.parametrize(("how", "kind"), [(flip, "measured"), (lose, "trained"), (lose, "epoch"), (flip, "created")])
def test_resume_makes_what_was_lost_again(
    how: Callable[[list[bytes], int], None], kind: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = restored(home)
    before = read_study(paths)
    damage(paths, how, kind)
    damaged = read_study(paths)
    assert damaged.damage and damaged.resumable
    healed = run_to_the_end(paths)
    assert healed.state == "complete" and healed.damage == "" and not healed.resumable
    assert healed.measured.keys() == before.measured.keys() and healed.trained.keys() == before.trained.keys()
    assert healed.histories["digits"].epochs.keys() == before.histories["digits"].epochs.keys()
    assert healed.created
    assert call("list").exit_code == 0 and call("show", paths.id).exit_code == 0
    kept = {key for key in before.measured if key in damaged.measured}
    assert all(healed.measured[key] == before.measured[key] for key in kept), "what was not lost stays as it was"
    # Damage that comes after the worker is said again.
    damage(paths, flip, "sample")
    assert "damaged line" in read_study(paths).damage


# One bad study and the others


def unreadable(paths: StudyPaths) -> dict[str, Callable[[], object]]:
    text = paths.study_file.read_text(encoding="utf-8")

    def fifo() -> None:
        paths.study_file.unlink()
        os.mkfifo(paths.study_file)

    def folder() -> None:
        paths.journal.unlink()
        paths.journal.mkdir()

    def link() -> None:
        paths.root.rename(paths.root.with_name("elsewhere"))
        paths.root.symlink_to("elsewhere")

    return {
        "empty": lambda: paths.study_file.write_text(""),
        "cut": lambda: paths.study_file.write_text(text[: len(text) // 2]),
        "without a section": lambda: paths.study_file.write_text(text[: text.index("[machine]")]),
        "not UTF-8": lambda: paths.study_file.write_bytes(b"\xff\xfe"),
        "not TOML": lambda: paths.study_file.write_text("{"),
        "gone": paths.study_file.unlink,
        "FIFO": fifo,
        "huge": lambda: os.truncate(paths.study_file, 1 << 40),
        "a journal that is a folder": folder,
        "a link": link,
    }


@pytest.mark.parametrize("kind", unreadable(StudyPaths(SOURCE)))
def test_a_study_that_cannot_be_read_is_listed_with_its_reason_beside_the_others(kind: str, home: Path) -> None:
    good, bad = restored(home), restored(home, "0123456789")
    unreadable(bad)[kind]()
    done = call("list")
    assert done.exit_code == PARTLY
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"id", good.id, bad.id}
    (reason,) = done.stderr.splitlines()
    assert bad.id in reason
    rows = {row["id"]: row for row in json.loads(call("list", "--json").stdout)}
    assert rows[bad.id]["state"] == "damaged" and rows[bad.id]["damage"] and rows[good.id]["damage"] is None
    assert call("show", good.id).exit_code == 0
    for words in (("show",), ("show", "--json"), ("logs",), ("export",), ("report",), ("resume",), ("stop",)):
        refused = call(words[0], bad.id, *words[1:])
        assert refused.exit_code != 0 and isinstance(refused.exception, EmbcxError), words
        assert "\n" not in str(refused.exception)
    os.utime(good.study_file, (1, 1))  # older
    if kind != "a journal that is a folder":
        assert call("show", "last").exit_code == call("show", "first version").exit_code == 0
    deleted = call("delete", bad.id, "--yes")
    if kind == "a link":
        assert isinstance(deleted.exception, EmbcxError) and (home / "studies" / "elsewhere" / "journal.jsonl").exists()
    else:
        assert deleted.exit_code == 0 and list_studies() == (good,)


def test_an_edited_study_file_is_said(home: Path) -> None:
    paths = restored(home)
    text = paths.study_file.read_text(encoding="utf-8")
    paths.study_file.write_text(text.replace('"tanh",', '"logsig",'), encoding="utf-8")
    snapshot = read_study(paths)
    assert "networks" in snapshot.damage and not snapshot.histories
    assert call("list").exit_code == PARTLY


def test_an_edit_that_contradicts_nothing_is_said_too() -> None:
    paths = create_study(load_preset("demo").settings)
    text = paths.study_file.read_text(encoding="utf-8")
    assert call("list").exit_code == 0
    paths.study_file.write_text(text.replace("momentum = 0.9", "momentum = 0.8"), encoding="utf-8")
    assert "study.toml is not the one" in read_study(paths).damage
    assert call("list").exit_code == PARTLY
    paths.study_file.write_text(text, encoding="utf-8")
    assert call("list").exit_code == 0


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("created", {"at": 1e18}), ("created", {"at": 1e308}), ("dataset", {"n_test": 0}), ("dataset", {"chance": 2}),
        ("dataset", {"shape": [-8, -8, 1]}), ("dataset", {"dataset": "mnist"}), ("sample", {"run": 9}),
        ("cohort", {"cohort": "mnist"}), ("cohort", {"networks": ["x"]}), ("cohort", {"networks": []}),
        ("cohort", {"cohort": "../../x"}), ("epoch", {"epoch": -5}), ("epoch", {"epoch": 10**18}),
        ("epoch", {"test_accuracy": []}), ("trained", {"network": "x"}), ("measured", {"layer": 7}),
        ("measured", {"method": "lle"}), ("measured", {"epoch": 1}), ("measured", {"perplexity": float("inf")}),
        ("measured", {"metrics": {"\x1b[31m": 1.0}}), ("worker-started", {"pid": 10**30}),
    ],
)  # fmt: skip
def test_a_line_that_contradicts_the_plan_or_has_no_sense_is_left_out_and_said(
    kind: str, change: dict[str, Any], home: Path
) -> None:
    paths = restored(home)
    lines = paths.journal.read_bytes().splitlines()
    index = first_of(lines, kind)
    lines[index] = sealed({**json.loads(lines[index].partition(b" ")[2]), **change})
    paths.journal.write_bytes(b"\n".join(lines) + b"\n")
    assert read_study(paths).damage, "said"
    Fuzz(0).read(paths)
    assert call("list").exit_code == PARTLY and call("logs", paths.id).exit_code == 0


def test_numbers_that_are_as_good_as_infinite_are_unknown(home: Path) -> None:
    paths = restored(home)
    lines = paths.journal.read_bytes().splitlines()
    index = first_of(lines, "measured")
    event = json.loads(lines[index].partition(b" ")[2])
    lines[index] = sealed({**event, "kl": 1e308, "quality": {"trustworthiness": float("inf")}})
    paths.journal.write_bytes(b"\n".join(lines) + b"\n")
    document = json.loads(call("show", paths.id, "--json").stdout, parse_constant=pytest.fail)
    layers = [layer for network in document["networks"] for layer in network["layers"]]
    found = [*layers, *(one for network in document["networks"] for one in network["earlier"])]
    assert [one for one in found if one["kl"] is None]
    Fuzz(0).read(paths)


# What bytes there may be


@pytest.mark.filterwarnings("error::RuntimeWarning")  # it would be painted over the screen
@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_bytes_no_reader_ends_with_a_traceback(seed: int, home: Path) -> None:
    fuzz, target = Fuzz(seed), StudyPaths(home / "studies" / "0123456789")
    said = 0
    for number in range(25):
        done = fuzz.damage(target.root)
        try:
            fuzz.read(target)
            said += bool(json.loads(call("list", "--json").stdout)[0]["damage"])
        except Exception as error:
            error.add_note(f"seed {seed}, damage {number}: {done}")
            raise
    assert said >= 5, "most kinds of damage are noticed"


def test_a_line_with_a_valid_checksum_is_read_only_where_it_is_an_event() -> None:
    for payload in (
        b"", b"{}", b"[]", b"null", b'{"kind":"damaged","reason":"x"}', b'{"kind":"epoch"}', b"\xff", b"[" * 10**5,
    ):  # fmt: skip
        assert isinstance(open_line(checksum(payload) + b" " + payload), LineDamaged), payload[:40]
