# SPDX-License-Identifier: Apache-2.0
"""Layers, initializers, optimizers, losses, metrics: names, configurations, weights, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastcnn import (
    ArgumentError,
    DTypeError,
    Input,
    Sequential,
    ShapeError,
    activations,
    initializers,
    layers,
    utils,
)

ALL_LAYERS: list[layers.Layer] = [
    layers.InputLayer((8, 8, 4)),
    layers.Conv2D(6, (3, 5), 2, ((1, 0), (2, 1)), dilation_rate=(1, 2), groups=2, use_bias=False),
    layers.Conv2D(6, 3, activation="relu", kernel_initializer="he_normal", bias_initializer="ones"),
    layers.Conv1D(6, 3, 2, "causal", dilation_rate=2),
    layers.Conv3D(6, (2, 3, 3), padding=((0, 1), (1, 1), (2, 0)), groups=2, use_bias=False),
    layers.Conv1DTranspose(5, 4, 2, "same", output_padding=1),
    layers.Conv2DTranspose(6, (3, 2), (2, 1), activation="relu", groups=2),
    layers.Conv3DTranspose(4, 3, 2, 1, output_padding=(1, 0, 1), kernel_initializer="he_normal"),
    layers.DepthwiseConv1D(3, depth_multiplier=2),
    layers.DepthwiseConv2D((3, 5), 2, "same", 2, depthwise_initializer="ones", activation="tanh"),
    layers.SeparableConv1D(6, 3, pointwise_initializer="he_uniform"),
    layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2, use_bias=False),
    layers.Dense(
        7, "tanh", kernel_initializer=initializers.VarianceScaling(2.0, "fan_out", "uniform", seed=3)
    ),
    layers.MaxPooling2D(3, 2, "same"),
    layers.AveragePooling2D((2, 1), padding=(1, 0), ceil_mode=True),
    layers.SumPooling2D(),
    layers.MaxPooling1D(3, 2, "same", dilation_rate=2),
    layers.AveragePooling1D(2, padding=((1, 0),), count_include_pad=True),
    layers.SumPooling1D(ceil_mode=True),
    layers.MaxPooling3D((3, 2, 1), 2, 1, dilation_rate=(1, 2, 3)),
    layers.AveragePooling3D((2, 1, 3), padding=((1, 0), (0, 0), (1, 2))),
    layers.SumPooling3D(),
    layers.MaxUnpooling2D("channels_first"),
    layers.LPPooling2D(1.5, 3, 2, padding=1),
    *(getattr(layers, f"Global{kind}Pooling{n}D")() for kind in ("Max", "Average", "Sum") for n in (1, 2, 3)),
    *(getattr(layers, f"Adaptive{kind}Pooling{n}D")(3) for kind in ("Max", "Average") for n in (1, 2, 3)),
    layers.AdaptiveMaxPooling2D((None, 4)),
    layers.GlobalMaxPooling2D(keepdims=True),
    layers.BatchNormalization(momentum=0.9, scale=False, moving_mean_initializer="ones"),
    layers.GroupNormalization(2, epsilon=1e-5, center=False),
    layers.InstanceNormalization(gamma_initializer="he_normal"),
    layers.LayerNormalization((1, 2, 3), 1e-6),
    layers.RMSNormalization(epsilon=0),
    layers.UnitNormalization((-1, -2)),
    layers.Normalization(1, [0.5, 1.5, 2.0], [1.0, 4.0, 0.25], invert=True),
    layers.Flatten(),
    layers.Dropout(0.25),
    layers.Activation("sigmoid"),
    layers.ReLU(),
    layers.ReLU(6, 0.1, 0.5),
    layers.LeakyReLU(0.1),
    layers.ELU(0.5),
    layers.PReLU("ones", shared_axes=(1, 2)),
    layers.SpatialDropout1D(0.25),
    layers.SpatialDropout2D(0.25),
    layers.SpatialDropout3D(0.25),
    layers.GaussianNoise(0.5),
    layers.GaussianDropout(0.25),
    layers.AlphaDropout(0.25),
    layers.RandomFlip("vertical", 7),
    layers.RandomTranslation(0.25, (-0.5, 0.75), "wrap", "nearest", 7),
    layers.RandomRotation((-0.1, 0.2), "constant", fill_value=3.0),
    layers.RandomZoom(0.5),
    layers.RandomZoom((-0.5, 0.25), 0.5, "nearest"),
    layers.RandomCrop(5, 6, 7),
    layers.CenterCrop(5, 6),
    layers.Resizing(5, 6, "nearest", crop_to_aspect_ratio=True),
    layers.RandomContrast((0.5, 0.25), (0, 1)),
    layers.RandomBrightness(0.25),
    layers.RandomErasing(0.5, 0.25, (1, 2, 3)),
    layers.MixUp(0.3, seed=2),
    layers.CutMix((0.2, 0.8)),
    layers.Activation("gelu"),
    layers.Softmax(),
    layers.Rescaling(1 / 255, offset=-0.5),
    layers.Identity(),
    layers.Reshape((4, -1, 2)),
    layers.Permute((3, 1, 2)),
    layers.RepeatVector(3),
    layers.ZeroPadding1D((1, 2)),
    layers.ZeroPadding2D(((1, 2), (0, 3)), "channels_last"),
    layers.ZeroPadding3D(2),
    layers.Cropping1D(1),
    layers.Cropping2D((1, 2)),
    layers.Cropping3D(((1, 2), (0, 3), (1, 1))),
    layers.UpSampling1D(3),
    layers.UpSampling2D((2, 3), interpolation="bilinear"),
    layers.UpSampling3D(2),
    layers.Add(),
    layers.Subtract(),
    layers.Multiply(),
    layers.Average(),
    layers.Maximum(),
    layers.Minimum(),
    layers.Concatenate(1),
]


@pytest.fixture(autouse=True)
def fresh_names() -> None:
    utils.clear_session()


@pytest.mark.parametrize("layer", ALL_LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_configuration_makes_the_same_layer(layer: layers.Layer) -> None:
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.nodes() == layer.nodes()


def test_every_layer_can_be_named_in_a_configuration() -> None:
    assert {type(layer) for layer in ALL_LAYERS} == set(layers.CLASSES.values())


def test_names_are_those_of_keras() -> None:
    made = [
        layers.Conv2D(1, 1), layers.Conv2D(1, 1), layers.MaxPool2D(), layers.AvgPool2D(), layers.SumPool2D(),
        layers.ReLU(), layers.Dense(1), layers.InputLayer((1,)), layers.Conv2D(1, 1, name="mine"),
        layers.Conv2D(1, 1), layers.MaxPool1D(), layers.AvgPool3D(), layers.GlobalAvgPool2D(),
        layers.LPPooling2D(2), layers.AdaptiveMaxPooling1D(1),
    ]  # fmt: skip
    assert [layer.name for layer in made] == [
        "conv2d", "conv2d_1", "max_pooling2d", "average_pooling2d", "sum_pooling2d",
        "re_lu", "dense", "input_layer", "mine", "conv2d_2", "max_pooling1d", "average_pooling3d",
        "global_average_pooling2d", "lp_pooling2d", "adaptive_max_pooling1d",
    ]  # fmt: skip
    assert [Sequential().name, Sequential().name] == ["sequential", "sequential_1"]


@pytest.mark.parametrize(
    ("given", "settled"),
    [
        ("SAME", "same"),
        (1, ((1, 1), (1, 1))),
        ((1, 2), ((1, 1), (2, 2))),
        ([[1, 0], [2, 1]], ((1, 0), (2, 1))),
        ((1, (2, 0)), ((1, 1), (2, 0))),
    ],
)
def test_padding(given: Any, settled: Any) -> None:
    assert layers.Conv2D(1, 3, padding=given).padding == settled


@pytest.mark.parametrize(
    ("padding", "shape"),
    [("valid", (3, 2)), ("same", (4, 4)), (2, (5, 4)), ((1, 0), (4, 2)), (((0, 1), (2, 3)), (4, 5))],
)
def test_shapes_follow_from_padding(padding: Any, shape: tuple[int, int]) -> None:
    model = Sequential([Input((8, 7, 2)), layers.Conv2D(3, (3, 4), 2, padding)])
    assert model.output_shape == (None, *shape, 3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: layers.Dense(1, activation="softmax", name="last"),
            r"^Dense 'last': softmax .* gives 1 always",
        ),
        (
            lambda: layers.Activation("log_softmax", name="log"),
            r"^Activation 'log': log_softmax .* gives 0 always",
        ),
        (
            lambda: layers.Softmax(axis=[1, 2], name="both"),
            r"^Softmax 'both': softmax over an axis of size 1 ",
        ),
    ],
)
def test_a_softmax_of_one_class_is_warned_of(make: Callable[[], layers.Layer], said: str) -> None:
    with pytest.warns(UserWarning, match=said):
        model = Sequential([Input((1, 1)), make()])
    assert model.built
    Sequential([Input((2, 1)), layers.Softmax(axis=[1, 2])])  # two


def test_integers_of_any_type_are_taken() -> None:
    layer = layers.Conv2D(np.int64(4), np.uint8(3), strides=[np.int32(2), 1])
    assert type(layer.filters) is int
    assert (layer.kernel_size, layer.strides) == ((3, 3), (2, 1))


def test_strides_of_a_pool_follow_its_window() -> None:
    assert layers.MaxPooling2D((3, 2)).strides == (3, 2)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax", "linear"])
def test_an_activation_is_a_name_or_a_function(name: str, rng: np.random.Generator) -> None:
    function: Callable[[Any], Any] = getattr(activations, name)
    assert layers.Dense(2, function).get_config()["activation"] == name
    x = rng.standard_normal((5, 4)).astype(np.float32)
    model = Sequential([layers.Activation(name, input_shape=(4,))])
    np.testing.assert_allclose(model.predict(x, verbose=0), function(x), rtol=1e-6)


def test_an_activation_of_a_layer_equals_one_after_it(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4))
    fused = Sequential([layers.Dense(5, "relu", input_shape=(4,))])
    apart = Sequential([layers.Dense(5, input_shape=(4,)), layers.ReLU()])
    apart.set_weights(fused.get_weights())
    np.testing.assert_array_equal(apart.predict(x, verbose=0), fused.predict(x, verbose=0))


def test_weights_of_a_layer(rng: np.random.Generator) -> None:
    model = Sequential([Input((6, 6, 4)), layers.Conv2D(8, 3, groups=2), layers.Flatten(), layers.Dense(3)])
    conv, flatten, dense = model.layers
    assert [w.shape for w in conv.get_weights()] == [(3, 3, 2, 8), (8,)]
    assert [w.shape for w in dense.get_weights()] == [(128, 3), (3,)]
    assert flatten.get_weights() == []
    assert [layer.count_params() for layer in model.layers] == [152, 0, 387]

    kernel, bias = rng.standard_normal((3, 3, 2, 8)), np.arange(8)
    before = dense.get_weights()
    conv.set_weights([kernel, bias])
    np.testing.assert_array_equal(conv.get_weights()[0], kernel.astype(np.float32))
    np.testing.assert_array_equal(model.get_weights()[1], bias)
    np.testing.assert_array_equal(dense.get_weights()[0], before[0])


def test_weights_of_the_wrong_count_or_shape() -> None:
    model = Sequential([layers.Dense(3, input_shape=(2,), name="head")])
    before = model.get_weights()
    layer = model.layers[0]
    with pytest.raises(ArgumentError, match="Dense 'head': set_weights: 1 arrays came, wanted 2"):
        layer.set_weights([np.zeros((2, 3))])
    with pytest.raises(ShapeError, match=r"head/kernel"):
        layer.set_weights([np.ones((3, 2)), np.ones(3)])
    with pytest.raises(DTypeError, match=r"head/bias"):
        layer.set_weights([np.ones((2, 3)), np.array(["a", "b", "c"])])
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_layer_without_a_model_has_no_weights() -> None:
    with pytest.raises(ArgumentError, match="stands in no model"):
        layers.Dense(3, name="alone").get_weights()


BAD_LAYERS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: layers.Conv2D(0, 3), ArgumentError, r"Conv2D 'conv2d': filters: 0 came, wanted 1 or more"),
    (lambda: layers.Conv2D(4.5, 3), DTypeError, r"filters: 4.5 came, wanted an integer"),
    (lambda: layers.Conv2D(4, (3, 0)), ArgumentError, r"kernel_size: 0"),
    (lambda: layers.Conv2D(4, (3, 3, 3)), ArgumentError, r"kernel_size: \(3, 3, 3\)"),
    (lambda: layers.Conv2D(4, 3, 0), ArgumentError, r"strides: 0"),
    (lambda: layers.Conv2D(4, 3, -1), ArgumentError, r"strides: -1"),
    (lambda: layers.Conv2D(4, 3, dilation_rate=0), ArgumentError, r"dilation_rate: 0"),
    (lambda: layers.Conv2D(4, 3, groups=0), ArgumentError, r"groups: 0"),
    (lambda: layers.Conv2D(4, 3, padding=-1), ArgumentError, r"padding: -1"),
    (lambda: layers.Conv2D(4, 3, padding=((0, 1), (-2, 0))), ArgumentError, r"padding: -2"),
    (lambda: layers.Conv2D(4, 3, padding="sane"), ArgumentError, r"'sane'.*did you mean 'same'"),
    (lambda: layers.Conv2D(4, 3, activation="rely"), ArgumentError, r"activation: .*did you mean 'relu'"),
    (lambda: layers.Conv2D(4, 3, activation=np.tanh), ArgumentError, r"activation"),
    (
        lambda: layers.Conv2D(4, 3, kernel_initializer="glorot"),
        ArgumentError,
        r"kernel_initializer.*'glorot_",
    ),
    (lambda: layers.Conv2D(4, 3, use_bias="no"), DTypeError, r"use_bias"),
    (lambda: layers.Dense(-1), ArgumentError, r"Dense 'dense': units: -1"),
    (lambda: layers.Dense("10"), DTypeError, r"units: '10'"),
    (lambda: layers.Dense(1, name=""), ArgumentError, r"name"),
    (lambda: layers.Dense(1, name="a/b"), ArgumentError, r"name: 'a/b'"),
    (lambda: layers.Dense(1, name=3), DTypeError, r"name: 3"),
    (lambda: layers.Dropout(1), ArgumentError, r"Dropout 'dropout': rate: 1 came.*of 0 or more and below 1"),
    (lambda: layers.Dropout(-0.1), ArgumentError, r"rate: -0.1"),
    (lambda: layers.Dropout(math.nan), ArgumentError, r"rate: nan"),
    (lambda: layers.Dropout("half"), DTypeError, r"rate: 'half'"),
    (lambda: layers.MaxPooling2D(0), ArgumentError, r"pool_size: 0"),
    (lambda: layers.MaxPooling2D(2, 0), ArgumentError, r"strides: 0"),
    (lambda: layers.MaxPooling2D(2, ceil_mode=1), DTypeError, r"ceil_mode"),
    (lambda: layers.Rescaling(math.inf), ArgumentError, r"scale: inf"),
    (lambda: layers.Activation("glu"), ArgumentError, r"'glu'"),
    (lambda: Input(28), DTypeError, r"shape: 28"),
    (lambda: Input((28, None)), DTypeError, r"shape: \(28, None\)"),
    (lambda: Input((28, 0)), ShapeError, r"shape: \(28, 0\)"),
    (lambda: layers.Dense.from_config({"units": 3, "colour": 1}), ArgumentError, r"Dense: .*colour"),
    (lambda: layers.Dense.from_config({}), ArgumentError, r"Dense: .*units"),
]


@pytest.mark.parametrize(
    ("make", "error", "message"), BAD_LAYERS, ids=lambda value: getattr(value, "pattern", None)
)
def test_bad_layers(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


BAD_STACKS: list[tuple[Callable[[], list[layers.Layer]], type[Exception], str]] = [
    (lambda: [layers.Conv2D(4, 9)], ShapeError, r"conv2d"),
    (lambda: [layers.Conv2D(4, 3, groups=2)], ArgumentError, r"conv2d.*groups"),
    (
        lambda: [layers.Conv2D(3, 3), layers.MaxPooling2D(3, padding=3)],
        ArgumentError,
        r"max_pooling2d.*padding",
    ),
    (lambda: [layers.Flatten(), layers.Conv2D(3, 3)], ShapeError, r"conv2d"),
    (lambda: [layers.Flatten(name="a"), layers.Dense(3, name="a")], ArgumentError, r"name 'a' is taken"),
    (lambda: [layers.Dense(2**31 - 1), layers.Dense(2**31 - 1)], ShapeError, r"dense.*2\*\*60"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_STACKS)
def test_layers_that_do_not_fit(
    make: Callable[[], list[layers.Layer]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Sequential([Input((8, 8, 3)), *make()])
