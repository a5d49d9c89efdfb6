"""The benchmarks' own process: `python -m embcx_tui.bench embed|train|paper [quick] [large] [device=…] [points=N,N]`.

Started by `worker.launch.ask`; prints progress and the result as JSON lines.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from embcx_tui.worker.launch import respond
from embcx_tui.worker.process import prepare_environment


def bench(what: str, *options: str) -> dict[str, Any]:
    """Return the result of `bench embed`, `train` or `paper`, printing what is measured now; raises RequestError."""
    prepare_environment()
    from embcx_tui.bench.embed_bench import EmbedBench
    from embcx_tui.bench.machine import load_average
    from embcx_tui.bench.paper_bench import bench_paper
    from embcx_tui.bench.results import EmbedResult, PaperResult, TrainResult
    from embcx_tui.bench.train_bench import TrainBench
    from embcx_tui.compute.device import choose_device
    from embcx_tui.worker.calibrate import calibrate

    device = choose_device(
        next((option.partition("=")[2] for option in options if option.startswith("device=")), "auto")
    )
    points = next((option.partition("=")[2] for option in options if option.startswith("points=")), "")
    sizes = tuple(int(one) for one in points.split(",") if one)
    quick, large = "quick" in options, "large" in options

    def say(doing: str) -> None:
        print(json.dumps({"doing": doing}), flush=True)

    say("calibration")
    calibration = calibrate(device)
    result: EmbedResult | TrainResult | PaperResult
    if what == "embed":
        result = EmbedBench(quick, large, device, say, sizes).run()
    elif what == "train":
        result = TrainBench(quick, device, say).run()
    else:
        result = bench_paper(quick, large, device, calibration, say)
    result["machine"]["load_after"] = load_average()
    result["calibration"] = asdict(calibration)
    return {"result": result}


if __name__ == "__main__":
    sys.exit(respond(bench, *sys.argv[1:]))
