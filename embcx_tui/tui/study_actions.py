"""What the application does to studies: create, start, stop, delete. Each blocks, so each runs in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual import on

from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui.key_queue import KeyQueueApp
from embcx_tui.tui.messages import (
    CreateStudy,
    DeleteStudy,
    Mode,
    OpenStudy,
    Say,
    StartDemo,
    Starting,
    StartStudy,
    StopStudy,
    StudyGone,
)
from embcx_tui.tui.study_row import StudyRow

if TYPE_CHECKING:  # pydantic comes with it: not before the first frame
    from embcx_tui.study.settings import StudySettings


class StudyActionsApp(KeyQueueApp):
    """An application that can do these things; what comes of each is posted as a message."""

    last_words = ""
    """What the shell shows after the application has gone."""

    _beginning = False

    def wake_feed(self) -> None:
        """Look at the folders at once."""

    def action_mode(self, mode: Mode) -> None:
        """Go to another screen."""

    def _in_thread(self, body: Callable[[], object]) -> None:
        """Run `body` off the loop; an error that a person can act on becomes one line.

        A thread of its own that nobody waits for, and that waits for nobody: leaving must not be held up by a worker
        that takes its seconds to import torch. Posting is all it does to the application.
        """

        def guarded() -> None:
            try:
                body()
            except (EmbcxError, OSError) as error:
                self.post_message(Say(safe_text(error, 300), "error"))
            self.call_later(self.wake_feed)

        threading.Thread(target=guarded, name="deed", daemon=True).start()

    @on(StartStudy)
    def start_study(self, event: StartStudy) -> None:
        self._in_thread(lambda: self._start(event.paths, "live"))

    def _start(self, paths: StudyPaths, mode: Mode) -> None:
        from embcx_tui.worker import launch

        at = time.time()
        self.post_message(Starting(paths, at))
        self.post_message(OpenStudy(paths, mode))
        try:
            launch.start(paths)
        except (EmbcxError, OSError):
            self.post_message(Starting(paths, at, ended=True))
            raise

    @on(StopStudy)
    def stop_study(self, event: StopStudy) -> None:
        def body() -> None:
            from embcx_tui.worker import launch

            launch.stop(event.paths, at_once=event.at_once)
            when = "now" if event.at_once else "after this epoch"
            self.post_message(Say(f"the study stops {when}; r resumes it"))

        self._in_thread(body)

    @on(DeleteStudy)
    def delete_study(self, event: DeleteStudy) -> None:
        def body() -> None:
            from embcx_tui.store.library import delete_study

            delete_study(event.paths)
            self.post_message(StudyGone(event.paths))

        self._in_thread(body)

    @on(CreateStudy)
    def create_study(self, event: CreateStudy) -> None:
        self._begin_one(lambda: self._begin(event.settings, "configure"))

    @on(StartDemo)
    def start_demo(self) -> None:
        def body() -> None:
            from embcx_tui.study.presets import load_preset

            self._begin(load_preset("demo").settings, "studies")

        self._begin_one(body)

    def _begin_one(self, body: Callable[[], object]) -> None:
        """Begin a study unless one is about to begin: who presses a key twice wants one."""
        if self._beginning:
            self.post_message(Say("a study is just starting; the next one can in a moment"))
            return
        self._beginning = True

        def guarded() -> None:
            try:
                body()
            finally:
                self._beginning = False

        self._in_thread(guarded)

    def _begin(self, settings: StudySettings, mode: Mode) -> None:
        """Start a new study and show it; where data or device do not allow it, remove it and go back to `mode`."""
        from embcx_tui.worker import launch

        made: list[StudyPaths] = []

        def created(paths: StudyPaths) -> None:
            made.append(paths)
            self.post_message(Starting(paths, time.time()))
            self.post_message(OpenStudy(paths, "live"))

        try:
            launch.begin(settings, created)
        except EmbcxError:
            for paths in made:
                self.post_message(StudyGone(paths))
            self.call_later(self.action_mode, mode)
            raise

    async def leave(self, running: Sequence[StudyRow], stop: Sequence[StudyRow] = ()) -> None:
        """End the application; before that ask the workers of those to `stop` to end after their epoch."""
        if stop:
            from embcx_tui.worker import launch

            for row in stop:
                try:
                    await asyncio.to_thread(launch.stop, row.paths)
                except EmbcxError as error:
                    self.last_words += f"embcx-tui: {safe_text(error)}\n"
        on, off = "goes on; return with: embcx-tui open", "stops after this epoch; go on with: embcx-tui resume"
        self.last_words += "\n".join(f"{row.name} {off if row in stop else on} {row.paths.id}" for row in running)
        self.exit()
