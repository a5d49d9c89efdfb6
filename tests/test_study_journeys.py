"""The journeys of a person with many studies, on a real pseudo-terminal."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.activations import labels, layers_of, write_npz
from tests.compute.test_datasets_fetch import Server, serving
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


# Puts other files, from a server on this machine, into the catalogue of every process of a journey.
_CATALOGUE = """
import json, os
from dataclasses import replace
from embcx_tui.study import dataset_catalogue as catalogue
files = []
for path, size, md5, url in json.loads(os.environ["FAKE_FILES"]):
    stored = catalogue.StoredFile(path, size, md5)
    files.append(catalogue.DatasetFile(((stored,),), stored, (url,)))
catalogue.CATALOGUE["kmnist"] = replace(catalogue.CATALOGUE["kmnist"], files=tuple(files))
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


def test_a_missing_dataset_is_fetched_inside_the_application(home: Path, tmp_path: Path, server: Server) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_CATALOGUE)
    content = random.Random(0).randbytes(3_000_000)
    server.does.files = {"images": content, "labels": content[:50_000]}
    # The first connection breaks: what has arrived is gone on with.
    server.does.breaks_after = [1_000_000]
    files = [
        (f"KMNIST/raw/{name}", len(body), hashlib.md5(body).hexdigest(), f"{server.url}{name}")
        for name, body in server.does.files.items()
    ]
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    environment = {"PYTHONPATH": path, "FAKE_FILES": json.dumps(files)}
    with Terminal(PROGRAM, 80, 24, environment) as terminal:
        terminal.expect("No studies yet")
        terminal.press("c")
        terminal.expect("kmnist (3.0 MB to fetch)")
        terminal.press("down", "down", "right", "right", "right", "right", "space")
        terminal.expect("kmnist is not on this machine")
        terminal.send("\x12")  # ctrl+r
        terminal.expect("The data are not on this machine")
        terminal.press("enter")
        terminal.until(lambda: "to fetch)" not in kmnist(terminal.text()), "kmnist was not fetched")
        terminal.until(lambda: "kmnist is not on this machine" not in terminal.text(), "kmnist is still missing")
        terminal.send("\x11")  # ctrl+q
        assert terminal.wait() == 0
    fetched = {one.name: one.read_bytes() for one in (home / "data" / "KMNIST" / "raw").iterdir()}
    assert fetched == server.does.files
    assert server.does.asked[1] == "bytes=1000000-", "the second connection began where the first one broke"
    assert studies() == []


def test_activation_files_are_measured_from_the_form_to_the_layers(home: Path, tmp_path: Path) -> None:
    arrays = layers_of(3)
    file = write_npz(tmp_path / "acts.npz", {**arrays, "y": labels()})
    with Terminal(PROGRAM, 80, 24) as terminal:
        terminal.expect("No studies yet")
        terminal.press("c")
        terminal.expect("m Measure files")
        terminal.press("m")
        terminal.expect("Measure activation files")
        terminal.write(str(file).removesuffix("s.npz"))
        terminal.expect("acts.npz")  # the rest of the path, suggested
        terminal.send("right")
        terminal.expect("3 layers of 60 rows")
        terminal.press("down", "down", "down", "down", "down", "down", *"10")
        terminal.press("ctrl+r")
        terminal.expect("press l for the layers")
        terminal.press("l")
        terminal.expect("Layer 3 of 3")
        terminal.press("q")
        assert terminal.wait() == 0
    (study,) = studies()
    assert (study["name"], study["state"]) == ("acts", "complete")
    shown = json.loads(subprocess.run([*PROGRAM, "show", study["id"], "--json"], capture_output=True).stdout)
    (network,) = shown["networks"]
    assert [layer["name"] for layer in network["layers"]] == list(arrays)
    assert [layer["perplexity"] for layer in network["layers"]] == [10.0] * 3


def kmnist(text: str) -> str:
    """Return what the form says from kmnist to the next dataset."""
    return text.partition(" kmnist")[2].partition("cifar10")[0]
