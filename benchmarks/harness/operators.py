# SPDX-License-Identifier: Apache-2.0
"""The rows of `operators.py`: one call of a function of `fastcnn.ops` each, as plain data.

`reference` of `fastcnn.testing` has the same functions with the same arguments and gives the right answers;
`library_torch_operators` says by what PyTorch computes the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import augment
from .tasks import Array, normal

Shape = tuple[int, ...]


@dataclass(frozen=True)
class OpTask:
    """A call of ``ops.<op>`` on normal deviates, or on what another operator makes of them (`derived`)."""

    name: str
    op: str
    shapes: tuple[tuple[str, Shape], ...]
    options: tuple[tuple[str, Any], ...] = ()
    flops: float = 0.0
    derived: tuple[tuple[str, str], ...] = ()  # ("y", "tanh"): y is tanh of the deviates

    @property
    def label(self) -> str:
        return f"{self.op} {self.name}"

    @property
    def bytes(self) -> float:
        """Of all arguments and of all results."""
        sizes = sum(np.prod(shape, dtype=float) for _, shape in self.shapes)
        return 4.0 * float(sizes + _result_size(self))

    def arrays(self) -> dict[str, Array]:
        """The arguments that are arrays, in their order."""
        from fastcnn.testing import reference

        made = {name: normal(f"{self.label} {name}", shape) for name, shape in self.shapes}
        if "variance" in made:
            made["variance"] = np.abs(made["variance"]) + np.float32(0.5)
        for name, function in self.derived:
            made[name] = np.asarray(getattr(reference, function)(made[name]), np.float32)
        return made

    def bind(self, module: Any, arrays: dict[str, Array]) -> Callable[..., Any]:
        """The operator of a module, `ops` or the reference, with its arguments: all that is timed."""
        if self.op in augment.NODES:
            if module.__name__ == "fastcnn.ops":
                return functools.partial(augment.run, self.op, arrays["x"])
            return functools.partial(augment.right, self.op, arrays["x"])
        given: Any = arrays
        if self.op == "concatenate":
            given = {"inputs": list(arrays.values())}
        return functools.partial(getattr(module, self.op), **given, **dict(self.options))

    def call(self, module: Any, arrays: dict[str, Array]) -> Any:
        return self.bind(module, arrays)()


@functools.cache
def _result_size(task: OpTask) -> int:
    """How many numbers the operator returns."""
    from fastcnn import ops

    return flat(task.call(ops, task.arrays())).size


def flat(result: Any) -> NDArray[Any]:
    """One result, or several in a row."""
    parts = result if isinstance(result, tuple) else (result,)
    return np.concatenate([np.asarray(part).ravel() for part in parts if part is not None])


LARGE, SMALL = (32, 56, 56, 64), (32, 14, 14, 32)
NARROW, TINY = (128, 28, 28, 4), (1, 4, 4, 8)
_SIZES = {"large": LARGE, "small": SMALL}

_Y = (
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "sigmoid",
    "tanh",
    "hard_sigmoid",
    "softplus",
    "exponential",
)
_X = ("gelu", "silu", "mish", "hard_silu", "softsign")


def _activations() -> Iterator[OpTask]:
    for name, shape in _SIZES.items():
        for op in (*_Y, *_X):
            yield OpTask(name, op, (("x", shape),))
        for op in _Y:
            yield OpTask(name, f"{op}_bwd", (("dy", shape), ("y", shape)), derived=(("y", op),))
        for op in _X:
            yield OpTask(name, f"{op}_bwd", (("dy", shape), ("x", shape)))
    for name, shape in {"100k x 10": (100_000, 10), "4096 x 1000": (4096, 1000)}.items():
        for op in ("softmax", "log_softmax"):
            yield OpTask(name, op, (("x", shape),))
            yield OpTask(name, f"{op}_bwd", (("dy", shape), ("y", shape)), derived=(("y", op),))


def _norms() -> Iterator[OpTask]:
    for name, shape in {**_SIZES, "narrow": NARROW}.items():
        c = (shape[-1],)
        affine = (("gamma", c), ("beta", c))
        yield OpTask(
            name, "batch_norm_train", (("x", shape), *affine, ("moving_mean", c), ("moving_variance", c)),
            (("momentum", 0.99), ("epsilon", 1e-3)),
        )  # fmt: skip
        yield OpTask(
            name, "batch_norm", (("x", shape), *affine, ("mean", c), ("variance", c)), (("epsilon", 1e-3),)
        )
        yield OpTask(
            name, "batch_norm_bwd", (("dy", shape), ("x", shape), ("gamma", c)), (("epsilon", 1e-3),)
        )
        for op in ("layer_norm", "rms_norm", "instance_norm"):
            given = affine[:1] if op == "rms_norm" else affine
            yield OpTask(name, op, (("x", shape), *given), (("epsilon", 1e-3),))
            back = (("dy", shape), ("x", shape), ("gamma", c))
            yield OpTask(name, f"{op}_bwd", back, (("epsilon", 1e-3),))
        groups = (("groups", 4), ("epsilon", 1e-3))
        yield OpTask(name, "group_norm", (("x", shape), *affine), groups)
        yield OpTask(name, "group_norm_bwd", (("dy", shape), ("x", shape), ("gamma", c)), groups)


def _merges() -> Iterator[OpTask]:
    for name, shape in _SIZES.items():
        for op in ("add", "multiply", "maximum", "average"):
            yield OpTask(name, op, (("x1", shape), ("x2", shape)))
        squeeze = (shape[0], 1, 1, shape[3])
        yield OpTask(f"{name} by channel", "multiply", (("x1", shape), ("x2", squeeze)))
        yield OpTask(
            f"{name} by channel",
            "multiply_bwd",
            (("dy", shape), ("other", squeeze)),
            (("input_shape", shape),),
        )
        column = (*shape[:-1], 1)
        yield OpTask(f"{name} by pixel", "multiply", (("x1", (*shape[:-1], 3)), ("x2", column)))
        yield OpTask(name, "concatenate", (("x1", shape), ("x2", shape)), (("axis", -1),))
        halves = (("sizes", (shape[-1] // 2,) * 2), ("index", 0), ("axis", -1))
        yield OpTask(f"{name} half", "concatenate_bwd", (("dy", shape),), halves)
        yield OpTask(name, "permute", (("x", shape),), (("dims", (3, 1, 2)),))
        yield OpTask(name, "zero_padding", (("x", shape),), (("padding", 1),))
        for kind in ("nearest", "bilinear"):
            half = (shape[0], shape[1] // 2, shape[2] // 2, shape[3])
            options = (("size", 2), ("interpolation", kind))
            yield OpTask(f"{name} {kind}", "upsampling", (("x", half),), options)
            yield OpTask(f"{name} {kind}", "upsampling_bwd", (("dy", shape),), options)

    for parts in ((3, 5), (16, 16), (64, 64), (64, 96, 16, 16)):
        given = tuple((f"x{k + 1}", (32, 28, 28, c)) for k, c in enumerate(parts))
        yield OpTask("+".join(map(str, parts)), "concatenate", given, (("axis", -1),))


def _pools() -> Iterator[OpTask]:
    for name, shape in {**_SIZES, "narrow": NARROW}.items():
        pairs = (("pool_size", 2), ("strides", 2))
        yield OpTask(name, "lp_pool2d", (("x", shape),), (*pairs, ("p", 2.0)))
        yield OpTask(name, "average_pool2d", (("x", shape),), (("pool_size", 3), ("strides", 1)))
        yield OpTask(name, "max_pool2d", (("x", shape),), (("pool_size", 3), ("strides", 2)))
        for op in ("global_average_pool", "global_max_pool"):
            yield OpTask(name, op, (("x", shape),))
        small = (shape[0], shape[-1])
        yield OpTask(name, "global_average_pool_bwd", (("dy", small),), (("input_shape", shape),))
        yield OpTask(name, "adaptive_average_pool", (("x", shape),), (("output_size", 7),))


def _convolutions() -> Iterator[OpTask]:
    """The relatives of conv2d: FLOPs of the definition."""
    n, h, w, c, k = 8, 28, 28, 64, 64
    for stride, size in ((1, 3), (2, 4)):
        x, y = (n, h, w, c), (n, h * stride, w * stride, k)
        options = (("strides", stride), ("padding", "same"))
        flops = 2.0 * n * h * w * c * k * size * size
        kernel = (size, size, k, c)
        name = f"s{stride}"
        yield OpTask(name, "conv2d_transpose", (("x", x), ("kernel", kernel)), options, flops)
        back = (*options, ("input_shape", x))
        yield OpTask(name, "conv2d_transpose_dgrad", (("dy", y), ("kernel", kernel)), back, flops)
        back = (*options, ("kernel_size", (size, size)))
        yield OpTask(name, "conv2d_transpose_wgrad", (("x", x), ("dy", y)), back, flops)
    depthwise = {
        "56x56x96": (16, 56, 96, 3, 1),
        "112x112x64 s2": (8, 112, 64, 3, 2),
        "14x14x576 s2": (16, 14, 576, 3, 2),
        "28x28x120 5x5": (16, 28, 120, 5, 1),
        "112x112x24": (8, 112, 24, 3, 1),
    }
    for name, (n, h, c, r, stride) in depthwise.items():
        x, y, kernel = (n, h, h, c), (n, h // stride, h // stride, c), (r, r, c, 1)
        options = (("strides", stride), ("padding", r // 2))
        flops = 2.0 * n * (h // stride) ** 2 * c * r * r
        yield OpTask(name, "depthwise_conv2d", (("x", x), ("kernel", kernel)), options, flops)
        back = (*options, ("input_shape", x))
        yield OpTask(name, "depthwise_conv2d_dgrad", (("dy", y), ("kernel", kernel)), back, flops)
        back = (*options, ("kernel_size", (r, r)))
        yield OpTask(name, "depthwise_conv2d_wgrad", (("x", x), ("dy", y)), back, flops)
    for name, (n, d, h, c, k) in {"16x28x28x32": (2, 16, 28, 32, 32), "8x16x16x3": (4, 8, 16, 3, 16)}.items():
        x, y, kernel = (n, d, h, h, c), (n, d, h, h, k), (3, 3, 3, c, k)
        options = (("padding", "same"),)
        flops = 2.0 * n * d * h * h * c * k * 27
        yield OpTask(name, "conv3d", (("x", x), ("kernel", kernel)), options, flops)
        back = (*options, ("input_shape", x))
        yield OpTask(name, "conv3d_dgrad", (("dy", y), ("kernel", kernel)), back, flops)
        back = (*options, ("kernel_size", (3, 3, 3)))
        yield OpTask(name, "conv3d_wgrad", (("x", x), ("dy", y)), back, flops)
    n, length, c, k = 32, 512, 64, 64
    flops = 2.0 * n * length * c * k * 5
    yield OpTask(
        "512x64", "conv1d", (("x", (n, length, c)), ("kernel", (5, c, k))), (("padding", "same"),), flops
    )


def _calls() -> Iterator[OpTask]:
    """What a call costs before it computes."""
    yield OpTask("tiny", "relu", (("x", TINY),))
    yield OpTask("tiny", "add", (("x1", TINY), ("x2", TINY)))
    yield OpTask("tiny", "softmax", (("x", (1, 10)),))
    yield OpTask("tiny", "max_pool2d", (("x", TINY),), (("pool_size", 2), ("strides", 2)))
    c = (TINY[-1],)
    yield OpTask("tiny", "layer_norm", (("x", TINY), ("gamma", c), ("beta", c)), (("epsilon", 1e-3),))


def _augmentations() -> Iterator[OpTask]:
    for name, shape in {"large": (32, 224, 224, 3), "small": (128, 32, 32, 3)}.items():
        for op in augment.NODES:
            yield OpTask(name, op, (("x", shape),))


TASKS: list[OpTask] = [
    *_activations(),
    *_augmentations(),
    *_norms(),
    *_merges(),
    *_pools(),
    *_convolutions(),
    *_calls(),
]
