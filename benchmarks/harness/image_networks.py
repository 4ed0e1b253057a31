# SPDX-License-Identifier: Apache-2.0
"""Deep networks as plain data: ResNet-18, ResNet-50 and MobileNetV2 at 224x224, ResNet-20 at 32x32.

K. He et al., "Deep residual learning for image recognition", CVPR 2016 (the bottleneck's stride in its 3x3
convolution, as PyTorch has it; projections where the width changes); M. Sandler et al., "MobileNetV2:
inverted residuals and linear bottlenecks", CVPR 2018. Weights are random, in Keras's layout; the statistics
of batch norm keep values near one. Labels are random too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

EPSILON = 1e-5


@dataclass(frozen=True)
class Unit:
    """A convolution, padded by half its size, and batch norm; a sum with value `residual`; an activation.

    Values are numbered as they are made: 0 is the image, `x` and `residual` name earlier ones. A depthwise
    unit has a filter for each channel.
    """

    x: int
    filters: int
    size: int
    stride: int = 1
    activation: str = ""  # relu, relu6
    residual: int | None = None
    depthwise: bool = False


@dataclass(frozen=True)
class MaxPool:
    """Maximum over 3x3 windows, strides 2, padding 1."""

    x: int


Layer = Unit | MaxPool


@dataclass(frozen=True)
class ImageNetwork:
    """Layers, then a global average and a dense layer of `classes` units on the last value."""

    layers: tuple[Layer, ...]
    side: int = 224
    classes: int = 1000

    def channels(self) -> list[int]:
        """Of every value."""
        channels = [3]
        for layer in self.layers:
            channels.append(layer.filters if isinstance(layer, Unit) else channels[layer.x])
        return channels

    def weights(self) -> Iterator[tuple[Array, ...]]:
        """Kernel, gamma, beta, mean and variance of each unit; at the end the dense kernel and its bias."""
        rng = np.random.default_rng(0)
        channels = self.channels()
        for layer in self.layers:
            if not isinstance(layer, Unit):
                continue
            c, k = channels[layer.x], layer.filters
            shape = (layer.size, layer.size, *((c, 1) if layer.depthwise else (c, k)))
            terms = layer.size**2 * (1 if layer.depthwise else c)
            kernel = rng.standard_normal(shape, dtype=np.float32) * np.float32((2.0 / terms) ** 0.5)
            spread = (rng.uniform(0.5, 1.5, k).astype(np.float32) for _ in range(2))
            shift = (rng.uniform(-0.2, 0.2, k).astype(np.float32) for _ in range(2))
            yield kernel, next(spread), next(shift), next(shift), next(spread)
        c = channels[-1]
        yield (
            rng.standard_normal((c, self.classes), dtype=np.float32) / np.float32(c**0.5),
            np.zeros(self.classes, np.float32),
        )

    def images(self, count: int) -> Array:
        return np.random.default_rng(1).standard_normal((count, self.side, self.side, 3), dtype=np.float32)

    def data(self, images: int) -> tuple[Array, NDArray[np.int64]]:
        return self.images(images), np.random.default_rng(2).integers(0, self.classes, images)

    def without_dropout(self) -> ImageNetwork:
        return self


def _resnet20() -> ImageNetwork:
    layers: list[Layer] = [Unit(0, 16, 3, 1, "relu")]
    for stage in range(3):
        for block in range(3):
            x, stride, width = len(layers), 2 if stage and not block else 1, 16 << stage
            skip = x
            if stride > 1:
                layers.append(Unit(x, width, 1, stride))
                skip = len(layers)
            layers.append(Unit(x, width, 3, stride, "relu"))
            layers.append(Unit(len(layers), width, 3, 1, "relu", skip))
    return ImageNetwork(tuple(layers), side=32, classes=10)


def _resnet(blocks: tuple[int, ...], bottleneck: bool) -> ImageNetwork:
    layers: list[Layer] = [Unit(0, 64, 7, 2, "relu"), MaxPool(1)]
    for stage, count in enumerate(blocks):
        width = 64 << stage
        for block in range(count):
            x, stride = len(layers), 2 if stage and not block else 1
            out = 4 * width if bottleneck else width
            skip = x
            if not block and (stage or bottleneck):
                layers.append(Unit(x, out, 1, stride))
                skip = len(layers)
            if bottleneck:
                layers.append(Unit(x, width, 1, 1, "relu"))
                layers.append(Unit(len(layers), width, 3, stride, "relu"))
                layers.append(Unit(len(layers), out, 1, 1, "relu", skip))
            else:
                layers.append(Unit(x, width, 3, stride, "relu"))
                layers.append(Unit(len(layers), out, 3, 1, "relu", skip))
    return ImageNetwork(tuple(layers))


def _mobilenet_v2() -> ImageNetwork:
    layers: list[Layer] = [Unit(0, 32, 3, 2, "relu6")]
    channels = 32
    rows = (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
        (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    )  # fmt: skip
    for expansion, filters, count, first_stride in rows:
        for block in range(count):
            x, stride = len(layers), 1 if block else first_stride
            wide = channels * expansion
            if expansion > 1:
                layers.append(Unit(x, wide, 1, 1, "relu6"))
            layers.append(Unit(len(layers), wide, 3, stride, "relu6", depthwise=True))
            same = stride == 1 and channels == filters
            layers.append(Unit(len(layers), filters, 1, residual=x if same else None))
            channels = filters
    layers.append(Unit(len(layers), 1280, 1, 1, "relu6"))
    return ImageNetwork(tuple(layers))


IMAGE_NETWORKS = {
    "resnet20": _resnet20(),
    "resnet18": _resnet((2, 2, 2, 2), bottleneck=False),
    "resnet50": _resnet((3, 4, 6, 3), bottleneck=True),
    "mobilenet_v2": _mobilenet_v2(),
}
