"""The script on the host: energy meters, what they say before, during and after a run, and of the idle machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.run_host import SHELLS, Host, wait_for

RAPL = "sys/class/powercap"
PACKAGE = f"{RAPL}/intel-rapl:0/energy_uj"
DRAM = f"{RAPL}/intel-rapl:0/intel-rapl:0:1/energy_uj"
HEADER = ["block", "start_utc", "boot_id", "meter", "unit", "names", "ranges", "samples"]

# As a Raspberry Pi 5 says it: all currents, then all voltages, and voltages of what has no current.
PMIC = """\
   3V7_WL_SW_A current(0)=0.00195185A
      VDD_CORE_A current(7)=1.47290000A
   3V7_WL_SW_V volt(8)=3.71822200V
      VDD_CORE_V volt(15)=0.72028880V
        EXT5V_V volt(24)=5.15097000V
         BATT_V volt(25)=0.00000000V"""
PI = {"get_throttled": "throttled=0x0", "measure_temp": "temp=50.0'C", "measure_clock": "frequency(0)=1000000"}


@pytest.fixture(params=SHELLS)
def host(request, tmp_path) -> Iterator[Host]:
    host = Host(request.param, tmp_path / "it's a dir")
    yield host
    host.clean_up()


@pytest.fixture
def dash(tmp_path) -> Iterator[Host]:
    """For what is no question of the shell."""
    host = Host("dash", tmp_path / "it's a dir")
    yield host
    host.clean_up()


def put_rapl(host: Host) -> None:
    """Of a server with one package: domains are there twice, and psys, cores and mmio tell of the same energy."""
    domains = {
        "intel-rapl:0": ("package-0", 262143000000),
        "intel-rapl:0/intel-rapl:0:0": ("core", 1000),
        "intel-rapl:0/intel-rapl:0:1": ("dram", 65712000),
        "intel-rapl:0:0": ("core", 1000),
        "intel-rapl:0:1": ("dram", 65712000),
        "intel-rapl:1": ("psys", 999),
        "intel-rapl-mmio:0": ("package-0", 262143000000),
    }
    for path, (name, energy_uj) in domains.items():
        host.put(f"{RAPL}/{path}/name", name)
        host.put(f"{RAPL}/{path}/energy_uj", energy_uj)
        host.put(f"{RAPL}/{path}/max_energy_range_uj", 262143328850 if "package" in name else 65712999613)


def put_ina3221(host: Host, chip: str, *labels: str | None) -> None:
    host.put(f"sys/class/hwmon/{chip}/name", "ina3221")
    for channel, label in enumerate(labels, start=1):
        host.put(f"sys/class/hwmon/{chip}/curr{channel}_input", 100 * channel)
        host.put(f"sys/class/hwmon/{chip}/in{channel}_input", 5000 + channel)
        if label:
            host.put(f"sys/class/hwmon/{chip}/in{channel}_label", label)


def put_iio(host: Host, *rails: str) -> None:
    host.put("sys/bus/iio/devices/iio:device0/name", "ina3221x")
    for channel, rail in enumerate(rails):
        host.put(f"sys/bus/iio/devices/iio:device0/rail_name_{channel}", rail)
        host.put(f"sys/bus/iio/devices/iio:device0/in_power{channel}_input", 1000 + channel)


def measure_one(host: Host, **settings) -> dict[str, str]:
    host.prepare(["ok"], **settings)
    done = host()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return host.sidecars()["ok_r01"]


def energy_of(sidecar: dict[str, str]) -> dict[str, str]:
    return {key.removeprefix("energy."): value for key, value in sidecar.items() if key.startswith("energy.")}


def samples_of(text: str) -> list[tuple[float, list[str]]]:
    """Seconds of uptime and readings; they must be in order of time."""
    found = []
    for sample in text.split(" "):
        uptime, _, reading = sample.partition(":")
        assert re.fullmatch(r"\d+(\.\d+)?", uptime)
        found.append((float(uptime), reading.split(",")))
    assert [uptime for uptime, _ in found] == sorted(uptime for uptime, _ in found)
    return found


# ---- The meters ----


def test_rapl_is_read_before_during_and_after_a_run_and_by_the_runner(host):
    put_rapl(host)
    host.put("proc/uptime", "1000.25 1.0")
    host.prepare(["ok"])
    wait = 'until [ "$(grep -c : "$run_dir/tmp/samples")" -ge 2 ]; do sleep 0.05; done\n'
    host.during(
        "ok",
        f'echo 262143300000 >"$machine/{PACKAGE}"\necho "1001.5 1" >"$machine/proc/uptime"\n{wait}'
        'echo "counters: $EDGEBENCH_ENERGY_COUNTERS"\n'
        'IFS=:; for path in $EDGEBENCH_ENERGY_COUNTERS; do cat "$path"; done; unset IFS\n'
        f'echo 1234567890123 >"$machine/{DRAM}"\necho "1002.75 1" >"$machine/proc/uptime"',
    )
    sidecar = measure_one(host)
    found = energy_of(sidecar)
    samples = found.pop("samples").split(" ")
    assert found == {
        "meter": "rapl",
        "unit": "uj",
        "names": "package-0,dram-0",
        "ranges": "262143328850,65712999613",
        "interval_s": "1",
    }
    assert samples[0] == "1000.25:262143000000,65712000"
    assert "1001.5:262143300000,65712000" in samples
    assert samples[-1] == "1002.75:262143300000,1234567890123"
    log = (host.run_dir / "runs" / f"{sidecar['run']}.log").read_text().splitlines()
    assert log[0].startswith("counters: /")
    assert log[1:3] == ["262143300000", "65712000"]


def test_by_the_machines_own_clock_samples_span_the_run(dash):
    put_rapl(dash)
    dash.prepare(["ok"], repetitions=2, __benchmark_run_proc="/proc")
    assert dash().returncode == 0
    for sidecar in dash.sidecars().values():
        samples = samples_of(sidecar["energy.samples"])
        assert samples[0][0] >= float(sidecar["start_uptime_s"])
        assert samples[-1][0] >= float(sidecar["end_uptime_s"])


def test_two_packages_are_told_apart(dash):
    put_rapl(dash)
    dash.put(f"{RAPL}/intel-rapl:2/name", "package-1")
    dash.put(f"{RAPL}/intel-rapl:2/energy_uj", 7)
    dash.put(f"{RAPL}/intel-rapl:2/intel-rapl:2:0/name", "dram")
    dash.put(f"{RAPL}/intel-rapl:2/intel-rapl:2:0/energy_uj", 8)
    found = energy_of(measure_one(dash))
    assert found["names"] == "package-0,dram-0,package-1,dram-1"
    assert found["ranges"] == "262143328850,65712999613,-,-"
    assert samples_of(found["samples"])[0][1][2:] == ["7", "8"]


def test_the_rails_of_a_raspberry_pi_5(host):
    host.put_vcgencmd(**PI, pmic_read_adc=PMIC)
    found = energy_of(measure_one(host))
    assert (found["meter"], found["unit"], found["names"]) == ("pmic", "a_v", "3V7_WL_SW,VDD_CORE")
    assert "ranges" not in found
    samples = samples_of(found["samples"])
    assert len(samples) >= 2
    assert samples[0][1] == ["0.00195185", "3.71822200", "1.47290000", "0.72028880"]


def test_a_reading_that_lacks_a_rail_is_left_out(host):
    host.put_vcgencmd(**PI, pmic_read_adc=PMIC)
    host.prepare(["ok"])
    host.during("ok", 'sed -i /VDD_CORE_A/d "$machine/vc/pmic_read_adc"')
    assert [len(reading) for _, reading in samples_of(measure_one(host)["energy.samples"])][-1:] == [4]


@pytest.mark.parametrize(
    ("labels", "names", "reading"),
    [
        (("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), "VDD_IN", ["100", "5001"]),
        (("VDD_GPU_SOC", "VDD_CPU_CV", "NC"), "VDD_GPU_SOC,VDD_CPU_CV", ["100", "5001", "200", "5002"]),
        ((None,), "hwmon3.1", ["100", "5001"]),
    ],
)
def test_a_jetson_by_hwmon(dash, labels, names, reading):
    dash.put("sys/class/hwmon/hwmon0/name", "cpu_thermal")
    put_ina3221(dash, "hwmon3", *labels)
    found = energy_of(measure_one(dash))
    assert (found["meter"], found["unit"], found["names"]) == ("ina3221", "ma_mv", names)
    assert samples_of(found["samples"])[0][1] == reading


def test_the_whole_input_may_be_on_another_chip(host):
    put_ina3221(host, "hwmon1", "VDD_GPU", "VDD_CPU")
    put_ina3221(host, "hwmon2", "VDD_SOC", "VDD_IN")
    found = energy_of(measure_one(host))
    assert (found["names"], samples_of(found["samples"])[0][1]) == ("VDD_IN", ["200", "5002"])


@pytest.mark.parametrize(
    ("rails", "names", "reading"),
    [
        (("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"), "POM_5V_IN", ["1000"]),
        (("VDD_SYS_GPU", "VDD_SYS_SOC"), "VDD_SYS_GPU,VDD_SYS_SOC", ["1000", "1001"]),
    ],
)
def test_an_older_jetson_by_iio(dash, rails, names, reading):
    put_iio(dash, *rails)
    found = energy_of(measure_one(dash))
    assert (found["meter"], found["unit"], found["names"]) == ("ina3221", "mw", names)
    assert samples_of(found["samples"])[0][1] == reading


def test_an_external_meter_by_its_command(host):
    put_rapl(host)  # which is not asked, since a command was given
    watts = host.put("plug meter/watts", "12.5")
    command = f"cut -d' ' -f1 '{str(watts).replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'"
    host.prepare(["ok"])
    host.during("ok", 'echo "33.25 W" >"$machine/plug meter/watts"; echo "counters: $EDGEBENCH_ENERGY_COUNTERS"')
    sidecar = measure_one(host, benchmark_run_energy_command=command, benchmark_run_energy_command_unit="j")
    found = energy_of(sidecar)
    assert (found["meter"], found["unit"], found["names"]) == ("command", "j", "command")
    readings = [reading for _, reading in samples_of(found["samples"])]
    assert (readings[0], readings[-1]) == (["12.5"], ["33.25"])
    assert (host.run_dir / "runs" / f"{sidecar['run']}.log").read_text().startswith("counters: \n")


# ---- No meter ----


def test_no_meter_is_said_in_words(host):
    host.put_vcgencmd(**PI)  # a Raspberry Pi 4 does not know the question
    assert energy_of(measure_one(host, benchmark_run_idle_s=1)) == {
        "meter": "none",
        "reason": "no sensor: neither RAPL counters, nor the PMIC of a Raspberry Pi 5, nor an INA3221 here",
    }
    assert not (host.run_dir / "idle.tsv").exists()


def test_a_raspberry_pi_that_does_not_answer_is_not_without_a_sensor(dash):
    dash.put_command("vcgencmd", '#!/bin/sh\necho "Can\'t open device file: /dev/vcio" >&2\nexit 255\n')
    reason = "'vcgencmd' is here and does not answer; it needs a user in the group video"
    assert energy_of(measure_one(dash)) == {"meter": "none", "reason": reason}


def test_none_wanted_is_none_read(dash):
    put_rapl(dash)
    assert energy_of(measure_one(dash, benchmark_run_energy="none")) == {
        "meter": "none",
        "reason": "benchmark_run_energy is none",
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"benchmark_run_energy": "rapl"}, "no RAPL counters here (no package among /"),
        ({"benchmark_run_energy": "pmic"}, "no PMIC of a Raspberry Pi 5 here ('vcgencmd pmic_read_adc' tells no"),
        ({"benchmark_run_energy": "ina3221"}, "no INA3221 here (neither in /"),
        ({"benchmark_run_energy": "command"}, "benchmark_run_energy_command, '', prints no number within 2 s"),
        ({"benchmark_run_energy_command": "echo 12,5"}, "benchmark_run_energy_command, 'echo 12,5', prints no number"),
        ({"benchmark_run_energy_command": "exit 3"}, "benchmark_run_energy_command, 'exit 3', prints no number"),
    ],
)
def test_a_meter_that_was_asked_for_and_cannot_be_had_keeps_it_from_beginning(dash, settings, words):
    dash.prepare(["ok"], **settings)
    refused = dash()
    assert refused.returncode == 77
    assert "was asked for and cannot be had: " + words in refused.stdout
    assert refused.stdout.endswith("; see to that, or set benchmark_run_energy to none\n")
    assert dash.sidecars() == {}
    assert not (dash.run_dir / "lock").exists()


# ---- Counters that only root may read ----


@pytest.fixture
def denied(host) -> Host:
    """A host whose counters may not be read: by a user, or by root without the right to overrule modes."""
    if os.geteuid() == 0:
        drop = [
            shutil.which("setpriv") or "setpriv",
            "--inh-caps=-all",
            "--bounding-set=-dac_override,-dac_read_search",
        ]
        if not shutil.which(drop[0]) or subprocess.run([*drop, "true"], check=False).returncode:
            pytest.skip("needs setpriv (util-linux), to be refused as root")
        host.shell = [*drop, *host.shell]
    put_rapl(host)
    for name in (PACKAGE, DRAM):
        (host.machine / name).chmod(0o000)
    return host


def modes(host: Host) -> list[str]:
    return [f"{(host.machine / name).stat().st_mode & 0o777:o}" for name in (PACKAGE, DRAM)]


def test_counters_that_cannot_be_read_are_no_meter(denied):
    found = energy_of(measure_one(denied))
    assert found == {
        "meter": "none",
        "reason": f"no permission to read {denied.machine}/{PACKAGE}: readable by root only; "
        "set benchmark_run_energy_unlock or log in as root",
    }


def test_another_meter_is_taken_where_counters_cannot_be_read(denied):
    put_ina3221(denied, "hwmon1", "VDD_IN")
    assert energy_of(measure_one(denied))["meter"] == "ina3221"


def test_counters_that_were_asked_for_and_cannot_be_read_keep_it_from_beginning(denied):
    denied.prepare(["ok"], benchmark_run_energy="rapl")
    refused = denied()
    assert refused.returncode == 77
    assert "no permission to read" in refused.stdout


def test_unlocked_counters_are_read_and_locked_again(denied):
    denied.prepare(["ok"])
    denied.during("ok", f'stat -c %a "$machine/{PACKAGE}" "$machine/{DRAM}"')
    sidecar = measure_one(denied, benchmark_run_energy_unlock=True)
    assert len(samples_of(sidecar["energy.samples"])) >= 2
    log = (denied.run_dir / "runs" / f"{sidecar['run']}.log").read_text()
    assert log.startswith("444\n444\n")
    assert modes(denied) == ["0", "0"]
    assert not (denied.run_dir / "control").exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_counters_are_locked_again_when_the_script_is_ended(denied, how):
    denied.prepare(["hang"], benchmark_run_energy_unlock=True)
    process = denied.start()
    wait_for("the runner", denied.runner_pid)
    assert modes(denied) == ["444", "444"]
    process.send_signal(how)
    process.wait(timeout=30)
    wait_for("the keeper", lambda: modes(denied) == ["0", "0"])


def test_counters_that_cannot_be_unlocked_keep_it_from_beginning(denied):
    denied.put_command("chmod", "#!/bin/sh\nexit 1\n")
    denied.put_command("sudo", "#!/bin/sh\nexit 1\n")
    denied.prepare(["ok"], benchmark_run_energy_unlock=True)
    refused = denied()
    assert refused.returncode == 77
    assert f"cannot write '444' to mode:{denied.machine}/{PACKAGE}" in refused.stdout
    assert "benchmark_run_energy_unlock unset" in refused.stdout


def test_what_can_be_read_is_not_unlocked(dash):
    put_rapl(dash)
    before = modes(dash)
    dash.prepare(["ok"])
    dash.during("ok", f'stat -c %a "$machine/{PACKAGE}"')
    sidecar = measure_one(dash, benchmark_run_energy_unlock=True)
    assert (dash.run_dir / "runs" / f"{sidecar['run']}.log").read_text().startswith(before[0] + "\n")
    assert sidecar["energy.meter"] == "rapl"


# ---- The idle machine ----


def test_the_idle_machine_is_read_before_anything_is_measured(host):
    put_rapl(host)
    sidecar = measure_one(host, benchmark_run_idle_s=1)
    (row,) = host.table("idle.tsv")
    assert list(row) == HEADER
    assert (row["meter"], row["unit"], row["names"]) == ("rapl", "uj", "package-0,dram-0")
    assert (row["block"], row["boot_id"], row["ranges"]) == ("1", "boot-1", "262143328850,65712999613")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["start_utc"])
    assert row["start_utc"] <= sidecar["start_utc"]
    samples = samples_of(row["samples"])
    assert [reading for _, reading in samples] == [["262143000000", "65712000"]] * 2
    assert samples[1][0] <= samples_of(sidecar["energy.samples"])[0][0]


def test_it_is_read_once_a_block_and_again_after_a_new_start(dash):
    put_rapl(dash)
    dash.prepare(["ok", "other"], repetitions=2, benchmark_run_idle_s=1)
    for model in ("ok", "other"):
        dash.during(model, '[ "$(ls "$run_dir/runs" | grep -c meta)" -lt 3 ] || exec sleep 600')
    process = dash.start()
    wait_for("the last run", lambda: len(dash.sidecars()) == 3 and dash.runner_pid())
    process.kill()
    process.wait()
    for model in ("ok", "other"):
        dash.during(model, "")
    assert dash().returncode == 0
    assert [row["block"] for row in dash.table("idle.tsv")] == ["1", "2", "2"]


def test_a_machine_that_is_not_fit_is_not_idle(dash):
    put_rapl(dash)
    dash.put("proc/loadavg", "9.00 9.00 9.00 999/1000 1")
    dash.prepare(["ok", "crash"], benchmark_run_idle_s=1)
    calm = 'echo "0.00 0.00 0.00 1/100 1" >"$machine/proc/loadavg"'
    dash.during("ok", calm)
    dash.during("crash", calm)
    assert dash().returncode == 0
    first, second = sorted(dash.sidecars().values(), key=lambda sidecar: sidecar["run"])
    assert ("unfit" in first, "unfit" in second) == (True, False)
    (row,) = dash.table("idle.tsv")
    assert row["start_utc"] >= first["end_utc"]


def test_repeats_have_an_idle_line_of_their_own(dash):
    dash.put("proc/vmstat", "pswpout 0")
    put_ina3221(dash, "hwmon1", "VDD_IN")
    dash.prepare(["ok"], benchmark_run_idle_s=1, benchmark_run_retries=1)
    dash.during("ok", '[ -e "$run_dir/once" ] || { echo pswpout 999 >"$machine/proc/vmstat"; : >"$run_dir/once"; }')
    assert dash().returncode == 0
    assert dash.done()["repeated"] == 1
    assert [(row["block"], row["ranges"]) for row in dash.table("idle.tsv")] == [("1", "-"), ("1", "-")]
