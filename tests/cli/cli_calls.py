# SPDX-License-Identifier: Apache-2.0
"""Calls of the command line: what comes out of those that succeed, fail or are misused."""

from __future__ import annotations

import pytest

from fastcnn import cli


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command that succeeds prints."""
    assert cli.main([str(each) for each in arguments]) == 0
    captured = capsys.readouterr()
    progress = "Epoch 1/" in captured.err  # which makes way for the document
    assert progress if arguments[0] == "train" and captured.out.startswith("{") else captured.err == ""
    return captured.out


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that fails."""
    assert cli.main([str(each) for each in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fastcnn: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def misused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main([str(each) for each in arguments])
    assert caught.value.code == 2
    return capsys.readouterr().err
