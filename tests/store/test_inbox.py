"""The inbox of a study: whole entries or none, and nothing that is not what its manifest says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from embcx_tui.store.inbox import HandedArray, HandedLayers, Inbox, Producer, SubmittedLayer
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import LayerDescribed

ROWS = np.arange(12.0).reshape(4, 3)


def handed(files: Mapping[str, HandedArray]) -> HandedLayers:
    return HandedLayers(
        network="net-m1-r0",
        epoch=3,
        described=(LayerDescribed(name="fc", units=3),),
        layers=(SubmittedLayer(name="fc", rows=files["rows"]),),
    )


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    (tmp_path / "study").mkdir()
    return StudyPaths(tmp_path / "study")


def test_what_is_handed_over_comes_out_in_order_and_goes(paths: StudyPaths) -> None:
    producer, inbox = Producer(paths), Inbox(paths)
    assert inbox.entries() == () and not inbox.is_closed and inbox.producer_lives
    for place in range(3):
        producer.hand_over({"rows": ROWS + place}, handed)
    assert [entry.name for entry in inbox.entries()] == ["000000", "000001", "000002"]
    assert producer.waiting_bytes() == 3 * (128 + 96)  # a head of numpy's, 12 numbers
    for place, entry in enumerate(inbox.entries()):
        found = inbox.read(entry)
        assert isinstance(found, HandedLayers) and found.epoch == 3 and found.layers[0].rows
        assert (inbox.array(entry, found.layers[0].rows) == ROWS + place).all()
        inbox.remove(entry)
    producer.close()
    assert inbox.entries() == () and inbox.is_closed
    modes = {path.stat().st_mode & 0o077 for path in paths.inbox.rglob("*")}
    assert modes == {0}


def test_a_half_written_entry_and_a_half_removed_one_are_none(
    paths: StudyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer, inbox = Producer(paths), Inbox(paths)
    (paths.inbox / ".tmp-abc").mkdir()
    (paths.inbox / ".done-000004").mkdir()
    (paths.inbox / "notes").mkdir()
    assert inbox.entries() == ()
    inbox.sweep()
    assert not (paths.inbox / ".done-000004").exists()
    with monkeypatch.context() as patch:
        patch.setattr("embcx_tui.store.inbox.os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "disk full")))
        with pytest.raises(StoreError, match=r"inbox: cannot be written \(disk full\)$"):
            producer.hand_over({"rows": ROWS}, handed)
    assert inbox.entries() == () and [p.name for p in paths.inbox.glob(".tmp-*")] == [".tmp-abc"]
    producer.hand_over({"rows": ROWS}, handed)
    assert [entry.name for entry in inbox.entries()] == ["000000"]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("manifest.json", b"{", "it is no manifest"),
        ("manifest.json", b'{"handed": {"kind": "layers", "network": 5}}', "it is no manifest"),
        (
            "manifest.json",
            json.dumps({"handed": {"kind": "sample", "index": {"name": "../x"}}}).encode(),
            "no manifest",
        ),
        ("000.npy", b"other bytes", "damaged"),
    ],
)
def test_damage_is_one_line(paths: StudyPaths, file: str, content: bytes, said: str) -> None:
    Producer(paths).hand_over({"rows": ROWS}, handed)
    inbox = Inbox(paths)
    (entry,) = inbox.entries()
    whole = inbox.read(entry)
    assert isinstance(whole, HandedLayers) and whole.layers[0].rows
    (entry / file).write_bytes(content)
    with pytest.raises(StoreError) as raised:
        inbox.read(entry)
        inbox.array(entry, whole.layers[0].rows)
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert str(raised.value).startswith("inbox/000000")


def test_links_are_not_followed(paths: StudyPaths, tmp_path: Path) -> None:
    Producer(paths).hand_over({"rows": ROWS}, handed)
    inbox = Inbox(paths)
    (entry,) = inbox.entries()
    (tmp_path / "elsewhere").mkdir()
    (paths.inbox / "000007").symlink_to(tmp_path / "elsewhere")
    assert inbox.entries() == (entry,)
    real = entry / "manifest.json"
    real.rename(tmp_path / "manifest.json")
    real.symlink_to(tmp_path / "manifest.json")
    with pytest.raises(StoreError, match="symbolic link"):
        inbox.read(entry)


def test_an_array_of_objects_is_refused(paths: StudyPaths) -> None:
    producer, inbox = Producer(paths), Inbox(paths)
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        producer.hand_over({"rows": np.array([object()])}, handed)
    assert [path.name for path in paths.inbox.iterdir()] == ["producer.json"]
    assert inbox.entries() == ()


def test_a_producer_that_is_gone_is_known_to_be(paths: StudyPaths) -> None:
    code = f"from embcx_tui.store.inbox import Producer; from embcx_tui.store.paths import StudyPaths; from pathlib import Path; Producer(StudyPaths(Path({str(paths.root)!r})))"  # noqa: E501
    subprocess.run([sys.executable, "-c", code], check=True)
    inbox = Inbox(paths)
    assert not inbox.producer_lives
    file = paths.inbox / "producer.json"
    elsewhere = json.loads(file.read_text()) | {"host": "another-machine"}
    file.write_text(json.dumps(elsewhere))
    assert inbox.producer_lives
