"""The one exception that users are meant to see, and how commands show it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable


class AnalysisError(Exception):
    """A user's mistake or unusable input.

    The message is one helpful line: what was looked at, what was expected and found, what to do next.
    """


def exit_status(command: Callable[[], int]) -> int:
    """What a command returns; 2 where there was an AnalysisError, which is said on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # names may have letters that a terminal lacks
    try:
        return command()
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
