"""The benchmarks' own process: `python -m embcx_tui.bench embed|train|paper [quick] [large] [device=…]`.

Started by `worker.launch.ask`; prints progress and the result as JSON lines.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from embcx_tui.worker.queries import respond


def bench(what: str, *options: str) -> dict[str, Any]:
    """Return the result of `bench embed`, `train` or `paper`, printing what is measured now; raises RequestError."""
    from embcx_tui.bench import embed_bench, paper_bench, train_bench
    from embcx_tui.compute.device import choose_device
    from embcx_tui.worker.calibrate import calibrate

    device = next((option.partition("=")[2] for option in options if option.startswith("device=")), "auto")
    quick, large = "quick" in options, "large" in options

    def say(doing: str) -> None:
        print(json.dumps({"doing": doing}), flush=True)

    say("calibration")
    calibration = calibrate(choose_device(device))
    if what == "embed":
        result = embed_bench.bench_embed(quick, large, device, say)
    elif what == "train":
        result = train_bench.bench_train(quick, device, say)
    else:
        result = paper_bench.bench_paper(quick, large, device, calibration, say)
    return {"result": {**result, "calibration": asdict(calibration)}}


if __name__ == "__main__":
    sys.exit(respond(bench, *sys.argv[1:]))
