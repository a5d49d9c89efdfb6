"""Whether a network has learned anything that counts: its accuracy beside that of guessing the largest class."""

from __future__ import annotations

import math
from typing import Literal

from embcx_tui.study import events

Flaw = Literal["did not train", "does not generalise"]


def _chance_bound(share: float, n: int) -> float:
    """Return the accuracy on `n` inputs up to which a guess of the largest class, of this `share`, explains it."""
    return share + 3 * math.sqrt(share * (1 - share) / max(n, 1))


def is_at_chance(test_accuracy: float | None, dataset: events.DatasetLoaded | None) -> bool:
    """Tell whether a network is no better on the test set than its largest class, within three standard errors.

    False where its accuracy, or the share of that class, is unknown.
    """
    if test_accuracy is None or dataset is None or dataset.chance is None or not dataset.n_test:
        return False
    return test_accuracy <= _chance_bound(dataset.chance, dataset.n_test)


def flaw_at_chance(train_accuracy: float | None, dataset: events.DatasetLoaded) -> Flaw:
    """Return what is wrong with a network that is at chance on the test set of `dataset`."""
    learnt = train_accuracy is not None and train_accuracy > _chance_bound(dataset.chance or 0.0, dataset.n_train)
    return "does not generalise" if learnt else "did not train"
