"""A lab that starts while tests run which do not need it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from tests.labs.common import LabError

Lab = TypeVar("Lab")


class Early(Generic[Lab]):
    """A lab that starts in the background, from now on.

    Args:
        start: starts it, enters it into the stack, and returns it.
    """

    def __init__(self, start: Callable[[contextlib.ExitStack], Lab]):
        self._stack = contextlib.ExitStack()
        self._started: Future[Lab] = Future()
        # a daemon, so that one that hangs does not hold up the end of the session
        threading.Thread(target=self._run, args=(start,), daemon=True).start()

    def _run(self, start: Callable[[contextlib.ExitStack], Lab]) -> None:
        try:
            self._started.set_result(start(self._stack))
        except BaseException as error:  # that of pytest.skip() is no Exception
            self._started.set_exception(error)

    def get(self, deadline_s: float = 900) -> Lab:
        """Return the lab as soon as it is up; raises what its start raised, and LabError when that takes too long."""
        try:
            return self._started.result(deadline_s)
        except TimeoutError as error:
            raise LabError(f"waited {deadline_s} s in vain for a lab") from error

    def close(self) -> None:
        """End the lab; one that still starts ends with our process."""
        if self._started.done():
            self._stack.close()
