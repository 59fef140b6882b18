"""Shell commands on a host: what comes back, whatever the login shell says, and what is tried again."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.edgebench.testbed.plugins.plugin_utils import host_shell
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostError, HostShell, explain

from tests.fake_connection import SHELLS, FakeConnection


@pytest.fixture(params=SHELLS)
def connection(tmp_path, request):
    return FakeConnection(tmp_path / "bin", request.param)


@pytest.fixture
def shell(connection, monkeypatch):
    monkeypatch.setattr(host_shell, "RETRY_S", 0)
    return HostShell(connection, "pi", patience_s=60)


def test_words_arrive_as_they_are(shell):
    words = ["", "two words", "it's", '"quoted"', "$HOME `id`", "*", "back\\slash", "-n", "ünï", "a\nb"]
    reply = shell.run('for word; do printf "%s|" "$word"; done', *words)
    assert reply.text == "".join(f"{word}|" for word in words)


def test_output_is_told_apart_from_a_greeting(shell, connection):
    connection.greeting = b"Welcome to pi\r\n==beg"
    reply = shell.run("cat; printf 'no newline'; echo trouble >&2; exit 3", stdin=b"\0bytes\xff\n")
    assert (reply.rc, reply.stdout, reply.stderr) == (3, b"\0bytes\xff\nno newline", "trouble\n")
    assert reply.said == "trouble"


def test_no_exit_code_is_taken_for_that_of_ssh(shell):
    assert shell.run("exit 255").rc == 255
    with pytest.raises(HostError, match="cannot do it: exit code 255"):
        shell.check("cannot do it", "exit 255")


def test_what_a_script_does_not_read_is_not_there_either(shell):
    assert shell.run("cat").text == ""


def test_files_are_the_users_own(shell, tmp_path):
    shell.run('mkdir "$1" && : >"$1/file"', str(tmp_path / "new"))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new/file").stat().st_mode & 0o777 == 0o600


def test_a_lost_connection_is_tried_again_until_patience_ends(shell, connection):
    def lost(number, *_):
        if number <= 2:
            raise AnsibleConnectionFailure("ssh: connect to host pi port 22: Connection refused")

    connection.trouble = lost
    assert shell.run("echo here").text.strip() == "here"
    assert connection.resets == 2

    connection.trouble = lambda *_: lost(1)
    shell.patience_s = 0
    with pytest.raises(AnsibleConnectionFailure, match=r"no answer \(Connection refused\)"):
        shell.run("echo here")


def test_output_without_its_end_counts_as_a_lost_connection(shell, connection):
    whole, cut = connection.exec_command, []

    def cut_once(*args, **kwargs):
        rc, stdout, stderr = whole(*args, **kwargs)
        if cut:
            return rc, stdout, stderr
        cut.append(True)
        return 0, stdout[:-8], stderr

    connection.exec_command = cut_once
    assert shell.run("echo here").text.strip() == "here"
    assert len(connection.commands) == 2


def test_a_refusal_is_not_tried_again(shell, connection):
    def refuse(*_):
        raise AnsibleConnectionFailure("me@pi: Permission denied (publickey,password).")

    connection.trouble = refuse
    with pytest.raises(AnsibleConnectionFailure, match="me@pi is refused"):
        shell.run("echo here")
    assert len(connection.commands) == 1


def test_while_it_waits_it_says_why_and_in_the_end_what_to_do(shell, connection, monkeypatch):
    said = []
    monkeypatch.setattr(shell, "say", said.append)
    told = "adb: no answer from 10.0.0.7:5555 (Connection refused); is it on?"

    def lost(number, *_):
        shell.patience_s = 60 if number == 1 else 0
        raise AnsibleConnectionFailure(told)

    connection.trouble = lost
    with pytest.raises(AnsibleConnectionFailure) as failure:
        shell.run("echo here")
    assert said == [f"out of reach for 0 s, trying again: {told.removesuffix('; is it on?')}"]
    assert str(failure.value) == told


def test_what_the_connection_cannot_do_on_the_host_is_the_hosts_error(shell, connection):
    def full(*_):
        raise AnsibleError("cannot write /data/x: No space left on device")

    connection.trouble = full
    with pytest.raises(HostError, match="cannot write /data/x: No space left on device"):
        shell.run("cat", stdin=b"x")
    assert len(connection.commands) == 1


def test_a_host_without_sh_is_named_so(tmp_path):
    connection = FakeConnection(tmp_path / "bin")
    connection.exec_command = lambda *_, **__: (1, b"This account is currently not available.\n", b"")
    with pytest.raises(HostError, match="the host runs no sh for us: This account is currently not available"):
        HostShell(connection, "pi").run("echo")


CHANGED = """@@@@@@@@@@@
@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @
@@@@@@@@@@@
Add correct host key in /home/me/known_hosts to get rid of this message.
Offending ED25519 key in /home/me/known_hosts:3
Host key verification failed."""


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param(CHANGED, "the host key has CHANGED: /home/me/known_hosts line 3", id="changed key"),
        pytest.param(
            "No ED25519 host key is known for 10.0.0.7 and you have requested strict checking.",
            "the ED25519 host key of 10.0.0.7 is not known",
            id="unknown key",
        ),
        pytest.param(
            "ssh: Could not resolve hostname pi9: Name or service not known", "for the name pi9", id="no name"
        ),
        pytest.param("ssh: connect to host x port 22: No route to host", "no answer (No route to host)", id="silence"),
        pytest.param("something\n  else", "something else", id="anything"),
    ],
)
def test_what_ssh_says_is_explained_in_one_line(said, shown):
    assert shown in explain(said)
    assert "\n" not in explain(said)
