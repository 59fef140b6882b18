"""The one exception that users are meant to see."""

from __future__ import annotations


class AnalysisError(Exception):
    """A user's mistake or unusable input.

    The message is one helpful line: what was looked at, what was expected and found, what to do next.
    """
