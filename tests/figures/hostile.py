"""Figures with every kind of trouble in their data and texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from embcx_tui.figures.model import (
    Bar,
    BarGroup,
    Bars,
    Curve,
    Curves,
    DotGroup,
    Dots,
    Figure,
    Heat,
    Lines,
    Panels,
    Scatter,
)

NAN, INF = float("nan"), float("inf")
TEXTS = (
    "",
    "plain",
    "\x1b[31mred\x1b]0;t\x07",
    "日本語のとても長い名前" * 5,
    "e\u0301\u0301\u0301 क्षि ก็ \u200d👩\u200d👩\u200d👧 🇨🇭 ❤️ ﷽",
    "a\tb\nc",
    "\ud800\ue000\U000f0000",
    "$x_{2}$ \\frac{",
)
NUMBERS = (
    (),
    (NAN,),
    (0.0,),
    (INF, -INF, NAN),
    (1e308, -1e308),
    (5e-324, 0.0),
    (-1.0, 2.0),
    (0.5, 0.51, NAN, 0.49, INF),
    tuple(np.linspace(0, 3, 40)),
)


def bars(seed: int) -> Bars:
    rng = np.random.default_rng(seed)
    groups = []
    for group in range(int(rng.integers(0, 5))):
        made = []
        for _ in range(int(rng.integers(0, 9))):
            values = NUMBERS[rng.integers(len(NUMBERS))]
            flagged = tuple(bool(rng.integers(2)) for _ in values) if rng.integers(2) else ()
            made.append(Bar(TEXTS[rng.integers(len(TEXTS))], values, flagged))
        groups.append(BarGroup(TEXTS[rng.integers(len(TEXTS))], tuple(made), group * 7))
    title, label, note = (TEXTS[rng.integers(len(TEXTS))] for _ in range(3))
    return Bars(title, label, tuple(groups), "layer", int(rng.integers(-1, 6)), (0, int(rng.integers(0, 9))), note)


def lines(seed: int) -> Lines:
    rng = np.random.default_rng(seed)
    one = bars(seed)
    groups = tuple(replace(group, control=TEXTS[rng.integers(3)]) for group in one.groups)
    scale = (None, (0.0, 0.0), (-1e308, 1e308))[rng.integers(3)]
    layers = [(place, int(rng.integers(0, 9))) for place in range(len(groups))]
    highlight, chosen = (layers[0], layers[-1]) if layers and rng.integers(2) else (None, None)
    return Lines(one.title, one.y_label, groups, "layer", scale, highlight, chosen, one.note)


def scatter(seed: int) -> Scatter:
    rng = np.random.default_rng(seed)
    n = int(rng.choice([0, 1, 2, 500]))
    points = (rng.normal(0, 10.0 ** rng.integers(-30, 30), (n, 2))).astype(np.float32)
    if rng.integers(2):
        points[rng.random((n, 2)) < rng.choice([0.1, 1.0])] = rng.choice([NAN, INF, -INF])
    if rng.integers(4) == 0:
        points[:] = 3.0
    classes = tuple(TEXTS[place % len(TEXTS)] for place in range(int(rng.choice([0, 1, 10, 100]))))
    labels = rng.integers(-2, len(classes) + 2, n)
    shown = rng.random(n) < 0.5 if rng.integers(2) else None
    chosen = int(rng.integers(-1, n + 2)) if rng.integers(2) else None
    return Scatter(TEXTS[rng.integers(len(TEXTS))], points, labels, classes, "", chosen, shown)


def curves(seed: int) -> Curves:
    rng = np.random.default_rng(seed)
    lines = []
    for place in range(int(rng.integers(0, 15))):
        y = np.array(NUMBERS[rng.integers(len(NUMBERS))], dtype=float)
        lines.append(Curve(TEXTS[rng.integers(len(TEXTS))], np.arange(1, len(y) + 1, dtype=float), y, place))
    return Curves(TEXTS[rng.integers(len(TEXTS))], "epoch", "loss", tuple(lines), TEXTS[rng.integers(len(TEXTS))])


def dots(seed: int) -> Dots:
    rng = np.random.default_rng(seed)
    groups = []
    for place in range(int(rng.integers(0, 9))):
        x, y = (np.array(NUMBERS[rng.integers(len(NUMBERS))], dtype=float) for _ in range(2))
        size = min(len(x), len(y))
        groups.append(DotGroup(TEXTS[place % len(TEXTS)], place * 9, x[:size], y[:size], place))
    title, label, note = (TEXTS[rng.integers(len(TEXTS))] for _ in range(3))
    return Dots(title, label, label, tuple(groups), label, note)


def heat(seed: int) -> Heat:
    rng = np.random.default_rng(seed)
    rows, columns = (int(one) for one in rng.integers(1, 12, 2))
    values = rng.normal(0, 10.0 ** rng.integers(-300, 300), (rows, columns))
    values[rng.random(values.shape) < rng.choice([0.0, 0.3, 1.0])] = rng.choice([NAN, INF, -INF])
    heads, names = (tuple(TEXTS[place % len(TEXTS)] for place in range(count)) for count in (columns, rows))
    scale = (0.0, 0.0) if rng.integers(2) else None
    return Heat(
        TEXTS[seed % len(TEXTS)], "epoch", "layer", heads, names, values, scale, TEXTS[rng.integers(len(TEXTS))]
    )


KINDS = (bars, lines, scatter, curves, dots, heat)


def figure(seed: int) -> Figure:
    if seed % 7 == 6:
        parts = tuple(KINDS[part % len(KINDS)](seed + part) for part in range(seed % 8))
        return Panels(TEXTS[seed % len(TEXTS)], parts, seed % 4, "note")
    return KINDS[seed % len(KINDS)](seed)
