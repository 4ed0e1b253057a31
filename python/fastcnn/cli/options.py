# SPDX-License-Identifier: Apache-2.0
"""Types and options that several commands share; argparse turns an error here into code 2."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


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


def rate(text: str) -> float:
    """A finite number above 0."""
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text}, wanted a finite number above 0")
    return number


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


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
