"""The settings of a measured study: layers of networks that were trained elsewhere, from files or from a recorder.

A study file says `kind = "measured"`; one without `kind` is a grid (`study.settings`). A measured study has no
training: the sections `data`, `networks` and `training` of a grid are not in its file. They are derived from its models
so that whatever goes through the networks of a study finds datasets, models (in the place of activation functions),
numbers of layers and runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ModelWrapValidatorHandler, model_validator
from pydantic_core import PydanticCustomError

from embcx_tui.study.errors import Mistake, SettingsError
from embcx_tui.study.pooling import Pool
from embcx_tui.study.sample_sizes import too_many_points
from embcx_tui.study.settings import (
    MAX_NETWORKS,
    POINTS_PER_PERPLEXITY,
    SCORE_METHOD,
    AnyNumber,
    Control,
    DataSettings,
    MachineSettings,
    MeasureSettings,
    NetworkSettings,
    Section,
    StudySettings,
    TrainingSettings,
    validate,
    validated,
)
from embcx_tui.study.text import safe_text

Origin = Literal["files", "recorder"]
MEASURED = "measured"
# A layer each is a bar, a row and a panel on the screens: more of them must be chosen among.
MAX_LAYERS = 256
# A model is a row of the tree, a line in a legend.
_MAX_NAME = 40
_MAX_LAYER_NAME = 200
_MAX_PATH = 1_000


def shown_name(text: str, limit: int = _MAX_NAME) -> str:
    """Return `text` where it can be shown as it is, as one harmless line; raises ValueError with what is wrong."""
    if not text:
        raise ValueError("a name is empty")
    if safe_text(text, limit * 8) != text:
        raise ValueError(f"the name {safe_text(text, 60)!r} holds characters that cannot be shown; rename it")
    if len(text) > limit:
        raise ValueError(f"the name {safe_text(text, 40)!r} is longer than {limit} characters; shorten it")
    return text


def _name(text: str) -> str:
    return _checked(text, _MAX_NAME)


def _layer(text: str) -> str:
    return _checked(text, _MAX_LAYER_NAME)


def _checked(text: str, limit: int) -> str:
    try:
        return shown_name(text, limit)
    except ValueError as error:
        raise PydanticCustomError("dataset", "{reason}", {"reason": str(error)}) from None


def _path(text: str) -> str:
    if text and safe_text(text, _MAX_PATH) != text:
        raise PydanticCustomError("dataset", "the path holds characters that cannot be shown; rename the file")
    return text


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Name = Annotated[str, AfterValidator(_name)]
LayerName = Annotated[str, AfterValidator(_layer)]
FilePath = Annotated[str, Field(max_length=_MAX_PATH), AfterValidator(_path)]


class SourceSettings(Section):
    origin: Origin = Field(default="files", alias="from", description="files of activations, or a recorder")
    labels: FilePath = Field(default="", description="file of the labels; empty: an array of the activations' file")
    labels_array: str = Field(default="", max_length=_MAX_LAYER_NAME, description="the array or column of the labels")
    classes: FilePath = Field(default="", description="text file with the name of a class per line")


class ModelSettings(Section):
    """One network to measure. Several with the same name are its runs, numbered from 0, and its controls."""

    name: Name
    dataset: Name
    run: int = Field(default=0, ge=0, lt=1_000)
    control: Literal["", "untrained", "shuffled"] = ""
    file: FilePath = ""
    layers: Annotated[tuple[LayerName, ...], BeforeValidator(_tuple), Field(min_length=1, max_length=MAX_LAYERS)]
    input: str = Field(default="", max_length=_MAX_LAYER_NAME)
    """The array that is layer 0, the network's input; empty where there is none."""
    labels: str = Field(default="", max_length=_MAX_LAYER_NAME)
    """The array of its own file that holds the labels; empty where they come from elsewhere or there are none."""

    @property
    def key(self) -> tuple[str, str]:
        """What its runs and controls share."""
        return self.dataset, self.name


class SampleSettings(Section):
    points: int = Field(default=1_000, ge=10, le=50_000, description="rows measured of each network, of all classes")
    per_class: int = Field(default=0, ge=0, le=5_000, description="rows per class; 0: as many as `points` gives")
    pool: Pool = Field(
        default="flatten", description="what becomes of maps and tokens: all units, or a mean, maximum, first or last"
    )


class MeasureLayers(MeasureSettings):
    """How layers are measured. Which controls there are, and which epochs, the models say."""

    controls: AnyNumber[Control] = Field(default=(), exclude=True, max_length=0)
    epochs: AnyNumber[int] = Field(default=(), exclude=True, max_length=0)


class MeasuringMachine(MachineSettings):
    """One device: layers that are measured alone are not dealt into parts."""

    devices: Literal[1] = Field(default=1, exclude=True)
    parts: Literal[0] = Field(default=0, exclude=True)
    cluster: Literal[""] = Field(default="", exclude=True)


class MeasuredSettings(StudySettings):
    """Everything that the file of a measured study can hold."""

    kind: Literal["measured"] = "measured"
    source: SourceSettings = SourceSettings()
    models: Annotated[tuple[ModelSettings, ...], BeforeValidator(_tuple), Field(min_length=1, max_length=MAX_NETWORKS)]
    sample: SampleSettings = SampleSettings()
    measure: MeasureLayers = MeasureLayers()
    machine: MeasuringMachine = MeasuringMachine()
    # Derived from the models; a file does not have them.
    data: DataSettings = Field(default=DataSettings(), exclude=True)
    networks: NetworkSettings = Field(default=NetworkSettings(), exclude=True)
    training: TrainingSettings = Field(default=TrainingSettings(), exclude=True)

    @model_validator(mode="wrap")
    @classmethod
    def _derive(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(values, Mapping):
            for section in ("data", "networks", "training"):
                if section in values:
                    raise PydanticCustomError(
                        f"study.{section}", "a measured study is not trained here: it has no table [{section}]",
                        {"section": section},
                    )  # fmt: skip
        settings = handler(values)
        models, sample = settings.models, settings.sample
        # Values of another range than a grid's: names of models, hundreds of layers, no epochs.
        data = DataSettings.model_construct(
            datasets=tuple(dict.fromkeys(model.dataset for model in models)), samples_per_class=sample.per_class
        )
        networks = NetworkSettings.model_construct(
            depths=tuple(sorted({len(model.layers) for model in models})),
            width=0,
            activations=tuple(dict.fromkeys(model.name for model in models)),
            runs=1 + max(model.run for model in models),
        )
        training = TrainingSettings.model_construct(epochs=0)
        return settings.model_copy(update={"data": data, "networks": networks, "training": training})

    @property
    def network_count(self) -> int:
        """Networks without controls."""
        return sum(not model.control for model in self.models)

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls among the models."""
        return tuple(dict.fromkeys(model.control for model in self.models if model.control))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if SCORE_METHOD not in self.measure.methods:
            raise PydanticCustomError("measure.methods", "must hold tsne, which gives the score")
        seen: dict[tuple[str, str, int, str], ModelSettings] = {}
        first: dict[tuple[str, str], ModelSettings] = {}
        for model in self.models:
            self._check_model(model, seen, first.setdefault(model.key, model))
        if refusal := too_many_points(self.sample.points, self.measure.engine, self.measure.large):
            raise PydanticCustomError("measure.engine", "{refusal}", {"refusal": refusal})
        if not self.sample.per_class and self.measure.perplexity * POINTS_PER_PERPLEXITY >= self.sample.points:
            raise PydanticCustomError(
                "measure.perplexity",
                "must be below {most} (a third of the {points} points of a sample)",
                {"most": f"{self.sample.points / POINTS_PER_PERPLEXITY:g}", "points": self.sample.points},
            )
        return self

    def _check_model(
        self, model: ModelSettings, seen: dict[tuple[str, str, int, str], ModelSettings], first: ModelSettings
    ) -> None:
        what = {"name": model.name, "run": model.run, "control": f" ({model.control})" if model.control else ""}
        if len(set(model.layers)) < len(model.layers):
            raise PydanticCustomError("models", "{name}, run {run}{control}: a layer is listed twice", what)
        if seen.setdefault((*model.key, model.run, model.control), model) is not model:
            raise PydanticCustomError("models", "{name}, run {run}{control}, is listed twice", what)
        if (model.layers, bool(model.input)) != (first.layers, bool(first.input)):
            raise PydanticCustomError(
                "models",
                "{name}, run {run}{control}, has {count} layers, its first run {others}, or others; runs of a model "
                "have the same layers",
                {**what, "count": len(model.layers), "others": len(first.layers)},
            )
        if self.source.origin == "files" and not model.file.startswith("/"):
            raise PydanticCustomError(
                "models", "{name}, run {run}{control}: file must be a whole path, from / on", what
            )


def kind_of(values: Mapping[str, Any]) -> type[StudySettings]:
    """Return the settings that the tables of a study file are for: a grid's where it has no `kind`."""
    kind = values.get("kind", "grid")
    if kind not in ("grid", MEASURED):
        raise SettingsError((Mistake("kind", f"must be grid or measured, not {safe_text(repr(kind), 60)}"),))
    return MeasuredSettings if kind == MEASURED else StudySettings


def validate_study(values: Mapping[str, Any]) -> StudySettings:
    """Return the settings of a study of either kind; raises SettingsError with every mistake."""
    if kind_of(values) is MeasuredSettings:
        return validated(values, MeasuredSettings)
    return validate({key: value for key, value in values.items() if key != "kind"})
