"""Which devices have passed the self-check on this machine, and in which circumstances: `$EMBCX_HOME/devices.json`."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.paths import home
from embcx_tui.store.plain_files import read_plain

# Counted up when the checks change: what passed earlier ones is checked again.
_VERSION = 1
_MAX_BYTES = 1_000_000
# Circumstances kept per machine, the newest.
_KEPT = 50


def has_passed(circumstances: Mapping[str, str]) -> bool:
    """Return whether a device passed the self-check on this host in exactly these circumstances."""
    return dict(circumstances) in _passed()


def store_passed(circumstances: Mapping[str, str]) -> None:
    """Record that a device has passed; raises StoreError or OSError where the file cannot be written."""
    hosts = _read()
    hosts[socket.gethostname()] = [*_passed(), dict(circumstances)][-_KEPT:]
    make_folder(home())
    publish(_file(), json.dumps({"version": _VERSION, "hosts": hosts}, indent=1).encode(), follow=True)


def _passed() -> list[Any]:
    here = _read().get(socket.gethostname())
    return here if isinstance(here, list) else []


def _file() -> Path:
    return home() / "devices.json"


def _read() -> dict[str, Any]:
    """Return the entries by host; nothing where the file is missing, damaged or of another version."""
    try:
        content = json.loads(read_plain(_file(), _MAX_BYTES, follow=True))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        return {}
    hosts = content.get("hosts")
    return hosts if isinstance(hosts, dict) else {}
