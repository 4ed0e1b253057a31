# SPDX-License-Identifier: Apache-2.0
"""What scripts ask Keras's backend: there is one kind of number here, and one layout."""

from __future__ import annotations

from fastcnn.utils import clear_session

__all__ = ["backend", "clear_session", "epsilon", "floatx", "image_data_format"]


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
