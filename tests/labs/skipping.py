"""Labs in tests: skipped, with the reason, where the machine cannot have one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar

import pytest

from tests.labs.armlab import ArmLab
from tests.labs.chilab import ChiLab
from tests.labs.sshlab import SshLab

Lab = TypeVar("Lab", SshLab, ArmLab, ChiLab)


@contextlib.contextmanager
def started(lab: Lab) -> Iterator[Lab]:
    """Have a lab up, or skip the test that wants it."""
    if lacks := lab.missing():
        pytest.skip(f"{type(lab).__name__} needs {lacks}")
    with lab:
        yield lab
