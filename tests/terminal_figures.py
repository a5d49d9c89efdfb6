"""The application's speed on a pseudo-terminal, with a study training at full load beside it; not a test.

    python -m tests.terminal_figures [--size 120x40] [--calm] [--animate] [--home FOLDER]

Times are those at which bytes arrive; the screen is worked out afterwards. `--calm` trains nothing beside; without
`--animate` steps between layers are not animated. The studies are made up (a minute), in a folder that is removed, or
in `--home`, where they stay and are found the next time.
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from embcx_tui.store.library import delete_study, list_studies
from embcx_tui.store.paths import data_folder
from embcx_tui.study.settings import StudySettings, validate
from embcx_tui.worker import launch
from tests.fake_events import START
from tests.fake_studies import make_study, settings_of
from tests.terminal import KEYS, Terminal

STUDIES = 50
# Its name: 280 networks × 100 epochs, all measured. The second newest study, or the third, below the one that trains.
LARGE = "large"
# The terminal is quiet for so long: the program has answered.
_QUIET_S = 0.3
# There and back on the slow line.
_ROUND_TRIP_S = 0.03
COMMAND = [sys.executable, "-m", "embcx_tui"]


class Watched(Terminal):
    """A terminal that notes when bytes came, and looks at them only when asked: looking takes longer than drawing."""

    slow: float = 0.0
    """Bytes per second of the line; 0: as fast as they come."""

    def wait_for_answer(self, limit: float = 5.0) -> tuple[float | None, float | None]:
        """Return when the first and the last byte came, until a stretch of quiet."""
        first = last = None
        unseen = bytearray()
        end = time.perf_counter() + limit
        while time.perf_counter() < end:
            wait = _QUIET_S if last is not None else end - time.perf_counter()
            if not select.select([self._fd], [], [], wait)[0]:
                break
            data = os.read(self._fd, 1 << 16)
            if self.slow:
                # A line passes its bytes on one after the other; the program writes on meanwhile.
                time.sleep(_ROUND_TRIP_S if last is None else 0.0)
                first = first or time.perf_counter()
                time.sleep(len(data) / self.slow)
            last = time.perf_counter()
            first = first or last
            unseen += data
        self.raw += unseen
        self._stream.feed(bytes(unseen).replace(b"\x1b[>", b"\x1b["))
        return first, last

    def latency(self, *keys: str) -> tuple[list[float], list[float]]:
        """Press `keys` one after the other; return milliseconds to the first and to the last byte of each answer."""
        firsts, lasts = [], []
        for key in keys:
            pressed = time.perf_counter()
            self.send(key)
            first, last = self.wait_for_answer(2.0)
            if first is not None and last is not None:
                firsts.append(1e3 * (first - pressed))
                lasts.append(1e3 * (last - pressed))
        return firsts, lasts

    def idle(self, seconds: float) -> tuple[float, float]:
        """Return bytes a second and the share of a core while nothing is pressed."""
        process = psutil.Process(self.pid)
        before, cpu, begun = len(self.raw), sum(process.cpu_times()[:2]), time.perf_counter()
        while (left := begun + seconds - time.perf_counter()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                self.raw += os.read(self._fd, 1 << 16)
        spent = time.perf_counter() - begun
        return (len(self.raw) - before) / spent, (sum(process.cpu_times()[:2]) - cpu) / spent


def say(what: str, value: str) -> None:
    print(f"{what:<62} {value}", flush=True)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def report(what: str, times: tuple[list[float], list[float]]) -> None:
    for words, values in zip(("first", "last"), times, strict=True):
        if values:
            middle, high = statistics.median(values), percentile(values, 0.95)
            say(f"{what}: to the {words} byte", f"median {middle:.0f} ms, p95 {high:.0f} ms, n {len(values)}")


def busy_study() -> StudySettings:
    """A study that keeps both cores training for as long as this takes: MNIST where it is, else digits."""
    real = (data_folder() / "MNIST" / "raw").is_dir()
    values = {
        "name": "busy",
        "data": {"datasets": ["mnist" if real else "digits"]},
        "networks": {"depths": [5] if real else [3], "runs": 5},
        "training": {"epochs": 1000},
    }
    return validate(values)


@contextmanager
def application(home: Path, size: tuple[int, int], animate: bool, *words: str) -> Iterator[Watched]:
    settings = {"EMBCX_HOME": str(home), "TEXTUAL_ANIMATIONS": "full" if animate else "none"}
    terminal = Watched([*COMMAND, *words], *size, environment=settings)
    with terminal:
        yield terminal


def first_frames(home: Path, size: tuple[int, int]) -> None:
    frames = []
    for _ in range(5):
        begun = time.perf_counter()
        with application(home, size, False) as terminal:
            first, _ = terminal.wait_for_answer(10)
            while terminal.text().strip() == "" and first is not None:
                first, _ = terminal.wait_for_answer(10)
            frames.append((first or begun) - begun)
            terminal.send("q")
            terminal.wait(3)
    say(f"first frame, {STUDIES} studies", f"median {statistics.median(frames):.2f} s, max {max(frames):.2f} s")


def opening(home: Path, size: tuple[int, int]) -> None:
    times = []
    for _ in range(5):
        (home / "state.toml").unlink(missing_ok=True)  # or it comes up with the study that was open
        with application(home, size, False) as terminal:
            terminal.expect(LARGE, 20)
            terminal.settle()
            while f"▌ ✓ complete  {LARGE}" not in terminal.text():
                terminal.press("down")
            last: float | None = None
            pressed = time.perf_counter()
            terminal.send("enter")
            while "no study open" in terminal.text():
                _, last = terminal.wait_for_answer(20)
                assert last is not None, terminal.text()
            times.append((last or pressed) - pressed)
            assert "KL (nats)" in terminal.text(), terminal.text()
    say("opening 280 networks × 100 epochs, to its last byte", f"median {statistics.median(times):.2f} s")


def opening_at_once(home: Path, size: tuple[int, int]) -> None:
    """Press down and Enter in one piece as soon as the list is whole: the pointer never rested on the study."""
    firsts, lasts = [], []
    for _ in range(5):
        (home / "state.toml").unlink(missing_ok=True)
        with application(home, size, False) as terminal:
            terminal.expect(LARGE, 20)
            terminal.settle()
            lines = terminal.text().splitlines()
            pointer, large = (next(n for n, line in enumerate(lines) if sign in line) for sign in ("▌", f"  {LARGE} "))
            assert large > pointer, terminal.text()
            pressed = time.perf_counter()
            terminal.write(KEYS["down"] * (large - pointer) + KEYS["enter"])
            first: float | None = None
            last: float | None = None
            while "KL (nats)" not in terminal.text():
                come, last = terminal.wait_for_answer(20)
                first = first or come
                assert last is not None, terminal.text()
            firsts.append((first or pressed) - pressed)
            lasts.append((last or pressed) - pressed)
    middle, most = statistics.median(lasts), max(lasts)
    say("the same with Enter at once, to its last byte", f"median {middle:.2f} s, max {most:.2f} s")
    say("the same with Enter at once, to its first byte", f"median {statistics.median(firsts):.2f} s")


def keys(home: Path, size: tuple[int, int], animate: bool) -> None:
    with application(home, size, animate) as terminal:
        terminal.expect(LARGE, 20)
        terminal.settle()
        report("Studies, down", terminal.latency(*["down"] * 30))
        say("Studies, nothing pressed, 8 s", f"{terminal.idle(8)[0]:.0f} bytes a second")
        terminal.send("q")
    with application(home, size, animate, "open", LARGE) as terminal:
        terminal.expect("KL (nats)", 20)
        terminal.settle()
        terminal.press("home", *["down"] * 12, *["left"] * 7)
        assert "7 hidden layers" in terminal.text(), terminal.text()
        for key, words in (("right", "there"), ("left", "back"), ("right", "there again")):
            report(f"Layers, layer by layer {words}", terminal.latency(*[key] * 7))
        # Up first: the end of the tree is two lines below, where a key changes nothing and has no answer.
        report("Layers, tree", terminal.latency(*["up"] * 10, *["down"] * 10))
        report("Layers, misclassified", terminal.latency(*["m"] * 20))
        report("Layers, grid", terminal.latency(*["i"] * 12))
        terminal.press("p")
        report("Layers, walking the points", terminal.latency(*["right", "up", "left", "down"] * 5))
        say("Layers, nothing pressed, 8 s", f"{terminal.idle(8)[0]:.0f} bytes a second")
        terminal.press("escape", "v")
        report("Live of 280 networks, down", terminal.latency(*["down"] * 20))


def bytes_sent(home: Path, size: tuple[int, int]) -> None:
    """Windows, a filter and a chosen point, in bytes: these do not depend on what else the machine does."""
    with application(home, size, False, "open", LARGE) as terminal:
        terminal.expect("KL (nats)", 20)
        terminal.settle()
        terminal.watch(2.0)  # the statistics over runs
        say("Layers, first screen", f"{len(terminal.raw) / 1000:.1f} kB")
        for name, key in (("help", "?"), ("export", "e"), ("palette", "ctrl+p")):
            opened = terminal.cost(key)
            if key == "ctrl+p":
                say("palette, nothing pressed, 10 s", f"{10 * terminal.idle(10)[0]:.0f} bytes")
            closed = terminal.cost("escape")
            say(f"{name}: opened, closed", f"{opened / 1000:.1f}, {closed / 1000:.1f} kB")
        say("filter, opened", f"{terminal.cost('/') / 1000:.1f} kB")
        say("filter, six letters one by one", f"{terminal.cost(*'tanh 5') / 1000:.1f} kB")
        terminal.press("escape")
        say("a point with its image", f"{terminal.cost('p') / 1000:.1f} kB")
        terminal.press("escape")
        say("a step between layers", f"{terminal.cost('left') / 1000:.1f} kB")


def slow_line(home: Path, size: tuple[int, int]) -> None:
    """Seconds on a line of 10 kB/s with 30 ms there and back, to the last byte."""
    with application(home, size, False, "open", LARGE) as terminal:
        terminal.slow = 10_000.0
        terminal.expect("KL (nats)", 60)
        terminal.settle()
        terminal.watch(2.0)
        for name, key in (("help", "?"), ("export", "e"), ("palette", "ctrl+p")):
            lasts = (ms for press in (key, "escape") for ms in terminal.latency(press)[1])
            say(f"at 10 kB/s, {name}: opened, closed", ", ".join(f"{ms / 1000:.2f} s" for ms in lasts))


def live(home: Path, size: tuple[int, int], study: str) -> None:
    with application(home, size, False, "open", study) as terminal:
        terminal.expect("epoch", 30)
        terminal.settle()
        sent, share = terminal.idle(20)
        say("Live while it trains, nothing pressed, 20 s", f"{sent / 1000:.1f} kB/s, {share:.0%} of a core")
        report("Live while it trains, down", terminal.latency(*["down"] * 20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--calm", action="store_true")
    parser.add_argument("--animate", action="store_true")
    parser.add_argument("--home", type=Path)
    asked = parser.parse_args()
    columns, _, rows = asked.size.partition("x")
    size = int(columns), int(rows)
    data = data_folder()
    with _home(asked.home) as home:
        os.environ.update(EMBCX_HOME=str(home), EMBCX_DATA_DIR=str(data))
        busy = None if asked.calm else launch.begin(busy_study())
        try:
            time.sleep(0 if asked.calm else 15)
            say(f"{asked.size}, load {os.getloadavg()[0]:.1f}", "calm" if asked.calm else "a study trains beside")
            first_frames(home, size)
            opening(home, size)
            opening_at_once(home, size)
            keys(home, size, asked.animate)
            bytes_sent(home, size)
            slow_line(home, size)
            if busy is not None:
                live(home, size, busy.id)
        finally:
            if busy is not None:
                launch.stop(busy, wait_s=60)
                delete_study(busy)


@contextmanager
def _home(folder: Path | None) -> Iterator[Path]:
    """Yield a home with the made studies: `folder`, or one that is removed."""
    with tempfile.TemporaryDirectory(prefix="embcx-figures-") as temporary:
        home = folder or Path(temporary)
        os.environ["EMBCX_HOME"] = str(home)
        if not list_studies():
            for number in range(STUDIES - 2):
                make_study(study_id=f"a{number:09d}", at=START + 60 * number, arrays=False)
            make_study(settings_of("paper", name=LARGE), study_id="zm2x9q4fa7", at=START + 90_000)
            # Above it in the list: the pointer begins there.
            make_study(study_id="b000000000", at=START + 90_060, arrays=False)
        yield home


if __name__ == "__main__":
    try:
        main()
    except subprocess.SubprocessError as error:
        sys.exit(str(error))
