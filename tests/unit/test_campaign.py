"""Which campaign is meant, and what campaign.json keeps."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.edgebench.testbed.plugins.module_utils import campaign
from ansible_collections.edgebench.testbed.plugins.module_utils.controller import Controller, start_time

from tests.playing import ROOT

NOW = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)
SETTINGS = {"models": ["MobileNet"], "threads": [1]}
RECORD = {
    "models": [{"model": "MobileNet", "sha256": "ab"}],
    "runners": {"a": {"litert": {"version": "2"}}},
    "versions": {},
}


def ensure(logs_dir, now=NOW, check_mode=False, **changes):
    defaults = {"name": "", "hosts": ["a", "b"], "settings": SETTINGS, "seed": "", "resume_days": 7, "record": None}
    params = {"logs_dir": str(logs_dir), "kit_dir": str(logs_dir), **defaults, **changes}
    return campaign.ensure(params, now, check_mode)


def test_a_new_campaign_is_named_by_date_and_time(tmp_path):
    result = ensure(tmp_path)
    assert result["name"] == "2026-11-20T13-30-00Z"
    assert not result["resumed"]
    assert list(tmp_path.iterdir()) == [], "asking for the name writes nothing"


def test_an_unfinished_campaign_goes_on_until_every_host_is_done(tmp_path):
    first = ensure(tmp_path, record=RECORD)
    assert first["changed"]
    later = NOW + timedelta(hours=1)
    again = ensure(tmp_path, now=later)
    assert (again["name"], again["seed"], again["resumed"]) == (first["name"], first["seed"], True)
    for host in ("a", "b"):
        (tmp_path / first["name"] / host).mkdir()
        (tmp_path / first["name"] / host / "DONE").touch()
    assert ensure(tmp_path, now=later)["name"] == "2026-11-20T14-30-00Z"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"settings": SETTINGS | {"threads": [4]}}, id="other settings"),
        pytest.param({"hosts": ["a"]}, id="other hosts"),
        pytest.param({"now": NOW + timedelta(days=8)}, id="too old"),
    ],
)
def test_what_is_not_the_same_campaign_is_not_resumed(tmp_path, changes):
    ensure(tmp_path, record=RECORD)
    assert not ensure(tmp_path, **{"now": NOW + timedelta(hours=1), **changes})["resumed"]


@pytest.mark.parametrize("name", ["", "x"])
def test_a_campaign_of_an_earlier_kit_goes_on(tmp_path, name):
    """It has no batch sizes and input sizes, notes less of its models, and nothing of images held out."""
    first = ensure(tmp_path, name=name, record=RECORD)
    written = (tmp_path / first["name"] / "campaign.json").read_bytes()
    settings = SETTINGS | {"batch_sizes": [1], "input_sizes": []}
    known = {"format": "tflite", "macs": 568740352, "activation_mb": None}
    images = {"model": "MobileNet", "variant": "held_out", "sha256": "cd", "format": "npz"}
    record = RECORD | {"models": [images, RECORD["models"][0] | known]}
    later = NOW + timedelta(hours=1)
    again = ensure(tmp_path, name=name, now=later, settings=settings, record=record)
    assert (again["name"], again["resumed"], again["changed"]) == (first["name"], True, False)
    assert (tmp_path / first["name"] / "campaign.json").read_bytes() == written
    other = settings | {"batch_sizes": [1, 8]}
    if not name:
        assert not ensure(tmp_path, now=later, settings=other)["resumed"]
    else:
        with pytest.raises(
            campaign.CampaignError, match=r"begun otherwise: settings\.batch_sizes was \[1\], is \[1, 8\]\."
        ):
            ensure(tmp_path, name=name, settings=other)


def test_the_record_is_written_once(tmp_path):
    ensure(tmp_path, name="x", record=RECORD)
    written = (tmp_path / "x/campaign.json").read_bytes()
    assert not ensure(tmp_path, name="x", record=RECORD, now=NOW + timedelta(hours=1))["changed"]
    assert (tmp_path / "x/campaign.json").read_bytes() == written
    record = json.loads(written)
    assert record["created_utc"] == "2026-11-20T13:30:00Z"
    assert record["git"] == {"revision": None, "dirty": None}, "not a checkout"


def test_check_mode_writes_nothing(tmp_path):
    assert ensure(tmp_path, record=RECORD, check_mode=True)["changed"]
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_joins_late_is_added_and_a_changed_one_refused(tmp_path):
    ensure(tmp_path, name="x", record=RECORD)
    assert ensure(tmp_path, name="x", record=RECORD | {"runners": {"b": {"litert": {"version": "2"}}}})["changed"]
    assert sorted(json.loads((tmp_path / "x/campaign.json").read_text())["runners"]) == ["a", "b"]
    with pytest.raises(campaign.CampaignError, match=r'runners\.a\.litert\.version was "2", is "3"'):
        ensure(tmp_path, name="x", record=RECORD | {"runners": {"a": {"litert": {"version": "3"}}}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"settings": SETTINGS | {"threads": [4]}}, r"settings\.threads\[0\] was 1, is 4", id="settings"),
        pytest.param({"seed": "7"}, "seed was .*, is 7", id="seed"),
        pytest.param({"name": "../x"}, "cannot name a directory", id="a path as a name"),
        pytest.param({"hosts": ["a", "../b"]}, r"host '\.\./b' cannot name a directory", id="a path as a host"),
        pytest.param(
            {"record": RECORD | {"models": [{"model": "MobileNet", "sha256": "cd"}]}}, "sha256 was", id="model"
        ),
    ],
)
def test_a_campaign_that_was_begun_otherwise_is_refused(tmp_path, changes, message):
    ensure(tmp_path, name="x", record=RECORD)
    with pytest.raises(campaign.CampaignError, match=message):
        ensure(tmp_path, **{"name": "x", **changes})


def test_without_settings_an_existing_campaign_is_meant(tmp_path):
    with pytest.raises(campaign.CampaignError, match="holds no campaign of a, b"):
        ensure(tmp_path, settings=None)
    ensure(tmp_path, name="x", record=RECORD)
    assert ensure(tmp_path, settings=None)["name"] == "x"


def test_a_campaign_json_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/campaign.json").write_text("{")
    with pytest.raises(campaign.CampaignError, match=r"x/campaign\.json cannot be read"):
        ensure(tmp_path, name="x")
    assert ensure(tmp_path)["name"] != "x", "somebody else's broken campaign is nobody's trouble"


def test_a_model_may_move_to_another_address(tmp_path):
    ensure(tmp_path, name="x", record=RECORD)
    moved = RECORD | {"models": [RECORD["models"][0] | {"url": "https://example.org/MobileNet"}]}
    assert not ensure(tmp_path, name="x", record=moved)["changed"]


def test_an_inventory_may_grow_in_mid_campaign_and_not_shrink(tmp_path):
    ensure(tmp_path, name="x", record=RECORD)
    assert ensure(tmp_path, name="x", record=RECORD, hosts=["a", "b", "c"])["changed"]
    assert json.loads((tmp_path / "x/campaign.json").read_text())["hosts"] == ["a", "b", "c"]
    with pytest.raises(campaign.CampaignError, match="hosts was"):
        ensure(tmp_path, name="x", record=RECORD, hosts=["a", "b"])


CORE, PI = "llvm -mcpu=core-avx2", "llvm -mcpu=cortex-a72 -mtriple=aarch64-linux-gnu"


def test_a_host_of_another_kind_may_join_with_its_libraries_and_be_away(tmp_path):
    models = [
        {"model": name, "file": f"{name}.{target}", "sha256": "ab", "target": target}
        for name in ("A", "B")
        for target in (None, CORE, PI)
    ]
    of_core = RECORD | {"models": [model for model in models if model["target"] != PI]}
    ensure(tmp_path, name="x", record=of_core)
    assert ensure(tmp_path, name="x", record=RECORD | {"models": models})["changed"]
    known = json.loads((tmp_path / "x/campaign.json").read_text())["models"]
    assert sorted(known, key=models.index) == models
    assert not ensure(tmp_path, name="x", record=RECORD | {"models": models})["changed"]
    assert not ensure(tmp_path, name="x", record=of_core)["changed"]
    other = [model | {"sha256": "cd"} if model["target"] == PI else model for model in models]
    with pytest.raises(campaign.CampaignError, match='sha256 was "ab", is "cd"'):
        ensure(tmp_path, name="x", record=RECORD | {"models": other})


def test_one_play_at_a_time_carries_on_with_a_campaign(tmp_path):
    params = {"name": "x", "logs_dir": str(tmp_path), "kit_dir": str(tmp_path), "hosts": ["a"], "settings": SETTINGS}
    params |= {"seed": "", "resume_days": 7, "record": RECORD}

    def play(player):
        return campaign.ensure(params, NOW, check_mode=False, player=player)

    ours = Controller("me", socket.gethostname(), os.getpid(), start_time(os.getpid()))
    parent = ours._replace(pid=os.getppid(), started=start_time(os.getppid()))
    play(parent)
    play(parent)
    with pytest.raises(campaign.CampaignError, match=rf"process {os.getppid()}\) is playing campaign 'x' already"):
        play(ours)
    (tmp_path / "x/.player").write_text(f"{ours._replace(pid=2**22 + 1)}\n")  # no such process
    play(ours)
    (tmp_path / "x/.player").write_text(f"{ours._replace(host='elsewhere')}\n")  # its hosts will tell
    play(ours)


ORPHAN = f"""
import multiprocessing, os, sys, time
sys.path.insert(0, {str(ROOT / "collections")!r})
from ansible_collections.edgebench.testbed.plugins.module_utils.controller import this_play

def work(play):
    print(this_play().pid == play, flush=True)
    while os.getppid() == play:
        time.sleep(0.01)
    print(this_play(), flush=True)

multiprocessing.get_context("fork").Process(target=work, args=(os.getpid(),)).start()
sys.stdin.readline()
os._exit(9)
"""


def test_a_worker_whose_play_was_killed_keeps_no_other_out():
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as play:
        assert play.stdout.readline() == "True\n"
        play.stdin.write("\n")
        play.stdin.close()
        said = play.stdout.readline()
    found = Controller.parse(said)
    assert found.pid == play.pid
    assert found.is_gone()
