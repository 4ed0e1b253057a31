# SPDX-License-Identifier: Apache-2.0
"""Layers over other axes than the last: channels first, and norms and softmax along any axis.

Moved to channels last and back, each computes bit for bit what the layer of the last axis does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastcnn import ArgumentError, DTypeError, Input, Model, Sequential, ShapeError, layers
from fastcnn.testing import reference
from fastcnn.testing.compare import assert_exact, assert_same_bits
from fastcnn.testing.fill import F32, integers, reals

SIZES = {1: (7,), 2: (6, 8), 3: (4, 6, 5)}
CHANNELS = 4


def _first(x: F32) -> F32:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


# Layer, its arguments, the axes of its images, and whether channels are left in the output.
SPATIAL: tuple[tuple[str, tuple[Any, ...], int], ...] = (
    ("Conv1D", (3, 3), 1),
    ("Conv2D", (3, 3), 2),
    ("Conv3D", (3, 2), 3),
    ("Conv1DTranspose", (3, 3, 2), 1),
    ("Conv2DTranspose", (3, 3, 2), 2),
    ("Conv3DTranspose", (3, 2, 2), 3),
    ("DepthwiseConv1D", (3,), 1),
    ("DepthwiseConv2D", (3,), 2),
    ("SeparableConv1D", (3, 3), 1),
    ("SeparableConv2D", (3, 3), 2),
    *((f"{kind}Pooling{axes}D", (2,), axes) for kind in ("Max", "Average", "Sum") for axes in (1, 2, 3)),
    ("LPPooling2D", (2.0, 2), 2),
    *((f"Adaptive{kind}Pooling{axes}D", (2,), axes) for kind in ("Max", "Average") for axes in (1, 2, 3)),
    *((f"ZeroPadding{axes}D", (1,), axes) for axes in (1, 2, 3)),
    *((f"Cropping{axes}D", (1,), axes) for axes in (2, 3)),
    *((f"UpSampling{axes}D", (2,), axes) for axes in (2, 3)),
    *((f"SpatialDropout{axes}D", (0.5,), axes) for axes in (2, 3)),
)


def _twins(name: str, arguments: tuple[Any, ...], axes: int, **options: Any) -> tuple[Any, Any]:
    """A layer in both layouts."""
    made = getattr(layers, name)
    last = Sequential([made(*arguments, input_shape=(*SIZES[axes], CHANNELS), **options)])
    shape = (CHANNELS, *SIZES[axes])
    first = Sequential([made(*arguments, input_shape=shape, data_format="channels_first", **options)])
    first.set_weights(last.get_weights())
    return last, first


@pytest.mark.parametrize(("name", "arguments", "axes"), SPATIAL, ids=[each[0] for each in SPATIAL])
def test_channels_first_is_channels_last_moved(
    name: str, arguments: tuple[Any, ...], axes: int, rng: np.random.Generator
) -> None:
    last, first = _twins(name, arguments, axes)
    x = reals(rng, (5, *SIZES[axes], CHANNELS))
    wanted = _first(last.predict(x, verbose=0))
    assert first.output_shape[1:] == wanted.shape[1:]
    assert_same_bits(first.predict(_first(x), verbose=0), wanted, name)
    y = reals(rng, wanted.shape)
    for model, inputs, targets in ((last, x, np.moveaxis(y, 1, -1)), (first, _first(x), y)):
        model.compile("sgd", "mse")
        model.train_on_batch(inputs, np.ascontiguousarray(targets))
    for a, b in zip(last.get_weights(), first.get_weights(), strict=True):
        assert_same_bits(a, b, f"{name}: weights after a step")
    assert first.layers[0].get_config()["data_format"] == "channels_first"
    assert type(first.layers[0]).from_config(first.layers[0].get_config()).data_format == "channels_first"


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("kind", ["Max", "Average", "Sum"])
def test_global_pools(kind: str, keepdims: bool, axes: int, rng: np.random.Generator) -> None:
    last, first = _twins(f"Global{kind}Pooling{axes}D", (), axes, keepdims=keepdims)
    x = reals(rng, (3, *SIZES[axes], CHANNELS))
    wanted = last.predict(x, verbose=0)
    assert_same_bits(
        first.predict(_first(x), verbose=0), _first(wanted) if keepdims else wanted, "global pool"
    )


@pytest.mark.parametrize("activation", ["relu", "softmax", "log_softmax"])
def test_activation_of_a_convolution(activation: str, rng: np.random.Generator) -> None:
    """A softmax is over the axis that is the last where it stands, as in Keras."""
    _, first = _twins("Conv2D", (3, 3), 2)
    _, active = _twins("Conv2D", (3, 3), 2, activation=activation)
    active.set_weights(first.get_weights())
    x = _first(reals(rng, (3, *SIZES[2], CHANNELS)))
    separate = Sequential([layers.Activation(activation, input_shape=first.output_shape[1:])])
    wanted = separate.predict(first.predict(x, verbose=0), verbose=0)
    assert_same_bits(active.predict(x, verbose=0), wanted, activation)


def test_flatten_in_the_order_of_channels_last(rng: np.random.Generator) -> None:
    x = reals(rng, (3, *SIZES[2], CHANNELS))
    model = Sequential([layers.Flatten("channels_first", input_shape=(CHANNELS, *SIZES[2]))])
    assert_same_bits(model.predict(_first(x), verbose=0), x.reshape(3, -1), "flatten")
    flat = Sequential([layers.Flatten("channels_first", input_shape=(9,))])
    assert flat.output_shape == (None, 9)


def test_a_network_of_channels_first_moves_its_input_alone(rng: np.random.Generator) -> None:
    """Between layers there and back cancel out, so that steps are fused as ever."""
    made: dict[str, Sequential] = {}
    for form, shape, axis in (("channels_last", (12, 12, 3), -1), ("channels_first", (3, 12, 12), 1)):
        made[form] = Sequential(
            [
                layers.Conv2D(8, 3, data_format=form, input_shape=shape),
                layers.BatchNormalization(axis),
                layers.MaxPooling2D(data_format=form),
                layers.Conv2D(8, 3, data_format=form, activation="relu"),
                layers.Flatten(form),
                layers.Dense(5, activation="softmax"),
            ]
        )
    last, first = made.values()
    first.set_weights(last.get_weights())
    x = reals(rng, (6, 12, 12, 3))
    assert_same_bits(first.predict(_first(x), verbose=0), last.predict(x, verbose=0), "predictions")
    kernels = [each.describe("predict", 6).count("copy") for each in (last, first)]
    assert kernels == [0, 1]
    y = rng.integers(0, 5, 6)
    for model, inputs in ((last, x), (first, _first(x))):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], math="strict")
        model.fit(inputs, y, batch_size=3, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(last.get_weights(), first.get_weights(), strict=True):
        assert np.isfinite(a).all()
        assert a.shape == b.shape


@pytest.mark.parametrize("axis", [1, 2, -1, -3, 3])
@pytest.mark.parametrize("name", ["BatchNormalization", "GroupNormalization", "InstanceNormalization"])
def test_norms_of_channels_anywhere(name: str, axis: int, rng: np.random.Generator) -> None:
    x = reals(rng, (5, 6, 4, 8))
    groups = {"groups": 2} if name == "GroupNormalization" else {}
    moved = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    made = getattr(layers, name)
    model = Sequential([made(axis=axis, input_shape=x.shape[1:], **groups)])
    plain = Sequential([made(input_shape=moved.shape[1:], **groups)])
    weights = [np.abs(reals(rng, each.shape)) + np.float32(0.5) for each in plain.get_weights()]
    assert weights[0].shape == (x.shape[axis],)
    for each in (model, plain):
        each.set_weights(weights)
    wanted = np.moveaxis(plain.predict(moved, verbose=0), -1, axis)
    assert_same_bits(model.predict(x, verbose=0), np.ascontiguousarray(wanted), name)


@pytest.mark.parametrize("axis", [1, (1, 2), (3, 1), -1, (-1, 2), 2, (1, 2, 3)])
@pytest.mark.parametrize("name", ["LayerNormalization", "RMSNormalization", "UnitNormalization", "Softmax"])
def test_rows_along_any_axes(name: str, axis: Any, rng: np.random.Generator) -> None:
    x = reals(rng, (3, 4, 6, 5))
    axes = sorted(each % 4 for each in (axis if isinstance(axis, tuple) else (axis,)))
    others = [each for each in range(4) if each not in axes]
    order = others + axes
    moved = np.ascontiguousarray(x.transpose(order))
    made = getattr(layers, name)
    model = Sequential([made(axis=axis, input_shape=x.shape[1:])])
    plain = Sequential([made(axis=tuple(range(-len(axes), 0)), input_shape=moved.shape[1:])])
    weights = [reals(rng, each.shape) for each in plain.get_weights()]
    for each in (model, plain):
        each.set_weights(weights)
    wanted = plain.predict(moved, verbose=0).transpose(np.argsort(order))
    assert_same_bits(model.predict(x, verbose=0), np.ascontiguousarray(wanted), name)
    if weights:
        assert weights[0].shape == tuple(x.shape[each] for each in axes)


def test_the_gradient_passes_the_moves(rng: np.random.Generator) -> None:
    """Whole numbers through a linear network of both layouts: every gradient is exact."""
    x, y = integers(rng, (4, 3, 5, 6)), integers(rng, (4, 2, 2, 4))
    model = Sequential(
        [
            layers.ZeroPadding2D(1, "channels_first", input_shape=x.shape[1:]),
            layers.Conv2D(2, 3, data_format="channels_first", use_bias=False),
            layers.Permute((2, 1, 3)),
            layers.AveragePooling2D(1),
            layers.Permute((2, 1, 3)),
            layers.Cropping2D(((1, 2), (1, 1)), "channels_first"),
        ]
    )
    kernel = integers(rng, (3, 3, 3, 2))
    model.set_weights([kernel])
    model.compile("sgd", "mse")
    padded = np.pad(np.moveaxis(x, 1, -1), ((0, 0), (1, 1), (1, 1), (0, 0)))
    z = reference.conv2d(padded, kernel)[:, 1:-2, 1:-1]
    assert_exact(model.predict(x, verbose=0), np.moveaxis(z, -1, 1), "predictions")
    dz = np.zeros((4, 5, 6, 2))
    dz[:, 1:-2, 1:-1] = 2.0 * (z - np.moveaxis(y, 1, -1)) / y.size
    gradient = model.gradients(x, y)
    wanted = reference.conv2d_wgrad(padded, dz, (3, 3))
    assert_exact(gradient[0] if isinstance(gradient, list) else gradient, wanted, "kernel")


# MaxUnpooling2D


@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
def test_unpooling_undoes_a_pooling_of_the_network(form: str, rng: np.random.Generator) -> None:
    x = integers(rng, (3, 7, 8, 5))
    first = form == "channels_first"
    given = _first(x) if first else x
    inputs = Input(given.shape[1:])
    pooled = layers.MaxPooling2D(2, data_format=form)(inputs)
    scaled = layers.Rescaling(3.0)(pooled)
    spread = layers.MaxUnpooling2D(form)([scaled, pooled])
    model = Model(inputs, [spread, pooled])
    y, index = reference.max_pool2d_with_index(x, 2)
    wanted = reference.max_unpool2d(3.0 * y, index, x.shape)
    got, also = model.predict(given, verbose=0)
    assert_exact(got, np.moveaxis(wanted, -1, 1) if first else wanted, "unpooled")
    assert_exact(also, np.moveaxis(y, -1, 1) if first else y, "pooled")
    again = Model.from_config(model.get_config())
    assert_same_bits(again.predict(given, verbose=0)[0], got, "from its configuration")


def test_unpooling_refuses_what_is_no_pooling() -> None:
    inputs = Input((6, 6, 2))
    pooled = layers.MaxPooling2D()(inputs)
    with pytest.raises(ArgumentError, match=r"inputs\[1\].*wanted the output of a MaxPooling2D"):
        layers.MaxUnpooling2D()([pooled, layers.AveragePooling2D()(inputs)])
    wide = layers.MaxPooling2D(3, 2)(inputs)
    with pytest.raises(ArgumentError, match="overlap"):
        layers.MaxUnpooling2D()([wide, wide])
    with pytest.raises(ShapeError, match="wanted equal shapes"):
        layers.MaxUnpooling2D()([inputs, pooled])
    with pytest.raises(ArgumentError, match="inputs has 1 entries, wanted 2"):
        layers.MaxUnpooling2D()(pooled)


# Bad arguments


@pytest.mark.parametrize("name", ["LayerNormalization", "RMSNormalization", "UnitNormalization", "Softmax"])
@pytest.mark.parametrize(
    ("axis", "message"),
    [(0, "the batch"), (4, "axis is 4"), (-5, "axis is -5"), ((1, -3), "twice"), ((), "no axis")],
)
def test_axes_that_are_refused(name: str, axis: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Sequential([getattr(layers, name)(axis=axis, input_shape=(2, 3, 4))])


@pytest.mark.parametrize("name", ["BatchNormalization", "GroupNormalization"])
def test_channels_that_are_refused(name: str) -> None:
    for axis, message in ((0, "the batch"), (5, "axis is 5")):
        with pytest.raises(ArgumentError, match=message):
            Sequential([getattr(layers, name)(axis=axis, input_shape=(2, 3, 4))])
    with pytest.raises(DTypeError, match="axis"):
        getattr(layers, name)(axis="last")


def test_an_unknown_layout_is_refused() -> None:
    for layer in (layers.Conv2D(1, 1), layers.MaxPooling2D(), layers.Flatten(), layers.UpSampling2D()):
        config = {**layer.get_config(), "data_format": "channel_first"}
        with pytest.raises(ArgumentError, match="did you mean 'channels_first'"):
            type(layer).from_config(config)
