"""The events that a study's journal consists of: one frozen model per kind of line.

An event says what happened, never what to show. Numbers that are not finite are written as null, since JSON has none.
A journal may come from elsewhere, so each field has the range in which everything that reads it works.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from embcx_tui.study.times import MOST_TIME

# Beyond this a number is as good as infinite: sums of squares of larger ones overflow.
_MOST = 1e100


def _finite(value: Any) -> Any:
    return None if type(value) is float and not -_MOST < value < _MOST else value


def _all_finite(values: Any) -> Any:
    # One flat pass: a call per number took 60 % of the time to read the journal of 280 networks.
    if isinstance(values, (list, tuple)):
        return [None if type(value) is float and not -_MOST < value < _MOST else value for value in values]
    return values


Number = Annotated[float | None, BeforeValidator(_finite)]
Numbers = Annotated[tuple[float | None, ...], BeforeValidator(_all_finite)]
Share = Annotated[Annotated[float, Field(ge=0, le=1)] | None, BeforeValidator(_finite)]
Time = Annotated[float, Field(ge=-1e10, le=MOST_TIME)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Size = Annotated[int, Field(ge=1, lt=2**63)]
Seconds = Annotated[float, Field(ge=0, le=1e10)]
# A method, an engine, a metric: it becomes a column of a table.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=100)]
# What a layer is called by whoever made it: one harmless line (study.measured.shown_name).
LayerName = Annotated[str, Field(max_length=200)]
PoolName = Annotated[str, Field(pattern=r"^[a-z]*$", max_length=20)]
# The name of a cohort becomes that of its checkpoints: it must not lead out of their folder.
CohortName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]


class Event(BaseModel):
    """What all lines share: `at`, the time it was written, in seconds since 1970 (UTC)."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    at: Time = 0.0


class SealedFile(BaseModel):
    """A published file: its name in the study folder and the SHA-256 of its bytes, hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    # One folder of the study and a plain file name: a journal from elsewhere must not point outside its folder.
    name: Annotated[str, Field(pattern=r"^(arrays|checkpoints)/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=300)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class StudyCreated(Event):
    """The first line of a journal. `study_file` is the SHA-256 of study.toml; earlier studies have none."""

    kind: Literal["created"] = "created"
    id: str
    version: str
    study_file: str = ""


class WorkerStarted(Event):
    """A worker took the lock. `boot_id` and `start` distinguish its pid from a reused one.

    `start` is when its process began, on a clock that nobody sets (store.processes.process_start); earlier workers have
    `start_time` alone, which moves with the clock. `damaged` is the number of damaged lines that the worker found: it
    computes again what they held.
    """

    kind: Literal["worker-started"] = "worker-started"
    pid: Annotated[int, Field(ge=0, lt=2**31)]
    start_time: float
    boot_id: str
    host: str
    start: str = ""
    damaged: Count = 0


class MachineDescribed(Event):
    """What the study is computed on: the device in words, cores, memory in bytes, and versions of the libraries.

    `calibration` are the fields of store.calibration.Calibration as they were then; empty where nothing was measured.
    `processor` is what decides the last bits of numbers computed on the CPU: its model, vectors and BLAS. Of a GPU:
    `driver`, `capability` (`9.0`) and `uuid`, CUDA's, and `path`, how it computes each part, such as `{"descents":
    "Triton"}`. `precision` is torch's for products of float32 (`highest`: no TF32). Earlier studies have none of these.
    """

    kind: Literal["machine"] = "machine"
    device: str
    cores: Count
    memory: Count
    versions: dict[str, str]
    calibration: dict[str, float] = {}
    processor: dict[str, str] = {}
    driver: str = ""
    capability: str = ""
    uuid: str = ""
    precision: str = ""
    path: dict[str, str] = {}


class PartsChosen(Event):
    """The networks of a cohort are dealt into parts, which hands compute at the same time: ids of networks by part.

    A resumed study keeps its parts, since on a GPU rounding depends on the composition of a batch.
    """

    kind: Literal["parts"] = "parts"
    cohort: CohortName
    parts: Annotated[tuple[tuple[str, ...], ...], Field(min_length=1)]


class HandJoined(Event):
    """A process that computes parts for the worker has begun: its number from 0, its machine, what it computes on.

    `device` in words, `cores` that it may use, `memory` of the device in bytes, `uuid` that of a GPU.
    """

    kind: Literal["hand-joined"] = "hand-joined"
    hand: Count
    host: Annotated[str, Field(max_length=300)]
    pid: Annotated[int, Field(ge=0, lt=2**31)]
    device: Annotated[str, Field(max_length=300)]
    cores: Count
    memory: Count
    versions: dict[str, str]
    uuid: str = ""


class HandLost(Event):
    """A hand was given up: why, and the part that goes back to the queue, empty where it had none."""

    kind: Literal["hand-lost"] = "hand-lost"
    hand: Count
    reason: str
    part: str = ""


class DatasetLoaded(Event):
    """Sizes of a dataset as used; `shape` is (rows, columns, channels) for images, None for plain vectors.

    Of a measured study `n_train` is the number of rows, `n_test` 0, and `features` 0 where the inputs are not known.
    `chance` (0 … 1) is the share of the test set's largest class: what a network that learned nothing can score.
    `digest` is a hash of all inputs and labels: a study must not be resumed with a file that has changed. `stream_key`
    is what the seeds of the dataset's random streams are derived from; earlier studies have none and use its name.
    """

    kind: Literal["dataset"] = "dataset"
    dataset: str
    n_train: Size
    n_test: Count
    features: Count
    classes: tuple[str, ...]
    shape: tuple[Size, Size, Size] | None
    chance: Share = None
    digest: str = ""
    stream_key: str = ""


class StudyAccepted(Event):
    """Device and data are there and fit the settings: work begins. Without this line a study has not begun."""

    kind: Literal["accepted"] = "accepted"


class SampleDrawn(Event):
    """The balanced sample of a run: an array file with `index`, `label` [n] and `input` [n, features].

    Drawn from the training or the test inputs (`source`), in which `index` counts.
    """

    kind: Literal["sample"] = "sample"
    dataset: str
    run: Count
    source: Literal["train", "test"] = "train"
    points: Count
    file: SealedFile


class CohortStarted(Event):
    """A cohort starts or continues after `epoch` epochs; later lines give numbers in the order of `networks` (ids)."""

    kind: Literal["cohort"] = "cohort"
    cohort: CohortName
    networks: Annotated[tuple[str, ...], Field(min_length=1)]
    epoch: Count


class CohortSplit(Event):
    """A cohort did not fit into the device's memory; its networks continue in smaller ones."""

    kind: Literal["cohort-split"] = "cohort-split"
    cohort: CohortName
    into: tuple[str, ...]


class EpochTrained(Event):
    """One epoch of a cohort; vectors in the order of its networks.

    `loss` is the mean cross-entropy (nats) and `train_accuracy` (0 … 1) the accuracy on the epoch's minibatches as
    they were trained on; `test_accuracy` is measured after the epoch.
    """

    kind: Literal["epoch"] = "epoch"
    cohort: CohortName
    epoch: Size
    loss: Numbers
    train_accuracy: Numbers
    test_accuracy: Numbers
    seconds: Seconds


class NetworkDiverged(Event):
    """Loss or weights of a network are no longer finite; its layers are not measured."""

    kind: Literal["diverged"] = "diverged"
    network: str
    epoch: Count


class CheckpointSaved(Event):
    """Weights and velocities of a cohort after `epoch` epochs."""

    kind: Literal["checkpoint"] = "checkpoint"
    cohort: CohortName
    epoch: Count
    file: SealedFile


class NetworkTrained(Event):
    """A network is ready to be measured: accuracies (0 … 1) of its final weights on the whole training and test sets.

    The array file holds `predicted` [n_sample], its class for each input of its run's sample.
    """

    kind: Literal["trained"] = "trained"
    network: str
    epochs: Count
    train_accuracy: Share
    test_accuracy: Share
    file: SealedFile


class LayerDescribed(BaseModel):
    """A layer as its network gives it: its name, the class of its module (empty where not known), the shape of one row
    and the number of units in it, how it is pooled, and how often it is called in a pass.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: LayerName
    kind: LayerName = ""
    shape: Annotated[tuple[Count, ...], Field(max_length=32)] = ()
    units: Count = 0
    pool: PoolName = ""
    calls: Count = 1


class ModelDescribed(Event):
    """A network of a measured study, its activations at hand: layers from 1 on, parameters (0: not known), rows held.

    `digest` is a hash of the file: a study must not be resumed with one that has changed. Empty for a recorder's.
    """

    kind: Literal["model"] = "model"
    network: str
    layers: tuple[LayerDescribed, ...]
    parameters: Count = 0
    rows: Count = 0
    digest: str = ""


class ActivationsReceived(Event):
    """A recorder has handed over the layers of a network after `epoch` epochs: the SHA-256 of each array."""

    kind: Literal["received"] = "received"
    network: str
    epoch: Count
    sha256s: tuple[str, ...] = ()


class LayerMeasured(Event):
    """The score of one layer, as docs/metrics.md defines it. `network` is None for layer 0, which a run shares.

    `kl` in nats, exact, float64; None where the layer is too degenerate to have one. The array file holds `points`
    [n, 2] float32. `metrics` are the layer's own numbers, `quality` those of the embedding
    (compute.metrics). Only t-SNE has a KL. `epoch` is None for the final weights. Of a measured study: the `name` of
    the layer, how it was pooled (`pool`), and its units before they were reduced (`width`; `units` are those embedded).
    """

    kind: Literal["measured"] = "measured"
    layer_id: str
    network: str | None
    dataset: str
    run: Count
    layer: Count
    units: Count
    method: Name
    engine: Name
    perplexity: Annotated[float, Field(gt=0, le=1e6)]
    points: Count
    seed: Count
    kl: Number
    explained: Number
    degenerate: bool
    duplicates: Count
    converged: bool
    iterations: Count
    gradient_norm: Number
    relative_change: Number
    restart_kls: Numbers
    starts: Count = 1
    start_kls: Numbers = ()
    seconds: Seconds
    file: SealedFile
    metrics: dict[Name, Number] = {}
    quality: dict[Name, Number] = {}
    epoch: Count | None = None
    name: LayerName = ""
    pool: PoolName = ""
    width: Count = 0


class LayerFailed(Event):
    """A layer could not be measured; the study continues."""

    kind: Literal["layer-failed"] = "layer-failed"
    layer_id: str
    network: str | None
    layer: Count
    method: Name
    reason: str
    epoch: Count | None = None


class Noted(Event):
    """A line for users only."""

    kind: Literal["note"] = "note"
    level: Literal["info", "warning", "error"]
    text: str


class WorkerEnded(Event):
    """The worker's last word: all done, stopped when asked, or failed with a reason."""

    kind: Literal["ended"] = "ended"
    outcome: Literal["complete", "stopped", "failed"]
    reason: str = ""


class LineDamaged(Event):
    """Stands in the place of a journal line that could not be read, or contradicts the plan; it is never written."""

    kind: Literal["damaged"] = "damaged"
    reason: str


AnyEvent = (
    StudyCreated
    | WorkerStarted
    | MachineDescribed
    | PartsChosen
    | HandJoined
    | HandLost
    | DatasetLoaded
    | StudyAccepted
    | SampleDrawn
    | CohortStarted
    | CohortSplit
    | EpochTrained
    | NetworkDiverged
    | CheckpointSaved
    | NetworkTrained
    | ModelDescribed
    | ActivationsReceived
    | LayerMeasured
    | LayerFailed
    | Noted
    | WorkerEnded
)

_ADAPTER: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="kind")])


def decode(line: bytes | str) -> AnyEvent:
    """Return the event written as JSON in `line`; raises ValueError (pydantic's) where it is none."""
    return _ADAPTER.validate_json(line)


def encode(event: AnyEvent) -> bytes:
    """Return `event` as one line of JSON without the line break."""
    return event.model_dump_json().encode()
