"""The script on the host: what it notes of the machine, which runs it finds invalid, what it repeats, when it waits."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from tests.rendering import ROOT
from tests.run_host import SHELLS, Host, wait_for

CPUS = "sys/devices/system/cpu"
SYSFS_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
IDLE = "cpu  1000 0 500 90000 10 0 0 100 0 0"


@pytest.fixture(params=SHELLS)
def host(request, tmp_path) -> Iterator[Host]:
    host = Host(request.param, tmp_path / "it's a dir")
    yield host
    host.clean_up()


def a_server(host: Host) -> None:
    """Every fact that a server has, at rest."""
    host.put("proc/stat", f"{IDLE}\ncpu0 1 2 3")
    host.put("proc/vmstat", "nr_free_pages 4711\npswpin 10\npswpout 20\npgalloc_dma 0")
    host.put("proc/loadavg", "0.00 0.00 0.00 1/100 1")
    for cpu in (0, 1):
        host.put(f"{CPUS}/cpu{cpu}/thermal_throttle/core_throttle_count", 3)
        host.put(f"{CPUS}/cpu{cpu}/thermal_throttle/package_throttle_count", 4)
        host.put(f"{CPUS}/cpu{cpu}/cpufreq/scaling_governor", "schedutil")
        host.put(f"{CPUS}/cpu{cpu}/cpufreq/scaling_cur_freq", 2400000)
    host.put(f"{CPUS}/intel_pstate/no_turbo", 0)
    host.put("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp")
    host.put("sys/class/thermal/thermal_zone0/temp", 48350)


def measure_one(host: Host, **settings) -> dict[str, str]:
    """The sidecar of a single run, without repeats."""
    host.prepare(["ok"], benchmark_run_retries=0, **settings)
    done = host()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return host.sidecars()["ok_r01"]


def test_the_state_of_a_server_is_noted_and_a_quiet_one_gives_a_valid_run(host):
    a_server(host)
    sidecar = measure_one(host)
    assert "invalid" not in sidecar
    for when in ("before", "after"):
        state = {key.removeprefix(f"{when}."): value for key, value in sidecar.items() if key.startswith(when)}
        state.pop("children_times")
        assert state == {
            "load1": "0.00",
            "running": "1",
            "pages_swapped": "30",
            "cpu_ticks": IDLE.removeprefix("cpu  "),
            "governor": "schedutil",
            "cpu_mhz": "2400",
            "turbo": "on",
            "thermal_throttle_count": "14",
            "temperature_c": "48.3",
        }


def test_a_pi_tells_by_vcgencmd_what_sysfs_does_not(host):
    host.put_vcgencmd(
        get_throttled="throttled=0x0", measure_temp="temp=51.7'C", measure_clock="frequency(0)=2400000000"
    )
    sidecar = measure_one(host, benchmark_run_max_temperature_c=60)
    assert sidecar["before.temperature_c"] == sidecar["after.temperature_c"] == "51.7"
    assert sidecar["before.cpu_mhz"] == "2400"
    assert sidecar["before.throttled"] == sidecar["after.throttled"] == "0x0"
    assert "unfit" not in sidecar
    assert "invalid" not in sidecar


def test_what_was_answered_in_time_counts_whatever_timeout_says(host):
    """Toybox's timeout fails now and then although its program did not, where that ends before it looks."""
    host.put_command("timeout", '#!/bin/sh\nshift\n"$@"\nexit 1\n')
    host.put_vcgencmd(get_throttled="throttled=0x0", measure_temp="temp=51.7'C")
    sidecar = measure_one(host)
    assert (sidecar["before.temperature_c"], sidecar["after.throttled"]) == ("51.7", "0x0")


@pytest.mark.parametrize("vcgencmd", ["missing", "failing", "silent", "nonsense", "unknown"])
def test_without_a_working_vcgencmd_the_bits_are_read_from_sysfs(host, vcgencmd):
    host.put(SYSFS_THROTTLED, "50000")
    texts = {"failing": "exit 255", "silent": "exit 0", "nonsense": "echo VCHI initialization failed"}
    texts["unknown"] = "echo 'error=1 error_msg=\"Command not registered\"'"
    if vcgencmd in texts:
        host.put_command("vcgencmd", f"#!/bin/sh\n{texts[vcgencmd]}\n")
    assert measure_one(host)["after.throttled"] == "0x50000"


def test_a_vcgencmd_that_hangs_does_not_hold_the_campaign(host):
    host.put_command("vcgencmd", "#!/bin/sh\nexec sleep 600\n")
    host.put(SYSFS_THROTTLED, "0")
    assert measure_one(host)["after.throttled"] == "0x0"


DISTURBANCES = {
    "under-voltage after": (
        f'echo 10001 >"$machine/{SYSFS_THROTTLED}"',
        "the machine was held back during the run: under-voltage",
    ),
    "came and went": (
        f'echo 60000 >"$machine/{SYSFS_THROTTLED}"',
        "the machine was held back during the run: frequency capped, throttled",
    ),
    "thermal counters": (
        f'echo 5 >"$machine/{CPUS}/cpu1/thermal_throttle/core_throttle_count"',
        "the CPU's thermal throttle counters went up by 2",
    ),
    "swapping": (
        'printf "pswpin 111\\npswpout 227\\n" >"$machine/proc/vmstat"',
        "the machine swapped 308 pages",
    ),
    "steal": (
        'echo "cpu  1500 0 500 90000 10 0 0 200 0 0" >"$machine/proc/stat"',
        "other virtual machines took 16 % of the CPU time (steal), above 10 %",
    ),
    "governor": (
        f'echo powersave >"$machine/{CPUS}/cpu0/cpufreq/scaling_governor"',
        "the governor changed from schedutil to powersave",
    ),
}


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_a_disturbed_run_is_invalid_and_says_why(host, disturbance):
    commands, reason = DISTURBANCES[disturbance]
    a_server(host)
    host.put(SYSFS_THROTTLED, "0")
    host.prepare(["ok"])
    host.during("ok", commands)
    sidecar = measure_one(host)
    assert sidecar["invalid"] == reason
    assert sidecar["exit_code"] == "0"
    assert host.done() == {"finished": 1, "failed": 0, "invalid": 1, "repeated": 0, "total": 1}


def test_bits_that_are_set_before_the_run_make_it_invalid(host):
    host.put(SYSFS_THROTTLED, "50004")
    host.prepare(["ok"])
    host.during("ok", f'echo 50000 >"$machine/{SYSFS_THROTTLED}"')
    assert measure_one(host)["invalid"] == "the machine was held back during the run: throttled"


def test_several_reasons_are_all_told(host):
    a_server(host)
    host.prepare(["ok"])
    host.during("ok", "\n".join(DISTURBANCES[name][0] for name in ("swapping", "governor")))
    assert measure_one(host)["invalid"] == f"{DISTURBANCES['swapping'][1]}; {DISTURBANCES['governor'][1]}"


@pytest.mark.parametrize(("late", "limit"), [("1500 0 500 90000 10 0 0 150", 10), ("1500 0 500 90000 10 0 0 9000", 0)])
def test_steal_within_the_limit_or_without_one_is_allowed(host, late, limit):
    a_server(host)
    host.prepare(["ok"])
    host.during("ok", f'echo "cpu  {late} 0 0" >"$machine/proc/stat"')
    assert "invalid" not in measure_one(host, benchmark_run_max_steal_percent=limit)


def test_counters_of_a_machine_that_is_long_up_are_compared_rightly(host):
    """They exceed the 32 bits in which mksh counts, and iowait may go back."""
    a_server(host)
    host.put("proc/stat", "cpu  9999999990 0 500 12345678901 10 0 0 4999999999 0 0")
    host.prepare(["ok"])
    host.during("ok", 'echo "cpu  10000000010 0 500 12345678971 9 0 0 5000000009 0 0" >"$machine/proc/stat"')
    assert "invalid" not in measure_one(host)
    host.put("proc/stat", "cpu  9999999990 0 500 12345678901 10 0 0 4999999999 0 0")
    reason = "other virtual machines took 10 % of the CPU time (steal), above 9 %"
    (host.run_dir / "DONE").unlink()
    for path in (host.run_dir / "runs").iterdir():
        path.unlink()
    assert measure_one(host, benchmark_run_max_steal_percent=9)["invalid"] == reason


def test_a_failed_run_is_not_invalid_as_well(host):
    a_server(host)
    host.prepare(["crash"])
    host.during("crash", DISTURBANCES["swapping"][0])
    assert host().returncode == 0
    assert "invalid" not in host.sidecars()["crash_r01"]
    assert host.done() == {"finished": 1, "failed": 1, "invalid": 0, "repeated": 0, "total": 1}


def test_when_bits_were_set_earlier_somebody_looks_during_the_run(host):
    host.put_vcgencmd(get_throttled="throttled=0x50000")
    host.prepare(["ok"])
    host.during(
        "ok",
        'echo throttled=0x50004 >"$machine/vc/get_throttled"\n'
        'until grep -qs 0x50004 "$run_dir/tmp/throttled"; do sleep 0.05; done\n'
        'echo throttled=0x50000 >"$machine/vc/get_throttled"',
    )
    sidecar = measure_one(host)
    assert sidecar["before.throttled"] == sidecar["after.throttled"] == "0x50000"
    assert sidecar["during.throttled"] == "0x50004"
    assert sidecar["invalid"] == "the machine was held back during the run: throttled"


def test_a_look_that_finds_nothing_leaves_the_run_valid(host):
    host.put_vcgencmd(get_throttled="throttled=0x50000")
    host.prepare(["ok"])
    host.during("ok", 'until [ -s "$run_dir/tmp/throttled" ]; do sleep 0.05; done')
    sidecar = measure_one(host)
    assert sidecar["during.throttled"] == "0x50000"
    assert "invalid" not in sidecar


def test_otherwise_nobody_looks_while_a_run_lasts(host):
    host.put_vcgencmd(get_throttled="throttled=0x0", measure_temp="temp=50.0'C", measure_clock="frequency(0)=1000000")
    host.prepare(["slow"], repetitions=2)
    assert host().returncode == 0
    asked = host.get("vc/asked").splitlines()
    # Once whether it works, then once before and once after each run: the gate's look is that before the run.
    assert asked.count("get_throttled") == 1 + 2 * 2
    assert not any("during.throttled" in sidecar for sidecar in host.sidecars().values())


def test_a_run_that_hangs_is_ended_while_somebody_looks_too(host):
    host.put_vcgencmd(get_throttled="throttled=0x50000")
    host.prepare(["hang"], timeout_s=1)
    assert host().returncode == 0
    assert host.sidecars()["hang_r01"]["timed_out"] == "1"


# ---- Repeats ----

SWAP_ONCE = '[ -e "$run_dir/once" ] || { echo pswpout 276 >"$machine/proc/vmstat"; : >"$run_dir/once"; }'
SWAP_ALWAYS = (
    """{ read -r _ pages <"$machine/proc/vmstat"; echo "pswpout $((pages + 300))" >"$machine/proc/vmstat"; }"""
)
CRASH_ONCE = '[ -e "$run_dir/once" ] || { : >"$run_dir/once"; echo "no luck" >&2; exit 3; }'


def test_an_invalid_run_is_repeated_at_the_end(host):
    host.put("proc/vmstat", "pswpout 20")
    host.prepare(["ok"], repetitions=3)
    host.during("ok", SWAP_ONCE)
    assert host().returncode == 0
    sidecars = host.sidecars()
    assert sorted(sidecars) == ["ok_r01", "ok_r01.retry1", "ok_r02", "ok_r03"]
    first, repeat = sidecars["ok_r01"], sidecars["ok_r01.retry1"]
    assert first["invalid"] == "the machine swapped 256 pages"
    assert "invalid" not in repeat
    assert (repeat["run"], repeat["retry"]) == (f"{first['run']}.retry1", "1")
    same = ("block", "repetition", "model", "variant", "runner", "threads", "timeout_s", "model_file")
    assert {key: repeat[key] for key in same} == {key: first[key] for key in same}
    assert repeat["start_utc"] >= sidecars["ok_r03"]["start_utc"]
    assert (host.run_dir / "runs" / f"{repeat['run']}.log").exists()
    assert host.done() == {"finished": 3, "failed": 0, "invalid": 0, "repeated": 1, "total": 3}
    assert (host.status()["invalid"], host.status()["repeated"]) == ("0", "1")


def test_a_run_that_stays_invalid_is_repeated_only_so_often(host):
    host.put("proc/vmstat", "pswpout 20")
    host.prepare(["ok"], repetitions=2)
    host.during("ok", SWAP_ALWAYS)
    assert host().returncode == 0
    names = ["ok_r01", "ok_r01.retry1", "ok_r01.retry2", "ok_r02", "ok_r02.retry1", "ok_r02.retry2"]
    assert sorted(host.sidecars()) == names
    assert all("invalid" in sidecar for sidecar in host.sidecars().values())
    assert host.done() == {"finished": 2, "failed": 0, "invalid": 2, "repeated": 4, "total": 2}


def test_a_failed_run_is_repeated_where_the_configuration_worked_else(host):
    host.prepare(["ok", "crash"], repetitions=2)
    host.during("ok", CRASH_ONCE)
    assert host().returncode == 0
    assert sorted(host.sidecars()) == ["crash_r01", "crash_r02", "ok_r01", "ok_r01.retry1", "ok_r02"]
    assert host.sidecars()["ok_r01"]["exit_code"] == "3"
    assert host.sidecars()["ok_r01.retry1"]["exit_code"] == "0"
    assert host.done() == {"finished": 4, "failed": 2, "invalid": 0, "repeated": 1, "total": 4}


def test_zero_retries_repeat_nothing(host):
    host.put("proc/vmstat", "pswpout 20")
    host.prepare(["ok"], benchmark_run_retries=0)
    host.during("ok", SWAP_ALWAYS)
    assert host().returncode == 0
    assert sorted(host.sidecars()) == ["ok_r01"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle_of_repeats_it_goes_on_there(host, how):
    host.put("proc/vmstat", "pswpout 20")
    host.prepare(["ok"], repetitions=2)
    # The third run, the first repeat, is quick; the fourth hangs, until it is started again.
    host.during(
        "ok",
        f"{SWAP_ALWAYS}\n"
        'set -- "$run_dir"/runs/*.meta\n'
        'if [ $# -eq 3 ] && [ ! -e "$run_dir/hung" ]; then : >"$run_dir/hung"; exec sleep 600; fi\n'
        'set -- "--graph=$graph"',
    )
    process = host.start()
    wait_for("the second repeat", (host.run_dir / "hung").exists)
    before = host.mtimes()
    assert len(before) == 6
    assert host.status()["run"].endswith("_r02.retry1")
    process.send_signal(how)
    process.wait(timeout=30)

    assert host().returncode == 0
    after = host.mtimes()
    assert {name: after[name] for name in before} == before
    assert len(host.sidecars()) == 6
    assert host.done() == {"finished": 2, "failed": 0, "invalid": 2, "repeated": 4, "total": 2}


def test_killed_again_and_again_at_any_point_it_ends_with_the_same_set(host):
    """Wherever the kills fall: what has a sidecar is never measured again, and nothing lacks."""
    host.put("proc/vmstat", "pswpout 20")
    host.put(f"{CPUS}/cpu0/cpufreq/scaling_governor", "ondemand")
    host.prepare(["ok", "crash"], repetitions=4, benchmark_run_governor="performance")
    host.during("ok", SWAP_ALWAYS)
    moments = random.Random(7)
    kept: dict[str, int] = {}
    for _ in range(12):
        process = host.start()
        try:
            process.wait(timeout=moments.uniform(0.02, 0.4))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        now = host.mtimes()
        counted = {name: when for name, when in now.items() if name.endswith(".meta")}
        assert {name: counted.get(name) for name in kept} == kept, "a run that was there was measured again"
        kept = counted
    assert host().returncode == 0
    assert {name: when for name, when in host.mtimes().items() if name in kept} == kept
    wanted = {f"ok_r0{n}{retry}" for n in range(1, 5) for retry in ("", ".retry1", ".retry2")}
    assert set(host.sidecars()) == wanted | {f"crash_r0{n}" for n in range(1, 5)}
    assert {name.rpartition(".")[0] for name in host.mtimes()} == {s["run"] for s in host.sidecars().values()}
    assert host.done() == {"finished": 8, "failed": 4, "invalid": 4, "repeated": 8, "total": 8}
    assert host.get(f"{CPUS}/cpu0/cpufreq/scaling_governor") == "ondemand"
    assert not (host.run_dir / "control").exists()


# ---- What a run's own log says against it ----


def lines_of(wall_us: list[float], cpu_share: float = 1.0) -> str:
    """As runners/litert.py prints them."""
    cpu_us = [round(cpu_share * value, 3) for value in wall_us]
    return f"EDGEBENCH iteration_wall_us={json.dumps(wall_us)}\nEDGEBENCH iteration_cpu_us={json.dumps(cpu_us)}\n"


def log_says(host: Host, lines: str, commands: str = "", **settings) -> dict[str, str]:
    """The sidecar of a single run whose log ends with these lines, without repeats."""
    host.prepare(["ok"])
    (host.run_dir / "lines").write_text(lines)
    host.during("ok", f'export FAKE_LINES="$run_dir/lines"\n{commands}')
    return measure_one(host, **settings)


NOISE = random.Random(4)
STEADY = [round(NOISE.gauss(1000, 20), 3) for _ in range(40)]
DRIFTING = [*STEADY[:20], *(round(value * 1.07, 3) for value in STEADY[20:])]
DRIFT = re.compile(
    r"the iterations drifted: the median of the second half is (\d\.\d) % (above|below) that of the first"
)


def drifted(values: list[float], max_percent: float = 5) -> bool:
    """The same rule, by scipy."""
    first, second = values[: len(values) // 2], values[len(values) // 2 :]
    apart = abs(np.median(second) - np.median(first)) > max_percent / 100 * np.median(first)
    found = stats.mannwhitneyu(first, second, method="asymptotic", use_continuity=False)
    return bool(np.median(first) > 0 and apart and found.pvalue < 2 * stats.norm.sf(3.29))


def test_a_steady_run_is_checked_and_valid(host):
    sidecar = log_says(host, lines_of(STEADY))
    assert set(sidecar["checks"].split(",")) == {"drift", "cpu", "iterations"}
    assert "invalid" not in sidecar


@pytest.mark.parametrize("way", ["above", "below"])
def test_a_run_that_drifted_is_invalid(host, way):
    values = DRIFTING if way == "above" else DRIFTING[::-1]
    found = DRIFT.fullmatch(log_says(host, lines_of(values))["invalid"])
    median = np.median(values[20:]) / np.median(values[:20])
    assert found[1] == f"{100 * abs(median - 1):.1f}"
    assert found[2] == way


def test_the_test_for_a_drift_is_that_of_scipy(tmp_path):
    """Many lists in a row: any length, ties, drifts at the border of both conditions."""
    text = (ROOT / "tests/golden/run_benchmark.sh").read_text()
    function = text[text.index("test_drift() {") : text.index("publish() {")]
    cases = []
    for case in range(120):
        size, step = NOISE.choice([10, 11, 25, 60]), NOISE.uniform(-0.12, 0.12)
        values = [NOISE.gauss(1000, 40) * (1 + (step if k >= size // 2 else 0)) for k in range(size)]
        cases.append([round(value, -1 if case % 3 == 0 else 3) for value in values])
    cases += [[1000.0] * 20, [0.0] * 20]
    script = f"tab='\t' max_drift_percent=5\n{function}\nfor file; do sort -n \"$file\" | test_drift; done"
    paths = [tmp_path / f"{case:03d}" for case in range(len(cases))]
    for path, values in zip(paths, cases, strict=True):
        path.write_text("".join(f"{v} {1 if k < len(values) // 2 else 2}\n" for k, v in enumerate(values)))
    done = subprocess.run(
        ["sh", "-c", script, "sh", *paths],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    found = ["\t" in line for line in done.stdout.splitlines()]
    assert found == list(map(drifted, cases))
    assert 20 < sum(found) < 100


def test_few_iterations_and_a_rule_that_is_off_find_no_drift(host):
    assert "drift" not in log_says(host, lines_of([1000.0] * 4 + [2000.0] * 5))["checks"].split(",")
    for path in (*(host.run_dir / "runs").iterdir(), host.run_dir / "DONE"):
        path.unlink()
    sidecar = log_says(
        host, lines_of(DRIFTING, cpu_share=0.5), benchmark_run_max_drift_percent=0, benchmark_run_min_cpu_percent=0
    )
    assert "invalid" not in sidecar
    assert set(sidecar["checks"].split(",")) == {"drift", "cpu", "iterations"}


def test_a_process_that_was_kept_off_its_cpu_is_invalid(host):
    sidecar = log_says(host, lines_of(STEADY, cpu_share=0.81))
    assert sidecar["invalid"] == "the process was on a CPU for only 81 % of the timed part, below 90 %"


def test_a_run_of_too_few_iterations_is_invalid_and_not_repeated(host):
    """The tool gave up at --max_secs: it would again."""
    host.prepare(["ok"], repetitions=2)
    host.during("ok", "export FAKE_TIMED=1")
    assert host().returncode == 0
    reason = "fewer timed iterations (1) than asked for (2), since --max_secs was over"
    assert {name: s["invalid"] for name, s in host.sidecars().items()} == {"ok_r01": reason, "ok_r02": reason}
    (host.run_dir / "DONE").unlink()
    assert host().returncode == 0
    assert host.done() == {"finished": 2, "failed": 0, "invalid": 2, "repeated": 0, "total": 2}


def test_a_tool_that_was_not_told_how_often_cannot_do_too_little(host):
    """A slow machine with the tool's own defaults: 150 s are over before 50 iterations are."""
    host.prepare(["ok"], campaign={"flags": ""})
    host.during("ok", "export FAKE_TIMED=31")
    assert host().returncode == 0
    sidecar = host.sidecars()["ok_r01"]
    assert "invalid" not in sidecar
    assert "iterations" not in sidecar.get("checks", "")


# ---- The gate ----


def test_a_warm_machine_is_waited_for_before_each_run_only_so_long(host):
    host.put("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    host.put("sys/class/thermal/thermal_zone0/temp", 71500)
    host.prepare(["ok"], repetitions=2, benchmark_run_max_temperature_c=70, benchmark_run_max_cooldown_s=1)
    assert host().returncode == 0
    first, second = host.sidecars().values()
    assert first["waited_s"] == second["waited_s"] == "1"
    assert first["unfit"] == second["unfit"] == "71 C, above 70 C"
    assert first["before.temperature_c"] == "71.5"


def test_other_work_is_waited_for_only_so_long_in_the_whole_campaign(host):
    host.put("proc/loadavg", "9.00 9.00 9.00 999/1000 1")
    host.prepare(["ok"], repetitions=2, benchmark_run_max_wait_s=1, benchmark_run_max_cooldown_s=30)
    assert host().returncode == 0
    first, second = sorted(host.sidecars().values(), key=lambda sidecar: sidecar["run"])
    assert (first["waited_s"], second["waited_s"]) == ("1", "0")
    assert "998 other processes wanted" in second["unfit"]


def test_a_machine_that_is_held_back_right_now_is_waited_for(host):
    host.put_vcgencmd(get_throttled="throttled=0x50005")
    host.prepare(["ok"], benchmark_run_max_cooldown_s=60)
    process = host.start()
    wait_for("the gate", lambda: host.status().get("state") == "waiting")
    assert host.status()["message"] == "the machine is held back: under-voltage, throttled"
    host.put("vc/get_throttled", "throttled=0x50000")
    assert process.wait(timeout=30) == 0
    sidecar = host.sidecars()["ok_r01"]
    assert int(sidecar["waited_s"]) >= 1
    assert "unfit" not in sidecar
    assert "invalid" not in sidecar


def test_a_machine_that_stays_held_back_is_measured_and_it_is_said(host):
    host.put_vcgencmd(get_throttled="throttled=0x50005")
    sidecar = measure_one(host, benchmark_run_max_cooldown_s=1)
    assert sidecar["waited_s"] == "1"
    assert sidecar["unfit"] == "the machine is held back: under-voltage, throttled"
    assert sidecar["invalid"] == "the machine was held back during the run: under-voltage, throttled"
