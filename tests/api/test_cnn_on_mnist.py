"""The claim of the paper on a convolutional network that is trained elsewhere: its layers get easier to embed, and only
where it is trained. A small version of `tests.cnn_on_mnist`, whose numbers stand in docs/measure.md.
"""

from __future__ import annotations

from pathlib import Path

from tests.cnn_on_mnist import record


def test_flattened_complexity_falls_through_a_trained_network_and_not_through_an_untrained_one(mnist: Path) -> None:
    study, _ = record(1_000, 3, 200)
    assert study.state == "complete"
    assert {one.epoch for one in study.epochs} == {0, 1, 2, 3}
    kl = {(one.control, one.layer): one.kl for one in study.layers}
    trained = [kl[None, layer] for layer in range(1, 7)]
    untrained = [kl["untrained", layer] for layer in range(1, 7)]
    assert trained[0] is not None and trained[-1] is not None and trained[-1] <= 0.6 * trained[0]
    assert untrained[0] is not None and untrained[-1] is not None and untrained[-1] > untrained[0]
    widths = [one.units for one in study.layers if one.control is None]
    assert widths == [784, 12_544, 6_272, 12_544, 3_136, 100, 10]
    # Two of them are reduced: more than 4,096 units on 200 points.
    assert [one.metrics["gdv"] is None for one in study.layers if one.control is None] == [w > 4_096 for w in widths]
