"""A study as one Markdown page with its figures and tables beside it."""

from __future__ import annotations

from pathlib import Path

import click

from embcx_tui.cli.figures import figures_of, say_left_out, write_figures
from embcx_tui.cli.studies import EXCLUDE_CHANCE
from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.library import find_study
from embcx_tui.store.reader import read_study
from embcx_tui.study.errors import StoreError
from embcx_tui.study.text import safe_text


@click.command("report")
@click.argument("study")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to write to; else the study's exports/report.")
@EXCLUDE_CHANCE
def report_command(study: str, out: Path | None, exclude_chance: bool) -> None:
    """Write a report of STUDY, one Markdown page with figures and tables beside it, and print its path.

    Every figure but the embeddings of single networks: `export` draws those.
    """
    from embcx_tui.analysis.report import report
    from embcx_tui.analysis.tables import TABLES, csv_table

    paths = find_study(study)
    snapshot = read_study(paths)
    folder = (out.expanduser() if out else paths.exports / "report").absolute()
    make_folder(folder)
    say_left_out(snapshot, exclude_chance)
    figures = figures_of(paths, snapshot, exclude_chance)
    chosen = [name for name in figures if not name.startswith("embedding-")]
    drawn = {name: target.name for name, target in write_figures(figures, chosen, "png", folder)}
    files = {f"{table}.csv": csv_table(snapshot, table, exclude_chance) for table in TABLES}
    page = report(snapshot, drawn, tuple(files), exclude_chance)
    for name, text in {**files, "report.md": page}.items():
        try:
            publish(folder / name, text.encode())
        except OSError as error:
            raise StoreError(f"{safe_text(folder / name)}: cannot be written ({error.strerror})") from None
    click.echo(str(folder / "report.md"))
