"""Setting test inputs aside where a file brings none: the same ones in every study."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets.dataset import Labels
from embcx_tui.study.seeds import stream_seed

# Of each class at most this part is set aside, rounded down: a class of 66 keeps 60 for training and the sample.
TEST_PART = 10
# The split belongs to the data, neither to a study's seed nor to the file's place: accuracies compare across studies.
_SPLIT_SEED = stream_seed(0, "file", 0, "test split")


def test_members(labels: Labels, group: NDArray[np.integer] | None = None) -> NDArray[np.bool_]:
    """Return which of the inputs [n] are for testing: of each class at most a tenth, of each `group` all or none.

    Labels are class numbers from 0, groups any whole numbers. Groups come in a shuffled order that is always the same,
    and each is set aside if no class then loses more than its tenth.
    """
    generator = np.random.Generator(np.random.PCG64(_SPLIT_SEED))
    chosen = np.zeros(len(labels), np.bool_)
    spare = np.bincount(labels) // TEST_PART
    if group is None:
        for label, count in enumerate(spare):
            chosen[generator.permutation(np.flatnonzero(labels == label))[:count]] = True
        return chosen
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=group[order[0]] - 1))
    members = np.split(order, starts[1:])
    for place in generator.permutation(len(members)):
        touched, counts = np.unique(labels[members[place]], return_counts=True)
        if (counts <= spare[touched]).all():
            spare[touched] -= counts
            chosen[members[place]] = True
    return chosen
