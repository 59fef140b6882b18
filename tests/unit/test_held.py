"""One controller at a time looks after a campaign on a host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from ansible_collections.edgebench.testbed.plugins.module_utils.controller import Controller, start_time
from ansible_collections.edgebench.testbed.plugins.plugin_utils import held
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostError, HostShell

from tests.fake_connection import FakeConnection

US = Controller("me", socket.gethostname(), os.getpid(), start_time(os.getpid()))
ALICE = Controller("alice", "laptop", 77, "1")


def hold(directory, player, **options):
    """Run something as `player`; returns what it printed."""
    campaign = held.HeldCampaign(HostShell(FakeConnection(), "box"), str(directory), player, **options)
    return campaign.run("cannot say it", 'echo "$1"; pwd', "a 'word'").text


def test_scripts_run_in_the_directory_with_their_arguments(tmp_path):
    directory = tmp_path / "a new one"
    assert hold(directory, US) == f"a 'word'\n{directory}\n"
    assert hold(directory, US)


def test_a_second_controller_is_refused_and_told_who_holds_it(tmp_path):
    hold(tmp_path, ALICE)
    with pytest.raises(
        HostError, match=r"alice@laptop \(process 77\) looks after this campaign \(last seen \d+ s ago\)"
    ):
        hold(tmp_path, US)
    assert hold(tmp_path, ALICE), "the first is not disturbed"


def test_it_can_take_over_and_then_the_first_is_refused(tmp_path):
    hold(tmp_path, ALICE)
    hold(tmp_path, US, take_over=True)
    with pytest.raises(HostError, match=r"me@.* looks after this campaign"):
        hold(tmp_path, ALICE)


def test_one_that_was_not_seen_for_long_is_gone(tmp_path, monkeypatch):
    hold(tmp_path, ALICE)
    monkeypatch.setattr(held, "STALE_S", 0)
    assert hold(tmp_path, US)


def test_one_from_before_a_reboot_is_gone(tmp_path):
    hold(tmp_path, ALICE)
    note = tmp_path / "controller"
    note.write_text(note.read_text().replace(note.read_text().split()[-2], "another-boot"))
    assert hold(tmp_path, US)


def test_a_killed_play_of_this_machine_is_gone_at_once(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        killed = Controller("me", socket.gethostname(), process.pid, start_time(process.pid))
        hold(tmp_path, killed)
        with pytest.raises(HostError, match="looks after this campaign"):
            hold(tmp_path, US)
        process.kill()
    assert hold(tmp_path, US)


def test_who_is_done_lets_go(tmp_path):
    hold(tmp_path, ALICE)
    held.HeldCampaign(HostShell(FakeConnection(), "box"), str(tmp_path), US).release()
    with pytest.raises(HostError):
        hold(tmp_path, US)  # only its own
    held.HeldCampaign(HostShell(FakeConnection(), "box"), str(tmp_path), ALICE).release()
    assert hold(tmp_path, US)


def test_a_script_that_fails_says_why(tmp_path):
    campaign = held.HeldCampaign(HostShell(FakeConnection(), "box"), str(tmp_path), US)
    with pytest.raises(HostError, match="cannot do it: no such thing"):
        campaign.run("cannot do it", "echo error: no such thing; exit 1")
