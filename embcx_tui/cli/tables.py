"""Measurements as text for people."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

from embcx_tui.analysis.summary import LayerSummary, summarise
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.text import safe_text


def summary_text(snapshot: Snapshot) -> str:
    """Return a table: a line an architecture, a column a layer, KL as mean ± standard deviation over the runs."""
    settings = snapshot.plan.settings
    lines = [
        f"{snapshot.name} ({snapshot.id}): {snapshot.state}",
        f"KL in nats, mean ± sd over runs; t-SNE, {settings.measure.engine} engine, perplexity "
        f"{settings.measure.perplexity:g}, {settings.data.samples_per_class} inputs a class",
    ]
    groups: dict[tuple[str, int, str, str | None], dict[int, LayerSummary]] = defaultdict(dict)
    for one in summarise(snapshot):
        groups[one.dataset, one.depth, one.activation, one.control][one.layer] = one
    if not groups:
        return "\n".join([*lines, "nothing measured yet"])
    deepest = max(depth for _, depth, _, _ in groups)
    heads = ["network", "n", "accuracy", "input", *(str(layer) for layer in range(1, deepest + 1))]
    rows = [_row(snapshot, key, layers, deepest) for key, layers in groups.items()]
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    lines.append("")
    for row in [heads, *rows]:
        first, *others = (
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    degenerate = sum(one.degenerate for layers in groups.values() for one in layers.values())
    if degenerate:
        lines.append(f"{degenerate} degenerate layers are left out of the means (show --json lists them)")
    if snapshot.partly_failed:
        lines.append(f"{len(snapshot.diverged)} networks diverged, {len(snapshot.failed)} layers could not be measured")
    return "\n".join(lines)


def _row(
    snapshot: Snapshot, key: tuple[str, int, str, str | None], layers: dict[int, LayerSummary], deepest: int
) -> list[str]:
    dataset, depth, activation, control = key
    accuracies = [
        state.test_accuracy
        for state in snapshot.networks.values()
        if (state.network.dataset, state.network.depth, state.network.activation, state.network.control) == key
        and state.test_accuracy is not None
        and state.status != "diverged"
    ]
    label = f"{safe_text(dataset, 40)} {depth}x{snapshot.plan.settings.networks.width} {activation}"
    return [
        label + (f" {control}" if control else ""),
        str(max(one.n for one in layers.values())),
        f"{fmean(accuracies):.4f}" if accuracies else "",
        *(_cell(layers.get(layer)) for layer in range(deepest + 1)),
    ]


def _cell(one: LayerSummary | None) -> str:
    if one is None or one.kl_mean is None:
        return "degenerate" if one and one.degenerate else ""
    return f"{one.kl_mean:.3f}" + (f" ± {one.kl_sd:.3f}" if one.kl_sd is not None else "")
