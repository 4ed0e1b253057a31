# SPDX-License-Identifier: Apache-2.0
"""Pictures on their way to a model, by names of older scripts for Keras: `fastcnn.utils` does the work."""

from __future__ import annotations

from fastcnn.preprocessing import image
from fastcnn.utils import image_dataset_from_directory

__all__ = ["image", "image_dataset_from_directory"]
