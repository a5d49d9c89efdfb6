"""Names and notes of studies: beside the study file, which never changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embcx_tui.store.library import find_study
from embcx_tui.store.name_and_note import NO_LABEL, Label, read_label, write_label
from embcx_tui.store.snapshot import StudyReader, read_study
from embcx_tui.study.errors import RequestError, StoreError
from tests.fake_studies import make_study, settings_of

SMALL = settings_of(networks__runs=1, networks__activations=["relu"])


def test_a_label_renames_a_study_and_nothing_else_of_it_changes() -> None:
    study = make_study(SMALL, arrays=False)
    file, journal = study.paths.study_file.read_bytes(), study.paths.journal.read_bytes()
    write_label(study.paths, Label("wide ones", "why does relu die?"))
    snapshot = read_study(study.paths)
    assert (snapshot.name, snapshot.label.note, snapshot.id) == ("wide ones", "why does relu die?", study.paths.id)
    assert snapshot.plan.settings.name == "demo" and not snapshot.damage
    assert (study.paths.study_file.read_bytes(), study.paths.journal.read_bytes()) == (file, journal)


def test_a_renamed_study_is_found_by_both_names_until_another_has_the_old_one() -> None:
    study = make_study(SMALL, study_id="a" * 10, arrays=False)
    write_label(study.paths, Label("wide ones"))
    assert find_study("wide ones") == study.paths
    assert find_study("demo") == study.paths
    other = make_study(SMALL, study_id="b" * 10, arrays=False)
    assert find_study("demo") == other.paths
    with pytest.raises(RequestError, match="there is no study 'narrow ones'"):
        find_study("narrow ones")


def test_a_reader_sees_a_new_label_without_a_new_line_in_the_journal() -> None:
    study = make_study(SMALL, arrays=False)
    reader = StudyReader(study.paths)
    before = reader.poll()
    assert reader.poll() is before
    write_label(study.paths, Label(note="look again"))
    after = reader.poll()
    assert after is not before and after.label.note == "look again" and after.name == "demo"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"name": 3, "note": ["x"]}', b"\xff\xfe", b'{"name": "' + b"x" * 20_000 + b'"}']
)
def test_a_damaged_label_is_an_empty_one(content: bytes) -> None:
    study = make_study(SMALL, arrays=False)
    study.paths.label.write_bytes(content)
    assert read_label(study.paths) == NO_LABEL
    assert read_study(study.paths).name == "demo"


def test_what_a_terminal_would_obey_does_not_get_into_a_label() -> None:
    study = make_study(SMALL, arrays=False)
    study.paths.label.write_text('{"name": "\\u001b]0;owned\\u0007x", "note": "a\\nb\\u202e"}')
    label = read_label(study.paths)
    assert not any(bad in label.name + label.note for bad in "\x1b\x07\n\u202e")
    write_label(study.paths, Label("y" * 1_000, "z" * 1_000))
    assert len(read_label(study.paths).name) <= 120 and len(read_label(study.paths).note) <= 500


def test_no_link_is_followed_out_of_the_study(tmp_path: Path) -> None:
    study = make_study(SMALL, arrays=False)
    outside = tmp_path / "outside.json"
    outside.write_text('{"name": "theirs"}')
    study.paths.label.symlink_to(outside)
    assert read_label(study.paths) == NO_LABEL
    write_label(study.paths, Label("ours"))
    assert read_label(study.paths).name == "ours" and "theirs" in outside.read_text()


def test_a_folder_that_is_gone_is_one_line() -> None:
    study = make_study(SMALL, arrays=False)
    os.rename(study.paths.root, study.paths.root.with_name("elsewhere"))  # noqa: PTH104
    with pytest.raises(StoreError, match="its name and note cannot be written"):
        write_label(study.paths, Label("x"))
