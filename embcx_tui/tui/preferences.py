"""What the user has chosen (`preferences.toml`, theirs to edit) and what the application remembers (`state.toml`).

Two files, so that a file with the user's own comments changes only when they choose something in the application, and
then only in the one line concerned. A file that cannot be read is reported and kept, never overwritten silently.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.paths import preferences_file, state_file
from embcx_tui.store.plain_files import read_plain
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui.messages import Mode

ThemeName = Literal["dark", "light", "contrast"]
Notify = Literal["off", "bell", "osc9", "osc777"]
# What can be chosen in the application.
Choice = Literal["theme", "notify", "calm"]

# No file of ours is longer than this; a longer one is not read into memory.
_MOST_BYTES = 100_000
_HEADER = """\
# Preferences of embcx-tui. The application changes `theme`, `notify` and `calm` here, line by line; the rest is yours.
# [keys] gives a binding another key, by the id that docs/terminal.md lists:  "live.zoom" = "Z,f11"

"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the user has chosen.

    `calm`: nothing flies and images have few colours, for a slow line; `keys`: binding id -> keys, with commas.
    """

    theme: ThemeName = "dark"
    notify: Notify = "off"
    calm: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is restored on the next start. `places`: each screen's state for `study`; `export`: last choices."""

    mode: Mode = "studies"
    study: str = ""
    places: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    export: Mapping[str, Any] = field(default_factory=dict)


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """Return the content of a TOML file and, where it cannot be read, the reason as part of a sentence."""
    try:
        return tomllib.loads(read_plain(path, _MOST_BYTES, follow=True).decode("utf-8")), ""
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, error.strerror or "input/output error"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        return {}, safe_text(error, 80)


def read_preferences() -> tuple[Preferences, tuple[str, ...]]:
    """Return the preferences, with defaults where there are none, and one line for each that cannot be used."""
    path = preferences_file()
    values, damage = _read(path)
    if damage:
        return Preferences(), (f"{path.name} cannot be read ({damage}): defaults are used",)
    said: list[str] = []

    def one_of(name: str, choices: tuple[T, ...], default: T) -> T:
        value = values.pop(name, default)
        if value in choices:
            return value  # type: ignore[no-any-return]  # it is one of `choices`, which are T
        said.append(f"{path.name}: {name} is {_shown(value)}, not one of {', '.join(map(str, choices))}")
        return default

    theme: ThemeName = one_of("theme", get_args(ThemeName), "dark")
    notify: Notify = one_of("notify", get_args(Notify), "off")
    calm = values.pop("calm", False)
    if not isinstance(calm, bool):
        said.append(f"{path.name}: calm is {_shown(calm)}, not true or false")
        calm = False
    keys = values.pop("keys", {})
    if not isinstance(keys, dict):
        said.append(f"{path.name}: [keys] is not a table")
        keys = {}
    good = {id: key for id, key in keys.items() if isinstance(key, str) and key.strip()}
    said += [f"{path.name}: the key of {_shown(id)} is not a text" for id in keys.keys() - good.keys()]
    if values:
        said.append(f"{path.name}: nothing is known of {', '.join(_shown(name) for name in values)}")
    return Preferences(theme, notify, calm, good), tuple(said)


def _shown(value: object) -> str:
    return f"“{safe_text(value, 40)}”"


def choose(name: Choice, value: str | bool) -> str:
    """Write one choice into the preferences file and change nothing else; return an error as one line, or ""."""
    path = preferences_file()
    values, damage = _read(path)
    try:
        make_folder(path.parent)
        if damage:
            kept = _keep(path)
            publish(path, f"{_HEADER}{_line(name, value)}".encode(), follow=True)
            return f"{path.name} could not be read ({damage}); it is kept as {kept.name}"
        text = path.read_text(encoding="utf-8") if values or path.exists() else _HEADER
        publish(path, _with(text, name, value, values).encode(), follow=True)
    except (EmbcxError, OSError) as error:
        return f"{path.name} cannot be written: {safe_text(error, 120)}"
    return ""


def _keep(path: Path) -> Path:
    """Rename a damaged file to an unused name."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _line(name: str, value: str | bool) -> str:
    return f"{name} = {str(value).lower()}\n" if isinstance(value, bool) else f'{name} = "{value}"\n'


def _with(text: str, name: str, value: str | bool, values: Mapping[str, Any]) -> str:
    """Return `text` with `name = "value"` on its line, or before the first table; comments stay."""
    line = _line(name, value)
    head = re.search(r"^\s*\[", text, re.MULTILINE)
    end = head.start() if head else len(text)
    top = re.sub(rf"^{name}[ \t]*=.*\n?", line, text[:end], count=1, flags=re.MULTILINE)
    if name not in values:
        top = text[:end] + ("" if not end or text[:end].endswith("\n") else "\n") + line
    new = top + text[end:]
    # A value over several lines, say, does not match the pattern: then comments are lost and the content is kept.
    wanted = {**values, name: value}
    with contextlib.suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(new) == wanted:
            return new
    import tomli_w

    return _HEADER + tomli_w.dumps(wanted)


def read_remembered() -> Remembered:
    """Return what the application remembers; defaults where its file is missing or damaged."""
    values = _harmless(_read(state_file())[0])
    mode, study = values.get("mode"), values.get("study")
    places, export = values.get("places"), values.get("export")
    return Remembered(
        mode if mode in get_args(Mode) else "studies",
        study if isinstance(study, str) else "",
        {name: state for name, state in places.items() if isinstance(state, dict)} if isinstance(places, dict) else {},
        export if isinstance(export, dict) else {},
    )


def _harmless(value: Any) -> Any:
    """Return a TOML value whose strings are safe to show, such as the folder of exports in its field."""
    if isinstance(value, dict):
        return {_harmless(key): _harmless(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_harmless(entry) for entry in value]
    return safe_text(value, 4_096) if isinstance(value, str) else value


def remember(state: Remembered) -> None:
    """Write what is restored on the next start; nothing is said where it cannot be written."""
    import tomli_w

    values = {"mode": state.mode, "study": state.study, "places": state.places, "export": state.export}
    with contextlib.suppress(EmbcxError, OSError, TypeError, ValueError):
        text = tomli_w.dumps(values)
        make_folder(state_file().parent)
        publish(state_file(), text.encode(), follow=True)
