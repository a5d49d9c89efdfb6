"""The numerics process: `python -m embcx_tui.worker COMMAND …`, started by `worker.launch` alone.

`study FOLDER` computes a study; the other commands answer a question with JSON lines on standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from embcx_tui.study.errors import EmbcxError


def main(words: list[str]) -> int:
    command, *rest = words or [""]
    if command == "study":
        from embcx_tui.worker.process import run_study

        return run_study(Path(rest[0]))
    from embcx_tui.worker.queries import QUERIES

    try:
        answer = QUERIES[command](*rest)
    except EmbcxError as error:
        answer = {"error": str(error)}
    print(json.dumps({**answer, "done": True}), flush=True)
    return 2 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
