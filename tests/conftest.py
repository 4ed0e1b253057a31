# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every test file may use."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

import fastcnn

if os.environ.get("FASTCNN_TEST_DEVICE") == "cuda":
    from fastcnn.testing import on_gpu

    on_gpu.install()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that depend on the name of the test alone."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture
def keep_threads() -> Iterator[None]:
    """Put the number of threads back."""
    threads = fastcnn.get_num_threads()
    yield
    fastcnn.set_num_threads(threads)
