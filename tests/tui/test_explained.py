"""What stands where it is needed: a sentence on the number under the cursor, messages, the order of help."""

from __future__ import annotations

import shlex

import pytest
from textual.command import Command, CommandList

from embcx_tui.study.settings import METRICS
from embcx_tui.tui.export.dialog import scp_line
from embcx_tui.tui.layers import explanations
from embcx_tui.tui.layers.explanations import explanation
from embcx_tui.tui.layers.numbers_panel import METRIC_LABELS, TREND_NUMBERS, NumbersPanel
from embcx_tui.tui.messages import Say
from tests.fake_studies import complete_study
from tests.tui.pilot import app_of, counted, opened, sees, sees_no, text_of, until


def test_every_number_has_a_sentence_that_fits_a_line_of_80_columns() -> None:
    names = [*explanations.SENTENCES, *TREND_NUMBERS, *METRIC_LABELS.values(), "5 runs", "3/5 runs", "layer 2", "7"]
    assert all(explanation(name) for name in names)
    assert {name: len(explanation(name)) for name in names if len(explanation(name)) > 94} == {}
    assert explanation("trustworthi…") == explanation("trustworthiness")
    assert explanation("which was measured") == "" and len(METRICS) == 6


async def test_the_bottom_line_explains_the_number_under_the_cursor() -> None:
    async with opened(complete_study(), "layers", (120, 40), expect="10-NN") as pilot:
        await counted(pilot)
        keys = text_of(pilot).splitlines()[-1]
        panel = pilot.app.screen.query_one(NumbersPanel)
        panel.focus()
        await sees(pilot, "KL: the layer's complexity: exact KL divergence of its t-SNE, in nats")
        await pilot.press("j")
        await sees(pilot, "runs: mean ± standard deviation of the layer's KL over runs")
        await pilot.press("G")
        text = (await sees_no(pilot, "runs: mean ±")).splitlines()[-1]
        assert text != keys and ": " in text
        await pilot.press("z")
        assert panel.region.width > 100, "z is the focused panel"
        await pilot.press("escape", "tab")
        await until(pilot, lambda: not panel.has_focus)
        await sees(pilot, "? Help")


async def test_messages_stand_in_the_bottom_line_and_can_be_read_again() -> None:
    async with opened(complete_study(), "layers", (80, 24), expect="10-NN") as pilot:
        await counted(pilot)
        above = text_of(pilot).splitlines()[:-1]
        pilot.app.post_message(Say("first " + "word " * 30, "warning"))
        text = await sees(pilot, "! first word", "! shows it whole")
        assert text.splitlines()[:-1] == above, "nothing lies over what the user looks at"
        pilot.app.post_message(Say("second"))
        await sees(pilot, "· second", "1 more: !")
        await pilot.press("exclamation_mark")
        await sees(pilot, "Messages", "first word", "· second", "y copies")
        await pilot.press("y")
        await sees_no(pilot, "Messages")
        lines = pilot.app.clipboard.splitlines()
        assert [line[8:] for line in lines] == [f" ! first {'word ' * 30}", " · second"]


async def test_the_palette_begins_with_actions_and_ends_with_the_classes() -> None:
    async with opened(complete_study(), "layers", (120, 40), expect="10-NN") as pilot:
        await pilot.press("ctrl+p")
        await sees(pilot, "Point (p)")
        options = pilot.app.screen.query_one(CommandList).options
        titles = [str(option.hit.text) for option in options if isinstance(option, Command)]
        assert titles[0] == "Point (p)", titles[:3]
        assert min(index for index, title in enumerate(titles) if title.startswith("Class")) > 15
        assert "Open" in titles[-1], "the studies come last"


async def test_help_has_groups_and_the_signs() -> None:
    async with opened(complete_study(), "layers", (120, 60), expect="10-NN") as pilot:
        await pilot.press("question_mark")
        text = await sees(pilot, "Layers: go", "Layers: see", "Layers: take away")
        assert text.index("Layers: go") < text.index("Layers: the plane")
        await pilot.press("G")
        await sees(pilot, "Signs", "at chance: the network classifies no")
        assert app_of(pilot).screen.focused is not None


@pytest.mark.parametrize("path", ["/home/me/x.png", "/tmp/with blank/it's.svg"])
def test_the_line_for_scp_is_one_word_each(path: str) -> None:
    assert shlex.split(scp_line("gpu-box", path)) == ["scp", f"gpu-box:{path}", "."]
    assert shlex.split(scp_line("gpu-box", "/x/exports")) == ["scp", "-r", "gpu-box:/x/exports", "."]
