# SPDX-License-Identifier: Apache-2.0
"""The article's program runs and learns as well as the article says."""

from __future__ import annotations

import pathlib
import runpy

import pytest

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "article.py"


@pytest.mark.full
def test_article(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    run = runpy.run_path(str(EXAMPLE))
    assert run["history"].history["accuracy"][4] >= 0.924  # the article prints 0.9262
    assert run["cm"].sum() == 10_000
    assert run["cm"].trace() >= 9_200
    assert capsys.readouterr().out.count("1875/1875 [") == 5
    assert pathlib.Path("confusion_matrix.png").read_bytes().startswith(b"\x89PNG")
