"""What comes home, what is never overwritten, and what a host is given back."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
from ansible_collections.edgebench.testbed.plugins.plugin_utils import logs
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostError, HostShell

from tests.fake_connection import FakeConnection


@pytest.fixture(params=["dash", "android"])
def connection(request, tmp_path):
    return FakeConnection(tmp_path / "host", request.param)


@pytest.fixture
def there(tmp_path):
    """A campaign's directory on a host: a plan, two runs, and a third that is still being measured."""
    directory = tmp_path / "there dir"
    (directory / "runs").mkdir(parents=True)
    files = {"plan.tsv": "plan", "script.log": "begin", "runs/2.log": "two", "runs/2.meta": "m2", "runs/3.log": "half"}
    for name, text in files.items() | {("runs/1.log", "one"), ("runs/1.meta", "m1")}:
        (directory / name).write_text(text)
    return directory


def names(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


WHOLE = ["plan.tsv", "runs/1.log", "runs/1.meta", "runs/2.log", "runs/2.meta", "script.log"]


def test_whole_runs_come_home_and_only_once(there, tmp_path, connection):
    home = tmp_path / "home"
    fetched, conflicts = logs.collect(HostShell(connection, "box"), str(there), home)
    assert (sorted(fetched), conflicts) == (WHOLE, [])
    assert names(home) == WHOLE
    assert logs.collect(HostShell(connection, "box"), str(there), home) == ([], [])
    (there / "DONE").write_text("done")
    (there / "runs/3.meta").write_text("m3")
    (there / "script.log").write_text("begin end")
    fetched, _ = logs.collect(HostShell(connection, "box"), str(there), home)
    assert fetched == ["script.log", "runs/3.log", "runs/3.meta", "DONE"], "logs before sidecars, DONE last"
    assert (home / "script.log").read_text() == "begin end"


def test_what_the_host_decided_comes_home_before_the_runs_that_follow_from_it(there, tmp_path, connection):
    home = tmp_path / "home"
    (there / "iterations.tsv").write_text("chosen")
    (there / "stopping.tsv").write_text("one\n")
    (there / "idle.tsv").write_text("block 1\n")
    fetched, _ = logs.collect(HostShell(connection, "box"), str(there), home)
    assert fetched[:4] == ["plan.tsv", "iterations.tsv", "stopping.tsv", "idle.tsv"]
    (there / "stopping.tsv").write_text("one\ntwo\n")
    (there / "idle.tsv").write_text("block 1\nblock 2\n")
    (there / "iterations.tsv").write_text("chosen otherwise")
    _, conflicts = logs.collect(HostShell(connection, "box"), str(there), home)
    assert conflicts == ["iterations.tsv"]
    assert (home / "stopping.tsv").read_text() == "one\ntwo\n"
    assert (home / "idle.tsv").read_text() == "block 1\nblock 2\n"


def test_a_host_that_lost_all_is_given_back_what_it_had_decided_and_else_keeps_its_own(there, tmp_path, connection):
    home = tmp_path / "home"
    (there / "iterations.tsv").write_text("chosen")
    (there / "stopping.tsv").write_text("one\n")
    (there / "idle.tsv").write_text("block 1\n")
    logs.collect(HostShell(connection, "box"), str(there), home)
    for new, stopping in (("empty", None), ("younger", "one\ntwo\n")):
        (tmp_path / new).mkdir()
        if stopping:
            (tmp_path / new / "stopping.tsv").write_text(stopping)
        assert logs.restore(HostShell(connection, "box"), str(tmp_path / new), home, set()) == ["1", "2"]
        assert (tmp_path / new / "iterations.tsv").read_text() == "chosen"
        assert (tmp_path / new / "idle.tsv").read_text() == "block 1\n"
        assert (tmp_path / new / "stopping.tsv").read_text() == (stopping or "one\n")


def test_a_check_writes_nothing(there, tmp_path, connection):
    fetched, _ = logs.collect(HostShell(connection, "box"), str(there), tmp_path / "home", check=True)
    assert sorted(fetched) == WHOLE
    assert not (tmp_path / "home").exists()


def test_nothing_there_is_no_error(tmp_path, connection):
    assert logs.collect(HostShell(connection, "box"), str(tmp_path / "nowhere"), tmp_path / "home") == ([], [])


def test_what_differs_stays_as_it_is_and_the_rest_comes_home(there, tmp_path, connection):
    home = tmp_path / "home"
    (home / "runs").mkdir(parents=True)
    (home / "runs/2.log").write_text("somebody's notes")
    _, conflicts = logs.collect(HostShell(connection, "box"), str(there), home)
    assert conflicts == ["runs/2.log"]
    assert (home / "runs/2.log").read_text() == "somebody's notes"
    assert names(home) == WHOLE


def test_more_files_than_fit_one_exchange(there, tmp_path, monkeypatch, connection):
    monkeypatch.setattr(logs, "BATCH", 4)
    logs.collect(HostShell(connection, "box"), str(there), tmp_path / "home")
    assert names(tmp_path / "home") == WHOLE


@pytest.fixture
def packed():
    """An archive of two logs."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("one", "two"):
            member = tarfile.TarInfo(f"runs/{name}.log")
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    return archive.getvalue()


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_damaged_file_stays_away_and_the_others_come_home(packed, tmp_path):
    files = {"runs/one.log": sha256("one"), "runs/two.log": sha256("something else")}
    with pytest.raises(HostError, match=r"runs/two\.log came home other than it is on the host \(1 such"):
        logs.unpack(packed, tmp_path, files)
    assert names(tmp_path) == ["runs/one.log"]


def test_a_cut_archive_is_said_so(packed, tmp_path):
    with pytest.raises(HostError, match=r"damaged|came home other"):
        logs.unpack(packed[:700], tmp_path, {"runs/two.log": sha256("two")})


def test_a_host_that_lost_runs_is_given_back_what_is_home(there, tmp_path, connection):
    home = tmp_path / "home"
    logs.collect(HostShell(connection, "box"), str(there), home)
    (there / "runs/1.meta").unlink()
    (there / "runs/1.log").write_text("cut sho")  # a log without a sidecar is not a run
    assert logs.restore(HostShell(connection, "box"), str(there), home, {"2"}) == ["1"]
    assert (there / "runs/1.log").read_text() == "one"
    assert (there / "runs/1.meta").read_text() == "m1"
    assert logs.collect(HostShell(connection, "box"), str(there), home) == ([], [])
    assert logs.restore(HostShell(connection, "box"), str(there), home, {"1", "2"}) == []
