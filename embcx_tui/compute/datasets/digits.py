"""scikit-learn's digits: 1,797 images of 8×8 pixels that come with the library."""

from __future__ import annotations

import numpy as np

from embcx_tui.compute.datasets.dataset import Dataset, make_dataset
from embcx_tui.study.dataset_catalogue import CATALOGUE

# Any fixed number: the split belongs to the dataset, not to a study's seed, so that accuracies compare across studies.
_SPLIT_SEED = 0


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
        x.astype(np.uint8), y, test_size=facts.n_test, stratify=y, random_state=_SPLIT_SEED
    )
    return make_dataset("digits", (x_train, y_train), (x_test, y_test), facts.classes, facts.shape, train_limit)
