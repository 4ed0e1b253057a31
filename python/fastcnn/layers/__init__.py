# SPDX-License-Identifier: Apache-2.0
"""The layers of a network. Names, arguments, defaults and layouts are Keras's, channels last.

A layer holds what it was told and knows its native description; shapes and weights belong to the model that
it stands in. What is wrong with one argument alone is told at once, what does not fit the input when its
shape is known. Any layer takes ``name=``, and the first one ``input_shape=`` (without the batch) in place of
an `Input`.
"""

from __future__ import annotations

from typing import Any

from fastcnn._config import serialize
from fastcnn.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from fastcnn.layers.adapted import Normalization
from fastcnn.layers.base import Layer
from fastcnn.layers.conv_transpose import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
from fastcnn.layers.convolution import Conv1D, Conv2D, Conv3D
from fastcnn.layers.core import Dense, Dropout, Flatten, Input, InputLayer, Rescaling
from fastcnn.layers.depthwise import DepthwiseConv1D, DepthwiseConv2D
from fastcnn.layers.function import Lambda
from fastcnn.layers.geometric import RandomFlip, RandomRotation, RandomTranslation, RandomZoom
from fastcnn.layers.global_pooling import (
    AdaptiveAveragePooling1D,
    AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D,
    AdaptiveMaxPooling2D,
    AdaptiveMaxPooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    GlobalSumPooling1D,
    GlobalSumPooling2D,
    GlobalSumPooling3D,
)
from fastcnn.layers.merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    maximum,
    minimum,
    multiply,
    subtract,
)
from fastcnn.layers.mixing import CutMix, MixUp
from fastcnn.layers.noise import (
    AlphaDropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from fastcnn.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    InstanceNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from fastcnn.layers.photometric import RandomBrightness, RandomContrast, RandomErasing
from fastcnn.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    LPPooling2D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    MaxUnpooling2D,
    SumPooling1D,
    SumPooling2D,
    SumPooling3D,
)
from fastcnn.layers.reshaping import Identity, Permute, RepeatVector, Reshape
from fastcnn.layers.separable import SeparableConv1D, SeparableConv2D
from fastcnn.layers.sizing import CenterCrop, RandomCrop, Resizing
from fastcnn.layers.spatial import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)

AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
SumPool1D = SumPooling1D
SumPool2D = SumPooling2D
SumPool3D = SumPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
GlobalSumPool1D = GlobalSumPooling1D
GlobalSumPool2D = GlobalSumPooling2D
GlobalSumPool3D = GlobalSumPooling3D
Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D

__all__ = [
    "ELU",
    "Activation",
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "CenterCrop",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "CutMix",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GlobalSumPool1D",
    "GlobalSumPool2D",
    "GlobalSumPool3D",
    "GlobalSumPooling1D",
    "GlobalSumPooling2D",
    "GlobalSumPooling3D",
    "GroupNormalization",
    "Identity",
    "Input",
    "InputLayer",
    "InstanceNormalization",
    "LPPooling2D",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "MaxUnpooling2D",
    "Maximum",
    "Minimum",
    "MixUp",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "Subtract",
    "SumPool1D",
    "SumPool2D",
    "SumPool3D",
    "SumPooling1D",
    "SumPooling2D",
    "SumPooling3D",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]

CLASSES: dict[str, type[Layer]] = {
    each.__name__: each
    for each in (
        InputLayer, Activation, AdaptiveAveragePooling1D, AdaptiveAveragePooling2D,
        AdaptiveAveragePooling3D, AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D, Add,
        AlphaDropout, Average, AveragePooling1D, AveragePooling2D, AveragePooling3D, BatchNormalization,
        CenterCrop, Concatenate, Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose,
        Cropping1D, Cropping2D, Cropping3D, CutMix, Dense, DepthwiseConv1D, DepthwiseConv2D, Dropout, ELU,
        Flatten, GaussianDropout, GaussianNoise, GlobalAveragePooling1D, GlobalAveragePooling2D,
        GlobalAveragePooling3D, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D,
        GlobalSumPooling1D, GlobalSumPooling2D, GlobalSumPooling3D, GroupNormalization, Identity,
        InstanceNormalization, LPPooling2D, LayerNormalization, LeakyReLU, MaxPooling1D, MaxPooling2D,
        MaxPooling3D, MaxUnpooling2D, Maximum, Minimum, MixUp, Multiply, Normalization, PReLU, Permute,
        RMSNormalization, RandomBrightness, RandomContrast, RandomCrop, RandomErasing, RandomFlip,
        RandomRotation, RandomTranslation, RandomZoom, ReLU, RepeatVector, Rescaling, Reshape, Resizing,
        SeparableConv1D, SeparableConv2D, Softmax, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D,
        Subtract, SumPooling1D, SumPooling2D, SumPooling3D, UnitNormalization, UpSampling1D, UpSampling2D,
        UpSampling3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D,
    )
}  # fmt: skip
"""All that a configuration may name."""


def deserialize(config: object, custom_objects: object = None) -> Any:
    """The layer that `serialize` described, or the model; ``custom_objects`` has no effect.

    Raises
    ------
    ArgumentError
        The description names no layer.

    Examples
    --------
    >>> from fastcnn import layers
    >>> layers.deserialize(layers.serialize(layers.Conv2D(8, 3))).filters
    8
    """
    from fastcnn.models.base import from_description

    return from_description(config, "layers.deserialize")


def __getattr__(name: str) -> Any:
    from fastcnn._absent import absent

    raise absent(__name__, name)
