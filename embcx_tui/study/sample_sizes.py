"""How many points a sample may have, and from how many on they are measured in another way."""

from __future__ import annotations

# The exact engine takes some minutes per layer there on two cores; a pass costs n², openTSNE's does not.
MAX_EXACT_POINTS = 10_000
# With dense n × n matrices, on a GPU or as in studies begun before there was another way: 100 MB each in float32.
MAX_WHOLE_POINTS = 5_000
# On a CPU larger samples have P packed in 16 bits per pair, and all cores share one layer (docs/embedding-engine.md).
PACKED_FROM = 2_000
# The engine that a record of such a layer names.
PACKED = "exact-packed"
# openTSNE's: the exact score takes n² too.
MAX_POINTS = 20_000


def too_many_points(points: int, engine: str, large: str) -> str:
    """Return in words why a sample of so many points cannot be measured by `measure.engine` and `measure.large`, and
    what to do; empty where it can.
    """
    most = MAX_EXACT_POINTS if large == "packed" else MAX_WHOLE_POINTS
    if engine == "exact" and points > most:
        return f'a sample of {points:,} points needs engine = "opentsne" (the exact engine holds up to {most:,})'
    if large == "packed" and points > MAX_POINTS:
        return f"a sample of {points:,} points is too large: at most {MAX_POINTS:,} can be measured"
    return ""
