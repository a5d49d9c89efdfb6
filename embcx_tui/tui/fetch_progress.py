"""How far the fetching of a dataset is."""

from __future__ import annotations

from dataclasses import dataclass

from embcx_tui.analysis import formatting


@dataclass(frozen=True, slots=True)
class Fetch:
    """How far the fetching of a dataset is, in bytes; `total` 0: not known yet. `speed` in bytes per second."""

    name: str
    done: int = 0
    total: int = 0
    speed: float = 0.0

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total else 0.0

    @property
    def words(self) -> str:
        """How much of how much, how fast, and how long it still takes."""
        if not self.total:
            return "connecting …"
        parts = [f"{formatting.percent(self.fraction)} of {formatting.size(self.total)}"]
        if self.speed:
            parts.append(f"{formatting.size(self.speed)}/s")
            parts.append(f"{formatting.duration((self.total - self.done) / self.speed)} left")
        return " · ".join(parts)
