"""The words of the layer browser: what layers and methods are called, what is missing and why, what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from embcx_tui.analysis import formatting
from embcx_tui.analysis.selection import Selection, flaw_predicate
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import LayerMeasured
from embcx_tui.study.naming import shortened
from embcx_tui.study.plan import Network, Source
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.study.text import safe_text
from embcx_tui.tui.layers.embeddings import AlignedEmbedding
from embcx_tui.tui.study_row import AT_CHANCE_SIGN, DIVERGED_SIGN


def layer_words(network: Network, layer: int) -> str:
    """Return what a layer is called: `the input`, `layer 2 of 5`, or `layer 2 of 5 · conv1` where it has a name."""
    name = network.layer_name(layer)
    words = "the input" if layer == 0 else f"layer {layer} of {network.depth}"
    return f"{words} · {shortened(name)}" if name else words


def points_title(network: Network, layer: int) -> str:
    """Return the title of a layer's points. That of the input names no network: all networks of a run share it."""
    if layer == 0:
        return f"Input · run {network.run}"
    control = f" {network.control}" if network.control else ""
    name = f"{shortened(network.layer_name(layer))} · " if network.layer_name(layer) else ""
    return f"Layer {layer} of {network.depth} · {name}{network.activation}{control}, run {network.run}"


def waiting_words(snapshot: Snapshot, network: Network) -> str:
    """Return why a layer without `trouble_words` is not measured yet."""
    state = snapshot.networks[network.id]
    if state.status == "training":
        return f"not measured yet: in epoch {state.epochs} of {snapshot.plan.settings.training.epochs}"
    return "not measured yet"


def trouble_words(snapshot: Snapshot, network: Network, layer: int) -> str:
    """Return what is wrong with a layer, in one line; empty where nothing is."""
    layer_id = network.layer_ids()[layer]
    failed = snapshot.failed.get((layer_id, SCORE_METHOD))
    measured = snapshot.layer(network, layer)
    if measured and measured.degenerate:
        return f"degenerate: {measured.duplicates:,} of {measured.points:,} rows are duplicates; not in the mean"
    if failed:
        return f"could not be measured: {safe_text(failed.reason)}"
    if network.id in snapshot.diverged and not measured:
        return f"diverged in epoch {snapshot.diverged[network.id].epoch}: not measured"
    return ""


def state_words(selection: Selection, network: Network) -> str:
    """Return in one line why a network does not count like others; empty where it does."""
    if network.id in selection.diverged:
        return f"{DIVERGED_SIGN} diverged in epoch {selection.snapshot.diverged[network.id].epoch}: excluded from means"
    if network.id in selection.at_chance:
        flaw = selection.snapshot.networks[network.id].flaw or "at chance"
        return f"{AT_CHANCE_SIGN} {flaw}, {'left out' if selection.exclude_chance else 'counted in means'}"
    return ""


def runs_words(selection: Selection, networks: Sequence[Network]) -> tuple[str, ...]:
    """Return a line on the runs of a mean that diverged and one on those at chance, where there are any."""
    lines = []
    if diverged := sum(network.id in selection.diverged for network in networks):
        lines.append(f"{DIVERGED_SIGN} {diverged} of {len(networks)} runs diverged")
    flaws = [selection.snapshot.networks[one.id].flaw for one in networks if one.id in selection.at_chance]
    if flaws and selection.exclude_chance:
        lines.append(f"{AT_CHANCE_SIGN} without {len(flaws)} at chance")
    elif flaws:
        lines.append(f"{AT_CHANCE_SIGN} {len(flaws)} of {len(networks)} {flaw_predicate(flaws)}")
    return tuple(lines)


def chance_words(selection: Selection) -> str:
    """Return what is left out of every mean and test; empty where the user did not ask for that."""
    if not selection.exclude_chance:
        return ""
    if not selection.at_chance:
        return f"{AT_CHANCE_SIGN} no network is at chance: none is left out"
    count = formatting.several(len(selection.at_chance), "network")
    return f"{AT_CHANCE_SIGN} means and tests without {count} at chance"


def caption(name: str, measured: LayerMeasured | None) -> str:
    """Return the caption of one of several panels: its name, the epoch before the last, and the layer's score."""
    parts = [name]
    if measured and measured.epoch is not None:
        parts.append(f"epoch {measured.epoch}")
    if measured and measured.kl is not None:
        parts.append(f"KL {measured.kl:.3f}")
    return " · ".join(parts)


def nothing_yet(snapshot: Snapshot) -> str:
    """Return why no layer of a study is measured, and what happens next."""
    if snapshot.plan.is_measured:
        if snapshot.state == "running":
            return "No layer is measured yet.\nLayers appear here one by one; v shows it live."
        return "No layer is measured.\nThe study is not running; r on the Live screen (v) goes on with it."
    epochs = snapshot.plan.settings.training.epochs
    last = min((history.last for history in snapshot.histories.values()), default=0)
    if snapshot.state == "running":
        now = f"Training is in epoch {last} of {epochs}." if last < epochs else "The first one is being measured."
        return f"No layer is measured yet.\n{now} Layers appear here one by one; v shows it live."
    return "No layer is measured.\nThe study is not running; r on the Live screen (v) goes on with it."


def input_words(embedding: AlignedEmbedding, row: int, source: Source, classes: Sequence[str]) -> str:
    """Return what one input of a sample is: its number, its class, and what it is taken for where that is known."""

    def name(label: int) -> str:
        return safe_text(classes[label], 40) if 0 <= label < len(classes) else str(label)

    label = int(embedding.sample.labels[row])
    part = "training" if source == "train" else "test"
    parts = [f"{part} sample {int(embedding.sample.index[row]):,}", f"label {name(label)}"]
    if embedding.predicted is not None:
        predicted = int(embedding.predicted[row])
        parts.append("predicted correctly" if predicted == label else f"predicted {name(predicted)}")
    return " · ".join(parts)
