# SPDX-License-Identifier: Apache-2.0
"""Data sets that stand in the package, so that the first run needs no network."""

from __future__ import annotations

from fastcnn.datasets import idx as idx
from fastcnn.datasets import mnist as mnist
