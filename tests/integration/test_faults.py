"""A handful of faults at random moments; `make faults` injects many."""

from __future__ import annotations

import random

import pytest

from tests import faults
from tests.labs.skipping import started
from tests.labs.sshlab import SshLab


@pytest.fixture(scope="module")
def lab():
    with started(SshLab(faults.HOSTS)) as lab:
        yield lab


@pytest.fixture(scope="module")
def undisturbed(lab):
    """The good logs of an undisturbed campaign, and how many seconds it takes."""
    return faults.undisturbed(lab)


# One of each place: controller, link, host, its disk, another controller.
OFTEN = ("controller killed", "link cut for 3 s", "host rebooted", "host disk full", "second controller")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in OFTEN else pytest.mark.thorough) for kind in faults.KINDS]
)
def test_a_fault_costs_nothing_but_time(lab, undisturbed, kind):
    expected, seconds = undisturbed
    faults.episode(lab, kind, random.randrange(faults.HOSTS), random.uniform(0, seconds), expected)
