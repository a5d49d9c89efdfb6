"""How numbers and times are written, against values written out by hand."""

from __future__ import annotations

import pytest

from embcx_tui.analysis import formatting


@pytest.mark.parametrize(
    ("fraction", "words"),
    [(0.0, "0%"), (0.004, "0%"), (0.625, "62%"), (0.994, "99%"), (0.996, "99%"), (0.99999, "99%"), (1.0, "100%")],
)
def test_100_percent_is_said_where_everything_is_done_and_only_there(fraction: float, words: str) -> None:
    assert formatting.percent(fraction) == words


@pytest.mark.parametrize("width", [1, 7, 40])
def test_a_progress_line_is_full_only_at_the_end_and_begins_with_the_first_result(width: int) -> None:
    for fraction in (0.0, 1e-6, 0.3, 0.5, 1 - 1e-6, 1.0, 1.5):
        done, rest = formatting.progress_line(fraction, width)
        assert len(done) + len(rest) == width
        assert bool(done) == (fraction > 0) and (done == "━" * width) == (fraction >= 1)
    # Half a cell is the finest that there is.
    assert formatting.progress_line(0.5, 5) == ("━━╸", "──")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0.2, "1 s"), (40, "40 s"), (56, "56 s"), (58, "1 min"), (150, "2 min"), (3_400, "57 min"), (3_500, "1 h")),
        *((7_300, "2 h"), (47 * 3_600, "47 h"), (49 * 3_600, "2 d"), (30 * 86_400, "30 d")),
    ],
)
def test_lengths_of_time_are_short(seconds: float, words: str) -> None:
    assert formatting.duration(seconds) == words


def test_the_time_left_runs_down_until_there_is_no_news() -> None:
    # An hour and a half was left when the worker wrote at 1,000.
    assert formatting.left(5_400, 1_000, 1_000) == "2 h left"
    assert formatting.left(300, 1_000, 1_060) == "4 min left"
    assert formatting.left(300, 1_000, 1_170) == "2 min left"
    assert formatting.left(100, 1_000, 1_100) == "less than a second left"
    assert formatting.left(5_400, 1_000, 1_181) == "no news for 3 min"
    # A clock that was put back does not add time.
    assert formatting.left(300, 1_000, 900) == "5 min left"


def test_small_p_values_and_signs() -> None:
    assert [formatting.p_words(p) for p in (None, 0.0, 0.00099, 0.001, 0.03125, 1.0)] == [
        "–", "< 0.001", "< 0.001", "0.001", "0.031", "1.000",
    ]  # fmt: skip
    assert formatting.signed(-0.125, 3) == "−0.125" and formatting.signed(0.125, 3, plus=True) == "+0.125"
    assert formatting.interval_words(-0.5, 0.25) == "−0.500 … 0.250" and formatting.interval_words(None, 1.0) == "–"
