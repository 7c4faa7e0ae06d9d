"""Fully connected layers, forwards and backwards, in NumPy.

For narrow layers, and for wide ones with few samples, automatic differentiation costs many times the
arithmetic: calls there, memory for gradients that are made anew and products of unlike shapes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from hyperrl_env.numeric.arrays import Floats


class Layer(NamedTuple):
    """A linear layer and the activation after it; or two such layers of equal shape, side by side.

    Attributes:
        weight: (out, in), memory that Torch's parameter shares; (2, out, in) of two layers.
        bias: (out,), likewise; (2, 1, out).
        weight_gradient: In the weight's shape; where `backward` writes.
        bias_gradient: (out,), likewise; (2, out).
        activation: "tanh", "relu", or "" for none.
    """

    weight: Floats
    bias: Floats
    weight_gradient: Floats
    bias_gradient: Floats
    activation: str


def side_by_side(a: Layer, b: Layer) -> Layer:
    """Two layers of equal shape as one, which takes half the calls; views of the same memory."""
    weight, bias, weight_gradient, bias_gradient = (
        # The distance in memory is the stride from one layer to the other.
        as_strided(x, (2, *x.shape), (y.ctypes.data - x.ctypes.data, *x.strides))
        for x, y in zip(a[:4], b[:4], strict=True)
    )
    return Layer(weight, bias[:, None], weight_gradient, bias_gradient, a.activation)


def forward(layers: Sequence[Layer], x: Floats) -> list[Floats]:
    """The inputs of all layers and the last one's output; x is (B, in) or, for each of two, (2, B, in)."""
    activations = [x]
    for layer in layers:
        # The same numbers; on a single layer's small matrices `dot` takes half the time.
        x = np.dot(x, layer.weight.T) if layer.weight.ndim == 2 else x @ layer.weight.mT
        x += layer.bias
        if layer.activation == "tanh":
            np.tanh(x, out=x)
        elif layer.activation == "relu":
            np.maximum(x, 0, out=x)
        activations.append(x)
    return activations


@lru_cache(maxsize=16)
def _ones(n: int) -> Floats:
    return np.ones(n, np.float32)


def output_derivatives(layers: Sequence[Layer], activations: Sequence[Floats], delta: Floats) -> list[Floats]:
    """Derivatives of the loss with respect to every layer's output before its activation.

    Args:
        layers: The network.
        activations: What `forward` returned.
        delta: Derivative of the loss with respect to the last layer's output, in its shape.

    Returns:
        One for each layer, in the shape of its output.
    """
    derivatives = []
    for i in range(len(layers) - 1, -1, -1):
        layer, y = layers[i], activations[i + 1]
        if layer.activation == "tanh":
            slope = y * y
            np.subtract(1, slope, out=slope)
            slope *= delta
            delta = slope
        elif layer.activation == "relu":
            delta = delta * (y > 0)
        derivatives.append(delta)
        if i:
            delta = delta @ layer.weight
    return derivatives[::-1]


def backward(
    layers: Sequence[Layer],
    activations: Sequence[Floats],
    delta: Floats,
    *,
    to_input: bool,
    out: Floats | None = None,
) -> Floats:
    """Writes the gradients of all layers.

    Args:
        layers: The network.
        activations: What `forward` returned.
        delta: Derivative of the loss with respect to the last layer's output, in its shape.
        to_input: Whether the derivative with respect to the network's input is wanted.
        out: Where to write that derivative.

    Returns:
        That derivative; if it is not wanted, the one before the first layer's product.
    """
    ones = _ones(delta.shape[-2])
    derivatives = output_derivatives(layers, activations, delta)
    for layer, x, derivative in zip(layers, activations, derivatives, strict=False):
        np.matmul(derivative.mT, x, out=layer.weight_gradient)
        # A product with ones: half the time of a sum.
        np.matmul(ones, derivative, out=layer.bias_gradient)
    return np.matmul(derivatives[0], layers[0].weight, out=out) if to_input else derivatives[0]
