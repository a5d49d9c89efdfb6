"""What a training step does beside its matrix products, as Triton kernels: inputs gathered and standardised, biases and
activations, the cross-entropy with its gradient, derivatives and the gradients of biases.

One launch each for networks of any activations. Call by call in torch, a cohort of all depths and activations has
dozens of slices of equal activations, and softsign takes several calls per slice: 438 calls per step, where these and
the products of `fused_program` take 41.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from embcx_tui.compute.device import on_device_of
from embcx_tui.compute.training.network import ACTIVATION_CODES, LOGSIG, SOFTSIGN, TANH

_LOGSIG, _TANH, _SOFTSIGN = (tl.constexpr(code) for code in (LOGSIG, TANH, SOFTSIGN))
BLOCK = 1024  # numbers per program, all of one network
UNITS, INPUTS = 8, 128  # a derivative's tile: 8 numbers per thread
COLUMNS, LARGEST_TILE = 16, 8192  # inputs per pass of the cross-entropy; fewer where there are 1,000 classes


@triton.jit  # type: ignore[untyped-decorator]  # Triton reads the source: not its annotations
def gather_kernel(  # type: ignore[no-untyped-def]
    x, orders, first, index, inputs, n, features, batch, mean, scale, SIZE: tl.constexpr,
):  # fmt: skip
    """Write SIZE features of one run's input number `first` + b of its order, standardised, to inputs [runs, batch,
    features], and its number in x [n, features] to index [runs, batch]; orders [runs, n].
    """
    place = tl.program_id(0).to(tl.int64)  # run · batch + b
    run = place // batch
    which = tl.load(orders + run * n + tl.load(first) + (place - run * batch))
    tl.store(index + place, which)
    within = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    values = tl.load(x + which * features + within, mask=within < features, other=0).to(tl.float32)
    tl.store(inputs + place * features + within, (values - mean) * scale, mask=within < features)


@triton.jit  # type: ignore[untyped-decorator]
def activate_kernel(  # type: ignore[no-untyped-def]
    z, rows, biases, a, last, activations, ends_from, count, batch, units, SIZE: tl.constexpr,
):  # fmt: skip
    """Write the activation of SIZE of one network's sums z plus biases to a [networks, count], count = units · batch.

    z [rows, count] and biases [rows, units] are those of row rows[network]. Networks from `ends_from` on end with this
    layer: their activations go to last [networks, count] too.
    """
    network = tl.program_id(0).to(tl.int64)
    row = tl.load(rows + network)
    within = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    inside = within < count
    activation = tl.load(activations + network)
    x = tl.load(z + row * count + within, mask=inside, other=0.0)
    x += tl.load(biases + row * units + within // batch, mask=inside, other=0.0)
    if activation == _LOGSIG:
        x = 1.0 / (1.0 + tl.exp(-x))
    elif activation == _TANH:
        # Near 0 a polynomial (Moshier's Cephes, tanhf: 1 unit in the last place), where the quotient would cancel.
        s = x * x
        p = (((-5.70498872745e-3 * s + 2.06390887954e-2) * s - 5.37397155531e-2) * s + 1.33314422036e-1) * s
        far = 1.0 - 2.0 / (tl.exp(2.0 * tl.abs(x)) + 1.0)
        x = tl.where(tl.abs(x) < 0.625, x + x * s * (p - 3.33332819422e-1), tl.where(x < 0.0, -far, far))
    elif activation == _SOFTSIGN:
        x = x / (1.0 + tl.abs(x))
    else:
        x = tl.where(x < 0.0, 0.0, x)  # not the maximum: that may drop a NaN, by which divergence is recognised
    tl.store(a + network * count + within, x, mask=inside)
    if network >= ends_from:
        tl.store(last + network * count + within, x, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def cross_entropy_kernel(  # type: ignore[no-untyped-def]
    logits, biases, velocity, labels, label_offset, index, runs, active, loss, correct,
    classes, batch, momentum, CLASSES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Replace one network's logits [networks, classes, batch] (without biases) by the gradient of its mean
    cross-entropy; add the sum of its losses to loss, of its hits to correct, and the biases' gradient to velocity.
    """
    network = tl.program_id(0).to(tl.int64)
    of_class = tl.arange(0, CLASSES)
    is_class = of_class < classes
    bias = tl.load(biases + network * classes + of_class, mask=is_class, other=0.0)
    rate = tl.load(active + network) / batch
    of_run = index + tl.load(runs + network) * batch
    offset = tl.load(label_offset + network)
    bias_gradient = tl.zeros((CLASSES,), tl.float32)
    log_likelihood = tl.zeros((COLUMNS,), tl.float32)
    hits = tl.zeros((COLUMNS,), tl.int64)
    for start in range(0, batch, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        inside = columns < batch
        target = tl.load(labels + offset + tl.load(of_run + columns, mask=inside, other=0), mask=inside, other=0)
        at = logits + (network * classes + of_class[:, None]) * batch + columns[None, :]
        tile = is_class[:, None] & inside[None, :]
        z = tl.where(is_class[:, None], tl.load(at, mask=tile, other=0.0) + bias[:, None], float("-inf"))
        z -= tl.max(z, axis=0)[None, :]
        log_p = z - tl.log(tl.sum(tl.exp(z), axis=0))[None, :]
        is_target = of_class[:, None] == target[None, :]
        picked = tl.sum(tl.where(is_target, log_p, 0.0), axis=0)
        log_likelihood += tl.where(inside, picked, 0.0)
        # Correct where no class is likelier than the true one.
        hits += tl.where(inside & (tl.max(log_p, axis=0) == picked), 1, 0)
        g = (tl.exp(log_p) - tl.where(is_target, 1.0, 0.0)) * rate  # d loss / d logits = (p - one-hot) / B
        tl.store(at, g, mask=tile)
        bias_gradient += tl.sum(tl.where(tile, g, 0.0), axis=1)
    tl.store(loss + network, tl.load(loss + network) - tl.sum(log_likelihood, axis=0).to(tl.float64))
    tl.store(correct + network, tl.load(correct + network) + tl.sum(hits, axis=0))
    at_bias = velocity + network * classes + of_class
    tl.store(at_bias, momentum * tl.load(at_bias, mask=is_class, other=0.0) + bias_gradient, mask=is_class)


@triton.jit  # type: ignore[untyped-decorator]
def backpropagate_kernel(  # type: ignore[no-untyped-def]
    above, last, values, rows, gradient, velocity, activations, ends_from, units, batch, momentum,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write above · f'(values) of ROWS units of one network to gradient, and add its sums over the batch to velocity.

    above, last, values: [networks, units, batch]; networks from `ends_from` on have theirs in `last`, not `above`.
    gradient [rows, units, batch] and velocity [rows, units] take them at rows[network].
    """
    network = tl.program_id(0).to(tl.int64)
    row = tl.load(rows + network)
    activation = tl.load(activations + network)
    of_unit = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    is_unit = of_unit < units
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, batch, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        tile = is_unit[:, None] & (columns < batch)[None, :]
        within = of_unit[:, None] * batch + columns[None, :]
        at = network * units * batch + within
        a = tl.load(values + at, mask=tile, other=0.0)
        if network >= ends_from:
            g = tl.load(last + at, mask=tile, other=0.0)
        else:
            g = tl.load(above + at, mask=tile, other=0.0)
        if activation == _LOGSIG:
            g = g * a * (1.0 - a)
        elif activation == _TANH:
            g = g * (1.0 - a * a)
        elif activation == _SOFTSIGN:
            g = g * (1.0 - tl.abs(a)) * (1.0 - tl.abs(a))
        else:
            g = tl.where(a <= 0.0, 0.0, g)
        tl.store(gradient + row * units * batch + within, g, mask=tile)
        total += g
    at_bias = velocity + row * units + of_unit
    moved = momentum * tl.load(at_bias, mask=is_unit, other=0.0) + tl.sum(total, axis=1)
    tl.store(at_bias, moved, mask=is_unit)


def activation_codes(activations: Sequence[str], device: torch.device) -> Tensor:
    """Return the codes [networks] by which the kernels know these activations, on `device`."""
    return torch.tensor([ACTIVATION_CODES[activation] for activation in activations], dtype=torch.int32, device=device)


def gather(x: Tensor, orders: Tensor, first: Tensor, index: Tensor, inputs: Tensor, mean: float, scale: float) -> None:
    """Write the minibatch of each run to `inputs` [runs, batch, features], standardised, and its numbers in x to
    `index` [runs, batch].

    x [n, features] uint8 or float32; orders [runs, n] int64; first [1] int64, the minibatch's first place in them.
    """
    runs, batch, features = inputs.shape
    block = min(BLOCK, triton.next_power_of_2(features))
    with on_device_of(x):
        gather_kernel[(runs * batch, triton.cdiv(features, block))](
            x, orders, first, index, inputs, len(x), features, batch, mean, scale, SIZE=block
        )


def activate(z: Tensor, rows: Tensor, biases: Tensor, a: Tensor, last: Tensor, codes: Tensor, ends_from: int) -> None:
    """Write the activations of the sums z plus `biases` to `a` [networks, units, inputs], which may be z itself.

    z [rows, units, inputs] and biases [rows, units]; rows [networks] int64 has each network's row of them. Networks
    from `ends_from` on have this layer last: theirs go to `last` [networks, units, inputs] too. codes [networks]. All
    contiguous.
    """
    networks, units, batch = a.shape
    count = units * batch
    with on_device_of(z):
        activate_kernel[(networks, triton.cdiv(count, BLOCK))](
            z, rows, biases, a, last, codes, ends_from, count, batch, units, SIZE=BLOCK
        )


def cross_entropy(
    logits: Tensor,
    biases: Tensor,
    velocity: Tensor,
    labels: Tensor,
    label_offset: Tensor,
    index: Tensor,
    runs: Tensor,
    active: Tensor,
    loss: Tensor,
    correct: Tensor,
    momentum: float,
) -> None:
    """Replace `logits` [networks, classes, inputs], without their biases, by the gradients of the mean cross-entropy.

    loss [networks] float64 and correct [networks] int64 grow by this minibatch's sums; velocity [networks, classes]
    becomes momentum · velocity + gradient of `biases`. The label of input b is labels[label_offset[network] +
    index[runs[network], b]]; active [networks] is 0 where the gradient is to be.
    """
    networks, classes, batch = logits.shape
    padded = triton.next_power_of_2(classes)
    with on_device_of(logits):
        cross_entropy_kernel[(networks,)](
            logits, biases, velocity, labels, label_offset, index, runs, active, loss, correct,
            classes, batch, momentum, CLASSES=padded, COLUMNS=max(1, min(COLUMNS, LARGEST_TILE // padded)),
        )  # fmt: skip


def backpropagate(
    above: Tensor,
    last: Tensor,
    a: Tensor,
    rows: Tensor,
    gradient: Tensor,
    velocity: Tensor,
    codes: Tensor,
    ends_from: int,
    momentum: float,
) -> None:
    """Write the gradients with respect to a layer's sums to `gradient`, and those of its biases into `velocity`.

    above, last: gradients with respect to the activations a [networks, units, inputs]; those of networks from
    `ends_from` on are in `last`. gradient [rows, units, inputs] (may be `above` where rows are networks) and velocity
    [rows, units], = momentum · velocity + gradient. codes [networks]; all contiguous.
    """
    networks, units, batch = a.shape
    with on_device_of(a):
        backpropagate_kernel[(networks, triton.cdiv(units, UNITS))](
            above, last, a, rows, gradient, velocity, codes, ends_from, units, batch, momentum,
            ROWS=UNITS, COLUMNS=INPUTS,
        )  # fmt: skip


def probe(device: torch.device) -> None:
    """Compile and run every kernel on `device` once; raises whatever a missing compiler or driver raises."""
    z = torch.zeros(4, 2, 2, device=device)
    codes = activation_codes(tuple(ACTIVATION_CODES), device)
    rows, biases = torch.arange(4, device=device), torch.zeros(4, 2, device=device)
    index, labels = (
        torch.zeros(1, 2, dtype=torch.int64, device=device),
        torch.zeros(3, dtype=torch.int64, device=device),
    )
    for dtype in (torch.uint8, torch.float32):
        x = torch.zeros(3, 5, dtype=dtype, device=device)
        gather(x, labels[None], labels[:1], index, torch.zeros(1, 2, 5, device=device), 0.0, 1.0)
    activate(z, rows, biases, z, z.clone(), codes, 2)
    zeros = torch.zeros(4, dtype=torch.int64, device=device)
    sums = zeros.double(), zeros.clone()
    cross_entropy(z, biases, biases.clone(), labels, zeros, index, zeros, biases[:, 0].contiguous(), *sums, 0.9)
    backpropagate(z, z.clone(), z.clone(), rows, z, biases, codes, 2, 0.9)
