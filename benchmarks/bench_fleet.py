"""What a play costs that has nothing to measure: wall time of 8 hosts against 1, the controller's CPU time per host.

site.yml, for real, over SSH, on hosts of the lab (tests/labs), all on this machine: the campaign is finished and home,
so what is left is orchestration. CPU time is that of ansible-playbook and all its children (ssh clients and the report
among them), without that of the hosts. The time does not depend on the number of repetitions: 3 and 30 are compared.

    python -m benchmarks.bench_fleet
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.result import Result, main
from tests.labs.sshlab import SshLab
from tests.playing import ROOT, environment, tiny_campaign

HOSTS = 8
FLAGS = "--num_runs=1 --min_secs=0.001 --warmup_min_secs=0.001 --warmup_runs=1"


class Cost(NamedTuple):
    """Of one play, in seconds."""

    wall_s: float
    cpu_s: float


def play(scratch: Path, hosts: dict[str, Any], repetitions: int) -> Cost:
    """Play site.yml once for these hosts."""
    name = f"h{len(hosts)}r{repetitions}"
    inventory = scratch / f"{name}.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    settings = tiny_campaign(
        scratch,
        campaign_name=name,
        campaign_flags=FLAGS,
        campaign_min_repetitions=repetitions,
        benchmark_report_output=f"{scratch}/results/{name}",
    )
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "site.yml", "-i", str(inventory)]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [*command, "-e", json.dumps(settings)],
        cwd=ROOT,
        env=os.environ | environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return Cost(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def results() -> Iterator[Result]:
    lab = SshLab(HOSTS, no_python=frozenset())
    if lacks := lab.missing():
        raise SystemExit(f"bench_fleet needs {lacks}")
    with lab, tempfile.TemporaryDirectory(prefix="bench-fleet-") as name:
        scratch = Path(name)
        hosts = lab.inventory()["all"]["hosts"]
        one = dict([next(iter(hosts.items()))])
        cost = {}
        for key, chosen, repetitions in (("one", one, 3), ("one, 30", one, 30), ("all", hosts, 3)):
            play(scratch, chosen, repetitions)  # measures
            cost[key] = min(play(scratch, chosen, repetitions) for _ in range(3))
    one, many, long = cost["one"], cost["all"], cost["one, 30"]
    yield Result(
        f"{HOSTS} hosts ({many.wall_s:.1f} s) / 1 host ({one.wall_s:.1f} s), nothing to measure",
        many.wall_s / one.wall_s,
        "x",
        2.5,
    )
    yield Result(f"controller's CPU time per host, {HOSTS} hosts", many.cpu_s / HOSTS, "s", 3)
    yield Result("controller's CPU time, 1 host", one.cpu_s, "s", 3)
    yield Result(f"30 repetitions ({long.wall_s:.1f} s) / 3, nothing to measure", long.wall_s / one.wall_s, "x", 1.15)


if __name__ == "__main__":
    main(results)
