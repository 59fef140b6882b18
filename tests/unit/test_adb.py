"""What the adb client says, and what the user reads; the texts are those of adb 29.0.6 and 36.0.0."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.edgebench.testbed.plugins.plugin_utils import adb
from ansible_collections.edgebench.testbed.plugins.plugin_utils.adb import (
    AdbError,
    Device,
    Listed,
    broken,
    listing,
    trouble,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import is_refusal

LIST = """* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
127.0.0.1:40123        device product:jasmine_sprout model:Mi_A2 device:jasmine_sprout transport_id:1
R58M123ABC             device usb:1-2 product:beyond1ltexx model:SM_G973F device:beyond1 transport_id:4
192.168.1.7:5555       offline transport_id:2
HT7A1B2C3              unauthorized usb:1-3 transport_id:5
0123456789ABCDEF       no permissions (user in plugdev group; are your udev rules wrong?); see \
[http://developer.android.com/tools/device.html] usb:1-4 transport_id:6
adb-R5-Ab1._adb-tls-connect._tcp authorizing transport_id:9

"""


def test_the_list_of_devices_is_read():
    assert listing(LIST) == [
        Listed("127.0.0.1:40123", "device", "Mi_A2"),
        Listed("R58M123ABC", "device", "SM_G973F"),
        Listed("192.168.1.7:5555", "offline", ""),
        Listed("HT7A1B2C3", "unauthorized", ""),
        Listed("0123456789ABCDEF", "no permissions", ""),
        Listed("adb-R5-Ab1._adb-tls-connect._tcp", "authorizing", ""),
    ]
    assert listing("List of devices attached\n\n") == []


@pytest.mark.parametrize(
    ("serial", "state", "said", "expected"),
    [
        pytest.param("x", "", "", "no device x; adb sees R58 (SM_G973F), HT7 (unauthorized). Connect it", id="missing"),
        pytest.param("x", "unauthorized", "", "unauthorized: x does not trust this computer's key", id="no key"),
        pytest.param("x", "no permissions", "", "no permissions: this user may not use the USB device x", id="udev"),
        pytest.param("x", "offline", "", "x is offline: it is connected and does not answer", id="offline"),
        pytest.param("x", "recovery", "", "x is not ready (recovery); unlock it, or boot Android on it", id="recovery"),
        pytest.param(
            "10.0.0.7:5555",
            "",
            "failed to connect to '10.0.0.7:5555': No route to host",
            "no answer from 10.0.0.7:5555 (No route to host); is it on",
            id="no route",
        ),
        pytest.param(
            "10.0.0.7:5555",
            "offline",
            "failed to connect to 10.0.0.7:5555",
            "no answer from 10.0.0.7:5555; is it on",
            id="no answer",
        ),
        pytest.param(
            "pixel:5555",
            "",
            "failed to resolve host: 'pixel': Name or service not known",
            "no address is known for pixel:5555; correct adb_serial",
            id="no address",
        ),
    ],
)
def test_a_device_that_cannot_be_used_is_explained(serial, state, said, expected):
    listed = [Listed("R58", "device", "SM_G973F"), Listed("HT7", "unauthorized", "")]
    message = trouble(serial, state, said, listed)
    assert message.startswith(expected)
    # What HostShell does not wait for, with the word that the connection plugin puts in front.
    assert is_refusal(f"adb: {message}") == message.startswith(("unauthorized", "no permissions", "no address"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param("", "the link to x broke in the middle of a command", id="silent adb"),
        pytest.param("rm: no such file\n", "the link to x broke in the middle of a command", id="the command's own"),
        pytest.param("error: device 'x' not found\n", "the link to x broke (device 'x' not found)", id="unplugged"),
        pytest.param("adb: device offline\n", "the link to x broke (device offline)", id="adb of 2025"),
        pytest.param("adb: error: failed to get feature set: device offline\n", "device offline)", id="offline"),
        pytest.param("error: closed\n", "x runs no shell for us (closed); it may be booting", id="closed"),
    ],
)
def test_a_link_that_broke_is_told(said, expected):
    assert expected in broken("x", said)


@pytest.fixture
def client(tmp_path):
    """Make a program that stands for the client: what it prints, on stderr too. What it is called with is in calls."""

    def make(stdout: str, stderr: str = "", code: int = 0) -> str:
        (tmp_path / "stdout").write_text(stdout)
        (tmp_path / "stderr").write_text(stderr)
        program = tmp_path / "adb"
        program.write_text(
            f'#!/bin/sh\ncd {tmp_path} && echo "$*" >>calls && cat stderr >&2 && cat stdout && exit {code}\n'
        )
        program.chmod(0o755)
        return str(program)

    return make


def test_a_server_of_another_version_is_a_warning(client):
    said = "adb server version (39) doesn't match this client (41); killing...\n* daemon started successfully\n"
    device = Device("R58M123ABC", client(LIST, said))
    device.connect()
    assert "the server was of version 39" in device.warnings[0]
    assert "is of version 41" in device.warnings[0]
    assert "adb_executable" in device.warnings[0]


def test_a_server_that_does_not_start_is_told(client):
    said = "ADB server didn't ACK\n* failed to start daemon\nerror: cannot connect to daemon\n"
    with pytest.raises(AdbError, match=r"the adb server on this machine does not start .*cannot connect to daemon"):
        Device("x", client("", said, 1)).connect()


def test_a_device_of_usb_is_waited_for(client, tmp_path, monkeypatch):
    program = client("List of devices attached\n")
    monkeypatch.setattr(adb.time, "sleep", lambda _: (tmp_path / "stdout").write_text(LIST))
    Device("R58M123ABC", program, timeout_s=60).connect()


def test_the_user_has_time_to_trust_us(client, tmp_path, monkeypatch):
    program = client(LIST)
    with pytest.raises(AdbError, match=r"^unauthorized: HT7A1B2C3 does not trust"):
        Device("HT7A1B2C3", program, timeout_s=0).connect()
    accepted = LIST.replace("HT7A1B2C3              unauthorized", "HT7A1B2C3              device")
    monkeypatch.setattr(adb.time, "sleep", lambda _: (tmp_path / "stdout").write_text(accepted))
    Device("HT7A1B2C3", program, timeout_s=60).connect()


def test_a_device_of_usb_that_is_offline_is_connected_anew(client, tmp_path, monkeypatch):
    program = client(LIST.replace("R58M123ABC             device", "R58M123ABC             offline"))
    monkeypatch.setattr(adb.time, "sleep", lambda _: (tmp_path / "stdout").write_text(LIST))
    Device("R58M123ABC", program, timeout_s=60).connect()
    assert (tmp_path / "calls").read_text().count("-s R58M123ABC reconnect\n") == 1


def test_a_server_that_hangs_is_told(tmp_path, monkeypatch):
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(adb, "CLIENT_S", 0.2)
    with pytest.raises(AdbError, match=r"does not answer within 0.2 s; end it \(adb kill-server\)"):
        Device("x", str(program)).connect()


def test_a_device_that_waiting_does_not_help_is_not_waited_for(client):
    for serial in ("0123456789ABCDEF", ""):
        with pytest.raises(AdbError, match=r"^(no permissions|no serial): "):
            Device(serial, client(LIST), timeout_s=10_000).connect()


def test_the_port_of_an_address_is_5555_unless_told():
    assert [Device(serial).serial for serial in ("10.0.0.7", "10.0.0.7:41000", "R58.1", "pixel")] == [
        "10.0.0.7:5555",
        "10.0.0.7:41000",
        "R58.1",
        "pixel",
    ]


def test_the_program_may_be_in_the_home_directory(client, monkeypatch):
    program = Path(client(LIST))
    monkeypatch.setenv("HOME", str(program.parent))
    Device("R58M123ABC", f"~/{program.name}", timeout_s=0).connect()
