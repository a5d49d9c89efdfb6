"""The command line, and what its commands share: exit codes, one line for every error, aligned tables.

Each command imports what it needs when it is called: `--help` must not wait for anything.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from embcx_tui import __version__
from embcx_tui.study.errors import EmbcxError, error_line, import_failure
from embcx_tui.study.text import safe_text

# Exit codes; the README has the same table.
OK, FAILED, BAD_REQUEST, PARTLY, STOPPED, DEFECT, INTERRUPTED = 0, 1, 2, 3, 4, 70, 130


# Module, short help and an example of each command, so that --help imports none; one without help is not listed.
_COMMANDS = {
    "open": ("run", "Open the application on one study (reattach).", "open last"),
    "presets": ("run", "The ready-made studies.", "presets --json"),
    "run": ("run", "Run a study: a preset's name or a TOML file.", "run fig2 --set networks.runs=2 --detach"),
    "measure": (
        "measure",
        "Measure the layers of any network from files of its activations.",
        "measure acts.safetensors --labels y.npy --name resnet18",
    ),
    "resume": ("run", "Go on with a study that was stopped or lost.", "resume last"),
    "list": ("studies", "Studies with their state.", "list --json"),
    "show": ("show", "The measurements of a study.", "show last --table summary > summary.csv"),
    "compare": ("compare", "Studies beside each other, with intervals.", "compare wide narrow --csv"),
    "logs": ("studies", "The log of a study.", "logs last --follow"),
    "stop": ("studies", "Stop a study after its epoch; nothing is lost.", "stop last"),
    "delete": ("studies", "Delete a study with all its files.", "delete k7m2x9q4fa"),
    "export": (
        "figures",
        "Draw a study's figures as PNG, SVG or PDF, the flight as GIF.",
        "export last --figure fig2 --format pdf",
    ),
    "draw": ("figures", "", "draw"),  # for the application
    "report": (
        "figures",
        "Write a study as one page, Markdown or HTML, with figures and tables.",
        "report last --out report",
    ),
    "data": ("data", "Datasets: what is there, fetch, check.", "data fetch mnist"),
    "doctor": ("doctor", "What this machine has, and what is missing.", "doctor"),
    "bench": ("bench", "How fast this machine is, beside the best of the libraries.", "bench embed --json"),
}
# Wide enough that no table wraps where its text goes to a file or a pipe.
_UNLIMITED_WIDTH = 100_000


class LazyGroup(click.Group):
    """A group whose commands live in modules of this package, imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (_, summary, _) in _COMMANDS.items() if summary]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        from importlib import import_module

        command = getattr(import_module(f"embcx_tui.cli.{_COMMANDS[cmd_name][0]}"), f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        command.epilog = f"Example: embcx-tui {_COMMANDS[cmd_name][2]}"
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            import difflib

            listed = self.list_commands(ctx)
            near = difflib.get_close_matches(args[0], listed, n=1)
            hint = f"did you mean {near[0]}?" if near else f"commands: {', '.join(listed)}"
            raise click.UsageError(f"there is no command {safe_text(args[0], 60)!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="embcx-tui", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Measure how hard the layers of neural networks are to embed. Without a command: open the application.

    STUDY is an id, the beginning of one, a name, or `last`. Studies live in $EMBCX_HOME, datasets in $EMBCX_DATA_DIR.
    """
    if ctx.invoked_subcommand is None:
        command = cli.get_command(ctx, "open")
        assert command is not None
        ctx.invoke(command, study=None)


def studies_like(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete STUDY for the shell: `last`, and the ids and names of studies."""
    from embcx_tui.store.library import LATEST, list_studies, read_settings
    from embcx_tui.store.name_and_note import read_label

    found = [LATEST]
    for paths in list_studies():
        found.append(paths.id)
        with suppress(EmbcxError):
            found.append(read_label(paths).name or read_settings(paths).name)
    return [name for name in dict.fromkeys(found) if name.startswith(incomplete)]


def say_error(text: str) -> None:
    with suppress(OSError):  # nobody listens; the exit code says it too
        click.echo(f"embcx-tui: {text}", err=True)


def echo_path(path: Path) -> None:
    """Print the path of a file that was written, without what a terminal would obey."""
    click.echo(safe_text(path, 4_096))


def main(argv: list[str] | None = None) -> NoReturn:
    """Run a command and end the process; every error is one line on standard error."""
    if sys.platform == "win32":
        say_error("embcx-tui runs on Linux and macOS; on Windows use it inside WSL")
        sys.exit(BAD_REQUEST)
    os.umask(0o077)
    _settle_surroundings()
    try:
        code: Any = cli.main(argv, prog_name="embcx-tui", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = OK
    except click.ClickException as error:
        context = getattr(error, "ctx", None)  # usage errors alone know their command
        where = f" ({context.command_path} --help)" if context else ""
        # click repeats what was typed, escape sequences too.
        say_error(safe_text(error.format_message()) + where)
        code = BAD_REQUEST
    except EmbcxError as error:
        say_error(str(error))
        code = BAD_REQUEST
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except (BrokenPipeError, SystemExit):
        code = OK  # the reader (`| head`) has what it wanted; click ends with SystemExit for this alone
    except Exception as error:
        code = _say_exception(error)
    _drop_unwritten()
    sys.exit(code if isinstance(code, int) else OK)


def _say_exception(error: Exception) -> int:
    """Say in one line what ended a command, at the edge of the process, and return the exit code."""
    if broken := import_failure(error):
        say_error(broken)
        return BAD_REQUEST
    if isinstance(error, OSError):
        say_error(error_line(error))
        return BAD_REQUEST
    say_error(f"a defect of embcx-tui ({type(error).__name__}: {safe_text(error, 120)}); {_record_defect()}")
    return DEFECT


def _record_defect() -> str:
    """Write the traceback where a report can find it and say where; never raises."""
    import traceback

    try:
        from embcx_tui.store.paths import home

        path = home() / "defect.log"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        from embcx_tui.store.files import publish

        publish(path, traceback.format_exc().encode("utf-8", "backslashreplace"), follow=True)
    except Exception as error:
        return f"its traceback could not be written down ({error_line(error)})"
    return f"please report it with {safe_text(path)}"


def _settle_surroundings() -> None:
    """Bear what the process was given: closed streams, an encoding without our signs, a time zone that is none."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # or a file of ours would get its number
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    codecs.register_error("embcx-similar", _similar)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="embcx-similar")
    try:
        datetime.now().astimezone()
    except ValueError:  # TZ=UTC+168: more than a day
        os.environ["TZ"] = "UTC"
        time.tzset()


def _similar(error: UnicodeError) -> tuple[str, int]:
    """Return ASCII signs for those that an output's encoding lacks."""
    from embcx_tui.figures.spans import ascii_of

    assert isinstance(error, UnicodeEncodeError)
    return ascii_of(error.object[error.start : error.end]), error.end


def _drop_unwritten() -> None:
    """Drop what could not be written (a full disk, a closed pipe): the interpreter would complain at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def table_lines(head: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Return a table as lines of plain text; `head` empty: without one.

    The columns whose numbers are in `left` are aligned to the left, the others to the right. On a terminal the table
    has a line under its head and fits the width; elsewhere each row is one line, however long.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    body = [[Text(cell) for cell in row] for row in rows]
    on_terminal = sys.stdout.isatty()
    console = Console(
        file=io.StringIO(),
        width=None if on_terminal else _UNLIMITED_WIDTH,
        color_system=None,
        legacy_windows=False,
    )
    table = Table(
        box=box.SIMPLE_HEAD if on_terminal and head else None,
        show_header=bool(head),
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
    )
    for index in range(len(head or body[0])):
        table.add_column(
            Text(head[index]) if head else "", justify="left" if index in left else "right", overflow="fold"
        )
    for row in body:
        table.add_row(*row)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = (0,)) -> None:
    """Print the lines of `table_lines`."""
    for line in table_lines(head, rows, left):
        click.echo(line)
