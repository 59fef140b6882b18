"""site.yml on a fleet over SSH: hosts without Python, of two architectures, slow ones, silent ones, strangers."""

from __future__ import annotations

import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.labs.common import wait_for
from tests.playing import ROOT, play, tiny_campaign

FAKE = ROOT / "tests/data/fake_benchmark_model.sh"


@pytest.fixture
def settings(tmp_path):
    """A tiny campaign with a stand-in for the official binary."""
    more = {"campaign_name": "fleet", "campaign_runners": ["benchmark_model"], "benchmark_run_poll_s": 1}
    return tiny_campaign(tmp_path, **more)


def rows(tmp_path):
    with (tmp_path / "results/tables/runs.csv").open() as file:
        return list(csv.DictReader(file))


def campaign(tmp_path):
    return json.loads((tmp_path / "logs/fleet/campaign.json").read_text())


def only(inventory, host):
    """An inventory of one of its hosts."""
    return {"all": {"hosts": {host: inventory["all"]["hosts"][host]}}}


def test_hosts_with_and_without_python_are_measured_alike(ssh_lab, settings, tmp_path):
    inventory = ssh_lab.inventory(benchmark_model_path=str(FAKE))
    first = play(ROOT / "site.yml", inventory, **settings)
    assert first.changed() > 0
    runs = rows(tmp_path)
    assert sorted(run["host"] for run in runs) == ["h0"] * 4 + ["h1"] * 4 + ["h2"] * 4
    assert {run["status"] for run in runs} == {"ok"}
    facts = {i: json.loads((tmp_path / f"logs/fleet/h{i}/host.json").read_text()) for i in range(3)}
    assert facts[0]["python"]
    assert facts[2]["python"] is None
    assert [facts[i]["hostname"] for i in range(3)] == ["h0", "h1", "h2"]
    assert "h2" in campaign(tmp_path)["runners"]

    assert play(ROOT / "site.yml", inventory, **settings).changed() == 0
    looked = play(ROOT / "playbooks/status.yml", inventory, **settings)
    assert looked.stdout.count("4 of 4 runs, done") == 3
    assert ssh_lab.shell(0, "ls -ld /home/lab/edgebench").startswith("drwx------"), "nobody else's business"
    assert ssh_lab.shell(0, "ls /home/lab/.ansible || true") == "", "nothing is left anywhere else"


def test_installing_begins_no_campaign(ssh_lab, settings, tmp_path):
    inventory = ssh_lab.inventory(benchmark_model_path=str(FAKE))
    assert play(ROOT / "playbooks/install.yml", inventory, **settings).changed() > 0
    assert not (tmp_path / "logs").exists()
    assert play(ROOT / "playbooks/install.yml", inventory, **settings).changed() == 0
    assert play(ROOT / "playbooks/status.yml", inventory, **settings).stdout.count("not begun") == 3
    assert play(ROOT / "playbooks/fetch.yml", inventory, **settings).changed() == 0
    assert play(ROOT / "playbooks/stop.yml", inventory, **settings).changed() == 0


@pytest.mark.thorough
def test_a_play_costs_the_same_for_more_repetitions(ssh_lab, settings):
    inventory = only(ssh_lab.inventory(benchmark_model_path=str(FAKE)), "h0")

    def tasks(repetitions):
        changes = {"campaign_min_repetitions": repetitions, "campaign_name": f"r{repetitions}"}
        played = play(ROOT / "site.yml", inventory, **settings | changes)
        assert played.rc == 0, played.stdout
        return len([event for event in played.events if event["event"] == "runner_on_ok"])

    tasks(1)  # installs
    assert tasks(2) == tasks(9)


def test_hosts_do_not_wait_for_a_slow_one(ssh_lab, settings, tmp_path):
    slow = tmp_path / "slow"  # until the others are done and reported
    waits = 'echo "INFO: STARTING!"\nuntil [ -e /tmp/go ]; do sleep 0.1; done'
    slow.write_text(FAKE.read_text().replace('echo "INFO: STARTING!"', waits))
    inventory = ssh_lab.inventory(benchmark_model_path=str(FAKE))
    inventory["all"]["hosts"]["h0"]["benchmark_model_path"] = str(slow)

    def others_are_reported():
        table = tmp_path / "results/tables/runs.csv"
        return table.exists() and {"h1", "h2"} <= {run["host"] for run in rows(tmp_path)}

    def let_go():
        wait_for("the report of the other hosts", 300, others_are_reported, pause_s=1)
        ssh_lab.shell(0, "touch /tmp/go")

    with ThreadPoolExecutor() as pool:
        released = pool.submit(let_go)
        played = play(ROOT / "site.yml", inventory, **settings | {"benchmark_report_early": True})
        released.result()
    assert played.rc == 0, played.stdout
    ended = [
        (event["event_data"]["task"], event["event_data"]["host"])
        for event in played.events
        if event["event"] == "runner_on_ok"
    ]
    measured_by_slow = ended.index(("Measure", "h0"))
    for host in ("h1", "h2"):
        assert ended.index(("Ensure the logs are home", host)) < measured_by_slow
        assert ended.index(("Make the report", host)) < measured_by_slow, "it is reported as well"


def test_a_host_that_never_answers_is_missed_and_the_others_finish(ssh_lab, settings, tmp_path):
    inventory = ssh_lab.inventory(benchmark_model_path=str(FAKE))
    ssh_lab.halt(1)
    played = play(ROOT / "site.yml", inventory, **settings)
    assert played.rc != 0
    assert set(played.stats["dark"]) == {"h1"}
    assert {run["host"] for run in rows(tmp_path)} == {"h0", "h2"}
    said = (tmp_path / "results/report.md").read_text()
    assert "h1" in said.partition("## ")[0] + said, "the report says which is missing"
    assert "h1" in played.stdout.rpartition("Make the report")[2], "and so does the end of the play"

    ssh_lab.boot(1)
    assert play(ROOT / "site.yml", inventory, **settings).changed() > 0
    assert len(rows(tmp_path)) == 12


@pytest.fixture
def strangers(ssh_lab, tmp_path):
    """One host in an inventory that keeps its own known_hosts, as inventory/fleet does."""
    directory = tmp_path / "my inventory"
    (directory / "group_vars/all").mkdir(parents=True)
    shutil.copy(ROOT / "inventory/fleet/group_vars/all/ssh.yml", directory / "group_vars/all")
    host = {
        "ansible_host": ssh_lab.address(0),
        "ansible_user": "lab",
        "ansible_ssh_private_key_file": str(ssh_lab.key),
        "ansible_ssh_common_args": "-F none -o BatchMode=yes",
        "ansible_control_path_dir": str(ssh_lab.directory / "cp"),
    }
    (directory / "hosts.json").write_text(json.dumps({"all": {"hosts": {"h0": host}}}))
    return str(directory)


def why_unreachable(played):
    """What the user reads of the host that could not be reached."""
    assert played.rc != 0, played.stdout
    (event,) = [event for event in played.events if event["event"] == "runner_on_unreachable"]
    return event["event_data"]["res"]["msg"]


def test_host_keys_are_kept_beside_the_inventory_and_checked(ssh_lab, strangers):
    known_hosts = Path(strangers, "known_hosts")
    stop = ROOT / "playbooks/stop.yml"
    refused = why_unreachable(play(stop, strangers, ssh_accept_new_host_keys=False))
    assert f"host key of {ssh_lab.address(0)} is not known. Add it to the inventory's known_hosts" in refused
    assert not known_hosts.exists() or not known_hosts.read_text()

    assert play(stop, strangers).rc == 0, "accepted on first contact, where the inventory says so"
    assert ssh_lab.address(0) in known_hosts.read_text()
    assert play(stop, strangers, ssh_accept_new_host_keys=False).rc == 0

    ssh_lab.new_host_key(0)
    changed = why_unreachable(play(stop, strangers))
    assert f"the host key has CHANGED: {known_hosts}" in changed
    assert "\n" not in changed


def test_a_key_that_the_host_does_not_take_is_said_so(ssh_lab, strangers, tmp_path):
    said = why_unreachable(
        play(ROOT / "playbooks/stop.yml", strangers, ansible_user="nobody", ansible_ssh_private_key_file="/nowhere")
    )
    assert "nobody@" in said
    assert "ssh-copy-id" in said


VCGENCMD = """cat >/usr/local/bin/vcgencmd <<'END'
#!/bin/sh
[ "$1" = get_throttled ] && echo throttled=0x50005
END
chmod 755 /usr/local/bin/vcgencmd"""


def test_a_pi_that_was_throttled_is_measured_again_and_said_to_be(ssh_lab, settings, tmp_path):
    """Under-voltage all the time: each run is invalid, is repeated up to the limit, and the report says why."""
    ssh_lab.shell(0, VCGENCMD)
    settings |= {"benchmark_run_retries": 1, "benchmark_run_max_cooldown_s": 0, "campaign_min_repetitions": 1}
    inventory = only(ssh_lab.inventory(benchmark_model_path=str(FAKE)), "h0")
    played = play(ROOT / "site.yml", inventory, **settings)
    assert played.rc == 0, played.stdout
    runs = rows(tmp_path)
    assert [run["status"] for run in runs] == ["invalid"] * 4, "two runs and a repeat of each"
    assert all("under-voltage" in run["reason"] for run in runs)
    assert "under-voltage" in Path(tmp_path / "results/report.md").read_text()
