# SPDX-License-Identifier: Apache-2.0
"""Which pictures a folder holds and which class each belongs to, in Keras's order. No file is opened here.

Links may lead anywhere, in circles too. Called by ``utils.folders``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastcnn._arguments import Array, flag, integer, listed
from fastcnn.errors import ArgumentError

FORMATS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
WHERE = "image_dataset_from_directory"


class Files(NamedTuple):
    """Paths, the number of each one's class, and the names of the classes."""

    paths: list[str]
    labels: Array | None
    class_names: list[str] | None

    def take(self, order: Sequence[int]) -> Files:
        """Some of them, in this order."""
        labels = None if self.labels is None else self.labels[list(order)]
        return self._replace(paths=[self.paths[each] for each in order], labels=labels)


def listed_files(directory: str, labels: Any, class_names: Any, follow_links: bool) -> Files:
    """All pictures below a folder."""
    links = flag(follow_links, f"{WHERE}: follow_links")
    if not isinstance(labels, str):  # of folders nothing is inferred
        if class_names is not None:
            raise ArgumentError(f"{WHERE}: class_names: came with labels={labels!r}, wanted 'inferred'")
        paths = _pictures(directory, links)
        _check_found(directory, paths, "")
        if labels is None:
            return Files(paths, None, None)
        numbers = [integer(each, f"{WHERE}: labels", least=0) for each in labels]
        if len(numbers) != len(paths):
            raise ArgumentError(
                f"{WHERE}: labels: {len(numbers)} came for the {len(paths)} files in {directory}"
            )
        names = [str(each) for each in sorted(set(numbers))]
        return Files(paths, np.array(numbers, np.int32), names)
    with os.scandir(directory) as entries:
        folders = sorted(each.name for each in entries if each.is_dir() and not each.name.startswith("."))
    names = folders if class_names is None else _names(class_names, folders, directory)
    found = [_pictures(os.path.join(directory, name), links) for name in names]
    paths = [path for each in found for path in each]
    _check_found(directory, paths, "a folder for each class with ")
    counts = [len(each) for each in found]
    return Files(paths, np.repeat(np.arange(len(names), dtype=np.int32), counts), names)


def _pictures(directory: str, follow_links: bool) -> list[str]:
    """Paths by their folder, then by their name; no folder is visited twice, whatever links lead to it."""

    def refuse(error: OSError) -> None:
        raise error

    seen: set[tuple[int, int]] = set()
    found: list[tuple[str, list[str]]] = []
    for folder, inner, files in os.walk(directory, onerror=refuse, followlinks=follow_links):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner.sort()
        found.append((folder, sorted(name for name in files if name.lower().endswith(FORMATS))))
    return [os.path.join(folder, name) for folder, names in sorted(found) for name in names]


def _names(class_names: Any, folders: list[str], directory: str) -> list[str]:
    names = [os.fspath(each) for each in listed(class_names, f"{WHERE}: class_names", "names")]
    missing = [each for each in names if each not in folders]
    if missing or len(set(names)) < len(names):
        wrong = f"no folder {missing[0]!r} is in {directory}" if missing else "a name came twice"
        raise ArgumentError(f"{WHERE}: class_names: {wrong}, wanted names out of {folders}")
    return names


def _check_found(directory: str, paths: list[str], where: str) -> None:
    if not paths:
        raise ArgumentError(
            f"{WHERE}: no pictures in {directory}, wanted {where}files that end in {', '.join(FORMATS)}"
        )


def check_labels(files: Files, label_mode: str | None) -> None:
    """Whether they are what a mode wants."""
    if files.labels is None or files.class_names is None:
        return
    count = len(files.class_names)
    if label_mode == "binary" and count != 2:
        raise ArgumentError(f"{WHERE}: label_mode: 'binary' came for {count} classes, wanted two")
    if label_mode != "int" and files.labels.max() >= count:
        raise ArgumentError(
            f"{WHERE}: labels: {files.labels.max()} came among {count} different ones, "
            f"wanted 0 to {count - 1} for label_mode {label_mode!r}"
        )


def shuffled(count: int, seed: int) -> list[int]:
    """Keras's order for a seed, so that it holds back the same files."""
    order = list(range(count))
    np.random.RandomState(seed % 2**32).shuffle(order)
    return order
