"""`bench embed`: seconds and exact KL of an embedding, ours beside openTSNE's, on the layers of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from embcx_tui.bench.machine import Say, clock, describe_machine, first_calls, idle_ratio, mean_time, with_peak
from embcx_tui.bench.reference import LibrarySetting, library_embed, library_name, library_settings
from embcx_tui.bench.results import CountRow, EmbedResult, GrowthRow, LayerRow, Trial
from embcx_tui.bench.workloads import Subject, Trained, choose_dataset
from embcx_tui.compute.device import cores
from embcx_tui.compute.timing import Timing, medians, timed
from embcx_tui.compute.tsne.affinities import affinities
from embcx_tui.compute.tsne.affinities_blocks import row_affinities
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.descent_packed import exact_kl_in_blocks
from embcx_tui.compute.tsne.kl_divergence import exact_kl
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.compute.tsne.schedule import DEFAULT_SCHEDULE
from embcx_tui.compute.tsne.team import Team
from embcx_tui.study.errors import DataError

PERPLEXITY = 30.0
# Rows of the layers: a class has a tenth of them.
ROWS, QUICK_ROWS = 1_000, 200
GROWTH, QUICK_GROWTH = (250, 500, 1_000, 2_000), (100, 200)
LARGE_GROWTH = (5_000, 10_000)
# From so many rows openTSNE's FFT may be the faster of its methods: both are tried.
EITHER_FROM = 5_000
COUNTS, QUICK_COUNTS = (1, 2, 8, 32), (1, 2)
TRAIN_LIMIT = 10_000
# Of so many inputs each class has a tenth of 10,000 rows, and a tenth of 20,000.
LARGE_TRAIN_LIMIT = 25_000
# Layers for each core in one measurement of ours: a study has hundreds at once.
AT_ONCE = 3
# A setting that took so many times the best one's seconds is not tried again: on a busy machine openTSNE's threads
# wait for each other at barriers, 16 s for 200 points.
HOPELESS = 1.5


# A layer with its P, so that everyone's points are scored by the same one.
Scored = tuple[Subject, NDArray[np.float64]]


class EmbedBench:
    """One run of `bench embed` on `device`; `quick` is a check that it works, on small sets: its ratio says little."""

    def __init__(self, quick: bool, large: bool, device: torch.device, say: Say, sizes: tuple[int, ...] = ()) -> None:
        """sizes: rows of the growth table, instead of its own."""
        self._quick = quick
        self._sizes = sizes or (QUICK_GROWTH if quick else GROWTH + LARGE_GROWTH * large)
        self._say = say
        self._device = device
        # One start on each side: what a study spends on the search for starts is no part of the comparison.
        one_start = replace(DEFAULT_SCHEDULE, search=None)
        self._measurement = Measurement(perplexity=PERPLEXITY, device=str(device), schedule=one_start)

    def run(self) -> EmbedResult:
        """Return the whole result, as docs/bench.md lists it."""
        machine = describe_machine(self._device)
        self._say("training a network whose layers are embedded")
        trained = Trained(choose_dataset(self._quick, self._train_limit()), self._quick, self._device)
        points = QUICK_ROWS if self._quick else ROWS
        layers = trained.subjects(points // len(trained.dataset.classes))
        scored = [(one, joint) for one in layers if (joint := affinities(one.rows, PERPLEXITY).joint) is not None]
        subjects = [subject for subject, _ in scored]
        self._ours(subjects[:1])  # compiled, or loaded, before any clock runs
        setting, probes = self._best_setting(subjects)
        ours, library, kls = self._compare(scored, setting)
        # The mean of the layers' medians: every layer counts the same on both sides.
        theirs = mean_time(library)
        rows, alone = self._alone(scored, library, kls)
        return {
            "ratio": theirs.seconds / ours.seconds,
            "cpu_ratio": theirs.cpu_seconds / ours.cpu_seconds,
            "idle_ratio": idle_ratio(theirs, setting.jobs, ours, cores()) if self._device.type == "cpu" else None,
            "ours": {
                "name": "exact, batched",
                **clock(ours),
                "exact_kl": fmean(ours_kl for ours_kl, _ in kls),
                "settings": f"{AT_ONCE * cores()} layers at once on {self._device}, to the certificate (at most 5,000)",
            },
            "reference": {
                "name": library_name(),
                **clock(theirs),
                "exact_kl": fmean(their_kl for _, their_kl in kls),
                "settings": f"{setting.words}, 750 iterations, one layer after another",
            },
            "machine": machine,
            "material": f"{trained.words}; n = {points}, perplexity {PERPLEXITY:g}",
            "rows": rows,
            "alone": {"seconds": alone, "what": "one layer alone, one core"},
            "settings_tried": probes,
            "growth": self._growth(trained, setting),
            "counts": self._counts(subjects),
            "memory": self._memory(subjects, setting),
            "first_call": None if self._quick else first_calls("embedding", self._say),
        }

    def _train_limit(self) -> int:
        return TRAIN_LIMIT if max(self._sizes) * 3 // 2 < TRAIN_LIMIT else LARGE_TRAIN_LIMIT

    def _ours(self, subjects: list[Subject]) -> list[Complexity]:
        measured = dict(measure([one.rows for one in subjects], [0] * len(subjects), self._measurement))
        return [measured[index] for index in range(len(subjects))]

    def _library(self, subject: Subject, setting: LibrarySetting) -> tuple[NDArray[np.float64], Timing]:
        return timed(lambda: library_embed(subject.rows, setting, PERPLEXITY))

    def _best_setting(self, subjects: list[Subject]) -> tuple[LibrarySetting, list[Trial]]:
        """Return openTSNE's fastest setting here, and what was tried: on one layer, then the best ones on another."""
        layers = [subjects[1], subjects[-1]]
        settings = library_settings(1 if self._quick else cores())
        library_embed(layers[0].rows, settings[0], PERPLEXITY)  # its imports and caches are not its speed
        times_of: dict[LibrarySetting, list[Timing]] = {setting: [] for setting in settings}
        for number, layer in enumerate(layers[:1] if self._quick else layers):
            best = min((times[0].seconds for times in times_of.values() if times), default=float("inf"))
            for setting in settings:
                if number and times_of[setting][0].seconds > HOPELESS * best:
                    continue
                self._say(f"openTSNE: {setting.words}")
                times_of[setting].append(self._library(layer, setting)[1])
        tried = [_trial(setting, times[0]) for setting, times in times_of.items()]
        if not self._quick:
            setting = LibrarySetting("fft", 1)
            self._say(f"openTSNE: {setting.words} (once)")
            tried.append(_trial(setting, self._library(layers[0], setting)[1]))
        most = max(len(times) for times in times_of.values())
        sums = {setting: sum(one.seconds for one in times) for setting, times in times_of.items() if len(times) == most}
        return min(sums, key=lambda setting: sums[setting]), tried

    def _compare(
        self, scored: list[Scored], setting: LibrarySetting
    ) -> tuple[Timing, list[Timing], list[tuple[float, float]]]:
        """Time openTSNE layer by layer and, after each of its layers, ours on that one and the next ones together: so
        drift hits both, and each layer counts the same.

        Returns our time per layer, openTSNE's of each layer, and the exact KL of each layer, ours and openTSNE's.
        """
        ours: list[Timing] = []
        theirs: list[list[Timing]] = [[] for _ in scored]
        kls: list[tuple[float, float]] = []
        for number in range(1 if self._quick else 2):
            for index, (subject, joint) in enumerate(scored):
                self._say(f"round {number + 1}, {subject.name}: openTSNE, then ours")
                points, timing = self._library(subject, setting)
                theirs[index].append(timing)
                some = [scored[(index + further) % len(scored)][0] for further in range(AT_ONCE * cores())]
                measured, all_of_them = timed(lambda some=some: self._ours(some))  # type: ignore[misc]  # a default
                ours.append(all_of_them.per(len(some)))
                if number == 0:
                    kls.append((exact_kl(joint, measured[0].points), exact_kl(joint, points)))
        return medians(ours), [medians(times) for times in theirs], kls

    def _alone(
        self, scored: list[Scored], library: list[Timing], kls: list[tuple[float, float]]
    ) -> tuple[list[LayerRow], float]:
        """Time each layer by itself; return its rows beside openTSNE's, and the median seconds."""
        times = []
        rows: list[LayerRow] = []
        for (subject, joint), theirs, (_, their_kl) in zip(scored, library, kls, strict=True):
            self._say(f"{subject.name}: ours, alone")
            (mine,), timing = timed(lambda subject=subject: self._ours([subject]))  # type: ignore[misc]  # a default
            times.append(timing.seconds)
            rows.append(_row(subject, "exact", timing, exact_kl(joint, mine.points), mine.iterations))
            rows.append(_row(subject, library_name(), theirs, their_kl, 750))
        return rows, median(times)

    def _growth(self, trained: Trained, setting: LibrarySetting) -> list[GrowthRow]:
        """Time both for growing numbers of rows, on two trained layers (ours both at once)."""
        rows: list[GrowthRow] = []
        for n in self._sizes:
            self._say(f"{n:,} rows")
            try:
                layers = trained.subjects(n // len(trained.dataset.classes))
            except DataError:
                break  # the dataset has no more; the rows say how far it went
            pair = [layers[1], layers[2]]
            measured, ours = timed(lambda pair=pair: self._ours(pair))  # type: ignore[misc]  # a default
            embedded, best = self._best_of_library(pair, setting, n)
            theirs = mean_time([timing for _, timing in embedded])
            per_layer = ours.per(len(pair))
            rows.append(
                {
                    "n": n,
                    "seconds": per_layer.seconds,
                    "reference_seconds": theirs.seconds,
                    "ratio": theirs.seconds / per_layer.seconds,
                    "cpu_seconds": per_layer.cpu_seconds,
                    "reference_cpu_seconds": theirs.cpu_seconds,
                    "exact_kl": _mean_kl(pair, [one.points for one in measured]),
                    "reference_exact_kl": _mean_kl(pair, [points for points, _ in embedded]),
                    "engine": measured[0].engine,
                    "reference_settings": best.words,
                }
            )
        return rows

    def _best_of_library(
        self, pair: list[Subject], setting: LibrarySetting, n: int
    ) -> tuple[list[tuple[NDArray[np.float64], Timing]], LibrarySetting]:
        """Return openTSNE's points and times of two layers of n rows, and the setting: for many rows the better of
        `setting` and FFT on the first.
        """
        if n < EITHER_FROM:
            return [self._library(one, setting) for one in pair], setting
        tried = {one: self._library(pair[0], one) for one in (setting, LibrarySetting("fft", setting.jobs))}
        best = min(tried, key=lambda one: tried[one][1].seconds)
        return [tried[best], self._library(pair[1], best)], best

    def _counts(self, subjects: list[Subject]) -> list[CountRow]:
        """Time ours for growing numbers of embeddings at once."""
        rows: list[CountRow] = []
        for count in QUICK_COUNTS if self._quick else COUNTS:
            self._say(f"{count} embeddings at once")
            some = [subjects[1 + index % (len(subjects) - 1)] for index in range(count)]
            timing = timed(lambda some=some: self._ours(some))[1].per(count)  # type: ignore[misc]  # a default
            rows.append({"embeddings": count, **clock(timing)})
        return rows

    def _memory(self, subjects: list[Subject], setting: LibrarySetting) -> dict[str, int]:
        """Return peak resident bytes of this process, and of the GPU's allocator, during either."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        _, at_rest = with_peak(lambda: None)
        _, ours = with_peak(lambda: self._ours(subjects))
        _, theirs = with_peak(lambda: library_embed(subjects[0].rows, setting, PERPLEXITY))
        peaks = {"before": at_rest, "ours": ours, "reference": theirs}
        if self._device.type == "cuda":
            peaks["ours_gpu"] = torch.cuda.max_memory_allocated(self._device)
        return peaks


def _trial(setting: LibrarySetting, timing: Timing) -> Trial:
    return {"settings": setting.words, **clock(timing)}


def _row(subject: Subject, engine: str, timing: Timing, kl: float, iterations: int) -> LayerRow:
    n, d = subject.rows.shape
    return {
        "layer": subject.name,
        "engine": engine,
        **clock(timing),
        "exact_kl": kl,
        "iterations": iterations,
        "n": n,
        "d": d,
    }


def _mean_kl(subjects: list[Subject], embedded: Sequence[NDArray[Any]]) -> float | None:
    """Return the mean exact KL of the points of each layer, by its P, block by block; None where one has no P."""
    kls = []
    with Team(cores()) as team:
        for subject, points in zip(subjects, embedded, strict=True):
            p = row_affinities(subject.rows, PERPLEXITY, team)
            if p.info.reached:
                kls.append(exact_kl_in_blocks(p, points, team))
    return fmean(kls) if kls else None
