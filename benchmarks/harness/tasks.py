# SPDX-License-Identifier: Apache-2.0
"""One timed piece of work as plain data, understood by every library's worker process.

A task names sizes and a pass; layouts and settings of a library are no part of it. Sizes use the names of the
field: N H W C input, R S filter, K output channels, P Q output; m n k for matrix products. Inputs are drawn
from the task's name, so that every process makes the same ones without sending them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastcnn.testing.fill import bfloat16

Array = NDArray[np.float32]


def normal(seed: str, shape: tuple[int, ...]) -> Array:
    """Standard normal float32 numbers that depend on the seed's text alone."""
    return np.random.default_rng(zlib.crc32(seed.encode())).standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True)
class ConvTask:
    """A convolution in one pass: fprop, dgrad or wgrad; no bias, square stride, padding and dilation."""

    name: str
    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    stride: int
    pad: int
    dilation: int
    groups: int
    direction: str
    math: str = "default"  # of fastcnn alone
    precision: str = "float32"  # with "bfloat16" PyTorch's tensors are of it as well

    @property
    def label(self) -> str:
        return f"{self.name} {self.direction}"

    @property
    def p(self) -> int:
        return (self.h + 2 * self.pad - self.dilation * (self.r - 1) - 1) // self.stride + 1

    @property
    def q(self) -> int:
        return (self.w + 2 * self.pad - self.dilation * (self.s - 1) - 1) // self.stride + 1

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.n, self.h, self.w, self.c)

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        return (self.r, self.s, self.c // self.groups, self.k)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.n, self.p, self.q, self.k)

    @property
    def flops(self) -> float:
        return 2.0 * self.n * self.k * self.p * self.q * self.c / self.groups * self.r * self.s

    @property
    def bytes(self) -> float:
        sizes = (np.prod(shape, dtype=float) for shape in (self.x_shape, self.kernel_shape, self.y_shape))
        return 4.0 * float(sum(sizes))

    def x(self) -> Array:
        return self._held(normal(self.name + " x", self.x_shape))

    def kernel(self) -> Array:
        return self._held(normal(self.name + " kernel", self.kernel_shape))

    def dy(self) -> Array:
        return self._held(normal(self.name + " dy", self.y_shape))

    def _held(self, array: Array) -> Array:
        """Numbers that the precision holds, so that sums alone are to be judged."""
        return bfloat16(array) if self.precision == "bfloat16" else array


@dataclass(frozen=True)
class PoolTask:
    """Pooling of kind max, average or sum with a square window: forward (fwd) or backward (bwd).

    In bwd_index fastcnn too is given the places of the maxima.
    """

    name: str
    kind: str
    n: int
    c: int
    h: int
    w: int
    window: int
    stride: int
    pad: int
    direction: str

    flops = 0.0

    @property
    def label(self) -> str:
        return f"{self.name} {self.direction}"

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.n, self.h, self.w, self.c)

    @property
    def y_shape(self) -> tuple[int, ...]:
        p, q = ((size + 2 * self.pad - self.window) // self.stride + 1 for size in (self.h, self.w))
        return (self.n, p, q, self.c)

    @property
    def bytes(self) -> float:
        """Of what the direction needs: of maxima x beside dy, or their places as fastcnn has them, int32."""
        x, y = (np.prod(shape, dtype=float) for shape in (self.x_shape, self.y_shape))
        read = x if self.kind == "max" and self.direction == "bwd" else 0.0
        return 4.0 * float(x + y + (y if self.direction == "bwd_index" else read))

    def x(self) -> Array:
        return normal(self.name + " x", self.x_shape)

    def dy(self) -> Array:
        return normal(self.name + " dy", self.y_shape)


@dataclass(frozen=True)
class GemmTask:
    """A matrix product: [m, k] times [k, n], either operand given transposed."""

    m: int
    n: int
    k: int
    transpose_a: bool = False
    transpose_b: bool = False

    @property
    def label(self) -> str:
        marks = ("T" if self.transpose_a else "N") + ("T" if self.transpose_b else "N")
        return f"{self.m}x{self.n}x{self.k} {marks}"

    @property
    def flops(self) -> float:
        return 2.0 * self.m * self.n * self.k

    @property
    def bytes(self) -> float:
        return 4.0 * (self.m * self.k + self.k * self.n + self.m * self.n)

    def a(self) -> Array:
        return normal(self.label + " a", (self.k, self.m) if self.transpose_a else (self.m, self.k))

    def b(self) -> Array:
        return normal(self.label + " b", (self.n, self.k) if self.transpose_b else (self.k, self.n))


@dataclass(frozen=True)
class TrainTask:
    """One epoch of training a network of `harness.networks`."""

    network: str
    batch: int
    optimizer: str
    images: int
    precision: str = "float32"  # with "bfloat16" PyTorch casts to it by itself (autocast)

    flops = 0.0
    bytes = 0.0

    @property
    def label(self) -> str:
        return f"{self.network} batch {self.batch} {self.optimizer}"


@dataclass(frozen=True)
class InferTask:
    """One batch through a network of `harness.image_networks`."""

    network: str
    batch: int
    precision: str = "float32"  # with "bfloat16" PyTorch's weights and images are of it as well

    flops = 0.0
    bytes = 0.0

    @property
    def label(self) -> str:
        return f"{self.network} batch {self.batch}"


Task = ConvTask | PoolTask | GemmTask | TrainTask | InferTask
