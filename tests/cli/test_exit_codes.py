"""However a command ends, its exit code is one of the README's table, and an error is one line."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
import pytest

from embcx_tui import cli as commands
from embcx_tui.study.errors import RequestError, StoreError

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        (None, 0, ""),
        (RequestError("no such study"), 2, "embcx-tui: no such study\n"),
        (StoreError("the disk is gone"), 2, "embcx-tui: the disk is gone\n"),
        (OSError(28, "disk full", "/x/report.md"), 2, "embcx-tui: /x/report.md: disk full\n"),
        (click.UsageError("give NAME"), 2, "embcx-tui: give NAME\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (BrokenPipeError(), 0, ""),
        (ZeroDivisionError("ours"), 70, "embcx-tui: a defect of embcx-tui (ZeroDivisionError: ours); please "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_an_end_has_its_code_and_its_line(
    ending: BaseException | None,
    code: int,
    said: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def end(*_: object, **__: object) -> None:
        if ending:
            raise ending

    monkeypatch.setattr(commands.cli, "main", end)
    # The streams and the mask are this process's.
    for name in ("_settle_surroundings", "_drop_unwritten"):
        monkeypatch.setattr(commands, name, lambda: None)
    masks: list[int] = []
    monkeypatch.setattr(os, "umask", masks.append)
    with pytest.raises(SystemExit) as left:
        commands.main([])
    assert left.value.code == code and masks == [0o077]
    err = capsys.readouterr().err
    assert err.startswith(said) and err.count("\n") == bool(said)
    assert (home / "defect.log").exists() == (code == 70)


def test_the_codes_are_those_of_the_readme() -> None:
    sentence = README.partition("Exit codes: ")[2].partition("\n\n")[0]
    said = {
        int(number): words
        for number, words in re.findall(r"(?:^|, )(\d+) ((?:a |the |bad |partly |done )?\w+)", sentence)
    }
    assert said == {
        commands.OK: "done or",
        commands.FAILED: "the study",
        commands.BAD_REQUEST: "bad request",
        commands.PARTLY: "partly failed",
        commands.STOPPED: "stopped",
        commands.DEFECT: "a defect",
        commands.INTERRUPTED: "interrupted",
    }
