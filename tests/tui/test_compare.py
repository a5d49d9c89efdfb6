"""Studies compared, as the keys a person presses."""

from __future__ import annotations

import re
from typing import Any

from embcx_tui.figures.model import Panels
from embcx_tui.tui.app import make_app
from embcx_tui.tui.studies.compare_screen import CompareScreen, DifferencesTable
from embcx_tui.tui.widgets.figure_view import FigureView
from tests.fake_events import START
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import listed, notifications, sees, text_of, until

SMALL: dict[str, Any] = {"networks__runs": 2, "networks__activations": ["relu", "tanh"]}


async def test_two_marked_studies_are_one_chart_and_one_table() -> None:
    make_study(settings_of(name="fine", **SMALL), study_id="a" * 10, arrays=False)
    coarse = settings_of(name="coarse", measure__perplexity=20.0, **SMALL)
    make_study(coarse, study_id="b" * 10, at=START - 9, arrays=False)
    async with make_app().run_test(size=(120, 40), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("equals_sign")
        assert not isinstance(pilot.app.screen, CompareScreen), "nothing is marked"
        await pilot.press("space", "space")
        await sees(pilot, "2 marked · = compares them")
        await pilot.press("equals_sign")
        await sees(pilot, "“coarse” compared with “fine”", "! perplexity 30 / 20: their KL are on different scales")
        screen = pilot.app.screen
        figure = screen.query_one(FigureView).figure
        assert isinstance(figure, Panels) and [panel.title for panel in figure.figures] == ["relu", "tanh"]
        labels = [[(group.label, group.control) for group in panel.groups] for panel in figure.figures]  # type: ignore[union-attr]
        assert labels[0] == [("fine", ""), ("fine", "untrained"), ("coarse", ""), ("coarse", "untrained")]
        text = text_of(pilot)
        assert "━ fine" in text and "━ coarse" in text and "coarse − fine ± 95 % interval" in text
        # The pointer on a line: whose value it is.
        await pilot.hover(FigureView, offset=(20, 5))
        await until(
            pilot, lambda: re.search(r"relu · (fine|coarse)( untrained)?, layer \d: \d\.\d{4} ", text_of(pilot))
        )
        await pilot.press("down", "right", "right", "y")
        cell = screen.query_one(DifferencesTable).cell
        assert cell and pilot.app.clipboard == cell.text and " ± " in cell.text
        await pilot.press("Y")
        await sees(pilot, "Copy the table of numbers")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.clipboard.startswith("network\tquantity\tn\tinput"))
        await pilot.press("escape")
        await sees(pilot, "2 marked")


async def test_studies_of_several_depths_are_gone_through() -> None:
    for place in range(2):
        settings = settings_of(name=f"s{place}", networks__depths=[1, 2], **SMALL)
        make_study(settings, study_id=f"{'ab'[place] * 10}", at=START - place, arrays=False)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("space", "space", "equals_sign")
        await sees(pilot, "(1 of 2)")
        first = text_of(pilot)
        await pilot.press("right_square_bracket")
        await sees(pilot, "(2 of 2)")
        assert text_of(pilot) != first
        await pilot.press("left_square_bracket")
        await sees(pilot, "(1 of 2)")


async def test_more_studies_than_a_chart_can_hold_are_refused_in_words() -> None:
    for place in range(7):
        make_study(settings_of(**SMALL), study_id=f"{place:010d}", at=START - place, arrays=False)
    async with make_app().run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press(*["space"] * 7, "equals_sign")
        await until(pilot, lambda: "2 to 6 studies can be compared, not 7" in notifications(pilot))
