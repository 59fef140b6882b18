"""The connection plugin `adb`: commands and files on test phones through the real client, past what it gets wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.edgebench.testbed.plugins.plugin_utils import host_shell
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import (
    HostError,
    HostShell,
    explain,
    is_refusal,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import Parcel, deliver, missing

from tests.labs.adblab import DATA, AdbLab
from tests.labs.common import free_port, wait_for
from tests.labs.skipping import started
from tests.playing import play

EVERY_BYTE = bytes(range(256))
ODD_NAME = f'/{DATA}/a b\'c $HOME "d" é;rm.bin'


@pytest.fixture(scope="module")
def lab():
    """Two phones, the second of them old."""
    with started(AdbLab(2, old=[1], data_mb=32)) as lab:
        yield lab


@pytest.fixture(autouse=True)
def environment(lab, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # locks lie there
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def as_new(lab):
    yield
    for i in range(lab.count):
        lab.heal(i)
        lab.authorize(i, True)
        lab.make_room(i)
    # A command that was cut off leaves its .err.
    left = [path.name for i in range(lab.count) for path in (lab.root(i) / DATA).glob(".edgebench-*[!r]")]
    for i in range(lab.count):
        for path in (lab.root(i) / DATA).glob("*"):
            path.is_file() and path.unlink()
    assert not left, "what commands read is removed from the phone"


def connect(serial, **options):
    connection = connection_loader.get("edgebench.testbed.adb", PlayContext())
    connection.set_options(direct={"serial": serial, "timeout_s": 20, "silence_s": 1} | options)
    return connection


@pytest.fixture(params=[0, 1], ids=["shell v2", "old"])
def connection(lab, request):
    return connect(lab.serial(request.param))


@pytest.fixture
def phone(lab):
    return connect(lab.serial(0))


def refused(connection, command="true"):
    """What is said when a command cannot be run."""
    with pytest.raises(AnsibleConnectionFailure) as failure:
        connection.exec_command(command)
    assert "\n" not in str(failure.value)
    assert explain(str(failure.value)) == str(failure.value), "HostShell leaves the words as they are"
    return str(failure.value)


def test_a_command_has_its_exit_code_its_streams_and_its_bytes(connection):
    assert connection.exec_command("echo out; echo err >&2; exit 3") == (3, b"out\n", b"err\n")
    assert connection.exec_command("true") == (0, b"", b"")
    assert connection.exec_command("printf 'no newline'; printf x >&2; false") == (1, b"no newline", b"x")
    assert connection.exec_command("cat", in_data=EVERY_BYTE) == (0, EVERY_BYTE, b"")
    words = 'it\'s "quoted" $HOME `id` \\ ; é'
    assert connection.exec_command(f"printf %s {shlex.quote(words)}") == (0, words.encode(), b"")
    assert connection.exec_command("cat") == (0, b"", b""), "nothing is there to read"


def test_every_exit_code_comes_through(phone):
    codes = [*range(0, 256, 51), 1, 2, 126, 127, 128, 129, 137, 254]
    assert [phone.exec_command(f"exit {code}")[0] for code in codes] == codes
    assert phone.exec_command("kill -9 $$")[0] == 137
    assert phone.exec_command("if")[0] not in (0, 255), "a syntax error is the command's own"


def test_a_megabyte_comes_through_both_ways(connection):
    data = os.urandom(2**20)
    assert connection.exec_command("cat; wc -c </dev/null >&2", in_data=data) == (0, data, b"0\n")


def test_a_command_longer_than_adb_takes_comes_through(connection):
    words = "'" * 50_000
    assert connection.exec_command(f"printf %s {shlex.quote(words)} | wc -c; exit 9") == (9, b"50000\n", b"")


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


def test_a_file_that_cannot_be_copied_is_named(lab, phone, tmp_path):
    small, big = tmp_path / "small", tmp_path / "big"
    small.write_bytes(b"x")
    big.write_bytes(os.urandom(3 * 2**20))
    with pytest.raises(AnsibleError, match=r"cannot fetch /system/none: .*No such file"):
        phone.fetch_file("/system/none", str(tmp_path / "none"))
    with pytest.raises(AnsibleError, match="cannot fetch /system: it is a directory"):
        phone.fetch_file("/system", str(tmp_path / "none"))
    assert not list(tmp_path.glob("none*"))
    with pytest.raises(AnsibleError, match=r"cannot write /system/none: .*Permission denied"):
        phone.put_file(str(small), "/system/none")
    phone.exec_command(f"mkdir /{DATA}/directory")
    with pytest.raises(AnsibleError, match=f"cannot write /{DATA}/directory: it is a directory"):
        phone.put_file(str(small), f"/{DATA}/directory")
    phone.exec_command(f"rmdir /{DATA}/directory")
    lab.fill(0)
    with pytest.raises(AnsibleError, match=f"cannot write /{DATA}/big: .*No space left"):
        phone.put_file(str(big), f"/{DATA}/big")
    assert not list((lab.root(0) / DATA).glob("big*"))
    shell, parcel = HostShell(phone, "phone0", patience_s=60), Parcel(f"/{DATA}/m.tflite", "0" * 64, src=big)
    with pytest.raises(HostError, match=r"cannot write \S+/m.tflite \(3.1 MB\): .*No space left"):
        deliver(shell, [(parcel, 0)])


def test_what_a_killed_play_left_is_removed_after_a_day(lab, phone):
    directory = lab.root(0) / DATA
    old, young, other = (directory / name for name in (".edgebench-scratch-1.in", ".edgebench-scratch-2.err", "x.in"))
    for path in (old, young, other):
        path.touch()
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    phone.exec_command("cat", in_data=bytes(100_000))
    assert [path.exists() for path in (old, young, other)] == [False, True, True]


def test_a_file_that_arrives_otherwise_is_noticed(lab, phone, tmp_path):
    """As on a device that corrupts: there, sha256sum is asked for another file than was sent."""
    sent = tmp_path / "sent"
    sent.write_bytes(b"as it was")
    wrong = hashlib.sha256(b"other").hexdigest()
    tool = lab.root(0) / "system/bin/sha256sum"
    tool.unlink()
    try:
        tool.write_text(f"#!/system/bin/sh\necho '{wrong}  -'\n")
        tool.chmod(0o755)
        with pytest.raises(AnsibleError, match=f"not arrive whole: its sha256 is {wrong} on the device"):
            phone.put_file(str(sent), f"/{DATA}/file")
        with pytest.raises(AnsibleError, match=f"not come whole: its sha256 is {wrong} on the device"):
            phone.fetch_file("/system/build.prop", str(tmp_path / "fetched"))
        assert not (tmp_path / "fetched").exists()
        tool.unlink()
        with pytest.raises(AnsibleError, match="has no sha256sum"):
            phone.put_file(str(sent), f"/{DATA}/file")
    finally:
        tool.unlink(missing_ok=True)
        tool.symlink_to("toybox")
    assert not list((lab.root(0) / DATA).glob("file*"))


def begun(lab, i, name):
    """Wait until a command on a phone made a file."""
    wait_for(name, 10, lambda: (lab.root(i) / DATA / name).exists())


@pytest.mark.parametrize(
    ("i", "how", "said"),
    [
        pytest.param(0, "reset", "the link to {serial} broke in the middle of a command", id="reset"),
        pytest.param(1, "reset", "the link to {serial} broke in the middle of a command", id="reset, old"),
        pytest.param(0, "silent", "{serial} gave no sign of life for 3 s", id="silent"),
    ],
)
def test_a_link_that_is_cut_in_mid_command_is_no_success(lab, i, how, said):
    connection = connect(lab.serial(i), timeout_s=2)
    with ThreadPoolExecutor(1) as pool:
        saying = pool.submit(refused, connection, f"echo begin; : >/{DATA}/begun; sleep 60")
        begun(lab, i, "begun")
        lab.cut(i, how)
        assert saying.result().startswith(f"adb: {said.format(serial=lab.serial(i))}; see to its cable")
    connection.reset()
    message = refused(connection)
    assert f"no answer from {lab.serial(i)} (" in message
    assert not is_refusal(message), "it may come back"
    lab.heal(i)
    assert connect(lab.serial(i)).exec_command("echo back") == (0, b"back\n", b"")


def test_a_link_that_is_dead_is_noticed_when_a_file_is_copied(lab, tmp_path):
    connection = connect(lab.serial(0), timeout_s=2)
    connection.exec_command("true")
    lab.cut(0, "silent")
    (tmp_path / "file").touch()
    with pytest.raises(AnsibleConnectionFailure, match="gave no sign of life for 3 s"):
        connection.put_file(str(tmp_path / "file"), f"/{DATA}/file")


def test_a_silent_command_on_a_phone_that_answers_goes_on(phone):
    assert phone.exec_command("sleep 2; echo done") == (0, b"done\n", b"")


def test_a_phone_that_reboots_is_out_of_reach_until_it_is_back(lab, phone, monkeypatch):
    monkeypatch.setattr(host_shell, "RETRY_S", 0.2)
    shell = HostShell(phone, "phone0", patience_s=60)
    runs = f"echo run >>/{DATA}/runs; : >/{DATA}/begun"
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(shell.run, f"{runs}; [ -f /{DATA}/rebooted ] || sleep 60; cat /{DATA}/runs")
        begun(lab, 0, "begun")
        (lab.root(0) / DATA / "rebooted").touch()
        lab.reboot(0)
        assert reply.result().text == "run\nrun\n"


def test_a_phone_that_does_not_trust_us_says_what_to_do(lab):
    phone = connect(lab.serial(0), timeout_s=1)
    lab.authorize(0, False)
    lab.adb("disconnect", lab.serial(0))
    message = refused(phone)
    assert message.startswith(f"adb: unauthorized: {lab.serial(0)} does not trust this computer's key; unlock it")
    assert is_refusal(message)
    lab.authorize(0, True)
    phone.reset()
    assert phone.exec_command("echo trusted") == (0, b"trusted\n", b"")


def test_devices_that_are_not_there_are_named_with_those_that_are(lab, phone):
    phone.exec_command("true")
    seen = f"{lab.serial(0)} (Mi_A2)"
    message = refused(connect("HT7A1B2C3", timeout_s=1))
    assert message.startswith("adb: no device HT7A1B2C3; adb sees ")
    assert seen in message
    assert "USB debugging" in message
    assert not is_refusal(message), "a cable may be plugged in again"

    message = refused(connect(f"127.0.0.1:{free_port()}"))
    assert "(Connection refused)" in message
    assert "adb tcpip 5555" in message
    assert not is_refusal(message), "it may be booting"


def test_what_no_waiting_changes_is_a_refusal(lab, phone):
    phone.exec_command("true")
    for connection, said in [
        (connect(""), "no serial: set the host's adb_serial (or ansible_host); adb sees 127."),
        (connect("nonesuch.invalid:5555"), "no address is known for nonesuch.invalid:5555"),
        (
            connect("x", executable="/usr/bin/nonesuch"),
            "no program /usr/bin/nonesuch (No such file or directory); install adb",
        ),
    ]:
        message = refused(connection)
        assert message.startswith(f"adb: {said}")
        assert is_refusal(message)


def test_several_that_find_no_server_start_one(lab, monkeypatch):
    """Clients that all start a server end each other's, if they are let."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    try:
        connections = [connect(lab.serial(n % 2)) for n in range(12)]
        with ThreadPoolExecutor(12) as pool:
            replies = list(pool.map(lambda n: connections[n].exec_command(f"echo {n}"), range(12)))
        assert replies == [(0, f"{n}\n".encode(), b"") for n in range(12)]
    finally:
        subprocess.run(["adb", "kill-server"], check=True)


def test_a_large_file_is_resumed_after_a_cut_and_verified(lab, phone, monkeypatch):
    monkeypatch.setattr(host_shell, "RETRY_S", 0.2)
    data = os.urandom(7_000_000)
    parcel = Parcel(f"/{DATA}/big.bin", hashlib.sha256(data).hexdigest(), "0755", content=data)
    shell = HostShell(phone, "phone0", patience_s=60)
    whole, sent = phone.exec_command, []

    def cut_third(command, in_data, sudoable):
        sent.append(len(in_data or b""))
        if len(sent) == 3:
            threading.Thread(target=lambda: (lab.cut(0, "reset"), time.sleep(0.5), lab.heal(0))).start()
        return whole(command, in_data=in_data, sudoable=sudoable)

    monkeypatch.setattr(phone, "exec_command", cut_third)
    deliver(shell, missing(shell, [parcel]))
    assert (lab.root(0) / DATA / "big.bin").read_bytes() == data
    assert (lab.root(0) / DATA / "big.bin").stat().st_mode & 0o777 == 0o755
    assert missing(shell, [parcel]) == []


def test_raw_and_the_kits_own_actions_play_on_phones_at_once(lab, tmp_path):
    model = tmp_path / "model"
    model.write_bytes(os.urandom(200_000))
    tasks = [
        {"ansible.builtin.raw": "echo it\\'s $((6 * 7)); exit 5", "register": "said", "failed_when": "said.rc != 5"},
        {"ansible.builtin.assert": {"that": 'said.stdout == "it\'s 42\\n"'}},
        {"edgebench.testbed.install_files": {"files": [{"src": str(model), "dest": f"/{DATA}/model"}]}},
    ]
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    inventory = lab.inventory()
    hosts = inventory["all"]["hosts"]
    hosts["phone0"]["ansible_host"] = "elsewhere"
    hosts["phone1"]["ansible_host"] = hosts["phone1"].pop("adb_serial")
    played = play(playbook, inventory)
    assert played.rc == 0, played.stdout
    for i in range(2):
        assert (lab.root(i) / DATA / "model").read_bytes() == model.read_bytes()
