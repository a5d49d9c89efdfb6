"""The live screen, as the keys a person presses and what they see."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from embcx_tui.store.log import LogLine
from embcx_tui.store.machine_records import Telemetry, TelemetryWriter, read_telemetry
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import NetworkDiverged, Noted, WorkerStarted
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import StudySettings
from embcx_tui.tui.app import make_app
from embcx_tui.tui.live.header import LiveHeader, short, state_words, throughput
from embcx_tui.tui.live.log_panel import LogPanel
from embcx_tui.tui.live.machine_panel import history
from embcx_tui.tui.live.network_table import NetworksTable
from embcx_tui.tui.messages import Starting, StudyRead
from embcx_tui.worker import launch
from tests.fake_events import START
from tests.fake_studies import FakeState, FakeStudy, make_study, settings_of
from tests.tui.pilot import PATIENCE_S, app_of, has_exited, opened, sees, sees_no, stop_the_clock, text_of, until


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)


def small(**overrides: Any) -> StudySettings:
    """Two activations, two runs, two layers of digits; 20 points a class."""
    wanted: dict[str, Any] = {
        "networks__activations": ["tanh", "relu"],
        "networks__depths": [2],
        "networks__runs": 2,
        "training__epochs": 8,
        "data__samples_per_class": 20,
    }
    return settings_of(**{**wanted, **overrides})


def networks_of(text: str) -> list[str]:
    """Return the lines of the table of networks: all have two hidden layers."""
    return [line for line in text.splitlines() if " 2 " in line and ("tanh" in line or "relu" in line)]


def running(**more: Any) -> FakeStudy:
    return make_study(small(), "running", arrays=False, **more)


async def test_without_a_study_it_says_what_to_press() -> None:
    async with opened(None, "live", expect="No study is open.") as pilot:
        assert "Press s for your studies" in text_of(pilot)


async def test_a_running_study_shows_progress_networks_and_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch, START + 7)
    async with opened(running(), "live", expect="digits, epoch 5 of 8") as pilot:
        text = text_of(pilot)
        for words in ("16 of 32 epochs", "0 of 18 embeddings", "left", "x stops after this epoch"):
            assert words in text
        assert "2 tanh          0             4/8     –" in text and "◌ training" in text
        assert "untrained" in text and "· queued" in text
        assert "Training loss, mean of 2 runs" in text and "━━ tanh   ━━ relu" in text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("queued", ("not started yet", "r starts it", "No epoch is trained yet.")),
        ("stopped", ("stopped; nothing is lost", "r resumes", "■ stopped")),
        ("lost", ("the worker ended without a word 15 min ago", "r resumes")),
        ("failed", ("failed: CUDA out of memory", "r resumes")),
        ("complete", ("complete", "press l for the layers", "● measured", "100%")),
    ],
)
async def test_every_state_is_said_in_words_with_what_to_do(state: FakeState, words: tuple[str, ...]) -> None:
    study = make_study(small(), state, arrays=False, reason="CUDA out of memory")
    async with opened(study, "live") as pilot:
        await sees(pilot, *words)


@pytest.mark.parametrize("state", ["queued", "stopped"])
async def test_while_the_worker_comes_it_says_so_and_asks_for_no_key(
    state: FakeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(small(), state, arrays=False)
    launched = threading.Event()

    def start(paths: StudyPaths) -> int:
        assert launched.wait(PATIENCE_S)
        raise StoreError("no worker today")

    monkeypatch.setattr(launch, "start", start)
    async with opened(study, "live", expect="r starts it" if state == "queued" else "r resumes") as pilot:
        await pilot.press("r")
        text = await sees(pilot, "● starting")
        assert "not started" not in text and "stopped; nothing" not in text and "r resumes" not in text
        launched.set()
        await sees(pilot, "no worker today", "r starts it" if state == "queued" else "r resumes")


async def test_once_the_worker_has_written_it_starts_no_more() -> None:
    study = make_study(small(), "stopped", arrays=False)
    async with opened(study, "live", expect="r resumes") as pilot:
        pilot.app.post_message(Starting(study.paths, START + 5_000))
        await sees(pilot, "● starting")
        study.append(WorkerStarted(at=START + 5_001, pid=4_000_000, start_time=0, host="there", boot_id="b"))
        await sees(pilot, "the worker ended without a word")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@pytest.mark.parametrize("name", ["NVIDIA H200", "NVIDIA RTX 6000 Ada Generation Laptop GPU, the third"])
async def test_nothing_the_machine_says_is_cut(size: tuple[int, int], name: str) -> None:
    study = make_study(small(), "stopped", arrays=False)
    writer = TelemetryWriter(study.paths.telemetry)
    for second in range(600):
        sample = Telemetry(START - 9_000 + second, 50.0, 90 << 30, 128 << 30, name, 97.0, 99 << 30, 139 << 30)
        writer.append(replace(sample, gpu_temperature=71.0, gpu_power=643.0))
    writer.close()
    async with opened(study, "live", size, expect="r resumes") as pilot:
        await pilot.press("tab", "tab")
        await sees(pilot, "643 W")
        region = pilot.app.screen.query_one("#machine").content_region
        text = "\n".join(line[region.x : region.right].rstrip() for line in text_of(pilot).splitlines())
        assert name in " ".join(text.split())
        assert "90.0 of 128 GiB" in text and "history: 10 min until 3 h ago" in text


@pytest.mark.parametrize(
    ("index", "count", "words"),
    [(4, 8, "GPU 5 of 8 (nvidia-smi's 4)"), (0, 1, ""), (None, 8, ""), (None, None, "")],
)
async def test_the_machine_panel_says_which_gpu_of_several_and_n_a_for_what_is_not_known(
    index: int | None, count: int | None, words: str
) -> None:
    study = make_study(small(), "stopped", arrays=False)
    writer = TelemetryWriter(study.paths.telemetry)
    sample = Telemetry(START, 50.0, 90 << 30, 128 << 30, "NVIDIA A100", gpu_index=index, gpu_count=count)
    writer.append(sample)
    writer.close()
    async with opened(study, "live", (120, 40), expect="r resumes") as pilot:
        text = await sees(pilot, "NVIDIA A100", "n/a")
        assert words in text and ("nvidia-smi" in text) is bool(words)


async def test_all_gpus_of_the_box_stand_below_the_studys_own_and_what_is_hot_is_marked() -> None:
    study = make_study(small(), "stopped", arrays=False)
    writer = TelemetryWriter(study.paths.telemetry)
    gpus = tuple((index, 10 * index, 1_024 * index, 81_920) for index in range(8))
    for second in range(60):
        sample = Telemetry(START - 60 + second, 50.0, 1 << 30, 8 << 30, "NVIDIA H100", 92.0, 20 << 30, 80 << 30)
        sample = replace(sample, gpu_temperature=91.0, gpu_power=None, gpu_index=5, gpu_count=8, gpus=gpus)
        writer.append(sample)
    writer.close()
    assert read_telemetry(study.paths.telemetry)[-1].gpus == gpus
    async with opened(study, "live", (200, 60), expect="r resumes") as pilot:
        await pilot.press("tab", "tab", "z")
        text = await sees(pilot, "GPU 6 of 8", "all GPUs", "▸5   50 % ████░░░░ 5/80 GiB", "7   70 %", "! 91 °C")
        rows = text.splitlines()
        power = next(index for index, line in enumerate(rows) if "power" in line)
        assert rows[power].split()[-2:] == ["▌power", "n/a"] and "host CPU" in rows[power + 1], "n/a takes one row"
        gpu = next(index for index, line in enumerate(rows) if line.lstrip("▌ ").startswith("GPU   "))
        assert sum("████" in line for line in rows[gpu : gpu + 8]) >= 6, "an area, not a row"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_each_hand_has_a_row_with_its_load_and_its_part(size: tuple[int, int]) -> None:
    study = make_study(small(), "stopped", arrays=False)
    writer = TelemetryWriter(study.paths.telemetry)
    hands = (
        (0, "digits.part0", 101.0, 812, 3, 87, 12_288, 81_920),
        (1, "digits.part1", 55.0, 799, 5, 100, 80_000, 81_920),
        (2, "", 0.0, 512, None, None, None, None),
        (3, "digits.part3", None, None, None, None, None, None),  # on another machine
    )
    for second in range(60):
        sample = Telemetry(START - 60 + second, 50.0, 1 << 30, 8 << 30, "2 × NVIDIA H100", 93.0, 90 << 30, 160 << 30)
        writer.append(replace(sample, hands=hands))
    writer.close()
    assert read_telemetry(study.paths.telemetry)[-1].hands == hands
    async with opened(study, "live", size, expect="r resumes") as pilot:
        await pilot.press("tab", "tab")
        await sees(pilot, "2 × NVIDIA H100", "0    87 % ███████░ 12/80 GiB", "1   100 % ████████ !78/80 GiB")
        await pilot.press("z")
        await sees(pilot, "GPU 3, digits.part0", "GPU 5, digits.part1", "2     0 % ░░░░░░░░ 0.5 GiB     no part")
        await sees(pilot, "3     n/a ░░░░░░░░ n/a         digits.part3")


def test_before_the_first_epoch_it_says_what_the_worker_does() -> None:
    snapshot = Snapshot("k7m2x9q4fa", make_plan(small()), "running")
    assert state_words(snapshot) == "running: getting ready"


async def test_a_study_with_losses_is_complete_but_says_so() -> None:
    study = make_study(small(), arrays=False, diverged=["digits-d2-tanh-r1"], broken=["digits-d2-relu-r0-l1"])
    async with opened(study, "live", expect="complete, but 1 network diverged, 1 layer failed") as pilot:
        text = text_of(pilot)
        assert "2/8" in text and "✗ diverged" in text and "! failed" in text


async def test_new_epochs_appear_and_cursor_and_marks_stay() -> None:
    study = running(epochs=2)
    async with opened(study, "live", expect="epoch 3 of 8") as pilot:
        await pilot.press("down", "space")
        await sees(pilot, "◆", "Training loss of the marked networks")
        study.append(*[event for event in study.events(epochs=5) if event.kind == "epoch" and event.epoch > 2])
        text = await sees(pilot, "epoch 6 of 8", "5/8")
        marked = next(line for line in text.splitlines() if "◆" in line)
        assert "tanh          1" in marked
        assert pilot.app.screen.query_one(NetworksTable).chosen == "digits-d2-relu-r0"
        await pilot.press("escape")
        await sees(pilot, "Training loss, mean of 2 runs")


async def test_the_network_under_the_cursor_gets_its_own_curve() -> None:
    async with opened(running(), "live", expect="mean of 2 runs") as pilot:
        await pilot.press("down", "down")
        await sees(pilot, "━━ relu run 0")


async def test_b_goes_from_chart_to_chart_and_back() -> None:
    async with opened(running(), "live", expect="Training loss, mean") as pilot:
        for title in (
            "Test accuracy, mean",
            "Training accuracy, mean",
            "No layer is measured yet",
            "Training loss, mean",
        ):
            await pilot.press("b")
            await sees(pilot, title)
        await pilot.press("B", "B")
        await sees(pilot, "Training accuracy, mean")
        await pilot.press("b", "b", "vertical_line")
        await sees(pilot, "Training loss, log axis, mean", "1.5")


async def test_while_layers_are_measured_the_complexity_takes_the_place_of_the_curves() -> None:
    study = running(epochs=8, measured=0)
    async with opened(study, "live", (120, 40), expect="Training loss") as pilot:
        assert "━ relu 0" not in text_of(pilot)
        study.append(*(event for event in study.events(epochs=8) if event.kind == "measured"))
        text = await sees(pilot, "2 hidden layers", "━ relu")
        assert "Training loss" not in text
        await pilot.press("b")
        await sees(pilot, "Training loss")


async def test_slash_filters_the_networks_and_escape_goes_up() -> None:
    async with opened(running(), "live", expect="Training loss") as pilot:
        await pilot.press("slash", *"relu", "space", *"r1", "enter")
        table = pilot.app.screen.query_one(NetworksTable)
        assert [state.network.id for state in table.items] == ["digits-d2-relu-r1", "digits-d2-relu-r1-untrained"]
        await pilot.press("slash", *"x")
        await sees(pilot, "no network has “x”")
        await pilot.press("escape")
        assert len(table.items) == 8
        await pilot.press("escape")
        await sees(pilot, "State")


async def test_tab_turns_the_pages_at_80_columns() -> None:
    async with opened(running(telemetry=30), "live", expect="Training loss") as pilot:
        await pilot.press("tab")
        await sees(pilot, "━━ tanh")
        await pilot.press("tab")
        text = await sees(pilot, "no GPU: host load", "host CPU", "host mem", "3.0 of 8 GiB", "history: the last 29 s")
        assert "Training loss" not in text
        await pilot.press("tab")
        await sees(pilot, "following", "training 4 networks together")
        await pilot.press("tab", "shift+tab")
        await sees(pilot, "following")


@pytest.mark.parametrize(("key", "panel"), [("tab", "networks"), ("shift+tab", "log")])
async def test_a_key_typed_before_the_screen_has_its_focus_counts_from_its_end(key: str, panel: str) -> None:
    async with opened(make_study(), "live", (120, 40), expect="complete") as pilot:
        pilot.app.screen.set_focus(None)
        await pilot.press(key)
        await until(pilot, lambda: pilot.app.focused is not None and pilot.app.focused.id == panel)


async def test_at_120_columns_everything_is_on_the_screen() -> None:
    async with opened(running(telemetry=30), "live", (120, 40), expect="Training loss") as pilot:
        await sees(pilot, "host CPU", "training 4 networks together", "◌ training")


async def test_the_log_stays_while_it_is_read_and_follows_at_its_end() -> None:
    study = running()
    async with opened(study, "live", expect="Training loss") as pilot:
        study.append(*(Noted(at=START + 60 + n, level="info", text=f"note {n:02}") for n in range(30)))
        await pilot.press("shift+tab")
        await sees(pilot, "following", "note 29")
        await pilot.press("pageup", "pageup")
        text = await sees(pilot, "paused")
        first = next(line for line in text.splitlines() if "note" in line)
        study.append(*(Noted(at=START + 100 + n, level="error", text=f"late {n}") for n in range(3)))
        text = await sees(pilot, "paused, 3 new (f follows)")
        assert first in text.splitlines() and "late 2" not in text
        await pilot.press("f")
        await sees(pilot, "following", "✗ late 2")
        await pilot.press("f", "up", "end")
        await sees(pilot, "following")


async def test_the_filter_keeps_lines_with_every_word() -> None:
    async with opened(running(), "live", expect="Training loss") as pilot:
        await pilot.press("shift+tab", "slash", *"EPOCH", "space", *"3/8")
        await sees(pilot, "with “EPOCH 3/8”: 1 of 9 lines", "digits: epoch 3/8")
        await pilot.press("enter")
        text = await sees(pilot, "with “EPOCH 3/8”")
        assert "epoch 2/8" not in text
        await pilot.press("escape")
        await sees(pilot, "9 lines", "epoch 2/8")


async def test_long_lines_go_on_below() -> None:
    study = running()
    study.append(Noted(at=START + 60, level="error", text="much " * 30 + "to say"))
    async with opened(study, "live", expect="Training loss") as pilot:
        await pilot.press("shift+tab")
        await sees(pilot, "✗ much much", "to say")


async def test_x_asks_and_stops_after_the_epoch() -> None:
    study = running()
    async with opened(study, "live", expect="x stops after this epoch") as pilot:
        text = await sees(pilot, "x Stop")
        assert "r Resume" not in text
        await pilot.press("x")
        await sees(pilot, "Stop this study?", "After this epoch", "Now", "Cancel")
        await pilot.press("escape")
        await sees_no(pilot, "Stop this study?")
        await pilot.press("x")
        await sees(pilot, "Stop this study?")
        await pilot.press("enter")
        text = await sees(pilot, "stopped; nothing is lost", "r resumes", "r Resume")
        assert "x Stop" not in text


async def test_z_gives_the_focused_panel_the_whole_screen() -> None:
    async with opened(running(), "live", expect="Training loss") as pilot:
        await pilot.press("z")
        text = await sees_no(pilot, "Training loss")
        assert "tanh" in text
        await pilot.press("tab")
        text = await sees(pilot, "Training loss")
        assert "◌ training" not in text
        await pilot.press("escape")
        await sees(pilot, "◌ training", "Training loss")


async def test_a_snapshot_that_changes_nothing_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    study = running()
    async with opened(study, "live", expect="Training loss") as pilot:
        screen = pilot.app.screen
        sent: list[object] = []
        for name in ("head", "networks", "curves", "log"):
            widget = screen.query_one(f"#{name}")
            monkeypatch.setattr(widget, "refresh", lambda *given, **_: sent.append(given))
        snapshot = app_of(pilot).snapshot
        assert snapshot
        app_of(pilot).study_read(StudyRead(study.paths, replace(snapshot, updated=snapshot.updated + 0.001)))
        await pilot.pause()
        assert sent == []


def sample(second: float, load: float | None) -> Telemetry:
    return Telemetry(second, load or 0.0, 1, 2, gpu_percent=load)


def test_a_history_shows_the_newest_at_the_right() -> None:
    rising = [sample(n, 100 * n / 8) for n in range(8)]
    assert history(rising, lambda one: one.gpu_percent, 100, 10) == "  ▁▂▃▄▅▆▇█"
    gaps = [sample(0, 0.0), sample(1, None), sample(2, 100.0)]
    assert history(gaps, lambda one: one.gpu_percent, 100, 3) == "▁ █"
    many = [sample(n, 50.0) for n in range(1000)]
    assert history(many, lambda one: one.gpu_percent, 100, 20) == "▅" * 20


def test_the_log_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = LogPanel()
    monkeypatch.setattr(panel, "repaint", lambda: None)
    plan = make_plan(small())
    lines = tuple(LogLine(Noted(at=float(n), level="info", text=f"line {n}"), plan) for n in range(5))
    panel.show(Snapshot("a", plan, log=lines[:3]))
    panel.show(Snapshot("a", plan, log=lines))
    assert panel.line_count == 5
    panel.show(Snapshot("b", plan, log=lines[:1]))
    assert panel.line_count == 1


async def test_a_worker_that_writes_nothing_is_said_to_be_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(settings_of(), "running", epochs=14, arrays=False)
    stop_the_clock(monkeypatch, START + 60)
    async with opened(study, "live", expect="running: training") as pilot:
        stop_the_clock(monkeypatch, START + 16 + 5 * 60)
        pilot.app.screen.query_one(LiveHeader).repaint()
        text = await sees(pilot, "quiet for 5 min: digits, epoch 15 of 30", "of 75 embeddings")
        assert " left" not in text


async def test_what_is_left_runs_down_between_the_workers_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(settings_of(), "running", epochs=14, arrays=False)
    last = START + 16
    stop_the_clock(monkeypatch, last)
    async with opened(study, "live", expect="54 s left") as pilot:
        for later, words in ((20, "34 s left"), (60, "less than a second left")):
            stop_the_clock(monkeypatch, last + later)
            pilot.app.screen.query_one(LiveHeader).repaint()
            await sees(pilot, words)


async def test_means_of_curves_say_who_is_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(small(), arrays=False, at_chance=["digits-d2-relu-r1"], diverged=["digits-d2-tanh-r0"])
    async with opened(study, "live", expect="press l for the layers") as pilot:
        await pilot.press("b")
        await sees(pilot, "Training loss, mean of 2 runs (1 did not train, 1 diverged)")
        await pilot.press("space")
        await sees(pilot, "Training loss of the marked networks")
        await sees_no(pilot, "(1 did not train")


async def test_what_needs_a_look_stands_first_and_o_changes_the_order() -> None:
    study = make_study(small(), arrays=False, diverged=["digits-d2-relu-r1"], broken=["digits-d2-relu-r0-l1"])
    async with opened(study, "live", expect="▾status") as pilot:
        lines = networks_of(text_of(pilot))
        assert "✗ diverged" in lines[0] and "! failed" in lines[1] and "● measured" in lines[2]
        await pilot.press("o")
        text = await sees(pilot, "▾run")
        assert "tanh          0" in next(
            line for line in text.splitlines() if " 2 " in line and ("tanh" in line or "relu" in line)
        )
        await pilot.press("o")
        await sees(pilot, "▾loss")


async def test_a_network_at_chance_is_told_and_stands_before_the_healthy() -> None:
    study = running(epochs=8, measured=0)
    trained = [event for event in study.events(epochs=8, measured=0) if event.kind == "trained"]
    lost = next(event for event in trained if event.network == "digits-d2-relu-r0")
    data = next(event for event in study.events(epochs=1) if event.kind == "dataset")
    async with opened(study, "live", expect="◐ 0/3 done") as pilot:
        study.append(data.model_copy(update={"chance": 0.1}))
        study.append(lost.model_copy(update={"test_accuracy": 0.1}))
        text = await sees(pilot, "≈ at chance")
        assert "relu" in next(
            line for line in text.splitlines() if " 2 " in line and ("tanh" in line or "relu" in line)
        )


async def test_the_cursor_stays_on_its_network_when_others_come_to_need_a_look() -> None:
    study = running(epochs=4)
    async with opened(study, "live", expect="epoch 5 of 8") as pilot:
        await pilot.press("down")
        table = pilot.app.screen.query_one(NetworksTable)
        assert table.chosen == "digits-d2-tanh-r1"
        study.append(NetworkDiverged(at=START + 99, network="digits-d2-relu-r1", epoch=4))
        await sees(pilot, "✗ diverged")
        assert table.chosen == "digits-d2-tanh-r1"


async def test_the_level_shows_warnings_then_errors_then_all() -> None:
    study = running(epochs=1)
    study.append(Noted(at=START + 50, level="warning", text="much memory in use"))
    study.append(Noted(at=START + 51, level="error", text="a layer is gone"))
    async with opened(study, "live", (120, 40), expect="a layer is gone") as pilot:
        await pilot.press("L")
        text = await sees(pilot, "warnings and errors: 2 of")
        assert "together" not in text and "much memory" in text
        await pilot.press("L")
        assert "much memory" not in await sees(pilot, "errors: 1 of")
        await pilot.press("L")
        await sees(pilot, "together", "much memory")


async def test_finding_goes_from_match_to_match() -> None:
    study = running(epochs=1)
    study.append(*(Noted(at=START + 50 + n, level="info", text=f"step {n} of many") for n in range(60)))
    study.append(Noted(at=START + 120, level="info", text="the needle"))
    async with opened(study, "live", (120, 40), expect="the needle") as pilot:
        await pilot.press("ctrl+f", *"step 1", "enter")
        assert "▸ step 19 of many" in await sees(pilot, "1 selected: y copies")
        await pilot.press("less_than_sign")
        await sees(pilot, "▸ step 18 of many")
        await pilot.press("greater_than_sign")
        await sees(pilot, "▸ step 19 of many")
        await pilot.press("escape", "ctrl+f", *"nothing such", "enter")
        await sees(pilot, "“nothing such” is nowhere")


async def test_lines_of_the_log_are_selected_and_copied() -> None:
    study = running(epochs=1)
    study.append(*(Noted(at=START + 50 + n, level="info", text=f"step {n} of many") for n in range(9)))
    async with opened(study, "live", (120, 40), expect="step 8") as pilot:
        await pilot.press("shift+tab", "space", "up", "up")
        await sees(pilot, "3 selected: y copies, esc ends", "▸ step 6", "▸ step 8")
        await pilot.press("y")
        await sees_no(pilot, "selected")
        assert pilot.app.clipboard.splitlines()[0].endswith("step 6 of many")
        assert len(pilot.app.clipboard.splitlines()) == 3


async def test_y_copies_the_networks_as_a_table() -> None:
    async with opened(running(), "live", expect="Training loss") as pilot:
        await pilot.press("space", "y")
        await sees(pilot, "Copied 1 network")
        head, line = pilot.app.clipboard.splitlines()
        assert head.startswith("dataset\tdepth") and line.startswith("digits\t2\ttanh\t0")


def test_the_log_moves_up_some_lines_at_a_time() -> None:
    panel = LogPanel()
    panel.repaint = lambda: None  # type: ignore[method-assign]  # nothing is on a screen here
    type(panel).body_height = property(lambda self: 20)  # type: ignore[assignment, method-assign]  # 20 rows
    try:
        plan = make_plan(small())
        lines = tuple(LogLine(Noted(at=float(n), level="info", text=f"line {n}"), plan) for n in range(60))
        panel.show(Snapshot("a", plan, "running", log=lines[:20]))
        tops = []
        for count in range(21, 60):
            panel.show(Snapshot("a", plan, "running", log=lines[:count]))
            tops.append(panel.top)
            assert panel.top + 20 >= count, "the end is on the screen"
        assert len(set(tops)) <= 39 / 5 + 1
    finally:
        del type(panel).body_height


async def test_marks_order_and_level_come_back() -> None:
    study = running()
    async with opened(study, "live", expect="Training loss") as pilot:
        await pilot.press("space", "o", "L", "b", "q")
        await sees(pilot, "Leave embcx-tui?")
        await pilot.press("enter")
        await until(pilot, lambda: has_exited(pilot))
    async with make_app().run_test(size=(80, 24)) as pilot:
        await sees(pilot, "◆", "Test accuracy of the marked networks")
        assert pilot.app.screen.query_one(NetworksTable).order == "plan"
        assert pilot.app.screen.query_one(LogPanel).level == "warning"


def test_the_throughput_is_that_of_the_newest_events() -> None:
    study = running(epochs=4)
    snapshot = read_study(study.paths)
    inputs = snapshot.datasets["digits"].n_train
    assert throughput(snapshot) == (f"{short(inputs * 4)} samples/s",)
    done = read_study(make_study(small(), "running", study_id="b3d5f7h9k1", arrays=False, epochs=8, measured=8).paths)
    layers = list(done.measured.items())
    for ends, words in (
        ([0.0, 0.003], ()),  # two that two cores ended together
        ([0.0, 0.1, 0.2, 0.3, 0.4], ()),
        ([0.0, 0.5, 1.0, 1.5, 2.0], ("2.0 embeddings/s",)),
    ):
        measured = {key: one.model_copy(update={"at": at}) for at, (key, one) in zip(ends, layers, strict=False)}
        assert throughput(replace(done, measured=measured, histories={})) == words
    assert [short(value) for value in (0.42, 8.13, 950.2, 41_230, 1_240_000)] == ["0.42", "8.1", "950", "41 k", "1.2 M"]
