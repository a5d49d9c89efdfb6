"""Reads and counts off the loop what the layer browser's pictures need, always the newest wish first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from embcx_tui.study.events import SealedFile
from embcx_tui.tui.layers.scatter_cache import Count, Picture, Pictures

Ahead = Callable[[], tuple[Count, ...]]


class Reading:
    """One wish at a time: a held key leaves only its last one."""

    def __init__(self, pictures: Pictures, arrived: Callable[[], None]) -> None:
        self._pictures = pictures
        self._arrived = arrived
        self._wish: tuple[Picture, tuple[SealedFile, ...], Ahead] | None = None
        self.busy = False

    def wish(self, picture: Picture, near: tuple[SealedFile, ...], ahead: Ahead) -> bool:
        """Note what is wanted, the files that one key away are, and what to count once those are read.

        Tells whether `run` has to be started.
        """
        self._wish = (picture, near, ahead)
        return not self.busy

    async def run(self) -> None:
        """Go on until there is nothing left to read."""
        self.busy = True
        try:
            while self._wish is not None:
                (picture, near, ahead), self._wish = self._wish, None
                if await self._pictures.clouds.shelf.fetch(picture.wanted):
                    self._arrived()
                elif picture.votes:
                    for vote in picture.votes:
                        await asyncio.to_thread(self._pictures.count, *vote)
                    self._arrived()
                else:
                    await self._pictures.clouds.shelf.fetch(near)
                    for vote in ahead() if self._wish is None else ():
                        if self._wish is None:
                            await asyncio.to_thread(self._pictures.count, *vote)
        finally:
            self.busy = False
