"""Versions of this program and of the libraries that its numbers depend on; imports none of them."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata

from embcx_tui import __version__

NUMERIC_LIBRARIES = ("torch", "torchvision", "numpy", "openTSNE", "scikit-learn", "numba")


def library_versions(names: Iterable[str] = NUMERIC_LIBRARIES) -> dict[str, str]:
    """Return the installed version of each library; "missing" where it is not installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions


def numeric_versions() -> dict[str, str]:
    """Return the versions that a study or a benchmark records: embcx-tui, Python and NUMERIC_LIBRARIES."""
    return {"embcx-tui": __version__, "python": platform.python_version(), **library_versions()}
