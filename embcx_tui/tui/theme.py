"""The three themes. Every colour is one of xterm's 256, since SSH drops COLORTERM: what is drawn is what is meant."""

from __future__ import annotations

from dataclasses import replace

from textual.theme import Theme

from embcx_tui.tui.preferences import ThemeName


def _with_variables(theme: Theme, *, cursor: str, track: str | None = None, **own: str) -> Theme:
    """Return `theme` with all variables that the styles use.

    Parameters
    ----------
    cursor, track : the backgrounds of the cursor's line and of a scroll bar's track (the theme's surface)
    own : variables that no colour of the theme gives, or that differ from it, with `_` for `-`. Every theme gives
        `text_muted`, `text_disabled`, `title_background`, `heading`, `title_tab`, `chosen`, `rule`, `scrollbar` and
        `scrollbar_hover`.
    """
    given = {name.replace("_", "-"): colour for name, colour in own.items()}
    border, track = given.get("border", theme.primary), track or theme.surface
    derived = {
        "text-primary": theme.primary,
        "text-secondary": theme.secondary,
        "text-accent": theme.accent,
        "text-success": theme.success,
        "text-warning": theme.warning,
        "text-error": theme.error,
        "title-name": given["heading"],
        "title-key": theme.warning,
        "title-here": f"{theme.background} on {theme.primary} bold",
        "bar-rest": given["rule"],
        "footer-background": given["title-background"],
        "footer-key-foreground": theme.warning,
        "footer-description-foreground": given["title-tab"],
        "block-cursor-background": cursor,
        "block-cursor-foreground": "#ffffff" if theme.dark else "#000000",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#303030",
        "block-cursor-blurred-foreground": theme.foreground,
        "block-hover-background": theme.panel,
        "input-cursor-background": theme.foreground,
        "input-selection-background": cursor,
        "border": border,
        "border-blurred": given["rule"],
        "scrollbar-active": border,
        "scrollbar-background": track,
        "scrollbar-background-hover": track,
        "scrollbar-background-active": track,
        "scrollbar-corner-color": track,
    }
    return replace(theme, variables={name: colour for name, colour in derived.items() if colour} | given)


DARK = _with_variables(
    Theme(
        name="embcx-dark",
        dark=True,
        primary="#5fafd7",
        secondary="#87afaf",
        accent="#5fd7d7",
        success="#87af5f",
        warning="#d7af5f",
        error="#ff8787",
        foreground="#d0d0d0",
        background="#121212",
        surface="#1c1c1c",
        panel="#262626",
    ),
    text_muted="#8a8a8a",
    text_disabled="#6c6c6c",
    title_background="#262626",
    heading="#eeeeee",
    title_tab="#a8a8a8",
    chosen="#303030",
    rule="#3a3a3a",
    cursor="#005f87",
    scrollbar="#444444",
    scrollbar_hover="#585858",
)

LIGHT = _with_variables(
    Theme(
        name="embcx-light",
        dark=False,
        primary="#005f87",
        secondary="#5f5f87",
        accent="#005f5f",
        success="#005f00",
        warning="#875f00",
        error="#af0000",
        foreground="#262626",
        background="#ffffff",
        surface="#eeeeee",
        panel="#e4e4e4",
    ),
    text_muted="#626262",
    text_disabled="#949494",
    title_background="#dadada",
    heading="#121212",
    title_tab="#444444",
    chosen="#d0d0d0",
    rule="#bcbcbc",
    bar_rest="#d0d0d0",
    title_key="#5f5f00",
    footer_key_foreground="#5f5f00",
    cursor="#afd7ff",
    block_cursor_blurred_background="#dadada",
    scrollbar="#a8a8a8",
    scrollbar_hover="#8a8a8a",
)

# Black, white and the strongest colours: 7:1 or better for every text, for tired eyes, sun on the screen, poor panels.
CONTRAST = _with_variables(
    Theme(
        name="embcx-contrast",
        dark=True,
        primary="#00d7ff",
        secondary="#d7d7ff",
        accent="#00ffff",
        success="#5fff5f",
        warning="#ffd700",
        error="#ffafaf",
        foreground="#ffffff",
        background="#000000",
        surface="#1c1c1c",
        panel="#303030",
    ),
    text_muted="#d0d0d0",
    text_disabled="#a8a8a8",
    title_background="#000000",
    heading="#ffffff",
    title_tab="#ffffff",
    title_here="#000000 on #ffffff bold",
    chosen="#00005f",
    rule="#8a8a8a",
    cursor="#0000af",
    input_selection_background="#005faf",
    border="#ffffff",
    border_blurred="#a8a8a8",
    scrollbar="#a8a8a8",
    scrollbar_hover="#d0d0d0",
    track="#121212",
)

# By the name in the preferences, in the order of the key.
THEMES: dict[ThemeName, Theme] = {"dark": DARK, "light": LIGHT, "contrast": CONTRAST}
TITLES: dict[ThemeName, str] = {"dark": "dark", "light": "light", "contrast": "high contrast"}
