"""What the screens' tests share: a stopped clock, a home that pictures can show, no process left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from embcx_tui.analysis import formatting
from tests.fake_events import START
from tests.fake_studies import release_all

# Ten minutes after the made studies began, unless told otherwise.
NOW = START + 600


@pytest.fixture(autouse=True)
def no_worker_left() -> Iterator[None]:
    """End the processes that stand in for workers."""
    yield
    release_all()


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> None:
    """Stop the clock that the screens show, and let `~` stand for the test's own folder."""
    monkeypatch.setattr(formatting, "now", lambda: NOW)
    monkeypatch.setenv("HOME", str(tmp_path))
