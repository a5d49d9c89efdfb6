"""The catalogue of datasets agrees with torchvision's lists and with the files of a data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from embcx_tui.study.dataset_catalogue import CATALOGUE, absolute_dataset, facts, missing_files
from embcx_tui.study.errors import SettingsError
from embcx_tui.study.settings import validate


def test_names_and_sizes() -> None:
    assert list(CATALOGUE) == ["digits", "mnist", "svhn", "fashion-mnist", "kmnist", "cifar10"]
    for name, dataset in CATALOGUE.items():
        assert dataset.name == name and len(set(dataset.classes)) == 10
        assert dataset.smallest_class * len(dataset.classes) <= dataset.n_train
        assert not dataset.files or dataset.n_train <= dataset.n_stored
    assert facts("file:/x.npz") is None


def test_addresses_file_names_checksums_and_classes_are_torchvisions() -> None:
    import torchvision.datasets as theirs

    for name, layout in (("mnist", theirs.MNIST), ("fashion-mnist", theirs.FashionMNIST), ("kmnist", theirs.KMNIST)):
        files = CATALOGUE[name].files
        assert [(part.distributed.name, part.distributed.md5) for part in files] == list(layout.resources)
        for part in files:
            # In which order they are asked differs between the versions of torchvision.
            assert sorted(part.urls) == sorted(f"{mirror}{part.distributed.name}" for mirror in layout.mirrors)
            assert part.distributed.path.startswith(f"{layout.__name__}/raw/")
    assert CATALOGUE["kmnist"].classes == tuple(theirs.KMNIST.classes)
    assert CATALOGUE["fashion-mnist"].classes == tuple(theirs.FashionMNIST.classes)
    for part, split in zip(CATALOGUE["svhn"].files, ("train", "test"), strict=True):
        assert [*part.urls, part.distributed.name, part.distributed.md5] == theirs.SVHN.split_list[split]
    # torchvision has CIFAR-10's Python version; the binary one lies beside it.
    (cifar10,) = CATALOGUE["cifar10"].files
    assert cifar10.urls[0].rpartition("/")[0] == theirs.CIFAR10.url.rpartition("/")[0]


def test_missing_files_in_every_form(tmp_path: Path) -> None:
    mnist, svhn, cifar10 = (CATALOGUE[name] for name in ("mnist", "svhn", "cifar10"))
    assert len(missing_files(mnist, tmp_path)) == 4 and missing_files(CATALOGUE["digits"], tmp_path) == ()
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").touch()
    (tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz").touch()
    assert len(missing_files(mnist, tmp_path)) == 2
    (tmp_path / "svhn").mkdir()
    (tmp_path / "svhn" / "train_32x32.mat").touch()
    assert missing_files(svhn, tmp_path) == ("test_32x32.mat",)
    assert missing_files(cifar10, tmp_path) == ("cifar-10-binary.tar.gz",)
    (tmp_path / "cifar-10-batches-bin").mkdir()
    (tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin").touch()
    assert len(missing_files(cifar10, tmp_path)) == 5
    (tmp_path / "cifar-10-binary.tar.gz").touch()
    assert missing_files(cifar10, tmp_path) == ()


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("mnist", "mnist"),
        ("file:a.npz", "file:/here/there/a.npz"),
        ("file:../b/a.npz", "file:/here/there/../b/a.npz"),
        ("file:/a.npz", "file:/a.npz"),
        ("file:~/a.npz", "file:/home/me/a.npz"),
        ("file:~nobody-of-this-name/a.npz", "file:/here/there/~nobody-of-this-name/a.npz"),
    ],
)
def test_paths_are_made_absolute(name: str, becomes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert absolute_dataset(name, Path("/here/there")) == becomes


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"datasets": ["file:a.txt"]}, "file:PATH.npz"),
        ({"datasets": ["file:a\x1b[2J.npz"]}, "cannot be shown"),
        ({"datasets": ["cifar-10"]}, "did you mean 'cifar10'"),
        ({"datasets": ["svhn"], "samples_per_class": 4_700}, "smallest class of svhn has 4,659 training inputs"),
        ({"datasets": ["svhn"], "train_limit": 900}, "smallest class of svhn has at most 90 training inputs"),
    ],
)
def test_datasets_that_a_study_file_may_not_ask_for(data: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        validate({"data": data})
