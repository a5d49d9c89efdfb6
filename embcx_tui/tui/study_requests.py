"""The part of the application that hands what screens ask of studies on to those who do it."""

from __future__ import annotations

from textual import on
from textual.app import App

from embcx_tui.tui.messages import (
    CreateStudy,
    DeleteStudies,
    LabelStudy,
    StartDemo,
    StartStudy,
    StopStudy,
)
from embcx_tui.tui.study_actions import StudyActions


class StudyRequests(App[None]):
    """Handles the messages that ask for something to be done to studies. `study_actions` does it."""

    study_actions: StudyActions

    @on(StartStudy)
    def start_study(self, event: StartStudy) -> None:
        self.study_actions.start(event.paths)

    @on(StopStudy)
    def stop_study(self, event: StopStudy) -> None:
        self.study_actions.stop(event.paths, event.at_once)

    @on(DeleteStudies)
    def delete_studies(self, event: DeleteStudies) -> None:
        self.study_actions.delete(event.studies)

    @on(LabelStudy)
    def label_study(self, event: LabelStudy) -> None:
        self.study_actions.label(event.paths, event.name, event.note)

    @on(CreateStudy)
    def create_study(self, event: CreateStudy) -> None:
        self.study_actions.create(event.settings)

    @on(StartDemo)
    def start_demo(self) -> None:
        self.study_actions.create_demo()
