"""Text from outside is shown, never obeyed: on the terminal's bytes, and through every widget's text path."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest

from embcx_tui.figures.terminal import Row
from embcx_tui.store.reader import read_study
from embcx_tui.store.snapshot import Snapshot, fold
from embcx_tui.study.events import LayerFailed, MachineDescribed, Noted, WorkerEnded, WorkerStarted
from embcx_tui.tui import notify
from embcx_tui.tui.app import make_app
from embcx_tui.tui.filters import ascii_of
from embcx_tui.tui.live_head import LiveHead
from embcx_tui.tui.live_log import LogPanel
from embcx_tui.tui.live_machine import MachinePanel
from embcx_tui.tui.live_networks import NetworksTable
from embcx_tui.tui.painted import ink_of
from embcx_tui.tui.rows import row_of
from embcx_tui.tui.study_details import details
from embcx_tui.tui.study_table import draw_row, layout
from tests.terminal import Terminal
from tests.test_journeys import PROGRAM
from tests.tui import made

# What each would do: write the clipboard, set the title, clear the screen, colour, move, ring, ask, hyperlink, rename.
PAYLOADS = (
    "\x1b]52;c;aGFjaw==\x07",
    "\x1b]0;owned\x07",
    "\x1b[2J",
    "\x9b31m",
    "\x1b[10;10H",
    "\x07\x07",
    "\x1b[6n",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x1bP+q544e\x1b\\",
    "\x9d0;owned\x9c",
    "\u202egnp.exe",
)
MARKUP = "[bold red]x[/] [@click=app.quit]q[/] $error [/nothing] $(id) `id`"
# Bytes of which none may come from such a text: what remains of each payload as it would be obeyed.
OBEYED = (b"]52;c;aGFj", b"]0;owned", b"\x9b31m", b"\x1b[10;10H", b"\x07\x07", b"\x1b[6n", b"]8;;http", b"+q544e",
          b"\xc2\x9b", b"\xc2\x9d", b"\xe2\x80\xae")  # fmt: skip


def hostile(name: str) -> str:
    return name + "".join(PAYLOADS) + MARKUP


def hostile_study() -> made.Made:
    study = made.make_study(
        made.settings_of(name=hostile("study"), networks__runs=1, networks__activations=["relu"], training__epochs=4),
        "lost",
        epochs=4,
        measured=2,
        telemetry=5,
    )
    at = made.START + 90
    failure = LayerFailed(
        at=at, layer_id="digits-d3-relu-r0-l2", network="digits-d3-relu-r0", layer=2, method="tsne",
        reason=hostile("reason"),
    )  # fmt: skip
    classes = next(event for event in made.events_of(study, epochs=1) if event.kind == "dataset")
    study.append(
        WorkerStarted(at=at, pid=1, start_time=at, boot_id=hostile("boot"), host=hostile("host")),
        MachineDescribed(at=at, device=hostile("device"), cores=2, memory=1, versions={"torch": hostile("torch")}),
        classes.model_copy(update={"classes": tuple(hostile(f"class{n}") for n in range(10))}),
        failure,
        *(Noted(at=at, level=level, text=hostile(level)) for level in ("info", "warning", "error")),
        WorkerEnded(at=at, outcome="failed", reason=hostile("end")),
    )
    return study


def test_no_payload_reaches_the_terminal(home: Path) -> None:
    study = hostile_study()
    for damaged in study.paths.arrays.iterdir():
        damaged.write_bytes(hostile("array").encode())
        break
    other = made.make_study(made.settings_of(networks__runs=1), "queued", study_id="a2c4e6g8j0")
    other.paths.study_file.write_text(f'name = 3\n"{MARKUP}" = "\\u001b[2J"\n')
    (home / "preferences.toml").write_text('theme = "\\u001b]0;owned\\u0007"\n[keys]\n"\\u001b[2J" = "x"\n')
    with Terminal((*PROGRAM, "open", study.paths.id), 120, 40) as terminal:
        terminal.expect("Layers")
        for keys in (
            "v",
            "tab",
            "tab",
            "tab",
            "y",
            "l",
            "down",
            "down",
            "right",
            "left",
            "e",
            "\x1b",
            "s",
            "down",
            "?",
        ):
            terminal.press(keys)
        terminal.press("?")
        terminal.press("ctrl+p", *"study")
        terminal.settle()
    for payload in OBEYED:
        # What `y` copies is base64 in our own OSC 52; the payload's own is not among it.
        assert payload not in terminal.raw, payload


def harmless(text: str) -> bool:
    """Return whether no sign of `text` is a control, a format mark or half a sign."""
    return not any(unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") for sign in text)


class Painter:
    """Paints widgets without a screen, and keeps what they would show."""

    def __init__(self) -> None:
        self.ink = ink_of(make_app())  # type: ignore[arg-type]  # any App will do

    def check(self, rows: tuple[Row, ...]) -> None:
        for row in rows:
            for one in row:
                assert harmless(one.text), repr(one.text)


def strings(count: int) -> list[str]:
    source = random.Random(7)
    pieces = [
        *PAYLOADS,
        MARKUP,
        "\x00",
        "\ud800",
        "\u200b",
        "e\u0301" * 9,
        "漢字",
        "👩‍🔬",
        "a" * 300,
        "\n",
        "\t",
        "\\",
        "[",
        "]",
    ]
    alphabet = [chr(code) for code in range(0x00, 0x250)]
    return [
        "".join(source.choice(pieces if source.random() < 0.4 else alphabet) for _ in range(source.randrange(1, 12)))
        for _ in range(count)
    ]


@pytest.mark.parametrize("part", range(4))
def test_random_strings_come_out_harmless(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveHead, "app", property(lambda self: app))
    app = make_app()
    study = made.make_study(
        made.settings_of(networks__runs=1, networks__activations=["relu"], training__epochs=2), "lost", epochs=2
    )
    base = read_study(study.paths)
    painter = Painter()
    columns = layout(116)
    for text in strings(2_000)[part::4]:
        # As the journal's reader hands it over: lone surrogates cannot be in a file.
        text = text.encode("utf-8", "ignore").decode()
        snapshot: Snapshot = fold(
            base,
            [
                WorkerStarted(at=1.0, pid=1, start_time=1.0, boot_id="b", host=text),
                MachineDescribed(at=1.0, device=text, cores=1, memory=1, versions={"torch": text}),
                Noted(at=1.0, level="error", text=text),
                WorkerEnded(at=2.0, outcome="failed", reason=text),
            ],
        )
        row = row_of(study.paths, snapshot, 0.0)
        for content in (draw_row(row, columns, 0.0), details(row, 0.0, 80)):
            assert all(harmless(line) for line in content.plain.split("\n")), repr(text)
        log, head, machine, table = LogPanel(), LiveHead(), MachinePanel(), NetworksTable()
        log.show(snapshot)
        log.filter(text[:5])
        table.show(snapshot)
        painter.check(tuple(log.line(number, 60, painter.ink) for number in range(log.line_count)))
        head._snapshot = machine._snapshot = snapshot
        painter.check(head.paint(80, 2, painter.ink))
        painter.check(machine.paint(60, 10, painter.ink))
        assert ascii_of(row.name).isascii()
        assert notify.sequence("osc9", text).count("\x1b") == 2
