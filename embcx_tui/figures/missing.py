"""What a figure would show and the study does not hold, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from embcx_tui.analysis.selection import Selection
from embcx_tui.study.plan import Network
from embcx_tui.study.text import safe_text

# As many as stand under a figure; the command that draws it names all.
_MOST_NAMED = 4


def missing(
    selection: Selection, networks: Sequence[Network], method: str = "tsne", layers: Iterable[int] | None = None
) -> tuple[str, ...]:
    """Return what of these networks is not there, each by its name and reason.

    `relu run 1 layers 4, 5 (not measured)`, `relu run 2 (diverged)`. `layers` None: all from the input on. Names hold
    only what tells these networks apart, and always the run.
    """
    found = []
    for network in networks:
        name = _name(network, networks)
        if network.id in selection.diverged:
            found.append(f"{name} (diverged)")
        elif network.id in selection.left_out:
            found.append(f"{name} (at chance, left out)")
        else:
            found += [f"{name} {what}" for what in _layers(selection, network, method, layers)]
    return tuple(found)


def _layers(selection: Selection, network: Network, method: str, layers: Iterable[int] | None) -> list[str]:
    reasons: dict[str, list[int]] = {}
    wanted = range(network.depth + 1) if layers is None else list(layers)
    names = network.layer_ids()
    for layer in wanted:
        measured = selection.layer(network, layer, method)
        if measured and measured.degenerate and measured.kl is None and method == "tsne":
            reasons.setdefault("degenerate, no score", []).append(layer)
        elif measured is None:
            failed = selection.snapshot.failed.get((names[layer], method))
            reasons.setdefault(safe_text(failed.reason, 80) if failed else "not measured", []).append(layer)
    return [
        f"({reason})" if len(places) == len(list(wanted)) else f"{_places(places)} ({reason})"
        for reason, places in reasons.items()
    ]


def _places(layers: Sequence[int]) -> str:
    if list(layers) == [0]:
        return "input"
    words = ", ".join("input" if layer == 0 else str(layer) for layer in layers)
    return f"layer{'s' * (len(layers) > 1)} {words}"


def _name(network: Network, others: Sequence[Network]) -> str:
    parts = [f"run {network.run}"]
    if len({one.activation for one in others}) > 1:
        parts.insert(0, safe_text(network.activation, 40))
    if len({one.depth for one in others}) > 1:
        parts.insert(0, f"{network.depth} layers")
    if len({one.control for one in others}) > 1:
        parts.append(network.control or "trained")
    return " ".join(parts)


def in_words(parts: Sequence[str]) -> str:
    """Return the first few of `parts` and how many more there are."""
    more = len(parts) - _MOST_NAMED
    shown = parts if more <= 1 else parts[:_MOST_NAMED]
    return "; ".join(shown) + (f"; and {more} more" if more > 1 else "")
