"""What a person who watches reads."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from ansible_collections.edgebench.testbed.plugins.action import run_script
from ansible_collections.edgebench.testbed.plugins.action.run_script import (
    ActionModule,
    duration,
    parse_status,
    progress_line,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostError, HostShell

from tests.fake_connection import SHELLS, FakeConnection
from tests.run_host import Host

RUNNING = {"alive": "yes", "is_done": "no", "finished": "12", "total": "70", "left_s": "185", "run": "0013_x"}


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ({"finished": "0", "left_s": "-", "run": "-"}, "0 of 70 runs"),
        ({"failed": "1", "state": "running"}, "12 of 70 runs, 1 failed, about 3 min left, now 0013_x"),
        (
            {"invalid": "2", "repeated": "1", "left_s": "30"},
            "12 of 70 runs, 2 invalid, 1 repeated, about 30 s left, now 0013_x",
        ),
        (
            {"state": "waiting", "message": "71 C, above 70 C"},
            "12 of 70 runs, about 3 min left, waiting for the machine: 71 C, above 70 C",
        ),
        ({"at_most": "yes"}, "12 of at most 70 runs, about 3 min left at most, now 0013_x"),
        ({"message": "no awk here"}, "12 of 70 runs, about 3 min left, now 0013_x, no awk here"),
        ({"finished": "70", "is_done": "yes", "alive": "no"}, "70 of 70 runs, done"),
        ({"alive": "no", "state": "stopped"}, "12 of 70 runs, not measuring now (stopped)"),
        (
            {"alive": "no", "state": "paused", "message": "the machine goes back at 18:55 UTC"},
            "12 of 70 runs, paused: the machine goes back at 18:55 UTC",
        ),
    ],
)
def test_progress_as_a_person_reads_it(status, line):
    assert progress_line(RUNNING | status) == line


def test_a_host_that_has_not_begun_says_so():
    assert progress_line(parse_status("is_done=no\nalive=no\n")) == "not begun"


def test_an_answer_that_cannot_be_read_is_shown():
    with pytest.raises(HostError, match=r"no answer that can be read: sh: 0: cannot open"):
        parse_status("sh: 0: cannot open ./run_benchmark.sh")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5400, "1 h 30 min"), (7205, "2 h 0 min")]
)
def test_duration(seconds, words):
    assert duration(seconds) == words


@pytest.fixture(params=SHELLS)
def host(request, tmp_path) -> Iterator[Host]:
    host = Host(request.param, tmp_path / "there")
    yield host
    host.clean_up()


def watch(host: Host, connection: FakeConnection) -> dict[str, object]:
    """Do what the task does."""
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(check_mode=False)
    args = {"directory": str(host.run_dir), "home": str(host.run_dir.parent / "home"), "only_look": False}
    args |= {"poll_s": 0, "show_every_s": 0, "fetch_every_s": 0}
    return action.act(args, HostShell(connection, "box"), {})


def starts(connection: FakeConnection) -> int:
    return sum(command.endswith(" start </dev/null") for command in connection.commands)


def test_a_script_that_paused_is_not_started_again_until_there_is_time(host):
    connection = FakeConnection(host.run_dir.parent / "sh", host.shell_name)
    host.prepare(["ok"], repetitions=3)
    host.during("ok", 'echo "1 2026-11-26 18:55 UTC" >"$run_dir/until"')
    expected = (
        "the machine goes back at 2026-11-26 18:55 UTC and the next run would not end in time: 1 of 3 runs are "
        r"measured and come home; play again with a later lease \(benchmark_run_until\) to go on from there"
    )
    for plays in (1, 2):
        with pytest.raises(HostError, match=expected):
            watch(host, connection)
        assert starts(connection) == plays

    host.during("ok", ":")
    (host.run_dir / "until").unlink()
    assert watch(host, connection)["finished"] == 3


def test_a_script_that_ends_again_and_again_is_given_up(host, monkeypatch):
    monkeypatch.setattr(run_script, "START_GRACE_S", 1)  # it may end before anybody sees it
    connection = FakeConnection(host.run_dir.parent / "sh", host.shell_name)

    def no_more_than_ten(*_) -> None:
        assert starts(connection) <= 10

    connection.trouble = no_more_than_ten
    host.prepare(["ok", "deadly"])
    host.during("deadly", "kill -KILL $PPID")
    with pytest.raises(HostError, match="the script on the host ended 4 times before it was done; play again"):
        watch(host, connection)
