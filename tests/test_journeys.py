"""The journeys a person takes, on a real pseudo-terminal with real workers."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.fake_studies import FakeStudy, make_study, settings_of
from tests.terminal import PATIENCE_S, Terminal

PROGRAM = (sys.executable, "-m", "embcx_tui")
# All that is on a screen too small for more: in full, and at 25 columns.
SMALL = ("q quits · needs 40×12 cells", "q quits · needs 40×12 ce…")


@pytest.fixture
def measured() -> FakeStudy:
    """A small study that is trained and measured, where training is not the point."""
    return make_study(settings_of(networks__runs=1), "complete")


def studies() -> list[dict[str, Any]]:
    done = subprocess.run([*PROGRAM, "list", "--json"], capture_output=True, text=True, check=True)
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return listed


def wait_until_complete(seconds: float = 1_200) -> None:
    end = time.monotonic() + seconds
    while (state := studies()[0]["state"]) != "complete":
        assert state == "running" and time.monotonic() < end, state
        time.sleep(0.5)


def leave(terminal: Terminal) -> None:
    """Close the window that says where a figure went, and the application."""
    terminal.send("escape")
    # An escape and a q that arrive together would be alt+q.
    terminal.until(lambda: "Saved:" not in terminal.text(), "the window stays open")
    terminal.send("q")
    assert terminal.wait() == 0


def long_study(tmp_path: Path) -> str:
    """Start a study that trains for as long as a test may take, and return its id."""
    path = tmp_path / "long.toml"
    settings = '[data]\ndatasets = ["digits"]\n[networks]\nruns = 1\n[training]\nepochs = 10_000\nbatch_size = 5\n'
    path.write_text(f'name = "long"\n{settings}')
    done = subprocess.run([*PROGRAM, "run", str(path), "--detach"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_first_start_demo_detach_return_browse_export(home: Path) -> None:
    with Terminal(PROGRAM, 80, 24) as terminal:
        terminal.expect("No studies yet")
        terminal.press("T")
        terminal.expect("running")
        terminal.expect("digits")
        terminal.press("q")
        terminal.expect("Detach")
        terminal.press("enter")
        assert terminal.wait() == 0
    assert studies()[0]["state"] in ("running", "complete"), "detached: the worker goes on"
    wait_until_complete()
    with Terminal(PROGRAM, 120, 40) as terminal:
        # It comes back as it was left: on Live.
        terminal.expect("press l for the layers")
        terminal.press("l")
        seen = set()
        for layer in ("Layer 3 of 3", "Layer 2 of 3", "Layer 1 of 3", "Input"):
            terminal.expect(layer)
            terminal.settle()
            seen.add(terminal.text())
            terminal.send("left")
        assert len(seen) == 4, "every layer is another picture"
        terminal.press("e")
        terminal.expect("PNG")
        terminal.press("enter")
        terminal.expect("Saved:")
        leave(terminal)
    exported = list(home.glob("studies/*/exports/*.png"))
    assert len(exported) == 1 and exported[0].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_pick_a_point_and_keep_it_across_layers_and_starts(size: tuple[int, int], measured: FakeStudy) -> None:
    with Terminal((*PROGRAM, "open", measured.paths.id), *size) as terminal:
        terminal.expect("Layer 3 of 3")
        terminal.press("p")
        terminal.expect("predicted")
        terminal.settle()
        first = point(terminal)
        terminal.send("left")
        terminal.until(lambda: point(terminal) not in ("", first), "the arrow went to no other point")
        terminal.settle()
        picked = point(terminal)
        terminal.expect("▀▀▀▀▀▀▀▀")  # its image
        terminal.send(",")
        terminal.expect("Layer 2 of 3")
        terminal.settle()
        assert point(terminal) == picked, "the same point in another layer"
        name = re.search(r"Layer 2 of 3 · (\w+)", terminal.text())
        assert name
        terminal.press("]", "]")  # the mean's one run first
        terminal.until(lambda: f"Layer 2 of 3 · {name[1]}" not in terminal.text(), "no other network came")
        terminal.settle()
        assert point(terminal).split()[-1] == picked.split()[-1], "the same point in another network"
        terminal.send("q")
        assert terminal.wait() == 0
    with Terminal(PROGRAM, *size) as terminal:
        terminal.expect("Layer 2 of 3")
        terminal.send("p")
        terminal.expect("predicted")
        terminal.settle()
        assert point(terminal).split()[-1] == picked.split()[-1], "the same point on the next start"


def point(terminal: Terminal) -> str:
    """Return what is said of the chosen point: its class, what is predicted, and which sample it is."""
    shown = re.search(r"label .*?● (\S+).*?predicted .*?● (\S+).*?sample ([\d,]+)", terminal.text(), re.DOTALL)
    return " ".join(shown.groups()) if shown else ""


def test_compare_two_networks_and_go_back(measured: FakeStudy) -> None:
    with Terminal((*PROGRAM, "open", measured.paths.id), 120, 40) as terminal:
        terminal.expect("Layer 3 of 3")
        # Whichever of two activations the cursor stands on: it and its neighbour.
        terminal.press("space")
        terminal.expect("1 marked")
        terminal.press("down", "space")
        terminal.expect("2 marked networks")
        two = re.compile(r"(\w+) · KL \d\.\d+ +(?!\1)(\w+) · KL \d\.\d+")
        terminal.until(lambda: bool(two.search(terminal.text())), "not side by side, each with its score")
        terminal.send("left")
        terminal.expect("Layer 2 · 2 marked")
        terminal.send("escape")
        terminal.expect("Layer 2 of 3")
        terminal.until(lambda: "marked" not in terminal.text(), "the marks are still there")


@pytest.mark.parametrize("kind", ["PNG", "SVG"])
def test_export_what_is_looked_at(kind: str, measured: FakeStudy) -> None:
    with Terminal((*PROGRAM, "open", measured.paths.id), 80, 24) as terminal:
        terminal.expect("Layer 3 of 3")
        terminal.press("e")
        terminal.expect("○ SVG")
        if kind == "SVG":
            terminal.press("right", "space")
            terminal.expect("● SVG")
        terminal.press("enter")
        terminal.expect("Saved:")
        leave(terminal)
    (written,) = measured.paths.exports.glob(f"*.{kind.lower()}")
    assert written.with_suffix(".csv").read_text().count("\n") > 3, "its numbers beside it"
    if kind == "PNG":
        with Image.open(written) as image:
            image.load()
            assert image.width > 600 and len(image.convert("RGB").resize((64, 64)).getcolors(4096) or ()) > 8
    else:
        root = ElementTree.parse(written).getroot()
        assert root.tag.endswith("svg") and len(list(root.iter())) > 100


def test_export_a_figure_of_the_study_found_by_typing(measured: FakeStudy) -> None:
    with Terminal((*PROGRAM, "open", measured.paths.id), 120, 40) as terminal:
        terminal.expect("Layer 3 of 3")
        terminal.press("e")
        terminal.expect("Save a figure")
        terminal.press("up", "right", "right")
        terminal.expect("● a figure of the study")
        terminal.press("down")
        terminal.expect("training-digits")
        terminal.type("untrained complexity")
        terminal.until(lambda: "training-digits" not in terminal.text(), "the list is not narrowed")
        terminal.expect("complexity-digits-3-untrained.png")
        terminal.press("enter")
        terminal.expect("Saved:", 60)
        terminal.press("escape", "q")
        assert terminal.wait(5) == 0
    assert sorted(path.name for path in measured.paths.exports.iterdir()) == [
        "complexity-digits-3-untrained.csv",
        "complexity-digits-3-untrained.png",
    ]


def test_the_mouse_goes_to_what_it_clicks() -> None:
    study = make_study(settings_of(networks__runs=1, measure__epochs=[1, 2]), "complete")
    study.measure_after(1, 2)
    with Terminal((*PROGRAM, "open", study.paths.id), 120, 40) as terminal:
        terminal.expect("Layer 3 of 3")
        terminal.settle()
        # A bar: above the number of its layer, on the ground of the chart.
        terminal.press("b")
        terminal.expect("0.00▁│")
        column, row = terminal.find("0.00▁│")
        means = re.compile(r"KL +\d\.\d+ +(\d\.\d+)")
        terminal.until(lambda: bool(means.search(terminal.text())), "no means below the bars")
        score = means.search(terminal.text())
        assert score
        terminal.click(terminal.find(score[1])[0] + 2, row - 1)
        terminal.expect("Layer 1 of 3")
        # A point: one that stands for itself, the first from the top.
        terminal.settle()
        points = [
            (column, row)
            for row, line in enumerate(terminal.screen.display)
            for column, sign in enumerate(line)
            if "\u2800" < sign <= "\u28ff"
        ]
        terminal.click(*points[0])
        terminal.expect("predicted")
        assert point(terminal)
        terminal.press("escape", "escape")
        # A cell of a heat map: another activation, its second layer.
        terminal.press("B", "B", "B")
        terminal.expect("complexity over training")
        column, row = terminal.find("relu   dark")
        assert terminal.screen.display[row + 3][column] == "2"
        terminal.click(column + 8, row + 3)
        terminal.expect("Layer 2 of 3 · relu")
        # A dot of complexity against accuracy: the number of its network's layers.
        terminal.press("b")
        _, top = terminal.find("digit = hidden layers")
        terminal.settle()
        dots = [
            (found.start(), row)
            for row in range(top + 1, terminal.find("└")[1])
            for found in re.finditer(r"(?<=\s)3(?=\s)", terminal.screen.display[row])
        ]
        assert dots, terminal.text()
        terminal.click(*dots[0])
        terminal.until(lambda: "Layer 2 of 3 · relu" not in terminal.text(), "the dot led nowhere")


def test_what_is_copied_goes_to_the_terminal_as_osc_52(measured: FakeStudy) -> None:
    with Terminal((*PROGRAM, "open", measured.paths.id), 120, 40) as terminal:
        terminal.expect("Layer 3 of 3")
        terminal.press("b", "b", "tab", "y")
        terminal.expect("Copied “")
        terminal.settle()
        copied = terminal.text().partition("Copied “")[2].partition("”")[0]
        assert base64.b64encode(copied.encode()) in re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)", bytes(terminal.raw))
        terminal.press("Y")
        terminal.expect("Copy the table of numbers")
        terminal.press("enter")
        terminal.expect("as TSV")
        sent = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)", bytes(terminal.raw))[-1]
        assert base64.b64decode(sent).decode().startswith("network\tquantity\tn\tinput\t1\t2\t3\ttest acc.\t")


def test_ctrl_z_gives_the_shell_its_terminal_and_fg_the_screen(measured: FakeStudy) -> None:
    shell = ("sh", "-i")
    with Terminal(shell, 80, 24, {"PS1": "READY> ", "ENV": "", "HISTFILE": ""}) as terminal:
        terminal.expect("READY>")
        assert terminal.echoes() and terminal.modes_left_on() == []
        terminal.type(f"{sys.executable} -m embcx_tui open {measured.paths.id}\r")
        terminal.expect("Layer 3 of 3")
        terminal.expect("first rise at     none")  # the statistics, counted when keys rest
        terminal.settle()
        before = terminal.text()
        assert terminal.modes_left_on() and not terminal.echoes()
        for _ in range(2):
            terminal.send("ctrl+z")
            terminal.expect("Stopped")
            terminal.expect("READY>")
            assert terminal.modes_left_on() == [] and terminal.echoes()
            terminal.type("echo $((6 * 7))\r")
            terminal.expect("42")
            terminal.type("fg\r")
            terminal.shows(before)  # the whole screen, and nothing of the shell's
        terminal.press("left")
        terminal.expect("Layer 2 of 3")
        terminal.press("q")
        terminal.expect("READY>")
        assert terminal.modes_left_on() == [] and terminal.echoes()


def test_a_terminal_that_goes_while_the_application_is_stopped_takes_it_along(measured: FakeStudy) -> None:
    with Terminal(("sh", "-i"), 80, 24, {"PS1": "READY> ", "ENV": ""}) as terminal:
        terminal.expect("READY>")
        terminal.type(f"{sys.executable} -m embcx_tui open {measured.paths.id} & echo pid=$!\r")
        terminal.expect("pid=")
        terminal.type("fg\r")
        terminal.expect("Layer 3 of 3")
        found = re.search(rb"pid=(\d+)", terminal.raw)
        assert found
        terminal.send("ctrl+z")
        terminal.expect("Stopped")
        terminal.hang_up()
        terminal.wait()
        end = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{int(found[1])}").exists():
            assert time.monotonic() < end, "it lives on without a terminal"
            time.sleep(0.05)


def test_a_screen_on_which_nothing_happens_sends_nothing(measured: FakeStudy) -> None:
    with Terminal((*PROGRAM, "open", measured.paths.id), 120, 40) as terminal:
        terminal.expect("Layer 3 of 3")
        for key, shown in (("l", "10-NN"), ("s", "Datasets"), ("v", "3 hidden layers")):
            terminal.press(key)
            terminal.expect(shown)
            # What is counted or read when keys rest comes first.
            terminal.until(lambda: terminal.stays_silent(1.5), "it never came to rest")
            terminal.settle()
            assert terminal.stays_silent(3), shown


def test_the_terminal_goes_away_and_the_study_goes_on(tmp_path: Path) -> None:
    study = long_study(tmp_path)
    with Terminal((*PROGRAM, "open", study), 80, 24) as terminal:
        terminal.expect("epoch")
        terminal.hang_up()
        assert terminal.gone_within(2.5), "the application is gone within 2 s"
    before = studies()[0]
    assert before["state"] == "running"
    with Terminal((*PROGRAM, "open", study), 80, 24) as terminal:
        terminal.expect("running")
        terminal.press("q")
        terminal.expect("Stop after this epoch")
        terminal.press("right", "enter")
        terminal.wait()
    end = time.monotonic() + PATIENCE_S
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
        terminal.expect("mnist: 12 MB to fetch")
        terminal.press("escape")
        terminal.expect("start from")
    assert studies() == []
    assert [path.name for path in home.glob("studies/*")] == []


def test_a_resize_storm_leaves_the_screen_as_it_was(measured: FakeStudy) -> None:
    sizes = [(30, 8), (200, 60), (41, 13), (120, 40), (10, 3), (79, 23), (1, 1), (160, 20), (40, 12), (90, 50)]
    with Terminal((*PROGRAM, "open", measured.paths.id), 80, 24) as terminal:
        terminal.expect("Layer 3 of 3")
        for key, shown in (("s", "last KL"), ("v", "3 hidden layers"), ("l", "10-NN")):
            terminal.press(key)
            terminal.expect(shown)
            if key == "l":
                terminal.expect("first rise at     none")  # the statistics, counted when keys rest
            terminal.settle()
            before = terminal.text()
            for number, (columns, rows) in enumerate(sizes * 5):
                terminal.resize(columns, rows)
                terminal.watch(0.005 * (number % 7))  # now and then in the middle of drawing
            terminal.resize(80, 24)
            terminal.shows(before)
        terminal.press("q")
        assert terminal.wait() == 0


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ((), "complete"),
        (("?",), "Keys"),
        (("ctrl+p",), "Configure a new study"),
        (("down", "delete"), "Permanently deletes"),
    ],
    ids=["no window", "help", "palette", "question"],
)
def test_too_small_a_terminal_is_one_line_and_q_works(keys: tuple[str, ...], shown: str, measured: FakeStudy) -> None:
    running = make_study(settings_of(networks__runs=1), "running", study_id="a2c4e6g8j0", arrays=False)
    with Terminal(PROGRAM, 80, 24) as terminal:
        terminal.expect("complete")
        terminal.press(*keys)
        terminal.expect(shown)
        terminal.settle()
        before = terminal.text()
        for columns, rows in ((39, 24), (80, 11), (25, 3)):
            terminal.resize(columns, rows)
            terminal.expect("q quits")
            terminal.until(lambda: terminal.text().strip() in SMALL, "not one line alone")
            terminal.resize(80, 24)
            terminal.shows(before)
        terminal.resize(30, 8)
        terminal.expect("q quits · needs 40×12")
        terminal.press("q")
        assert terminal.wait() == 0
    assert running.holder and running.holder.poll() is None, "what trains goes on"
    assert measured.paths.study_file.exists()


def test_where_no_screen_can_be_drawn_one_line_says_what_works_instead() -> None:
    with Terminal(PROGRAM, 80, 24, {"TERM": "dumb"}) as terminal:
        code = terminal.wait()
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
        assert terminal.wait() == 0
    for payload in (b"]52;c;", b"]0;owned", b"\x9b2J"):
        assert payload not in terminal.raw
    assert os.environ.get("EMBCX_HOME")
