# SPDX-License-Identifier: Apache-2.0
"""The GPU that the tests beside this file need, real or emulated; without one they are skipped."""

from __future__ import annotations

import os

import pytest

from fastcnn import _native

if os.environ.get("FASTCNN_TEST_DEVICE") != "cuda":
    pytest.skip("FASTCNN_TEST_DEVICE is not cuda", allow_module_level=True)
cupy = pytest.importorskip("cupy")


def capability() -> int:
    """75, 80, 90: what decides which kernels there are."""
    if _native.gpu_variant() == "emulated":
        return int(os.environ.get("FASTCNN_EMULATED_SM") or 75)
    return int(cupy.cuda.Device().compute_capability)
