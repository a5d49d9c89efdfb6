"""Studies beside each other: the means of each, and how they differ from the first one."""

from __future__ import annotations

import csv
import json
import sys

import click

from embcx_tui.analysis.comparison import (
    MOST_STUDIES,
    compare,
    comparison_record,
    comparison_table,
    difference_records,
)
from embcx_tui.analysis.selection import Exclusion
from embcx_tui.cli import print_table, say_error, studies_like
from embcx_tui.cli.show import exclude_options
from embcx_tui.store.library import find_study
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.naming import dataset_title, hidden_layers


@click.command("compare")
@click.argument("studies", nargs=-1, required=True, shell_complete=studies_like, metavar="STUDY STUDY…")
@click.option("--json", "as_json", is_flag=True, help="The differences with their intervals as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="The differences with their intervals as CSV.")
@exclude_options
def compare_command(studies: tuple[str, ...], as_json: bool, as_csv: bool, exclude_chance: Exclusion) -> None:
    """Compare each STUDY with the first one, layer by layer.

    Runs are paired where both studies drew the same samples with the same seed; else Welch's intervals are taken.
    What makes the numbers less than comparable is said on standard error.
    """
    found = list(dict.fromkeys(find_study(study) for study in studies))
    if not 2 <= len(found) <= MOST_STUDIES:
        raise click.UsageError(f"2 to {MOST_STUDIES} different studies can be compared, not {len(found)}")
    if as_json and as_csv:
        raise click.UsageError("--json or --csv, not both")
    comparison = compare([read_study(paths) for paths in found], exclude_chance)
    for sentence in comparison.caveats:
        say_error(sentence)
    if as_json:
        click.echo(json.dumps(comparison_record(comparison), indent=2))
        return
    if as_csv:
        records = difference_records(comparison)
        if records:
            writer = csv.DictWriter(sys.stdout, records[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(records)
        return
    for dataset, depth in comparison.places:
        table = comparison_table(comparison, dataset, depth)
        click.echo(f"{dataset_title(dataset)}, {hidden_layers(depth)}: mean KL (nats) ± sd over n runs")
        for quantity in dict.fromkeys(row.quantity for row in table.rows):
            click.echo(f"  {quantity}")
            rows = [[cell.text for cell in row.cells] for row in table.rows if row.quantity == quantity]
            # The quantity stands above its rows.
            print_table(table.columns[:1] + table.columns[2:], (row[:1] + row[2:] for row in rows))
