"""Damages a study at random, and reads it in every way that there is: `python -m tests.fuzz_studies SECONDS [SEED]`.

Whatever the bytes, a reader gives an answer or one of the project's own one-line errors.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from embcx_tui.analysis.json_csv import TABLES, csv_table, measurements
from embcx_tui.analysis.layer_table import FORMATS, layer_table, table_text
from embcx_tui.analysis.report import report
from embcx_tui.analysis.selection import select
from embcx_tui.cli.show import summary_text
from embcx_tui.cli.studies import list_row
from embcx_tui.figures.cells import draw
from embcx_tui.figures.gallery import study_figures
from embcx_tui.figures.serialization import figure_csv
from embcx_tui.store.files import read_arrays
from embcx_tui.store.journal import checksum
from embcx_tui.store.library import find_study, list_studies
from embcx_tui.store.machine_records import read_telemetry
from embcx_tui.store.paths import StudyPaths, studies_folder
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.errors import EmbcxError
from embcx_tui.tui.app import make_app
from embcx_tui.tui.layers.array_cache import ArrayCache
from embcx_tui.tui.layers.embeddings import AlignedEmbedding, EmbeddingCache, embedding_files, neighbour_accuracy
from embcx_tui.tui.live.header import LiveHeader
from embcx_tui.tui.live.log_panel import LogPanel
from embcx_tui.tui.live.machine_panel import MachinePanel
from embcx_tui.tui.live.network_table import NetworksTable
from embcx_tui.tui.studies.details import details
from embcx_tui.tui.studies.study_list import StudyTable
from embcx_tui.tui.study_row import row_of
from embcx_tui.tui.widgets.line_widget import ink_of

# Two activations, two runs, t-SNE and PCA, also after an earlier epoch; complete.
(SOURCE,) = (Path(__file__).parent / "studies_v1" / "complete").iterdir()
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, 3, -1, -5, 10**18, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-320, 1e308, -1e308,
    float("nan"), float("inf"), float("-inf"), 1e18, -1e18, 2.5e11, "", "x", "x" * 3_000, "\x1b[31mred", "..",
    "../../x", "digits", "tsne", "digits-r0-input", [], [1], [None], [[]], ["digits-d2-relu-r0"], [-1, 2, 3], [8, 8, 1],
    {}, {"x": 1}, {"name": "arrays/../x", "sha256": "0" * 64}, {"name": "arrays/x", "sha256": "0" * 64},
)  # fmt: skip


APP = make_app()


class Fuzz:
    """Random damage to copies of a study; the same seed gives the same damage."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ink = ink_of(APP)

    def damage(self, root: Path) -> str:
        """Put a damaged copy of the study at `root`; return what was done to it."""
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(SOURCE, root)
        kind = self.random.choice(
            (self._values, self._values, self._values, self._lines, self._bytes, self._settings, self._arrays)
        )
        return kind(StudyPaths(root))

    def _values(self, paths: StudyPaths) -> str:
        """Put strange values into journal lines, with valid checksums."""
        lines = paths.journal.read_bytes().splitlines()
        done = []
        for _ in range(self.random.choice((1, 1, 1, 3, 20))):
            index = self.random.randrange(len(lines))
            event = json.loads(lines[index].partition(b" ")[2])
            place, key = self.random.choice(list(_places(event)))
            place[key] = self.random.choice(STRANGE)
            done.append(f"line {index} {event.get('kind')}: {key} = {str(place[key])[:40]!r}")
            lines[index] = sealed(event)
        paths.journal.write_bytes(b"\n".join(lines) + b"\n")
        return "; ".join(done)

    def _lines(self, paths: StudyPaths) -> str:
        """Drop, double, swap or move lines."""
        lines = paths.journal.read_bytes().splitlines(keepends=True)
        done = []
        for _ in range(self.random.choice((1, 2, 10))):
            first, second = self.random.randrange(len(lines)), self.random.randrange(len(lines))
            what = self.random.choice(("drop", "double", "swap", "move"))
            done.append(f"{what} {first} {second}")
            if what == "swap":
                lines[first], lines[second] = lines[second], lines[first]
            else:
                line = lines[first] if what == "double" else lines.pop(first)
                if what != "drop":
                    lines.insert(second, line)
        paths.journal.write_bytes(b"".join(lines))
        return "; ".join(done)

    def _bytes(self, paths: StudyPaths) -> str:
        """Flip, cut, zero, repeat or insert bytes of any file."""
        file = self.random.choice([path for path in sorted(paths.root.rglob("*")) if path.is_file()])
        data = bytearray(file.read_bytes())
        first = self.random.randrange(len(data) + 1)
        length = self.random.choice((1, 10, 100, len(data)))
        what = self.random.choice(("flip", "cut", "zero", "repeat", "noise"))
        piece = bytes(data[first : first + length])
        if what == "flip":
            data[first : first + length] = bytes(byte ^ self.random.randrange(256) for byte in piece)
        elif what == "cut":
            del data[first:]
        elif what == "zero":
            data[first : first + length] = bytes(len(piece))
        else:
            data[first:first] = piece if what == "repeat" else self.random.randbytes(length)
        file.write_bytes(bytes(data))
        return f"{what} {length} bytes of {file.name} at {first}"

    def _settings(self, paths: StudyPaths) -> str:
        """Edit study.toml: the journal then speaks of another plan."""
        text = paths.study_file.read_text(encoding="utf-8")
        lines = text.splitlines()
        index = self.random.randrange(len(lines))
        key = lines[index].partition(" = ")[0]
        new = self.random.choice(
            (
                "",
                f"{key} = 1",
                f"{key} = 2",
                f"{key} = 100",
                f"{key} = []",
                f'{key} = ["relu"]',
                f'{key} = ["pca"]',
                "[x]",
            )
        )
        lines[index] = new
        paths.study_file.write_text("\n".join(lines), encoding="utf-8")
        return f"study.toml: {new!r} for line {index}"

    def _arrays(self, paths: StudyPaths) -> str:
        """Replace an array of a result, as one who seals the file anew can."""
        lines = paths.journal.read_bytes().splitlines()
        index = self.random.choice([index for index, line in enumerate(lines) if b'"arrays/' in line])
        event = json.loads(lines[index].partition(b" ")[2])
        file = paths.root / event["file"]["name"]
        with np.load(file) as stored:
            arrays = dict(stored)
        name = self.random.choice(sorted(arrays))
        old = arrays[name]
        odd = {
            "empty": old[:0],
            "one more": np.concatenate([old, old[:1]]),
            "flat": old.ravel(),
            "deep": old[None],
            "a number": np.array(3),
            "huge": np.full(old.shape, 1e308),
            "NaN": np.full(old.shape, np.nan),
            "infinite": np.full(old.shape, -np.inf),
            "negative": np.full(old.shape, -7),
            "beyond": np.full(old.shape, 2**62),
            "equal": np.zeros_like(old),
            "text": np.full(old.shape, "x"),
            "truth": old > 3,
            "complex": old.astype(np.complex64),
        }
        what = self.random.choice(sorted(odd))
        arrays[name] = odd[what]
        if self.random.random() < 0.2:
            del arrays[name]
        with file.open("wb") as stream:
            np.savez(stream, **arrays)
        event["file"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        lines[index] = sealed(event)
        paths.journal.write_bytes(b"\n".join(lines) + b"\n")
        return f"{name} of {file.name} is {what}"

    def read(self, paths: StudyPaths) -> None:
        """Read a study as the list, the commands and the application do; raises what they must not raise."""
        assert paths in list_studies() and find_study(paths.id) == paths
        json.dumps(list_row(paths), allow_nan=False)
        try:
            snapshot = read_study(paths)
        except EmbcxError as error:
            assert str(error) and "\n" not in str(error)
            return
        self.show(paths, snapshot)
        self.draw(paths, snapshot)
        for exclude_chance in (False, True):
            summary_text(snapshot, exclude_chance)
            json.dumps(measurements(snapshot, exclude_chance), allow_nan=False)
            report(snapshot, {}, (), exclude_chance)
            numbers = layer_table(select(snapshot, exclude_chance), "digits", None, None)
            for format in FORMATS:
                assert "\x1b" not in table_text(numbers, format)
            for table in TABLES:
                assert "\x1b" not in csv_table(snapshot, table, exclude_chance)

    def draw(self, paths: StudyPaths, snapshot: Snapshot) -> None:
        """Build the figures and the browser's embeddings, which read the array files, and draw them in cells."""
        figures = study_figures(snapshot, lambda file: read_arrays(paths.root, file))
        for name, build in figures.items():
            try:
                figure = build()
            except EmbcxError as error:
                assert str(error) and "\n" not in str(error), name
                continue
            figure_csv(figure)
            draw(figure, 60, 20)
        cache = EmbeddingCache(ArrayCache(paths))
        for network in snapshot.plan.networks:
            for layer, method in product(range(network.depth + 1), snapshot.plan.settings.measure.methods):
                files = embedding_files(snapshot, network, layer, method)
                if files:
                    asyncio.run(cache.arrays.fetch(files.all))
                    self.browse(cache, cache.embedding(files), cache.arrays.inputs(files.sample))

    def browse(self, cache: EmbeddingCache, shown: AlignedEmbedding | str | None, inputs: Any) -> None:
        """Ask of an embedding what the browser asks."""
        if isinstance(shown, str) or shown is None:
            assert shown and "\n" not in shown
            return
        shown.bounds, shown.misclassified, neighbour_accuracy(shown.points, shown.sample.labels)
        if inputs is not None and len(inputs):
            cache.similar_inputs(shown.sample, inputs, 0)

    @patch.object(LiveHeader, "app", APP)  # without a screen around it
    def show(self, paths: StudyPaths, snapshot: Snapshot) -> None:
        """Paint what the screens show of it."""
        row = row_of(paths, snapshot, 0.0)
        details(row, 1e9, 80)
        studies, header, machine, networks, log = (
            StudyTable(), LiveHeader(), MachinePanel(), NetworksTable(), LogPanel(),
        )  # fmt: skip
        studies.show((row,))
        networks.show(snapshot)
        log.show(snapshot)
        header.show(snapshot)
        machine.show(snapshot, read_telemetry(paths.telemetry))
        for widget in (studies, networks):
            widget.paint(120, 10, self.ink)
        for number in range(log.line_count):
            log.line(number, 60, self.ink)
        for line in snapshot.log:
            assert str(line)
        for panel in (header, machine):
            panel.paint(80, 12, self.ink)


def sealed(event: dict[str, Any]) -> bytes:
    """Return any JSON as a journal line with a valid checksum, without its line break."""
    payload = json.dumps(event).encode()
    return checksum(payload) + b" " + payload


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every value in `value`, however deep."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def main(seconds: float, seed: int) -> None:
    fuzz = Fuzz(seed)
    target = studies_folder() / "0123456789"
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        done = fuzz.damage(target)
        count += 1
        try:
            fuzz.read(StudyPaths(target))
        except BaseException:
            print(f"seed {seed}, damage {count}: {done}", flush=True)
            raise
    print(f"{count:,} damaged studies, none raised anything but the project's own errors")


if __name__ == "__main__":
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.environ["EMBCX_HOME"] = folder
        main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
