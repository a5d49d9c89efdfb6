"""Studies compared, as the keys a person presses."""

from __future__ import annotations

import re
from typing import Any

from embcx_tui.analysis.comparison import difference_csv
from embcx_tui.analysis.groups import compare_groups
from embcx_tui.figures.comparison_lines import comparison_lines
from embcx_tui.figures.model import Lines, Panels
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.app import make_app
from embcx_tui.tui.layers.selection import NodeKey
from embcx_tui.tui.studies.compare_screen import CompareScreen, DifferencesTable
from embcx_tui.tui.widgets.figure_view import FigureView
from tests.fake_events import START
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import listed, notifications, opened, sees, sees_no, text_of, until

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


async def test_marked_groups_of_a_study_are_compared_and_saved() -> None:
    study = make_study(settings_of(networks__runs=3, networks__activations=["relu", "tanh"]))
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("space")
        await sees(pilot, "✓ relu")
        await pilot.press("down", "space")
        await sees(pilot, "✓ tanh", "= Compare")
        await pilot.press("equals_sign")
        await sees(pilot, "“tanh” compared with “relu”", "tanh − relu ± 95 % interval (paired by run)")
        figure = pilot.app.screen.query_one(FigureView).figure
        assert isinstance(figure, Panels)
        assert [group.label for panel in figure.figures for group in panel.groups] == ["relu", "tanh"]  # type: ignore[union-attr]
        comparison = compare_groups(
            read_study(study.paths), [NodeKey("digits", 3, name).group for name in ("relu", "tanh")]
        )
        shown = comparison.differences[-1]
        assert shown.ci_high is not None
        half = f"{shown.difference:+.3f} ± {shown.ci_high - shown.difference:.3f}".replace("-", "−")
        await sees(pilot, half)
        await pilot.press("e")
        await sees(pilot, "compare-relu_tanh-digits-3.png", "“tanh” compared with “relu”")
        await pilot.press("shift+tab", "right")
        await sees(pilot, "compare-relu_tanh-differences.csv")
        await pilot.press("enter")
        await sees(pilot, "Saved:")
        saved = study.paths.exports / "compare-relu_tanh-differences.csv"
        assert saved.read_text() == difference_csv(comparison) and "its numbers beside it" not in text_of(pilot)
        await pilot.press("escape", "escape")
        # Without marks the key shows all points again, as it says.
        await sees(pilot, "2 marked networks")
        await pilot.press("escape")
        await sees_no(pilot, "✓ relu")
        await pilot.press("equals_sign")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, CompareScreen)


async def test_groups_of_two_kinds_are_refused_in_one_line() -> None:
    study = make_study(settings_of(networks__runs=2, networks__activations=["relu", "tanh"]), arrays=False)
    async with opened(study, "layers", (120, 40), expect="3 layers") as pilot:
        await pilot.press("space", "up", "space")
        await sees(pilot, "✓ 3 layers")
        await pilot.press("equals_sign")
        await sees(pilot, "only groups of one kind can be compared")


async def test_the_values_of_the_chart_are_walked_with_keys() -> None:
    study = make_study(settings_of(networks__runs=2, networks__activations=["relu", "tanh"]), arrays=False)
    async with opened(study, "layers", (120, 40), expect="3 layers") as pilot:
        await pilot.press("space", "down", "space", "equals_sign")
        await sees(pilot, "“tanh” compared with “relu”")
        await pilot.press("tab", "p")
        groups = compare_groups(
            read_study(study.paths), [NodeKey("digits", 3, name).group for name in ("relu", "tanh")]
        )
        lines = comparison_lines(groups, *groups.places[0]).figures[0]
        assert isinstance(lines, Lines)
        await sees(pilot, f"relu / tanh · relu, input: {lines.groups[0].bars[0].mean:.4f}")
        await pilot.press("right", "right")
        await sees(pilot, f"relu / tanh · relu, layer 2: {lines.groups[0].bars[2].mean:.4f} ± ", "◆")
        await pilot.press("down" if lines.groups[0].bars[2].mean > lines.groups[1].bars[2].mean else "up")  # type: ignore[operator]
        await sees(pilot, f"relu / tanh · tanh, layer 2: {lines.groups[1].bars[2].mean:.4f} ± ")
        await pilot.press("escape")
        await sees_no(pilot, "◆")
        assert isinstance(pilot.app.screen, CompareScreen), "escape leaves the values first"
        await pilot.press("escape")
        await sees(pilot, "2 marked networks")
