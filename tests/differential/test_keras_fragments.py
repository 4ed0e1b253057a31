# SPDX-License-Identifier: Apache-2.0
"""The scripts of tests/fragments in Keras itself and here: what they leave is alike."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")

from fragments import NAMES, outline, run  # noqa: E402

import fastcnn  # noqa: E402

pytestmark = [pytest.mark.differential, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("name", NAMES)
def test_leaves_the_same(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outlines = []
    for library in (keras, fastcnn):
        folder = tmp_path / library.__name__
        folder.mkdir()
        monkeypatch.chdir(folder)
        library.utils.clear_session()
        names, _ = run(name, library.__name__)
        outlines.append({key: outline(value) for key, value in names.items()})
    assert outlines[1] == outlines[0]
