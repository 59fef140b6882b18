"""Labs in tests: skipped, with the reason, where the machine cannot have one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar

import pytest

from tests.labs.adblab import AdbLab
from tests.labs.armlab import ArmLab
from tests.labs.chilab import ChiLab
from tests.labs.common import missing_packages
from tests.labs.sshlab import SshLab

Lab = TypeVar("Lab", SshLab, AdbLab, ArmLab, ChiLab)


def needs(part: str) -> None:
    """Skip the test that calls this where Debian packages of a part of the tests (a key of TOOLS) are missing."""
    if packages := missing_packages(part):
        pytest.skip(f"needs Debian packages (apt-get install --no-install-recommends {' '.join(packages)})")


@contextlib.contextmanager
def started(lab: Lab) -> Iterator[Lab]:
    """Have a lab up, or skip the test that wants it."""
    if lacks := lab.missing():
        pytest.skip(f"{type(lab).__name__} needs {lacks}")
    with lab:
        yield lab
