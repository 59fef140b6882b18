"""How long reading raw logs takes, as a ratio to the plain way of doing it.

The plain way is what the study's first notebook did, written anew: each line of each log against three families of
patterns, the numbers into a dictionary of lists. It knows one format and refuses nothing. Both sides read the same
files in one process; the fastest of several rounds counts, in CPU time, since neighbours on the machine are not ours.

Then 100,000 logs of 1,000 hosts, as a report reads them: in several processes, with all that belongs to them. CPU time
of all processes together, with what dividing the work costs; again the fastest of a few rounds, and the most memory.

    python -m benchmarks.bench_reading
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from analysis import campaign, logs
from benchmarks.result import Result, main
from benchmarks.synthetic import write_campaign

ROOT = Path(__file__).resolve().parent.parent
HOSTS, REPETITIONS = 8, 90  # x 7 models x 2 variants = 10,080 logs
ROUNDS = 5
MANY_HOSTS, MANY_REPETITIONS = 1_024, 7  # x 7 models x 2 variants = 100,352 logs
MANY_ROUNDS = 6

_N, _M = r"(\d+\.\d+)", r"(\d+)"
_TIMINGS = (
    r"INFO: Inference timings in us: Init: (\d+), First inference: (\d+), Warmup \(avg\): {}, Inference \(avg\): {}"
)
_MEMORY = r"INFO: Memory footprint delta from the start of the tool \(MB\): init={} overall={}"
_FAMILIES = {
    ("init_time",): [re.compile(rf"INFO: Initialized session in {n}ms\.") for n in (_N, _M)],
    ("init", "first", "warmup", "avg"): [
        re.compile(_TIMINGS.format(warmup, avg))
        for warmup, avg in ((r"([\d.e+]+)", r"([\d.e+]+)"), (r"([\d.e+]+)", _M), (_N, _N), (_M, _N), (_M, _M))
    ],
    ("memory_init", "memory_overall"): [
        re.compile(_MEMORY.format(init, overall)) for init in (_N, _M) for overall in (_N, _M)
    ],
}


def read_plainly(paths: Sequence[Path]) -> int:
    """The plain way; return how many logs gave an average."""
    results = defaultdict(list)
    for path in paths:
        for line in path.read_text(encoding="utf-8").split("\n"):
            for names, patterns in _FAMILIES.items():
                for pattern in patterns:
                    if found := pattern.search(line):
                        for name, value in zip(names, found.groups(), strict=True):
                            results[name].append(float(value))
                        break
    return len(results["avg"])


def read_logs(paths: Sequence[Path]) -> int:
    """Our way, the same files; return how many runs are ok."""
    return sum(run.status == logs.OK for path in paths for run in logs.parse(logs.decode(path.read_bytes())))


def read_campaign(root: Path) -> int:
    """Our way with all that belongs to it: finding the files, sidecars, the table; return how many runs are ok."""
    return int((campaign.read([root]).runs["status"] == logs.OK).sum())


def measure() -> dict[str, float]:
    """Measure; times in microseconds of CPU per log."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        count = write_campaign(root, hosts=HOSTS, repetitions=REPETITIONS, runner="benchmark_model")
        paths = sorted(root.glob("bench/*/runs/*.log"))
        ways: dict[str, Callable[[], int]] = {
            "plain_us": lambda: read_plainly(paths),
            "logs_us": lambda: read_logs(paths),
            "campaign_us": lambda: read_campaign(root),
        }
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):
            for way, read in ways.items():
                start = time.process_time()
                read_ok = read()
                times[way].append(time.process_time() - start)
                if read_ok != count:
                    raise AssertionError(f"{way}: {read_ok} of {count} logs read")
    return {way: min(seconds) / count * 1e6 for way, seconds in times.items()}


_READ_MANY = """
import json, resource, sys, time
from pathlib import Path
from analysis import campaign, engines, layout
start = time.process_time()
with layout.opened([Path(sys.argv[1])]) as found:
    with engines.opened(engines.PROCESSES, found) as spread:
        runs = campaign.assemble(found, sys.argv[1], spread).runs
own, helpers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
cpu_s = time.process_time() - start + helpers.ru_utime + helpers.ru_stime
# Every helper as large as the largest, and nothing shared: more than it was.
mb = (own.ru_maxrss + engines.cpus() * helpers.ru_maxrss) / 1024
print(json.dumps({"ok": int((runs["status"] == "ok").sum()), "cpu_s": cpu_s, "mb": mb}))
"""


def measure_many() -> dict[str, float]:
    """Read 100,000 logs of 1,000 hosts: `us` of CPU a log, and `mb` of memory at most, in all processes together."""
    with tempfile.TemporaryDirectory() as name:
        count = write_campaign(Path(name), hosts=MANY_HOSTS, repetitions=MANY_REPETITIONS, runner="benchmark_model")
        command = [sys.executable, "-c", _READ_MANY, name]
        said = [
            json.loads(subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout)
            for _ in range(MANY_ROUNDS)
        ]
    for each in said:
        if each["ok"] != count:
            raise AssertionError(f"{each['ok']} of {count} logs read")
    return {"us": min(each["cpu_s"] for each in said) / count * 1e6, "mb": max(each["mb"] for each in said)}


def results() -> Iterator[Result]:
    """Ratios to the plain way: of the same files, and of all that a campaign has (sidecars, plans, the table)."""
    us = measure()
    plain = f"plain way {us['plain_us']:.0f} us a log"
    yield from [
        Result(f"reading logs ({us['logs_us']:.0f} us a log) / {plain}", us["logs_us"] / us["plain_us"], "x", 2),
        Result(
            f"reading a campaign, sidecars too ({us['campaign_us']:.0f} us a log) / {plain}, which knows none",
            us["campaign_us"] / us["plain_us"],
            "x",
            3.5,
        ),
    ]
    many = measure_many()
    yield Result(f"CPU time a log of 100,000 = {1e6 / many['us']:,.0f} logs per second and core", many["us"], "us", 125)
    yield Result("memory while reading 100,000 logs, all processes together", many["mb"], "MB", 2_000)


if __name__ == "__main__":
    main(results)
