"""Contrast, computed from the themes' colours as WCAG 2.2 defines it: 4.5:1 for text, 3:1 for every other mark."""

from __future__ import annotations

import pytest
from textual.color import Color

from embcx_tui.figures.palette import READABLE, VISIBLE, Rgb, blend, class_colour, colour, contrast, ink_on, warning
from embcx_tui.tui import theme
from embcx_tui.tui.app import make_app
from embcx_tui.tui.preferences import ThemeName
from embcx_tui.tui.study_row import STATE_STYLES, STATUS_SIGNS
from embcx_tui.tui.widgets.line_widget import Ink, ink_of

# What is read, and on which grounds it stands.
_TEXTS = (
    *("foreground", "text-muted", "text-primary", "text-accent", "text-success", "text-warning", "text-error"),
    *("heading",),
)
_ON_BARS = ("title-name", "title-key", "title-tab", "footer-key-foreground", "footer-description-foreground")


async def ink(name: ThemeName) -> tuple[Ink, dict[str, Rgb]]:
    """Return the colours of a theme: those of painted lines, and its variables."""
    app = make_app()
    app.theme = theme.THEMES[name].name
    async with app.run_test(size=(80, 24)):
        return ink_of(app.screen.app), {
            key: rgb for key, value in app.theme_variables.items() if (rgb := parsed(value))
        }


def parsed(value: str) -> Rgb | None:
    try:
        return Color.parse(value.split()[0]).rgb
    except Exception:  # a style, or `auto 87%`
        return None


def test_the_contrast_is_that_of_the_standard() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((255, 255, 255), (255, 255, 255)) == 1
    # Known from the standard's own techniques: #767676 is the lightest grey that can be read on white.
    assert contrast((0x76, 0x76, 0x76), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("name", theme.THEMES)
async def test_text_can_be_read_and_marks_can_be_seen(name: ThemeName) -> None:
    painted, variables = await ink(name)
    grounds = [variables[ground] for ground in ("background", "surface")]
    found = {(text, ground): contrast(variables[text], ground) for text in _TEXTS for ground in grounds}
    bar = variables["title-background"]
    found |= {(text, bar): contrast(variables[text], bar) for text in _ON_BARS}
    found |= {
        ("muted", painted.look.paper): contrast(painted.muted, painted.look.paper),
        ("cursor", painted.cursor): contrast(variables["block-cursor-foreground"], painted.cursor),
        ("here", variables["primary"]): contrast(variables["background"], variables["primary"]),
    }
    assert {key: value for key, value in found.items() if value < READABLE} == {}
    marks = {"disabled": variables["text-disabled"], "border": variables["border"], "alarm": painted.look.alarm}
    marks |= {f"series {place}": painted.look.series(place) for place in range(10)}
    marks |= {f"class {index}": painted.look.class_colour(index) for index in range(10)}
    assert {key: rgb for key, rgb in marks.items() if contrast(rgb, painted.look.paper) < VISIBLE} == {}


@pytest.mark.parametrize("dark", [True, False])
def test_no_class_has_the_colour_of_an_activation(dark: bool) -> None:
    activations = {colour(place, dark) for place in range(4)}
    classes = {class_colour(index, dark) for index in range(10)}
    assert len(activations) == 4 and len(classes) == 10 and not activations & classes
    # A class's sign stands on its colour.
    assert all(contrast(ink_on(rgb), rgb) >= READABLE for rgb in classes)
    assert contrast(warning(dark), (18, 18, 18) if dark else (255, 255, 255)) >= VISIBLE


def test_states_have_signs_of_their_own() -> None:
    for signs in ([style.sign for style in STATE_STYLES.values()], list(STATUS_SIGNS.values())):
        assert all(signs)
    assert len({(style.sign, style.word) for style in STATE_STYLES.values()}) == len(STATE_STYLES)
    assert blend((0, 0, 0), (255, 255, 255), 0.5) == (128, 128, 128)
