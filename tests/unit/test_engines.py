"""Reading many logs: the same dataset whatever the engine, and an engine that fails says so in a line."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from analysis import campaign, engines, layout, report
from analysis.errors import AnalysisError
from analysis.layout import Found
from benchmarks.synthetic import write_campaign

DATA = Path(__file__).resolve().parent.parent / "data"
NOTHING = Found([], [], [])


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield f"{engines.DASK}:{cluster.scheduler_address}"


@pytest.fixture(scope="module")
def logs_dir(tmp_path_factory):
    """Campaigns with everything that can be wrong with logs, and one of 12 hosts."""
    root = tmp_path_factory.mktemp("logs")
    write_campaign(root, hosts=12, repetitions=1, runner="litert")
    shutil.copytree(DATA / "campaigns" / "logs", root / "demo")
    shutil.copytree(DATA / "logs", root / "loose")
    return root


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(campaign, "_CHUNK_LOGS", 20)


def read(root: Path, engine: str) -> campaign.Dataset:
    with layout.opened([root]) as found, engines.opened(engine, found) as spread:
        return campaign.assemble(found, str(root), spread)


def same(one: campaign.Dataset, other: campaign.Dataset) -> None:
    assert_frame_equal(one.runs, other.runs)
    for name in ("campaigns", "hosts", "plans", "problems", "unfinished", "notes", "leases"):
        assert repr(getattr(one, name)) == repr(getattr(other, name)), name  # repr, since a NaN is not itself


def test_every_engine_gives_the_same_dataset(logs_dir, cluster, small_chunks):
    serial = read(logs_dir, engines.SERIAL)
    assert set(serial.runs["status"]) == {"ok", "invalid", "failed"}
    assert len(serial.runs) > 200
    assert len(serial.problems) == 3
    for engine in (engines.PROCESSES, cluster):
        same(serial, read(logs_dir, engine))


def test_a_cluster_for_this_reading_alone(logs_dir, monkeypatch):
    monkeypatch.setattr(engines, "cpus", lambda: 1)
    same(read(logs_dir / "demo", engines.SERIAL), read(logs_dir / "demo", engines.DASK))


def test_chunks_change_nothing(logs_dir, monkeypatch):
    whole = read(logs_dir, engines.SERIAL)
    monkeypatch.setattr(campaign, "_CHUNK_LOGS", 1)
    same(whole, read(logs_dir, engines.SERIAL))


def test_few_logs_start_no_process(monkeypatch):
    log = layout.LogFile("/x/", "", "a.log", False)
    host = layout.HostLogs("c", "h", (Path("/x"),), ("x",), False, False, (log,) * engines.MANY_LOGS)
    monkeypatch.setattr(engines, "cpus", lambda: 2)
    assert engines.fitting(Found([host], [], [])) == engines.PROCESSES
    assert engines.fitting(NOTHING) == engines.SERIAL
    monkeypatch.setattr(engines, "cpus", lambda: 1)
    assert engines.fitting(Found([host], [], [])) == engines.SERIAL


def end(_):
    os._exit(9)


def test_a_process_that_is_killed():
    with (
        pytest.raises(AnalysisError, match="ended from outside, most often because memory ran out"),
        engines.opened(engines.PROCESSES, NOTHING) as spread,
    ):
        list(spread(end, [1]))


def test_an_engine_that_there_is_not(capsys):
    assert report.main([str(DATA / "campaigns" / "logs"), "--engine", "spark"]) == 2
    assert "error: --engine 'spark': not known; known: serial, processes, dask, dask:ADDRESS" in capsys.readouterr().err


def test_dask_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(AnalysisError, match=r"Dask is not installed; pip install -r requirements-dask\.txt"),
        engines.opened(engines.DASK, NOTHING),
    ):
        pass


def test_a_scheduler_that_is_not_there(monkeypatch):
    monkeypatch.setattr(engines, "_CONNECT_S", 1)
    with (
        pytest.raises(AnalysisError, match="no Dask scheduler there"),
        engines.opened("dask:tcp://127.0.0.1:1", NOTHING),
    ):
        pass


def test_workers_that_do_not_see_the_logs(cluster, monkeypatch):
    host = layout.HostLogs("c", "h", (), (), False, False, (layout.LogFile("/nowhere/", "", "a.log", False),))
    with (
        pytest.raises(AnalysisError, match=r"the worker tcp://\S+ sees no /nowhere/a\.log; logs must lie, unpacked"),
        engines.opened(cluster, Found([host], [], [])),
    ):
        pass
