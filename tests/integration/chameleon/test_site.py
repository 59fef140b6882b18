"""site.yml and teardown.yml on inventory/chameleon: a leased server over SSH, a leased Pi through its plugin."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import (
    Records,
    utc,
    utc_text,
)

from tests.labs.chilab import EDGE, UC, host_keys_on_console
from tests.playing import ROOT, environment, play, tiny_campaign
from tests.testbed import IMAGE, KEY, Bed, now

FAKE = ROOT / "tests/data/fake_benchmark_model.sh"
SECRETS = ("application_credential_secret", "password")


class Experiment:
    """A copy of inventory/chameleon with a skylake and a pi4, and what else a user of the lab sets."""

    def __init__(self, lab, hosts, directory: Path) -> None:
        self.lab, self.directory = lab, directory
        self.bed = Bed(lab, directory)
        self.bed.site().nova.keypairs.create(KEY, public_key=hosts.key.with_suffix(".pub").read_text())
        lab.say_on_console(host_keys_on_console(hosts.host_key(0)), hosts.address(0))
        lab.say_on_console(host_keys_on_console(hosts.host_key(1)), hosts.address(1))
        self.inventory = directory / "inventory"
        shutil.copytree(ROOT / "inventory/chameleon", self.inventory)
        self.records = Records(self.inventory / ".chameleon")
        self.kept = {"servers": {"skylake"}, "pis": {"pi4"}}
        self.keep("pis", {"pi4"})
        common = {"credentials": str(self.bed.clouds)}
        sites = {UC: common | {"image": IMAGE, "key": KEY}, EDGE: common | {"image": "python:3.11"}}
        self.settings = tiny_campaign(
            directory,
            campaign_name="leased",
            campaign_runners=["benchmark_model"],
            benchmark_model_path=str(FAKE),
            benchmark_run_poll_s=1,
            chameleon_sites=sites,
            chameleon_overhead_s=600,
            chameleon_machine_wait_s=120,
            chameleon_console_wait_s=5,
            ansible_user="lab",
            ansible_ssh_private_key_file=str(hosts.key),
            ansible_control_path_dir=str(directory / "cp"),
        )

    def keep(self, group: str, hosts: set[str]) -> None:
        """Have only these hosts in a group of the inventory."""
        self.kept[group] = hosts
        inventory = yaml.safe_load((ROOT / "inventory/chameleon/hosts.yml").read_text())
        for name, of_group in inventory["all"]["children"]["chameleon"]["children"].items():
            of_group["hosts"] = {host: of_group["hosts"][host] for host in self.kept[name]}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def play(self, playbook="site.yml", **more):
        return play(ROOT / playbook, str(self.inventory), **self.settings | more)

    def runs(self):
        with (self.directory / "results/tables/runs.csv").open() as file:
            return list(csv.DictReader(file))

    def logs(self, host: str) -> Path:
        return self.directory / "logs/leased" / host


@pytest.fixture
def experiment(chi_lab, chi_hosts, tmp_path):
    return Experiment(chi_lab, chi_hosts, tmp_path)


def test_from_credentials_to_a_report_and_nothing_is_left(experiment, chi_lab, chi_hosts):
    first = experiment.play()
    assert first.rc == 0, first.stdout
    runs = experiment.runs()
    assert sorted({(run["host"], run["platform"]) for run in runs}) == [
        ("pi4", "Raspberry Pi 4"),
        ("skylake", "Skylake"),
    ]
    assert {run["status"] for run in runs} == {"ok"}
    assert len(runs) == 8
    facts = {host: json.loads((experiment.logs(host) / "host.json").read_text()) for host in ("pi4", "skylake")}
    assert facts["skylake"]["hostname"] == "h0"
    assert facts["pi4"]["virtualization"] == "container (CHI@Edge)"
    [lease] = experiment.records.leases(UC)
    end = f"{utc(lease['end_utc']):%Y-%m-%d %H:%M} UTC"
    assert chi_hosts.shell(0, "cat /home/lab/edgebench/campaigns/leased/until").endswith(f" {end}\n"), (
        "the run knows when the lease ends"
    )
    report = (experiment.directory / "results/report.md").read_text()
    assert "Container (Raspberry Pi 4)" in report
    assert "What leasing them cost" in report

    assert experiment.play().changed() == 0, "a second play changes nothing"
    status = experiment.play("playbooks/status.yml")
    assert status.stdout.count("4 of 4 runs, done") == 2

    gone = experiment.play("playbooks/teardown.yml")
    assert gone.rc == 0, gone.stdout
    assert set(chi_lab.left()) == {"key pairs"}, "of the user"
    assert experiment.play("playbooks/teardown.yml").changed() == 0
    for host, kind in (("skylake", "compute_skylake"), ("pi4", "raspberrypi4-64")):
        [lease] = json.loads((experiment.logs(host) / "leases.json").read_text())
        assert (lease["type"], lease["su_per_hour"], lease["ours"]) == (kind, 1, True)
        assert utc(lease["start_utc"]) < utc(lease["released_utc"]) <= now()
    assert json.loads((experiment.logs("skylake") / "leases.json").read_text())[0]["host_key"] == "console"

    missing = experiment.play("playbooks/status.yml")
    assert missing.rc != 0
    assert "no machine: skylake is not leased; play playbooks/provision.yml or site.yml" in missing.stdout
    assert "no machine: no container is leased" in missing.stdout

    for path in experiment.directory.rglob("*"):
        if path.is_file() and path != experiment.bed.clouds:
            text = path.read_bytes()
            assert not any(secret.encode() in text for secret in secrets(experiment)), path
    said = first.stdout + gone.stdout + json.dumps(first.events, default=str)
    assert not any(secret in said for secret in secrets(experiment))


def secrets(experiment):
    clouds = yaml.safe_load(experiment.bed.clouds.read_text())["clouds"].values()
    return [cloud["auth"][name] for cloud in clouds for name in SECRETS if name in cloud["auth"]]


@pytest.mark.thorough
def test_a_site_that_is_full_does_not_hold_up_the_others(experiment, chi_lab):
    chi_lab.occupy(UC)
    played = experiment.play()
    assert played.rc != 0
    assert "CHI@UC: Not enough hosts available: wanted 1 compute_skylake" in played.stdout
    assert {run["host"] for run in experiment.runs()} == {"pi4"}
    chi_lab.vacate(UC)
    assert experiment.play().rc == 0
    assert {run["host"] for run in experiment.runs()} == {"pi4", "skylake"}


def test_wrong_credentials_are_found_before_anything_else(experiment, chi_lab):
    text = experiment.bed.clouds.read_text()
    experiment.bed.clouds.write_text(text.replace("application_credential_id: ", "application_credential_id: x"))
    experiment.keep("pis", set())
    played = experiment.play()
    assert "CHI@UC does not accept the credentials (cloud 'uc' of" in played.failure()
    assert not (experiment.directory / "models").exists()
    assert not (experiment.directory / "logs").exists()
    assert set(chi_lab.left()) == {"key pairs"}


@pytest.mark.thorough
def test_a_campaign_goes_on_in_another_container(experiment, chi_lab):
    experiment.keep("servers", set())
    assert experiment.play().rc == 0
    before = {path: path.read_bytes() for path in (experiment.logs("pi4") / "runs").iterdir()}
    (experiment.logs("pi4") / "DONE").unlink()
    chi_lab.kill_container(experiment.records.machine("pi4")["id"])
    again = experiment.play()
    assert again.rc == 0, again.stdout
    assert {path: path.read_bytes() for path in (experiment.logs("pi4") / "runs").iterdir()} == before


def test_a_check_run_leases_nothing(experiment, chi_lab):
    checked = play(ROOT / "site.yml", str(experiment.inventory), check=True, **experiment.settings)
    assert checked.rc == 0, checked.stdout
    assert set(chi_lab.left()) == {"key pairs"}


def test_machines_go_back_as_soon_as_their_logs_are_home(experiment, chi_lab):
    played = experiment.play(chameleon_cleanup="always")
    assert played.rc == 0, played.stdout
    assert len(experiment.runs()) == 8
    assert set(chi_lab.left()) == {"key pairs"}


def test_a_machine_that_cannot_be_made_takes_its_lease_with_it(experiment, chi_lab):
    experiment.keep("pis", set())
    chi_lab.fail("server.boot")
    played = experiment.play()
    assert played.rc != 0
    assert "server edgebench-skylake is ERROR" in played.failure()
    assert "what was made of it is deleted again" in played.failure()
    assert set(chi_lab.left()) == {"key pairs"}


def test_a_machine_that_never_answers_takes_its_lease_with_it(experiment, chi_lab, chi_hosts):
    experiment.keep("pis", set())
    for i in range(chi_hosts.count):
        chi_hosts.halt(i)
    played = experiment.play(chameleon_machine_wait_s=8)
    for i in range(chi_hosts.count):
        chi_hosts.boot(i)
    assert played.rc != 0
    assert "skylake: waited 8 s for it in vain: no answer (" in played.failure()
    assert set(chi_lab.left()) == {"key pairs"}


def test_a_lease_that_ends_early_is_told_and_a_later_one_goes_on(experiment):
    """What the host measures before the lease's end comes home; a later lease measures the rest, and nothing twice."""
    experiment.keep("pis", set())
    until = now() + timedelta(seconds=90)  # as of a lease that ends then
    slow = experiment.directory / "slow"  # the first run takes until shortly before: a second one would end too late
    waits = f'mkdir /tmp/first && while [ "$(date +%s)" -lt {int(until.timestamp()) - 5} ]; do sleep 1; done'
    slow.write_text(FAKE.read_text().replace('echo "INFO: STARTING!"', f'{waits}\necho "INFO: STARTING!"'))
    more = {"benchmark_model_path": str(slow)}
    first = experiment.play(**more, benchmark_run_until=utc_text(until), benchmark_run_reserve_s=0)
    assert first.rc != 0
    assert "the machine goes back at" in first.failure()
    assert "1 of 4 runs are measured and come home" in first.failure()
    [measured] = (experiment.logs("skylake") / "runs").glob("*.meta")
    before = measured.read_bytes()

    assert experiment.play("playbooks/teardown.yml").rc == 0
    second = experiment.play(**more)
    assert second.rc == 0, second.stdout
    assert len(list((experiment.logs("skylake") / "runs").glob("*.meta"))) == 4
    assert measured.read_bytes() == before
    assert len(json.loads((experiment.logs("skylake") / "leases.json").read_text())) == 2


def test_a_controller_that_is_killed_leaves_what_the_next_play_finds(experiment, chi_lab):
    """Killed when the machines are asked for; the same command again goes on, and teardown leaves nothing."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "site.yml", "-i", str(experiment.inventory)]
    process = subprocess.Popen(
        [*command, "-e", json.dumps(experiment.settings)],
        cwd=ROOT,
        env=environment(HOME=str(experiment.directory)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (experiment.records.machines(UC) or time.monotonic() > deadline):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = experiment.play()
    assert again.rc == 0, again.stdout
    left = chi_lab.left()
    assert (len(left["servers"]), len(left["leases of CHI@UC"]), len(left["leases of CHI@Edge"])) == (1, 1, 1)
    assert experiment.play("playbooks/teardown.yml").rc == 0
    assert set(chi_lab.left()) == {"key pairs"}


def test_a_limit_gives_back_only_what_it_names(experiment, chi_lab):
    experiment.keep("pis", set())
    experiment.keep("servers", {"skylake", "cascadelake"})
    sites = experiment.inventory / "hosts.yml"
    sites.write_text(sites.read_text().replace("compute_cascadelake_r", "compute_cascadelake"))
    made = experiment.play("playbooks/provision.yml", chameleon_wait_for_machines=False)
    assert made.rc == 0, made.stdout
    left = chi_lab.left()
    assert (len(left["servers"]), len(left["leases of CHI@UC"])) == (2, 1), made.stdout
    assert experiment.play("playbooks/teardown.yml", limit="skylake").rc == 0
    left = chi_lab.left()
    assert (len(left["servers"]), len(left["leases of CHI@UC"])) == (1, 1)
    assert list(experiment.records.machines(UC)) == ["cascadelake"]

    experiment.keep("servers", set())
    experiment.keep("pis", {"pi4"})
    assert experiment.play("playbooks/teardown.yml").rc == 0
    assert set(chi_lab.left()) == {"key pairs"}, "although no host of the inventory is at that site any more"


def test_logs_that_are_not_home_keep_their_machine(experiment, chi_lab, chi_hosts):
    experiment.keep("pis", set())
    slow = experiment.directory / "slow"
    slow.write_text(FAKE.read_text().replace('echo "INFO: STARTING!"', 'sleep 3\necho "INFO: STARTING!"'))
    more = {"benchmark_model_path": str(slow), "benchmark_run_until": utc_text(now())}
    assert "the machine goes back at" in experiment.play(**more).failure()
    address = experiment.records.machine("skylake")["address"]
    [i] = [i for i in range(chi_hosts.count) if chi_hosts.address(i) == address]
    chi_hosts.cut(i)
    unreachable = experiment.play(chameleon_machine_wait_s=8)
    assert "skylake: waited 8 s for it in vain" in unreachable.failure()
    assert set(chi_lab.left()) > {"servers", "leases of CHI@UC"}, (
        "it is not cleaned up, whatever chameleon_cleanup says"
    )
    kept = experiment.play("playbooks/teardown.yml")
    assert "server edgebench-skylake: what it has measured is not home and cannot be had now" in kept.failure()
    assert set(chi_lab.left()) > {"servers", "leases of CHI@UC"}
    chi_hosts.heal(i)
    assert experiment.play("playbooks/teardown.yml").rc == 0
    assert set(chi_lab.left()) == {"key pairs"}
