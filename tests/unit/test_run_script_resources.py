"""The script on the host: memory and CPU time of a runner's processes while it runs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator

import pytest

from analysis import usage
from tests.rendering import render_run_script
from tests.run_host import FAKE_RUNNER, SHELLS, Host

PAGE_KB = 16
UNTIL = 'until grep -q "{}" "$run_dir/tmp/resources"; do sleep 0.02; done 2>/dev/null\n'
APPEAR = 'mkdir -p "$machine/proc/$$"\necho "{}" >"$machine/proc/$$/stat"\n'  # the runner, to who looks there


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


def put_proc(host: Host) -> None:
    """What tells the script that /proc says something, and how large a page is."""
    host.put("proc/uptime", "1000.25 1.0")
    host.put("proc/self/statm", "50 20 10 5 0 15 0")
    host.put("proc/self/status", f"Name:\tsh\nVmPeak:\t     999 kB\nVmSize:\t     {50 * PAGE_KB} kB")


def stat(pages: int) -> str:
    """Of a process with a bad name, 3 + 4 ticks of its own, and 20 + 30 of children that have ended."""
    return (
        f"77 (a) b (c) S 1 1 1 0 -1 4194304 500 600 7 8 3 4 20 30 20 0 5 0 1000 99999999 {pages} 18446744073709551615"
    )


def run_one(host: Host) -> dict[str, str]:
    done = host()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    sidecar = host.sidecars()["ok_r01"]
    assert sidecar["exit_code"] == "0"
    return sidecar


def measure_one(host: Host, during: str, **settings) -> dict[str, str]:
    host.prepare(["ok"], timeout_s=20, **settings)
    host.during("ok", during)
    return run_one(host)


def test_a_runner_and_its_children_are_looked_at_together(host):
    put_proc(host)
    host.put("proc/77/stat", stat(100))
    host.put("proc/77/task/77/children", "79 ")
    host.put("proc/79/stat", stat(1000))
    family = 'mkdir -p "$machine/proc/$$/task/$$"\nprintf "77 78 " >"$machine/proc/$$/task/$$/children"\n'
    all_of_them = f":{1110 * PAGE_KB}:{3 * 57}"
    sidecar = measure_one(host, family + APPEAR.format(stat(10)) + UNTIL.format(all_of_them))
    assert "1000.25" + all_of_them in sidecar["resources.samples"].split(" ")


def test_a_process_that_grows(host):
    """A real one, by the real /proc, which grows when it has been seen small."""
    program = (
        "import pathlib, sys, time\n"
        "def seen(least_kb):\n"
        "    lines = path.read_text().splitlines() if path.exists() else []\n"
        "    return any(int(line.split(':')[1]) > least_kb for line in lines)\n"
        "def wait(least_kb):\n"
        "    while not seen(least_kb): time.sleep(0.02)\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "wait(0)\n"
        "held = b'1' * (128 << 20)\n"
        "wait(128 << 10)\n"
    )
    during = f'{shlex.quote(sys.executable)} -c {shlex.quote(program)} "$run_dir/tmp/resources"'
    found = usage.read(usage.samples(measure_one(host, during, __benchmark_run_proc="/proc")))
    assert found.of == usage.PROCESS
    assert found.memory_mb[0] < 128 < max(found.memory_mb) < 512
    assert list(found.time_s) == sorted(found.time_s)
    assert max(found.cpu_percent) > 0


def test_without_proc_there_are_no_samples(host):
    (host.run_dir / "tmp").mkdir(parents=True)
    (host.run_dir / "tmp/resources").write_text("990.5:1:1\n")  # of a run that was ended half way
    assert "resources.samples" not in measure_one(host, "sleep 0.3")


def test_nobody_looks_where_nobody_asks(dash):
    sidecar = measure_one(dash, "sleep 0.3", __benchmark_run_proc="/proc", benchmark_run_resources_s=0)
    assert "resources.samples" not in sidecar


def test_in_a_long_run_samples_become_rarer(dash):
    """Where sleep knows whole seconds only; here they take no time, and the uptime goes on by them."""
    put_proc(dash)
    uptime = shlex.quote(str(dash.put("proc/uptime", "1000 1")))
    appeared = shlex.quote(str(dash.machine / "appeared"))
    dash.put_command(
        "sleep",
        f"#!/bin/sh\n[ $1 = 1 ] || exit 1\nuntil [ -e {appeared} ]; do /bin/sleep 0.01; done\n"
        f'read -r now _ <{uptime}\necho "$((now + 1)) 1" >{uptime}\nexec /bin/sleep 0.01\n',
    )
    dash.prepare(["ok"], timeout_s=9999)  # of that uptime, which runs
    dash.during(
        "ok",
        APPEAR.format(stat(10)) + f": >{appeared}\n" + UNTIL.format("^1017").replace("sleep", "/bin/sleep"),
    )
    text = dash.script.read_text()
    assert "samples_at_a_pace=60" in text
    dash.script.write_text(text.replace("samples_at_a_pace=60", "samples_at_a_pace=3"))
    samples = run_one(dash)["resources.samples"].split(" ")
    assert [int(sample.split(":")[0]) - 1000 for sample in samples][:8] == [1, 2, 3, 5, 7, 9, 13, 17]


def test_of_an_app_the_process_is_looked_at_that_the_runner_names(dash):
    """Its script's own memory would say nothing."""
    put_proc(dash)
    dash.put("proc/77/stat", stat(100))
    dash.prepare(["ok"], timeout_s=20)
    roots = {f"__benchmark_run_{root}": str(dash.machine / root) for root in ("sys", "proc")}
    dash.script.write_text(render_run_script(dash.run_dir, {"fake": FAKE_RUNNER | {"stop": ["true"]}}, **roots))
    used = f":{100 * PAGE_KB}:57"
    dash.during("ok", APPEAR.format(stat(10)) + 'echo 77 >"$EDGEBENCH_PROCESSES"\n' + UNTIL.format(used))
    assert {sample.removeprefix("1000.25") for sample in run_one(dash)["resources.samples"].split(" ")} == {used}
