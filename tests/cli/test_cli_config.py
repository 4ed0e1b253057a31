# SPDX-License-Identifier: Apache-2.0
"""Options of the command line from a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cli_calls import call, fails, misused


def test_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        'model = "lenet"\nlimit = 24\nepochs = 3\n[train]\nepochs = 2\nbatch_size = 7\nlr = 1e-3\n'
        f'json = true\nout = "{tmp_path}"\n[predict]\ntop = 2\nindex = [0, 1]\njson = false\n'
    )
    metrics = json.loads(call(capsys, "train", "--config", config, "--batch-size=5", "--name=x"))
    assert [metrics[key] for key in ("network", "epochs", "batch_size", "learning_rate")] == [
        "lenet",
        2,
        5,
        1e-3,
    ]
    config.write_text("[predict]\ntop = 2\nindex = [0, 1]\njson = false\n[train]\nnonsense = 1\n")
    assert len(call(capsys, "predict", tmp_path / "x", "--config", config).splitlines()) == 6
    config.write_text("")
    assert "fastcnn" in call(capsys, "info", f"--config={config}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown key 'epoch'"),
        ("config = 'b.toml'", "unknown key 'config'"),
        ("help = true", "unknown key 'help'"),
        ("[trian]\nepochs = 3", "unknown key 'trian'"),
        ("train = 3", "wanted a table [train]"),
        ("epochs = 0", "--epochs"),
        ("epochs = 'many'", "--epochs"),
        ("epochs = true", "wanted a number or a text"),
        ("epochs = [3]", "wanted a number or a text"),
        ('model = "a\\u0000/b"', "zero character"),
        ("json = 1", "wanted true or false"),
        ("optimizer = 'nonsense'", "--optimizer"),
    ],
)
def test_wrong_configs(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    assert message in misused(capsys, "train", "--config", tmp_path / "run.toml")


def test_config_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "run.toml"
    assert "No such file" in fails(capsys, "train", "--config", config)
    for content in (b"epochs", b"\xff", b"a = " + b"[" * 100_000):
        config.write_bytes(content)
        assert "run.toml" in fails(capsys, "train", "--config", config)
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    monkeypatch.setattr(sys, "version_info", (3, 10, 14))
    assert "pip install fastcnn[toml]" in fails(capsys, "train", "--config", config)
