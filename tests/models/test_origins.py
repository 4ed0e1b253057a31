# SPDX-License-Identifier: Apache-2.0
"""An error about a shape says which layers made it: for a layer of each family, and for joined branches."""

from __future__ import annotations

from typing import Any

import pytest

from fastcnn import ArgumentError, Input, Model, Sequential, ShapeError, layers, utils

CHAIN = (
    "its input came from 'pool_2' (None, 1, 1, 8), made from 'conv_2' (None, 3, 3, 8), "
    "made from 'pool_1' (None, 5, 5, 8), made from 'conv_1' (None, 10, 10, 8)"
)

# What does not fit an input of [1, 1, 8].
LAYERS: list[layers.Layer] = [
    layers.Conv1D(3, 3), layers.Conv2D(4, 5), layers.Conv2D(4, 1, groups=3), layers.Conv3D(3, 3),
    layers.Conv2DTranspose(3, 3, output_padding=5), layers.DepthwiseConv2D(3), layers.SeparableConv2D(4, 3),
    layers.MaxPooling2D(3), layers.AveragePooling3D(), layers.SumPooling2D(2), layers.LPPooling2D(2),
    layers.GlobalAveragePooling1D(), layers.GlobalMaxPooling3D(), layers.AdaptiveMaxPooling1D(2),
    layers.BatchNormalization(axis=4), layers.GroupNormalization(3), layers.InstanceNormalization(axis=4),
    layers.LayerNormalization(axis=(1, 4)), layers.UnitNormalization(axis=7), layers.RMSNormalization(axis=5),
    layers.PReLU(shared_axes=[7]), layers.SpatialDropout1D(0.3), layers.RepeatVector(3),
    layers.Reshape((5,)), layers.Permute((1, 2)), layers.Cropping2D(1), layers.ZeroPadding1D(),
    layers.UpSampling1D(),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_of_a_layer(layer: layers.Layer) -> None:
    def make() -> Any:
        stack = [
            Input((12, 12, 3)),
            layers.Conv2D(8, 3, activation="relu", name="conv_1"),  # two operators, said once
            layers.MaxPooling2D(name="pool_1"),
            layers.Conv2D(8, 3, name="conv_2"),
            layers.MaxPooling2D(name="pool_2"),
        ]
        return Sequential([*stack, layer])

    with pytest.raises((ShapeError, ArgumentError)) as caught:
        make()
    text = str(caught.value)
    assert text.startswith(f"layer 4 {layer.name!r} ({type(layer).__name__}): ")
    assert text.endswith(f"; {CHAIN}")


@pytest.mark.parametrize(
    "kind",
    [layers.Add, layers.Average, layers.Concatenate, layers.Maximum, layers.Minimum, layers.Multiply,
     layers.Subtract],
)  # fmt: skip
def test_of_branches(kind: Any) -> None:
    left = layers.Conv2D(4, 3, name="left")(Input((8, 8, 3)))
    right = layers.Conv2D(4, 3, activation="relu", name="right")(Input((8, 7, 3)))
    with pytest.raises(ShapeError) as caught:
        kind(name="joint")([left, right])
    assert f"'joint' ({kind.__name__}): " in str(caught.value)
    assert str(caught.value).endswith(
        "; its inputs came from 'left' (None, 6, 6, 4) and 'right' (None, 6, 5, 4)"
    )


def test_after_branches_and_in_inner_models() -> None:
    """The way back ends where branches meet; names of an inner model's layers are with that of the model."""
    utils.clear_session()
    x = Input((6, 6, 2), name="x")
    y = layers.Add(name="add")([layers.Conv2D(2, 3, name="a")(x), layers.Conv2D(2, 3, name="b")(x)])
    with pytest.raises(
        ShapeError, match=r"came from 'add' .None, 4, 4, 2., made from 'a' .* and 'b' .*4, 2.$"
    ):
        layers.Conv2D(3, 5, name="c")(y)
    inner = Sequential([layers.MaxPooling2D(name="pool"), layers.Conv2D(1, 3, name="conv")], name="inner")
    with pytest.raises(ShapeError, match=r"'inner/conv' .Conv2D.: .*came from 'inner/pool' .None, 2, 2, 2."):
        Model(x, inner(layers.Cropping2D(1)(x)))


def test_of_the_first_batch() -> None:
    model = Sequential([layers.Conv2D(3, 3, name="conv"), layers.Conv2D(3, 5, name="second")])
    with pytest.raises(ShapeError, match=r"'second' .*came from 'conv' .None, 4, 4, 3., made from 'input' "):
        model.predict([[[[1.0]] * 6] * 6])
