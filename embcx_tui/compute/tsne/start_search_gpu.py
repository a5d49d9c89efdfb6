"""The thorough search for inputs on a torch device: as `start_search_cpu.search_thoroughly`, for a batch of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from embcx_tui.compute.tsne.initialization import gathered
from embcx_tui.compute.tsne.restarts_gpu import DescentKernels, Device, Restarts, lowest
from embcx_tui.compute.tsne.schedule import DescentResult, Schedule, ThoroughSearch, never


def search_thoroughly(
    joint: Tensor,
    starts: Tensor,
    p_index: Tensor,
    entropies: Tensor,
    schedule: Schedule,
    kernels: DescentKernels,
    should_stop: Callable[[], bool] = never,
) -> Iterator[tuple[int, DescentResult]]:
    """Minimise m KL divergences side by side, each from the best of its many starts [m, s, n, 2]; the last of them is
    the jitter (`ThoroughSearch`).

    Yields (restart, DescentResult) as they end; the other parameters and errors are those of `descent_gpu.descend`.
    """
    plan = schedule.search
    assert isinstance(plan, ThoroughSearch)
    device = Device(joint, schedule, kernels, should_stop)
    state = Restarts.begin(
        starts[:, : plan.starts].flatten(0, 1),
        p_index.repeat_interleave(plan.starts),
        entropies.repeat_interleave(plan.starts),
    )
    # Iterations of one layer's starts together, and of each that is left.
    spent = done = after = 0
    size = plan.starts
    for until, kept in plan.screens:
        for phase in schedule.phases[after:until]:
            device.advance(state, phase, phase.iterations)
            spent, done = spent + size * phase.iterations, done + phase.iterations
        device.score(state)
        state.keep(lowest(state.kl.tolist(), size, kept))
        size, after = kept, until
    device.advance(state, schedule.phases[-1], schedule.window)
    device.score(state)
    spent, done = spent + size * schedule.window, done + schedule.window
    kls = [tuple(state.kl[row * size : (row + 1) * size].tolist()) for row in range(len(starts))]
    # Their places, so that the first of equals is the lowest, as on a CPU core.
    state.index = list(range(len(state.index)))
    settled = [result for _, result in sorted(device.settle(state, done), key=lambda one: one[0])]
    found = [min(settled[row * size : (row + 1) * size], key=lambda result: result.kl) for row in range(len(starts))]
    costs = [
        spent + sum(result.iterations - done for result in settled[row * size : (row + 1) * size])
        for row in range(len(starts))
    ]
    noise = starts[:, plan.starts].cpu().numpy()
    again = np.stack([gathered(one.points, plan.gathered_to, plan.jitter, noise[row]) for row, one in enumerate(found)])
    state = Restarts.begin(torch.from_numpy(again).to(starts.device), p_index, entropies)
    device.find_z(state)
    for phase in plan.phases:
        device.advance(state, phase, phase.iterations)
    for row, better in device.settle(state, sum(phase.iterations for phase in plan.phases)):
        result = found[row]
        if better.kl < result.kl:
            result = replace(better, iterations=result.iterations + better.iterations)
        yield row, replace(result, start_kls=kls[row], starts=plan.starts, spent=costs[row] + better.iterations)
