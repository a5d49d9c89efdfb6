"""The list of studies as one that can be worked in: filter, order, marks, names, notes, columns, pictures."""

from __future__ import annotations

import pytest

from embcx_tui.store.name_and_note import read_label
from embcx_tui.study.settings import StudySettings
from embcx_tui.tui.app import make_app
from embcx_tui.tui.messages import OpenStudy
from embcx_tui.tui.studies.study_columns import columns_of, differing_settings
from embcx_tui.tui.studies.study_list import StudyTable, matches
from embcx_tui.tui.study_row import StudyRow, row_of
from embcx_tui.tui.widgets.dialogs import Ask
from embcx_tui.tui.widgets.figure_view import FigureView
from tests.fake_events import START
from tests.fake_studies import FakeStudy, make_study, settings_of
from tests.tui.pilot import AppPilot, app_of, listed, notifications, sees, sees_no, text_of, until

RATES = (0.01, 0.03, 0.1)


def _settings(rate: float, **more: object) -> StudySettings:
    small = {"networks__runs": 1, "networks__activations": ["relu", "tanh"], "training__epochs": 4}
    return settings_of(**{**small, "name": f"rate {rate:g}", "training__learning_rate": rate, **more})  # type: ignore[arg-type]


@pytest.fixture
def sweep() -> list[FakeStudy]:
    """Three studies that differ in the learning rate, the first the newest."""
    return [
        make_study(_settings(rate), study_id=f"{'abc'[place] * 10}", at=START - 3_600 * place, arrays=False)
        for place, rate in enumerate(RATES)
    ]


def _names(pilot: AppPilot) -> list[str]:
    return [row.name for row in pilot.app.screen.query_one(StudyTable).items]


def _row(study: FakeStudy) -> StudyRow:
    from embcx_tui.store.snapshot import read_study

    return row_of(study.paths, read_study(study.paths), START)


async def test_the_filter_finds_names_states_and_settings(sweep: list[FakeStudy]) -> None:
    make_study(settings_of(name="night", networks__runs=1), "stopped", study_id="d" * 10, at=START - 99_999)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("slash", *"lr=0.01")
        await sees(pilot, "1 of 4")
        assert _names(pilot) == ["rate 0.01"]
        await pilot.press("enter", "slash", *[*["backspace"] * 7, *"STOPPED nig"])
        await until(pilot, lambda: _names(pilot) == ["night"])
        await pilot.press(*"xx")
        await sees(pilot, "no study matches")
        await pilot.press("escape")
        await until(pilot, lambda: len(_names(pilot)) == 4)
        await sees_no(pilot, "no study matches")


def test_every_word_must_be_found_in_any_case(sweep: list[FakeStudy]) -> None:
    row = _row(sweep[0])
    for words in ("", "  ", "rate", "RATE digits", "learning_rate=0.01", "complete batch_size=100", row.paths.id):
        assert matches(row, words), words
    for words in ("rate 0.03x", "mnist", "learning_rate=0.03", "complete stopped"):
        assert not matches(row, words), words


async def test_the_list_is_ordered_by_the_cursors_column_and_back(sweep: list[FakeStudy]) -> None:
    async with make_app().run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        newest = ["rate 0.01", "rate 0.03", "rate 0.1"]
        assert _names(pilot) == newest
        await pilot.press("o")
        await sees(pilot, "▴Name")
        assert _names(pilot) == sorted(newest)
        await pilot.press("o")
        await sees(pilot, "▾Name")
        assert _names(pilot) == sorted(newest, reverse=True)
        await pilot.press("o")
        await sees_no(pilot, "▾Name")
        assert _names(pilot) == newest
        table = pilot.app.screen.query_one(StudyTable)
        await pilot.click(StudyTable, offset=(text_of(pilot).splitlines()[1].index("Rate") + 1, 0))
        await sees(pilot, "▴Rat")
        await pilot.press("o")
        await sees(pilot, "▾Rat")
        assert _names(pilot) == ["rate 0.1", "rate 0.03", "rate 0.01"]
        assert table.current and table.current.name == "rate 0.01", "the pointer stays on its study"


def test_only_settings_that_differ_have_a_column(sweep: list[FakeStudy]) -> None:
    rows = [_row(study) for study in sweep]
    assert differing_settings(rows) == [("training.learning_rate", {"0.01", "0.03", "0.1"})]
    assert [column.title for column in columns_of(rows)] == [
        *("State", "Name", "Data", "Nets", "Rate", "Test acc.", "Last KL", "Id", "When")
    ]
    assert "Rate" not in [column.title for column in columns_of(rows[:1])]
    stopped = _row(make_study(_settings(0.01, networks__width=7), "stopped", study_id="e" * 10, arrays=False))
    assert [column.title for column in columns_of([*rows, stopped])][4:7] == ["Done", "Width", "Rate"]


async def test_marked_studies_are_deleted_after_one_question_that_names_them(sweep: list[FakeStudy]) -> None:
    running = make_study(_settings(0.5), "running", study_id="r" * 10, at=START + 9, epochs=1, arrays=False)
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("d")
        await until(pilot, lambda: "is running: stop it first" in notifications(pilot))
        assert not isinstance(pilot.app.screen, Ask)
        await pilot.press("space", "space", "down", "space")
        await sees(pilot, "3 marked · = compares them · d deletes them")
        await pilot.press("d")
        await sees(pilot, "Delete 2 studies?", "“rate 0.01”", "“rate 0.1”", "Running, and not deleted: “rate 0.5”")
        await pilot.press("enter")  # keeps them
        await until(pilot, lambda: not isinstance(pilot.app.screen, Ask))
        assert all(study.paths.root.exists() for study in sweep)
        await pilot.press("d", "right", "enter")
        await until(pilot, lambda: not sweep[0].paths.root.exists() and not sweep[2].paths.root.exists())
        await until(pilot, lambda: _names(pilot) == ["rate 0.5", "rate 0.03"])
        assert running.paths.root.exists() and sweep[1].paths.root.exists()
        await pilot.press("escape")
        await sees_no(pilot, "marked")


async def test_a_study_gets_another_name_and_a_note(sweep: list[FakeStudy]) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("R")
        await sees(pilot, "Rename the study")
        await pilot.press("ctrl+u", *"slow", "enter")
        await until(pilot, lambda: _names(pilot)[0] == "slow")
        await pilot.press("N", *"why?", "enter")
        await sees(pilot, "note        why?")
        label = read_label(sweep[0].paths)
        assert (label.name, label.note) == ("slow", "why?")
        await pilot.press("slash", *"why?")
        await sees(pilot, "1 of 3")
        await pilot.press("enter", "R", "ctrl+u", "enter")
        await until(pilot, lambda: _names(pilot) == ["rate 0.01"])


async def test_y_copies_the_value_under_the_cursor_and_the_table(sweep: list[FakeStudy]) -> None:
    async with make_app().run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        await pilot.press("y")
        assert pilot.app.clipboard == "rate 0.01"
        await pilot.press("down", "right", "right", "right", "y")
        assert pilot.app.clipboard == "0.03", "the cell of the column Rate"
        await pilot.press("Y")
        lines = [line.split("\t") for line in pilot.app.clipboard.splitlines()]
        assert lines[0][0] == "Id" and [line[0] for line in lines[1:]] == ["a" * 10, "b" * 10, "c" * 10]
        rates = [line[lines[0].index("Rate")] for line in lines[1:]]
        assert rates == ["0.01", "0.03", "0.1"]
        await pilot.press("up", "space", "Y")
        assert len(pilot.app.clipboard.splitlines()) == 2, "only the marked one"


async def test_partly_is_said_wherever_exit_code_3_would_be_given() -> None:
    make_study(_settings(0.1), study_id="a" * 10, diverged=["digits-d3-relu-r0"], arrays=False)
    study = make_study(_settings(0.2), study_id="b" * 10, at=START - 9, arrays=False)
    async with make_app().run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        lines = text_of(pilot).splitlines()
        assert "✓ partly" in lines[2] and "✓ complete" in lines[3]
        assert "✓ partly, finished" in text_of(pilot) and "4 of them impossible" not in lines[2]
        row = app_of(pilot).rows[0]
        await pilot.press("ctrl+p", *"rate 0.1")
        await sees(pilot, "✓ partly · aaaaaaaaaa")
        await pilot.press("escape", "escape")
        pilot.app.post_message(OpenStudy(row.paths, "studies"))
        await sees(pilot, "rate 0.1  ✓ partly")
        assert study.paths.root.exists()
    # relu diverged: its three layers have no embedding; tanh has three, the input one, the two controls three each.
    assert (row.impossible, row.embeddings) == (3, 13)


async def test_the_open_study_is_marked(sweep: list[FakeStudy]) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        pilot.app.post_message(OpenStudy(sweep[1].paths, "studies"))
        await until(pilot, lambda: "▸ ✓ complete  rate 0.03" in text_of(pilot))
        assert text_of(pilot).count("▸") == 1


async def test_the_details_say_what_differs_from_the_study_above(sweep: list[FakeStudy]) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        assert "from above" not in text_of(pilot)
        await pilot.press("down")
        await sees(pilot, "from above  learning_rate 0.01 → 0.03")


async def test_a_wide_screen_has_a_picture_of_the_study_pointed_at(sweep: list[FakeStudy]) -> None:
    make_study(_settings(0.7), "queued", study_id="q" * 10, at=START + 50)
    async with make_app().run_test(size=(120, 40)) as pilot:
        await sees(pilot, "nothing measured yet")
        await pilot.press("down")
        await sees(pilot, "digits · 3 hidden layers", "trained")
        assert pilot.app.screen.query_one("#picture", FigureView).figure is not None
        await pilot.resize_terminal(80, 24)
        await sees_no(pilot, "digits · 3 hidden layers")
