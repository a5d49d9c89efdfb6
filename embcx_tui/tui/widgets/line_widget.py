"""Widgets that paint their own lines when something changes, and send only the cells that differ.

Textual repaints a whole widget whatever changed in it: for a table of 100×30 cells that is 8 kB, and a table of a
running study changes once per second. Here a widget's picture is a tuple of rows; two pictures are compared, and only
the cells between them are refreshed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile, zip_longest
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from rich.cells import cell_len, set_cell_size
from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.color import Color, ColorParseError
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from embcx_tui.figures.palette import Rgb, blend
from embcx_tui.figures.spans import Look, Row, Span
from embcx_tui.tui.terminal import Abilities


@dataclass(frozen=True, slots=True)
class Ink:
    """The theme's colours as the line widgets use them; `look` holds the same for figures.

    `variables` are those of the theme, for what only one widget needs.
    """

    look: Look
    text: Rgb
    muted: Rgb
    faint: Rgb
    accent: Rgb
    success: Rgb
    warning: Rgb
    error: Rgb
    cursor: Rgb
    variables: Mapping[str, str]

    def colour(self, name: str) -> Rgb:
        """Return the colour of a theme's variable, such as `text-muted`; a `$` before the name is ignored."""
        return _parse(self.variables.get(name.removeprefix("$"), ""), self.text)


def _parse(value: str, fallback: Rgb) -> Rgb:
    try:
        return Color.parse(value).rgb
    except ColorParseError:
        return fallback


# The newest colours of each application with what they were derived from; an application that is gone leaves none.
_INKS: WeakKeyDictionary[App[object], tuple[tuple[object, ...], Ink]] = WeakKeyDictionary()


def ink_of(app: App[Any]) -> Ink:
    """Return the colours of the application's theme."""
    abilities: Abilities = getattr(app, "abilities", Abilities())
    calm = bool(getattr(getattr(app, "session", None), "calm", False))
    key = app.theme, abilities, app.no_color, calm
    cached = _INKS.get(app)
    if cached is None or cached[0] != key:
        cached = _INKS[app] = key, _derive_ink(app, abilities, calm)
    return cached[1]


def _derive_ink(app: App[object], abilities: Abilities, calm: bool) -> Ink:
    variables = app.theme_variables
    dark = app.current_theme.dark
    text = _parse(variables.get("foreground", ""), (224, 224, 224) if dark else (31, 31, 31))
    ground = _parse(variables.get("background", ""), (18, 18, 18) if dark else (250, 250, 250))
    # The theme of black and white is for those who need contrast: its secondary text stays easy to read.
    strong = ground == (0, 0, 0)
    muted = blend(text, ground, 0.18 if strong else 0.40 if dark else 0.35)
    hues = not app.no_color
    look = Look(
        dark=dark,
        # In 16 colours some of ten classes look alike: there, as without colours or lines, figures use signs.
        colours=hues and abilities.colours and abilities.unicode,
        unicode=abilities.unicode,
        hues=hues,
        few=calm,
        foreground=text,
        background=ground,
        muted=muted,
    )

    def colour(name: str) -> Rgb:
        return _parse(variables.get(name, ""), text)

    return Ink(
        look=look,
        text=text,
        muted=muted,
        faint=blend(text, ground, 0.5 if strong else 0.78),
        accent=colour("accent"),
        success=colour("text-success"),
        warning=colour("text-warning"),
        error=colour("text-error"),
        cursor=_parse(variables.get("block-cursor-background", ""), blend(ground, colour("primary"), 0.45)),
        variables=variables,
    )


def span(text: str, fg: Rgb | None = None, bg: Rgb | None = None, *, bold: bool = False, dim: bool = False) -> Span:
    return Span(text, fg, bg, bold, dim)


def fit(text: str, width: int) -> str:
    """Return `text` in exactly `width` cells, the end of a longer one replaced by an ellipsis."""
    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def fit_right(text: str, width: int) -> str:
    """Return `text` against the right edge of `width` cells."""
    return " " * (width - cell_len(text)) + text if cell_len(text) <= width else fit(text, width)


def row_width(row: Row) -> int:
    return sum(cell_len(span.text) for span in row)


def fit_row(row: Row, width: int, bg: Rgb | None = None) -> Row:
    """Return `row` in exactly `width` cells: padded, or cropped with an ellipsis."""
    missing = width - row_width(row)
    if missing == 0:
        return row
    if missing > 0:
        return (*row, Span(" " * missing, None, bg))
    kept: list[Span] = []
    left = width
    for span in row:
        size = cell_len(span.text)
        if size >= left:
            kept.append(Span(fit(span.text + "…", left), span.fg, span.bg, span.bold, span.dim))
            break
        kept.append(span)
        left -= size
    return tuple(kept)


def _common_width(old: Span, new: Span, step: int) -> int:
    """Return the cells in which two spans agree from their start (`step` 1) or their end (-1)."""
    if (old.fg, old.bg, old.bold, old.dim) != (new.fg, new.bg, new.bold, new.dim):
        return 0
    pairs = zip(old.text[::step], new.text[::step], strict=False)
    return cell_len("".join(first for first, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)))


def difference(old: Row, new: Row) -> tuple[int, int] | None:
    """Return the cells (start, end) in which two rows of one width differ; None where they do not."""
    if old == new:
        return None
    shorter = min(len(old), len(new))
    head = 0
    while head < shorter and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shorter - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    start = row_width(new[:head])
    end = row_width(new) - row_width(new[len(new) - tail :])
    if head < shorter:
        start += _common_width(old[head], new[head], 1)
    if tail < shorter:
        end -= _common_width(old[-1 - tail], new[-1 - tail], -1)
    # A span that only got shorter leaves nothing of its own to send, but its old end must go.
    return (start, max(end, start + 1))


def _strip(row: Row, width: int, text: Rgb, ground: Rgb) -> Strip:
    """Return a row as a strip; spans without colours take `text` on `ground`."""
    styled = ((span.text, _style(span.fg or text, span.bg or ground, span.bold, span.dim)) for span in row)
    return Strip((Segment(*pair) for pair in styled), width)


@lru_cache(maxsize=4096)
def _style(fg: Rgb, bg: Rgb, bold: bool, dim: bool) -> Style:
    return Style(color=RichColor.from_rgb(*fg), bgcolor=RichColor.from_rgb(*bg), bold=bold or None, dim=dim or None)


class _Line(NamedTuple):
    """A row as it was painted, in the width of its widget, and as Textual shows it."""

    painted: Row
    row: Row
    strip: Strip


class LineWidget(Widget):
    """A widget whose picture is `paint(width, height, ink)`; call `repaint` when what it shows has changed."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._painted: list[_Line] = []
        self._painted_for: tuple[object, ...] | None = None

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        """Return the picture: at most `height` rows, each at most `width` cells (what is missing stays empty)."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Paint anew and refresh only what differs; nothing happens before the first layout."""
        width, height = self.content_size
        if not self.is_mounted or not width or not height:
            self._painted_for = None
            return
        before, painted_for = self._painted, self._painted_for
        self._paint()
        if painted_for != self._painted_for or len(before) != len(self._painted):
            self.refresh()
            return
        regions = [
            Region(cells[0], y, cells[1] - cells[0], 1)
            for y, (old, new) in enumerate(zip(before, self._painted, strict=True))
            if old is not new and (cells := difference(old.row, new.row))
        ]
        if regions:
            self.refresh(*regions)

    def _key(self) -> tuple[object, ...]:
        return (*self.content_size, self.app.theme, self.has_focus)

    def _paint(self) -> None:
        width, height = self.content_size
        ink = ink_of(self.app)
        rows = self.paint(width, height, ink)[:height]
        rows = (*rows, *(((),) * (height - len(rows))))
        key = self._key()
        kept = self._painted if key == self._painted_for else ()
        ground = self.background_colors[1].rgb
        lines = []
        for row, line in zip_longest(rows, kept):
            # To fit a row of a table and make its strip takes as long as painting it: equal rows keep theirs.
            if line is None or row != line.painted:
                fitted = fit_row(row, width)
                line = _Line(row, fitted, _strip(fitted, width, ink.text, ground))
            lines.append(line)
        self._painted, self._painted_for = lines, key

    def on_resize(self, event: Resize) -> None:
        self.repaint()

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    @property
    def shown_text(self) -> str:
        """What the widget shows, as plain lines."""
        if self._painted_for != self._key():
            self._paint()
        return "\n".join("".join(span.text for span in line.row).rstrip() for line in self._painted)

    def render_line(self, y: int) -> Strip:
        if self._painted_for != self._key():
            self._paint()
        return self._painted[y].strip if y < len(self._painted) else Strip.blank(self.content_size.width)
