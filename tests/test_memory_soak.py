"""An application that is open for a day does not grow: 10,000 updates, and what is kept afterwards."""

from __future__ import annotations

import gc
from dataclasses import replace

import psutil

from embcx_tui.store.machine_records import Telemetry
from embcx_tui.store.snapshot import StudyReader
from embcx_tui.tui.app import make_app
from embcx_tui.tui.messages import StudyRead, TelemetryRead
from tests.fake_events import START
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import app_of, until

UPDATES, WARM, BATCH = 10_000, 2_000, 100
# What 8,000 further updates may leave behind: a leak of one object each would be more.
MOST_OBJECTS, MOST_MEMORY = 4_000, 24 << 20


def samples(now: int) -> tuple[Telemetry, ...]:
    return tuple(Telemetry(float(now + n), 50.0 + (now + n) % 9, 1 << 30, 8 << 30) for n in range(30))


async def test_memory_is_flat_over_ten_thousand_updates() -> None:
    study = make_study(
        settings_of(networks__runs=1, networks__activations=["relu"], training__epochs=9), "running", epochs=1,
        arrays=False,
    )  # fmt: skip
    reader = StudyReader(study.paths)
    states = [reader.poll()]
    for event in [one for one in study.events(epochs=8) if one.kind == "epoch" and one.epoch > 1]:
        study.append(event)
        states.append(reader.poll())
    app = make_app(study.paths)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app_of(pilot).current_mode == "live" and app_of(pilot).snapshot)
        objects = memory = 0
        for number in range(UPDATES):
            # A picture of curves takes 13 ms: they change with every hundredth update, all else with each.
            state = states[number // 100 % len(states)]
            app.study_read(StudyRead(study.paths, replace(state, updated=START + number)))
            app.telemetry_read(TelemetryRead(study.paths, samples(number)))
            if number % BATCH == 0:
                await pilot.pause()
            if number == WARM:
                objects, memory = kept()
        await pilot.pause()
        study.release()
        more_objects, more_memory = (new - old for new, old in zip(kept(), (objects, memory), strict=True))
    assert more_objects < MOST_OBJECTS
    assert more_memory < MOST_MEMORY


def kept() -> tuple[int, int]:
    """Return how many objects live, and the process's memory in bytes."""
    gc.collect()
    return len(gc.get_objects()), psutil.Process().memory_info().rss
