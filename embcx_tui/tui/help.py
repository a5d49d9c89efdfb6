"""Help: all keys of a screen, made from its bindings."""

from __future__ import annotations

from textual.screen import ModalScreen, Screen


class HelpScreen(ModalScreen[None]):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
