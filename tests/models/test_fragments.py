# SPDX-License-Identifier: Apache-2.0
"""Scripts for Keras run here with only their imports changed; `tests/differential` runs them in both."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from fragments import NAMES, run

import fastcnn


@pytest.mark.parametrize("name", NAMES)
def test_runs(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fastcnn.utils.clear_session()
    fastcnn.utils.set_random_seed(1)
    names, _ = run(name, "fastcnn")
    models = [each for each in names.values() if isinstance(each, (fastcnn.Model, fastcnn.Sequential))]
    assert models
    for model in models:
        assert all(np.isfinite(weights).all() for weights in model.get_weights())
