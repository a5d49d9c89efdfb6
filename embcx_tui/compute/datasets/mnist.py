"""MNIST: LeCun, Cortes, Burges 2010; 60,000 training images, of which the paper trains on the first 50,000."""

from __future__ import annotations

from embcx_tui.compute.datasets.idx import IdxFile, IdxSource
from embcx_tui.study.catalogue import CATALOGUE
from embcx_tui.study.errors import RequestError
from embcx_tui.study.text import safe_text


def _mirrors() -> tuple[str, ...]:
    try:
        from torchvision.datasets import MNIST as LAYOUT
    except (ImportError, RuntimeError) as error:  # a torchvision of another build fails with RuntimeError
        reason = safe_text(error, 120)
        raise RequestError(f"torchvision does not fit this torch ({reason}); install both from one index") from None
    return tuple(LAYOUT.mirrors)


MNIST = IdxSource(
    name="mnist",
    folder="MNIST",
    files=(
        IdxFile(
            "train-images-idx3-ubyte",
            (60_000, 28, 28),
            9_912_422,
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "6bbc9ace898e44ae57da46a324031adb",
        ),
        IdxFile(
            "train-labels-idx1-ubyte",
            (60_000,),
            28_881,
            "d53e105ee54ea40749a09fcbcd1e9432",
            "a25bea736e30d166cdddb491f175f624",
        ),
        IdxFile(
            "t10k-images-idx3-ubyte",
            (10_000, 28, 28),
            1_648_877,
            "9fb629c4189551a2d022fa330f9573f3",
            "2646ac647ad5339dbf082846283269ea",
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte",
            (10_000,),
            4_542,
            "ec29112dd5afa0611ce80d1b7f02629c",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    n_train=CATALOGUE["mnist"].n_train,
    classes=CATALOGUE["mnist"].classes,
    mirrors=_mirrors,
)
