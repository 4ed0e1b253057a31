# SPDX-License-Identifier: Apache-2.0
"""Files of data sets that do not stand in the package: downloaded once, proven by their SHA-256 at each use.

They lie in the folder that ``FASTCNN_DATA`` names, else in ``fastcnn`` in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from fastcnn.errors import FormatError

_BLOCK = 1 << 20
_SECONDS = 30  # without a byte


class Remote(NamedTuple):
    """A file, and where it can be had."""

    name: str
    url: str
    sha256: str


class _WrongFileError(Exception):
    """Something else was downloaded."""


def folder() -> Path:
    """Where files are kept.

    Examples
    --------
    >>> from fastcnn.datasets import cache
    >>> cache.folder().name != ""
    True
    """
    named = os.environ.get("FASTCNN_DATA")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fastcnn")


def fetch(remote: Remote) -> Path:
    """The file, downloaded if it is not there yet.

    Raises
    ------
    FormatError
        A file of this name is there, but it is another one.
    OSError
        It is not there and cannot be downloaded; the message says what to put where.
    """
    path = folder() / remote.name
    if not path.exists():
        _download(remote, path)
    found = _sha256(path)
    if found != remote.sha256:
        raise FormatError(
            path, 0, f"its SHA-256 is {found}, wanted {remote.sha256}; remove the file to download it anew"
        )
    return path


def _download(remote: Remote, path: Path) -> None:
    import urllib.request

    from fastcnn.io.atomic import atomic_write

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(remote.url, timeout=_SECONDS) as answer, atomic_write(path) as file:
            digest = hashlib.sha256()
            while block := answer.read(_BLOCK):
                digest.update(block)
                file.write(block)
            if digest.hexdigest() != remote.sha256:
                raise _WrongFileError(f"what came has the SHA-256 {digest.hexdigest()}, not {remote.sha256}")
    except (OSError, _WrongFileError) as error:
        raise OSError(
            f"{remote.name} is not in {path.parent} and could not be downloaded ({error}); get it from "
            f"{remote.url} and put it there, or let FASTCNN_DATA name the folder that has it"
        ) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
