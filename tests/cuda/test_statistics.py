# SPDX-License-Identifier: Apache-2.0
"""Statistics of a batch norm that the convolution before it has measured on a GPU.

They show in the moving ones after a step, bit for bit where parts of 64 pixels are whole: their means are
then multiples of 1/64. Each family of matrix kernels has its own: FASTCNN_EMULATED_SM=75, 80, 90.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from device import capability
from networks import counts, is_emulated, nobody_touches_the_memory, since

import fastcnn
from fastcnn import layers
from fastcnn.testing import reference as ref
from fastcnn.testing.compare import assert_same_bits, assert_within, gamma
from fastcnn.testing.fill import F32

__all__ = ["nobody_touches_the_memory"]

KERNEL = "map" if capability() == 90 else "tensor" if capability() >= 80 else "implicit"
PRECISION = "tf32" if KERNEL == "map" else "float32"
PART = 64  # pixels of which statistics are taken
MOMENTUM = 0.5
NETWORK_KERNELS = 35  # of a step
FAR = 2.0**20  # to which numbers below 2^3 lie as their unit to that of float32


@dataclass(frozen=True)
class Case:
    """A convolution of x [n,h,w,c]."""

    x: tuple[int, int, int, int]
    filters: int
    size: int = 3
    strides: int = 1
    groups: int = 1
    kernel: str = KERNEL
    precision: str = PRECISION

    def __str__(self) -> str:
        sizes = "x".join(map(str, (*self.x, self.filters))) + f"-r{self.size}s{self.strides}g{self.groups}"
        return sizes if self.precision == PRECISION else f"{sizes}-{self.precision}"

    def layer(self, **options: Any) -> layers.Layer:
        return layers.Conv2D(
            self.filters, self.size, self.strides, padding="same", groups=self.groups, **options
        )


CHANNELS = 8 if KERNEL == "map" else 36  # with too few for a matrix product

# Whole parts; a last one of 16, 5 and 61 pixels; channels that fill no tile, and no eight of them; groups; a
# grid of large tiles; sums that are cut.
CASES = [
    Case((4, 32, 32, CHANNELS), 12),
    Case((5, 58, 54, CHANNELS), 16),
    Case((7, 29, 27, 2 * CHANNELS), 20, size=1),
    Case((9, 41, 45, 8), 36, strides=2),
    Case((1, 64, 65, 16), 70, size=1, kernel="implicit" if KERNEL == "implicit" else "tensor"),
    Case((8, 8, 8, 128), 640, groups=32, kernel="implicit" if KERNEL == "implicit" else "tensor"),
    Case((3, 17, 16, 40), 80, strides=2, groups=40, kernel="grouped"),
    Case((2, 8, 8, 32), 70, kernel="implicit" if KERNEL == "implicit" else "tensor"),
    Case((3, 7, 7, 36), 20, kernel="implicit" if KERNEL == "implicit" else "tensor"),
    # Few channels: what a block has made is whole parts, and is not; strides.
    Case((16, 32, 32, 8), 32, kernel="direct", precision="float32"),
    Case((65, 16, 16, 10), 29, kernel="direct", precision="float32"),
    Case((17, 30, 31, 8), 32, kernel="direct", precision="float32"),
    Case((5, 58, 54, 8), 16, strides=2, kernel="direct", precision="float32"),
]
if KERNEL == "map":  # tiles of 128 x 256 and 256 x 128; of 256 x 64 and 256 x 16
    CASES += [Case((16, 33, 32, 36), 252, size=1), Case((8, 65, 65, 36), 124, size=1)]
    CASES += [Case((16, 46, 45, 36), k, size=1, precision="float32") for k in (60, 12)]


def arrays(case: Case, seed: int) -> tuple[F32, F32]:
    """Of zeros and ones, and of few numbers that are not 0: values whose squares are small."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, case.x).astype(np.float32)
    shape = (case.size, case.size, case.x[3] // case.groups, case.filters)
    kernel = rng.choice((-1, 0, 0, 1), shape).astype(np.float32)
    return x, kernel


def trained(case: Case, x: F32, kernel: F32, bias: F32, **options: Any) -> Any:
    """The model after one step, its weights before it being these."""
    model = fastcnn.Sequential(
        [
            fastcnn.Input(case.x[1:]),
            case.layer(**options),
            layers.BatchNormalization(momentum=MOMENTUM),
            layers.GlobalAveragePooling2D(),
        ]
    )
    model.compile("sgd", "mse", device="cuda", precision=case.precision)
    model.layers[0].set_weights([kernel, bias])
    text = model._bind().native.describe("train", len(x))
    measuring = [line for line in text.splitlines() if "+ statistics" in line]
    assert len(measuring) == 2, text
    assert f"conv2d_fprop_{case.kernel}" in measuring[0]
    model.train_on_batch(x, np.ones((len(x), case.filters), np.float32))
    return model


def moving(model: Any) -> list[F32]:
    found: list[F32] = model.layers[1].get_weights()[2:]
    return found


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("far", [0.0, FAR])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_moving_statistics(case: Case, far: float, activation: str | None) -> None:
    x, kernel = arrays(case, 1)
    bias = np.full(case.filters, far, np.float32)
    y = ref.conv2d(x, kernel, bias, strides=case.strides, padding="same", groups=case.groups)
    y = np.maximum(y, 0.0) if activation else y
    zero, one = np.zeros(case.filters), np.ones(case.filters)
    wanted = ref.batch_norm_train(y, None, None, zero, one, MOMENTUM)[1:]
    got = moving(trained(case, x, kernel, bias, activation=activation))
    if (y.size // case.filters) % PART == 0:
        for value, exact in zip(got, wanted, strict=True):
            assert_same_bits(value, exact.astype(np.float32), "a moving statistic")
        return
    # Each of a part's sums rounds as often as it has terms, about one of its values; a square twice more.
    reach = np.ptp(y, axis=(0, 1, 2))
    bounds = gamma(PART) * reach, gamma(2 * PART) * reach**2
    for value, exact, bound in zip(got, wanted, bounds, strict=True):
        assert_within(value, exact, bound + gamma(1) * np.abs(exact), "a moving statistic")


@pytest.mark.parametrize("case", CASES[1:2], ids=str)
def test_every_run_has_the_same_bits(case: Case) -> None:
    x, kernel = arrays(case, 2)
    x += np.random.default_rng(2).standard_normal(x.shape, np.float32)
    bias = np.zeros(case.filters, np.float32)
    first = trained(case, x, kernel, bias).get_weights()
    for _ in range(2):
        for got, wanted in zip(trained(case, x, kernel, bias).get_weights(), first, strict=True):
            assert_same_bits(got, wanted, "weights")


def test_what_is_not_finite_stays_in_its_channel() -> None:
    case = CASES[1]
    x, kernel = arrays(case, 3)
    bias = np.zeros(case.filters, np.float32)
    whole = moving(trained(case, x, kernel, bias))
    bias[3], bias[5] = np.nan, np.inf
    for got, wanted in zip(moving(trained(case, x, kernel, bias)), whole, strict=True):
        assert np.isnan(got[[3, 5]]).all()
        others = np.delete(np.arange(case.filters), [3, 5])
        assert_same_bits(got[others], wanted[others], "the other channels")


def network(filters: int = 16) -> Any:
    """A residual block, and a batch norm of its sum."""
    inputs = fastcnn.Input((8, 8, 8))
    conv = {"padding": "same", "use_bias": False}
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters, 3, **conv)(inputs)))
    z = layers.BatchNormalization()(layers.Conv2D(filters, 3, **conv)(y))
    y = layers.BatchNormalization()(layers.Add()([y, z]))
    return fastcnn.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(y)))


def measuring_steps(model: Any, mode: str, n: int = 4) -> list[str]:
    text = model._bind().native.describe(mode, n)
    return [line.split()[2] for line in text.splitlines() if "+ statistics" in line]


def test_who_measures_what() -> None:
    """What a convolution writes, where the statistics of the batch are asked for."""
    model = network()
    model.compile("sgd", "mse", device="cuda")
    steps = measuring_steps(model, "train")
    assert [step.split("_")[0] for step in steps] == ["conv2d", "batch", "conv2d", "batch"]
    assert not measuring_steps(model, "predict")
    frozen = network()
    for layer in frozen.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    frozen.compile("sgd", "mse", device="cuda")
    assert not measuring_steps(frozen, "train")
    model.compile("sgd", "mse", device="cpu")
    assert not measuring_steps(model, "train")


@pytest.mark.skipif(not is_emulated(), reason="a GPU does not count its kernels")
def test_a_step_takes_few_kernels() -> None:
    """Norms that took their own sums would start one more each; so would a sum of gradients, and its mask."""
    model = network()
    model.compile("sgd", "mse", device="cuda")
    started = []
    for batches in (2, 2, 6):
        x, y = np.ones((4 * batches, 8, 8, 8), np.float32), np.ones((4 * batches, 4), np.float32)
        before = counts()
        model.fit(x, y, 4, 1, verbose=0)
        started.append(since(before)["kernels"])
    assert started[2] - started[1] == 4 * NETWORK_KERNELS
