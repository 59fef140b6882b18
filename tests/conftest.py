"""What all tests share: the collection on the import path, golden files, and hosts to play on."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible.plugins.loader import init_plugin_loader
from xdist.scheduler import LoadScopeScheduling

from tests.labs.armlab import ArmLab
from tests.labs.chilab import ChiLab
from tests.labs.early import Early
from tests.labs.skipping import started
from tests.labs.sshlab import SshLab

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"

init_plugin_loader([str(ROOT / "collections")])  # makes ansible_collections.* importable


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden from what the code gives now")


@pytest.fixture
def golden(request):
    """Compare a text with tests/golden/<name>; --update-golden rewrites the file instead."""

    def check(name: str, actual: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
        assert actual == path.read_text(encoding="utf-8"), f"differs from {path}; --update-golden if that is meant"

    return check


@pytest.fixture
def ssh_lab():
    """Three new SSH hosts, the last without Python; a test that wants others, or keeps some, uses started()."""
    with started(SshLab(3)) as lab:
        yield lab


@pytest.fixture(scope="session")
def arm_machine():
    """The aarch64 machine of this session; tests use arm_lab, which is the same as new."""
    with started(ArmLab()) as lab:
        yield lab


@pytest.fixture
def arm_lab(arm_machine):
    """An aarch64 machine that calls itself a Raspberry Pi 5, as it was at first."""
    arm_machine.reset()
    return arm_machine


# OpenStack takes most of a minute to start, and its tests wait more than they work. In a session of one process it
# starts with the session and its tests come last; in one of several (pytest -n) one process has all of its tests, from
# the start on, and the others have the rest: file by file, since the tests of a file share what takes long to prepare,
# the long ones (integration) first.


class ChiTestbed(NamedTuple):
    """A lab of OpenStack services, and SSH hosts at its floating IPs."""

    lab: ChiLab
    hosts: SshLab


CHAMELEON = "tests/integration/chameleon/"
ONE_OF_SEVERAL = "PYTEST_XDIST_WORKER" in os.environ
CHI_TESTBED = pytest.StashKey[Early[ChiTestbed]]()


def start_chi_testbed(stack: ExitStack) -> ChiTestbed:
    hosts = stack.enter_context(started(SshLab(2)))
    lab = stack.enter_context(started(ChiLab([hosts.address(i) for i in range(hosts.count)])))
    return ChiTestbed(lab, hosts)


def wants_chi_testbed(item: pytest.Item) -> bool:
    return "chi_testbed" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(items):
    items.sort(key=wants_chi_testbed, reverse=ONE_OF_SEVERAL)


class FileByFile(LoadScopeScheduling):
    """Each file goes to whichever process is free; those of the testbed go to one together."""

    def _split_scope(self, nodeid):
        return CHAMELEON if nodeid.startswith(CHAMELEON) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # by itself it begins with the files of many tests, which are quick ones
    return FileByFile(config, log)


def pytest_collection_finish(session):
    config = session.config
    if any(map(wants_chi_testbed, session.items)) and not (config.option.collectonly or ONE_OF_SEVERAL):
        begin_chi_testbed(config)


def begin_chi_testbed(config):
    config.stash[CHI_TESTBED] = early = Early(start_chi_testbed)
    config.add_cleanup(early.close)


@pytest.fixture(scope="session")
def chi_testbed(request):
    """The testbed of this session; tests use chi_lab and chi_hosts, which are the same as new."""
    if CHI_TESTBED not in request.config.stash:
        begin_chi_testbed(request.config)
    return request.config.stash[CHI_TESTBED].get()


@pytest.fixture
def chi_lab(chi_testbed):
    """A testbed like Chameleon as it was at first; its floating IPs are the addresses of chi_hosts."""
    yield chi_testbed.lab
    chi_testbed.lab.reset()


@pytest.fixture
def chi_hosts(chi_testbed):
    """Two new SSH hosts, at the floating IPs of chi_lab."""
    yield chi_testbed.hosts
    chi_testbed.hosts.reset()
