# SPDX-License-Identifier: Apache-2.0
"""The networks that ``fastcnn train`` knows. They take uint8 images [N, 28, 28, 1] as they are."""

from __future__ import annotations

from fastcnn import Input, Sequential, layers


def cnn() -> Sequential:
    """Two 3x3 convolutions of 32 and 64 channels, each pooled, and one dense layer: the default."""
    return Sequential(
        [
            Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.25),
            layers.Dense(10, activation="softmax"),
        ]
    )


def lenet() -> Sequential:
    """LeNet-5's layers (Y. LeCun et al., 1998) with ReLU and max-pooling."""
    return Sequential(
        [
            Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


NETWORKS = {"cnn": cnn, "lenet": lenet}
