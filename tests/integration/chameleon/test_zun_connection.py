"""The connection plugin `zun`: commands and files in a container of the real service, past its limits and outages."""

from __future__ import annotations

import os
import shlex
import threading

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import container_shell, leases
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.containers import Containers
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.machines import Asked
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import Site
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostShell, is_refusal

from tests.labs.chilab import EDGE
from tests.testbed import PI, Bed, now, wanted

EVERY_BYTE = bytes(range(256))
ODD_NAME = '/tmp/a b\'c $HOME "d" é;rm.bin'


@pytest.fixture
def container(chi_lab, tmp_path):
    """The site's settings, and a container's id."""
    bed = Bed(chi_lab, tmp_path)
    site = bed.site(EDGE)
    lease = leases.ensure(site, bed.records, wanted(PI), now()).leases["h0"]
    _, record = Containers(site, bed.records).ensure(Asked("h0", "pi", PI, lease, {"image": "python:3.11"}, 90))
    return bed.settings(EDGE), record["id"]


def connect(container, **options):
    connection = connection_loader.get("edgebench.testbed.zun", PlayContext())
    settings, container_id = container
    connection.set_options(direct={"site": settings, "container": container_id} | options)
    return connection


@pytest.fixture
def connection(container):
    connection = connect(container)
    yield connection
    connection.close()


def test_a_command_has_its_exit_code_its_streams_and_its_bytes(connection):
    assert connection.exec_command("echo out; echo err >&2; exit 3") == (3, b"out\n", b"err\n")
    assert connection.exec_command("true") == (0, b"", b"")
    assert connection.exec_command("cat", in_data=EVERY_BYTE) == (0, EVERY_BYTE, b"")
    words = 'it\'s "quoted" $HOME `id` \\ ; é'
    assert connection.exec_command(f"printf %s {shlex.quote(words)}") == (0, words.encode(), b"")
    assert connection.exec_command("id -u")[1] == b"0\n"


def test_what_is_larger_than_one_call_takes_goes_through_in_parts(container):
    connection = connect(container, part_kb=64)
    data = os.urandom(300_000)
    assert connection.exec_command("cat; wc -c </dev/null >&2", in_data=data) == (0, data, b"0\n")
    connection.close()


def test_files_go_there_and_back_whatever_their_name(connection, tmp_path):
    sent, fetched = tmp_path / "sent", tmp_path / "fetched"
    sent.write_bytes(os.urandom(1_300_000))
    connection.put_file(str(sent), ODD_NAME)
    connection.fetch_file(ODD_NAME, str(fetched))
    assert fetched.read_bytes() == sent.read_bytes()
    sent.write_bytes(b"")
    connection.put_file(str(sent), ODD_NAME)
    connection.fetch_file(ODD_NAME, str(fetched))
    assert fetched.read_bytes() == b"", "a shorter file takes the place of a longer one"


def test_a_file_that_cannot_be_written_or_read_is_told(connection, tmp_path):
    sent = tmp_path / "sent"
    sent.write_bytes(b"x")
    with pytest.raises(AnsibleError, match="/nowhere/file in the container"):
        connection.put_file(str(sent), "/nowhere/file")
    with pytest.raises(AnsibleError, match="/nowhere/file in the container"):
        connection.fetch_file("/nowhere/file", str(tmp_path / "fetched"))


def test_a_command_outlasts_the_call_that_started_it(connection, monkeypatch):
    monkeypatch.setattr(container_shell, "WAIT_S", 1)
    assert connection.exec_command("sleep 4; echo done") == (0, b"done\n", b"")


def test_what_a_command_left_running_goes_on(connection):
    connection.exec_command("(sleep 1; echo late >/tmp/late) >/dev/null 2>&1 &")
    assert connection.exec_command("until [ -e /tmp/late ]; do sleep 0.2; done; cat /tmp/late")[1] == b"late\n"


def test_an_outage_of_the_service_in_the_middle_is_survived(connection, chi_lab, monkeypatch):
    monkeypatch.setattr(container_shell, "WAIT_S", 1)
    shell = HostShell(connection, "pi", patience_s=120)
    shell.run("true")

    def outage():
        chi_lab.stop("zun")
        chi_lab.start("zun")

    timer = threading.Timer(1, outage)
    timer.start()
    assert shell.run("sleep 5; cat", stdin=b"in").stdout == b"in"
    timer.join()


def test_it_can_be_made_anew_with_credentials_of_the_environment(container, chi_lab, monkeypatch):
    for name, value in chi_lab.environment(EDGE).items():
        monkeypatch.setenv(name, value)
    settings, container_id = container
    connection = connect((settings | {"credentials": ""}, container_id))
    for _ in range(2):
        assert connection.exec_command("echo hello")[1] == b"hello\n"
        connection.reset()
    connection.close()


def test_nothing_is_left_in_the_container(container):
    connection = connect(container)
    for _ in range(3):
        connection.exec_command("true")
    connection.close()
    connection = connect(container)
    left = connection.exec_command("ls -A /tmp")[1].splitlines()
    assert len(left) == 1, "that of the command that looks"
    connection.close()


def test_a_container_that_died_is_told_at_once_and_not_waited_for(connection, container, chi_lab):
    connection.exec_command("true")
    chi_lab.kill_container(container[1])
    with pytest.raises(AnsibleConnectionFailure, match=r"no machine: the container \S+ is Stopped.*play") as died:
        connection.exec_command("true")
    assert is_refusal(str(died.value))
    Containers(Site(container[0]), None).remove(container[1])
    with pytest.raises(AnsibleConnectionFailure, match=r"no machine: the container \S+ is (gone|Deleting)"):
        connection.exec_command("true")


def test_a_host_without_a_container_is_told(container):
    with pytest.raises(AnsibleConnectionFailure, match="no machine: no container is leased; play playbooks/provision"):
        connect((container[0], "")).exec_command("true")
