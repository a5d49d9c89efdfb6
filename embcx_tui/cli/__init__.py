"""The command line. Each command imports what it needs when it is called: `--help` must not wait for anything."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from embcx_tui import __version__
from embcx_tui.study.errors import EmbcxError

# Exit codes; the README has the same table.
OK, FAILED, BAD_REQUEST, PARTLY, STOPPED, DEFECT, INTERRUPTED = 0, 1, 2, 3, 4, 70, 130


class LazyGroup(click.Group):
    """A group whose commands live in modules of this package, imported when they are named."""

    _homes = {  # noqa: RUF012  # never changed
        "open": "run",
        "presets": "run",
        "run": "run",
        "resume": "run",
        "list": "studies",
        "show": "studies",
        "logs": "studies",
        "stop": "studies",
        "delete": "studies",
        "export": "figures",
        "draw": "figures",  # for the application; not listed
        "report": "figures",
        "data": "data",
        "doctor": "doctor",
        "bench": "bench",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        home = self._homes.get(cmd_name)
        if home is None:
            return None
        from importlib import import_module

        command = getattr(import_module(f"embcx_tui.cli.{home}"), f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self._homes and not args[0].startswith("-"):
            import difflib

            from embcx_tui.study.text import safe_text

            near = difflib.get_close_matches(args[0], _SUMMARIES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"commands: {', '.join(_SUMMARIES)}"
            raise click.UsageError(f"there is no command {safe_text(args[0], 60)!r}; {hint}")
        return super().resolve_command(ctx, args)


# One short help a command, so that --help imports none of them.
_SUMMARIES = {
    "open": "Open the application on one study (reattach).",
    "presets": "The ready-made studies.",
    "run": "Run a study: a preset's name or a TOML file.",
    "resume": "Go on with a study that was stopped or lost.",
    "list": "Studies with their state.",
    "show": "The measurements of a study.",
    "logs": "The log of a study.",
    "stop": "Stop a study after its epoch; nothing is lost.",
    "delete": "Delete a study with all its files.",
    "export": "Draw a study's figures as PNG, SVG or PDF.",
    "report": "Write a study as one Markdown page with figures and tables.",
    "data": "Datasets: what is there, fetch, check.",
    "doctor": "What this machine has, and what is missing.",
    "bench": "How fast this machine is, beside the best of the libraries.",
}


class Overview(LazyGroup):
    """Formats the list of commands from the summaries, importing nothing."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUMMARIES.items()))


@click.group(
    cls=Overview,
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


def say_error(text: str) -> None:
    click.echo(f"embcx-tui: {text}", err=True)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run a command and end the process; every error is one line on standard error."""
    os.umask(0o077)
    try:
        code: Any = cli.main(argv, prog_name="embcx-tui", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = OK
    except click.ClickException as error:
        context = getattr(error, "ctx", None)  # usage errors alone know their command
        where = f" ({context.command_path} --help)" if context else ""
        say_error(" ".join(error.format_message().split()) + where)
        code = BAD_REQUEST
    except EmbcxError as error:
        say_error(str(error))
        code = BAD_REQUEST
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted. Keep the interpreter's own flush from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    except OSError as error:
        from embcx_tui.study.text import safe_text

        say_error(f"{safe_text(error.filename or 'input/output')}: {error.strerror or error}")
        code = BAD_REQUEST
    except Exception as error:  # the edge of the process: recorded whole, told in one line
        say_error(f"a defect of embcx-tui ({type(error).__name__}); {_record_defect()}")
        code = DEFECT
    sys.exit(code if isinstance(code, int) else OK)


def _record_defect() -> str:
    """Write the traceback where a report can find it and say where."""
    import traceback

    from embcx_tui.store.paths import home

    path = home() / "defect.log"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return "its traceback could not be written down"
    return f"please report it with {path}"
