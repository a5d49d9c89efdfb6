"""The settings of a study, read from a TOML file; all mistakes in it are reported at once, each with its key."""

from __future__ import annotations

import difflib
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import tomli_w
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from embcx_tui.study.dataset_catalogue import CATALOGUE, FILE_PREFIX
from embcx_tui.study.devices import MAX_PARTS, contradiction_of, devices_of
from embcx_tui.study.errors import Mistake, RequestError, SettingsError
from embcx_tui.study.sample_sizes import too_many_points
from embcx_tui.study.text import safe_text
from embcx_tui.study.validation_messages import BOUNDS, PLAIN

Activation = Literal["logsig", "tanh", "softsign", "relu"]
Method = Literal["tsne", "pca", "lle", "mds", "isomap"]
Engine = Literal["exact", "opentsne"]
Search = Literal["thorough", "annealed", "plain"]
Large = Literal["packed", "whole"]
GpuPath = Literal["fast", "plain"]
Cluster = Literal["", "ray"]
Control = Literal["untrained", "shuffled"]
SampleFrom = Literal["train", "test", "both"]
Metric = Literal["knn", "probe", "separation", "gdv", "twonn", "rank"]

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
METHODS: tuple[Method, ...] = get_args(Method)
CONTROLS: tuple[Control, ...] = get_args(Control)
# The trained networks again, measured on test inputs: the control that `data.sample_from = "both"` adds.
HELD_OUT = "held-out"
# The method whose exact KL is the complexity of a layer; every study has it.
SCORE_METHOD: Method = "tsne"
METRICS: tuple[Metric, ...] = get_args(Metric)

# More networks than this must be a typing error (the whole paper has 280).
MAX_NETWORKS = 20_000
MAX_STUDY_FILE_BYTES = 1_000_000
_PRESETS = Path(__file__).with_name("presets")
# Both t-SNE's definition and openTSNE require a perplexity below a third of the points.
POINTS_PER_PERPLEXITY = 3


def _dataset(name: str) -> str:
    if name.startswith(FILE_PREFIX):
        if not name.endswith(".npz"):
            raise PydanticCustomError("dataset", "a file dataset is written file:PATH.npz")
        if safe_text(name, len(name)) != name:
            raise PydanticCustomError("dataset", "the path holds characters that cannot be shown; rename the file")
        return name
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PydanticCustomError(
            "dataset",
            "{name} is not a dataset{hint} (known: {known}, or file:PATH.npz)",
            {"name": repr(safe_text(name, 60)), "hint": hint, "known": ", ".join(CATALOGUE)},
        )
    return name


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise PydanticCustomError("distinct", "{twice} is listed twice", {"twice": ", ".join(twice)})
    return values


def _one_or_many(value: object) -> object:
    """Let `--set networks.depths=5` mean a list of one; TOML's lists become tuples."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _one_line(text: str) -> str:
    return safe_text(text, 120)


T = TypeVar("T")
Several = Annotated[
    tuple[T, ...], BeforeValidator(_one_or_many), Field(min_length=1, max_length=64), AfterValidator(_distinct)
]
AnyNumber = Annotated[tuple[T, ...], BeforeValidator(_one_or_many), Field(max_length=64), AfterValidator(_distinct)]
Dataset = Annotated[str, Field(max_length=1000), AfterValidator(_dataset)]


class Section(BaseModel):
    """One table of a study file: frozen; unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataSettings(Section):
    datasets: Several[Dataset] = Field(default=("mnist",), description="datasets to train on")
    samples_per_class: int = Field(default=100, ge=2, le=5_000, description="inputs per class in the sample")
    sample_from: SampleFrom = Field(
        default="train",
        description="inputs of the sample: train, test (never trained on), or both, with test inputs as a control",
    )
    train_limit: int = Field(default=0, ge=0, le=10_000_000, description="training inputs used; 0: all")


class NetworkSettings(Section):
    depths: Several[Annotated[int, Field(ge=1, le=20)]] = Field(default=(5,), description="numbers of hidden layers")
    width: int = Field(default=100, ge=1, le=4_096, description="units per hidden layer")
    activations: Several[Activation] = Field(default=ACTIVATIONS, description="activation functions")
    runs: int = Field(default=5, ge=1, le=1_000, description="runs (different seeds) per network")


class TrainingSettings(Section):
    epochs: int = Field(default=100, ge=1, le=10_000, description="passes over the training set")
    batch_size: int = Field(default=100, ge=1, le=10_000, description="samples per step")
    learning_rate: float = Field(default=0.03, gt=0, le=100, description="step size of SGD")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum of SGD")


class MeasureSettings(Section):
    methods: Several[Method] = Field(default=(SCORE_METHOD,), description="embedding methods; t-SNE gives the score")
    engine: Engine = Field(default="exact", description="exact: the built-in batched one; opentsne: the library's")
    perplexity: float = Field(default=30.0, gt=1, le=1_000, description="effective number of neighbours of a point")
    restarts: int = Field(default=1, ge=1, le=100, description="t-SNE runs per layer; the best is kept")
    search: Search = Field(
        default="thorough",
        description="annealed: four starts, the best goes on; thorough: 24 of each input; plain: one, as at first",
    )
    large: Large = Field(
        default="packed",
        description="above 2,000 points, on a CPU: packed: P in 16 bits per pair; whole: dense, as in earlier studies",
    )
    controls: AnyNumber[Control] = Field(
        default=("untrained",), description="the same where no learning happened, or none could: untrained, shuffled"
    )
    metrics: AnyNumber[Metric] = Field(default=METRICS, description="what else is measured of every layer")
    epochs: AnyNumber[Annotated[int, Field(ge=0, le=10_000)]] = Field(
        default=(), description="epochs after which the layers are measured too, before the last"
    )


class MachineSettings(Section):
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")] = Field(
        default="auto", description="auto, cpu, cuda or cuda:N"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="the study's seed; every random stream derives from it")
    gpu_path: GpuPath = Field(
        default="fast", description="fast: Triton and CUDA graphs where they work; plain: neither, much slower"
    )
    devices: Annotated[int | str | tuple[str, ...], BeforeValidator(devices_of)] = Field(
        default=1, description="GPUs that compute at once, a process each: a number, all, or a list of cuda:N"
    )
    parts: int = Field(
        default=0, ge=0, le=MAX_PARTS, description="parts of the networks of each dataset; 0: as many as devices"
    )
    cluster: Cluster = Field(default="", description="ray: on the machines of a running Ray cluster; empty: here")

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        """Raise where `device`, `devices` and `cluster` contradict each other."""
        if refusal := contradiction_of(self.device, self.devices, self.cluster):
            raise PydanticCustomError("machine.devices", "{refusal}", {"refusal": refusal})
        return self


class StudySettings(Section):
    """Everything that a study file can hold, complete with its defaults."""

    name: Annotated[str, AfterValidator(_one_line)] = Field(default="untitled", description="display name")
    data: DataSettings = DataSettings()
    networks: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    measure: MeasureSettings = MeasureSettings()
    machine: MachineSettings = MachineSettings()

    @property
    def network_count(self) -> int:
        """Trained networks asked for (controls not counted)."""
        grid = self.networks
        return len(self.data.datasets) * len(grid.depths) * len(grid.activations) * grid.runs

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls that are measured: those of `measure.controls`, then the held-out one where it is asked for."""
        return (*self.measure.controls, *((HELD_OUT,) if self.data.sample_from == "both" else ()))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.network_count > MAX_NETWORKS:
            raise PydanticCustomError(
                "networks.runs",
                "this asks for {asked} networks; at most {most} in one study",
                {"asked": f"{self.network_count:,}", "most": f"{MAX_NETWORKS:,}"},
            )
        if SCORE_METHOD not in self.measure.methods:
            raise PydanticCustomError("measure.methods", "must hold tsne, which gives the score")
        if max(self.measure.epochs, default=0) > self.training.epochs:
            raise PydanticCustomError(
                "measure.epochs",
                "must not be above training.epochs ({epochs})",
                {"epochs": self.training.epochs},
            )
        for dataset in self.data.datasets:
            if dataset in CATALOGUE:
                self._check_points(dataset, len(CATALOGUE[dataset].classes) * self.data.samples_per_class)
        return self

    def _check_points(self, dataset: str, points: int) -> None:
        known = CATALOGUE[dataset]
        used = min(known.n_train, self.data.train_limit or known.n_train)
        # The smallest class of the inputs that are used is at most as large as the average one.
        held = {
            "training": (min(known.smallest_class, used // len(known.classes)), used == known.n_train),
            "test": (known.n_test // len(known.classes), False),
        }
        for part in {"train": ("training",), "test": ("test",), "both": ("training", "test")}[self.data.sample_from]:
            per_class, exact = held[part]
            if self.data.samples_per_class > per_class:
                raise PydanticCustomError(
                    "data.samples_per_class",
                    "the smallest class of {dataset} has {most}{per_class} {part} inputs",
                    {
                        "dataset": dataset,
                        "most": "" if exact else "at most ",
                        "per_class": f"{per_class:,}",
                        "part": part,
                    },
                )
        if self.measure.perplexity * POINTS_PER_PERPLEXITY >= points:
            raise PydanticCustomError(
                "measure.perplexity",
                "must be below {most} (a third of the {points} points of a sample)",
                {"most": f"{points / POINTS_PER_PERPLEXITY:g}", "points": points},
            )
        if refusal := too_many_points(points, self.measure.engine, self.measure.large):
            raise PydanticCustomError("measure.engine", "{refusal}", {"refusal": refusal})


def known_keys(model: type[StudySettings] = StudySettings) -> dict[str, str]:
    """Return every dotted key of a study file with its description; `model`: those of another kind of study."""
    keys = {"name": StudySettings.model_fields["name"].description or ""}
    for section, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section) and not field.exclude:
            for key, inner in field.annotation.model_fields.items():
                if not inner.exclude:
                    keys[f"{section}.{inner.alias or key}"] = inner.description or ""
    return keys


Study = TypeVar("Study", bound=StudySettings)


def validate(values: Mapping[str, Any]) -> StudySettings:
    """Return the settings that `values` (nested mappings, as TOML gives them) ask for.

    Raises SettingsError with every mistake, each with its dotted key.
    """
    return validated(values, StudySettings)


def validated(values: Mapping[str, Any], model: type[Study]) -> Study:
    """As `validate`, for a kind of study."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError(tuple(dict.fromkeys(_mistake(detail) for detail in error.errors()))) from None


def _mistake(detail: ErrorDetails) -> Mistake:
    # An element of a list is named by its index: "networks.activations.1".
    key = ".".join(safe_text(part, 60) for part in detail["loc"])
    kind, text, given = detail["type"], detail["msg"], detail.get("input")
    if "." in kind:  # a rule about several keys names one of them as the error's type
        return Mistake(kind, text)
    if kind == "extra_forbidden":
        return _unknown(key)
    if kind in ("dataset", "distinct"):
        return Mistake(key, text)
    text = PLAIN.get(kind, text.replace("Input should be", "must be"))
    shown = safe_text(repr(given), 60)
    if kind == "too_short":
        return Mistake(key, text)
    for words, plain in BOUNDS.items():
        if words in text:
            return Mistake(key, f"{text.replace(words, plain)} (is {shown})")
    return Mistake(key, text if text.startswith(("is ", "has ")) else f"{text}, not {shown}")


def _unknown(key: str) -> Mistake:
    near = difflib.get_close_matches(key, known_keys(), n=1)
    return Mistake(key, "unknown key" + (f"; did you mean {near[0]}?" if near else ""))


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text; raises SettingsError naming line and column."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError((Mistake("", f"not a TOML file: {safe_text(error, 200)}"),)) from None


def read_study_file(path: Path) -> dict[str, Any]:
    """Return the tables of a study file, not yet validated; raises RequestError."""
    where = safe_text(path)
    try:
        # A pipe or a device would keep its reader waiting, unless the shell made it: run <(generate-a-study)
        if not stat.S_ISREG(path.stat().st_mode) and not str(path).startswith(("/dev/fd/", "/dev/stdin")):
            raise RequestError(f"{where}: cannot be read (it is not a plain file)")
        with path.open("rb") as file:
            raw = file.read(MAX_STUDY_FILE_BYTES + 1)
    except OSError as error:
        raise RequestError(f"{where}: cannot be read ({error.strerror})") from None
    if len(raw) > MAX_STUDY_FILE_BYTES:
        raise RequestError(f"{where}: a text of more than {MAX_STUDY_FILE_BYTES:,} bytes is no study file")
    try:
        return parse_toml(raw.decode("utf-8-sig"))  # Windows' editors begin a text with a mark
    except UnicodeDecodeError:
        raise RequestError(f"{where}: not UTF-8 text; save it as UTF-8 (a study file is TOML)") from None
    except SettingsError as error:
        raise RequestError(f"{where}: {error}") from None


def apply_overrides(
    values: Mapping[str, Any], assignments: Iterable[str], model: type[StudySettings] = StudySettings
) -> dict[str, Any]:
    """Return `values` with each `KEY=VALUE` set; VALUE is TOML, and a bare word is a string, `a,b` a list.

    Raises SettingsError for an assignment without `=` or a key that no study file of the kind `model` has.
    """
    result: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()
    }
    mistakes: list[Mistake] = []
    for assignment in assignments:
        key, equals, raw = assignment.partition("=")
        key = key.strip()
        if not equals:
            mistakes.append(Mistake(safe_text(key, 60), "write --set KEY=VALUE"))
        elif key not in known_keys(model):
            mistakes.append(_unknown(safe_text(key, 60)))
        else:
            section, _, name = key.rpartition(".")
            target = result.setdefault(section, {}) if section else result
            if isinstance(target, dict):
                target[name] = parse_typed_value(raw.strip(), is_list=_is_list(key, model))
    if mistakes:
        raise SettingsError(tuple(mistakes))
    return result


def _is_list(key: str, model: type[StudySettings]) -> bool:
    section, _, name = key.rpartition(".")
    return bool(section) and isinstance(getattr(model.model_fields[section].default, name, None), tuple)


def parse_typed_value(raw: str, is_list: bool) -> Any:
    """Return the value that a user typed: TOML where it is TOML, else text; `3, 4` is a list where a list belongs."""
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        pass
    if is_list:
        return [parse_typed_value(part, is_list=False) for part in split_list(raw.strip("[]"))]
    if re.fullmatch(r"[+-]?(\.\d+|\d+\.)(e[+-]?\d+)?", raw, re.IGNORECASE):
        return float(raw)  # .01 and 1., which are no numbers in TOML
    return raw


def split_list(text: str) -> list[str]:
    """Return the parts of `text` between commas; those in the path of a `file:` dataset divide nothing."""
    parts: list[str] = []
    for part in text.split(","):
        if parts and parts[-1].startswith(FILE_PREFIX) and not parts[-1].endswith(".npz"):
            parts[-1] += f",{part.rstrip()}"
        elif part.strip():
            parts.append(part.strip())
    return parts


def to_toml(settings: StudySettings) -> str:
    """Return the complete study file of `settings`, defaults written out."""
    return tomli_w.dumps(settings.model_dump(mode="json", by_alias=True))


@dataclass(frozen=True, slots=True)
class Preset:
    """A ready-made study: its name, one sentence about it, and its settings."""

    name: str
    about: str
    settings: StudySettings


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets, `demo` first, then the paper's figures in their order."""
    found = [path.stem for path in _PRESETS.glob("*.toml")]
    return tuple(sorted(found, key=lambda name: (name != "demo", name)))


def load_preset(name: str) -> Preset:
    """Return the preset called `name`; raises KeyError where there is none."""
    if name not in preset_names():
        raise KeyError(name)
    text = (_PRESETS / f"{name}.toml").read_text(encoding="utf-8")
    return Preset(name, text.partition("\n")[0].removeprefix("#").strip(), validate(parse_toml(text)))
