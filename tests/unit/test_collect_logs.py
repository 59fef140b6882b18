"""What comes home, and what is never overwritten."""

from __future__ import annotations

import hashlib
import tarfile

import pytest
from ansible_collections.edgebench.testbed.plugins.action import collect_logs
from ansible_collections.edgebench.testbed.plugins.action.run_script import duration, progress_line

GROWING = frozenset(["script.log"])


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_what_is_missing_is_wanted_and_what_differs_is_a_conflict(tmp_path):
    (tmp_path / "runs").mkdir()
    for name, text in {"runs/1.log": "same", "runs/2.log": "mine", "script.log": "begin"}.items():
        (tmp_path / name).write_text(text)
    there = {"runs/1.log": "same", "runs/2.log": "theirs", "runs/3.log": "new", "script.log": "begin end"}
    there = {name: sha256(text) for name, text in there.items()}
    assert collect_logs.compare(there, tmp_path, GROWING) == (["runs/3.log", "script.log"], ["runs/2.log"])


@pytest.fixture
def archive(tmp_path):
    """An archive of two logs, and an empty directory to unpack it in."""
    path = tmp_path / "fetch.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("one.log", "two.log"):
            (tmp_path / name).write_text(name)
            tar.add(tmp_path / name, f"runs/{name}")
    (tmp_path / "scratch").mkdir()
    return path


def test_a_damaged_file_stays_away_and_the_others_come_home(archive, tmp_path):
    files = {"runs/one.log": sha256("one.log"), "runs/two.log": sha256("something else")}
    with pytest.raises(
        collect_logs.CollectError, match=r"runs/two\.log came home other than it is on the host \(1 such"
    ):
        collect_logs.unpack(archive, tmp_path / "scratch", tmp_path / "home", files, GROWING)
    assert [path.name for path in (tmp_path / "home/runs").iterdir()] == ["one.log"]


def test_a_cut_archive_is_said_so(archive, tmp_path):
    archive.write_bytes(archive.read_bytes()[:700])
    with pytest.raises(collect_logs.CollectError, match=r"damaged|came home other"):
        collect_logs.unpack(
            archive, tmp_path / "scratch", tmp_path / "home", {"runs/two.log": sha256("two.log")}, GROWING
        )


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ({"finished": "0", "total": "70", "left_s": "-", "run": "-"}, "0 of 70 runs"),
        (
            {"finished": "12", "total": "70", "failed": "1", "left_s": "185", "run": "0013_x", "state": "running"},
            "12 of 70 runs, 1 failed, about 3 min left, now 0013_x",
        ),
        (
            {
                "finished": "1",
                "total": "2",
                "left_s": "30",
                "run": "0002_x",
                "state": "waiting",
                "message": "71 C, above 70 C",
            },
            "1 of 2 runs, about 30 s left, waiting for the machine: 71 C, above 70 C",
        ),
        ({"finished": "2", "total": "2", "is_done": "yes", "left_s": "0", "run": "-"}, "2 of 2 runs, done"),
    ],
)
def test_progress_as_a_person_reads_it(status, line):
    assert progress_line(status) == line


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5400, "1 h 30 min"), (7205, "2 h 0 min")]
)
def test_duration(seconds, words):
    assert duration(seconds) == words
