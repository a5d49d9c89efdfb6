"""What is known about each dataset before it is loaded: its sizes, its files, and where they come from."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_PREFIX = "file:"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file on disk: its `path` in the data folder, `size` in bytes, and MD5 (None where none is published)."""

    path: str
    size: int
    md5: str | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A file that a dataset consists of, which may be stored in several forms (plain, compressed, unpacked).

    Each of `forms` is one or several stored files; the first form that is complete is read. `distributed` is the file
    that can be downloaded from `urls`, and is one of the forms by itself.
    """

    forms: tuple[tuple[StoredFile, ...], ...]
    distributed: StoredFile
    urls: tuple[str, ...]

    def locate(self, folder: Path) -> tuple[tuple[StoredFile, bool], ...]:
        """Return the stored files of the form to use, and whether each exists; contents are not read.

        That is the first complete form, else the first of which a file exists, else the distributed file.
        """
        forms = [tuple((file, file_exists(folder / file.path)) for file in form) for form in self.forms]
        for enough in (all, any):
            for form in forms:
                if enough(exists for _, exists in form):
                    return form
        return ((self.distributed, False),)

    def complete_form(self, folder: Path) -> tuple[StoredFile, ...] | None:
        """Return the files of the first complete form, None where there is none."""
        located = self.locate(folder)
        return tuple(file for file, _ in located) if all(exists for _, exists in located) else None

    def missing(self, folder: Path) -> tuple[StoredFile, ...]:
        """Return the files that the form to use lacks; none where a form is complete."""
        return tuple(file for file, exists in self.locate(folder) if not exists)


def file_exists(path: Path) -> bool:
    """Tell whether `path` is a regular file; False in a folder that cannot be entered."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def absolute_dataset(name: str, base: Path) -> str:
    """Return `name` with the path of a `file:` dataset made absolute from `base`; other names as they are.

    The worker runs in another folder than the user's shell, where a relative path would mean another file.
    """
    if not name.startswith(FILE_PREFIX):
        return name
    path = Path(name.removeprefix(FILE_PREFIX))
    with suppress(RuntimeError):  # "~nobody/": there is no such user
        path = path.expanduser()
    return FILE_PREFIX + str(base.absolute() / path)


def with_absolute_datasets(values: dict[str, Any], base: Path) -> dict[str, Any]:
    """Return the `values` of a study file with the paths of its `file:` datasets made absolute from `base`."""
    data = values.get("data")
    names = data.get("datasets") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(names, (str, list)):
        return values  # validation says what is wrong with it
    listed = [names] if isinstance(names, str) else names
    absolute = [absolute_dataset(name, base) if isinstance(name, str) else name for name in listed]
    return {**values, "data": {**data, "datasets": absolute}}


# Datasets whose share of nonzero pixels is below this are trained with sparse products on a CPU
# (compute.training.sparse_inputs), and forecasts count them so. On one core of an EPYC (Zen 4) sparse and dense
# products take equally long at 0.44.
MOSTLY_ZERO = 0.4


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is known of a named dataset: `n_train` training inputs, images of `shape` (rows, columns, channels).

    Its files hold `n_stored` training inputs, of which the first `n_train` are used; `smallest_class` is the number of
    training inputs of the rarest class among those, `nonzero` the share of their pixels that are not zero (1 where it
    has not been counted). A dataset without `files` comes with a library.
    """

    name: str
    title: str
    n_train: int
    n_test: int
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    smallest_class: int
    source: str
    files: tuple[DatasetFile, ...] = ()
    n_stored: int = 0
    nonzero: float = 1.0

    @property
    def features(self) -> int:
        rows, columns, channels = self.shape
        return rows * columns * channels


DIGITS = tuple("0123456789")
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# The ten hiragana in the dataset's order, in Latin letters: not every terminal font has hiragana.
KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_IDX_NAMES = (
    ("train-images-idx3-ubyte", 47_040_016),
    ("train-labels-idx1-ubyte", 60_008),
    ("t10k-images-idx3-ubyte", 7_840_016),
    ("t10k-labels-idx1-ubyte", 10_008),
)


def _idx(
    folder: str,
    mirrors: tuple[str, ...],
    packed: tuple[tuple[int, str], ...],
    plain: tuple[str | None, ...] = (None,) * 4,
) -> tuple[DatasetFile, ...]:
    """Return the four files of a dataset in MNIST's format: `packed` (size, MD5) of each .gz, `plain` MD5 unpacked."""
    files = []
    for (name, size), (gz_size, gz_md5), md5 in zip(_IDX_NAMES, packed, plain, strict=True):
        gz = StoredFile(f"{folder}/raw/{name}.gz", gz_size, gz_md5)
        raw = StoredFile(f"{folder}/raw/{name}", size, md5)
        files.append(DatasetFile(((raw,), (gz,)), gz, tuple(f"{mirror}{name}.gz" for mirror in mirrors)))
    return tuple(files)


def _mat(name: str, size: int, md5: str) -> DatasetFile:
    # torchvision puts the files where its user tells it to: the data folder itself, or a folder made for them.
    paths = tuple(StoredFile(f"{folder}{name}", size, md5) for folder in ("", "svhn/", "SVHN/"))
    return DatasetFile(tuple((path,) for path in paths), paths[0], (f"http://ufldl.stanford.edu/housenumbers/{name}",))


def _cifar10() -> DatasetFile:
    # The authors publish a checksum of the archive but none of the files in it.
    archive = StoredFile("cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530")
    names = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
    unpacked = tuple(StoredFile(f"cifar-10-batches-bin/{name}", 30_730_000) for name in names)
    return DatasetFile(((archive,), unpacked), archive, ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",))


CATALOGUE: dict[str, DatasetFacts] = {
    facts.name: facts
    for facts in (
        DatasetFacts(
            "digits", "scikit-learn digits", 1437, 360, (8, 8, 1), DIGITS, 139, "comes with scikit-learn", nonzero=0.51
        ),
        DatasetFacts(
            "mnist",
            "MNIST",
            50_000,  # as in the paper; the other 10,000 of the training files are not used
            10_000,
            (28, 28, 1),
            DIGITS,
            4_506,
            "LeCun, Cortes, Burges 2010",
            _idx(
                "MNIST",
                ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
                (
                    (9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                    (28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
                    (1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
                    (4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
                ),
                (
                    "6bbc9ace898e44ae57da46a324031adb",
                    "a25bea736e30d166cdddb491f175f624",
                    "2646ac647ad5339dbf082846283269ea",
                    "27ae3e4e09519cfbb04c329615203637",
                ),
            ),
            60_000,
            nonzero=0.191,
        ),
        DatasetFacts(
            "svhn",
            "SVHN, cropped digits",
            73_257,
            26_032,
            (32, 32, 3),
            DIGITS,
            4_659,
            "Netzer et al. 2011; for non-commercial research",
            (
                _mat("train_32x32.mat", 182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373"),
                _mat("test_32x32.mat", 64_275_384, "eb5a983be6a315427106f1b164d9cef3"),
            ),
            73_257,
        ),
        DatasetFacts(
            "fashion-mnist",
            "Fashion-MNIST",
            60_000,
            10_000,
            (28, 28, 1),
            FASHION,
            6_000,
            "Xiao, Rasul, Vollgraf 2017; MIT licence",
            _idx(
                "FashionMNIST",
                ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
                (
                    (26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                    (29_515, "25c81989df183df01b3e8a0aad5dffbe"),
                    (4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
                    (5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
                ),
            ),
            60_000,
        ),
        DatasetFacts(
            "kmnist",
            "Kuzushiji-MNIST",
            60_000,
            10_000,
            (28, 28, 1),
            KUZUSHIJI,
            6_000,
            "Clanuwat et al. 2018; CC BY-SA 4.0",
            _idx(
                "KMNIST",
                ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
                (
                    (18_165_135, "bdb82020997e1d708af4cf47b453dcf7"),
                    (29_497, "e144d726b3acfaa3e44228e80efcd344"),
                    (3_041_136, "5c965bf0a639b31b8f53240b1b52f4d7"),
                    (5_120, "7320c461ea6c1c855c0b718fb2a4b134"),
                ),
            ),
            60_000,
        ),
        DatasetFacts(
            "cifar10",
            "CIFAR-10",
            50_000,
            10_000,
            (32, 32, 3),
            CIFAR10,
            5_000,
            "Krizhevsky 2009; the binary version",
            (_cifar10(),),
            50_000,
        ),
    )
}


def facts(dataset: str) -> DatasetFacts | None:
    """Return the facts of a named dataset; None for a `file:` dataset, which is known only once it is loaded."""
    return CATALOGUE.get(dataset)


def missing_files(dataset: DatasetFacts, folder: Path) -> tuple[str, ...]:
    """Return the paths in the data folder of the files that `dataset` lacks; contents are not read."""
    return tuple(stored.path for file in dataset.files for stored in file.missing(folder))
