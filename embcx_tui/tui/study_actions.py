"""What the application does to studies: create, start, stop, delete. Each blocks, so each runs in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.app import App

from embcx_tui.analysis import formatting
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui.messages import Mode, OpenStudy, Say, Starting, StudyGone
from embcx_tui.tui.minimum_size import too_small
from embcx_tui.tui.study_row import StudyRow
from embcx_tui.tui.widgets.dialogs import Answer, Ask

if TYPE_CHECKING:  # pydantic comes with it: not before the first frame
    from embcx_tui.study.settings import StudySettings


def ask_to_delete(row: StudyRow) -> Ask:
    """Return the question before a study is deleted; it is answered by "delete", "keep" or None."""
    return Ask(
        f"Delete “{row.name}”?",
        f"{formatting.several(row.networks, 'network')}, {formatting.several(row.embeddings, 'embedding')} and"
        f" their figures go for good.\n\n{safe_text(formatting.short_path(row.paths.root))}",
        (Answer("keep", "Keep"), Answer("delete", "Delete", harmful=True)),
        cancel=None,
    )


class StudyActions:
    """The actions on studies, and leaving the application, which asks about those that train.

    Parameters
    ----------
    app : gets the outcome of each action as a message
    look_now : makes the study watcher look at the folders at once; called on the event loop
    show_mode : shows another mode; called on the event loop
    """

    def __init__(self, app: App[None], look_now: Callable[[], object], show_mode: Callable[[Mode], object]) -> None:
        self._app, self._look_now, self._show_mode = app, look_now, show_mode
        self._post = app.post_message
        self.beginning = False
        """Whether a study is being created."""
        self.last_words = ""
        """What is printed in the shell after the application has ended."""

    def _in_thread(self, body: Callable[[], object]) -> None:
        """Run `body` off the loop; an error that the user can act on becomes one line.

        In a daemon thread of its own, not in a pool: leaving must not wait for a worker that takes seconds to import
        torch. Posting messages is all that the thread does to the application.
        """

        def guarded() -> None:
            try:
                body()
            except (EmbcxError, OSError) as error:
                self._post(Say(safe_text(error, 300), "error"))
            self._app.call_later(self._look_now)

        threading.Thread(target=guarded, name="study-action", daemon=True).start()

    def start(self, paths: StudyPaths) -> None:
        """Start or resume a study's worker, and show Live."""

        def body() -> None:
            from embcx_tui.worker import launch

            at = time.time()
            self._post(Starting(paths, at))
            self._post(OpenStudy(paths, "live"))
            try:
                launch.start(paths)
            except (EmbcxError, OSError):
                self._post(Starting(paths, at, ended=True))
                raise

        self._in_thread(body)

    def stop(self, paths: StudyPaths, at_once: bool) -> None:
        """Ask a study's worker to stop after its epoch, or at once."""

        def body() -> None:
            from embcx_tui.worker import launch

            launch.stop(paths, at_once=at_once)
            self._post(Say(f"the study stops {'now' if at_once else 'after this epoch'}; r resumes it"))

        self._in_thread(body)

    def delete(self, paths: StudyPaths) -> None:
        """Delete a study with all its files."""

        def body() -> None:
            from embcx_tui.store.library import delete_study

            delete_study(paths)
            self._post(StudyGone(paths))

        self._in_thread(body)

    def create(self, settings: StudySettings) -> None:
        """Create a study and start it; where that fails, show Configure again."""
        self._begin(lambda: settings, "configure")

    def create_demo(self) -> None:
        """Create and start the demo; where that fails, show the list again."""

        def settings() -> StudySettings:
            from embcx_tui.study.settings import load_preset

            return load_preset("demo").settings

        self._begin(settings, "studies")

    def _begin(self, settings: Callable[[], StudySettings], mode: Mode) -> None:
        """Begin a study unless one is being created: a key pressed twice means one study.

        Where data or device do not allow the study, it is removed again and `mode` is shown.
        """
        if self.beginning:
            self._post(Say("a study is being started; please try again in a moment"))
            return
        self.beginning = True
        created: list[StudyPaths] = []

        def show(paths: StudyPaths) -> None:
            created.append(paths)
            self._post(Starting(paths, time.time()))
            self._post(OpenStudy(paths, "live"))

        def body() -> None:
            from embcx_tui.worker import launch

            try:
                launch.begin(settings(), show)
            except EmbcxError:
                for paths in created:
                    self._post(StudyGone(paths))
                self._app.call_later(self._show_mode, mode)
                raise
            finally:
                self.beginning = False

        self._in_thread(body)

    async def quit(self, running: Sequence[StudyRow], opened: StudyPaths | None) -> None:
        """Leave; while studies train, ask whether they go on. `opened` is the study shown, if any."""
        if isinstance(self._app.screen, Ask):
            return
        # Where no question can be shown, the studies go on: that is the harmless answer.
        if not running or too_small(self._app.size):
            await self.leave(running)
            return
        # Where several studies train, only the open one can be stopped here; the others are stopped from the list.
        stoppable = running if len(running) == 1 else [row for row in running if row.paths == opened]

        def answered(answer: str | None) -> None:
            if answer:
                self._app.run_worker(self.leave(running, stop=stoppable if answer == "stop" else ()))

        what = (
            f"“{running[0].name}” is still running"
            if len(running) == 1
            else f"{len(running)} studies are still running"
        )
        stop = "Stop after this epoch" if len(running) == 1 else "Stop the open one"
        self._app.push_screen(
            Ask(
                "Leave embcx-tui?",
                f"{what}. Detach, and the work goes on without this window.",
                (Answer("detach", "Detach"), *((Answer("stop", stop),) if stoppable else ())),
            ),
            answered,
        )

    async def leave(self, running: Sequence[StudyRow], stop: Sequence[StudyRow] = ()) -> None:
        """End the application; before that, ask the workers of the studies in `stop` to end after their epoch."""
        if stop:
            from embcx_tui.worker import launch

            for row in stop:
                try:
                    await asyncio.to_thread(launch.stop, row.paths)
                except EmbcxError as error:
                    self.last_words += f"embcx-tui: {safe_text(error)}\n"
        on, off = "goes on; return with: embcx-tui open", "stops after this epoch; go on with: embcx-tui resume"
        self.last_words += "\n".join(f"{row.name} {off if row in stop else on} {row.paths.id}" for row in running)
        self._app.exit()
