"""The epochs of one cohort, as the journal tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from embcx_tui.study import events

if TYPE_CHECKING:  # 0.1 s to import, which a list of studies does not wait for
    import numpy as np
    from numpy.typing import NDArray

Quantity = Literal["loss", "train_accuracy", "test_accuracy"]


@dataclass(frozen=True)
class History:
    """The epochs of one cohort, by epoch (1 …); vectors in the order of `networks`. It began after epoch `first`."""

    networks: tuple[str, ...]
    epochs: Mapping[int, events.EpochTrained] = field(default_factory=dict)
    first: int = 0

    @cached_property
    def index(self) -> Mapping[str, int]:
        """The position of each network in the vectors of an epoch."""
        return {network: index for index, network in enumerate(self.networks)}

    @cached_property
    def last(self) -> int:
        """The newest epoch trained; 0 before the first."""
        return max(self.epochs, default=0)

    def has_all(self, last: int) -> bool:
        """Tell whether every epoch up to `last` is recorded."""
        return all(epoch in self.epochs for epoch in range(self.first + 1, last + 1))

    def curve(self, network: str, quantity: Quantity) -> NDArray[np.float64]:
        """Return one network's `quantity` over epochs 1 … last, NaN where unknown [last]."""
        import numpy as np

        index = self.index[network]
        values = np.full(self.last, np.nan)
        for epoch, event in self.epochs.items():
            value = getattr(event, quantity)[index]
            values[epoch - 1] = np.nan if value is None else value
        return values

    def latest(self, network: str, quantity: Quantity) -> float | None:
        """Return one network's newest `quantity`."""
        event = self.epochs.get(self.last)
        value: float | None = getattr(event, quantity)[self.index[network]] if event else None
        return value
