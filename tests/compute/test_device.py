"""One BLAS thread while a study is computed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from embcx_tui.compute.device import one_blas_thread


def blas_threads() -> set[int]:
    np.linalg.inv(scipy.linalg.inv(np.eye(2)))
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_the_limit_of_a_study_outlives_those_of_its_threads() -> None:
    def in_a_thread() -> set[int]:
        with one_blas_thread():
            return blas_threads()

    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("this machine's BLAS takes no two threads")
        with one_blas_thread(), ThreadPoolExecutor(1) as pool:
            assert blas_threads() == {1}
            assert pool.submit(in_a_thread).result() == {1}
            assert blas_threads() == {1}
        assert blas_threads() == {2}
