"""`doctor` tries what studies use, and names the library that is broken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from openTSNE.affinity import PerplexityBasedNN

from embcx_tui.compute.tsne import affinities
from embcx_tui.worker import machine_check
from tests.cli.test_commands import embcx


def findings(code: int, **variables: str) -> dict[str, dict[str, str]]:
    done = embcx("doctor", "--json", **variables)
    assert done.returncode == code and done.stderr == "", done
    return {one["what"]: one for one in json.loads(done.stdout)}


def test_a_sound_machine_embeds_a_hundred_points() -> None:
    found = findings(0)
    assert found["embedding"]["verdict"] == "ok"
    assert "a kernel compiled, P and a descent of 100 points right" in found["embedding"]["text"]
    assert not {"torch", "numba", "scikit-learn", "openTSNE"} & set(found)


@pytest.mark.parametrize(
    ("package", "what", "error"),
    [
        ("torchvision", "torchvision", 'raise RuntimeError("operator torchvision::nms does not exist")'),
        ("torch", "torch", 'raise ImportError("libcudnn.so.9: cannot open shared object file")'),
        ("numba", "numba", 'raise ImportError("Numba needs NumPy 2.3 or less. Got NumPy 2.4.")'),
        ("sklearn", "scikit-learn", 'raise ImportError("libgomp.so.1: cannot allocate memory in static TLS block")'),
        ("numba", "numba", "import os; os._exit(7)"),
    ],
)
def test_a_broken_library_is_named_with_its_own_words(package: str, what: str, error: str, tmp_path: Path) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(error)
    found = findings(1, PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}")
    assert found[what]["verdict"] == "bad"
    words = error.split('"')[1] if '"' in error else "ends the process in which studies compute"
    assert words in found[what]["text"]


def test_the_reference_for_p_is_opentsnes() -> None:
    rows = np.random.default_rng(1).standard_normal((60, 5))
    theirs = PerplexityBasedNN(rows, perplexity=10, k_neighbors=59, method="exact").P.toarray()
    assert np.abs(machine_check.plain_joint(rows, 10.0) - theirs).max() < 1e-5 * theirs.max()


def test_a_wrong_kernel_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = affinities.symmetrise

    def wrong(squared: np.ndarray) -> np.ndarray:
        joint: np.ndarray = right(squared)
        joint[3, 7] *= 1.001  # of the same cloud
        return joint

    assert "right" in machine_check.embedding_check()
    monkeypatch.setattr(affinities, "symmetrise", wrong)
    with pytest.raises(ArithmeticError, match="differs from numpy's"):
        machine_check.embedding_check()
