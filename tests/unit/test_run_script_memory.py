"""The script on the host: runs that do not fit in memory, and what follows for their configurations."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from analysis import campaign, tables
from analysis.study import Study
from tests.run_host import SHELLS, Host, is_running, wait_for

MB = 1024  # kB
AUTO = {"iterations": "auto", "pilot_runs": 2, "flags": "--warmup_runs=1"}
NO_ROOM = 'echo "ERROR: out of memory: cannot allocate 4096 MB"; exit 1'


@pytest.fixture(params=SHELLS)
def host(request, tmp_path) -> Iterator[Host]:
    host = Host(request.param, tmp_path / "it's a dir")
    yield host
    host.clean_up()


def meminfo(available_mb: int, swap_free_mb: int = 0) -> str:
    """Of a machine with 4000 MB, so that the reserve is 200 MB."""
    return (
        f"MemTotal: {4000 * MB} kB\nMemFree: 1 kB\nMemAvailable: {available_mb * MB} kB\nBuffers: 1 kB\n"
        f"SwapTotal: {1000 * MB} kB\nSwapFree: {swap_free_mb * MB} kB"
    )


def becomes(available_mb: int, swap_free_mb: int = 0) -> str:
    """Commands for `Host.during`."""
    return f"cat >\"$machine/proc/meminfo\" <<'END'\n{meminfo(available_mb, swap_free_mb)}\nEND\n"


def left(host: Host) -> list[tuple[str, str, str, str]]:
    return [(row["model"], row["block"], row["n"], row["reason"]) for row in host.table("stopping.tsv")]


def assert_the_same_again(host: Host) -> None:
    """A script that finds all of it done says the same of it."""
    before, done = host.mtimes(), host.done()
    (host.run_dir / "DONE").unlink()
    assert host().returncode == 0
    assert (host.mtimes(), host.done()) == (before, done)


def test_what_needs_more_than_is_available_is_not_started_and_leaves_the_plan(host):
    host.put("proc/meminfo", meminfo(available_mb=1000))
    host.prepare(["ok", "slow"], repetitions=3)
    host.need_memory(ok=1000, slow=1001)
    host.during("slow", ': >"$run_dir/started"')
    done = host()
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(host.sidecars()) == ["ok_r01", "ok_r02", "ok_r03", "slow_r01"]
    sidecar = host.sidecars()["slow_r01"]
    needs = "needs at least 1001 MB, 1000 MB are available"
    assert sidecar["failure"] == f"out of memory: predicted: {needs}"
    assert (sidecar["exit_code"], sidecar["timed_out"]) == ("125", "0")
    assert sidecar["end_uptime_s"] == sidecar["start_uptime_s"]
    assert sidecar["argv"].endswith("slow.tflite' --num_threads=1 --num_runs=2")
    log = (host.run_dir / "runs" / f"{sidecar['run']}.log").read_text()
    assert log == f"ERROR: out of memory: {needs}; the runner was not started\n"
    assert not (host.run_dir / "started").exists()
    assert left(host) == [("slow", "1", "0", "out of memory")]
    assert host.done() == {"finished": 4, "failed": 1, "invalid": 0, "repeated": 0, "total": 4}
    assert "a configuration leaves the plan, since it does not fit in memory: slow/float32/fake/1" in done.stdout
    assert_the_same_again(host)


def test_a_run_is_ended_with_its_children_while_there_is_memory_left_for_others(host):
    host.put("proc/meminfo", meminfo(available_mb=1000))
    host.prepare(["hang"], repetitions=2)
    host.during("hang", f'sleep 603 & echo $! >"$run_dir/child"\n{becomes(available_mb=199)}')
    assert host().returncode == 0
    (sidecar,) = host.sidecars().values()
    assert sidecar["failure"] == (
        "out of memory: 199 MB were available of 4000 MB, below the reserve of 200 MB, so the run was ended"
    )
    assert (sidecar["exit_code"], sidecar["timed_out"]) == ("137", "0")
    assert left(host) == [("hang", "1", "0", "out of memory")]
    wait_for("the child's end", lambda: not is_running(int((host.run_dir / "child").read_text())))
    assert host.left_running() == {}


def test_a_run_that_makes_the_machine_swap_is_ended(host):
    host.put("proc/meminfo", meminfo(available_mb=1000, swap_free_mb=900))
    host.prepare(["hang"])
    host.during("hang", becomes(available_mb=1000, swap_free_mb=830))
    assert host().returncode == 0
    assert host.sidecars()["hang_r01"]["failure"] == (
        "out of memory: the machine swapped: 70 MB more were in the swap, so the run was ended"
    )


@pytest.mark.parametrize(
    ("setting", "words"),
    [("0", None), ("300", None), ("301", "300 MB were available of 4000 MB, below the reserve of 301 MB")],
)
def test_the_reserve_is_a_setting(setting, words, tmp_path):
    host = Host("dash", tmp_path / "run")
    host.put("proc/meminfo", meminfo(available_mb=301, swap_free_mb=900))
    host.prepare(["ok"], benchmark_run_min_available_mb=setting)
    text = host.script.read_text()
    host.script.write_text(text.replace("look_at_memory() {", 'look_at_memory() {\n  echo look >>"$run_dir/looked"'))
    wait = 'until [ -e "$run_dir/looked" ] && [ "$(wc -l <"$run_dir/looked")" -ge 2 ]; do sleep 0.1; done'
    host.during("ok", becomes(available_mb=300, swap_free_mb=900) + (wait if setting != "0" else ""))
    assert host().returncode == 0
    assert (host.run_dir / "looked").exists() == (setting != "0")
    assert (words or "") in host.sidecars()["ok_r01"].get("failure", "")
    assert host.done()["failed"] == (1 if words else 0)


def test_a_machine_that_is_short_of_memory_before_a_run_says_nothing_about_it(host):
    host.put("proc/meminfo", meminfo(available_mb=199))
    host.prepare(["ok"], repetitions=2, benchmark_run_max_wait_s=1)
    refused = host()
    assert refused.returncode == 71
    assert "199 MB of memory are available, below the reserve of 200 MB; end other programs or lower" in refused.stdout
    assert host.sidecars() == {}
    assert not (host.run_dir / "stopping.tsv").exists()
    host.put("proc/meminfo", meminfo(available_mb=200))
    assert host().returncode == 0
    assert host.done() == {"finished": 2, "failed": 0, "invalid": 0, "repeated": 0, "total": 2}


def test_a_reserve_that_is_no_number_keeps_it_from_beginning(tmp_path):
    host = Host("dash", tmp_path / "run")
    host.prepare(["ok"], benchmark_run_min_available_mb="much")
    refused = host()
    assert refused.returncode == 64
    assert "benchmark_run_min_available_mb is 'much'; expected a number of MB, or auto" in refused.stdout


def test_what_the_runner_says_counts_later_blocks_too_and_is_not_repeated(host):
    host.prepare(["ok"], repetitions=4)
    host.during("ok", f'[ "$(ls "$run_dir/runs" | grep -c meta)" -lt 2 ] || {{ {NO_ROOM}; }}')
    assert host().returncode == 0
    assert host.sidecars()["ok_r03"]["failure"] == "out of memory: cannot allocate 4096 MB"
    assert host.sidecars()["ok_r03"]["exit_code"] == "1"
    assert left(host) == [("ok", "3", "2", "out of memory")]
    assert host.done() == {"finished": 3, "failed": 1, "invalid": 0, "repeated": 0, "total": 3}
    assert_the_same_again(host)


KILLS = {
    "by the kernel": ("oom_kill 3", "oom_kill 4", "out of memory: killed by the kernel"),
    "not by the kernel": (
        "oom_kill 3",
        "oom_kill 3",
        "killed (signal 9) by somebody; the kernel counts no process that it ended because memory ran out",
    ),
    "nobody knows": ("pswpout 0", "pswpout 0", "killed (signal 9), perhaps by the kernel because memory ran out"),
}


@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_run_says_by_whom_as_far_as_that_is_known(tmp_path, kill):
    early, late, words = KILLS[kill]
    host = Host("dash", tmp_path / "run")
    host.put("proc/vmstat", early)
    host.prepare(["ok"], repetitions=2)
    host.during("ok", f'echo "{late}" >"$machine/proc/vmstat"\nkill -KILL $$')
    assert host().returncode == 0
    assert host.sidecars()["ok_r01"]["exit_code"] == "137"
    assert host.sidecars()["ok_r01"]["failure"] == words
    assert len(host.sidecars()) == (1 if kill == "by the kernel" else 2)


def test_the_kernel_takes_the_runner_first(host):
    if subprocess.run(["sh", "-c", "echo 1000 >/proc/self/oom_score_adj"], check=False).returncode:
        pytest.skip("needs a kernel that lets a process offer itself")
    host.prepare(["ok"])
    host.during("ok", "cat /proc/$$/oom_score_adj")
    assert host().returncode == 0
    assert next((host.run_dir / "runs").glob("*.log")).read_text().startswith("1000\n")


def test_a_pilot_without_memory_spares_its_configuration_everything_else(host, monkeypatch):
    monkeypatch.setattr("ansible_collections.edgebench.testbed.plugins.module_utils.plan.PROFILING_RUNNERS", ("fake",))
    host.prepare(["ok", "slow"], repetitions=2, campaign=AUTO | {"op_profiling": True})
    host.during("slow", NO_ROOM)
    assert host().returncode == 0
    assert [s["phase"] for s in host.sidecars_of("ok")] == ["pilot"] * 2 + ["measure"] * 2 + ["profile"]
    assert [s["phase"] for s in host.sidecars_of("slow")] == ["pilot"]
    assert left(host) == [("slow", "0", "0", "out of memory")]
    assert host.done() == {"finished": 6, "failed": 1, "invalid": 0, "repeated": 0, "total": 6}
    assert_the_same_again(host)


def test_killed_again_and_again_it_decides_the_same(host):
    host.put("proc/meminfo", meminfo(available_mb=1000))
    host.prepare(["ok", "noisy", "crash"], repetitions=3)
    host.need_memory(noisy=1001)
    host.during("crash", NO_ROOM)
    moments = random.Random(11)
    for _ in range(8):
        process = host.start()
        try:
            process.wait(timeout=moments.uniform(0.02, 0.3))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert host().returncode == 0
    assert sorted(host.sidecars()) == ["crash_r01", "noisy_r01", "ok_r01", "ok_r02", "ok_r03"]
    assert sorted(left(host)) == [("crash", "1", "0", "out of memory"), ("noisy", "1", "0", "out of memory")]
    assert host.done() == {"finished": 5, "failed": 2, "invalid": 0, "repeated": 0, "total": 5}


def test_with_a_stopping_rule_it_leaves_once_and_at_once(host):
    host.prepare(["ok", "crash"], campaign={"min_repetitions": 3, "max_repetitions": 5})
    host.during("crash", NO_ROOM)
    host.during("ok", "export FAKE_AVG_US=1000")
    assert host().returncode == 0
    assert left(host) == [("crash", "1", "0", "out of memory"), ("ok", "3", "3", "narrow")]
    assert host.done()["total"] == host.done()["finished"] == 4


@pytest.mark.parametrize("shell", ["dash", "android"])  # busybox has awk built in
def test_it_needs_no_awk(shell, tmp_path):
    host = Host(shell, tmp_path / "run")
    host.prepare(["crash"], repetitions=3)
    host.during("crash", NO_ROOM)
    script = host.script.read_text()
    host.script.write_text(script.replace("command -v awk", "command -v nawk-").replace("awk '", "nawk- '"))
    done = host()
    assert (done.returncode, done.stderr) == (0, "")
    assert left(host) == [("crash", "1", "0", "out of memory")]


def test_the_plan_of_an_earlier_kit_goes_on(host):
    host.put("proc/meminfo", meminfo(available_mb=1000))
    host.prepare(["ok"])
    rows = host.table("plan.tsv")
    host.write_plan([column for column in rows[0] if column != "least_memory_mb"], rows)
    assert host().returncode == 0
    sidecar = host.sidecars()["ok_r01"]
    assert (sidecar["model_file"], sidecar["model_sha256"]) == ("ok.tflite", "0" * 64)
    assert sidecar["argv"].endswith("ok.tflite' --num_threads=1 --num_runs=2")
    host.need_memory(ok=2000)
    again = host.table("plan.tsv")
    host.write_plan(list(again[0]), [again[0] | {"flags": "-"}])
    shutil.rmtree(host.run_dir / "runs")
    (host.run_dir / "DONE").unlink()
    assert host().returncode == 0
    assert host.sidecars()["ok_r01"]["argv"].endswith("ok.tflite' ")


def test_analysis_misses_nothing_of_what_left(tmp_path, monkeypatch):
    monkeypatch.setattr("ansible_collections.edgebench.testbed.plugins.module_utils.plan.PROFILING_RUNNERS", ("fake",))
    host = Host("dash", tmp_path / "run")
    host.put("proc/meminfo", meminfo(available_mb=1000))
    settings = AUTO | {"op_profiling": True}
    host.prepare(["ok", "noisy", "big"], repetitions=3, campaign=settings)
    host.need_memory(noisy=1001)
    host.during("big", f'[ "$(ls "$run_dir/runs" | grep -c "_big.*_r.*meta")" -lt 1 ] || {{ {NO_ROOM}; }}')
    assert host().returncode == 0

    home = tmp_path / "logs/demo/testhost"
    shutil.copytree(host.run_dir, home, ignore=shutil.ignore_patterns("models", "lock*"))
    asked = {"min_repetitions": 3, "max_repetitions": 3}
    (home.parent / "campaign.json").write_text(json.dumps({"schema": 1, "settings": asked, "hosts": ["testhost"]}))
    for done in (True, False):
        if not done:
            (home / "DONE").unlink()
        read = campaign.read([tmp_path / "logs"])
        assert (read.problems, read.unfinished) == ([], {})
    reasons = read.runs[read.runs["status"] == "failed"].set_index("model")["reason"].to_dict()
    assert reasons == {
        "noisy": "out of memory: predicted: needs at least 1001 MB, 1000 MB are available; no benchmark run in the log",
        "big": "out of memory: cannot allocate 4096 MB; no benchmark run in the log",
    }
    study = Study(read)
    decisions = tables.decisions(study, tables.effects(study, "float32")).set_index("model")
    assert decisions["left_reason"].to_dict() == {"big": "out of memory", "noisy": "out of memory", "ok": ""}
    assert decisions["left_after_block"].fillna(-1).to_dict() == {"big": 2, "noisy": 0, "ok": -1}
