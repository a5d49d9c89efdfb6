"""Text from outside is shown, never obeyed: on the terminal's bytes, and through every widget's text path."""

from __future__ import annotations

import json
import random
import shutil
import unicodedata
from pathlib import Path

import pytest

from embcx_tui.figures.spans import Row, ascii_of
from embcx_tui.store.machine_records import Telemetry, TelemetryWriter
from embcx_tui.store.snapshot import Snapshot, fold, read_study
from embcx_tui.study.events import LayerFailed, MachineDescribed, Noted, WorkerEnded, WorkerStarted
from embcx_tui.tui import session
from embcx_tui.tui.app import make_app
from embcx_tui.tui.live.header import LiveHeader
from embcx_tui.tui.live.log_panel import LogPanel
from embcx_tui.tui.live.machine_panel import MachinePanel
from embcx_tui.tui.live.network_table import NetworksTable
from embcx_tui.tui.studies.details import details
from embcx_tui.tui.studies.study_list import StudyTable
from embcx_tui.tui.study_row import row_of
from embcx_tui.tui.widgets.line_widget import ink_of
from tests.fake_events import START
from tests.fake_studies import FakeStudy, make_study, settings_of
from tests.terminal import Terminal
from tests.test_journeys import PROGRAM

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
# Bytes of which none may come from such a text: what remains of each payload as it would be obeyed. Without its first
# byte a sequence is text: JSON writes that byte as \\u001b.
OBEYED = (b"\x1b]52;c;aGFj", b"\x1b]0;owned", b"\x1b[10;10H\x07", b"\x07\x07", b"\x1b[6n", b"\x1b]8;;http",
          b"\x1bP+q544e", b"\xc2\x9b", b"\xc2\x9d", b"\x9b31m", b"\xe2\x80\xae")  # fmt: skip


def hostile(name: str) -> str:
    return name + "".join(PAYLOADS) + MARKUP


def hostile_study() -> FakeStudy:
    study = make_study(
        settings_of(name=hostile("study"), networks__runs=1, networks__activations=["relu"], training__epochs=4),
        "lost",
        epochs=4,
        measured=2,
        telemetry=5,
    )
    at = START + 90
    failure = LayerFailed(
        at=at, layer_id="digits-d3-relu-r0-l2", network="digits-d3-relu-r0", layer=2, method="tsne",
        reason=hostile("reason"),
    )  # fmt: skip
    classes = next(event for event in study.events(epochs=1) if event.kind == "dataset")
    study.append(
        WorkerStarted(at=at, pid=1, start_time=at, boot_id=hostile("boot"), host=hostile("host")),
        MachineDescribed(at=at, device=hostile("device"), cores=2, memory=1, versions={"torch": hostile("torch")}),
        classes.model_copy(update={"classes": tuple(hostile(f"class{n}") for n in range(10))}),
        failure,
        *(Noted(at=at, level=level, text=hostile(level)) for level in ("info", "warning", "error")),
        WorkerEnded(at=at, outcome="failed", reason=hostile("end")),
    )
    return study


# As part of a file's name: no slash.
FILE_NAME = "n" + "".join(one for one in PAYLOADS if "/" not in one) + "[bold red]x"


def write_hostile_files(home: Path, study: FakeStudy) -> None:
    """Spoil every file that the application reads at its start or with this study."""
    for damaged in study.paths.arrays.iterdir():
        damaged.write_bytes(hostile("array").encode())
        break
    writer = TelemetryWriter(study.paths.telemetry)
    writer.append(Telemetry(START + 100, 50.0, 1 << 30, 8 << 30, gpu_name=hostile("gpu"), gpu_percent=9.0))
    writer.close()
    with study.paths.journal.open("ab") as journal:
        journal.write(hostile("torn line").encode())
    study.paths.worker_log.write_text(hostile("worker log"))
    other = make_study(settings_of(networks__runs=1), "queued", study_id="a2c4e6g8j0")
    other.paths.study_file.write_text(f'name = 3\n"{MARKUP}" = "\\u001b[2J"\n')
    shutil.copytree(other.paths.root, other.paths.root.with_name(FILE_NAME))
    (home / FILE_NAME).write_text(MARKUP)
    quoted = json.dumps(hostile("value"))  # a TOML string as well
    (home / "preferences.toml").write_text(
        f"theme = {quoted}\nnotify = {quoted}\n{quoted} = {quoted}\n[keys]\n{quoted} = 'x'\n'live.zoom' = {quoted}\n"
    )
    (home / "state.toml").write_text(
        f"mode = {quoted}\nstudy = '{study.paths.id}'\n[export]\nwhat = {quoted}\nformat = {quoted}\n"
        f"size = {quoted}\ndpi = {quoted}\nfolder = {quoted}\n[places.live]\nquantity = {quoted}\norder = {quoted}\n"
        f"level = {quoted}\nmarked = [{quoted}]\n[places.layers]\nfilter = {quoted}\nlayer = {quoted}\n"
    )


def obeyed(terminal: Terminal) -> list[bytes]:
    """Return which payloads came out as they would be obeyed; our own OSC 52 holds them only as base64."""
    return [payload for payload in OBEYED if payload in terminal.raw]


def test_what_lies_on_the_disk_is_not_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of study, folder and files, device, versions, host, classes, reasons, log lines, GPU, what is damaged,
    preferences, keys, state."""
    home = tmp_path / FILE_NAME
    monkeypatch.setenv("EMBCX_HOME", str(home))
    monkeypatch.chdir(tmp_path)  # the remembered folder of exports is a relative path
    study = hostile_study()
    write_hostile_files(home, study)
    with Terminal((*PROGRAM, "open", study.paths.id), 120, 40) as terminal:
        terminal.expect("Layers")
        for key in ("v", "tab", "tab", "tab", "y", "z", "l", "down", "down", "right", "left", "i", "e"):
            terminal.press(key)
        terminal.expect("folder")
        terminal.press("enter")
        terminal.settle()
        for key in ("escape", "escape", "s", "down", "y", "escape", "s", "?", "?", "ctrl+p", *"study"):
            terminal.press(key)
        terminal.settle()
        assert obeyed(terminal) == []


# A terminal takes ESC out of what is pasted, since it would end the paste; nothing else.
PASTED = "\x1b[200~" + hostile("pasted").replace("\x1b", "") + "\x1b[201~"


def test_what_is_pasted_into_any_field_is_not_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text field: the form's, the filters', what is sought, the palette, where to save, load and export."""
    monkeypatch.chdir(tmp_path)  # what is pasted as a file's name becomes one
    study = make_study(settings_of(networks__runs=1), "complete")
    with Terminal((*PROGRAM, "open", study.paths.id), 120, 40) as terminal:
        terminal.expect("Layer 3 of 3")
        pastes = 0
        for keys in (
            ("/",), ("escape", "e", "tab", "tab", "tab"), ("tab",), ("enter",), ("escape", "v", "/"),
            ("escape", "ctrl+f"), ("escape", "ctrl+p"), ("escape", "c", "tab"), ("tab", "tab"), ("tab",), ("tab",),
            ("escape", "ctrl+s"), ("enter", "escape", "ctrl+o"), ("enter", "escape"),
        ):  # fmt: skip
            terminal.press(*keys)
            if keys[-1] not in ("enter", "escape"):
                terminal.type(PASTED)
                for _ in range(6):  # a busy machine takes its time
                    if "pasted" not in terminal.text():
                        terminal.settle(0.5)
                pastes += "pasted" in terminal.text()
        assert obeyed(terminal) == []
        assert pastes >= 8, "the fields took what was pasted"


def test_a_hostile_study_file_is_not_obeyed(tmp_path: Path) -> None:
    """A TOML file for the form: its name, a dataset's path, an unknown key, a broken line; and the file's own name."""
    quoted = json.dumps(hostile("toml"))
    texts = (
        f"name = {quoted}\n",
        f"[data]\ndatasets = [{json.dumps('file:' + ''.join(PAYLOADS) + '.npz')}]\n",
        f"[training]\n{quoted} = 3\n",
        f"[networks]\nactivations = [{quoted}]\n",
        hostile("not TOML"),
    )
    plain = tmp_path / "plain.toml"
    with Terminal(PROGRAM, 120, 40) as terminal:
        terminal.expect("No studies yet")
        terminal.press("c")
        terminal.expect("start from")
        for number, text in enumerate(texts):
            path = tmp_path / f"{number}{FILE_NAME}.toml"
            path.write_text(text)
            plain.unlink(missing_ok=True)
            plain.symlink_to(path)
            terminal.send("ctrl+o")
            terminal.expect("Load a study file")
            terminal.settle()
            terminal.press("ctrl+u")
            terminal.type(str(plain))
            terminal.expect("plain.toml")
            terminal.send("enter")
            terminal.until(lambda: "Load a study file" not in terminal.text(), "the window stays open")
            if number == 0:
                terminal.expect("tomllink")
            terminal.settle()
        assert obeyed(terminal) == []


def test_what_commands_print_is_not_obeyed(tmp_path: Path) -> None:
    study = hostile_study()
    bad = tmp_path / f"{FILE_NAME}.toml"
    bad.write_text(f"name = {json.dumps(hostile('toml'))}\n[data]\ndatasets = [3]\n")
    commands = (
        ("list",), ("show", study.paths.id), ("show", study.paths.id, "--json"), ("logs", study.paths.id),
        ("show", study.paths.id, "--table", FILE_NAME), ("show", FILE_NAME), ("run", str(bad)), ("run", FILE_NAME),
        ("run", "demo", "--set", f"data.datasets=file:{FILE_NAME}.npz"),
        ("export", study.paths.id, "--figure", FILE_NAME),
        ("export", study.paths.id, "--figure", "bars", "--out", str(tmp_path / FILE_NAME)), ("open", FILE_NAME),
        (FILE_NAME,), ("data", "fetch", FILE_NAME),
    )  # fmt: skip
    for command in commands:
        with Terminal((*PROGRAM, *command), 120, 40) as terminal:
            assert terminal.wait() is not None, command
            assert obeyed(terminal) == [], command
            assert "Traceback" not in terminal.text(), terminal.text()


def harmless(text: str) -> bool:
    """Return whether no sign of `text` is a control, a format mark or half a sign."""
    return not any(unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") for sign in text)


class Painter:
    """Paints widgets without a screen, and keeps what they would show."""

    def __init__(self) -> None:
        self.ink = ink_of(make_app())

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
    monkeypatch.setattr(LiveHeader, "app", property(lambda self: app))
    app = make_app()
    study = make_study(
        settings_of(networks__runs=1, networks__activations=["relu"], training__epochs=2), "lost", epochs=2
    )
    base = read_study(study.paths)
    painter = Painter()
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
        assert all(harmless(line) for line in details(row, 0.0, 80).plain.split("\n")), repr(text)
        studies = StudyTable()
        studies.show((row,))
        painter.check(studies.paint(120, 10, painter.ink))
        log, head, machine, table = LogPanel(), LiveHeader(), MachinePanel(), NetworksTable()
        log.show(snapshot)
        log.filter(text[:5])
        table.show(snapshot)
        painter.check(table.paint(120, 10, painter.ink))
        painter.check(tuple(log.line(number, 60, painter.ink) for number in range(log.line_count)))
        head.show(snapshot)
        machine.show(snapshot, ())
        painter.check(head.paint(80, 2, painter.ink))
        painter.check(machine.paint(60, 10, painter.ink))
        assert ascii_of(row.name).isascii()
        assert session.sequence("osc9", text).count("\x1b") == 2
