"""Running the application in this terminal, from its first look at it to the exit code."""

from __future__ import annotations

import sys

from embcx_tui.store.paths import StudyPaths
from embcx_tui.tui.app import make_app
from embcx_tui.tui.gc_pause import disable_full_collections
from embcx_tui.tui.terminal import TerminalWatch, abilities, unusable


def run_app(study: StudyPaths | None = None) -> int:
    """Run the application in this terminal; return the exit code (2 where the terminal cannot show it)."""
    reason = unusable()
    if reason:
        print(reason, file=sys.stderr)
        return 2
    disable_full_collections()
    app = make_app(study, abilities())
    TerminalWatch(app.leave_now).start()
    app.run()
    if words := app.study_actions.last_words:
        # A study's name may hold what the terminal cannot show.
        print(words.encode(sys.stdout.encoding or "ascii", "replace").decode(sys.stdout.encoding or "ascii"))
    return app.return_code or 0
