"""Which inputs are measured: balanced and keyed where the dataset is known, else the first of each class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from embcx_tui.compute.samples import balanced_sample
from embcx_tui.compute.taps.draw_sample import Drawn, Wanted, draw
from embcx_tui.study.errors import DataError, RequestError

TOTAL, CLASSES = 300, 3


def encode(values: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    distinct, numbers = np.unique(values, return_inverse=True)
    return numbers.astype(np.int64), tuple(str(value) for value in distinct)


def wanted(points: int = 30, **others: Any) -> Wanted:
    return Wanted(points, others.pop("per_class", 0), others.pop("seed", 5), encode, **others)


def labelled(seed: int = 0) -> TensorDataset:
    """Inputs whose number is their place, sorted by class: the first of them are of one class."""
    return TensorDataset(torch.arange(TOTAL * 2.0).reshape(TOTAL, 2), torch.arange(TOTAL) * CLASSES // TOTAL)


class Targets(Dataset[Any]):
    """As torchvision's: labels beside the inputs; tells which inputs were read."""

    def __init__(self) -> None:
        self.targets = [place % CLASSES for place in range(TOTAL)]
        self.read: list[int] = []

    def __len__(self) -> int:
        return TOTAL

    def __getitem__(self, place: int) -> Any:
        self.read.append(place)
        return torch.full((2,), float(place)), self.targets[place]


def places(drawn: Drawn) -> list[int]:
    """The places of the inputs in their dataset, by the inputs themselves."""
    inputs = [batch[0] if isinstance(batch, (tuple, list)) else batch for batch in drawn.batches]
    return [int(value) for value in torch.cat(inputs)[:, 0]]


def test_a_known_dataset_gives_the_balanced_keyed_sample_and_no_other_input_is_read() -> None:
    dataset = Targets()
    drawn = draw(DataLoader(dataset, batch_size=8, shuffle=True), wanted())
    expected = balanced_sample(np.array(dataset.targets), 10, 5)
    assert drawn.index.tolist() == expected.tolist() == places(drawn) == dataset.read
    assert drawn.labels.tolist() == sorted([0, 1, 2] * 10) and drawn.classes == ("0", "1", "2")
    assert [len(batch[0]) for batch in drawn.batches] == [8, 8, 8, 6] and drawn.total == TOTAL
    again = draw(DataLoader(Targets(), batch_size=3), wanted())
    assert again.index.tolist() == drawn.index.tolist()
    other = draw(DataLoader(Targets(), batch_size=8), wanted(seed=6))
    assert other.index.tolist() != drawn.index.tolist()


@pytest.mark.parametrize(
    "dataset",
    [
        labelled(),
        Subset(labelled(), list(range(0, TOTAL, 2))),
        ConcatDataset([labelled(), labelled()]),
    ],
)
def test_labels_of_datasets_within_datasets_are_known(dataset: Dataset[Any]) -> None:
    drawn = draw(DataLoader(dataset, batch_size=16), wanted())
    assert drawn.words == "" and np.bincount(drawn.labels).tolist() == [10, 10, 10]
    inputs = torch.cat([batch[0] for batch in drawn.batches])
    expected = torch.stack([dataset[place][0] for place in drawn.index.tolist()])
    assert (inputs == expected).all()
    labels = torch.cat([batch[1] for batch in drawn.batches])
    assert labels.tolist() == drawn.labels.tolist()


class Stream(IterableDataset[Any]):
    """A dataset that cannot be asked for single inputs, shuffled."""

    def __init__(self, label: bool = True, total: int = TOTAL) -> None:
        self.order = np.random.default_rng(1).permutation(total)
        self.label = label

    def __iter__(self) -> Iterator[Any]:
        for place in self.order.tolist():
            row = torch.full((2,), float(place))
            yield (row, f"class {place % CLASSES}") if self.label else row


def test_of_a_stream_the_first_of_each_class_are_taken_in_their_order() -> None:
    stream = Stream()
    drawn = draw(DataLoader(stream, batch_size=7), wanted())
    expected = []
    for rank, place in enumerate(stream.order.tolist()):
        if sum(stream.order[other] % CLASSES == place % CLASSES for other in range(rank)) < 10:
            expected.append(place)
    assert places(drawn) == expected and stream.order[drawn.index].tolist() == expected
    assert drawn.classes == ("class 0", "class 1", "class 2")
    assert drawn.labels.tolist() == [place % CLASSES for place in expected]
    assert drawn.words == "the first inputs of each class among the 300 that the loader gave"


def test_a_sorted_loader_still_gives_every_class() -> None:
    dataset = labelled()
    batches = [
        (dataset.tensors[0][start : start + 25], dataset.tensors[1][start : start + 25])
        for start in range(0, TOTAL, 25)
    ]
    drawn = draw(batches, wanted())
    assert np.bincount(drawn.labels).tolist() == [10, 10, 10]
    assert places(drawn) == [2 * place for place in (*range(10), *range(100, 110), *range(200, 210))]


def test_everything_is_taken_where_there_is_no_more() -> None:
    drawn = draw(DataLoader(Stream(total=31), batch_size=7), wanted(points=100))
    assert len(drawn.index) == 31 and sorted(places(drawn)) == list(range(31))


def test_labels_can_be_given_and_must_be_as_many_as_the_inputs() -> None:
    inputs = torch.arange(TOTAL * 2.0).reshape(TOTAL, 2)
    given = np.array(["cat", "dog"])[np.arange(TOTAL) % 2]
    for loader in (inputs, DataLoader(TensorDataset(inputs), batch_size=9), [inputs[:150], inputs[150:]]):
        drawn = draw(loader, wanted(given=given))
        assert drawn.classes == ("cat", "dog") and np.bincount(drawn.labels).tolist() == [15, 15]
        assert [place // 2 % 2 for place in places(drawn)] == drawn.labels.tolist()
        with pytest.raises(RequestError, match=r"^29[69] labels, but"):
            draw(loader, wanted(given=given[:299] if isinstance(loader, DataLoader) else given[:296]))


def test_without_labels_there_is_one_class() -> None:
    drawn = draw(DataLoader(Targets(), batch_size=16), wanted(is_labelled=False))
    assert drawn.classes == ("all",) and len(drawn.index) == 30 and not drawn.labels.any()
    assert len(set(drawn.index.tolist())) == 30 and drawn.index.max() > 100
    stream = draw(DataLoader(Stream(label=False), batch_size=16), wanted())
    assert stream.classes == ("all",) and len(stream.index) == 30


def test_a_class_with_too_few_inputs_is_named() -> None:
    targets = torch.cat([torch.zeros(200), torch.ones(4)]).long()
    with pytest.raises(
        DataError, match=r"^the smallest class, 1, has 4 rows, and 15 of each of the 2 classes are needed"
    ):
        draw(DataLoader(TensorDataset(torch.zeros(204, 2), targets), batch_size=9), wanted())
    batches = [(torch.zeros(204, 2), targets)]
    with pytest.raises(RequestError, match=r"^the smallest class, 1, has 4 of the 204 inputs read, and 6 of each"):
        draw(batches, wanted(per_class=6))


def test_no_stream_of_random_numbers_moves() -> None:
    generator = torch.Generator().manual_seed(9)
    loader = DataLoader(Stream(), batch_size=8, generator=generator)
    shuffled = DataLoader(labelled(), batch_size=8, shuffle=True, generator=generator)
    before = generator.get_state().tolist(), torch.get_rng_state().tolist()
    draw(loader, wanted())
    draw(shuffled, wanted())
    assert (generator.get_state().tolist(), torch.get_rng_state().tolist()) == before
