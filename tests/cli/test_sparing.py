"""Commands write into a user's folder and into a study's, and spare what is somebody's own in both."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from embcx_tui.cli import cli
from embcx_tui.cli.run import requested_settings
from embcx_tui.store import written_files
from embcx_tui.store.machine_records import stored_calibration
from embcx_tui.store.self_checks import has_passed
from embcx_tui.study.errors import EmbcxError, RequestError
from embcx_tui.tui.preferences import Preferences, Remembered, read_preferences, read_remembered
from tests import small_study


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def refused(done: Result) -> str:
    """Return the line that a command ended with."""
    assert isinstance(done.exception, EmbcxError), done.output
    assert "\n" not in str(done.exception)
    return str(done.exception)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.is_symlink()}


COMMANDS = {
    "report": ("report", "last"),
    "export": ("export", "last", "--figure", "training-mnist", "--dpi", "50"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_the_user_stays_unless_told_and_ours_are_replaced(command: str, tmp_path: Path) -> None:
    small_study.write(small_study.settings(runs=1, depths=[2]))
    out = tmp_path / "out"
    words = (*COMMANDS[command], "--out", str(out))
    assert call(*words).exit_code == 0
    ours = content(out)
    assert call(*words).exit_code == 0, "what a command wrote it replaces"
    name = sorted(ours)[-1]
    (out / name).write_bytes(b"edited")
    before = content(out)
    assert name in (line := refused(call(*words))) and "--overwrite" in line
    assert content(out) == before, "nothing at all is written"
    (out / name).unlink()
    (tmp_path / "mine").write_bytes(b"mine")
    (out / name).symlink_to(tmp_path / "mine")
    refused(call(*words))
    assert call(*words, "--overwrite").exit_code == 0
    assert content(out) == ours and (tmp_path / "mine").read_bytes() == b"mine"
    assert call(*words).exit_code == 0


def test_a_users_file_in_a_new_folder_stays(tmp_path: Path) -> None:
    small_study.write(small_study.settings(runs=1, depths=[2]))
    out = tmp_path / "out"
    out.mkdir()
    (out / "summary.csv").write_text("MY DATA")
    assert "summary.csv: already there" in refused(call("report", "last", "--out", str(out)))
    assert content(out) == {"summary.csv": b"MY DATA"}


def test_a_fifo_in_the_folder_blocks_nothing(tmp_path: Path) -> None:
    small_study.write(small_study.settings(runs=1, depths=[2]))
    os.mkfifo(tmp_path / "report.md")
    assert "report.md: already there" in refused(call("report", "last", "--out", str(tmp_path)))
    assert (tmp_path / "report.md").is_fifo()


def test_a_record_that_cannot_be_read_or_written_makes_all_files_somebodys_own(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"ours")
    written_files.remember([file, tmp_path / "missing"])
    assert written_files.not_ours([file, tmp_path / "missing"]) == []
    for damaged in (b"", b"[]", b"\xff", b'{"x": 3}'):
        (home / "written.json").write_bytes(damaged)
        assert written_files.not_ours([file]) == [file]
    (home / "written.json").unlink()
    os.mkfifo(home / "written.json")
    assert written_files.not_ours([file]) == [file]
    written_files.remember([file])
    assert written_files.not_ours([file]) == [], "a record is published, whatever lay in its place"


@pytest.mark.parametrize("link", ["exports", "exports/report"])
def test_exports_that_are_a_link_are_not_written_through(link: str, tmp_path: Path) -> None:
    study = small_study.write(small_study.settings(runs=1, depths=[2]))
    thesis = tmp_path / "thesis"
    (thesis / "report").mkdir(parents=True)
    (thesis / "report.md").write_text("MY THESIS")
    place = study.paths.root / link
    if link == "exports":
        place.rmdir()
    place.symlink_to(thesis)
    assert "symbolic link" in refused(call("report", "last"))
    if link == "exports":
        assert "symbolic link" in refused(call("export", "last"))
        assert "symbolic link" in refused(call("export", "last", "--out", str(place)))
    assert sorted(path.name for path in thesis.rglob("*")) == ["report", "report.md"]
    assert (thesis / "report.md").read_text() == "MY THESIS"


def test_a_fifo_in_place_of_a_file_of_the_home_blocks_nothing(home: Path) -> None:
    home.mkdir()
    for name in ("calibration.json", "devices.json", "preferences.toml", "state.toml", "study.toml"):
        os.mkfifo(home / name)
    assert stored_calibration("cpu") is None and not has_passed({})
    preferences, said = read_preferences()
    assert preferences == Preferences() and "not a plain file" in said[0]
    assert read_remembered() == Remembered()
    with pytest.raises(RequestError, match="not a plain file"):
        requested_settings(str(home / "study.toml"), (), None)


def test_a_users_own_links_are_followed(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    (tmp_path / "dotfiles.toml").write_text('theme = "light"\n')
    (home / "preferences.toml").symlink_to(tmp_path / "dotfiles.toml")
    assert read_preferences()[0].theme == "light"
    small_study.write(small_study.settings(runs=1, depths=[2]))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    words = ("export", "last", "--figure", "training-mnist", "--dpi", "50", "--out", str(tmp_path / "link"))
    assert call(*words).exit_code == call(*words).exit_code == 0
    assert len(list((tmp_path / "real").iterdir())) == 2
