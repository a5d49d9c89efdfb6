"""Small JSON records in `$EMBCX_HOME`: a missing, damaged or unreadable one is an empty one, and is made anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.paths import home
from embcx_tui.store.plain_files import read_plain


def read_record(name: str, most: int) -> dict[str, Any]:
    """Return the record in file `name`, of at most so many bytes; empty where there is none."""
    try:
        content = json.loads(read_plain(home() / name, most, follow=True))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_record(name: str, content: Mapping[str, Any], indent: int = 1) -> None:
    """Replace the record in file `name`; raises StoreError or OSError where it cannot be written."""
    make_folder(home())
    publish(home() / name, json.dumps(content, indent=indent).encode(), follow=True)


def read_by_host(name: str, version: int, most: int) -> dict[str, Any]:
    """Return the entries by host of a record; empty where it is of another version."""
    content = read_record(name, most)
    hosts = content.get("hosts") if content.get("version") == version else None
    return hosts if isinstance(hosts, dict) else {}


def write_by_host(name: str, version: int, hosts: Mapping[str, Any]) -> None:
    """Replace the entries by host of a record; raises as `write_record` does."""
    write_record(name, {"version": version, "hosts": hosts})
