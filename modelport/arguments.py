"""What commands share: numbers, names and addresses as arguments, and errors in one line."""

import argparse
import contextlib
import functools
import math
import sys
from collections.abc import Callable
from typing import ParamSpec
from urllib.parse import urlsplit

from exporters.errors import ExportError
from modelport.environment import CommandError, say

Given = ParamSpec("Given")


def errors_in_one_line(
    *more: type[Exception], interrupted: str = "interrupted"
) -> Callable[[Callable[Given, int]], Callable[Given, int]]:
    """Decorate the main function of a command: errors become one line on stderr and exit code 1.

    Args:
        more: kinds of errors beside CommandError and ExportError.
        interrupted: said after Ctrl-C; the exit code is 130 then.
    """
    plain: tuple[type[Exception], ...] = (CommandError, ExportError, *more)

    def decorate(main: Callable[Given, int]) -> Callable[Given, int]:
        @functools.wraps(main)
        def wrapped(*given: Given.args, **named: Given.kwargs) -> int:
            try:
                return main(*given, **named)
            except plain as error:
                say(f"error: {error}", error=True)
                return 1
            except KeyboardInterrupt as interruption:
                say(interrupted, error=True)
                _forget(interruption)
                return 130

        return wrapped

    return decorate


def _forget(interruption: KeyboardInterrupt) -> None:
    """Let what an interruption cut short go; objects that were only half made would print tracebacks then."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        interruption.with_traceback(None)
    finally:
        sys.unraisablehook = hook


def names(text: str) -> tuple[str, ...]:
    """Names with commas between, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def server_url(text: str) -> str:
    """The address of a server, without a slash at its end.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(text)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return text.rstrip("/")
    raise argparse.ArgumentTypeError(f"{text!r} is no address of a server: write http://HOST:PORT")


def positive(text: str) -> float:
    """A finite number above 0.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")


def positive_int(text: str) -> int:
    """A whole number above 0.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number above 0")


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers above 0 with commas between.

    Raises:
        argparse.ArgumentTypeError: some is none.
    """
    return tuple(positive_int(number) for number in text.split(","))
