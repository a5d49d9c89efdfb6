"""Which devices have passed the self-check on this machine, and in which circumstances: `$EMBCX_HOME/devices.json`."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from embcx_tui.store.home_records import read_by_host, write_by_host

_FILE = "devices.json"
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
    hosts = read_by_host(_FILE, _VERSION, _MAX_BYTES)
    hosts[socket.gethostname()] = [*_passed(), dict(circumstances)][-_KEPT:]
    write_by_host(_FILE, _VERSION, hosts)


def _passed() -> list[Any]:
    here = read_by_host(_FILE, _VERSION, _MAX_BYTES).get(socket.gethostname())
    return here if isinstance(here, list) else []
