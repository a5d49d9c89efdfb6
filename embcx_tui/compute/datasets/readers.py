"""Reading the named datasets' files: torchvision reads the MNIST family and SVHN, scikit-learn brings digits.

CIFAR-10's binary records are read here: the version that torchvision reads is pickle, which can run any code. Checksums
are compared before any of these functions is called (`Source.load`), so damaged files rarely get this far.
"""

from __future__ import annotations

import gzip
import math
import os
import secrets
import shutil
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets.dataset import Dataset, make_dataset, reason_of
from embcx_tui.compute.datasets.source import DamagedError, Pair
from embcx_tui.study.dataset_catalogue import CATALOGUE, DatasetFacts
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

_MNIST_CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}
_IDX_UINT8 = 0x0800  # how an IDX file of unsigned bytes begins; the lowest byte is the number of dimensions
_IDX_BEGINS = b"\0\0"  # which tells a file that was unpacked under its packed name
_SVHN_IMAGES_AT_ONCE = 1_000
_CIFAR_BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_CIFAR_FOLDER = "cifar-10-batches-bin"
# Any fixed number: the split belongs to the dataset, not to a study's seed, so that accuracies compare across studies.
_DIGITS_SPLIT_SEED = 0


def read_mnist(facts: DatasetFacts, forms: tuple[tuple[Path, ...], ...], cache_dir: Path) -> tuple[Pair, Pair]:
    """Read MNIST, Fashion-MNIST or KMNIST with torchvision's class of that name.

    Parameters
    ----------
    facts : sizes the files must have.
    forms : paths of the training images and labels and the test images and labels, each an IDX file, plain or gzipped.
    cache_dir : folder of the unpacked files. torchvision reads plain files of its own names from one folder; where any
        of the four is none, all four are kept in `cache_dir/NAME`, and the folder of `forms` is never written.

    Returns
    -------
    Training and test pairs: images uint8 [n, rows * columns], labels int64 [n].

    Raises
    ------
    DamagedError : a file is not an IDX file of the expected shape.
    DataError : `cache_dir` cannot be written, or torchvision cannot be imported.
    """
    paths = [path for (path,) in forms]
    names = [part.distributed.name.removesuffix(".gz") for part in facts.files]
    if [path.name for path in paths] != names:
        paths = [_unpack(path, cache_dir / facts.name / name) for path, name in zip(paths, names, strict=True)]
    rows, columns, _ = facts.shape
    shapes = ((facts.n_stored, rows, columns), (facts.n_stored,), (facts.n_test, rows, columns), (facts.n_test,))
    for path, shape, (source,) in zip(paths, shapes, forms, strict=True):
        fault = _idx_fault(path, shape)
        if fault:
            raise DamagedError(source, fault)
    folder = paths[0].parent
    # Without `processed_folder` torchvision would prefer MNIST/processed/*.pt, which no checksum vouches for.
    places = {"raw_folder": str(folder), "processed_folder": ""}
    reader = type("Mnist", (getattr(_torchvision_datasets(), _MNIST_CLASSES[facts.name]),), places)

    def read(train: bool) -> Pair:
        part = reader(folder, train=train)
        return part.data.numpy().reshape(len(part.data), -1), part.targets.numpy()

    with _failures_as_damage(folder):
        return read(train=True), read(train=False)


def read_svhn(facts: DatasetFacts, forms: tuple[tuple[Path, ...], ...], cache_dir: Path) -> tuple[Pair, Pair]:
    """Read SVHN's two .mat files with torchvision's class, which reads them with scipy and makes label 10 the digit 0.

    Returns training and test pairs: images uint8 [n, rows * columns * channels], labels int64 [n]. Raises DamagedError,
    and DataError where torchvision cannot be imported. scipy's parser can crash the process on a damaged file, so the
    files' checksums must have been compared.

    Netzer, Wang, Coates, Bissacco, Wu, Ng 2011, http://ufldl.stanford.edu/housenumbers/.
    """
    (train,), (test,) = forms
    return _svhn_split(train, "train"), _svhn_split(test, "test")


def read_cifar10(facts: DatasetFacts, forms: tuple[tuple[Path, ...], ...], cache_dir: Path) -> tuple[Pair, Pair]:
    """Read CIFAR-10's binary version, records of one label byte and 3,072 pixel bytes.

    `forms` is the archive, which is read in memory and not unpacked to the disk, or its six files. Returns training and
    test pairs: images uint8 [n, rows * columns * channels], labels uint8 [n]. Raises DamagedError.
    """
    (paths,) = forms
    batches = _cifar_archive(paths[0]) if len(paths) == 1 else {path.name: _cifar_file(path) for path in paths}
    counts = dict.fromkeys(_CIFAR_BATCHES[:-1], facts.n_stored // (len(_CIFAR_BATCHES) - 1))
    counts[_CIFAR_BATCHES[-1]] = facts.n_test
    record = 1 + facts.features
    for name, count in counts.items():
        if name not in batches:
            raise DamagedError(paths[0], f"it lacks {name}")
        if batches[name].size != count * record:
            path = next((path for path in paths if path.name == name), paths[0])
            raise DamagedError(path, f"{name} has {batches[name].size:,} bytes, not {count * record:,}")
    train = np.concatenate([batches[name] for name in _CIFAR_BATCHES[:-1]])
    return _cifar_pair(train, facts), _cifar_pair(batches[_CIFAR_BATCHES[-1]], facts)


def load_digits(train_limit: int = 0) -> Dataset:
    """Return digits in a fixed stratified split of 1,437 training and 360 test images, values 0 … 16.

    Alpaydin and Kaynak 1998 (the test part of UCI's optdigits), as scikit-learn packs it.
    """
    # Imported here: scikit-learn takes half a second, and MNIST does not need it.
    from sklearn.datasets import load_digits as load
    from sklearn.model_selection import train_test_split

    facts = CATALOGUE["digits"]
    x, y = load(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x.astype(np.uint8), y, test_size=facts.n_test, stratify=y, random_state=_DIGITS_SPLIT_SEED
    )
    return make_dataset("digits", (x_train, y_train), (x_test, y_test), facts.classes, facts.shape, train_limit)


def _torchvision_datasets() -> Any:
    """Import torchvision's datasets; raises DataError where that fails."""
    # Imported here: it brings torch's compiler and all of torchvision's models, and digits and files do not need it.
    try:
        import torchvision.datasets
    except Exception as error:  # builds that do not fit raise ImportError, OSError, RuntimeError or AttributeError
        raise DataError(
            f"torchvision, which reads this dataset, cannot be imported ({reason_of(error)});"
            " install it together with torch: pip install --force-reinstall torch torchvision"
        ) from None
    return torchvision.datasets


@contextmanager
def _failures_as_damage(path: Path) -> Iterator[None]:
    """Turn whatever torchvision, numpy and scipy raise while they read `path` into DamagedError."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise DamagedError(path, error) from None


def _idx_fault(path: Path, shape: tuple[int, ...]) -> str:
    """Return why `path` is not an IDX file of `shape` unsigned bytes; empty where it is, so that torchvision reads it.

    torchvision would say "AssertionError", and not which file it means.
    """
    header = struct.pack(f">{1 + len(shape)}I", _IDX_UINT8 | len(shape), *shape)
    size = len(header) + math.prod(shape)
    try:
        with path.open("rb") as file:
            begins = file.read(len(header))
        length = path.stat().st_size
    except OSError as error:
        return reason_of(error)
    if begins != header:
        return f"it does not begin as an IDX file of {'×'.join(map(str, shape))} bytes"
    return "" if length == size else f"it has {length:,} bytes, not {size:,}"


def _unpack(path: Path, target: Path) -> Path:
    """Return `target`, which then holds `path`'s content, unpacked; it is written where it is not there yet."""
    folder = target.parent
    # A random name and a rename: two processes that unpack at once do not meet, and both write the same bytes.
    temporary = folder / f".{target.name}.{secrets.token_hex(6)}.tmp"
    try:
        with path.open("rb") as source:
            packed = path.suffix == ".gz" and source.read(len(_IDX_BEGINS)) != _IDX_BEGINS
        if packed and _is_content_of(target, path):
            return target
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        with gzip.open(path) if packed else path.open("rb") as source:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
        # Not synced to the disk: what a crash of the machine leaves is compared with its checksum before it is read.
        temporary.replace(target)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedError(path, error) from None
    except OSError as error:
        raise DataError(
            f"{safe_text(path)} cannot be unpacked into {safe_text(folder)} ({error.strerror});"
            " make room there, or set EMBCX_HOME to a folder that can be written"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink()
    return target


def _is_content_of(plain: Path, packed: Path) -> bool:
    """Tell whether `plain` holds what the gzip file `packed` says of its content: CRC-32 and length (RFC 1952)."""
    with packed.open("rb") as file:
        if not plain.is_file():
            return False
        file.seek(-min(8, packed.stat().st_size), os.SEEK_END)
        trailer = file.read()
    content = plain.read_bytes()
    return struct.pack("<II", zlib.crc32(content), len(content)) == trailer


def _svhn_split(path: Path, split: str) -> Pair:
    # No MD5 here: it has been compared, and hashing SVHN a second time takes 0.5 s.
    files = {"split_list": {split: ("", path.name, None)}}
    reader = type("Svhn", (_torchvision_datasets().SVHN,), files)
    with _failures_as_damage(path):
        loaded = reader(path.parent, split)
    images = loaded.data
    # In the file the row runs fastest, then column, channel, image: each image is turned where it lies, because a
    # second array would take 225 MB. Where numpy cannot view the images so, `pixels` is a copy and the result the same.
    pixels = images.transpose(0, 1, 3, 2).reshape(len(images), -1)
    for start in range(0, len(images), _SVHN_IMAGES_AT_ONCE):
        some = images[start : start + _SVHN_IMAGES_AT_ONCE]
        pixels[start : start + len(some)] = some.transpose(0, 2, 3, 1).reshape(len(some), -1)
    return pixels, loaded.labels


def _cifar_pair(records: NDArray[np.uint8], facts: DatasetFacts) -> Pair:
    """Return images and labels of records whose colours come one plane after the other."""
    rows, columns, channels = facts.shape
    records = records.reshape(-1, 1 + facts.features)
    planes = records[:, 1:].reshape(len(records), channels, rows, columns)
    return planes.transpose(0, 2, 3, 1).reshape(len(records), -1), records[:, 0]


def _cifar_file(path: Path) -> NDArray[np.uint8]:
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise DamagedError(path, error) from None


def _cifar_archive(path: Path) -> dict[str, NDArray[np.uint8]]:
    """Return the content of the batch files in the archive by name."""
    batches: dict[str, NDArray[np.uint8]] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                content = archive.extractfile(member) if folder == _CIFAR_FOLDER and name in _CIFAR_BATCHES else None
                if content is not None:
                    batches[name] = np.frombuffer(content.read(), np.uint8)
    except (OSError, EOFError, zlib.error, ValueError, OverflowError, tarfile.TarError) as error:
        raise DamagedError(path, error) from None
    return batches
