# SPDX-License-Identifier: Apache-2.0
"""``fastcnn train | evaluate | predict | info | bench``: the package from a terminal.

Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong usage, 130 interrupted. With ``--json``
stdout holds one JSON document and nothing else; progress goes to stderr.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence

from fastcnn import errors
from fastcnn.cli import bench, evaluate, info, predict, train
from fastcnn.cli.config import Misuse, arguments_of
from fastcnn.cli.options import CODES, Failure

_COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict, "info": info, "bench": bench}

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
    _prepare_output()
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser, commands = _parser()
    options = parser.parse_args(given)
    try:
        if options.config is not None:
            command = next(each for each in given if each in _COMMANDS)  # before it no option takes a value
            own = commands[command]
            try:
                more = arguments_of(options.config, command, own, set(_COMMANDS))
            except Misuse as error:
                own.error(str(error))
            at = given.index(command) + 1
            options = parser.parse_args([*given[:at], *more, *given[at:]])
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("fastcnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()  # the reader has gone: nothing more can be said
        return 1
    except _FAILURES as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _drop_output()
        print(f"fastcnn: error: {_said(error)}", file=sys.stderr)
        return 1
    return code


def _said(error: BaseException) -> str:
    """In one line, and of a file without the system's number of the error."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _prepare_output() -> None:
    """A closed stdout takes everything, and a terminal without Unicode shows ``?`` for what it lacks."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (it lives as long as the process)
    elif isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def _drop_output() -> None:
    """What is still in the buffer goes nowhere, so that the flush at exit does not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and those of the commands."""
    parser = argparse.ArgumentParser(
        prog="fastcnn",
        description="Train and run convolutional networks on fastcnn's own kernels.",
        epilog=f"fastcnn COMMAND --help tells all about a command\n\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fastcnn {info.version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS.values():
        command.add_command(commands)
    return parser, commands.choices
