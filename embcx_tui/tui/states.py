"""How a state is shown, the same everywhere: a sign, a word and a colour (never the colour alone)."""

from __future__ import annotations

from typing import NamedTuple

from textual.content import Content

from embcx_tui.tui.rows import RowState


class Look(NamedTuple):
    """The sign (one cell wide), the word and the theme's colour of a state."""

    sign: str
    word: str
    colour: str


LOOKS: dict[RowState, Look] = {
    "queued": Look("○", "queued", "$text-muted"),
    "running": Look("●", "running", "$text-accent"),
    "stopped": Look("■", "stopped", "$text-secondary"),
    "complete": Look("✓", "complete", "$text-success"),
    "failed": Look("✗", "failed", "$text-error"),
    "lost": Look("?", "lost", "$text-warning"),
    "unreadable": Look("!", "unreadable", "$text-error"),
}

# Of networks, not of studies: trained, and no better than the largest class.
AT_CHANCE_SIGN = "≈"
DIVERGED_SIGN = "✗"


def state_content(state: RowState) -> Content:
    """Return sign and word of `state` in its colour."""
    look = LOOKS[state]
    return Content.styled(f"{look.sign} {look.word}", look.colour)
