# SPDX-License-Identifier: Apache-2.0
"""``fastcnn bench``: some kernels beside what the machine can do, and training steps; a few seconds.

A row's roof is the least time that multiply-adds at the measured peak or bytes at the measured bandwidth
allow. ``benchmarks/`` has all layers, and other libraries to compare with.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import fastcnn
from fastcnn import _native
from fastcnn.cli import info, recipe
from fastcnn.cli import options as opt
from fastcnn.cli.networks import NETWORKS
from fastcnn.cli.report import json_text

_STEPS = 16  # in one timed call of fit


class _Row(NamedTuple):
    """A kernel: what it does, on arrays that it may keep."""

    name: str
    shape: str
    flops: int
    bytes: int
    call: Callable[[], Any]


def add_command(commands: Any) -> None:
    """Describe the command to argparse."""
    parser = opt.add_parser(
        commands,
        "bench",
        "time some kernels and training steps",
        "Time kernels beside the measured peak and bandwidth of this machine, and training steps. FLOPs are "
        "those of the plain algorithm: Winograd's does with fewer, and may go beyond 100 %.",
        "fastcnn bench\nOMP_NUM_THREADS=1 fastcnn bench --json",
    )
    parser.add_argument(
        "--seconds",
        type=opt.rate,
        default=0.2,
        metavar="S",
        help="for how long to time each row (default: %(default)s)",
    )
    opt.add_common(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, print."""
    from fastcnn.testing.timing import measure  # here and below: other commands begin without them

    before = _roofs()
    timed = [(row, measure(row.call, options.seconds, warmups=2).median) for row in _rows()]
    training = [
        {"network": network, "batch_size": batch_size, "seconds": _step(network, batch_size, options.seconds)}
        for network, batch_size in (("lenet", 32), ("lenet", 128))
    ]
    # The better of two moments: on a shared machine either may be a bad one.
    roofs = {
        name: max(value, after)
        for (name, value), after in zip(before.items(), _roofs().values(), strict=True)
    }
    results = {
        "host": info.host(),
        "roofs": roofs,
        "kernels": [_figures(row, seconds, roofs) for row, seconds in timed],
        "training": training,
    }
    print(json_text(results) if options.json else _text(results))
    return 0


def _roofs() -> dict[str, float]:
    from fastcnn.testing.timing import measured_roofs

    roofs = measured_roofs(fastcnn.get_num_threads(), _native)
    return {"gflops": roofs.gflops, "gbytes": roofs.gbytes}


def _figures(row: _Row, seconds: float, roofs: dict[str, float]) -> dict[str, Any]:
    rates = {"gflops": 1e-9 * row.flops / seconds, "gbytes": 1e-9 * row.bytes / seconds}
    share = max(rates[name] / roofs[name] for name in roofs)
    return {"kernel": row.name, "shape": row.shape, "seconds": seconds, **rates, "of_roof": share}


def _text(results: dict[str, Any]) -> str:
    host, roofs = results["host"], results["roofs"]
    lines = [
        f"{host['isa']}, {host['threads']} threads, {info.processor()}",
        f"peak {roofs['gflops']:.0f} GFLOP/s, copies {roofs['gbytes']:.1f} GB/s",
        "",
        f"{'kernel':<16}{'shape':<26}{'time':>10}{'GFLOP/s':>10}{'GB/s':>8}{'of roof':>9}",
    ]
    for each in results["kernels"]:
        rate = f"{each['gflops']:.1f}" if each["gflops"] else ""
        lines.append(
            f"{each['kernel']:<16}{each['shape']:<26}{1e6 * each['seconds']:>7.0f} us{rate:>10}"
            f"{each['gbytes']:>8.1f}{100 * each['of_roof']:>7.0f} %"
        )
    lines += ["", f"{'training step':<16}{'batch':<26}{'time':>10}{'images/s':>10}"]
    for each in results["training"]:
        rate = f"{each['batch_size'] / each['seconds']:.0f}"
        lines.append(
            f"{each['network']:<16}{each['batch_size']:<26}{1e6 * each['seconds']:>7.0f} us{rate:>10}"
        )
    return "\n".join(lines)


def _rows() -> Iterator[_Row]:
    from fastcnn import ops

    rng = np.random.default_rng(0)

    def new(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    for n, side, c, k, size in ((8, 56, 64, 64, 3), (8, 28, 128, 256, 1), (32, 28, 6, 16, 5)):
        yield from _convolution(new(n, side, side, c), new(size, size, c, k), new(n, side, side, k))
    a, b, product = (new(512, 512) for _ in range(3))
    yield _row("gemm", "512 x 512 x 512", 2 * 512**3, lambda: ops.gemm(a, b, out=product), a, b)
    # Larger than most caches, as the copies are.
    x, half, same = new(64, 56, 56, 64), new(64, 28, 28, 64), new(64, 56, 56, 64)
    yield _row("max_pool2d", "[64,56,56,64] 2x2", 0, lambda: ops.max_pool2d(x, 2, out=half), x)
    yield _row("relu", "[64,56,56,64]", 0, lambda: ops.relu(x, out=same), x)


def _convolution(x: Any, w: Any, y: Any) -> Iterator[_Row]:
    """The three passes of one that keeps height and width."""
    from fastcnn import ops

    size, pixels = w.shape[0], y.size // y.shape[-1]
    shape = f"[{','.join(map(str, x.shape))}] {size}x{size} {w.shape[-1]}"
    flops = 2 * pixels * w.size
    dy, dx, dw = np.ones_like(y), np.empty_like(x), np.empty_like(w)
    given: dict[str, Any] = {"padding": "same"}
    yield _row("conv2d", shape, flops, lambda: ops.conv2d(x, w, out=y, **given), x, w)
    yield _row("conv2d_dgrad", shape, flops, lambda: ops.conv2d_dgrad(dy, w, x.shape, out=dx, **given), dy, w)
    yield _row("conv2d_wgrad", shape, flops, lambda: ops.conv2d_wgrad(x, dy, size, out=dw, **given), x, dy)


def _row(name: str, shape: str, flops: int, call: Callable[[], Any], *arrays: Any) -> _Row:
    return _Row(name, shape, flops, sum(each.nbytes for each in arrays) + call().nbytes, call)


def _step(network: str, batch_size: int, seconds: float) -> float:
    """Of one training step within ``fit``."""
    from fastcnn.testing.timing import measure

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (_STEPS * batch_size, 28, 28, 1)).astype(np.uint8)
    y = rng.integers(0, 10, len(x))
    model = NETWORKS[network]((28, 28, 1), 10, 1 / 255)
    model.compile(recipe.optimizer("sgd", 0.01), "sparse_categorical_crossentropy")
    steps = math.ceil(len(x) / batch_size)
    return measure(lambda: model.fit(x, y, batch_size, verbose=0), seconds, warmups=1).median / steps
