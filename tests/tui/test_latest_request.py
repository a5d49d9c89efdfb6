"""Background work on the latest request only."""

from __future__ import annotations

import asyncio

import pytest

from embcx_tui.tui.latest_request import LatestRequest


async def test_requests_that_are_replaced_while_one_is_handled_are_never_handled() -> None:
    handled: list[int] = []
    go_on = asyncio.Event()

    async def handle(request: int) -> None:
        handled.append(request)
        await go_on.wait()

    requests = LatestRequest(handle)
    assert requests.submit(1)
    task = asyncio.create_task(requests.run())
    await asyncio.sleep(0)
    assert requests.current == 1 and not requests.waiting
    assert [requests.submit(number) for number in (2, 3, 4)] == [False, False, False]
    await requests.run()  # a second run leaves the first its work
    assert handled == [1] and requests.waiting
    go_on.set()
    await task
    assert handled == [1, 4]
    assert requests.current is None and not requests.ready


async def test_a_withdrawn_request_is_not_handled() -> None:
    handled: list[str] = []

    async def handle(request: str) -> None:
        handled.append(request)

    requests = LatestRequest(handle)
    requests.submit("a")
    requests.withdraw()
    assert not requests.ready
    await requests.run()
    assert handled == []


async def test_after_an_error_the_next_request_is_handled() -> None:
    handled: list[int] = []

    async def handle(request: int) -> None:
        if request < 0:
            raise ValueError
        handled.append(request)

    requests = LatestRequest(handle)
    requests.submit(-1)
    with pytest.raises(ValueError):
        await requests.run()
    assert requests.submit(2)
    await requests.run()
    assert handled == [2]
