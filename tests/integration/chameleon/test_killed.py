"""Killed between any two calls: teardown, or the next play, finds all that there is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases, teardown

from tests import playing
from tests.labs.chilab import EDGE, UC
from tests.testbed import KEY, Bed

# Makes a lease and a machine, and is killed before or after its Nth request that changes something there.
VICTIM = """
import json, os, pathlib, signal, sys
import requests
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([{collections!r}])
from tests.testbed import PI, SKYLAKE, now, wanted
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases, records, teardown
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.machines import Asked
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import Site

settings, state, known_hosts, when, number = json.loads(sys.argv[1])
send, seen = requests.Session.send, [0]

def counted(session, request, **options):
    changes = request.method != "GET" and "/auth/tokens" not in request.url
    seen[0] += changes
    if changes and (seen[0], when) == (number, "before"):
        os.kill(os.getpid(), signal.SIGKILL)
    answer = send(session, request, **options)
    if changes and (seen[0], when) == (number, "after"):
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

requests.Session.send = counted
site, ours = Site(settings), records.Records(pathlib.Path(state))
what = SKYLAKE if settings["image"] != "python:3.11" else PI
lease = leases.ensure(site, ours, wanted(what), now()).leases["h0"]
options = settings | {{"known_hosts": known_hosts, "console_wait_s": 0}}
kind = teardown.KINDS["server" if what is SKYLAKE else "container"](site, ours)
kind.ensure(Asked("h0", "test-h0", what, lease, options, 90))
if number:
    kind.delete("h0", 60)
    leases.give_back(site, ours, "h0")
print(seen[0])
"""


@pytest.fixture
def bed(chi_lab, chi_hosts, tmp_path):
    bed = Bed(chi_lab, tmp_path)
    bed.site().nova.keypairs.create(KEY, public_key=chi_hosts.key.with_suffix(".pub").read_text())
    return bed


def play(bed, site, when="", number=0):
    settings = bed.settings(site) | ({"image": "python:3.11"} if site == EDGE else {})
    argument = [settings, str(bed.records.directory), str(bed.directory / "known_hosts"), when, number]
    code = VICTIM.format(collections=str(playing.ROOT / "collections"))
    return subprocess.run(
        [sys.executable, "-c", code, json.dumps(argument)],
        cwd=playing.ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("OS_")},
        capture_output=True,
        text=True,
        check=False,
    )


# A server: lease, server, address; delete server, end lease. A container: lease, container; delete, end lease.
@pytest.mark.parametrize(
    ("site", "when", "number"),
    [
        pytest.param(site, when, number, marks=() if (site, when) == (UC, "after") else pytest.mark.thorough)
        for site, calls in ((UC, 5), (EDGE, 4))
        for number in range(1, calls + 1)
        for when in ("before", "after")
    ],
)
def test_teardown_leaves_nothing_behind_a_play_that_was_killed(bed, chi_lab, monkeypatch, site, when, number):
    done = play(bed, site, when, number)
    assert done.returncode == -signal.SIGKILL, done.stderr
    monkeypatch.setattr(leases, "LOST_AFTER", timedelta(seconds=5))
    assert teardown.end_everything(bed.site(site), bed.records, (), 60) == []
    assert set(chi_lab.left()) == {"key pairs"}
    assert bed.records.leases(site) == []
    assert bed.records.machines(site) == {}


@pytest.mark.parametrize(
    ("site", "number"), [pytest.param(UC, 1, marks=pytest.mark.thorough), (UC, 2), (UC, 3), (EDGE, 1), (EDGE, 2)]
)
def test_the_next_play_goes_on_with_what_a_killed_one_made(bed, chi_lab, site, number):
    assert play(bed, site, "after", number).returncode == -signal.SIGKILL
    left = chi_lab.left()
    done = play(bed, site)
    assert done.returncode == 0, done.stderr
    now = chi_lab.left()
    for kind, ids in left.items():
        assert now[kind] == ids, f"{kind}: none is made twice"
    assert len(now[f"leases of {site}"]) == 1
    assert len(now["servers" if site == UC else "containers"]) == 1
