"""What the README says about study files and commands is true today."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from embcx_tui.cli import cli
from embcx_tui.study.settings import StudySettings, known_keys, validate

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(language: str, after: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert found
    return found[1]


def test_the_study_file_shown_is_complete_and_has_the_defaults() -> None:
    shown = tomllib.loads(block("toml", "## A study file"))
    assert validate(shown) == StudySettings()
    flat = {"name"} | {f"{section}.{key}" for section in shown if section != "name" for key in shown[section]}
    assert flat == set(known_keys())


def test_every_command_is_named() -> None:
    table = README[README.index("## Commands") : README.index("## A study file")]
    for name in cli.list_commands(None):  # type: ignore[arg-type]  # the names need no context
        assert re.search(rf"`(embcx-tui · )?{name}\b|· `{name}\b", table), name


def test_every_file_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
