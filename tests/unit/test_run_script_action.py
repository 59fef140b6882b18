"""What a person who watches reads."""

from __future__ import annotations

import pytest
from ansible_collections.edgebench.testbed.plugins.action.run_script import duration, parse_status, progress_line
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostError

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
        ({"finished": "70", "is_done": "yes", "alive": "no"}, "70 of 70 runs, done"),
        ({"alive": "no", "state": "stopped"}, "12 of 70 runs, not measuring now (stopped)"),
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
