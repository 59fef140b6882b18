# Copyright the edgebench developers. Apache-2.0.
"""What goes wrong on a testbed, in words for its user."""

from __future__ import annotations


class TestbedError(Exception):
    """What a user should read, in one line."""

    __test__ = False  # for pytest


class UnavailableError(TestbedError):
    """A service did not answer, or answered that it cannot at the moment; asking again may help."""


class RefusedError(TestbedError):
    """A service refused what it was asked for.

    Attributes:
        status: HTTP's number.
        reason: the service's own words.
    """

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class GoneError(RefusedError):
    """What was asked for is not there (404)."""
