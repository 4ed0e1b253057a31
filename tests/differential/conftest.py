# SPDX-License-Identifier: Apache-2.0
"""Everything here compares with PyTorch's CPU build, which lives in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.differential)
