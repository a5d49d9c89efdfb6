"""What a person has chosen (`preferences.toml`, theirs to edit) and what the application remembers (`state.toml`).

Two files, so that a file somebody writes comments into is touched only where they choose something in the application,
and then only in the one line it concerns. What cannot be read is said and kept, never overwritten without a word.
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
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui.messages import Mode

ThemeName = Literal["dark", "light", "contrast"]
Notify = Literal["off", "bell", "osc9", "osc777"]

# A file longer than this is none of ours: it is not read into memory.
_MOST_BYTES = 100_000
_HEADER = """\
# Preferences of embcx-tui. The application changes `theme` and `notify` here, line by line; the rest is yours.
# [keys] gives a binding another key, by the id that docs/terminal.md lists:  "live.zoom" = "Z,f11"

"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a person has chosen; `keys`: binding id -> keys, with commas between several."""

    theme: ThemeName = "dark"
    notify: Notify = "off"
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What comes back on the next start. `places`: what each screen remembers of `study`; `export`: last choices."""

    mode: Mode = "studies"
    study: str = ""
    places: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    export: Mapping[str, Any] = field(default_factory=dict)


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """Return a TOML file's content and, where it could not be read, why (in part of a line)."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}, "it is too long"
        return tomllib.loads(path.read_text(encoding="utf-8")), ""
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, error.strerror or "input/output error"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        return {}, safe_text(error, 80)


def read_preferences() -> tuple[Preferences, tuple[str, ...]]:
    """Return the preferences, defaults where there are none, and one line for each thing that could not be followed."""
    path = preferences_file()
    values, damage = _read(path)
    if damage:
        return Preferences(), (f"{path.name} cannot be read ({damage}): defaults are used",)
    said: list[str] = []

    def one_of(name: str, known: tuple[T, ...], default: T) -> T:
        value = values.pop(name, default)
        if value in known:
            return value  # type: ignore[no-any-return]  # it is one of the known
        said.append(f"{path.name}: {name} is {_shown(value)}, not one of {', '.join(map(str, known))}")
        return default

    theme: ThemeName = one_of("theme", get_args(ThemeName), "dark")
    notify: Notify = one_of("notify", get_args(Notify), "off")
    keys = values.pop("keys", {})
    if not isinstance(keys, dict):
        said.append(f"{path.name}: [keys] is not a table")
        keys = {}
    good = {id: key for id, key in keys.items() if isinstance(key, str) and key.strip()}
    said += [f"{path.name}: the key of {_shown(id)} is not a text" for id in keys.keys() - good.keys()]
    if values:
        said.append(f"{path.name}: nothing is known of {', '.join(_shown(name) for name in values)}")
    return Preferences(theme, notify, good), tuple(said)


def _shown(value: object) -> str:
    return f"“{safe_text(value, 40)}”"


def choose(name: Literal["theme", "notify"], value: str) -> str:
    """Write one choice into the preferences file, leaving all else as it stands; return what went wrong, or nothing."""
    path = preferences_file()
    values, damage = _read(path)
    try:
        make_folder(path.parent)
        if damage:
            kept = _keep(path)
            publish(path, f'{_HEADER}{name} = "{value}"\n'.encode())
            return f"{path.name} could not be read ({damage}); it is kept as {kept.name}"
        text = path.read_text(encoding="utf-8") if values or path.exists() else _HEADER
        publish(path, _with(text, name, value, values).encode())
    except (EmbcxError, OSError) as error:
        return f"{path.name} cannot be written: {safe_text(error, 120)}"
    return ""


def _keep(path: Path) -> Path:
    """Put a damaged file aside under a name that is free."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _with(text: str, name: str, value: str, values: Mapping[str, Any]) -> str:
    """Return `text` with `name = "value"` in its place, or before the first table; comments stay."""
    line = f'{name} = "{value}"\n'
    head = re.search(r"^\s*\[", text, re.MULTILINE)
    end = head.start() if head else len(text)
    top = re.sub(rf"^{name}[ \t]*=.*\n?", line, text[:end], count=1, flags=re.MULTILINE)
    if name not in values:
        top = text[:end] + ("" if not end or text[:end].endswith("\n") else "\n") + line
    new = top + text[end:]
    # A value over several lines, say, does not fit the pattern: then the content counts, not its form.
    wanted = {**values, name: value}
    with contextlib.suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(new) == wanted:
            return new
    import tomli_w

    return _HEADER + tomli_w.dumps(wanted)


def read_remembered() -> Remembered:
    """Return what the application remembers; nothing where its file is missing or damaged (it is no one's work)."""
    values = _harmless(_read(state_file())[0])
    mode, study = values.get("mode"), values.get("study")
    places, export = values.get("places"), values.get("export")
    return Remembered(
        mode if mode in get_args(Mode) else "studies",
        study if isinstance(study, str) else "",
        {name: one for name, one in places.items() if isinstance(one, dict)} if isinstance(places, dict) else {},
        export if isinstance(export, dict) else {},
    )


def _harmless(value: Any) -> Any:
    """Return a TOML value whose texts can be shown: a folder to export to stands in a field, say."""
    if isinstance(value, dict):
        return {_harmless(name): _harmless(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_harmless(one) for one in value]
    return safe_text(value, 4_096) if isinstance(value, str) else value


def remember(known: Remembered) -> None:
    """Write what comes back on the next start; what cannot be written is forgotten."""
    import tomli_w

    values = {"mode": known.mode, "study": known.study, "places": known.places, "export": known.export}
    with contextlib.suppress(EmbcxError, OSError, TypeError, ValueError):
        text = tomli_w.dumps(values)
        make_folder(state_file().parent)
        publish(state_file(), text.encode())
