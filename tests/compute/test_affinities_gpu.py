"""P in batches: against the CPU's, against openTSNE's, and in batches of other composition."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from embcx_tui.compute.tsne import affinities as on_cpu
from embcx_tui.compute.tsne import affinities_gpu, kernels_torch
from embcx_tui.compute.tsne.affinities import AffinityInfo
from embcx_tui.compute.tsne.affinities_gpu import affinities, affinity_kernels
from embcx_tui.compute.tsne.kl_divergence import entropy as entropy_of
from tests.compute.affinity_reference import opentsne_joint_probabilities

PERPLEXITY = 15.0
Rows = NDArray[np.floating]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]


def mixed_layers(n: int = 100) -> list[Rows]:
    """Digits, relu layers on them, and what goes wrong: far scales, duplicates, dead and nearly identical rows."""
    rng = np.random.default_rng(0)
    digits = load_digits().data[:n].astype(np.float32) / 16.0
    relu = np.maximum(digits @ rng.standard_normal((64, 30), dtype=np.float32), 0.0)
    doubled = relu.copy()
    doubled[n // 2 :] = doubled[: n // 2]
    half_dead = relu.copy()
    half_dead[: n // 2] = half_dead[0]
    near = (0.5 + rng.integers(0, 8, size=(n, 30)) * 2.0**-24).astype(np.float32)
    rounded = (0.5 + rng.integers(0, 4000, size=(n, 30)) * 2.0**-24).astype(np.float32)
    swinging = rng.standard_normal((n, 30)) * 1e-4 + np.repeat([[0.0], [50.0]], n // 2, axis=0)
    dead = np.zeros((n, 30), dtype=np.float32)
    return [
        digits,
        relu,
        relu * 1e-18,
        dead,
        doubled,
        relu.astype(np.float64) * 1e18,
        half_dead,
        near,
        rounded,
        swinging,
    ]


def batch_affinities(layers: list[Rows], device: str) -> tuple[torch.Tensor, list[tuple[AffinityInfo, float]]]:
    n = len(layers[0])
    joint = torch.full((len(layers), n, n), torch.nan, dtype=torch.float64, device=device)
    chunks = affinities(layers, PERPLEXITY, joint, affinity_kernels(torch.device(device)))
    return joint.cpu(), [layer for chunk in chunks for layer in chunk]


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_gives_the_cpu_s_p(device: str) -> None:
    layers = mixed_layers()
    joint, infos = batch_affinities(layers, device)
    for p, (info, entropy), layer in zip(joint.numpy(), infos, layers, strict=True):
        wanted = on_cpu.affinities(layer, PERPLEXITY)
        assert info == AffinityInfo(wanted.reached, wanted.duplicates, wanted.near_identical, wanted.many_duplicates)
        if wanted.joint is None:
            assert np.isfinite(p).all()
            continue
        assert p == pytest.approx(wanted.joint, rel=1e-8, abs=1e-300)
        assert entropy == pytest.approx(entropy_of(wanted.joint), rel=1e-12)
        assert np.array_equal(p, p.T)
        assert not p.diagonal().any()
    assert [info.reached for info, _ in infos] == [True] * 3 + [False] + [True] * 2 + [False] + [True] * 3
    assert [info.degenerate for info, _ in infos] == [False] * 3 + [True] * 2 + [False] + [True] * 2 + [False] * 2


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_gives_opentsne_s_p(device: str) -> None:
    layers = mixed_layers(200)
    joint, _ = batch_affinities(layers, device)
    for index, same in ((0, 0), (1, 1), (5, 1)):  # at a scale of 1e18 openTSNE's own P is not a number
        theirs = opentsne_joint_probabilities(layers[same], PERPLEXITY)
        assert np.abs(joint[index].numpy() - theirs).sum() < 1e-6


@pytest.mark.parametrize("device", DEVICES)
def test_p_does_not_depend_on_the_batch_composition(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit: together, one after another where memory is short, and each in a batch of its own."""
    layers = mixed_layers()
    together, infos = batch_affinities(layers, device)
    monkeypatch.setattr(affinities_gpu, "free_bytes", lambda device: 0)
    in_turn, infos_in_turn = batch_affinities(layers, device)
    assert torch.equal(in_turn, together)
    assert infos_in_turn == infos
    for index, layer in enumerate(layers):
        single, ((info, entropy),) = batch_affinities([layer], device)
        assert torch.equal(single[0], together[index])
        assert (info, entropy) == infos[index]


def test_every_row_has_the_perplexity_and_the_host_waits_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.standard_normal((3, 200, 7)) * np.geomspace(1e-3, 1e3, 200)[:, None])
    joint = torch.empty(3, 200, 200, dtype=torch.float64)
    kernels_torch.squared_distances(rows, joint)
    asked = 0
    whole = torch.Tensor.__bool__

    def counted(tensor: torch.Tensor) -> bool:
        nonlocal asked
        asked += 1
        return whole(tensor)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "__bool__", counted)
        _, reached = kernels_torch.conditional_probabilities(joint, 12.0)
    assert asked <= 2
    assert reached.all()
    perplexities = (-torch.xlogy(joint, joint).sum(dim=2)).exp()
    torch.testing.assert_close(perplexities, torch.full((3, 200), 12.0, dtype=torch.float64), rtol=1e-7, atol=0.0)
