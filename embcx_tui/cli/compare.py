"""Studies, or groups within one, beside each other: the means of each, and how they differ from the first one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from embcx_tui.analysis.comparison import (
    MOST_STUDIES,
    Comparison,
    compare,
    comparison_record,
    comparison_table,
    difference_csv,
)
from embcx_tui.analysis.groups import FIELDS, compare_groups, groups_by
from embcx_tui.analysis.selection import Exclusion
from embcx_tui.cli import echo_path, print_table, say_error, studies_like
from embcx_tui.cli.figures import DPI, FORMAT, OVERWRITE, SIZE, sparing
from embcx_tui.cli.show import exclude_options
from embcx_tui.figures.comparison_lines import comparison_lines, comparison_name, differences_name
from embcx_tui.figures.export import Format, file_name, file_names, write_figure, write_files
from embcx_tui.store.files import make_folder
from embcx_tui.store.library import find_study
from embcx_tui.store.paths import typed_path
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.naming import dataset_title


@click.command("compare")
@click.argument("studies", nargs=-1, required=True, shell_complete=studies_like, metavar="STUDY…")
@click.option(
    "--by",
    metavar="FIELD[=VALUE,VALUE…]",
    help=f"Compare groups within one STUDY: by {', '.join(FIELDS)} or model; all values, or these. The first is what"
    " the others are compared with.",
)
@click.option("--json", "as_json", is_flag=True, help="The differences with their intervals as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="The differences with their intervals as CSV.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Draw the chart of each dataset and depth into this folder, with the differences as CSV; print their paths.",
)
@FORMAT
@SIZE
@DPI
@OVERWRITE
@exclude_options
def compare_command(
    studies: tuple[str, ...],
    by: str | None,
    as_json: bool,
    as_csv: bool,
    out: Path | None,
    format: Format,
    size: str,
    dpi: int,
    overwrite: bool,
    exclude_chance: Exclusion,
) -> None:
    """Compare each STUDY with the first one, or with --by groups of networks within one, layer by layer.

    Runs are paired where both drew the same samples with the same seed; else Welch's intervals are taken.
    What makes the numbers less than comparable is said on standard error.
    """
    if (as_json, as_csv, out is not None).count(True) > 1:
        raise click.UsageError("--json, --csv or --out: ask for one")
    comparison = _comparison(studies, by, exclude_chance)
    for sentence in comparison.caveats:
        say_error(sentence)
    if as_json:
        click.echo(json.dumps(comparison_record(comparison), indent=2))
    elif as_csv:
        click.echo(difference_csv(comparison), nl=False)
    elif out is not None:
        _write(comparison, typed_path(out).absolute(), format, size, dpi, overwrite)
    else:
        _print(comparison)


def _comparison(studies: tuple[str, ...], by: str | None, exclude_chance: Exclusion) -> Comparison:
    found = list(dict.fromkeys(find_study(study) for study in studies))
    if by is not None:
        if len(found) != 1:
            raise click.UsageError(f"--by compares groups within one study, not within {len(found)}")
        snapshot = read_study(found[0])
        return compare_groups(snapshot, groups_by(snapshot, by), exclude_chance)
    if not 2 <= len(found) <= MOST_STUDIES:
        raise click.UsageError(
            f"2 to {MOST_STUDIES} different studies can be compared, not {len(found)} (--by: groups within one)"
        )
    return compare([read_study(paths) for paths in found], exclude_chance)


def _print(comparison: Comparison) -> None:
    for dataset, depth in comparison.places:
        table = comparison_table(comparison, dataset, depth)
        where = ", ".join(filter(None, [dataset_title(dataset), *comparison.place_words(depth)]))
        click.echo(f"{where}: mean KL (nats) ± sd over n runs")
        for quantity in dict.fromkeys(row.quantity for row in table.rows):
            click.echo(f"  {quantity}")
            rows = [[cell.text for cell in row.cells] for row in table.rows if row.quantity == quantity]
            # The quantity stands above its rows.
            print_table(table.columns[:1] + table.columns[2:], (row[:1] + row[2:] for row in rows))


def _write(comparison: Comparison, folder: Path, format: Format, size: str, dpi: int, overwrite: bool) -> None:
    """Write a chart of each place and one table of all differences."""
    charts = {comparison_name(comparison, *place): comparison_lines(comparison, *place) for place in comparison.places}
    table = file_name(differences_name(comparison), "csv")
    files = [file for name in charts for file in file_names(name, format)]
    with sparing(folder, [*files, table], overwrite):
        make_folder(folder)
        for name, figure in charts.items():
            echo_path(write_figure(figure, name, format, folder, size, dpi))
        write_files(folder, [(table, difference_csv(comparison).encode())])
        echo_path(folder / table)
