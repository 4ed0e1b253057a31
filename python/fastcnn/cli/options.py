# SPDX-License-Identifier: Apache-2.0
"""Types and options that several commands share; argparse turns an error here into code 2."""

from __future__ import annotations

import argparse
import math
import os
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fastcnn.cli.config import add_config

CODES = "exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong usage, 130 interrupted"


class Failure(Exception):
    """A reason to end with code 1, to be printed as it is."""


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A parser of integers from ``least`` on."""

    def parse(text: str) -> int:
        number = int(text)
        if number < least or (most is not None and number > most):
            wanted = f"at least {least}" if most is None else f"{least} to {most}"
            raise argparse.ArgumentTypeError(f"{number}, wanted {wanted}")
        return number

    parse.__name__ = "integer"  # argparse: "invalid integer value: 'x'"
    return parse


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """A parser of names and of paths: what looks like a path is looked for later."""
    known = tuple(names)

    def parse(text: str) -> str:
        if text in known or os.sep in text or "." in text or os.path.exists(text):
            return text
        raise argparse.ArgumentTypeError(f"{text!r}, wanted a file, a folder or one of {', '.join(known)}")

    return parse


def rate(text: str) -> float:
    """A finite number above 0."""
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text}, wanted a finite number above 0")
    return number


def add_parser(
    commands: Any, name: str, short: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """A command, with its page of help."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=short,
        description=textwrap.fill(description, 78),
        epilog=f"examples:\n{textwrap.indent(examples, '  ')}\n\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


def add_common(parser: argparse.ArgumentParser) -> None:
    """``--json`` and ``--config``, which all commands have."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document on stdout and nothing else"
    )
    add_config(parser)


def add_plots(parser: argparse.ArgumentParser, what: str) -> None:
    """``--plots``."""
    parser.add_argument("--plots", type=Path, metavar="DIR", help=f"draw {what} into a folder")


def add_model(parser: argparse.ArgumentParser) -> None:
    """The trained model."""
    parser.add_argument("model", metavar="MODEL", help="a .safetensors file, or a folder of runs/")


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where to compute (default: %(default)s)",
    )


def add_limit(parser: argparse.ArgumentParser, what: str) -> None:
    """``--limit``."""
    parser.add_argument("--limit", type=whole(1), metavar="N", help=f"take only the first N {what}")
