# SPDX-License-Identifier: Apache-2.0
"""``--config run.toml``: options of a command from a file. What stands on the command line wins.

Keys are the names of options without the dashes, at the top or in a table named after the command, so that
one file can serve several.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from fastcnn.errors import FormatError

_LARGEST = 1 << 24  # bytes


class Misuse(Exception):
    """A reason to end with code 2."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """``--config``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"a TOML file with options, at its top or in a table [{parser.prog.split()[-1]}]; those on the "
        "command line win",
    )


def arguments_of(path: Path, command: str, parser: argparse.ArgumentParser, commands: set[str]) -> list[str]:
    """The options that a file holds for a command, as they would stand on the command line."""
    table = read_toml(path)
    own = table.pop(command, {})
    if not isinstance(own, dict):
        raise Misuse(f"{path}: {command}: {own!r} came, wanted a table [{command}]")
    others = {key for key in table if key in commands and isinstance(table[key], dict)}
    given = {key: value for key, value in table.items() if key not in others}
    given |= own
    options = {
        name[2:]: action
        for action in parser._actions
        for name in action.option_strings
        if name.startswith("--") and name not in ("--help", "--config")
    }
    arguments: list[str] = []
    for key, value in given.items():
        name = key.replace("_", "-")
        if name not in options:
            raise Misuse(f"{path}: unknown key {key!r}, wanted one of {', '.join(sorted(options))}")
        arguments += _argument(f"{path}: {key}", f"--{name}", options[name], value)
    return arguments


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file.

    Raises
    ------
    FormatError
        It is none.
    ImportError
        There is nothing to read it with: Python 3.10 needs ``tomli``.
    OSError
        It cannot be read.
    """
    toml = _toml()
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise FormatError(path, None, f"more than {_LARGEST} bytes, wanted a few lines of TOML")
    try:
        table: dict[str, Any] = toml.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FormatError(path, error.start, "not UTF-8") from None
    except (toml.TOMLDecodeError, RecursionError) as error:
        raise FormatError(path, None, f"not TOML: {error}") from None
    return table


def _argument(where: str, option: str, action: argparse.Action, value: Any) -> list[str]:
    if action.nargs == 0:  # a switch
        if not isinstance(value, bool):
            raise Misuse(f"{where}: {value!r} came, wanted true or false")
        return [option] if value else []
    several = isinstance(action, argparse._AppendAction)
    values = value if several and isinstance(value, list) else [value]
    for each in values:
        if isinstance(each, bool) or not isinstance(each, (str, int, float)):
            raise Misuse(f"{where}: {each!r} came, wanted a number or a text")
        if isinstance(each, str) and "\0" in each:
            raise Misuse(f"{where}: a text with a zero character came")
    return [f"{option}={each}" for each in values]


def _toml() -> Any:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib
    try:
        return importlib.import_module("tomli")
    except ImportError as error:
        raise ImportError("TOML files need Python 3.11, or tomli: pip install fastcnn[toml]") from error
