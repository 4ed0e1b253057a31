# SPDX-License-Identifier: Apache-2.0
"""Everything here compares with another library, which lives in an environment of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

_FARTHEST: dict[str, tuple[float, str]] = {}  # by test function


@pytest.fixture
def apart(request: pytest.FixtureRequest) -> Callable[[float], None]:
    """Told how far both libraries are apart; the run ends with the most of each test."""

    def note(difference: float) -> None:
        function = request.node.originalname
        _FARTHEST[function] = max(_FARTHEST.get(function, (0.0, "")), (difference, request.node.name))

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for difference, name in _FARTHEST.values():
        terminalreporter.write_line(f"farthest apart: {difference:.2e} in {name}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.differential)
