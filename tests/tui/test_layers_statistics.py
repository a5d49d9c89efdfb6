"""What the layer browser says of runs together: the numbers of `show --json`, and the one switch that changes them."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from textual.pilot import Pilot

from embcx_tui.analysis.formatting import break_words, effect_words, p_words, signed
from embcx_tui.analysis.json_csv import measurements
from embcx_tui.analysis.selection import select
from embcx_tui.analysis.summary import LayerSummary, summarise
from embcx_tui.analysis.trend import Trend, trends
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.settings import StudySettings
from embcx_tui.tui.app import EmbcxApp, make_app
from embcx_tui.tui.layers import statistics_cache
from embcx_tui.tui.layers.numbers_panel import NumbersPanel
from embcx_tui.tui.layers.screen import LayersScreen
from tests.fake_studies import FakeStudy, make_study, settings_of
from tests.tui.pilot import PATIENCE_S, opened, sees, sees_no, show, stop_the_clock, text_of

AT_CHANCE = ["digits-d3-tanh-r0", "digits-d3-tanh-r2", "digits-d3-relu-r1"]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)


def five_runs(**overrides: Any) -> StudySettings:
    wanted: dict[str, Any] = {
        "networks__activations": ["tanh", "relu"],
        "networks__runs": 5,
        "training__epochs": 2,
        "data__samples_per_class": 10,
    }
    return settings_of(**{**wanted, **overrides})


def trend_of(snapshot: Snapshot, activation: str, control: str | None = None, exclude_chance: bool = False) -> Trend:
    found = trends(select(snapshot, exclude_chance))
    return next(one for one in found if one.architecture[2:] == (activation, control))


def summary_of(snapshot: Snapshot, activation: str, layer: int, exclude_chance: bool = False) -> LayerSummary:
    found = summarise(snapshot, exclude_chance)
    return next(one for one in found if (*one.architecture[2:], one.layer) == (activation, None, layer))


def interval_words(one: LayerSummary) -> str:
    assert one.kl_interval
    return f"{one.kl_interval[0]:.3f} … {one.kl_interval[1]:.3f}"


def numbers(pilot: Pilot[None]) -> list[str]:
    """Return the lines of the numbers' panel with their words."""
    return pilot.app.screen.query_one(NumbersPanel).shown_text.splitlines()


async def says(pilot: Pilot[None], name: str, value: str) -> None:
    """Wait until the numbers' panel has a line of this name with this value."""
    give_up = time.monotonic() + PATIENCE_S
    while not any(line.startswith(name) and value in line for line in numbers(pilot)):
        assert time.monotonic() < give_up, f"never said {name} {value}:\n" + "\n".join(numbers(pilot))
        await pilot.pause(0.02)


def break_the_trend(study: FakeStudy) -> None:
    """Let layer 2 of tanh be harder to embed than layer 1, in every run."""
    again = [
        one for one in read_study(study.paths).measured.values() if (one.network or "").startswith("digits-d3-tanh")
    ]
    study.append(
        *(
            one.model_copy(update={"kl": (one.kl or 0) + 0.4})
            for one in again
            if one.layer == 2 and "untrained" not in (one.network or "")
        )
    )


def mean_difference(snapshot: Snapshot, one: tuple[int, str | None], less: tuple[int, str | None]) -> str:
    """Return the mean over tanh's runs of the KL of one (layer, control) less that of another."""

    def scores(layer: int, control: str | None) -> list[float]:
        networks = [n for n in snapshot.plan.networks if (n.activation, n.control) == ("tanh", control)]
        found = [snapshot.layer(network, layer) for network in sorted(networks, key=lambda network: network.run)]
        return [measured.kl for measured in found if measured and measured.kl is not None]

    pairs = list(zip(scores(*one), scores(*less), strict=True))
    assert len(pairs) == 5
    return signed(sum(a - b for a, b in pairs) / 5, 3, plus=True)


def per_layer(trend: Trend) -> str:
    return signed(trend.slope, 3, plus=True)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
async def test_a_falling_and_a_rising_trend_stand_beside_the_layer_with_the_interval(size: tuple[int, int]) -> None:
    study = make_study(five_runs())
    snapshot = read_study(study.paths)
    falls, rises, layer = (
        trend_of(snapshot, "tanh"),
        trend_of(snapshot, "tanh", "untrained"),
        summary_of(snapshot, "tanh", 3),
    )
    async with opened(study, "layers", size, expect="Layer 3 of 3 · tanh, run 0") as pilot:
        assert falls.effect == 1 and rises.effect and rises.effect < 0
        await says(pilot, "per layer", per_layer(falls))
        await says(pilot, "runs", "5 of 5 fall")
        await says(pilot, "first rise at", "none")
        await says(pilot, "5 runs", f"{layer.kl_mean:.3f} ± {layer.kl_sd:.3f}")
        await says(pilot, "95 % CI", interval_words(layer))
        if size[1] >= 40:
            await says(pilot, "slope CI", f"{signed(falls.slope_ci_low, 3)} … {signed(falls.slope_ci_high, 3)}")
            await says(pilot, "p, sign test", "0.031")
            await says(pilot, "mean rank corr.", effect_words(falls))
            await says(pilot, "p, Page", p_words(falls.p_value))
            await says(pilot, "layer 2", mean_difference(snapshot, (3, None), (2, None)))
            await says(pilot, "untrained", mean_difference(snapshot, (3, None), (3, "untrained")))
        await pilot.press("right_square_bracket", *["right_square_bracket"] * 10)
        await sees(pilot, "Layer 3 of 3 · tanh untrained, run 0")
        await says(pilot, "per layer", per_layer(rises))
        await says(pilot, "runs", f"{rises.runs_rising} of 5 rise")
        await says(pilot, "first rise at", "layer 1")
        if size[1] >= 40:
            await says(pilot, "p, Page", p_words(rises.p_increase))


async def test_the_first_layer_that_breaks_the_trend_is_named() -> None:
    study = make_study(five_runs())
    break_the_trend(study)
    broken = trend_of(read_study(study.paths), "tanh")
    assert broken.first_break == 2 and broken.effect is not None and broken.effect < 1
    async with opened(study, "layers", expect="Layer 3 of 3 · tanh, run 0") as pilot:
        await says(pilot, "first rise at", "layer 2")
        await says(pilot, "per layer", per_layer(broken))
        await says(pilot, "runs", f"{broken.runs_falling} of 5 fall")


async def test_one_run_is_no_test_in_the_words_of_the_report() -> None:
    study = make_study(five_runs(networks__runs=1))
    one = trend_of(read_study(study.paths), "tanh")
    assert one.reason and one.p_value is None
    async with opened(study, "layers", expect="no trend test") as pilot:
        assert f"no trend test: {one.reason}" in " ".join(line.rstrip("┃│ ") for line in numbers(pilot))
        await says(pilot, "first rise at", break_words(one))
        assert not any("95 %" in line for line in numbers(pilot))


async def test_it_is_counted_in_a_thread_and_only_where_measurements_change(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    may = threading.Event()

    def compute(snapshot: Snapshot, exclude_chance: bool) -> statistics_cache.RunStatistics:
        threads.append(threading.current_thread())
        may.wait(PATIENCE_S)
        return compute_statistics(snapshot, exclude_chance)

    compute_statistics = statistics_cache.compute_statistics
    monkeypatch.setattr(statistics_cache, "compute_statistics", compute)
    study = make_study(five_runs(), "running", epochs=2, measured=28)
    try:
        async with opened(study, "layers", expect="Layer 3 of 3 · tanh, run 0") as pilot:
            # Keys are taken while it is still being counted.
            await says(pilot, "per layer", "…")
            await pilot.press("left")
            await sees(pilot, "Layer 2 of 3 · tanh, run 0")
            may.set()
            await says(pilot, "per layer", per_layer(trend_of(read_study(study.paths), "tanh")))
            await pilot.press("left", "down", "up")
            await sees(pilot, "Layer 1 of 3 · tanh, run 0")
            assert len(threads) == 1 and threads[0] is not threading.main_thread()
            study.append(*[e for e in study.events(epochs=2) if e.kind == "measured"][28:])
            await pilot.press("down")
            await sees(pilot, "Layer 1 of 3 · relu, run 0")
            await says(pilot, "per layer", per_layer(trend_of(read_study(study.paths), "relu")))
            assert threading.main_thread() not in threads
    finally:
        may.set()


async def test_networks_at_chance_and_diverged_ones_have_a_sign_and_a_word() -> None:
    study = make_study(five_runs(), at_chance=AT_CHANCE, diverged=["digits-d3-relu-r4"])
    async with opened(study, "layers", (120, 40), expect="Layer 3 of 3 · tanh, run 0") as pilot:
        await sees(pilot, "tanh ≈2", "relu ≈1 ✗1")
        await says(pilot, "≈ did not train, counted", "")
        await says(pilot, "≈ 2 of 5 did not train", "")
        await sees(pilot, "at chance, included: 3 of 20 networks")
        await pilot.press("right_square_bracket")
        await sees(pilot, "≈ run 0 chance", "● run 1", "≈ run 2 chance")
        await pilot.press(*["right_square_bracket"] * 9)
        await sees(pilot, "✗ run 4 diverged", "diverged in epoch 2")
        await says(pilot, "✗ 1 of 5 runs diverged", "")
        # Its run has an input that is measured: it is no more in a mean than the network.
        await pilot.press("left", "left", "left")
        await says(pilot, "✗ diverged in epoch 2:", "")
        await says(pilot, "excluded from means", "")
        one = summary_of(read_study(study.paths), "relu", 0)
        assert one.n == 4
        await says(pilot, "4/5 runs", f"{one.kl_mean:.3f} ± {one.kl_sd:.3f}")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_w_leaves_networks_at_chance_out_of_every_mean_and_says_so(size: tuple[int, int]) -> None:
    study = make_study(five_runs(), at_chance=AT_CHANCE)
    snapshot = read_study(study.paths)
    kept, without = summary_of(snapshot, "tanh", 3), summary_of(snapshot, "tanh", 3, True)
    trend = trend_of(snapshot, "tanh", exclude_chance=True)
    assert kept.n == 5 and without.n == 3 and kept.kl_mean != without.kl_mean
    async with opened(study, "layers", size, expect="Layer 3 of 3 · tanh, run 0") as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, LayersScreen) and not screen.controller.selection.exclude_chance
        await says(pilot, "5 runs", f"{kept.kl_mean:.3f} ± {kept.kl_sd:.3f}")
        assert "without" not in text_of(pilot)
        await pilot.press("w")
        await sees(pilot, "means and tests without 3 networks at chance")
        await says(pilot, "3/5 runs", f"{without.kl_mean:.3f} ± {without.kl_sd:.3f}")
        await says(pilot, "95 % CI", interval_words(without))
        await says(pilot, "per layer", per_layer(trend))
        # The chart's mean is the same one.
        assert f"{without.kl_mean:.3f}" in next(one for one in text_of(pilot).splitlines() if "━ tanh" in one)
        assert screen.controller.selection.exclude_chance
        # Also where a figure has the whole screen.
        await pilot.press("z")
        await sees(pilot, "means and tests without 3 networks at chance")
        await pilot.press("z", "w")
        await sees_no(pilot, "means and tests without")
        await says(pilot, "5 runs", f"{kept.kl_mean:.3f} ± {kept.kl_sd:.3f}")


async def test_the_switch_reaches_the_accuracy_chart_and_a_depth_of_activations() -> None:
    study = make_study(five_runs(), at_chance=AT_CHANCE)
    found = measurements(read_study(study.paths), exclude_chance=True)["statistics"]["accuracy"][0]
    async with opened(study, "layers", (200, 60), expect="Layer 3 of 3 · tanh, run 0") as pilot:
        await pilot.press("w", "B")
        await sees(
            pilot,
            f"ρ = {found['rho']:.2f}".replace("-", "−"),
            "without 3 of 10 networks at chance",
            "(7 networks, 2 architectures",
        )
        await pilot.press("b", "b", "up")
        await sees(pilot, "digits · 3 hidden layers  ", "without 3 of 10 networks at chance")


async def test_the_switch_is_never_silent_even_where_there_is_nothing_to_leave_out() -> None:
    async with opened(make_study(five_runs()), "layers", expect="Layer 3 of 3") as pilot:
        await pilot.press("w")
        await sees(pilot, "no network is at chance: none is left out")


async def test_the_switch_comes_back_with_the_study() -> None:
    study = make_study(five_runs(), at_chance=AT_CHANCE)
    async with opened(study, "layers", expect="Layer 3 of 3") as pilot:
        await pilot.press("w")
        await sees(pilot, "means and tests without 3 networks at chance")
        app = pilot.app
        assert isinstance(app, EmbcxApp)
        app.session.remember("layers", study.paths)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "means and tests without 3 networks at chance")
        # Another study begins without it.
        await show(pilot, make_study(five_runs(), study_id="b3d5f7h9k1", at_chance=AT_CHANCE), "layers")
        await sees_no(pilot, "means and tests without")


async def test_marked_networks_say_which_of_them_are_at_chance() -> None:
    study = make_study(five_runs(), at_chance=AT_CHANCE)
    async with opened(study, "layers", (120, 40), expect="Layer 3 of 3 · tanh, run 0") as pilot:
        await pilot.press("space", "down", "space")
        await sees(pilot, "2 marked networks", "did not train: tanh")
