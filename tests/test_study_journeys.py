"""The journeys of a person with many studies, on a real pseudo-terminal."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tests.fake_events import START
from tests.fake_studies import make_study, settings_of
from tests.terminal import Terminal
from tests.test_journeys import PROGRAM, studies


def test_fifty_studies_filtered_marked_renamed_and_deleted(home: Path) -> None:
    small: dict[str, Any] = {"networks__runs": 1, "networks__activations": ["relu"], "training__epochs": 2}
    for place in range(50):
        rate = (0.01, 0.03, 0.1, 0.3, 1.0)[place % 5]
        name = f"sweep {place:02d}"
        make_study(
            settings_of(name=name, training__learning_rate=rate, **small),
            study_id=f"{place:010d}",
            at=START - 60 * place,
            arrays=False,
        )
    with Terminal(PROGRAM, 80, 24) as terminal:
        terminal.expect("sweep 09")
        terminal.press("/")
        terminal.press(*"lr=0.3")
        terminal.expect("10 of 50")
        terminal.press("enter")
        terminal.press("R")
        terminal.expect("Rename the study")
        terminal.press("\x15", *"the quick one", "enter")
        terminal.expect("the quick one")
        terminal.press("space", "space")
        terminal.expect("2 marked")
        terminal.press("d")
        terminal.expect("Delete 2 studies?")
        for name in ("“the quick one”", "“sweep 08”"):
            assert name in terminal.text()
        terminal.press("right", "enter")
        terminal.expect("8 of 48")
        terminal.press("y")
        # OSC 52: what is under the cursor goes to the terminal's clipboard.
        copied = base64.b64encode(b"sweep 13").decode()
        terminal.until(lambda: f"\x1b]52;c;{copied}".encode() in terminal.raw, "nothing was copied")
        terminal.press("q")
        assert terminal.wait() == 0
    left = {row["id"] for row in studies()}
    assert len(left) == 48 and not left & {f"{place:010d}" for place in (3, 8)}


def test_two_studies_compared(home: Path) -> None:
    small: dict[str, Any] = {"networks__runs": 3, "networks__activations": ["relu", "tanh"], "training__epochs": 2}
    for place, (name, rate) in enumerate((("fast", 0.1), ("slow", 0.01))):
        settings = settings_of(name=name, training__learning_rate=rate, **small)
        make_study(settings, study_id=f"{place:010d}", at=START - 60 * place, arrays=False)
    with Terminal(PROGRAM, 80, 24) as terminal:
        terminal.expect("slow")
        terminal.press("space", "space")
        terminal.expect("2 marked")
        terminal.press("=")
        terminal.expect("“slow” compared with “fast”")
        terminal.expect("slow − fast")
        terminal.press("down", "right", "right", "y")
        terminal.until(lambda: b"\x1b]52;c;" in terminal.raw, "nothing was copied")
        shown = [line for line in terminal.text().splitlines() if "relu " in line and "±" in line]
        copied = base64.b64decode(bytes(terminal.raw).rpartition(b"\x1b]52;c;")[2].split(b"\x07")[0]).decode()
        assert copied in shown[0]
        terminal.send("escape")
        terminal.expect("2 marked")
        terminal.press("q")
        assert terminal.wait() == 0
