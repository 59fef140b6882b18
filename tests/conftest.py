"""What all tests share: the collection on the import path, golden files, and hosts to play on."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.plugins.loader import init_plugin_loader

from tests.labs.armlab import ArmLab
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
