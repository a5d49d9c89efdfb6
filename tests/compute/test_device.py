"""One BLAS thread while a study is computed, and no more threads than a container's quota has cores for."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from embcx_tui.compute import device
from embcx_tui.compute.device import cores, cpu_quota, one_blas_thread


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


@pytest.mark.parametrize(
    ("own", "files", "wanted"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "200000 100000", "a/cpu.max": "300000 100000"}, 2.0),
        ("0::/\n", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/docker/0123\n", {"cpu.max": "400000 100000"}, 4.0),  # the host's name of it, not seen here
        ("0::/../elsewhere\n", {"cpu.max": "max 100000"}, math.inf),
        (
            "5:memory:/x\n4:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "300000", "cpu/x/cpu.cfs_period_us": "100000"},
            3.0,
        ),
        ("4:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, math.inf),
        ("0::/a\n", {"a/cpu.max": "nonsense"}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_the_quota_of_a_container_counts(own: str, files: dict[str, str], wanted: float, tmp_path: Path) -> None:
    groups = {f"sys/fs/cgroup/{name}": f"{text}\n" for name, text in files.items()}
    for name, text in {"proc/self/cgroup": own, **groups}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_quota(tmp_path) == wanted


def test_there_are_as_many_threads_as_the_quota_has_cores_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    for quota, wanted in ((math.inf, 64), (100.0, 64), (1.5, 2), (0.2, 1)):
        monkeypatch.setattr(device, "cpu_quota", lambda quota=quota: quota)
        assert cores() == wanted
