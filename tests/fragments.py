# SPDX-License-Identifier: Apache-2.0
"""Scripts in the style of Keras's examples, run in either library: only the lines that import are changed."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
from typing import Any

FOLDER = pathlib.Path(__file__).parent / "fragments"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def source(name: str, library: str) -> str:
    """The script, importing ``library`` where it says keras."""
    text = (FOLDER / f"{name}.py").read_text()
    if library == "keras":
        return text
    text = re.sub(r"^import keras$", f"import {library} as keras", text, flags=re.MULTILINE)
    return re.sub(r"^from keras\b", f"from {library}", text, flags=re.MULTILINE)


def run(name: str, library: str) -> tuple[dict[str, Any], str]:
    """The names that the script leaves, and what it printed."""
    names: dict[str, Any] = {"__name__": name}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(source(name, library), f"{name}.py", "exec"), names)
    return {key: value for key, value in names.items() if not key.startswith("_")}, printed.getvalue()


def outline(value: Any) -> Any:
    """What must be the same in both libraries: kinds, names and shapes rather than random numbers."""
    if isinstance(value, type):
        return "class"
    if hasattr(value, "get_weights") and hasattr(value, "output_shape"):  # a model
        weights = [tuple(each.shape) for each in value.get_weights()]
        name = re.sub(r"_\d+$", "", value.name)  # a Sequential of Keras's uses up a number of "functional"
        return ("model", name, value.output_shape, value.count_params(), weights)
    if hasattr(value, "history") and hasattr(value, "epoch"):
        return ("history", sorted(value.history), value.epoch)
    if isinstance(value, dict):
        return {key: outline(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [outline(each) for each in value]
    if isinstance(value, (str, int)) or value is None:
        return value
    if isinstance(getattr(value, "shape", None), tuple):
        return ("array", tuple(value.shape))
    return "float" if isinstance(value, float) else "something"
