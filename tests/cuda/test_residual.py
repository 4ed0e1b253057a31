# SPDX-License-Identifier: Apache-2.0
"""Gradients of values that several layers read: the last of their convolutions adds up and masks on a GPU.

Whole numbers, so that the weights after a step are the CPU's bit for bit. Each family of matrix kernels has
its own: FASTCNN_EMULATED_SM=75, 80, 90.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from device import capability
from networks import nobody_touches_the_memory

import fastcnn
from fastcnn import layers
from fastcnn.testing.compare import assert_same_bits

__all__ = ["nobody_touches_the_memory"]

KERNEL = "map" if capability() == 90 else "tensor" if capability() >= 80 else "implicit"
# Large enough for them to be chosen, and too small for the direct kernel to be.
SHAPES = {KERNEL: (4, 32, 32, 8) if KERNEL == "map" else (4, 8, 8, 8), "direct": (8, 32, 32, 8)}
CHANNELS = 8


def conv(size: int, **options: Any) -> layers.Layer:
    return layers.Conv2D(CHANNELS, size, padding="same", use_bias=False, **options)


def identity(y: Any) -> Any:
    return layers.Add()([y, conv(3)(y)])


def two(y: Any) -> Any:
    return layers.Add()([conv(3)(y), conv(5)(y)])


def strided(y: Any) -> Any:
    return layers.Add()([conv(1, strides=2)(y), conv(3, strides=2)(y)])


def depthwise(y: Any) -> Any:
    return layers.Add()([layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y), conv(1)(y)])


def three(y: Any) -> Any:
    return layers.Add()([y, conv(1)(y), conv(3)(y)])


def network(branches: Any, kernel: str) -> Any:
    """With weights of few ones."""
    inputs = fastcnn.Input(SHAPES[kernel][1:])
    model = fastcnn.Model(inputs, branches(conv(3, activation="relu")(inputs)))
    rng = np.random.default_rng(7)
    model.set_weights(
        [rng.choice((-1, 0, 0, 0, 1), each.shape).astype(np.float32) for each in model.get_weights()]
    )
    return model


def compiled(branches: Any, kernel: str, device: str) -> Any:
    model = network(branches, kernel)
    precision = "tf32" if device == "cuda" and kernel == "map" else "float32"
    model.compile(fastcnn.optimizers.SGD(1.0), "mse", device=device, precision=precision)
    return model


def check_a_step(branches: Any, kernel: str = KERNEL) -> str:
    """The weights that it leaves are the CPU's. Its plan."""
    rng = np.random.default_rng(8)
    x = rng.integers(0, 2, SHAPES[kernel]).astype(np.float32)
    here, there = compiled(branches, kernel, "cpu"), compiled(branches, kernel, "cuda")
    y = here.predict(x, verbose=0)
    assert np.array_equal(y, np.rint(y))
    target = (y - rng.choice((-1, 0, 1), y.shape)).astype(np.float32)
    text: str = there._bind().native.describe("train", len(x))
    for model in (here, there):
        model.train_on_batch(x, target)
    for got, wanted in zip(there.get_weights(), here.get_weights(), strict=True):
        assert_same_bits(got, wanted, "weights")
    return text


@pytest.mark.parametrize("kernel", SHAPES)
@pytest.mark.parametrize("branches", [identity, two, strided, depthwise, three])
def test_dgrad_adds_what_there_is(branches: Any, kernel: str) -> None:
    text = check_a_step(branches, kernel)
    assert "+ residual + mask" in text
    assert "add_flat" not in text
    assert "activation_bwd" not in text
    if kernel == "direct":
        assert "conv2d_wgrad_direct" in text
    if branches is not depthwise:
        assert f"conv2d_dgrad_{kernel}" in text


def test_a_pool_neither_adds_nor_masks_what_others_read() -> None:
    """Its gradient is the last one here, and the first one there."""
    last = check_a_step(lambda y: layers.Add()([layers.MaxPooling2D(3, 1, "same")(y), conv(3)(y)]))
    assert "+ mask" not in last
    assert "activation_bwd" in last
    first = check_a_step(lambda y: layers.Add()([conv(3)(y), layers.MaxPooling2D(3, 1, "same")(y)]))
    assert ("+ residual + mask" in first) != ("+ residual + mask" in last)
