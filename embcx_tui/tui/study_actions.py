"""What the application does to studies: create, start, stop, delete. Each blocks, so each runs in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from textual.app import App

from embcx_tui.analysis import formatting
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import EmbcxError, StoreError
from embcx_tui.study.text import safe_text
from embcx_tui.tui.messages import Mode, OpenStudy, Say, Starting, StudyGone, StudyRefused
from embcx_tui.tui.minimum_size import too_small
from embcx_tui.tui.study_row import StudyRow
from embcx_tui.tui.widgets.dialogs import Answer, Ask

if TYPE_CHECKING:  # pydantic comes with it: not before the first frame
    from embcx_tui.study.settings import StudySettings


_QUEUED = "queued: it starts when the study before it is done (S starts it now)"
# Names of studies that a question has a line for each; more of them run on.
_MOST_LINES = 8


def ask_to_delete(rows: Sequence[StudyRow], running: Sequence[StudyRow] = ()) -> Ask:
    """Return the question before studies are deleted; it is answered by "delete", "keep" or None.

    It names them all, and those `running` that were marked too and stay.
    """
    networks, embeddings = sum(row.networks for row in rows), sum(row.embeddings for row in rows)
    gone = f"{formatting.several(networks, 'network')}, {formatting.several(embeddings, 'embedding')}"
    words = [f"Permanently deletes {gone} and their figures."]
    if len(rows) == 1:
        words.append(safe_text(formatting.short_path(rows[0].paths.root)))
    else:
        words.append("\n".join(_names(rows)))
    if running:
        words.append("Running, and not deleted: " + ", ".join(f"“{row.name}”" for row in running))
    return Ask(
        f"Delete “{rows[0].name}”?" if len(rows) == 1 else f"Delete {len(rows)} studies?",
        "\n\n".join(words),
        (Answer("keep", "Keep"), Answer("delete", "Delete", harmful=True)),
        cancel=None,
    )


def _names(rows: Sequence[StudyRow]) -> list[str]:
    """Return the names of studies, one per line: all of them, as many in one line as keep the question on a screen."""
    if len(rows) <= _MOST_LINES:
        return [f"“{row.name}”" for row in rows]
    return [", ".join(f"“{row.name}”" for row in rows)]


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

    def start(self, paths: StudyPaths, now: bool = False) -> None:
        """Start or resume a study's worker, and show Live; while its device is busy queue it, unless `now`."""

        def body() -> None:
            from embcx_tui.store import queue
            from embcx_tui.store.library import read_settings
            from embcx_tui.worker import launch

            if not now and queue.is_taken(read_settings(paths).machine.device, but=paths):
                launch.enqueue(paths)
                self._post(Say(_QUEUED))
                return
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
            from embcx_tui.store import jobs, queue
            from embcx_tui.worker import launch

            job = jobs.read_job(paths)
            if job and job.waits:
                launch.stop(paths)
                self._post(Say(f"SLURM job {job.id} is cancelled; r starts the study here"))
                return
            if queue.is_queued(paths):
                launch.stop(paths)
                self._post(Say("the study is out of the queue; r puts it back"))
                return
            launch.stop(paths, at_once=at_once)
            self._post(Say(f"the study stops {'now' if at_once else 'after this epoch'}; r resumes it"))

        self._in_thread(body)

    def move(self, paths: StudyPaths, by: int) -> None:
        """Move a study in the queue."""

        def body() -> None:
            from embcx_tui.store import queue

            queue.move(paths, by)

        self._in_thread(body)

    def revive_queue(self) -> None:
        """Let queued studies wait again whose processes are gone, as after a reboot."""

        def body() -> None:
            from embcx_tui.worker import launch

            if count := launch.revive_queue():
                self._post(Say(f"the queue goes on; {count} waited for nobody any more"))

        self._in_thread(body)

    def delete(self, studies: Sequence[StudyPaths]) -> None:
        """Delete studies with all their files; one that cannot be deleted stays, and the others go."""

        def body() -> None:
            from embcx_tui.store.library import delete_study

            refused = []
            for paths in studies:
                try:
                    delete_study(paths)
                except EmbcxError as error:
                    refused.append(str(error))
                else:
                    self._post(StudyGone(paths))
            if refused:
                more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
                raise StoreError(refused[0] + more)

        self._in_thread(body)

    def label(self, paths: StudyPaths, name: str | None, note: str | None) -> None:
        """Give a study another name or note; None for what stays. An empty name is that of the study file again."""

        def body() -> None:
            from embcx_tui.store.name_and_note import read_label, write_label

            label = read_label(paths)
            label = replace(label, name=label.name if name is None else name, note=label.note if note is None else note)
            write_label(paths, label)

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

    def measure_files(self, typed: dict[str, str] | None = None, refused: str = "") -> None:
        """Ask which files of activations to measure, and begin the study; where it is `refused`, ask again."""
        from embcx_tui.tui.configure.measure_files import Draft, MeasureFiles

        mode: Mode = "configure" if self._app.current_mode == "configure" else "studies"

        def answered(draft: Draft | None) -> None:
            if draft:
                self._begin(lambda: draft.settings, mode, partial(self.measure_files, draft.typed))

        self._app.push_screen(MeasureFiles(typed, refused), answered)

    def _begin(
        self, settings: Callable[[], StudySettings], mode: Mode, refused: Callable[[str], object] | None = None
    ) -> None:
        """Begin a study unless one is being created: a key pressed twice means one study.

        Where data or device do not allow the study, it is removed again, the one that was open before is open again,
        and `mode` is shown; `refused` gets the reason, else the form.
        """
        if self.beginning:
            self._post(Say("a study is being started; please try again in a moment"))
            return
        self.beginning = True
        created: list[StudyPaths] = []
        before: StudyPaths | None = getattr(self._app, "paths", None)
        self._post(StudyRefused(""))

        def show(paths: StudyPaths) -> None:
            created.append(paths)
            self._post(Starting(paths, time.time()))
            self._post(OpenStudy(paths, "live"))

        def body() -> None:
            from embcx_tui.store import queue
            from embcx_tui.worker import launch

            try:
                wanted = settings()
                if queue.is_taken(wanted.machine.device):
                    self._post(Say("checking the data before the study is queued …"))
                    launch.enqueue_new(wanted)
                    self._post(Say(_QUEUED))
                    self._app.call_later(self._show_mode, "studies")
                    return
                launch.begin(wanted, show)
            except EmbcxError as error:
                for paths in created:
                    self._post(StudyGone(paths))
                if before:
                    self._post(OpenStudy(before, mode))
                else:
                    self._app.call_later(self._show_mode, mode)
                if refused:
                    self._app.call_later(refused, safe_text(error, 600))
                    return
                self._post(StudyRefused(safe_text(error, 600)))
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
