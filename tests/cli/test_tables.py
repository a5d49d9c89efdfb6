"""`show` as text: the same numbers as its tables."""

from __future__ import annotations

from embcx_tui.cli.show import summary_text
from tests import small_study

ACTIVATIONS = ("logsig", "relu")


def test_it_says_over_how_many_runs_each_mean_is() -> None:
    # A network with degenerate layers enters no mean at all; a layer that is not measured is missing from its own.
    bad = frozenset({"mnist-d5-relu-r0-l4", "mnist-d5-relu-r0-l5"})
    gone = frozenset({"mnist-d5-relu-r1-l5"})
    lines = summary_text(small_study.write(degenerate=bad, skip=gone).snapshot).splitlines()
    logsig, relu = (next(line.split() for line in lines if line.startswith(f"mnist 5x100 {a} ")) for a in ACTIVATIONS)
    assert (logsig[3], relu[3]) == ("3", "1–2")


def test_a_degenerate_input_is_one_layer() -> None:
    text = summary_text(small_study.write(degenerate=frozenset({"mnist-r0-input"})).snapshot)
    assert "\n1 degenerate layer is left out of the means" in text
