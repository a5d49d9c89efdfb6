"""The plane on a real pseudo-terminal: what the pointer finds, a drag, the classes dimmed, the neighbours ringed."""

from __future__ import annotations

import re
import sys

from tests.fake_studies import make_study, settings_of
from tests.terminal import Terminal

PROGRAM = (sys.executable, "-m", "embcx_tui")


def report(terminal: Terminal, buttons: int, column: int, row: int, pressed: bool = True) -> None:
    """Send a mouse report in SGR's encoding, and let the screen settle: 35 a move, 32 a drag, 0 the left button."""
    terminal.write(f"\x1b[<{buttons};{column + 1};{row + 1}{'M' if pressed else 'm'}")
    terminal.settle(1.5)


def test_the_pointer_says_values_a_drag_moves_the_plane_and_a_class_is_chosen() -> None:
    study = make_study(settings_of(networks__runs=2), "complete")
    with Terminal((*PROGRAM, "open", study.paths.id), 120, 40) as terminal:
        terminal.until(lambda: bool(re.search(r"10-NN acc. \d", terminal.text())), "the points are not counted")
        terminal.settle()
        # The last value of a line stands beside its end.
        column, row = terminal.find("▸━ ")
        found = re.search(r"▸━ (\w+) +(\d\.\d+)", terminal.screen.display[row])
        assert found
        report(terminal, 35, column + 5, row)
        terminal.expect(f"{found[1]}, layer 3: ")
        said = re.search(r"layer 3: (\d\.\d+) ± \d\.\d+, 2 runs", terminal.screen.display[-1])
        assert said and round(float(said[1]), 3) == float(found[2]) and "Help" not in terminal.screen.display[-1]
        report(terminal, 35, 1, 20)
        terminal.expect("Help")
        # A drag moves the plane with all that is in it.
        column, row = terminal.find("Layer 3 of 3")
        report(terminal, 0, column + 20, row + 8)
        report(terminal, 32, column + 26, row + 10)
        report(terminal, 0, column + 26, row + 10, pressed=False)
        terminal.expect("zoom ×1.0")
        terminal.press("=")
        terminal.until(lambda: "zoom ×" not in terminal.text(), "not all is shown again")
        # A class before the others, which stay where they are.
        before = sum("\u2800" < sign <= "\u28ff" for sign in terminal.text())
        terminal.press("4")
        terminal.until(lambda: bool(re.search(r"\d+ of [\d,]+ points", terminal.text())), "no class is chosen")
        after = sum("\u2800" < sign <= "\u28ff" for sign in terminal.text())
        assert after >= 0.9 * before, "the others are dimmed, not removed"
        terminal.press("a", "p")
        terminal.expect("neighbours in plane  ○")
        plane = [line[57:] for line in terminal.screen.display[17:38]]
        assert sum(sign in "○●◉" for line in plane for sign in line) >= 3
