"""What a screen says in place of a study: one line for all screens that show the open study."""

from __future__ import annotations

NO_STUDY = "No study is open.\nPress s for your studies, then Enter on one."
READING_STUDY = "Reading the study …"
