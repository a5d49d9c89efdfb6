"""The table of numbers that a paper prints: layers' mean ± sd over runs, accuracy, trend; as TSV, Markdown, LaTeX.

A row is one quantity of one architecture: its complexity, or a metric of its layers or of their t-SNE maps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from embcx_tui.analysis.formatting import break_words, interval_words, p_words, runs_words, signed
from embcx_tui.analysis.markdown import escaped, table
from embcx_tui.analysis.selection import Selection
from embcx_tui.analysis.trend import Trend
from embcx_tui.study.naming import architecture_name, layer_tick
from embcx_tui.study.plan import Architecture, Network
from embcx_tui.study.text import safe_text

KL = "KL"
# Before the layers' columns, and after them.
_FIRST = ("network", "quantity", "n")
_LAST = ("test acc.", "per layer", "95 % CI", "falling", "p, sign test", "first rise at")
NOTHING = "–"
_PENDING = "…"


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell, and the number by which its column is sorted; None: after all others."""

    text: str
    number: float | None = None


@dataclass(frozen=True, slots=True)
class TableRow:
    """One quantity of one architecture, with a cell for each column of its table."""

    architecture: Architecture
    quantity: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class LayerTable:
    """The rows of a table, and what stands above its columns."""

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def sorted(self, column: int, descending: bool) -> LayerTable:
        """Return the table with each quantity's rows in the order of a column; cells without a value come last."""
        quantities = list(dict.fromkeys(row.quantity for row in self.rows))

        def key(row: TableRow) -> tuple[float | str, ...]:
            cell = row.cells[column]
            if column < 2:
                return (cell.text,)
            number = cell.number
            return (1.0, 0.0) if number is None else (0.0, -number if descending else number)

        rows: list[TableRow] = []
        for quantity in quantities:
            mine = sorted((row for row in self.rows if row.quantity == quantity), key=key)
            rows += reversed(mine) if descending and column < 2 else mine
        return replace(self, rows=tuple(rows))


def layer_table(
    selection: Selection, dataset: str, depth: int | None, trends: Mapping[Architecture, Trend] | None
) -> LayerTable:
    """Return the numbers of all architectures of a dataset, of one `depth` or all (None).

    `trends` are those of `analysis.trend`; None while they are computed.
    """
    groups = {
        key: networks
        for key, networks in sorted(selection.architectures().items(), key=lambda item: item[0].depth)
        if key.dataset == dataset and depth in (None, key.depth)
    }
    deepest = max((key.depth for key in groups), default=0)
    found = {key: _quantities(selection, networks) for key, networks in groups.items()}
    quantities = [KL, *dict.fromkeys(name for values in found.values() for name in values if name != KL)]
    rows = []
    for quantity in quantities:
        for key, networks in groups.items():
            if quantity == KL or quantity in found[key]:
                layers = found[key].get(quantity, {})
                last = _ends(selection, networks, trends, key) if quantity == KL else [Cell(NOTHING)] * len(_LAST)
                runs = {len(values) for values in layers.values()} or {0}
                n = str(max(runs)) if len(runs) == 1 else f"{min(runs)}–{max(runs)}"
                cells = (
                    _mean_sd(layers.get(layer, ())) if layer <= key.depth else Cell("") for layer in range(deepest + 1)
                )
                head = (Cell(_name(selection, key, depth is None)), Cell(quantity), Cell(n, float(max(runs))))
                rows.append(TableRow(key, quantity, (*head, *cells, *last)))
    return LayerTable((*_FIRST, *map(layer_tick, range(deepest + 1)), *_LAST), tuple(rows))


def _name(selection: Selection, key: Architecture, with_depth: bool) -> str:
    if with_depth:
        return architecture_name(key, selection.snapshot.plan.settings.networks.width, times="×")
    return f"{key.activation} {key.control or ''}".rstrip()


def _quantities(selection: Selection, networks: Sequence[Network]) -> dict[str, dict[int, list[float]]]:
    """Return the values over the runs that enter, by quantity and layer."""
    found: dict[str, dict[int, list[float]]] = {}
    for network in filter(selection.enters, networks):
        for layer in network.layers:
            if measured := selection.layer(network, layer):
                values = {KL: measured.kl, "explained": measured.explained, **measured.metrics, **measured.quality}
                for name, value in values.items():
                    if value is not None:
                        found.setdefault(safe_text(name, 40), {}).setdefault(layer, []).append(value)
    return found


def _mean_sd(values: Sequence[float], decimals: int = 3) -> Cell:
    if not values:
        return Cell(NOTHING)
    spread = f" ± {stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return Cell(signed(fmean(values), decimals) + spread, fmean(values))


def _ends(
    selection: Selection,
    networks: Sequence[Network],
    trends: Mapping[Architecture, Trend] | None,
    key: Architecture,
) -> list[Cell]:
    """Return test accuracy and trend of an architecture. The sign test's p is that of the direction of the effect."""
    states = (selection.snapshot.networks[network.id] for network in networks if selection.enters(network))
    accuracy = _mean_sd([state.test_accuracy for state in states if state.test_accuracy is not None], 4)
    if trends is None:
        return [accuracy, *[Cell(_PENDING)] * (len(_LAST) - 1)]
    trend = trends.get(key)
    if trend is None or trend.reason:
        return [accuracy, *[Cell(NOTHING)] * (len(_LAST) - 1)]
    rises = trend.effect is not None and trend.effect < 0
    p = trend.sign_p_increase if rises else trend.sign_p
    return [
        accuracy,
        Cell(signed(trend.slope, 3, plus=True), trend.slope),
        Cell(interval_words(trend.slope_ci_low, trend.slope_ci_high), trend.slope_ci_low),
        Cell(runs_words(trend.runs_falling, trend), None if trend.runs_falling is None else float(trend.runs_falling)),
        Cell(p_words(p), p),
        Cell(break_words(trend), float(trend.first_break or 0)),
    ]


def as_tsv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with tabs between their cells, numbers with the minus sign that spreadsheets read."""
    return "\n".join("\t".join(cell.replace("−", "-") for cell in line) for line in (columns, *rows))


def as_markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in GitHub's Markdown."""
    return "\n".join(
        table([escaped(name) for name in columns], [[escaped(cell) for cell in row] for row in rows])
    ).strip()


_LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "–": "--",
    "…": r"\ldots{}",
    "<": "$<$",
}
_NUMBERS = re.compile(r"[<−+0-9. ±…]*[0-9][−+0-9. ±…]*")
_IN_MATHS = {"−": "-", "±": r"\pm", "…": r"\ldots"}


def as_latex(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a tabular with the rules of the booktabs package, text to the left and numbers to the right."""
    sides = "ll" + "r" * (len(columns) - 2)
    lines = [" & ".join(map(_latex, line)) + r" \\" for line in (columns, *rows)]
    rules = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([*rules, r"\end{tabular}"])


def _latex(text: str) -> str:
    if _NUMBERS.fullmatch(text):
        return "$" + "".join(_IN_MATHS.get(char, char) for char in text) + "$"
    return "".join(_LATEX.get(char, char) for char in text)


# How a table can be copied, by what the user chooses from.
FORMATS: dict[str, Callable[[Sequence[str], Sequence[Sequence[str]]], str]] = {
    "TSV": as_tsv,
    "Markdown": as_markdown,
    "LaTeX": as_latex,
}


def table_text(shown: LayerTable, format: str) -> str:
    """Return all of a table in one of `FORMATS`, its rows in their order."""
    return FORMATS[format](shown.columns, [[cell.text for cell in row.cells] for row in shown.rows])
