"""Two lines on a study: its state with the next key to press, and its progress and throughput."""

from __future__ import annotations

from collections.abc import Callable

from embcx_tui.analysis import formatting
from embcx_tui.analysis.forecast import embedding_words, progress
from embcx_tui.figures.palette import Rgb
from embcx_tui.figures.spans import Row
from embcx_tui.store.history import History
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import dataset_title
from embcx_tui.study.text import safe_text
from embcx_tui.tui.keys import written
from embcx_tui.tui.study_row import STATE_STYLES, shown_state
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, fit_row, row_width, span

_LEAST_BAR = 12
# Only the newest epochs of the newest cohort, and the newest layers, count: older ones ran beside other work.
_EPOCHS, _LAYERS = 10, 50
_LEAST_LAYERS, _LEAST_S = 5, 1.0
STARTING = "starting: the worker takes a few seconds"


class LiveHeader(LineWidget):
    """Shows the state of a study with the next key to press, and its progress with the time left."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None
        self._starting = False

    def show(self, snapshot: Snapshot | None, starting: bool = False) -> None:
        """Show `snapshot`; `starting`: a worker was started that has not written a line yet."""
        self._snapshot, self._starting = snapshot, starting
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        snapshot = self._snapshot
        if snapshot is None:
            return ()
        if self._starting and snapshot.state != "running":
            # The journal still has the state before, and no key needs to be pressed.
            begin = fit_row((span(f"{STATE_STYLES['running'].sign} {STARTING}", ink.accent, bold=True),), width)
        else:
            begin = _state_row(snapshot, next_words(snapshot, lambda id: written(self.app, id)), width, ink)
        return begin, _progress_row(snapshot, width, ink)


def _state_row(snapshot: Snapshot, next_step: str, width: int, ink: Ink) -> Row:
    colour = state_colour(snapshot, ink)
    left: Row = (
        span(f"{STATE_STYLES[shown_state(snapshot)].sign} ", colour, bold=True),
        span(state_words(snapshot), colour, bold=True),
    )
    right: Row = (span(f"  {next_step}", ink.muted),)
    # The next key is never cut off: it is the way out of a bad state.
    return (*fit_row(left, max(width - row_width(right), 0)), *right)


def _progress_row(snapshot: Snapshot, width: int, ink: Ink) -> Row:
    done = progress(snapshot)
    settings = snapshot.plan.settings
    epochs = f"{done.network_epochs:,} of {done.network_epochs_planned:,} epochs"
    parts = [
        *([] if snapshot.plan.is_measured else [epochs]),
        embedding_words(done),
    ]
    if snapshot.state == "running" and done.seconds_left is not None:
        # Where there is no news, the line above says for how long.
        if not _silence(snapshot):
            parts.append(formatting.left(done.seconds_left, snapshot.updated, formatting.now()))
    elif snapshot.state == "complete" and snapshot.ended and snapshot.created:
        parts.append(f"took {formatting.duration(snapshot.ended.at - snapshot.created)}")
    if width >= 110:
        parts.insert(0, formatting.several(settings.network_count, "network"))
    if width >= 150:
        parts[:0] = throughput(snapshot)
    # Where there is little room, the time left comes before everything else.
    while len(parts) > 1 and len(" · ".join(parts)) + _LEAST_BAR + 8 > width:
        parts.pop(0)
    text = f"  {formatting.percent(done.fraction):>4}  {' · '.join(parts)}"
    room = max(width - len(text), _LEAST_BAR)
    cells = min(max(done.fraction, 0.0), 1.0) * room
    # The bar is full only where all is done.
    heavy = min(int(cells), room - (done.fraction < 1))
    bar: Row = (span("━" * heavy, state_colour(snapshot, ink)), span("─" * (room - heavy), ink.faint))
    return (*bar, span(text, ink.text))


def state_words(snapshot: Snapshot) -> str:
    """Return a study's state in words."""
    if snapshot.waiting:
        return snapshot.waiting.words
    match snapshot.state:
        case "queued":
            return "not started yet"
        case "running":
            if silence := _silence(snapshot):
                # Short, so that 80 columns have room for the epoch; the title says that it runs.
                return f"quiet for {formatting.duration(silence)}: {_doing(snapshot).removeprefix('training on ')}"
            return f"running: {_doing(snapshot)}"
        case "stopped":
            return "stopped; nothing is lost"
        case "complete":
            return f"complete, but {losses}" if (losses := _losses(snapshot)) else "complete"
        case "failed":
            reason = safe_text(snapshot.ended.reason, 200) if snapshot.ended else ""
            return f"failed: {reason}" if reason else "failed"
        case "lost":
            return f"the worker ended without a word {formatting.ago(snapshot.updated, formatting.now())}"


def _silence(snapshot: Snapshot) -> float:
    """Return for how many seconds a worker has been quiet; 0 where its last line is recent."""
    silence = formatting.now() - snapshot.updated
    return silence if snapshot.updated and silence > formatting.QUIET_S else 0.0


def next_words(snapshot: Snapshot, key: Callable[[str], str]) -> str:
    """Return the next step for the user; `key` returns the key of a binding's id."""
    if snapshot.waiting:
        return f"{key('live.stop')} cancels it" if snapshot.waiting.waits else f"{key('live.resume')} starts it here"
    match snapshot.state:
        case "queued":
            return f"{key('live.resume')} starts it"
        case "running":
            if snapshot.measured:
                return f"{key('mode.layers')} browses what is measured"
            return f"{key('live.stop')} stops after this {'layer' if snapshot.plan.is_measured else 'epoch'}"
        case "complete" if not snapshot.damage:
            return f"press {key('mode.layers')} for the layers"
        case _:
            return f"{key('live.resume')} resumes"


def state_colour(snapshot: Snapshot, ink: Ink) -> Rgb:
    """Return the colour of a state; its sign and words say the same."""
    named = {
        "$text-muted": ink.muted,
        "$text-accent": ink.accent,
        "$text-success": ink.success,
        "$text-warning": ink.warning,
        "$text-error": ink.error,
    }
    if snapshot.state == "complete" and _losses(snapshot):
        return ink.warning
    return named.get(STATE_STYLES[shown_state(snapshot)].colour, ink.text)


def _doing(snapshot: Snapshot) -> str:
    if snapshot.machine is None:
        return "getting ready"
    if snapshot.plan.is_measured:
        return "measuring layers" if snapshot.accepted else "reading the files"
    if not snapshot.histories:
        return "loading data"
    epochs = snapshot.plan.settings.training.epochs
    for cohort in snapshot.plan.cohorts:
        history = snapshot.histories.get(cohort.id)
        if history and history.last < epochs and len(history.networks) > len(snapshot.diverged):
            return f"training on {dataset_title(cohort.dataset)}, epoch {history.last + 1} of {epochs}"
    return "measuring layers"


def _losses(snapshot: Snapshot) -> str:
    words = ", ".join(formatting.missing_numbers(snapshot) + formatting.missing_pictures(snapshot))
    lost = words.replace("could not be measured", "failed")  # 80 columns have no room for more
    damage = safe_text(f"damaged: {snapshot.damage}", 200) if snapshot.damage else ""
    return ", ".join(filter(None, (damage, lost)))


def throughput(snapshot: Snapshot) -> tuple[str, ...]:
    """Return what is known of a running study's speed: `1.2 M samples/s`, `3.1 embeddings/s`.

    Samples are training inputs of all networks together.
    """
    if snapshot.state != "running":
        return ()
    rates = ((_samples(snapshot), "samples/s"), (_embeddings(snapshot), "embeddings/s"))
    return tuple(f"{short(rate)} {unit}" for rate, unit in rates if rate is not None)


def _samples(snapshot: Snapshot) -> float | None:
    rates = [
        rate
        for history in snapshot.histories.values()
        if history.last < snapshot.plan.settings.training.epochs and (rate := _rate(snapshot, history)) is not None
    ]
    # Hands train at the same time, a worker alone one cohort after the other. Once all is trained there are none.
    return (sum(rates) if snapshot.hands else rates[-1]) if rates else None


def _rate(snapshot: Snapshot, history: History) -> float | None:
    """Return the samples per second of one cohort's newest epochs; None before its first."""
    network = snapshot.plan.network_by_id.get(history.networks[0])
    data = snapshot.datasets.get(network.dataset) if network else None
    newest = [history.epochs[epoch] for epoch in range(history.last, 0, -1)[:_EPOCHS] if epoch in history.epochs]
    seconds = sum(event.seconds for event in newest)
    if data is None or not seconds:
        return None
    limit = snapshot.plan.settings.data.train_limit
    inputs = min(data.n_train, limit) if limit else data.n_train
    return inputs * len(history.networks) * len(newest) / seconds


def _embeddings(snapshot: Snapshot) -> float | None:
    finished = sorted(event.at for event in snapshot.measured.values())[-_LAYERS:]
    # Layers are embedded side by side and end in bursts: the gap between two of them says nothing of the speed.
    if len(finished) < _LEAST_LAYERS or finished[-1] - finished[0] < _LEAST_S:
        return None
    return (len(finished) - 1) / (finished[-1] - finished[0])


def short(value: float) -> str:
    """Return a number in at most 5 characters: `0.42`, `8.1`, `950`, `41 k`, `1.2 M`."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
