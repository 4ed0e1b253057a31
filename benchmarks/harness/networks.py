# SPDX-License-Identifier: Apache-2.0
"""The networks whose training step is timed, as plain data, with their first weights and the images they see.

Weights are in Keras's layout (convolution [R,S,C,K], dense [in, out]) and order; images are [N,H,W,C] or [N,
in]. Labels are drawn at random, so that gradients never fade to denormal numbers however long the timing goes
on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

LEARNING_RATE = {"sgd": 0.01, "adam": 0.001}
MOMENTUM = 0.9
ADAM_EPSILON = 1e-7
CLASSES = 10


@dataclass(frozen=True)
class Conv:
    filters: int
    size: int
    pad: int


@dataclass(frozen=True)
class Pool:
    """Maximum over 2x2 windows that do not overlap."""


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Dropout:
    rate: float


@dataclass(frozen=True)
class Dense:
    units: int
    relu: bool = True


Layer = Conv | Pool | Flatten | Dropout | Dense


@dataclass(frozen=True)
class Network:
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    seed: int = 1  # of its data

    def without_dropout(self) -> Network:
        """The network whose losses two libraries can share, since each draws masks of its own."""
        return replace(self, layers=tuple(layer for layer in self.layers if not isinstance(layer, Dropout)))

    def weights(self) -> list[NDArray[np.float32]]:
        """Kernels (uniform, Glorot's bounds) and biases (uniform, small) of all layers in order."""
        rng = np.random.default_rng(0)
        shape, weights = self.input_shape, []
        for layer in self.layers:
            if isinstance(layer, Conv | Dense):
                window, units = (
                    ((layer.size,) * 2, layer.filters) if isinstance(layer, Conv) else ((), layer.units)
                )
                kernel = (*window, shape[-1], units)
                area = int(np.prod(window))
                bound = np.sqrt(6.0 / (area * (kernel[-2] + kernel[-1])))
                weights.append(rng.uniform(-bound, bound, kernel).astype(np.float32))
                weights.append(rng.uniform(-0.1, 0.1, kernel[-1]).astype(np.float32))
            shape = output_shape(layer, shape)
        return weights

    def data(self, images: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Images in [0, 1) and random labels."""
        rng = np.random.default_rng(self.seed)
        return rng.random((images, *self.input_shape), dtype=np.float32), rng.integers(0, CLASSES, images)


def output_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a layer's output for one image, [H,W,C] or [units]."""
    if isinstance(layer, Conv):
        height, width = (size + 2 * layer.pad - layer.size + 1 for size in shape[:2])
        return (height, width, layer.filters)
    if isinstance(layer, Pool):
        return (shape[0] // 2, shape[1] // 2, shape[2])
    if isinstance(layer, Flatten):
        return (int(np.prod(shape)),)
    if isinstance(layer, Dense):
        return (layer.units,)
    return shape


NETWORKS = {
    "dense": Network((784,), (Dense(CLASSES, relu=False),)),
    "lenet5": Network(
        (28, 28, 1),
        (
            Conv(6, 5, pad=2),
            Pool(),
            Conv(16, 5, pad=0),
            Pool(),
            Flatten(),
            Dense(120),
            Dense(84),
            Dense(CLASSES, relu=False),
        ),
        # Of 1, at batch 64, a maximum is 2.5e-8 from zero after a step: rounding decides if ReLU cuts it.
        seed=2,
    ),
    "mnist_cnn": Network(
        (28, 28, 1),
        (
            Conv(32, 3, pad=0),
            Pool(),
            Conv(64, 3, pad=0),
            Pool(),
            Flatten(),
            Dropout(0.5),
            Dense(CLASSES, relu=False),
        ),
    ),
}
