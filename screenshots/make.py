"""Makes the pictures of this folder from real studies, on a real pseudo-terminal.

`python screenshots/make.py STUDY [OVER_EPOCHS]`: STUDY is a complete study of MNIST of some depths up to five, as
docs/results.md makes it (for the pictures of today with three runs and 15 epochs): the last line of its tree is the
deepest. OVER_EPOCHS was measured while it trained, too:
`embcx-tui run fig2 --set networks.runs=2 --set training.epochs=20 --set 'measure.epochs=[1, 2, 5, 10]'`. Needs the
`dev` extra.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import matplotlib
import pyte
from PIL import Image, ImageColor, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.terminal import Replay, Terminal

HERE = Path(__file__).parent
WIDTH, HEIGHT = 10, 20  # pixels of a cell, for a font of 17 pixels
FRAME_S = 0.05
FOREGROUND, BACKGROUND = "#d8d8d8", "#121212"
PLAIN = {
    "black": "#1e1e1e", "red": "#cd3131", "green": "#0dbc79", "brown": "#e5e510", "blue": "#2472c8",
    "magenta": "#bc3fbc", "cyan": "#11a8cd", "white": "#e5e5e5",
}  # fmt: skip
SHADES = {"░": 0.25, "▒": 0.5, "▓": 0.75}
BRAILLE = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
Box = tuple[float, float, float, float]


def colour(name: str, default: str) -> tuple[int, ...]:
    """Return a pyte colour as RGB."""
    if name == "default":
        name = default
    return ImageColor.getrgb(PLAIN.get(name.removeprefix("bright"), name if name.startswith("#") else f"#{name}"))


def blocks(char: str) -> Iterator[Box]:
    """Yield the filled parts of a block or braille character, in shares of its cell; nothing for a letter."""
    code = ord(char)
    if char == "▀":
        yield 0, 0, 1, 0.5
    elif 0x2581 <= code <= 0x2588:
        yield 0, 1 - (code - 0x2580) / 8, 1, 1
    elif 0x2589 <= code <= 0x258F:
        yield 0, 0, (0x2590 - code) / 8, 1
    elif char == "▐":
        yield 0.5, 0, 1, 1
    elif char == "▔":
        yield 0, 0, 1, 1 / 8
    elif char == "▕":
        yield 7 / 8, 0, 1, 1
    elif 0x2800 <= code <= 0x28FF:
        for place, (column, row) in enumerate(BRAILLE):
            if code - 0x2800 >> place & 1:
                yield (column + 0.2) / 2, (row + 0.2) / 4, (column + 0.8) / 2, (row + 0.8) / 4


def picture(screen: pyte.Screen) -> Image.Image:
    """Return the screen as a picture."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSansMono.ttf", 16)
    bold = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSansMono-Bold.ttf", 16)
    image = Image.new("RGB", (screen.columns * WIDTH, screen.lines * HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for row in range(screen.lines):
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            front, back = colour(cell.fg, FOREGROUND), colour(cell.bg, BACKGROUND)
            if cell.reverse:
                front, back = back, front
            x, y = column * WIDTH, row * HEIGHT
            if cell.data in SHADES:
                share = SHADES[cell.data]
                back = tuple(round(share * f + (1 - share) * b) for f, b in zip(front, back, strict=True))
            draw.rectangle((x, y, x + WIDTH - 1, y + HEIGHT - 1), fill=back)
            if not cell.data.strip() or cell.data in SHADES:
                continue
            boxes = list(blocks(cell.data[0]))
            for x0, y0, x1, y1 in boxes:
                draw.rectangle((x + x0 * WIDTH, y + y0 * HEIGHT, x + x1 * WIDTH - 1, y + y1 * HEIGHT - 1), fill=front)
            if not boxes:
                draw.text((x, y), cell.data, font=bold if cell.bold else font, fill=front)
    return image


def shoot(terminal: Terminal, name: str) -> None:
    terminal.settle()
    picture(terminal.screen).save(HERE / f"{name}.png", optimize=True)
    print(HERE / f"{name}.png")


def film(terminal: Terminal, name: str, keys: list[tuple[str, float]]) -> None:
    """Press each of `keys`, watch for its seconds, and save what the screen shows meanwhile as a GIF.

    To draw a picture takes longer than it is shown: what was printed by when is noted, and drawn afterwards.
    """
    begun = len(terminal.raw)
    printed = [begun]
    for key, seconds in keys:
        terminal.send(key)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            terminal.watch(FRAME_S)
            printed.append(len(terminal.raw))
    frames: list[Image.Image] = []
    durations: list[int] = []
    again = Replay(terminal.screen.columns, terminal.screen.lines, bytes(terminal.raw[:begun]))
    for before, after in pairwise([begun, *printed]):
        if frames and before == after:
            durations[-1] += round(1000 * FRAME_S)
            continue
        again.feed(bytes(terminal.raw[before:after]))
        frames.append(picture(again.screen).quantize(255, dither=Image.Dither.NONE))
        durations.append(round(1000 * FRAME_S))
    frames[0].save(
        HERE / f"{name}.gif", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True
    )
    print(HERE / f"{name}.gif")


PROGRAM = (sys.executable, "-m", "embcx_tui")


def over_epochs(study: str) -> None:
    """Take the picture of complexity over layer and epoch."""
    with Terminal((*PROGRAM, "open", study), 120, 40) as terminal:
        terminal.expect("10-NN acc", 60)
        time.sleep(1)
        # The chart that was left comes back: it may be this one.
        for _ in range(8):
            if "complexity over training" in terminal.text():
                break
            terminal.press("b")
            terminal.watch(2)
        terminal.press("tab", "z", *["left"] * 2)
        shoot(terminal, "epochs")


def main(study: str) -> None:
    with Terminal((*PROGRAM, "open", study), 120, 40) as terminal:
        terminal.expect("10-NN acc", 60)
        time.sleep(1)
        terminal.press("end", *["right"] * 5)
        time.sleep(3)  # scipy comes, and the statistics with it
        shoot(terminal, "layers")
        terminal.press("left", "left", "p", "right", "right")
        shoot(terminal, "point")
        terminal.press("escape", "i")
        shoot(terminal, "grid")
        terminal.press("i", "i", "i")
    with Terminal((*PROGRAM, "open", study), 100, 30) as terminal:
        terminal.expect("10-NN acc", 60)
        time.sleep(1)
        terminal.press("end", *["left"] * 5)
        time.sleep(1)
        # Step by step, then held: a key that is held comes some 30 times a second after half a second.
        steps = [("right", 0.8)] * 5 + [("left", 0.5)] + [("left", 0.03)] * 4 + [("a", 1.5)]
        film(terminal, "flight", [("a", 0.8), *steps])
    with Terminal((*PROGRAM, "open", study), 120, 40) as terminal:
        terminal.expect("10-NN acc", 60)
        terminal.press("s")
        shoot(terminal, "studies")
        terminal.press("c")
        shoot(terminal, "configure")
    with Terminal((*PROGRAM, "open", study), 80, 24) as terminal:
        terminal.expect("10-NN acc", 60)
        time.sleep(1)
        terminal.press("end", *["right"] * 5)
        time.sleep(3)
        shoot(terminal, "layers-80x24")
    with Terminal((*PROGRAM, "run", "fig2", "--set", "networks.runs=2", "--detach"), 80, 24) as terminal:
        terminal.wait(60)
    with Terminal((*PROGRAM, "open", "last"), 120, 40) as terminal:
        epochs = re.compile(r"epoch (\d+) of 100")
        terminal.until(
            lambda: bool(found := epochs.search(terminal.text())) and int(found[1]) >= 12, "no twelfth epoch", 300
        )
        shoot(terminal, "live")
    with Terminal((*PROGRAM, "stop", "last", "--now"), 80, 24) as terminal:
        terminal.wait(60)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1])
    if len(sys.argv) == 3:
        over_epochs(sys.argv[2])
