"""What the run script's looks at memory, at the runner's processes and at the energy meter cost while a run lasts.

CPU time against wall time. One run of a runner that only sleeps, by the real run_benchmark.sh under this machine's sh,
for each kind of look, on a made /sys; and one during which nobody looks, whose CPU time is what each of them would have
taken anyway. They go on side by side, since each sleeps nearly all the time: a minute in all.

    python -m benchmarks.bench_watching
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.result import Result, main
from tests.rendering import render_run_script

TARGET_PERCENT = 0.5
RUN_S = 30
COLUMNS = "run block repetition phase model variant runner threads delegate batch_size input_size timeout_s"
LINE = "0001_m.float32.sleep.t1_r01 1 1 measure m float32 sleep 1 default - - 600"

RAPL = {
    "class/powercap/intel-rapl:0/name": "package-0",
    "class/powercap/intel-rapl:0/energy_uj": "262143000000",
    "class/powercap/intel-rapl:0/intel-rapl:0:0/name": "dram",
    "class/powercap/intel-rapl:0/intel-rapl:0:0/energy_uj": "65712000",
}
INA3221 = {"class/hwmon/hwmon1/name": "ina3221"}
for channel in (1, 2, 3):
    INA3221 |= {f"class/hwmon/hwmon1/in{channel}_input": "5000", f"class/hwmon/hwmon1/curr{channel}_input": "100"}
RAILS = [f"RAIL{number}" for number in range(12)]
PMIC = "".join(f"   {rail}_A current(0)=0.00195185A\n" for rail in RAILS)
PMIC += "".join(f"   {rail}_V volt(8)=3.71822200V\n" for rail in RAILS)

BLIND = {"benchmark_run_resources_s": 0}
KINDS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "nothing": ({}, {"benchmark_run_min_available_mb": "0", "benchmark_run_energy": "none"} | BLIND),
    "memory": ({}, {"benchmark_run_energy": "none"} | BLIND),
    "memory and the runner's processes": ({}, {"benchmark_run_energy": "none"}),
    "memory and rapl": (RAPL, {"benchmark_run_energy": "rapl"} | BLIND),
    "memory and ina3221": (INA3221, {"benchmark_run_energy": "ina3221"} | BLIND),
    "memory and pmic": ({}, {"benchmark_run_energy": "pmic"} | BLIND),
    "memory and a command": ({}, {"benchmark_run_energy_command": "echo 12.5"} | BLIND),
}
"""What is looked at: files of /sys, and settings."""


def start(directory: Path, files: dict[str, str], settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Begin a campaign of one run."""
    for name, text in files.items():
        path = directory / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    commands = directory / "bin"
    commands.mkdir(parents=True)
    # One process that prints, as the real one is: cat, of a file that is named like what is asked.
    (commands / "vcgencmd").symlink_to(shutil.which("cat") or "cat")
    (directory / "get_throttled").write_text("throttled=0x0\n")
    (directory / "pmic_read_adc").write_text(PMIC)
    (directory / "plan.tsv").write_text(
        "\n".join("\t".join(line.split()) for line in (f"{COLUMNS} model_file model_sha256 flags", f"{LINE} m - -", ""))
    )
    runner = {"sleep": {"argv": ["sh", "-c", f"exec sleep {RUN_S}"], "version": "-"}}
    script = directory / "run_benchmark.sh"
    script.write_text(render_run_script(directory, runner, __benchmark_run_sys=str(directory / "sys"), **settings))
    return subprocess.Popen(
        ["sh", str(script), "run"],
        cwd=directory,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"},
    )


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """CPU time of the script and of all that it waited for, in seconds."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"run_benchmark.sh ended with exit code {process.returncode}")
    return used.ru_utime + used.ru_stime


def measure(directory: Path) -> dict[str, float]:
    """CPU time of a run with each kind of look, in seconds."""
    started = {}
    for kind, (files, settings) in KINDS.items():
        started[kind] = start(directory / kind.replace(" ", "-"), files, settings)
        time.sleep(1 / len(KINDS))  # they look once a second: not all at the same moment
    return {kind: cpu_s(process) for kind, process in started.items()}


def samples(directory: Path) -> int:
    """How often the meter was read, or the runner's processes were looked at."""
    (sidecar,) = directory.glob("runs/*.meta")
    lines = sidecar.read_text().splitlines()
    return sum(len(line.split(" ")) for line in lines if line.startswith(("energy.samples=", "resources.samples=")))


def results() -> Iterator[Result]:
    """Each kind of look, less what the same run takes without; the smaller of two, since other work only adds to it."""
    with tempfile.TemporaryDirectory(prefix="bench-watching-") as scratch:
        rounds = [measure(Path(scratch, str(number))) for number in (1, 2)]
        for kind in list(KINDS)[1:]:
            spent = min(cpu[kind] - cpu["nothing"] for cpu in rounds)
            read = samples(Path(scratch, "1", kind.replace(" ", "-")))
            name = f"CPU time of looking at {kind} in a run of {RUN_S} s ({read} samples), of one core"
            yield Result(name, 100 * spent / RUN_S, "%", TARGET_PERCENT)


if __name__ == "__main__":
    main(results)
