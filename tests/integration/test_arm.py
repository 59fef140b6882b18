"""An aarch64 machine: what it claims to be, and site.yml on it as a Raspberry Pi and as a phone.

In one file, so that one process of a test session has it: its processor is emulated, and takes a minute to boot it.
"""

from __future__ import annotations

import csv
import json

import pytest

from tests.labs.adblab import AdbServer, variables
from tests.labs.skipping import needs, started
from tests.labs.sshlab import SshLab
from tests.playing import ROOT, play, tiny_campaign


@pytest.fixture
def settings(tmp_path):
    """A campaign of as little as can be: a process of Python takes the Pi here most of a minute."""
    least = {"campaign_min_repetitions": 1, "campaign_variants": ["float32"]}
    return tiny_campaign(tmp_path, campaign_name="arm", benchmark_run_poll_s=1, **least)


def rows(tmp_path):
    with (tmp_path / "results/tables/runs.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_arm_machine_is_a_raspberry_pi(arm_lab):
    assert arm_lab.shell("uname -m; cat /proc/device-tree/model", user="lab") == (
        "aarch64\nRaspberry Pi 5 Model B Rev 1.0\0"
    )
    assert arm_lab.shell("python3 -c 'import zipfile; print(6 * 7)'", user="lab") == "42\n"
    libraries = "import ctypes; [ctypes.CDLL(name) for name in ('libgomp.so.1', 'libstdc++.so.6')]"
    arm_lab.shell(f'python3 -c "{libraries}"')


def test_the_raspberry_pis_tool_answers_as_it_is_told(arm_lab):
    arm_lab.answer("get_throttled", "throttled=0x50005")
    arm_lab.answer("measure_clock arm", "frequency(0)=600000000")
    asked = "for what in get_throttled 'measure_clock arm' measure_temp nonsense; do vcgencmd $what; done"
    changed = "throttled=0x50005\nfrequency(0)=600000000\n"
    unchanged = 'temp=48.3\'C\nerror=1 error_msg="Command not registered"\n'
    assert arm_lab.shell(asked, user="lab") == changed + unchanged

    arm_lab.shell("echo mine > file; sleep 1000 >/dev/null 2>&1 &", user="lab")
    arm_lab.reset()
    assert arm_lab.shell("ls; pgrep sleep || vcgencmd get_throttled", user="lab") == "throttled=0x0\n"


@pytest.mark.parametrize("runners", [["tvm"], pytest.param(["litert", "tvm"], marks=pytest.mark.thorough)])
def test_a_raspberry_pi_and_a_server_in_one_campaign(arm_lab, settings, tmp_path, runners):
    """Real runners on both: wheels and libraries for each one's own CPU come from here, and one report has both."""
    with started(SshLab(1, no_python=frozenset())) as lab:
        # The server's CPU is whatever this machine's is; the Pi is asked which it has.
        hosts = lab.inventory(benchmark_tvm_target="-mcpu=x86-64")["all"]["hosts"] | {
            name: {**variables, "platform_label": "Raspberry Pi 5"}
            for name, variables in arm_lab.inventory()["all"]["hosts"].items()
        }
        (pi,) = set(hosts) - {"h0"}
        settings |= {"campaign_runners": runners}
        arm_lab.answer("measure_temp", "temp=61.2'C")
        first = play(ROOT / "site.yml", {"all": {"hosts": hosts}}, **settings)
        assert first.changed() > 0
        runs = rows(tmp_path)
        assert {(run["host"], run["arch"], run["platform"]) for run in runs if run["host"] == pi} == {
            (pi, "aarch64", "Raspberry Pi 5")
        }
        assert {run["arch"] for run in runs} == {"x86_64", "aarch64"}
        assert {run["status"] for run in runs} == {"ok"}
        assert len({(run["host"], run["variant"], run["runner"]) for run in runs}) == len(runs) == 2 * len(runners)
        models = {
            model["file"]: model["target"]
            for model in json.loads((tmp_path / "logs/arm/campaign.json").read_text())["models"]
        }
        assert models["image.float32.x86-64.so"] == "llvm -mcpu=x86-64"
        assert models["image.float32.cortex-a76.so"] == "llvm -mcpu=cortex-a76 -mtriple=aarch64-linux-gnu"
        there = arm_lab.shell("ls edgebench/models", user="lab").split()
        assert there == sorted(file for file in models if "x86-64" not in file)
        log = next((tmp_path / f"logs/arm/{pi}/runs").glob("*.tvm.*.log")).read_text()
        assert '"target": "llvm -mcpu=cortex-a76 -mtriple=aarch64-linux-gnu"' in log
        assert not arm_lab.shell("find edgebench -name 'libtvm_compiler*'", user="lab")
        facts = json.loads((tmp_path / f"logs/arm/{pi}/host.json").read_text())
        assert facts["board_model"] == "Raspberry Pi 5 Model B Rev 1.0"
        assert facts["microarchitecture"] == "Cortex-A76"
        sidecar = next((tmp_path / f"logs/arm/{pi}/runs").glob("*.meta")).read_text()
        assert "before.throttled=0x0" in sidecar
        assert "before.temperature_c=61.2" in sidecar


def test_a_phone_with_an_arm_processor(arm_lab, settings, tmp_path):
    needs("adblab")
    binary = ROOT / "tests/data/android/benchmark_model.sh"
    settings |= {"campaign_runners": ["benchmark_model"], "benchmark_model_path": str(binary)}
    with AdbServer(tmp_path) as server:
        inventory = {"all": {"hosts": {"phone": variables(arm_lab.phone(server.public_key))}}}
        assert play(ROOT / "site.yml", inventory, envvars=server.environment, **settings).changed() > 0
    assert [(run["arch"], run["status"]) for run in rows(tmp_path)] == [("aarch64", "ok")]
