"""The Triton kernels on CPU tensors in Triton's interpreter, beside plain torch: run as a module with
TRITON_INTERPRET=1, which Triton reads when it is imported.

They show what the kernels compute; `test_triton.py` shows that they compile.
"""

import sys
from pathlib import Path
from unittest.mock import patch

import torch

from embcx_tui.compute.datasets import load
from embcx_tui.compute.training import cohort as cohort_training
from embcx_tui.compute.training import kernels_gpu, network, trainer_gpu
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.tsne import affinities_triton, descent_triton, kernels_torch
from embcx_tui.compute.tsne.gradient_descent import Phase
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import ACTIVATIONS, validate


def pairs() -> None:
    """P of ordinary, far-scaled, half-dead, dead and nearly identical rows; 33 of them, which no block divides."""
    generator = torch.Generator().manual_seed(0)
    n, d = 33, 5
    rows = torch.randn(6, n, d, generator=generator, dtype=torch.float64)
    rows[1] *= 1e-40
    rows[2] *= 1e40
    rows[3, : n // 2] = rows[3, 0]
    rows[4] = 0.0
    rows[5] = 0.5 + torch.randint(0, 200, (n, d), generator=generator) * 2.0**-24
    made = []
    for passes in (kernels_torch, affinities_triton):
        joint = torch.empty(6, n, n, dtype=torch.float64)
        passes.squared_distances(rows, joint)
        squared = joint.clone()
        nearest, reached = passes.conditional_probabilities(joint, 8.0)
        made.append((squared, nearest, reached, passes.symmetrise(joint), joint))
    plain, kernels = made
    assert reached.all(dim=1).tolist() == [True, True, True, False, False, True]
    assert torch.equal(kernels[0], kernels[0].transpose(1, 2))
    assert torch.equal(kernels[4], kernels[4].transpose(1, 2))
    assert torch.equal(plain[2], kernels[2])
    for one, other in zip(plain, kernels, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=0.0)
    alone = torch.empty(1, n, n, dtype=torch.float64)
    affinities_triton.squared_distances(rows[5:], alone)
    affinities_triton.conditional_probabilities(alone, 8.0)
    affinities_triton.symmetrise(alone)
    assert torch.equal(alone[0], kernels[4][5])
    affinities_triton.probe(torch.device("cpu"))


def descents() -> None:
    """A few iterations, the score and the gradient's norm, of three restarts on two P; and that none looks at the
    others.
    """
    generator = torch.Generator().manual_seed(0)
    n = 133
    joint = torch.rand(2, n, n, generator=generator, dtype=torch.float64)
    joint = joint + joint.transpose(1, 2)
    for p in joint:
        p.fill_diagonal_(0.0)
    joint /= joint.sum(dim=(1, 2), keepdim=True)
    which = torch.tensor([1, 0, 1])
    start = torch.randn(3, 2, n, generator=generator)
    phase = Phase(3, 2.0, 0.5, 0.8)
    results = []
    for passes, some in ((kernels_torch, slice(0, 3)), (descent_triton, slice(0, 3)), (descent_triton, slice(2, 3))):
        points = start[some].clone()
        state = [torch.zeros_like(points), torch.ones_like(points), torch.full((len(points),), n * 20.0)]
        passes.iterate(points, state[0], state[1], state[2], joint.float(), which[some], 3, phase, 0.5)
        score = passes.cross_entropy(points, joint, which[some])
        norm = passes.gradient_norms(points, joint.float(), which[some])
        results.append([points, *state, score, norm])
    for plain, kernel, alone in zip(*results, strict=True):
        torch.testing.assert_close(kernel, plain, rtol=1e-4, atol=1e-4)
        assert torch.equal(kernel[2:], alone)
    points = results[1][0]
    scored = kernels_torch.cross_entropy(points, joint, which)
    torch.testing.assert_close(results[1][4], scored, rtol=1e-12, atol=0.0)
    norms = kernels_torch.gradient_norms(points, joint.float(), which)
    torch.testing.assert_close(results[1][5], norms, rtol=1e-5, atol=0.0)
    descent_triton.probe(torch.device("cpu"))


def activations() -> None:
    """Every activation and derivative, from where it saturates through 0, and what is not finite."""
    line = torch.cat([torch.linspace(-100, 100, 1201), torch.linspace(-1e-3, 1e-3, 41)])
    z = torch.cat([line, torch.tensor([torch.inf, -torch.inf, torch.nan])]).repeat(4, 1)[:, None]
    upstream = torch.linspace(-1, 2, z.shape[2]).repeat(4, 1)[:, None]
    of = kernels_gpu.activation_codes(ACTIVATIONS, torch.device("cpu"))
    ours, gradient = z.clone(), upstream.clone()
    kernels_gpu.activate_(ours, of)
    wanted, wanted_gradient = z.clone(), upstream.clone()
    for place, activation in enumerate(ACTIVATIONS):
        scratch = torch.empty_like(z[0])
        network.activate_(wanted[place], activation, scratch)
        network.backpropagate_(wanted_gradient[place], wanted[place], activation, scratch)
    kernels_gpu.backpropagate_(gradient, wanted, of)
    torch.testing.assert_close(ours, wanted, rtol=3e-7, atol=1e-30, equal_nan=True)
    torch.testing.assert_close(gradient, wanted_gradient, rtol=1e-6, atol=1e-7, equal_nan=True)  # 1 - a² at 1
    kernels_gpu.probe(torch.device("cpu"))


def cohort() -> None:
    """Steps and accuracies of a cohort whose activations are mixed in one launch, beside one launch a slice."""
    grid = {"depths": [3, 1, 2], "width": 24, "activations": list(ACTIVATIONS), "runs": 1}
    asked = validate({"data": {"datasets": ["digits"]}, "networks": grid})
    torch.set_num_threads(1)  # the interpreter is not made for more
    digits = load("digits", Path("/nowhere"), Path("/nowhere"))
    members = make_plan(asked).cohorts[0].networks
    with patch.object(cohort_training, "is_batched", return_value=True):
        plain = CohortTraining(members, digits, asked, torch.device("cpu"))
    with (
        patch.object(cohort_training, "is_batched", return_value=True),
        patch.object(trainer_gpu, "triton_kernels", return_value=kernels_gpu),  # as a GPU would give
    ):
        mixed = CohortTraining(members, digits, asked, torch.device("cpu"))
    for step in range(3):
        plain.step(step)
        mixed.step(step)
    for name, value in plain.state().items():
        torch.testing.assert_close(mixed.state()[name], value, rtol=1e-4, atol=1e-6)
    wanted = plain.test_accuracies()
    assert all(abs(accuracy - wanted[name]) < 0.01 for name, accuracy in mixed.test_accuracies().items())


if __name__ == "__main__":
    {"pairs": pairs, "descents": descents, "activations": activations, "cohort": cohort}[sys.argv[1]]()
    print("same")
