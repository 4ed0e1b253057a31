# SPDX-License-Identifier: Apache-2.0
"""Layers of convolution beyond Conv2D: shapes, weights and messages, as Keras has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import Input, Sequential, layers, ops
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

# Shape of a sample, layer, shape of its output, shapes of its weights.
SHAPES: list[tuple[tuple[int, ...], layers.Layer, tuple[int, ...], list[tuple[int, ...]]]] = [
    ((9, 4), layers.Conv1D(6, 3), (7, 6), [(3, 4, 6), (6,)]),
    ((9, 4), layers.Conv1D(6, 3, 2, "causal"), (5, 6), [(3, 4, 6), (6,)]),
    ((5, 6, 7, 4), layers.Conv3D(6, 3, padding="same", groups=2), (5, 6, 7, 6), [(3, 3, 3, 2, 6), (6,)]),
    ((5, 6, 7, 4), layers.Conv3D(6, (1, 2, 3), 2, use_bias=False), (3, 3, 3, 6), [(1, 2, 3, 4, 6)]),
    ((5, 4), layers.Conv1DTranspose(6, 3, 2), (11, 6), [(3, 6, 4), (6,)]),
    ((5, 6, 4), layers.Conv2DTranspose(6, 3, 2, "same"), (10, 12, 6), [(3, 3, 6, 4), (6,)]),
    ((5, 6, 4), layers.Conv2DTranspose(6, 3, 2, "same", 0), (9, 11, 6), [(3, 3, 6, 4), (6,)]),
    ((2, 3, 4, 4), layers.Conv3DTranspose(6, 2, 2, groups=2), (4, 6, 8, 6), [(2, 2, 2, 3, 4), (6,)]),
    ((9, 4), layers.DepthwiseConv1D(3, 2), (4, 4), [(3, 4, 1), (4,)]),
    ((9, 8, 4), layers.DepthwiseConv2D(3, padding="same", depth_multiplier=3), (9, 8, 12),
     [(3, 3, 4, 3), (12,)]),
    ((9, 4), layers.SeparableConv1D(6, 3), (7, 6), [(3, 4, 1), (1, 4, 6), (6,)]),
    ((9, 8, 4), layers.SeparableConv2D(6, 3, 2, "same", depth_multiplier=2), (5, 4, 6),
     [(3, 3, 4, 2), (1, 1, 8, 6), (6,)]),
]  # fmt: skip


@pytest.mark.parametrize(("sample", "layer", "output", "weights"), SHAPES, ids=lambda v: type(v).__name__)
def test_shapes(
    sample: tuple[int, ...], layer: layers.Layer, output: tuple[int, ...], weights: list[tuple[int, ...]]
) -> None:
    again = type(layer).from_config(layer.get_config())
    model = Sequential([Input(sample), again])
    assert model.output_shape == (None, *output)
    assert [w.shape for w in again.get_weights()] == weights
    x = np.ones((2, *sample), np.float32)
    assert model.predict(x, verbose=0).shape == (2, *output)


def test_predictions_are_those_of_ops(rng: np.random.Generator) -> None:
    x = reals(rng, (3, 6, 5, 4))
    layer = layers.Conv2DTranspose(7, 3, 2, "same", activation="relu")
    model = Sequential([Input((6, 5, 4)), layer])
    kernel, bias = layer.get_weights()
    wanted = ops.conv2d_transpose(x, kernel, bias, strides=2, padding="same", activation="relu")
    assert_same_bits(model.predict(x, verbose=0), wanted, "Conv2DTranspose")
    separable = layers.SeparableConv2D(7, 3, activation="relu")
    model = Sequential([Input((6, 5, 4)), separable])
    wanted = ops.separable_conv2d(x, *separable.get_weights(), activation="relu")
    assert_same_bits(model.predict(x, verbose=0), wanted, "SeparableConv2D")


# Names and order of Keras 3's arguments up to the initializers.
SIGNATURES: dict[type[layers.Layer], tuple[str, ...]] = {
    each: ("filters", "kernel_size", "strides", "padding", *rest)
    for classes, rest in (
        ((layers.Conv1D, layers.Conv2D, layers.Conv3D),
         ("data_format", "dilation_rate", "groups", "activation", "use_bias", "kernel_initializer",
          "bias_initializer")),
        ((layers.Conv1DTranspose, layers.Conv2DTranspose),
         ("output_padding", "data_format", "dilation_rate", "activation", "use_bias", "kernel_initializer",
          "bias_initializer")),
        ((layers.Conv3DTranspose,),
         ("data_format", "output_padding", "dilation_rate", "activation", "use_bias", "kernel_initializer",
          "bias_initializer")),
        ((layers.SeparableConv1D, layers.SeparableConv2D),
         ("data_format", "dilation_rate", "depth_multiplier", "activation", "use_bias",
          "depthwise_initializer", "pointwise_initializer", "bias_initializer")),
    )
    for each in classes
}  # fmt: skip
DEPTHWISE = (
    "kernel_size", "strides", "padding", "depth_multiplier", "data_format", "dilation_rate", "activation",
    "use_bias", "depthwise_initializer", "bias_initializer",
)  # fmt: skip
SIGNATURES |= {layers.DepthwiseConv1D: DEPTHWISE, layers.DepthwiseConv2D: DEPTHWISE}


@pytest.mark.parametrize("layer", SIGNATURES, ids=lambda each: each.__name__)
def test_arguments_are_those_of_keras(layer: type[layers.Layer]) -> None:
    names = list(inspect.signature(layer.__init__).parameters)[1:]
    assert tuple(names[: len(SIGNATURES[layer])]) == SIGNATURES[layer]


def test_aliases() -> None:
    assert layers.Convolution1D is layers.Conv1D
    assert layers.Convolution2D is layers.Conv2D
    assert layers.Convolution3DTranspose is layers.Conv3DTranspose
    assert layers.SeparableConvolution2D is layers.SeparableConv2D


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: layers.Conv1D(0, 3), ArgumentError, r"Conv1D 'conv1d.*filters: 0"),
    (lambda: layers.Conv1D(3, (3, 3)), ArgumentError, r"kernel_size: \(3, 3\) came, wanted one entry or 1"),
    (lambda: layers.Conv3D(3, (3, 3)), ArgumentError, r"wanted one entry or 3"),
    (lambda: layers.Conv2D(3, 3, padding="causal"), ArgumentError, r"padding: unknown 'causal'"),
    (lambda: layers.Conv2D(3, 3, data_format="channels_2nd"), ArgumentError, r"data_format.*channels_last"),
    (lambda: layers.Conv2DTranspose(3, 3, output_padding=-1), ArgumentError, r"output_padding: -1"),
    (lambda: layers.Conv2DTranspose(3, 3, output_padding=1.5), DTypeError, r"output_padding: 1.5"),
    (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), ArgumentError, r"depth_multiplier: 0"),
    (
        lambda: layers.SeparableConv2D(3, 3, pointwise_initializer="x"),
        ArgumentError,
        r"pointwise_initializer",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_bad_arguments(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


BAD_STACKS: list[tuple[tuple[int, ...], layers.Layer, type[Exception], str]] = [
    ((8, 8, 3), layers.Conv1D(4, 3), ShapeError, r"Conv1D.*\[length, channels\]"),
    ((8, 8, 3), layers.Conv3D(4, 3), ShapeError, r"Conv3D.*\[depth, height, width, channels\]"),
    ((8, 3), layers.Conv2DTranspose(4, 3), ShapeError, r"\[height, width, channels\]"),
    ((8, 3), layers.Conv1D(4, 9), ShapeError, r"covers 9 in length"),
    ((8, 8, 3), layers.Conv2DTranspose(4, 3, groups=2), ArgumentError, r"groups is 2.*3 input channels"),
    ((8, 8, 4), layers.Conv2DTranspose(3, 3, groups=2), ArgumentError, r"groups is 2.*3 filters"),
    (
        (8, 8, 3),
        layers.Conv2DTranspose(4, 3, 2, output_padding=2),
        ArgumentError,
        r"output_padding.*less than 2",
    ),
    ((1, 1, 3), layers.Conv2DTranspose(4, 2, padding="same", output_padding=0), ShapeError, r"at least 1"),
    ((4, 8, 8, 3), layers.Conv3D(4, 3, groups=2), ArgumentError, r"groups"),
]


@pytest.mark.parametrize(("sample", "layer", "error", "message"), BAD_STACKS)
def test_what_does_not_fit(
    sample: tuple[int, ...], layer: layers.Layer, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Sequential([Input(sample), layer]).build()


def test_a_saved_model_is_the_same(tmp_path: Path, rng: np.random.Generator) -> None:
    stacks: list[tuple[tuple[int, ...], list[layers.Layer]]] = [
        ((8, 8, 3), [
            layers.SeparableConv2D(6, 3, padding="same", activation="relu"),
            layers.Conv2DTranspose(4, 3, 2, "same", 1),
            layers.DepthwiseConv2D(3, 2),
        ]),
        ((4, 6, 6, 2), [layers.Conv3D(3, 2, padding="same"), layers.Conv3DTranspose(2, 2, 2)]),
        ((12, 2), [layers.Conv1D(4, 3, padding="causal"), layers.Conv1DTranspose(2, 2, 2),
                   layers.DepthwiseConv1D(2), layers.SeparableConv1D(3, 2)]),
    ]  # fmt: skip
    for number, (sample, stack) in enumerate(stacks):
        model = Sequential([Input(sample), *stack])
        x = reals(rng, (2, *sample))
        path = tmp_path / f"{number}.safetensors"
        model.save(path)
        again = fastcnn.load_model(path)
        assert_same_bits(again.predict(x, verbose=0), model.predict(x, verbose=0), path.name)
        assert [w.shape for w in again.get_weights()] == [w.shape for w in model.get_weights()]
