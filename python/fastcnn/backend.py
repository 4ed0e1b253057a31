# SPDX-License-Identifier: Apache-2.0
"""What scripts ask Keras's backend: there is one kind of number here, and one layout."""

from __future__ import annotations

from fastcnn._absent import absences
from fastcnn.errors import ArgumentError
from fastcnn.utils import clear_session
from fastcnn.utils.scripts import is_keras_tensor

__all__ = [
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_keras_tensor",
    "set_floatx",
    "set_image_data_format",
]


def backend() -> str:
    """Always "fastcnn"."""
    return "fastcnn"


def epsilon() -> float:
    """What losses and metrics keep probabilities away from 0 and 1 by."""
    return 1e-7


def floatx() -> str:
    """Always "float32"."""
    return "float32"


def image_data_format() -> str:
    """Always "channels_last"."""
    return "channels_last"


def set_floatx(value: str) -> None:
    """Take "float32", which it is.

    Raises
    ------
    ArgumentError
        It is another.
    """
    _the_one("set_floatx", value, floatx())


def set_image_data_format(data_format: str) -> None:
    """Take "channels_last", which it is; layers have an argument ``data_format``.

    Raises
    ------
    ArgumentError
        It is another.
    """
    _the_one("set_image_data_format", data_format, image_data_format())


def _the_one(where: str, value: str, wanted: str) -> None:
    if value != wanted:
        raise ArgumentError(f"{where}: {value!r} came, wanted {wanted!r}, the only one")


__getattr__ = absences(__name__)
