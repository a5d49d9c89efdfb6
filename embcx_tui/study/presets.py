"""The ready-made studies, each a TOML file beside this module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from embcx_tui.study.settings import StudySettings, parse_toml, validate

_FOLDER = Path(__file__).with_name("presets")


@dataclass(frozen=True, slots=True)
class Preset:
    """A ready-made study: its name, one sentence about it, and its settings."""

    name: str
    about: str
    settings: StudySettings


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets, `demo` first, then the paper's figures in their order."""
    found = [path.stem for path in _FOLDER.glob("*.toml")]
    return tuple(sorted(found, key=lambda name: (name != "demo", name)))


def load_preset(name: str) -> Preset:
    """Return the preset called `name`; raises KeyError where there is none."""
    if name not in preset_names():
        raise KeyError(name)
    text = (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    return Preset(name, text.partition("\n")[0].removeprefix("#").strip(), validate(parse_toml(text)))
