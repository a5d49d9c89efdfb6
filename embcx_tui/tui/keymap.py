"""Keys that a person has changed: checked against what else works on the same screen, and how a key is written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from textual.app import App
from textual.binding import Binding
from textual.keys import REPLACED_KEYS, Keys, _character_to_key

from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys

_MODIFIED = re.compile(r"(?:(?:ctrl|shift|alt|super|hyper|meta)\+)*(.+)")
_NAMED = {key.value.rpartition("+")[2] for key in Keys} | set(REPLACED_KEYS)


def _is_key(text: str) -> bool:
    """Return whether `text` names a key as Textual does: `x`, `X`, `ctrl+x`, `f5`, `slash`."""
    match = _MODIFIED.fullmatch(text)
    name = match[1] if match else ""
    if len(name) == 1 or name in _NAMED:
        return True
    try:
        return bool(name) and bool(unicodedata.lookup(name.replace("_", " ")))
    except KeyError:
        return False


def _several(text: str) -> tuple[str, ...]:
    """Return the keys of a list with commas, each by its long name; a comma itself is written `comma`."""
    found = (key.strip() for key in text.split(","))
    return tuple(_character_to_key(key) if len(key) == 1 else key for key in found)


def check_keys(wanted: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the keys of `wanted` (binding id -> keys) that can be had, and a line for each that cannot."""
    known = keys.by_id()
    said: list[str] = []
    good: dict[str, tuple[str, ...]] = {}
    for id, text in wanted.items():
        shown = safe_text(id, 40)
        bad = [key for key in _several(text) if not _is_key(key)]
        if id not in known:
            said.append(f"[keys] there is no binding “{shown}”")
        elif bad:
            said.append(f"[keys] {shown}: “{safe_text(bad[0], 20)}” is no key")
        else:
            good[id] = _several(text)
    # Taking one back may free a key for another, or take one: looked at until nothing changes.
    while clash := _clash(good, known):
        id, key, other = clash
        del good[id]
        said.append(f"[keys] {id}: {key} is the key of {other}; it keeps its own")
    return {id: ",".join(several) for id, several in good.items()}, tuple(said)


def _clash(good: Mapping[str, tuple[str, ...]], known: Mapping[str, Binding]) -> tuple[str, str, str] | None:
    """Return a changed binding, its key, and the binding of the same screen that has that key too."""
    for together in keys.TOGETHER:
        ids = [id for table in together for id in keys.ids_of(table)]
        held: dict[str, str] = {}
        for id in sorted(ids, key=lambda one: one in good):  # the changed ones last: they are in the wrong
            for key in good.get(id) or _several(known[id].key):
                if held.setdefault(key, id) != id and id in good:
                    return id, key, held[key]
    return None


def written(app: App[object], id: str) -> str:
    """Return the key of a binding as a person reads it, changed or not: for hints such as “r resumes”."""
    binding = keys.by_id()[id]
    key = app._keymap.get(id, binding.key).split(",")[0]
    return app.get_key_display(binding.with_key(key))
