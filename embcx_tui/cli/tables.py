"""Aligned tables of the commands, laid out by rich."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterable, Sequence

import click

# Wide enough that no table wraps where its text goes to a file or a pipe.
_UNLIMITED_WIDTH = 100_000


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
