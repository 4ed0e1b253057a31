# SPDX-License-Identifier: Apache-2.0
"""Pictures as arrays and back: `fastcnn.utils` does the work."""

from __future__ import annotations

from fastcnn._absent import absences
from fastcnn.utils import array_to_img, img_to_array, load_img, save_img

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img"]

__getattr__ = absences(__name__)
