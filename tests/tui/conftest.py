"""What the screens' tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tui import made


@pytest.fixture(autouse=True)
def no_worker_left() -> Iterator[None]:
    """End the processes that stand in for workers."""
    yield
    made.release_all()
