# SPDX-License-Identifier: Apache-2.0
"""One case of an operator: its sizes and options, the shapes that follow from them, its cost, its name.

Layouts are those of ``fastcnn.ops``. A case prints as a short text, which names a test or a row of a
benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcnn.testing.reference.conv_nd import PaddingNd, Sum, walk, walk_transposed
from fastcnn.testing.reference.geometry import Padding, output_size, resolve_padding
from fastcnn.testing.reference.windows import SlidingPool, Windows


@dataclass(frozen=True)
class ConvCase:
    """One convolution: x [n,h,w,c], kernel [r,s,c/groups,k]."""

    n: int
    h: int
    w: int
    c: int
    k: int
    r: int = 3
    s: int = 3
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "valid"
    dilation_rate: tuple[int, int] = (1, 1)
    groups: int = 1
    name: str = ""

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.h, self.w, self.c

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        return self.r, self.s, self.c // self.groups, self.k

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        pads = resolve_padding(
            self.padding, (self.h, self.w), (self.r, self.s), self.strides, self.dilation_rate
        )
        p = output_size(
            self.h, self.r, self.strides[0], pads.top, pads.bottom, dilation=self.dilation_rate[0]
        )
        q = output_size(
            self.w, self.s, self.strides[1], pads.left, pads.right, dilation=self.dilation_rate[1]
        )
        return self.n, p, q, self.k

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of ``ops.conv2d`` and of its two gradients."""
        return {
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
        }

    @property
    def flops(self) -> int:
        """Of the definition, for each of the three passes: 2 N K P Q C/groups R S."""
        n, p, q, k = self.y_shape
        return 2 * n * p * q * k * (self.c // self.groups) * self.r * self.s

    def __str__(self) -> str:
        return self.name or (
            f"n{self.n}h{self.h}w{self.w}c{self.c}-k{self.k}r{self.r}s{self.s}-st{_spell(self.strides)}"
            f"-p{_spell(self.padding)}-d{_spell(self.dilation_rate)}-g{self.groups}"
        )


@dataclass(frozen=True)
class ConvNdCase:
    """One convolution of any kind and rank: `op` is its name in ``fastcnn.ops``, k its output channels.

    Of a separable convolution k are the filters of its pointwise half and `multiplier` is that of the other.
    """

    op: str
    n: int
    size: tuple[int, ...]
    c: int
    k: int
    window: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: PaddingNd = "valid"
    dilation_rate: tuple[int, ...] = ()
    groups: int = 1
    output_padding: tuple[int, ...] | None = None
    multiplier: int = 1

    @property
    def transposed(self) -> bool:
        return self.op.endswith("_transpose")

    @property
    def depthwise(self) -> bool:
        return self.op.startswith("depthwise")

    @property
    def separable(self) -> bool:
        return self.op.startswith("separable")

    @property
    def x_shape(self) -> tuple[int, ...]:
        return self.n, *self.size, self.c

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Of a separable convolution, its depthwise kernel."""
        if self.depthwise:
            return *self.window, self.c, self.k // self.c
        if self.separable:
            return *self.window, self.c, self.multiplier
        split = self.k if self.transposed else self.c
        return *self.window, split // self.groups, self.c if self.transposed else self.k

    @property
    def pointwise_shape(self) -> tuple[int, ...]:
        return *(1 for _ in self.window), self.c * self.multiplier, self.k

    @property
    def sum(self) -> Sum:
        """The walk; of a transposed convolution that of its data gradient."""
        options = self.options
        if self.transposed:
            return walk_transposed(self.size, self.window, options, self.groups)
        strides, dilation = options["strides"], options["dilation_rate"]
        return walk(self.size, self.window, strides, self.padding, dilation, self.groups)

    @property
    def y_shape(self) -> tuple[int, ...]:
        sums = self.sum
        return self.n, *(sums.inputs if self.transposed else sums.outputs), self.k

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of the function of ``fastcnn.ops`` and of its gradients."""
        ones = (1,) * len(self.size)
        options: dict[str, Any] = {
            "strides": self.strides or ones,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate or ones,
        }
        if self.transposed:
            options["output_padding"] = self.output_padding
        if not self.depthwise and not self.separable:
            options["groups"] = self.groups
        return options

    def __str__(self) -> str:
        text = (
            f"n{self.n}s{_spell(self.size)}c{self.c}-k{self.k}w{_spell(self.window)}-p{_spell(self.padding)}"
        )
        for letter, value in (("st", self.strides), ("d", self.dilation_rate)):
            text += f"-{letter}{_spell(value)}" if value else ""
        text += f"-g{self.groups}" if self.groups > 1 else ""
        text += f"-o{_spell(self.output_padding)}" if self.output_padding else ""
        return text + (f"-m{self.multiplier}" if self.multiplier > 1 else "")


@dataclass(frozen=True)
class PoolCase:
    """One pool over x [n,h,w,c]."""

    n: int
    h: int
    w: int
    c: int
    pool_size: tuple[int, int] = (2, 2)
    strides: tuple[int, int] | None = None
    padding: Padding = "valid"
    ceil_mode: bool = False
    dilation_rate: tuple[int, int] = (1, 1)  # of max pooling
    count_include_pad: bool = False  # of average pooling
    name: str = ""

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.h, self.w, self.c

    @property
    def windows(self) -> Windows:
        return Windows.sliding(self.x_shape, SlidingPool(**self.options))

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        p, q = self.windows.output
        return self.n, p, q, self.c

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of ``ops.*_pool2d`` and of its gradient; those of one kind alone only if given."""
        options = {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "ceil_mode": self.ceil_mode,
        }
        dilated = {"dilation_rate": self.dilation_rate} if self.dilation_rate != (1, 1) else {}
        counted = {"count_include_pad": True} if self.count_include_pad else {}
        return {**options, **dilated, **counted}

    @property
    def bytes(self) -> int:
        """Read and written by a forward pass that touches everything once."""
        n, p, q, c = self.y_shape
        return 4 * (self.n * self.h * self.w * self.c + n * p * q * c)

    def __str__(self) -> str:
        strides = "" if self.strides is None else f"-st{_spell(self.strides)}"
        return self.name or (
            f"n{self.n}h{self.h}w{self.w}c{self.c}-{_spell(self.pool_size)}{strides}-p{_spell(self.padding)}"
            f"{'-ceil' if self.ceil_mode else ''}"
            f"{'' if self.dilation_rate == (1, 1) else '-d' + _spell(self.dilation_rate)}"
            f"{'-pad' if self.count_include_pad else ''}"
        )


@dataclass(frozen=True)
class GemmCase:
    """y [m,n] = op(a) op(b), a sum of k products each."""

    m: int
    n: int
    k: int
    transpose_a: bool = False
    transpose_b: bool = False
    name: str = ""

    @property
    def a_shape(self) -> tuple[int, int]:
        return (self.k, self.m) if self.transpose_a else (self.m, self.k)

    @property
    def b_shape(self) -> tuple[int, int]:
        return (self.n, self.k) if self.transpose_b else (self.k, self.n)

    @property
    def options(self) -> dict[str, Any]:
        return {"transpose_a": self.transpose_a, "transpose_b": self.transpose_b}

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k

    def __str__(self) -> str:
        flags = ("-ta" if self.transpose_a else "") + ("-tb" if self.transpose_b else "")
        return self.name or f"{self.m}x{self.n}x{self.k}{flags}"


@dataclass(frozen=True)
class RowsCase:
    """A [rows, cols] array of an element-wise operator, of softmax or of a loss."""

    rows: int
    cols: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}"


@dataclass(frozen=True)
class MergeCase:
    """Two arrays whose shapes broadcast."""

    x1_shape: tuple[int, ...]
    x2_shape: tuple[int, ...]

    @property
    def y_shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(self.x1_shape, self.x2_shape)

    def terms(self, index: int) -> int:
        """How many outputs each element of an input takes part in."""
        return math.prod(self.y_shape) // math.prod((self.x1_shape, self.x2_shape)[index])

    def __str__(self) -> str:
        return f"{_sizes(self.x1_shape)}-{_sizes(self.x2_shape)}"


@dataclass(frozen=True)
class ConcatenateCase:
    """Arrays of one shape but for `axis`, along which they have `sizes`."""

    shape: tuple[int, ...]
    sizes: tuple[int, ...]
    axis: int = -1

    @property
    def x_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(self._with(size) for size in self.sizes)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return self._with(sum(self.sizes))

    def _with(self, size: int) -> tuple[int, ...]:
        shape = list(self.shape)
        shape[self.axis] = size
        return tuple(shape)

    def __str__(self) -> str:
        return f"{_sizes(self.y_shape)}-axis{self.axis}-{_sizes(self.sizes)}"


@dataclass(frozen=True)
class MoveCase:
    """An array and the options of an operator that moves its elements."""

    x_shape: tuple[int, ...]
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return "-".join([_sizes(self.x_shape), *(_spell(value) for value in self.options.values())])


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


@dataclass(frozen=True)
class NormCase:
    """A normalization of x [n,...,c]: `groups` for group norm, `axes` trailing ones for those of rows.

    `affine`: with gamma and beta; `given`: with statistics that are not those of x.
    """

    x_shape: tuple[int, ...]
    groups: int = 1
    axes: int = 1
    affine: bool = True
    given: bool = False

    @property
    def channels(self) -> int:
        return self.x_shape[-1]

    @property
    def row_shape(self) -> tuple[int, ...]:
        return self.x_shape[-self.axes :]

    def __str__(self) -> str:
        size = "x".join(map(str, self.x_shape))
        flags = ("" if self.affine else "-plain") + ("-given" if self.given else "")
        return f"{size}-g{self.groups}-a{self.axes}{flags}"


@dataclass(frozen=True)
class PreluCase:
    """x [n, ...] and the shape of its slopes: a sample's, with 1 for a shared axis."""

    x_shape: tuple[int, ...]
    alpha_shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{_sizes(self.x_shape)}-{_sizes(self.alpha_shape)}"


def _spell(value: Padding | PaddingNd) -> str:
    """(1, 2) as "1,2" and ((1, 2), (0, 1)) as "1,2,0,1"."""
    if isinstance(value, tuple):
        return ",".join(_spell(item) for item in value)
    return str(value)
