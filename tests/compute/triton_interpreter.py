"""The Triton kernels on CPU tensors in Triton's interpreter, beside plain torch: run as a module with
TRITON_INTERPRET=1, which Triton reads when it is imported.

They show what the kernels compute; `test_triton_kernels.py` shows that they compile.
"""

from pathlib import Path
from unittest.mock import patch

import torch

from embcx_tui.compute.datasets import Dataset, load
from embcx_tui.compute.training import cohort as cohort_training
from embcx_tui.compute.training import kernels_triton, network, trainer_gpu
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.tsne import affinities_triton, descent_triton, kernels_torch
from embcx_tui.compute.tsne.schedule import Phase
from embcx_tui.study.plan import Network, make_plan
from embcx_tui.study.settings import ACTIVATIONS, StudySettings, validate


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
    """Every activation and derivative, from where it saturates through 0, and what is not finite; biases, rows in
    another order, and networks that end with the layer.
    """
    line = torch.cat([torch.linspace(-100, 100, 1201), torch.linspace(-1e-3, 1e-3, 41)])
    z = torch.cat([line, torch.tensor([torch.inf, -torch.inf, torch.nan])]).repeat(4, 1)[:, None]
    upstream = torch.linspace(-1, 2, z.shape[2]).repeat(4, 1)[:, None]
    of = kernels_triton.activation_codes(ACTIVATIONS, torch.device("cpu"))
    wanted, wanted_gradient = z.clone(), upstream.clone()
    for place, activation in enumerate(ACTIVATIONS):
        scratch = torch.empty_like(z[0])
        network.activate_(wanted[place], activation, scratch)
        network.backpropagate_(wanted_gradient[place], wanted[place], activation, scratch)
    rows = torch.tensor([2, 0, 3, 1])
    sums = torch.empty_like(z)
    sums[rows] = z  # row rows[i] has what network i has
    ours, last = torch.empty_like(z), torch.zeros_like(z)
    kernels_triton.activate(sums, rows, torch.zeros(4, 1), ours, last, of, 2)
    torch.testing.assert_close(ours, wanted, rtol=3e-7, atol=1e-30, equal_nan=True)
    assert not last[:2].any() and torch.equal(last[2:].nan_to_num(), ours[2:].nan_to_num())

    moved = torch.ones(4, 1)
    gradient = torch.empty_like(z)
    ended = torch.full_like(z, 7.0)
    ended[2:] = upstream[2:]
    kernels_triton.backpropagate(upstream, ended, wanted, rows, gradient, moved, of, 2, 0.5)
    torch.testing.assert_close(gradient[rows], wanted_gradient, rtol=1e-6, atol=1e-7, equal_nan=True)  # 1 - a² at 1
    sound = wanted_gradient[:, :, :-3]
    kernels_triton.backpropagate(
        upstream[:, :, :-3].contiguous(), ended[:, :, :-3].contiguous(), wanted[:, :, :-3].contiguous(), rows,
        torch.empty_like(sound), moved, of, 2, 0.5,
    )  # fmt: skip
    assert moved[rows][:3].isnan().all(), "velocities that are not finite stay so: divergence is recognised by them"
    moved = torch.ones(4, 1)
    kernels_triton.backpropagate(
        upstream[:, :, :-3].contiguous(), ended[:, :, :-3].contiguous(), wanted[:, :, :-3].contiguous(), rows,
        torch.empty_like(sound), moved, of, 2, 0.5,
    )  # fmt: skip
    torch.testing.assert_close(moved[rows], 0.5 + sound.double().sum(2).float(), rtol=1e-5, atol=1e-4)
    small = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1))
    some_biases = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    biased = torch.empty_like(small)
    kernels_triton.activate(small, torch.arange(4), some_biases, biased, biased.clone(), of, 4)
    expected = small + some_biases[:, :, None]
    for place, activation in enumerate(ACTIVATIONS):
        network.activate_(expected[place], activation, torch.empty_like(expected[place]))
    torch.testing.assert_close(biased, expected, rtol=1e-6, atol=1e-7)
    kernels_triton.probe(torch.device("cpu"))


def losses() -> None:
    """The cross-entropy, its gradient and the hits beside torch's, of 1, 3 and 1,000 classes; ties and what is not
    finite; the minibatches of bytes and of float32, beside indexing.
    """
    generator = torch.Generator().manual_seed(0)
    for classes, batch in ((1, 5), (3, 37), (1000, 7)):
        runs, n = 2, 50
        logits = 5 * torch.randn(4, classes, batch, generator=generator)
        logits[3, :, 0] = 0.25  # all classes alike: a hit
        biases = torch.randn(4, classes, generator=generator)
        biases[3] = 1.0
        labels = torch.randint(0, classes, (3, n), generator=generator)
        rows, run_of = torch.tensor([0, 2, 1, 0]), torch.tensor([1, 0, 0, 1])
        index = torch.randint(0, n, (runs, batch), generator=generator)
        active = torch.tensor([1.0, 1.0, 0.0, 1.0])
        loss, correct = torch.full((4,), 2.0, dtype=torch.float64), torch.full((4,), 9)
        velocity = torch.randn(4, classes, generator=generator)
        z = (logits + biases[:, :, None]).double().requires_grad_()
        targets = torch.stack([labels[row][index[run]] for row, run in zip(rows, run_of, strict=True)])
        each = torch.nn.functional.cross_entropy(z, targets, reduction="none")
        (each.mean(1) * active).sum().backward()  # type: ignore[no-untyped-call]  # torch gives it no types
        assert z.grad is not None
        moved = 0.9 * velocity + z.grad.sum(2).float()
        kernels_triton.cross_entropy(
            logits, biases, velocity, labels, rows * n, index, run_of, active[:, None, None], loss, correct, 0.9
        )
        torch.testing.assert_close(logits, z.grad.float(), rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(loss, 2.0 + each.detach().sum(1), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(velocity, moved, rtol=1e-5, atol=1e-6)
        picked = z.detach().float().gather(1, targets[:, None])[:, 0]
        assert torch.equal(correct, 9 + (picked == z.detach().float().amax(1)).sum(1))
    lost = torch.full((1, 3, 2), torch.nan)
    loss, correct, zeros = torch.zeros(1).double(), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    kernels_triton.cross_entropy(
        lost, torch.zeros(1, 3), torch.zeros(1, 3), torch.zeros(4, dtype=torch.int64), zeros,
        torch.zeros(1, 2, dtype=torch.int64), zeros, torch.ones(1), loss, correct, 0.9,
    )  # fmt: skip
    assert loss.isnan().all() and correct.item() == 0
    for x in (torch.randint(0, 256, (9, 1030), dtype=torch.uint8), torch.randn(9, 1030, generator=generator)):
        orders = torch.stack([torch.randperm(9, generator=generator) for _ in range(2)])
        index, inputs = torch.zeros(2, 4, dtype=torch.int64), torch.empty(2, 4, 1030)
        kernels_triton.gather(x, orders, torch.tensor([3]), index, inputs, 12.5, 0.125)
        assert torch.equal(index, orders[:, 3:7])
        torch.testing.assert_close(inputs, (x[orders[:, 3:7]].float() - 12.5) * 0.125, rtol=1e-6, atol=1e-6)


def cohort() -> None:
    """Steps and accuracies of a cohort by the fused program, beside the plain one: of two runs, so that layer 1 has an
    order of its own; of runs of unequal size; with the last, smaller minibatch, and a network that is trained no
    further.
    """
    grid = {"depths": [2, 1], "width": 24, "activations": list(ACTIVATIONS), "runs": 2}
    asked = validate({"data": {"datasets": ["digits"]}, "networks": grid})
    torch.set_num_threads(1)  # the interpreter is not made for more
    digits = load("digits", Path("/nowhere"), Path("/nowhere"))
    whole = make_plan(asked).cohorts[0].networks
    for members in (whole, whole[3:]):
        _same_steps(members, digits, asked)


def _same_steps(members: tuple[Network, ...], digits: Dataset, asked: StudySettings) -> None:
    with patch.object(cohort_training, "is_batched", return_value=True):
        plain = CohortTraining(members, digits, asked, torch.device("cpu"))
    with (
        patch.object(cohort_training, "is_batched", return_value=True),
        patch.object(trainer_gpu, "triton_kernels", return_value=kernels_triton),  # as a GPU would give
    ):
        fused = CohortTraining(members, digits, asked, torch.device("cpu"))
    assert fused.steps == 15
    for training in (plain, fused):
        training.trainers[0].deactivate(1)
        for step in (0, 1, 14):
            training.step(step)
    for name, value in plain.state().items():
        torch.testing.assert_close(fused.state()[name], value, rtol=1e-4, atol=1e-6)
    (ours,), (theirs,) = fused.trainers, plain.trainers
    torch.testing.assert_close(ours.loss, theirs.loss, rtol=1e-5, atol=0.0)
    assert (ours.correct - theirs.correct).abs().max() <= 1
    wanted = plain.test_accuracies()
    assert all(abs(accuracy - wanted[name]) < 0.01 for name, accuracy in fused.test_accuracies().items())


if __name__ == "__main__":
    for check in (pairs, descents, activations, losses, cohort):
        check()
    print("same")
