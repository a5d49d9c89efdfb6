"""The fields of the form: the key of a study file that each edits, and its editor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from embcx_tui.study.dataset_catalogue import CATALOGUE, FILE_PREFIX, file_exists
from embcx_tui.study.settings import Section, StudySettings, known_keys, parse_typed_value, split_list
from embcx_tui.study.text import safe_text
from embcx_tui.tui.widgets.choices import Choices

Kind = Literal["words", "number", "list", "several", "one"]
FILES = "data.files"  # not a key of a study file: the part of data.datasets that is typed


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its `key` in the study file, its `label` and its editor; `options` for `several` and `one`."""

    key: str
    label: str
    kind: Kind
    options: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """The meaning of the field, from the descriptions of the settings."""
        if self.key == FILES:
            return "file:PATH.npz, …"
        return known_keys()[self.key]


# Labels that are not the key's own name.
LABELS = {"samples_per_class": "points per class", "metrics": "other metrics", "data.files": "from files"}
TITLES = {"measure": "Measuring"}


def _field(key: str, annotation: Any) -> Field:
    """Return the field for a key of a study file, from the type that its settings have."""
    name = key.rpartition(".")[2]
    label = LABELS.get(name, name.replace("_", " "))
    inner = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
    several = inner is not annotation
    if key == "data.datasets":
        return Field(key, label, "several", tuple(CATALOGUE))
    if key == "measure.epochs":
        label = "also at epochs"
    if get_origin(inner) is Literal:
        return Field(key, label, "several" if several else "one", get_args(inner))
    if several:
        return Field(key, label, "list")
    return Field(key, label, "words" if inner is str else "number")


def _sections() -> Iterator[tuple[str, tuple[Field, ...]]]:
    """Yield a title and the fields of each table of a study file, so that the form has every key there is."""
    yield "Study", (Field("name", "name", "words"),)
    for section, outer in StudySettings.model_fields.items():
        if not (isinstance(outer.annotation, type) and issubclass(outer.annotation, Section)):
            continue
        fields = []
        for name, inner in outer.annotation.model_fields.items():
            fields.append(_field(f"{section}.{name}", inner.annotation))
            if (section, name) == ("data", "datasets"):
                fields.append(Field(FILES, LABELS[FILES], "list"))
        yield TITLES.get(section, section.capitalize()), tuple(fields)


SECTIONS: tuple[tuple[str, tuple[Field, ...]], ...] = tuple(_sections())
FIELDS = {field.key: field for _, fields in SECTIONS for field in fields}


def value_at(values: Mapping[str, Any], key: str) -> Any:
    """Return what nested `values` hold at a dotted key; where they hold nothing, the default."""
    section, _, name = key.rpartition(".")
    tables = (
        (values.get(section), StudySettings.model_fields[section].default.model_dump(mode="json")) if section else ()
    )
    for table in (*tables, values, {"name": "untitled"}):
        if isinstance(table, Mapping) and name in table and (section or table in (values, {"name": "untitled"})):
            return table[name]
    return None


def as_text(value: Any) -> str:
    """Return a value as the user types it in a field: lists with commas, numbers as short as possible."""
    if isinstance(value, (list, tuple)):
        return ", ".join(as_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else safe_text(value, 2_000)


class FieldRow(Widget):
    """A label, the editor, and right of it (below a choice) its meaning or its mistake."""

    class Changed(Message):
        """The user changed a field."""

    def __init__(self, field: Field) -> None:
        super().__init__(classes=f"field {'choice' if field.options else field.kind}")
        self.field = field

    def compose(self) -> ComposeResult:
        field = self.field
        with Horizontal():
            yield Static(Content(field.label), classes="label")
            if field.options:
                with Vertical():
                    yield Choices(field.options, single=field.kind == "one", id=editor_id(field.key))
                    yield Static(classes="hint")
            else:
                yield Input(compact=True, id=editor_id(field.key), select_on_focus=False)
                yield Static(Content(field.hint), classes="hint")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed())

    def on_choices_changed(self, event: Choices.Changed) -> None:
        event.stop()
        self.post_message(self.Changed())

    @property
    def value(self) -> Any:
        """The value of the field as in a study file; None for an empty number."""
        if self.field.options:
            chosen = list(self.query_one(Choices).chosen)
            return chosen[0] if self.field.kind == "one" and chosen else chosen
        text = self.query_one(Input).value.strip()
        if self.field.kind == "words":
            return text
        if not text:
            return [] if self.field.kind == "list" else None
        if self.field.key == FILES:
            # Paths between commas, not TOML.
            return split_list(text)
        return parse_typed_value(text, is_list=self.field.kind == "list")

    def fill(self, value: Any) -> None:
        """Show `value` in the field, without a message."""
        with self.prevent(Input.Changed):
            if self.field.options:
                wanted = [value] if isinstance(value, str) else value if isinstance(value, (list, tuple)) else []
                self.query_one(Choices).chosen = tuple(option for option in self.field.options if option in wanted)
            else:
                self.query_one(Input).value = as_text(value)

    def say(self, mistake: str) -> None:
        """Show a mistake; with an empty text the meaning of the field."""
        hint = self.query_one(".hint", Static)
        self.set_class(bool(mistake), "-wrong")
        hint.update(Content(f"✗ {mistake}") if mistake else Content("" if self.field.options else self.field.hint))


def editor_id(key: str) -> str:
    """Return the id of the widget that edits `key`."""
    return f"edit-{key.replace('.', '-')}"


def collect(rows: Mapping[str, FieldRow]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of the fields as in a study file, and the mistakes that only a form can have, by key."""
    values: dict[str, Any] = {}
    mistakes: dict[str, str] = {}
    for key, row in rows.items():
        if key == FILES:
            continue
        value = row.value
        if key == "data.datasets":
            value = [*value, *rows[FILES].value]
        if value is None:
            mistakes[key] = "needs a number"
            continue
        section, _, name = key.rpartition(".")
        (values.setdefault(section, {}) if section else values)[name] = value
    return values, mistakes


def missing_file(values: Mapping[str, Any]) -> str:
    """Return a line on the first `file:` dataset that does not exist; "" where none is missing. Paths are absolute."""
    for name in values["data"]["datasets"]:
        if name.startswith(FILE_PREFIX) and not file_exists(path := Path(name.removeprefix(FILE_PREFIX))):
            return f"there is no file {safe_text(path, 2_000)}"
    return ""


def row_of_mistake(key: str, rows: Mapping[str, FieldRow]) -> str:
    """Return the key of the field for a mistake at `key`, such as `networks.activations.1`; "" where there is none."""
    parts = key.split(".")
    if parts[:2] == ["data", "datasets"] and len(parts) > 2 and parts[2].isdigit():
        # Typed datasets come after chosen ones.
        return FILES if int(parts[2]) >= len(rows["data.datasets"].value) else "data.datasets"
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in rows:
            return ".".join(parts[:length])
    return ""
