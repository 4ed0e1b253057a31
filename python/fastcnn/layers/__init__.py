# SPDX-License-Identifier: Apache-2.0
"""The layers of a network. Names, arguments, defaults and layouts are Keras's, channels last.

A layer holds what it was told and knows its native description; shapes and weights belong to the model that
it stands in. What is wrong with one argument alone is told at once, what does not fit the input when its
shape is known. Any layer takes ``name=``, and the first one ``input_shape=`` (without the batch) in place of
an `Input`.
"""

from __future__ import annotations

from fastcnn.layers.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from fastcnn.layers.base import Layer
from fastcnn.layers.conv_transpose import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
from fastcnn.layers.convolution import Conv1D, Conv2D, Conv3D
from fastcnn.layers.core import Dense, Dropout, Flatten, Input, InputLayer, Rescaling
from fastcnn.layers.depthwise import DepthwiseConv1D, DepthwiseConv2D
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
from fastcnn.layers.pooling import AveragePooling2D, MaxPooling2D, SumPooling2D
from fastcnn.layers.reshaping import Identity, Permute, RepeatVector, Reshape
from fastcnn.layers.separable import SeparableConv1D, SeparableConv2D
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

AvgPool2D = AveragePooling2D
MaxPool2D = MaxPooling2D
SumPool2D = SumPooling2D
Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "Average",
    "AveragePooling2D",
    "AvgPool2D",
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
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "Identity",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "Softmax",
    "Subtract",
    "SumPool2D",
    "SumPooling2D",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "add",
    "average",
    "concatenate",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]

CLASSES: dict[str, type[Layer]] = {
    each.__name__: each
    for each in (
        InputLayer, Activation, Add, Average, AveragePooling2D, Concatenate, Conv1D, Conv1DTranspose,
        Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose, Cropping1D, Cropping2D, Cropping3D, Dense,
        DepthwiseConv1D, DepthwiseConv2D, Dropout, ELU, Flatten, Identity, LeakyReLU, MaxPooling2D,
        Maximum, Minimum, Multiply, Permute, ReLU, RepeatVector, Rescaling, Reshape, SeparableConv1D,
        SeparableConv2D, Softmax, Subtract, SumPooling2D, UpSampling1D, UpSampling2D, UpSampling3D,
        ZeroPadding1D, ZeroPadding2D, ZeroPadding3D,
    )
}  # fmt: skip
"""All that a configuration may name."""
