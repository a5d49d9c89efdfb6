"""On a real pseudo-terminal: terminals that cannot show the application, and one that goes away."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pyte
import pytest

from tests.fake_studies import make_study, settings_of

_RUN = "import sys; from embcx_tui.tui.run import run_app; sys.exit(run_app())"
# Far beyond any wait of a healthy run on a crowded machine: reached only where something hangs.
PATIENCE_S = 120.0


class Terminal:
    """The application on a pseudo-terminal of 80×24 cells."""

    def __init__(self, code: str = _RUN, **env: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **env},
            preexec_fn=take_terminal,
        )
        os.close(slave)
        self.output = b""
        self.screen = pyte.Screen(80, 24)
        self.stream = pyte.ByteStream(self.screen)

    def read_until(self, *wanted: str) -> str:
        """Read until all of `wanted` was written, escape sequences aside, or stands on the screen; return all that was
        written.
        """
        give_up = time.monotonic() + PATIENCE_S
        gone = False
        while not all(word in self.text or word in "\n".join(self.screen.display) for word in wanted):
            assert not gone and time.monotonic() < give_up, (
                f"never written: {wanted}; all there was: {self.text[-2000:]}"
            )
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    data = os.read(self.master, 65_536)
                    self.output += data
                    self.stream.feed(data)
                except OSError:  # the application has ended
                    gone = True
        return self.text

    @property
    def text(self) -> str:
        return re.sub(rb"\x1b\[[0-?]*[ -/]*[@-~]", b"", self.output).decode(errors="replace")

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        if self.master >= 0:
            os.close(self.master)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("code", [_RUN, "from embcx_tui.cli import main; main([])"])
def test_a_terminal_that_cannot_show_it_gets_one_line(code: str) -> None:
    terminal = Terminal(code, TERM="dumb")
    try:
        text = terminal.read_until("this terminal cannot show the application (TERM=dumb)", "\n")
        assert terminal.process.wait(PATIENCE_S) == 2
        assert len(text.strip().splitlines()) == 1 and b"\x1b" not in terminal.output
    finally:
        terminal.close()


def test_a_dumb_terminal_does_not_wait_for_textual() -> None:
    code = (
        "import sys, embcx_tui.cli as c, atexit; atexit.register(lambda: print('textual' in sys.modules)); c.main([])"
    )
    terminal = Terminal(code, TERM="dumb")
    try:
        terminal.read_until("False")
    finally:
        terminal.close()


# A SGR sequence that sets a colour: 30–38, 40–48, 90–97, 100–107; 39 and 49 are the terminal's own.
_COLOUR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


def see_every_screen(**env: str) -> bytes:
    """Show each mode and the help on a terminal of this kind; return every byte that was written."""
    make_study(settings_of(networks__runs=1), "complete")
    terminal = Terminal(**env)
    try:
        terminal.read_until("complete", "Help")
        terminal.type("\r")
        terminal.read_until("Layer 3 of 3")
        for key, words in (("v", "3 hidden layers"), ("c", "points per class"), ("s", "Last KL"), ("?", "Keys")):
            terminal.type(key)
            terminal.read_until(words)
        return terminal.output
    finally:
        terminal.close()


def test_no_color_means_none() -> None:
    output = see_every_screen(NO_COLOR="1")
    assert not _COLOUR.search(output)
    assert b"\x1b[7" in output or b";7" in output, "what stands out is reversed"


def test_a_terminal_of_16_colours_gets_no_others() -> None:
    output = see_every_screen(TERM="xterm", COLORTERM="")
    assert _COLOUR.search(output)
    assert not re.search(rb"\x1b\[[0-9;]*[34]8;[25];", output)


@pytest.mark.parametrize("env", [{}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}], ids=["asked for", "so it is"])
def test_output_that_is_not_utf_8_is_drawn_in_ascii(env: dict[str, str]) -> None:
    output = see_every_screen(LC_ALL="C", LANG="C", **env)
    assert output.isascii()
    assert b"\\u" not in output and b"\\x" not in output


def test_without_a_terminal_it_names_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.count("\n") == 1 and "embcx-tui list" in done.stderr


@pytest.mark.parametrize("before", ["", "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); "])
def test_the_terminal_goes_and_the_application_with_it(before: str) -> None:
    study = make_study(settings_of(networks__runs=1), "running", epochs=1, arrays=False)
    terminal = Terminal(before + _RUN)
    try:
        terminal.read_until("running", "epoch 1 of 30")
        terminal.hang_up()
        terminal.process.wait(PATIENCE_S)
        assert study.holder is not None and study.holder.poll() is None
    finally:
        terminal.close()


def test_sigterm_gives_the_terminal_back_as_it_was() -> None:
    terminal = Terminal()
    try:
        terminal.read_until("No studies yet")
        terminal.process.send_signal(signal.SIGTERM)
        terminal.process.wait(PATIENCE_S)
        terminal.read_until("No studies yet")
        give_up = time.monotonic() + PATIENCE_S
        while b"\x1b[?1049l" not in terminal.output and time.monotonic() < give_up:
            terminal.output += os.read(terminal.master, 65_536)
        assert b"\x1b[?1049l" in terminal.output
    finally:
        terminal.close()


def test_detaching_says_how_to_come_back() -> None:
    study = make_study(settings_of(networks__runs=1), "running", epochs=1, arrays=False)
    terminal = Terminal()
    try:
        terminal.read_until("epoch 1 of 30")
        terminal.type("q")
        terminal.read_until("Leave embcx-tui?")
        terminal.type("\r")
        terminal.read_until(f"embcx-tui open {study.paths.id}")
        assert terminal.process.wait(PATIENCE_S) == 0
    finally:
        terminal.close()
