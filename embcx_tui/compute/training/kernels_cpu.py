"""Training and evaluation of one network on one CPU core, compiled: a network and a minibatch stay in the cache.

All parameters of a network are in one vector: the matrices [inputs, units] of hidden layers 1 … depth and of the output
layer, then their biases in the same order. float32 throughout; products are scipy's BLAS, called by `np.dot`, except
those with inputs that are mostly zero (`sparse_inputs`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.array_types import Float32Array, IntArray, Real
from embcx_tui.compute.jit.numba_cache import compiled
from embcx_tui.compute.training import sparse_inputs
from embcx_tui.compute.training.network import LOGSIG, SOFTSIGN, TANH
from embcx_tui.compute.training.sparse_inputs import KernelInputs

_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_ONE = np.float32(1)
# Where the rational function of `_tanh` reaches 1 within float32's rounding.
_TANH_END = np.float32(7.90531110763549805)


@compiled(inline=True)
def _exp(x: Real) -> Real:
    """Return e^x to 2e-7 relative for float32 x, clipped to -87 … 88: Cephes' expf, in a form that vectorises.

    x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts, so that r is exact.
    """
    x = np.float32(88.0) if x > np.float32(88.0) else (np.float32(-87.0) if x < np.float32(-87.0) else x)
    n = np.floor(x * np.float32(1.44269504088896341) + _HALF)
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return np.float32((p * r * r + r + _ONE) * power)


@compiled(inline=True)
def _tanh(x: Real) -> Real:
    """Return tanh x to 4e-7 relative for float32 x: Eigen's rational function of degrees 13 and 6.

    Clipped by comparisons that nan fails, so that nan stays nan.
    """
    x = _TANH_END if x > _TANH_END else (-_TANH_END if x < -_TANH_END else x)
    s = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return x * p / q


# These kernels take one row each: LLVM can then check cheaply that the loop may be vectorised.
@compiled()
def activate(activation: int, z: Float32Array, bias: Float32Array) -> None:
    """Replace the products z [units] by the activations of z + bias."""
    if activation == LOGSIG:
        for j in range(z.size):
            z[j] = _ONE / (_ONE + _exp(-(z[j] + bias[j])))
    elif activation == TANH:
        for j in range(z.size):
            z[j] = _tanh(z[j] + bias[j])
    elif activation == SOFTSIGN:
        for j in range(z.size):
            total = z[j] + bias[j]
            z[j] = total / (_ONE + abs(total))
    else:
        for j in range(z.size):
            total = z[j] + bias[j]
            z[j] = _ZERO if total < _ZERO else total


@compiled()
def backpropagate(activation: int, gradient: Float32Array, a: Float32Array, bias_gradient: Float32Array) -> None:
    """Multiply `gradient` [units] by the activation's derivative, in terms of its value a; add the result to that of
    the bias.
    """
    if activation == LOGSIG:
        for j in range(a.size):
            gradient[j] *= a[j] * (_ONE - a[j])
            bias_gradient[j] += gradient[j]
    elif activation == TANH:
        for j in range(a.size):
            gradient[j] *= _ONE - a[j] * a[j]
            bias_gradient[j] += gradient[j]
    elif activation == SOFTSIGN:
        for j in range(a.size):
            rest = _ONE - abs(a[j])
            gradient[j] *= rest * rest
            bias_gradient[j] += gradient[j]
    else:
        for j in range(a.size):
            gradient[j] = _ZERO if a[j] <= _ZERO else gradient[j]
            bias_gradient[j] += gradient[j]


@compiled()
def _standardise(raw: NDArray[Any], mean: Real, scale: Real, x: Float32Array) -> None:
    for j in range(x.size):
        x[j] = (np.float32(raw[j]) - mean) * scale


@compiled()
def _move(w: Float32Array, velocity: Float32Array, gradient: Float32Array, rate: Real, momentum: Real) -> None:
    """Take a step of SGD with momentum in PyTorch's form: v = m v + g, w = w - rate v."""
    for j in range(w.size):
        v = momentum * velocity[j] + gradient[j]
        velocity[j] = v
        w[j] -= rate * v


@compiled()
def _cross_entropy(
    logits: Float32Array, bias: Float32Array, targets: IntArray, bias_gradient: Float32Array
) -> tuple[float, int]:
    """Replace the products `logits` [B, C] by d mean cross-entropy / d (logits + bias), summed into `bias_gradient`.

    Returns the sum of cross-entropies (nats) and how many inputs have no class likelier than their target.
    """
    rate = _ONE / np.float32(len(logits))
    loss = 0.0
    correct = 0
    for i in range(len(logits)):
        row = logits[i]
        target = targets[i]
        best = np.float32(-np.inf)
        for c in range(row.size):
            row[c] += bias[c]
            best = best if row[c] <= best else row[c]
        above = best - row[target]
        total = _ZERO
        for c in range(row.size):
            row[c] = np.exp(row[c] - best)
            total += row[c]
        loss += above + np.log(total)
        correct += above == _ZERO
        for c in range(row.size):
            row[c] *= rate / total
        row[target] -= rate
        for c in range(row.size):
            bias_gradient[c] += row[c]
    return loss, correct


@compiled(inline=True)
def _matrix(vector: Float32Array, features: int, width: int, layer: int) -> Float32Array:
    """Return the matrix [inputs, width] of hidden layer `layer`, counted from 0, as a view of a network's vector."""
    if layer == 0:
        return vector[: features * width].reshape((features, width))
    start = features * width + (layer - 1) * width * width
    return vector[start : start + width * width].reshape((width, width))


@compiled(inline=True)
def _forward(
    activation: int, depth: int, width: int, classes: int, w: Float32Array,
    inputs: KernelInputs, index: IntArray, x: Float32Array, layers: Float32Array, logits: Float32Array,
) -> None:  # fmt: skip
    """Fill `layers` [depth · B · width] with the activations of inputs `index` [B], and `logits` [B, C] without the
    bias.

    Where the inputs are dense, `x` [B, F] is filled with them, standardised.
    """
    count, features = index.size, inputs.raw.shape[1]
    size = count * width
    biases = features * width + (depth - 1) * width * width + width * classes
    below = x
    for layer in range(depth):
        z = layers[layer * size : (layer + 1) * size].reshape((count, width))
        matrix = _matrix(w, features, width, layer)
        if layer == 0 and inputs.indptr.size:
            sparse_inputs.product(inputs, index, matrix, z)
        else:
            if layer == 0:
                for i in range(count):
                    _standardise(inputs.raw[index[i]], inputs.mean, inputs.scale, x[i])
            np.dot(below, matrix, z)
        bias = w[biases + layer * width : biases + (layer + 1) * width]
        for i in range(count):
            activate(activation, z[i], bias)
        below = z
    np.dot(below, w[biases - width * classes : biases].reshape((width, classes)), logits)


@compiled(inline=True)
def _backward(
    activation: int, depth: int, width: int, classes: int, w: Float32Array,
    inputs: KernelInputs, index: IntArray, x: Float32Array, layers: Float32Array, logits: Float32Array,
    buffers: tuple[Float32Array, Float32Array],
    columns: tuple[NDArray[np.uint32], Float32Array, NDArray[np.uint32]], gradient: Float32Array,
) -> None:  # fmt: skip
    """Fill `gradient`, a network's vector, from the gradients of the `logits` [B, C]; biases are added to what is
    there.

    `x` and `layers` are from `_forward`; `buffers` [B · width] and `columns` (see `transposed_product`) are scratch.
    """
    count, features = index.size, inputs.raw.shape[1]
    outputs = features * width + (depth - 1) * width * width
    biases = outputs + width * classes
    size = count * width
    a = layers[(depth - 1) * size : depth * size].reshape((count, width))
    np.dot(a.T, logits, gradient[outputs:biases].reshape((width, classes)))
    upper = buffers[0][:size].reshape((count, width))
    lower = buffers[1][:size].reshape((count, width))
    np.dot(logits, w[outputs:biases].reshape((width, classes)).T, upper)
    for layer in range(depth - 1, -1, -1):
        bias_gradient = gradient[biases + layer * width : biases + (layer + 1) * width]
        for i in range(count):
            backpropagate(activation, upper[i], a[i], bias_gradient)
        matrix_gradient = _matrix(gradient, features, width, layer)
        if layer > 0:
            a = layers[(layer - 1) * size : layer * size].reshape((count, width))
            np.dot(upper, _matrix(w, features, width, layer).T, lower)
            np.dot(a.T, upper, matrix_gradient)
            upper, lower = lower, upper
        elif inputs.indptr.size:
            sparse_inputs.transposed_product(inputs, index, upper, bias_gradient, *columns, matrix_gradient)
        else:
            np.dot(x.T, upper, matrix_gradient)


@compiled()
def train(
    inputs: KernelInputs, labels: IntArray, order: IntArray, first: int, last: int, batch: int,
    activation: int, depth: int, width: int, classes: int,
    w: Float32Array, velocity: Float32Array, rate: Real, momentum: Real,
) -> tuple[float, int]:  # fmt: skip
    """Take the steps `first` … `last` - 1 of an epoch of SGD with momentum, in place.

    Parameters
    ----------
    labels: [n], in the order of the inputs [n, F].
    order: [n], the epoch's shuffle of the inputs: step s takes order[s·batch : (s + 1)·batch], the last one the rest.
    activation: one of ACTIVATION_CODES.
    w, velocity: vectors as the module describes them.
    rate: the learning rate.

    Returns
    -------
    The sum of cross-entropies (nats) and the number of correctly classified inputs, each before its step.
    """
    features = inputs.raw.shape[1]
    outputs = features * width + (depth - 1) * width * width
    biases = outputs + width * classes
    gradient = np.empty_like(w)
    sparse = inputs.indptr.size > 0
    x = np.empty((0 if sparse else batch, features), np.float32)
    rows = np.empty((features if sparse else 0, batch), np.uint32)
    values = np.empty(rows.shape, np.float32)
    counts = np.empty(len(rows), np.uint32)
    layers = np.empty(depth * batch * width, np.float32)
    buffer = np.empty(batch * width, np.float32)
    other_buffer = np.empty(batch * width, np.float32)
    targets = np.empty(batch, np.int64)
    logits = np.empty((batch, classes), np.float32)
    loss = 0.0
    correct = 0
    for step in range(first, last):
        index = order[step * batch : (step + 1) * batch]
        count = index.size
        for i in range(count):
            targets[i] = labels[index[i]]
        _forward(activation, depth, width, classes, w, inputs, index, x[:count], layers, logits[:count])
        gradient[biases:] = _ZERO
        sums = _cross_entropy(
            logits[:count], w[biases + depth * width :], targets[:count], gradient[biases + depth * width :]
        )
        loss += sums[0]
        correct += sums[1]
        _backward(
            activation, depth, width, classes, w, inputs, index, x[:count], layers, logits[:count],
            (buffer, other_buffer), (rows, values, counts), gradient,
        )  # fmt: skip
        _move(w, velocity, gradient, rate, momentum)
    return loss, correct


@compiled()
def count_correct(
    inputs: KernelInputs, labels: IntArray, batch: int,
    activation: int, depth: int, width: int, classes: int, w: Float32Array,
) -> int:  # fmt: skip
    """Return how many of the inputs [n, F] a network classifies correctly, `batch` of them at a time.

    Of equally likely classes the first is predicted, as argmax does.
    """
    n, features = inputs.raw.shape
    order = np.arange(n)
    x = np.empty((0 if inputs.indptr.size else batch, features), np.float32)
    layers = np.empty(depth * batch * width, np.float32)
    logits = np.empty((batch, classes), np.float32)
    bias = w[w.size - classes :]
    correct = 0
    for start in range(0, n, batch):
        count = min(batch, n - start)
        index = order[start : start + count]
        _forward(activation, depth, width, classes, w, inputs, index, x[:count], layers, logits[:count])
        for i in range(count):
            best = 0
            for c in range(1, classes):
                if logits[i, c] + bias[c] > logits[i, best] + bias[best]:
                    best = c
            correct += best == labels[start + i]
    return correct
