# SPDX-License-Identifier: Apache-2.0
"""Calls of ``fastcnn.ops`` as data: which arrays go in, what comes out, how exact it must be.

A `Call` can be made on any arrays of its shapes, so one list serves every test that compares a kernel with
something: with the reference, with itself on a view, with itself on another number of threads, with the edge
of a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcnn.testing import compare, reference
from fastcnn.testing.fill import F32, integers, reals

Shape = tuple[int, ...]
Arrays = Mapping[str, F32]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class Call:
    """One operator of ``fastcnn.ops`` with everything fixed but the values.

    `terms` is the length of the longest sum in the result; `linear` names the arguments in which the result
    is linear (affine for a bias), so that their absolute values give the sum of the absolute terms;
    `exact` says that whole numbers give a result without rounding. `error` bounds a result that is no sum
    of products; `derive` turns normal deviates into arguments that belong together, `whole` draws whole
    numbers that do; `listed` names the argument that takes all arrays as a list. `part` is (i, n) for result
    i of an operator that returns n of them.
    """

    op: str
    case: object
    shapes: Mapping[str, Shape]
    options: Mapping[str, Any]
    out_shape: Shape
    terms: int = 1
    linear: tuple[str, ...] = ()
    exact: bool = False
    error: Callable[[Call, Arrays, Real], Real] | None = None
    derive: Callable[[Call, dict[str, F32]], dict[str, F32]] | None = None
    listed: str = ""
    whole: Callable[[Call, np.random.Generator], dict[str, F32]] | None = None
    part: tuple[int, int] | None = None

    def __str__(self) -> str:
        part = f"[{self.part[0]}]" if self.part else ""
        said = (self.options.get(name) for name in ("activation", "math"))
        return "-".join([f"{self.op}{part}", str(self.case), *(value for value in said if value)])

    def integers(self, rng: np.random.Generator) -> dict[str, F32]:
        """Whole numbers for every argument, small enough for exact sums."""
        if self.whole is not None:
            return self.whole(self, rng)
        return {name: integers(rng, shape, self.terms) for name, shape in self.shapes.items()}

    def reals(self, rng: np.random.Generator) -> dict[str, F32]:
        """Normal deviates, then what `derive` makes of them."""
        arrays = {name: reals(rng, shape) for name, shape in self.shapes.items()}
        return arrays if self.derive is None else self.derive(self, arrays)

    def run(self, arrays: Arrays, out: F32 | None = None) -> F32:
        """Call the kernel."""
        # The references alone are of use where the extension is not built.
        from fastcnn import ops

        operator, arguments = getattr(ops, self.op), self._arguments(arrays)
        if self.part is None:
            y: F32 = operator(**arguments, **self.options, out=out)
            return y
        i, count = self.part
        outs = None if out is None else tuple(out if j == i else None for j in range(count))
        results: tuple[F32, ...] = operator(**arguments, **self.options, out=outs)
        return results[i]

    def reference(self, arrays: Arrays) -> Real:
        """The same in float64."""
        options = {name: value for name, value in self.options.items() if name != "math"}
        result = getattr(reference, self.op)(**self._arguments(arrays), **options)
        y: Real = result if self.part is None else result[self.part[0]]
        return y

    def _arguments(self, arrays: Arrays) -> Mapping[str, Any]:
        return {self.listed: list(arrays.values())} if self.listed else arrays

    def bound(self, arrays: Arrays, wanted: Real) -> Real:
        """What the kernel's result may differ from `wanted`."""
        if self.error is not None:
            return self.error(self, arrays, wanted)
        if not self.linear:  # nothing is computed, only chosen
            return np.zeros_like(wanted) + 0.5 * compare.SUBNORMAL
        options = {name: value for name, value in self.options.items() if name != "activation"}
        terms = {name: np.abs(value) if name in self.linear else value for name, value in arrays.items()}
        magnitude = getattr(reference, self.op)(**terms, **options)
        activation = self.options.get("activation")
        if activation == "softmax":
            raise ValueError("no bound for a fused softmax: compare it with softmax of the result")
        before = getattr(reference, self.op)(**arrays, **options)
        return compare.activation_bound(wanted, compare.sum_bound(before, magnitude, self.terms), activation)


@dataclass(frozen=True)
class Suite:
    """The calls of one family that go through every test that asks the same of all operators."""

    every: tuple[Call, ...]  # all shapes that break kernels: at guard pages
    views: tuple[Call, ...]  # a few small ones: on arrays of other strides
    parallel: tuple[Call, ...]  # enough work for several threads: the same bits on any number of them
