"""A calibration and the forecasts made of it."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from embcx_tui.analysis.forecast import (
    INPUT_COST,
    PLAIN_COST,
    Sizes,
    epoch_seconds,
    forecast,
    sizes,
    step_parts,
)
from embcx_tui.compute.timing import Timing
from embcx_tui.store.machine_records import ROUGH, Calibration, store_calibration, stored_calibration
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import METHODS, load_preset
from embcx_tui.worker import calibrate as measuring


def test_a_calibration_is_measured_kept_and_found(home: Path) -> None:
    assert stored_calibration("cpu") is None
    found = measuring.calibrate(torch.device("cpu"))
    assert stored_calibration("cpu") == found and stored_calibration("auto") is not None
    assert stored_calibration("cuda") is None
    assert found.embedding > 0 and found.write > 0 and found.operation + found.work + found.weight > 0
    assert not list(home.glob(".calibration-*"))


def test_devices_and_hosts_have_entries_of_their_own(home: Path) -> None:
    store_calibration("cpu", ROUGH, "cuda:0")
    fast = replace(ROUGH, embedding=0.003)
    store_calibration("cuda:0", fast, "cuda:0")
    assert (stored_calibration("cpu"), stored_calibration("cuda"), stored_calibration("auto")) == (ROUGH, fast, fast)
    content = json.loads((home / "calibration.json").read_text())
    content["hosts"]["another"] = content["hosts"].pop(socket.gethostname())
    (home / "calibration.json").write_text(json.dumps(content))
    assert stored_calibration("cpu") is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version": 99, "hosts": {}}', '{"version": 2, "hosts": [1]}', "[" * 100_000],
)
def test_a_damaged_file_is_no_calibration(home: Path, text: str) -> None:
    home.mkdir(parents=True)
    (home / "calibration.json").write_text(text)
    assert stored_calibration("cpu") is None
    store_calibration("cpu", ROUGH, "cpu")
    assert stored_calibration("cpu") == ROUGH


@pytest.mark.parametrize("value", ["fast", None, -1.0, float("nan"), float("inf")])
def test_a_number_that_is_none_is_no_calibration(home: Path, value: object) -> None:
    home.mkdir(parents=True)
    entry = {"cpu": asdict(ROUGH) | {"embedding": value}, "auto": "cpu"}
    text = json.dumps({"version": 2, "hosts": {socket.gethostname(): entry}})
    (home / "calibration.json").write_text(text)
    assert stored_calibration("cpu") is None


def test_steps_are_counted_as_by_hand() -> None:
    settings = load_preset("fig2").settings
    networks = make_plan(settings).cohorts[0].networks
    dense = Sizes(50_000, 10_000, 784, 10, nonzero=0.5)
    _, work, sparse, weights = step_parts(networks, dense, settings)
    each = 784 * 100 + 4 * 100 * 100 + 100 * 10
    assert weights == 20 * each
    # SPEED.md: 56 MFLOP a step and network at batch 100.
    assert work / 20 == pytest.approx(56e6, rel=0.02) and sparse == 0
    _, rest, sparse, weights = step_parts(networks, sizes("mnist", settings), settings)
    assert weights == 20 * each
    # Layer 1 is 31 MFLOP of it, on pixels of which four fifths are zero.
    assert (work - rest) / 20 == pytest.approx(31.4e6, rel=0.01) and sparse == pytest.approx(0.191 * (work - rest))


def test_a_forecast_is_the_sum_of_its_parts() -> None:
    plan = make_plan(load_preset("demo").settings)
    one = Calibration(operation=0, work=0, sparse=0, weight=0, embedding=1.0, metrics=0, write=0, start=0)
    # Three runs, so three inputs, each searched thoroughly.
    assert forecast(plan, one).total == pytest.approx(plan.embeddings + 3 * (INPUT_COST - 1.0))
    for search, cost in (("annealed", 1.0), ("plain", PLAIN_COST)):
        measure = plan.settings.measure.model_copy(update={"search": search})
        other = make_plan(plan.settings.model_copy(update={"measure": measure}))
        assert forecast(other, one).total == pytest.approx(plan.embeddings * cost)
    assert forecast(plan, replace(one, embedding=0, start=7.0)).total == pytest.approx(7.0)
    calls = replace(one, embedding=0, operation=1.0)
    data = sizes("digits", plan.settings)
    networks = plan.cohorts[0].networks
    epoch = epoch_seconds(networks, data, plan.settings, calls)
    assert epoch == pytest.approx(15 * step_parts(networks, data, plan.settings)[0])
    assert forecast(plan, calls).total == pytest.approx(30 * epoch)


def test_parts_on_several_gpus_take_as_long_as_the_busiest_and_on_a_cpu_as_long_as_all() -> None:
    one = Calibration(operation=0, work=0, sparse=0, weight=0, embedding=1.0, metrics=0, write=0, start=7.0)
    demo = load_preset("demo").settings
    networks = demo.networks.model_copy(update={"runs": 3})
    measure = demo.measure.model_copy(update={"search": "annealed"})

    def seconds(**machine: object) -> float:
        update = {"networks": networks, "measure": measure, "machine": demo.machine.model_copy(update=machine)}
        return forecast(make_plan(demo.model_copy(update=update)), one).total - 7.0

    whole = seconds()
    # Three runs of equal cost in three parts: three GPUs take a run each, two take two and one.
    assert seconds(devices=3) == seconds(devices="all", parts=3) == pytest.approx(whole / 3)
    assert seconds(devices=2, parts=3) == pytest.approx(2 * whole / 3)
    assert seconds(devices=("cuda:0", "cuda:3"), parts=3) == pytest.approx(2 * whole / 3)
    assert seconds(devices=2, parts=3, device="cpu") == pytest.approx(whole)


def test_embeddings_cost_what_their_pairs_and_methods_cost() -> None:
    preset = load_preset("fig2").settings
    every = preset.measure.model_copy(update={"methods": METHODS})
    preset = preset.model_copy(update={"measure": every})
    paper = forecast(make_plan(preset), ROUGH)
    assert paper.embeddings["mds"] > paper.embeddings["tsne"] > paper.embeddings["pca"]
    half = preset.model_copy(update={"data": preset.data.model_copy(update={"samples_per_class": 50})})
    quarter = forecast(make_plan(half), replace(ROUGH, write=0.0)).embeddings["tsne"]
    assert quarter == pytest.approx(forecast(make_plan(preset), replace(ROUGH, write=0.0)).embeddings["tsne"] / 4)


def test_a_disturbed_measurement_is_made_even() -> None:
    # The second piece was held up by another program: the pattern is that of processor time.
    even = measuring.even_seconds([Timing(2.0, 2.0), Timing(9.0, 1.0), Timing(1.0, 1.0)], 1)
    assert even == [2.0, 1.0, 1.0]
