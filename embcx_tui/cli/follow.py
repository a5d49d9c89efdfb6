"""Following a study that runs: a progress display on a terminal, its log elsewhere; Ctrl-C stops the study cleanly."""

from __future__ import annotations

import math
import time

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from embcx_tui.analysis.progress import progress
from embcx_tui.analysis.summary import summarise
from embcx_tui.cli import FAILED, INTERRUPTED, OK, PARTLY, STOPPED, say_error
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.reader import StudyReader
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import RequestError
from embcx_tui.worker import launch

_POLL_S = 0.25


def follow(paths: StudyPaths, *, quiet: bool = False) -> int:
    """Show a study until its worker ends; return the exit code. With `quiet` only warnings and errors are shown."""
    console = Console(stderr=True, highlight=False)
    reader = StudyReader(paths)
    try:
        snapshot = _watch(reader, console, quiet)
    except KeyboardInterrupt:
        return interrupted(paths, console)
    return _verdict(snapshot, console)


def _watch(reader: StudyReader, console: Console, quiet: bool) -> Snapshot:
    shown = 0
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as display:
        task = display.add_task("starting", total=1.0, left="")
        while True:
            snapshot = reader.poll()
            for line in snapshot.log[shown:]:
                if line.level != "info" or not (quiet or display.console.is_terminal):
                    console.print(Text(str(line)), soft_wrap=True)
            shown = len(snapshot.log)
            if snapshot.state != "running":
                return snapshot
            now = progress(snapshot)
            display.update(task, completed=now.fraction, description=_doing(snapshot), left=_left(now.seconds_left))
            time.sleep(_POLL_S)


def _doing(snapshot: Snapshot) -> str:
    now = progress(snapshot)
    return (
        f"{snapshot.name}: {now.network_epochs:,}/{now.network_epochs_planned:,} network epochs, "
        f"{now.embeddings:,}/{now.embeddings_planned:,} embeddings"
    )


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Return a span of time as people say it: 45 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def interrupted(paths: StudyPaths, console: Console) -> int:
    """Stop a study as Ctrl-C does: after its epoch, waiting for it; return the exit code."""
    console.print("stopping after this epoch (Ctrl-C again: leave it to do so alone) …")
    try:
        launch.stop(paths, wait_s=math.inf)
    except RequestError:
        pass  # it has ended by itself meanwhile
    except KeyboardInterrupt:
        console.print(f"it stops by itself; see: embcx-tui logs {paths.id}")
        return INTERRUPTED
    console.print(f"stopped; go on with: embcx-tui resume {paths.id}")
    return INTERRUPTED


def _verdict(snapshot: Snapshot, console: Console) -> int:
    if snapshot.state == "complete":
        scores = len(summarise(snapshot))
        console.print(f"complete: {len(snapshot.measured)} embeddings, {scores} means; embcx-tui show {snapshot.id}")
        if snapshot.partly_failed:
            say_error(
                f"{len(snapshot.diverged)} networks diverged, {len(snapshot.failed)} layers could not be measured"
            )
            return PARTLY
        return OK
    if snapshot.state == "stopped":
        console.print(f"stopped; go on with: embcx-tui resume {snapshot.id}")
        return STOPPED
    reason = snapshot.ended.reason if snapshot.ended else "the worker ended without a word"
    say_error(f"study {snapshot.id}: {reason}; go on with: embcx-tui resume {snapshot.id}")
    return FAILED


def follow_log(paths: StudyPaths) -> None:
    """Print a study's log lines as they come, until its worker ends."""
    reader = StudyReader(paths)
    shown = 0
    while True:
        snapshot = reader.poll()
        for line in snapshot.log[shown:]:
            click.echo(str(line))
        shown = len(snapshot.log)
        if snapshot.state != "running":
            return
        time.sleep(_POLL_S)
