# SPDX-License-Identifier: Apache-2.0
"""Settings that scripts ask Keras for, or set: there is one kind of number here, one layout, one backend."""

from __future__ import annotations

from fastcnn._absent import absences
from fastcnn.backend import backend, epsilon, floatx, image_data_format, set_floatx, set_image_data_format

__all__ = [
    "backend",
    "dtype_policy",
    "epsilon",
    "floatx",
    "image_data_format",
    "set_floatx",
    "set_image_data_format",
]


def dtype_policy() -> str:
    """Always "float32"."""
    return floatx()


__getattr__ = absences(__name__)
