# SPDX-License-Identifier: Apache-2.0
"""Files of models, under the name that Keras has for them: `fastcnn.io` does the work."""

from __future__ import annotations

from fastcnn.io import load_model, load_weights, save_model, save_weights
from fastcnn.layers import deserialize as deserialize_keras_object
from fastcnn.layers import serialize as serialize_keras_object

__all__ = [
    "deserialize_keras_object",
    "load_model",
    "load_weights",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]
