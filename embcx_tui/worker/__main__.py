"""The numerics process: `python -m embcx_tui.worker COMMAND …`, started by `worker.launch` alone.

`study FOLDER` computes a study; the other commands answer a query with JSON lines on standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(command: str, *arguments: str) -> int:
    if command == "study":
        from embcx_tui.worker.process import run_study

        return run_study(Path(arguments[0]))
    from embcx_tui.worker.queries import QUERIES, respond

    return respond(QUERIES[command], *arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
