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
from fastcnn.layers.pooling import AveragePooling2D, MaxPooling2D, SumPooling2D
from fastcnn.layers.separable import SeparableConv1D, SeparableConv2D

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
    "AveragePooling2D",
    "AvgPool2D",
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
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "ReLU",
    "Rescaling",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "Softmax",
    "SumPool2D",
    "SumPooling2D",
]

CLASSES: dict[str, type[Layer]] = {
    each.__name__: each
    for each in (
        InputLayer, Activation, AveragePooling2D, Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D,
        Conv3DTranspose, Dense, DepthwiseConv1D, DepthwiseConv2D, Dropout, ELU, Flatten, LeakyReLU,
        MaxPooling2D, ReLU, Rescaling, SeparableConv1D, SeparableConv2D, Softmax, SumPooling2D,
    )
}  # fmt: skip
"""All that a configuration may name."""
