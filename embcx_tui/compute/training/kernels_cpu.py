"""The steps of one network on one core of a CPU: everything between two minibatches happens where the cache holds it.

All parameters of a network lie in one vector: the matrices [inputs, units] of hidden layers 1 … depth and of the output
layer, then their biases in the same order. float32 throughout; products are scipy's BLAS, called by `np.dot`, but those
with inputs that are mostly zero (`nonzero`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.array_types import Float32Array, IntArray, Real
from embcx_tui.compute.kernels.numba_cache import compiled
from embcx_tui.compute.training import sparse_inputs
from embcx_tui.compute.training.sparse_inputs import Inputs

# The numbers by which kernels know the activations.
KINDS = {"logsig": 0, "tanh": 1, "softsign": 2, "relu": 3}

_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_ONE = np.float32(1)
# Where the rational function of `_tanh` reaches 1 within float32's rounding.
_TANH_END = np.float32(7.90531110763549805)


@compiled(inline=True)
def _exp(x: Real) -> Real:
    """Return e^x to 2e-7 relative for float32 x in -87 … 88, the end's value beyond: Cephes' expf, in a form that
    vectorises.

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

    The ends are cut by comparisons that a nan fails, so that it stays one.
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


# Functions of a row each, given slices: LLVM can then check cheaply that it may vectorise them.
@compiled()
def activate(kind: int, z: Float32Array, bias: Float32Array) -> None:
    """Replace the products z [units] by the activations of z + bias."""
    if kind == 0:
        for j in range(z.size):
            z[j] = _ONE / (_ONE + _exp(-(z[j] + bias[j])))
    elif kind == 1:
        for j in range(z.size):
            z[j] = _tanh(z[j] + bias[j])
    elif kind == 2:
        for j in range(z.size):
            total = z[j] + bias[j]
            z[j] = total / (_ONE + abs(total))
    else:
        for j in range(z.size):
            total = z[j] + bias[j]
            z[j] = _ZERO if total < _ZERO else total


@compiled()
def backpropagate(kind: int, gradient: Float32Array, a: Float32Array, bias_gradient: Float32Array) -> None:
    """Multiply `gradient` [units] by the activation's derivative, in terms of its value a; add it to the bias'."""
    if kind == 0:
        for j in range(a.size):
            gradient[j] *= a[j] * (_ONE - a[j])
            bias_gradient[j] += gradient[j]
    elif kind == 1:
        for j in range(a.size):
            gradient[j] *= _ONE - a[j] * a[j]
            bias_gradient[j] += gradient[j]
    elif kind == 2:
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
    kind: int, depth: int, width: int, classes: int, w: Float32Array,
    inputs: Inputs, index: IntArray, x: Float32Array, layers: Float32Array, logits: Float32Array,
) -> None:  # fmt: skip
    """Fill `layers` [depth · B · width] with the activations at inputs `index` [B], `logits` [B, C] but for the bias.

    `x` [B, F] then holds these inputs, standardised, where they are not listed.
    """
    count, features = index.size, inputs.raw.shape[1]
    size = count * width
    biases = features * width + (depth - 1) * width * width + width * classes
    below = x
    for layer in range(depth):
        z = layers[layer * size : (layer + 1) * size].reshape((count, width))
        matrix = _matrix(w, features, width, layer)
        if layer == 0 and inputs.starts.size:
            sparse_inputs.product(inputs, index, matrix, z)
        else:
            if layer == 0:
                for i in range(count):
                    _standardise(inputs.raw[index[i]], inputs.mean, inputs.scale, x[i])
            np.dot(below, matrix, z)
        bias = w[biases + layer * width : biases + (layer + 1) * width]
        for i in range(count):
            activate(kind, z[i], bias)
        below = z
    np.dot(below, w[biases - width * classes : biases].reshape((width, classes)), logits)


@compiled()
def train(
    inputs: Inputs, labels: IntArray, order: IntArray, first: int, last: int, batch: int,
    kind: int, depth: int, width: int, classes: int,
    w: Float32Array, velocity: Float32Array, rate: Real, momentum: Real,
) -> tuple[float, int]:  # fmt: skip
    """Take the steps `first` … `last` - 1 of an epoch, in place.

    `order` [n] is the epoch's shuffle of the inputs [n, F]: step s takes order[s·batch : (s + 1)·batch], the last one
    what is left. w and velocity are vectors as the module describes them. Returns the sum of
    cross-entropies (nats) and how many inputs were right, each before its step.
    """
    features = inputs.raw.shape[1]
    outputs = features * width + (depth - 1) * width * width
    biases = outputs + width * classes
    gradient = np.empty_like(w)
    listed = inputs.starts.size > 0
    x = np.empty((0 if listed else batch, features), np.float32)
    who = np.empty((features if listed else 0, batch), np.uint32)
    values = np.empty(who.shape, np.float32)
    counts = np.empty(len(who), np.uint32)
    layers = np.empty(depth * batch * width, np.float32)
    upper = np.empty(batch * width, np.float32)
    lower = np.empty(batch * width, np.float32)
    targets = np.empty(batch, np.int64)
    answers = np.empty((batch, classes), np.float32)
    loss = 0.0
    correct = 0
    for step in range(first, last):
        index = order[step * batch : (step + 1) * batch]
        count = index.size
        for i in range(count):
            targets[i] = labels[index[i]]
        _forward(kind, depth, width, classes, w, inputs, index, x[:count], layers, answers[:count])
        gradient[biases:] = _ZERO
        sums = _cross_entropy(
            answers[:count], w[biases + depth * width :], targets[:count], gradient[biases + depth * width :]
        )
        loss += sums[0]
        correct += sums[1]

        size = count * width
        a = layers[(depth - 1) * size : depth * size].reshape((count, width))
        np.dot(a.T, answers[:count], gradient[outputs:biases].reshape((width, classes)))
        here = upper[:size].reshape((count, width))
        there = lower[:size].reshape((count, width))
        np.dot(answers[:count], w[outputs:biases].reshape((width, classes)).T, here)
        for layer in range(depth - 1, -1, -1):
            bias_gradient = gradient[biases + layer * width : biases + (layer + 1) * width]
            for i in range(count):
                backpropagate(kind, here[i], a[i], bias_gradient)
            slopes = _matrix(gradient, features, width, layer)
            if layer > 0:
                a = layers[(layer - 1) * size : layer * size].reshape((count, width))
                np.dot(here, _matrix(w, features, width, layer).T, there)
                np.dot(a.T, here, slopes)
                here, there = there, here
            elif listed:
                sparse_inputs.transposed_product(inputs, index, here, bias_gradient, who, values, counts, slopes)
            else:
                np.dot(x[:count].T, here, slopes)
        _move(w, velocity, gradient, rate, momentum)
    return loss, correct


@compiled()
def count_correct(
    inputs: Inputs, labels: IntArray, batch: int,
    kind: int, depth: int, width: int, classes: int, w: Float32Array,
) -> int:  # fmt: skip
    """Return how many of the inputs [n, F] a network puts into their class, `batch` of them at a time.

    Where classes are equally likely it is put into the first of them, as argmax does.
    """
    n, features = inputs.raw.shape
    order = np.arange(n)
    x = np.empty((0 if inputs.starts.size else batch, features), np.float32)
    layers = np.empty(depth * batch * width, np.float32)
    answers = np.empty((batch, classes), np.float32)
    bias = w[w.size - classes :]
    correct = 0
    for start in range(0, n, batch):
        count = min(batch, n - start)
        index = order[start : start + count]
        _forward(kind, depth, width, classes, w, inputs, index, x[:count], layers, answers[:count])
        for i in range(count):
            best = 0
            for c in range(1, classes):
                if answers[i, c] + bias[c] > answers[i, best] + bias[best]:
                    best = c
            correct += best == labels[start + i]
    return correct
