# SPDX-License-Identifier: Apache-2.0
"""Elements of the right answer in float64, for results too large to compute whole.

y[n,p,q,k] = sum x[n, p*stride-pad+r*dilation, q*stride-pad+s*dilation, c] w[r,s,c,k] over r,s,c of k's group,
and the two gradients of it; pooling over its window; a matrix product. Each answer comes with the bound that
a float32 sum of its products must keep, in whatever order they are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastcnn import _native, optimizers
from fastcnn.testing import reference
from fastcnn.testing.compare import sum_bound

from .operators import OpTask, flat
from .steps import RATE, LossTask, OptimizerTask
from .tasks import ConvTask, GemmTask, PoolTask

_SAMPLES = 192
_SAME = 2.0**-14  # of the largest value: a thousand roundings
_STORED = 2.0**-8  # of a value that is stored in bfloat16, as PyTorch's are

Point = tuple[int, ...]
Factors = tuple[NDArray[np.float32], NDArray[np.float32]]  # whose products add up to one element
Terms = Callable[[Iterable[Point]], Iterator[Factors]]
Plan = tuple[tuple[int, ...], Terms]  # the result's shape, and the terms of its elements


@dataclass(frozen=True)
class Answers:
    """Right values at some flat indices of the result, and how far a float32 result may be off."""

    indices: NDArray[np.int64]
    values: NDArray[np.float64]
    bounds: NDArray[np.float64]

    def error(self, got: NDArray[np.float32]) -> float:
        """Largest difference over the largest right value; raises ArithmeticError beyond the bound."""
        difference = np.abs(got.astype(np.float64) - self.values)
        wrong = np.flatnonzero(~(difference <= self.bounds))
        if wrong.size:
            i = int(wrong[0])
            raise ArithmeticError(
                f"{wrong.size} of {len(self.values)} elements wrong, first at flat index {self.indices[i]}: "
                f"got {got[i]!r}, wanted {self.values[i]!r} within {self.bounds[i]:.2e}"
            )
        return float(difference.max() / max(np.abs(self.values).max(), np.finfo(np.float32).tiny))


def answers(task: ConvTask | PoolTask | GemmTask | OpTask | LossTask | OptimizerTask) -> Answers:
    """Sampled elements of the task's result: random ones, and every corner."""
    if isinstance(task, OpTask):
        return _chosen(*(_convolved(task) if "conv" in task.op else _computed(task)))
    if isinstance(task, (LossTask, OptimizerTask)):
        values = _loss(task) if isinstance(task, LossTask) else _optimizer(task)
        return _chosen(values, np.arange(values.size))
    if isinstance(task, ConvTask):
        shape, terms = _CONV[task.direction](task)
    elif isinstance(task, PoolTask):
        shape, terms = (_pool_fwd if task.direction == "fwd" else _pool_bwd)(task)
    else:
        shape, terms = _gemm(task)
    indices = _sample(shape)
    results = [_dot(*factors) for factors in terms(zip(*np.unravel_index(indices, shape), strict=True))]
    values, bounds = np.asarray(results).T
    if isinstance(task, ConvTask) and task.precision == "bfloat16":
        bounds = bounds + _STORED * np.abs(values)
    return Answers(indices, values, bounds)


def _chosen(values: NDArray[np.float64], indices: NDArray[np.int64]) -> Answers:
    """The reference's result, sampled.

    Whether a kernel keeps its bound is for the tests to say; here all must compute the same, up to sums in
    another order.
    """
    chosen = np.unique(np.random.default_rng(values.size).integers(0, values.size, 4 * _SAMPLES))
    bound = _SAME * np.abs(values).max()
    return Answers(indices[chosen], values[chosen], np.full(len(chosen), bound))


def _loss(task: LossTask) -> NDArray[np.float64]:
    return reference.loss_bwd(task.name, task.target(), task.prediction(), **dict(task.options)).ravel()


def _optimizer(task: OptimizerTask) -> NDArray[np.float64]:
    """The weights after one step."""
    optimizer = getattr(optimizers, task.name)(RATE, **dict(task.options))
    slots = _native.optimizer_slots(optimizer.native())
    variables = [
        reference.Variable(each.astype(np.float64), tuple(np.full(each.shape, value) for value in slots))
        for each in task.weights()
    ]
    gradients = [each.astype(np.float64) for each in task.gradients()]
    after = reference.optimizer_step(optimizer.native(), 0, variables, gradients)
    return np.concatenate([each.weights for each in after])


def _computed(task: OpTask) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    values = flat(task.call(reference, task.arrays()))
    return values, np.arange(values.size)


def _convolved(task: OpTask) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Of the first image alone, or of a weight gradient's first channels: a reference takes its time."""
    arrays = task.arrays()
    if not task.op.endswith("_wgrad"):
        images = {name: array[:1] if name in ("x", "dy") else array for name, array in arrays.items()}
        options = tuple(
            (key, (1, *value[1:]) if key == "input_shape" else value) for key, value in task.options
        )
        values = flat(replace(task, options=options).call(reference, images))
        return values, np.arange(values.size)
    few = {name: array[..., :2] for name, array in arrays.items()}
    gradient = np.asarray(task.call(reference, few))
    last = [arrays["x"].shape[-1], arrays["dy"].shape[-1]]
    if "transpose" in task.op:
        last.reverse()
    if "depthwise" in task.op:
        last[1] = 1
    positions = np.indices(gradient.shape).reshape(gradient.ndim, -1)
    return gradient.ravel(), np.ravel_multi_index(tuple(positions), (*gradient.shape[:-2], *last))


def _sample(shape: tuple[int, ...]) -> NDArray[np.int64]:
    size = int(np.prod(shape))
    corners = np.stack(np.meshgrid(*[(0, extent - 1) for extent in shape]), axis=-1).reshape(-1, len(shape))
    inside = np.random.default_rng(size).integers(0, size, min(size, _SAMPLES))
    return np.unique(np.concatenate([np.ravel_multi_index(tuple(corners.T), shape), inside]))


def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[float, float]:
    products = a.astype(np.float64).ravel() * b.astype(np.float64).ravel()
    value = products.sum()
    return float(value), float(sum_bound(value, np.abs(products).sum(), products.size))


def _taps(task: ConvTask, p: int, q: int) -> Iterator[tuple[int, int, int, int]]:
    for r in range(task.r):
        for s in range(task.s):
            y = p * task.stride - task.pad + r * task.dilation
            x = q * task.stride - task.pad + s * task.dilation
            if 0 <= y < task.h and 0 <= x < task.w:
                yield r, s, y, x


def _fprop(task: ConvTask) -> Plan:
    x, w = task.x(), task.kernel()
    depth, width = task.c // task.groups, task.k // task.groups

    def terms(points: Iterable[Point]) -> Iterator[Factors]:
        for n, p, q, k in points:
            first = k // width * depth
            taps = list(_taps(task, p, q))
            yield (
                np.array([x[n, i, j, first : first + depth] for _, _, i, j in taps]),
                np.array([w[r, s, :, k] for r, s, _, _ in taps]),
            )

    return task.y_shape, terms


def _dgrad(task: ConvTask) -> Plan:
    w, dy = task.kernel(), task.dy()
    depth, width = task.c // task.groups, task.k // task.groups

    def terms(points: Iterable[Point]) -> Iterator[Factors]:
        for n, i, j, c in points:
            first = c // depth * width
            pairs = [
                (dy[n, p, q, first : first + width], w[r, s, c % depth, first : first + width])
                for r in range(task.r)
                for s in range(task.s)
                for p in _windows(task, i, r, task.p)
                for q in _windows(task, j, s, task.q)
            ]
            yield np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])

    return task.x_shape, terms


def _windows(task: ConvTask, position: int, tap: int, count: int) -> Iterator[int]:
    """The output position, if any, whose tap lies on an input position."""
    index, rest = divmod(position + task.pad - tap * task.dilation, task.stride)
    if rest == 0 and 0 <= index < count:
        yield index


def _wgrad(task: ConvTask) -> Plan:
    halo = ((0, 0), (task.pad, task.pad), (task.pad, task.pad), (0, 0))
    x, dy = np.pad(task.x(), halo), task.dy()
    depth, width = task.c // task.groups, task.k // task.groups

    def terms(points: Iterable[Point]) -> Iterator[Factors]:
        for r, s, c, k in points:
            rows, columns = _steps(task, r, task.p), _steps(task, s, task.q)
            yield x[:, rows, columns, k // width * depth + c], dy[..., k]

    return task.kernel_shape, terms


def _steps(task: ConvTask, tap: int, count: int) -> slice:
    """The positions of the padded input that a tap meets, over all outputs."""
    first = tap * task.dilation
    return slice(first, first + (count - 1) * task.stride + 1, task.stride)


_CONV = {"fprop": _fprop, "dgrad": _dgrad, "wgrad": _wgrad}


def _window(task: PoolTask, p: int, q: int) -> tuple[slice, slice]:
    top, left = p * task.stride - task.pad, q * task.stride - task.pad
    return (
        slice(max(top, 0), min(top + task.window, task.h)),
        slice(max(left, 0), min(left + task.window, task.w)),
    )


def _weights(task: PoolTask, patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """The derivative of a window's output by each of its elements; ties go to the first."""
    if task.kind == "max":
        weights = np.zeros(patch.shape, np.float32)
        weights.flat[np.argmax(patch)] = 1.0
        return weights
    share = 1.0 if task.kind == "sum" else 1.0 / patch.size
    return np.full(patch.shape, share, np.float32)


def _pool_fwd(task: PoolTask) -> Plan:
    x = task.x()

    def terms(points: Iterable[Point]) -> Iterator[Factors]:
        for n, p, q, c in points:
            patch = x[(n, *_window(task, p, q), c)]
            yield patch, _weights(task, patch)

    return task.y_shape, terms


def _covering(task: PoolTask, position: int, count: int) -> range:
    """The windows that an input position lies in."""
    first = (position + task.pad - task.window) // task.stride + 1
    return range(max(first, 0), min((position + task.pad) // task.stride + 1, count))


def _pool_bwd(task: PoolTask) -> Plan:
    x, dy = task.x(), task.dy()
    _, rows, columns, _ = task.y_shape

    def terms(points: Iterable[Point]) -> Iterator[Factors]:
        for n, i, j, c in points:
            pairs = [(np.float32(0), np.float32(0))]
            for p in _covering(task, i, rows):
                for q in _covering(task, j, columns):
                    tall, wide = _window(task, p, q)
                    weights = _weights(task, x[n, tall, wide, c])
                    pairs.append((dy[n, p, q, c], weights[i - tall.start, j - wide.start]))
            yield np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])

    return task.x_shape, terms


def _gemm(task: GemmTask) -> Plan:
    a = task.a().T if task.transpose_a else task.a()
    b = task.b().T if task.transpose_b else task.b()

    def terms(points: Iterable[Point]) -> Iterator[Factors]:
        for i, j in points:
            yield a[i], b[:, j]

    return (task.m, task.n), terms
