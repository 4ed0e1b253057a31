# SPDX-License-Identifier: Apache-2.0
"""The layers of a network. Names, arguments, defaults and layouts are Keras's, channels last.

A layer holds what it was told and knows its native description; shapes and weights belong to the model that
it stands in. What is wrong with one argument alone is told at once, what does not fit the input when its
shape is known. Any layer takes ``name=``, and the first one ``input_shape=`` (without the batch) in place of
an `Input`.
"""

from __future__ import annotations

from fastcnn.layers.activation import Activation, ReLU, Softmax
from fastcnn.layers.base import Layer
from fastcnn.layers.convolution import Conv2D
from fastcnn.layers.core import Dense, Dropout, Flatten, Input, InputLayer, Rescaling
from fastcnn.layers.pooling import AveragePooling2D, MaxPooling2D, SumPooling2D

AvgPool2D = AveragePooling2D
MaxPool2D = MaxPooling2D
SumPool2D = SumPooling2D

__all__ = [
    "Activation",
    "AveragePooling2D",
    "AvgPool2D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "MaxPool2D",
    "MaxPooling2D",
    "ReLU",
    "Rescaling",
    "Softmax",
    "SumPool2D",
    "SumPooling2D",
]

CLASSES: dict[str, type[Layer]] = {
    each.__name__: each
    for each in (
        InputLayer, Activation, AveragePooling2D, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, ReLU,
        Rescaling, Softmax, SumPooling2D,
    )
}  # fmt: skip
"""All that a configuration may name."""
