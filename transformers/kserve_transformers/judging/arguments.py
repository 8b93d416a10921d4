"""Arguments of the commands that judge a canary."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from kserve_transformers.judging.judge import check_steps


def steps(text: str) -> tuple[int, ...]:
    """Shares in per cent, with commas; see `check_steps`.

    Raises:
        argparse.ArgumentTypeError: they are none.
    """
    try:
        return check_steps([int(step) for step in text.split(",")])
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def seconds(least: float, most: float) -> Callable[[str], float]:
    """A number of seconds within bounds; what is none raises argparse.ArgumentTypeError."""

    def within(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = 0.0
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not within {least:g} to {most:g} seconds")
        return found

    return within
