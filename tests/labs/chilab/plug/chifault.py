"""Steps at which a test can make a service wait or fail: the lab writes `hold` or `fail` to the step's file."""

import os
import pathlib
import time

FAULTS = pathlib.Path(os.environ["CHILAB_FAULTS"])


class ToldToFailError(Exception):
    """The test asked for it."""


def step(name):
    """Return when the step may go on; raises ToldToFailError when it is to fail."""
    while told := _told(name):
        if told == "fail":
            raise ToldToFailError(f"{name}: the lab was told so")
        time.sleep(0.1)


def _told(name):
    try:
        return (FAULTS / name).read_text()
    except FileNotFoundError:
        return ""
