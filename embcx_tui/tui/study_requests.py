"""The part of the application that hands what screens ask of studies on to those who do it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from textual import on
from textual.app import App
from textual.screen import Screen

from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui.data_fetches import DataFetches
from embcx_tui.tui.fetch_progress import Fetch
from embcx_tui.tui.messages import (
    CompareGroups,
    CompareStudies,
    CreateStudy,
    DeleteStudies,
    FetchChanged,
    FetchData,
    LabelStudy,
    MeasureActivations,
    MoveInQueue,
    Say,
    StartDemo,
    StartStudy,
    StopStudy,
    StudyRefused,
)
from embcx_tui.tui.study_actions import StudyActions


def _compared(studies: Sequence[StudyPaths]) -> Screen[None]:
    """Return the screen of studies compared; reading and comparing them takes a while, so never on the loop."""
    from embcx_tui.analysis.comparison import compare
    from embcx_tui.store.snapshot import read_study
    from embcx_tui.tui.studies.compare_screen import CompareScreen

    return CompareScreen(compare([read_study(paths) for paths in studies]), studies[0])


def _groups_compared(asked: CompareGroups) -> Screen[None]:
    """Return the screen of groups within a study compared; takes a while too."""
    from embcx_tui.analysis.groups import compare_groups
    from embcx_tui.store.snapshot import read_study
    from embcx_tui.tui.studies.compare_screen import CompareScreen

    return CompareScreen(compare_groups(read_study(asked.study), asked.groups, asked.exclude_chance), asked.study)


class StudyRequests(App[None]):
    """Handles the messages that ask for something to be done to studies. `study_actions` and `data_fetches` do it."""

    study_actions: StudyActions
    data_fetches: DataFetches
    fetch: Fetch | None = None
    """The dataset that is being fetched."""
    refused = ""
    """Why the last study of the form could not begin."""

    def deliver(self) -> None:
        """Hand what is known to the mode that is shown."""
        raise NotImplementedError

    @on(FetchChanged)
    def fetch_changed(self, event: FetchChanged) -> None:
        self.fetch = event.fetch
        self.deliver()

    @on(StudyRefused)
    def study_refused(self, event: StudyRefused) -> None:
        self.refused = event.text
        self.deliver()

    @on(FetchData)
    def fetch_data(self, event: FetchData) -> None:
        if event.names:
            self.data_fetches.fetch(event.names)
        else:
            self.data_fetches.cancel()

    @on(StartStudy)
    def start_study(self, event: StartStudy) -> None:
        self.study_actions.start(event.paths, event.now)

    @on(MoveInQueue)
    def move_in_queue(self, event: MoveInQueue) -> None:
        self.study_actions.move(event.paths, event.by)

    @on(StopStudy)
    def stop_study(self, event: StopStudy) -> None:
        self.study_actions.stop(event.paths, event.at_once)

    @on(DeleteStudies)
    def delete_studies(self, event: DeleteStudies) -> None:
        self.study_actions.delete(event.studies)

    @on(LabelStudy)
    def label_study(self, event: LabelStudy) -> None:
        self.study_actions.label(event.paths, event.name, event.note)

    @on(CompareStudies)
    def compare_studies(self, event: CompareStudies) -> None:
        self._compare(partial(_compared, event.studies))

    @on(CompareGroups)
    def compare_groups(self, event: CompareGroups) -> None:
        self._compare(partial(_groups_compared, event))

    def _compare(self, make: Callable[[], Screen[None]]) -> None:
        self.run_worker(self._show_compared(make), group="compare", exclusive=True)

    async def _show_compared(self, make: Callable[[], Screen[None]]) -> None:
        """Read what is compared in a thread, and show it."""
        try:
            screen = await asyncio.to_thread(make)
        except (EmbcxError, OSError) as error:
            self.post_message(Say(safe_text(error, 300), "warning"))
        else:
            await self.push_screen(screen)

    @on(CreateStudy)
    def create_study(self, event: CreateStudy) -> None:
        self.study_actions.create(event.settings)

    @on(MeasureActivations)
    def measure_activations(self) -> None:
        self.study_actions.measure_files()

    @on(StartDemo)
    def start_demo(self) -> None:
        self.study_actions.create_demo()
