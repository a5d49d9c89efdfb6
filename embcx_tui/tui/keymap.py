"""The keys that users give to bindings in their preferences: which can be given, and what is said of the others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from textual.binding import Binding, InvalidBinding
from textual.keys import REPLACED_KEYS, Keys

from embcx_tui.study.text import safe_text
from embcx_tui.tui.keys import TOGETHER, by_id, ids_of

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
    try:
        return tuple(binding.key for binding in Binding.make_bindings([(text, "")]))
    except InvalidBinding:  # a comma too many
        return tuple(key.strip() for key in text.split(","))


def check_keys(wanted: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return those of the `wanted` keys (binding id -> keys) that can be given, and a line for each that cannot."""
    bindings = by_id()
    said: list[str] = []
    good: dict[str, tuple[str, ...]] = {}
    for id, text in wanted.items():
        shown = safe_text(id, 40)
        bad = [key for key in _several(text) if not _is_key(key)]
        if id not in bindings:
            said.append(f"[keys] there is no binding “{shown}”")
        elif bad:
            said.append(f"[keys] {shown}: “{safe_text(bad[0], 20)}” is no key")
        else:
            good[id] = _several(text)
    # Giving a binding its own key back may free a key or take one: repeated until nothing clashes.
    while clash := _clash(good, bindings):
        id, key, other = clash
        del good[id]
        said.append(f"[keys] {id}: {key} is the key of {other}; it keeps its own")
    return {id: ",".join(several) for id, several in good.items()}, tuple(said)


def _clash(good: Mapping[str, tuple[str, ...]], bindings: Mapping[str, Binding]) -> tuple[str, str, str] | None:
    """Return a changed binding, its key, and the binding of the same screen that has that key too."""
    for together in TOGETHER:
        ids = [id for table in together for id in ids_of(table)]
        held: dict[str, str] = {}
        for id in sorted(ids, key=lambda id: id in good):  # changed bindings last: they give way
            for key in good.get(id) or _several(bindings[id].key):
                if held.setdefault(key, id) != id and id in good:
                    return id, key, held[key]
    return None
