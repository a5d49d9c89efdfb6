"""What the worker sends a hand of a part, and what it writes of that which comes back."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from embcx_tui.store.contradictions import contradiction
from embcx_tui.store.machine_records import machine_differences
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study import events
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import AnyEvent, SealedFile
from embcx_tui.study.plan import Cohort, cohort_layers, sample_id
from embcx_tui.study.settings import to_toml
from embcx_tui.study.text import safe_text
from embcx_tui.worker.frames import FileReader, Frame, Kind, Link, MalformedFrame, PartTask
from embcx_tui.worker.journal import Journal

# Files that came and that no event has named yet: a hand writes one at a time in each of two threads.
_MOST_WAITING = 16


def send_task(link: Link, journal: Journal, part: Cohort) -> None:
    """Send a hand all that it needs to compute what is pending of `part`. Raises OSError where it takes nothing in."""
    snapshot = journal.snapshot
    task = PartTask(study_id=snapshot.id, study_file=to_toml(snapshot.plan.settings), part=part.id)
    link.send(Kind.TASK, task.model_dump_json().encode())
    for event in _events_of(journal, part):
        link.send(Kind.EVENT, events.encode(event))
    for source in part.samples:
        file = snapshot.samples[sample_id(part.dataset, *source)].file
        link.send_file(file, journal.read(file))
    for name, saved in snapshot.checkpoints.items():
        if is_within(name, part) and journal.exists(saved.file):
            try:
                link.send_file(saved.file, journal.read(saved.file))
            except StoreError:
                text = f"checkpoint {saved.file.name.rpartition('/')[2]} is damaged; training its networks again"
                journal.append(events.Noted(level="warning", text=text))
    link.send(Kind.BEGIN)


def is_within(cohort: str, part: Cohort) -> bool:
    """Tell whether a cohort's name is that of `part`, or of one that it was split into."""
    return cohort == part.id or cohort.startswith(f"{part.id}.")


def _events_of(journal: Journal, part: Cohort) -> Iterator[AnyEvent]:
    """Yield what the journal says of a part, files that are missing or damaged left out."""
    snapshot: Snapshot = journal.snapshot
    yield snapshot.datasets[part.dataset]
    yield from (snapshot.samples[sample_id(part.dataset, *source)] for source in part.samples)
    yield from (chosen for name, chosen in snapshot.parts.items() if part.id.startswith(f"{name}.part"))
    for name, history in snapshot.histories.items():
        if is_within(name, part):
            yield events.CohortStarted(cohort=name, networks=history.networks, epoch=history.first)
            yield from history.epochs.values()
    yield from (saved for name, saved in snapshot.checkpoints.items() if is_within(name, part))
    networks = {network.id for network in part.networks + part.controls}
    layers = {layer.id for layer in cohort_layers(part)}
    yield from (one for name, one in snapshot.diverged.items() if name in networks and name == one.network)
    records: list[events.NetworkTrained | events.LayerMeasured] = [
        *(one for name, one in snapshot.trained.items() if name in networks),
        *(one for (layer, _), one in snapshot.measured.items() if layer in layers),
        *(one for (layer, _), one in snapshot.earlier.items() if layer in layers),
    ]
    yield from (one for one in records if journal.is_intact(one.file))


class PartWriter:
    """Writes what hand `hand` sends of `part` into the study, and nothing else.

    A file is written when an event that fits the plan and the part names it; so a hand that was given up, or one that
    is not what it says, spoils nothing.
    """

    def __init__(self, journal: Journal, part: Cohort, hand: int) -> None:
        self._journal = journal
        self._part = part
        self._hand = hand
        self._files = FileReader()
        self._waiting: dict[SealedFile, bytes] = {}
        self._networks = {network.id for network in part.networks + part.controls}
        self._layers = {layer.id for layer in cohort_layers(part)}

    def take(self, frame: Frame) -> bool:
        """Take the next frame; return whether it was one of a part. Raises MalformedFrame, and OSError of the disk."""
        if whole := self._files.take(frame):
            self._waiting[whole[0]] = whole[1]
            if len(self._waiting) > _MOST_WAITING:
                raise MalformedFrame("files that no event names")
            return True
        if frame.kind is not Kind.EVENT:
            return frame.kind in (Kind.FILE, Kind.CHUNK)
        try:
            self._write(events.decode(frame.payload))
        except ValidationError:
            raise MalformedFrame("an event that cannot be read") from None
        return True

    def _write(self, event: AnyEvent) -> None:
        event = event.model_copy(update={"at": 0.0})  # one clock
        if isinstance(event, events.MachineDescribed):
            self._write_machine(event)
            return
        if isinstance(event, events.Noted):
            text = f"hand {self._hand}: {safe_text(event.text, 500)}"
            self._journal.append(event.model_copy(update={"text": text}))
            return
        if not self._is_of_part(event):
            raise MalformedFrame(f"an event of the kind {event.kind} that its part does not have")
        history = self._journal.snapshot.histories.get(getattr(event, "cohort", ""))
        if wrong := contradiction(event, self._journal.snapshot.plan, history.networks if history else ()):
            raise MalformedFrame(f"an event that speaks of {wrong}")
        file: SealedFile | None = getattr(event, "file", None)
        if file is not None:
            data = self._waiting.pop(file, None)
            if data is None:
                raise MalformedFrame("an event of a file that did not come")
            folder, _, name = file.name.partition("/")
            self._journal.publish("arrays" if folder == "arrays" else "checkpoints", name, data)
        if isinstance(event, events.CheckpointSaved):
            self._journal.keep_checkpoint(event)
        else:
            self._journal.append(event)

    def _is_of_part(self, event: AnyEvent) -> bool:
        match event:
            case events.CohortStarted():
                return is_within(event.cohort, self._part) and self._networks.issuperset(event.networks)
            case events.CheckpointSaved():
                name = event.file.name.removeprefix("checkpoints/")
                return is_within(event.cohort, self._part) and name.startswith(f"{event.cohort}.epoch")
            case events.EpochTrained():
                return is_within(event.cohort, self._part) and event.cohort in self._journal.snapshot.histories
            case events.CohortSplit():
                return is_within(event.cohort, self._part)
            case events.NetworkTrained():
                return event.network in self._networks and event.file.name == f"arrays/{event.network}.npz"
            case events.NetworkDiverged():
                return event.network in self._networks
            case events.LayerMeasured():
                return event.layer_id in self._layers and event.file.name.startswith(f"arrays/{event.layer_id}.")
            case events.LayerFailed():
                return event.layer_id in self._layers
        return False

    def _write_machine(self, event: events.MachineDescribed) -> None:
        """Record a machine that is new: the first of this worker's, and every one that may compute other digits."""
        snapshot = self._journal.snapshot
        since = snapshot.worker.at if snapshot.worker else 0.0
        known = [one for one in (*snapshot.machines, snapshot.machine) if one and one.at >= since]
        if all(machine_differences(one, event) for one in known):
            before = known[0] if known else snapshot.machine
            if before and (differences := machine_differences(before, event)):
                where = "another machine, other software or another path than"
                text = f"hand {self._hand} computes on {where} before: {safe_text('; '.join(differences), 300)}"
                digits = "its parts may differ in their last digits from what they would have been there"
                self._journal.append(events.Noted(level="warning", text=f"{text}; {digits}"))
            self._journal.append(event)
