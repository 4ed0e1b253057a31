# SPDX-License-Identifier: Apache-2.0
"""Cases of the pools that are no plain pool of images: of other axes, global, adaptive, Lp."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from fastcnn.testing.case import PoolCase
from fastcnn.testing.reference.windows import SlidingPool, Windows

Shape = tuple[int, ...]


def _spell(value: Any) -> str:
    return ",".join(map(_spell, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class PoolNdCase:
    """One pool over x [n,...,c] of any number of axes; `dilation_rate` is of max pooling."""

    x_shape: Shape
    pool_size: Any
    strides: Any = None
    padding: Any = "valid"
    dilation_rate: Any = 1
    ceil_mode: bool = False
    count_include_pad: bool = False

    @property
    def axes(self) -> int:
        return len(self.x_shape) - 2

    @property
    def windows(self) -> Windows:
        return Windows.sliding(
            self.x_shape,
            SlidingPool(
                self.pool_size, self.strides, self.padding, self.dilation_rate, self.ceil_mode,
                self.count_include_pad,
            ),
        )  # fmt: skip

    @property
    def y_shape(self) -> Shape:
        return (self.x_shape[0], *self.windows.output, self.x_shape[-1])

    @property
    def options(self) -> dict[str, Any]:
        """What max, average and sum pooling share."""
        return {
            "pool_size": self.pool_size, "strides": self.strides, "padding": self.padding,
            "ceil_mode": self.ceil_mode,
        }  # fmt: skip

    def __str__(self) -> str:
        parts = [
            "x".join(map(str, self.x_shape)), _spell(self.pool_size), f"st{_spell(self.strides)}",
            f"p{_spell(self.padding)}", f"d{_spell(self.dilation_rate)}",
        ]  # fmt: skip
        flags = "-ceil" * self.ceil_mode + "-pad" * self.count_include_pad
        return "-".join(parts) + flags


@dataclass(frozen=True)
class GlobalPoolCase:
    """One window over all of x [n,...,c]."""

    x_shape: Shape
    keepdims: bool = False

    @property
    def pixels(self) -> int:
        return math.prod(self.x_shape[1:-1])

    @property
    def y_shape(self) -> Shape:
        kept = (1,) * (len(self.x_shape) - 2) if self.keepdims else ()
        return (self.x_shape[0], *kept, self.x_shape[-1])

    def __str__(self) -> str:
        return "x".join(map(str, self.x_shape)) + "-keep" * self.keepdims


@dataclass(frozen=True)
class AdaptivePoolCase:
    """As many windows over x [n,...,c] as `output_size` says."""

    x_shape: Shape
    output_size: Any

    @property
    def windows(self) -> Windows:
        return Windows.adaptive(self.x_shape, self.output_size)

    @property
    def y_shape(self) -> Shape:
        return (self.x_shape[0], *self.windows.output, self.x_shape[-1])

    def __str__(self) -> str:
        return "x".join(map(str, self.x_shape)) + f"-{_spell(self.output_size)}"


@dataclass(frozen=True)
class LpPoolCase:
    """A pool of images by its norm."""

    pool: PoolCase = field(default_factory=lambda: PoolCase(1, 2, 2, 1))
    p: float = 2.0

    @property
    def options(self) -> dict[str, Any]:
        return {**self.pool.options, "p": self.p}

    def __str__(self) -> str:
        return f"{self.pool}-p{self.p:g}"
