"""The journeys a person takes, on a real pseudo-terminal with real workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.terminal import Terminal

PROGRAM = (sys.executable, "-m", "embcx_tui")


def studies() -> list[dict[str, Any]]:
    done = subprocess.run([*PROGRAM, "list", "--json"], capture_output=True, text=True, check=True)
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return listed


def wait_until_complete(seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while (state := studies()[0]["state"]) != "complete":
        assert state == "running" and time.monotonic() < end, state
        time.sleep(0.5)


def long_study(tmp_path: Path) -> str:
    """Start a study that trains for as long as a test may take, and return its id."""
    path = tmp_path / "long.toml"
    path.write_text('name = "long"\n[data]\ndatasets = ["digits"]\n[networks]\nruns = 1\n[training]\nepochs = 9000\n')
    done = subprocess.run([*PROGRAM, "run", str(path), "--detach"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_first_start_demo_detach_return_browse_export(home: Path) -> None:
    with Terminal(PROGRAM, 80, 24) as terminal:
        terminal.expect("No studies yet")
        terminal.press("d")
        terminal.expect("running", 60)
        terminal.expect("digits")
        terminal.press("q")
        terminal.expect("Detach")
        terminal.press("enter")
        assert terminal.wait(5) == 0
    assert studies()[0]["state"] in ("running", "complete"), "detached: the worker goes on"
    wait_until_complete()
    with Terminal(PROGRAM, 120, 40) as terminal:
        # It comes back as it was left: on Live.
        terminal.expect("press l for the layers")
        terminal.press("l")
        terminal.expect("Layer")
        seen = set()
        for _ in range(4):
            seen.add(terminal.text())
            terminal.press("left")
        assert len(seen) == 4, "every layer is another picture"
        terminal.press("e")
        terminal.expect("PNG")
        terminal.press("enter")
        terminal.expect(".png", 60)
        terminal.press("escape", "q")
        assert terminal.wait(5) == 0
    exported = list(home.glob("studies/*/exports/*.png"))
    assert len(exported) == 1 and exported[0].read_bytes().startswith(b"\x89PNG")


def test_the_terminal_goes_away_and_the_study_goes_on(tmp_path: Path) -> None:
    study = long_study(tmp_path)
    with Terminal((*PROGRAM, "open", study), 80, 24) as terminal:
        terminal.expect("epoch")
        terminal.hang_up()
        assert terminal.wait(2.5) is not None, "the application is gone within 2 s"
    before = studies()[0]
    assert before["state"] == "running"
    with Terminal((*PROGRAM, "open", study), 80, 24) as terminal:
        terminal.expect("running")
        terminal.press("q")
        terminal.expect("Stop after this epoch")
        terminal.press("right", "enter")
        terminal.wait(10)
    end = time.monotonic() + 30
    while studies()[0]["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.2)
    assert studies()[0]["state"] == "stopped"


def test_a_study_that_cannot_begin_is_one_line_and_nothing_is_left_of_it(home: Path) -> None:
    with Terminal(PROGRAM, 120, 40, {"EMBCX_DATA_DIR": "/nowhere"}) as terminal:
        terminal.expect("No studies yet")
        terminal.press("c")
        terminal.expect("start from")
        terminal.press("right", "right", "space")  # from demo to fig2, on MNIST
        terminal.expect("fig2")
        terminal.press("ctrl+r")
        terminal.expect("data fetch mnist", 60)
        terminal.expect("start from")
    assert studies() == []
    assert [path.name for path in home.glob("studies/*")] == []


def test_a_resize_storm_leaves_a_whole_screen() -> None:
    with Terminal(PROGRAM, 80, 24) as terminal:
        terminal.expect("No studies yet")
        for columns, rows in [(30, 8), (200, 60), (41, 13), (120, 40), (10, 3), (80, 24)] * 3:
            terminal.resize(columns, rows)
            terminal.settle(0.1)
        terminal.settle()
        terminal.expect("No studies yet")
        terminal.press("q")
        assert terminal.wait(5) == 0


def test_where_no_screen_can_be_drawn_one_line_says_what_works_instead() -> None:
    with Terminal(PROGRAM, 80, 24, {"TERM": "dumb"}) as terminal:
        code = terminal.wait(10)
        shown = terminal.text().strip()
    assert code == 2
    assert "embcx-tui" in shown and "Traceback" not in shown
    assert b"\x1b[?1049h" not in terminal.raw, "the screen was left alone"


def test_without_a_terminal_the_application_says_which_command_to_use() -> None:
    done = subprocess.run(PROGRAM, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "embcx-tui" in done.stderr
    assert done.stdout == ""


def test_hostile_names_reach_the_terminal_as_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "hostile.toml"
    payloads = ("\\u001b]52;c;aGFjaw==\\u0007", "\\u001b]0;owned\\u0007", "[bold red]", "\\u009b2J", "$(id)")
    name = "x" + "".join(payloads) + "y"
    settings = '[data]\ndatasets = ["digits"]\n[networks]\nruns = 1\ndepths = [1]\nactivations = ["relu"]\n'
    path.write_text(f'name = "{name}"\n{settings}[training]\nepochs = 1\n')
    done = subprocess.run([*PROGRAM, "run", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Terminal(PROGRAM, 120, 40) as terminal:
        terminal.expect("[bold red]")
        terminal.press("enter", "v", "l", "s", "q")
        assert terminal.wait(5) == 0
    for payload in (b"]52;c;", b"]0;owned", b"\x9b2J"):
        assert payload not in terminal.raw
    assert os.environ.get("EMBCX_HOME")
