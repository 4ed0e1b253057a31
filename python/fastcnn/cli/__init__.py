# SPDX-License-Identifier: Apache-2.0
"""``fastcnn train | evaluate | predict | info``: the package from a terminal.

Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong usage, 130 interrupted. With ``--json``
stdout holds one JSON object and nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fastcnn import errors
from fastcnn.cli import evaluate, info, predict, train
from fastcnn.cli.options import Failure

_FAILURES = (
    Failure,
    errors.ArgumentError,
    errors.DTypeError,
    errors.DeviceError,
    errors.FormatError,
    errors.ShapeError,
    ImportError,
    MemoryError,
    OSError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        Without the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    SystemExit
        Wrong usage (code 2), or ``--help`` and ``--version`` (code 0).

    Examples
    --------
    >>> from fastcnn import cli
    >>> cli.main(["info"])  # doctest: +ELLIPSIS
    fastcnn ...
    0
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("fastcnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has gone: nothing more can be said, and the flush at exit must not try to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except _FAILURES as error:
        print(f"fastcnn: error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastcnn", description="Train and run convolutional networks on fastcnn's own kernels."
    )
    parser.add_argument("--version", action="version", version=f"fastcnn {info.version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (train, evaluate, predict, info):
        command.add_command(commands)
    return parser
