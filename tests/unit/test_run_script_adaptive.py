"""The script on the host: a pilot chooses iterations, and what is known well enough leaves the plan."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import statistics
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import special

from analysis import stats
from tests.rendering import ROOT
from tests.run_host import SHELLS, Host, wait_for
from tests.stopping_rule import mean_half_percent, speedup_half_percent, stops

SCRIPT = ROOT / "tests/golden/run_benchmark.sh"
AWKS = {
    "busybox": ["busybox", "awk"],
    "mawk": ["mawk"],
    "gawk": ["gawk"],
    "original-awk": ["original-awk"],
}
ADAPTIVE = {"min_repetitions": 3, "max_repetitions": 8, "target_percent": 1.0}
AUTO = {"iterations": "auto", "pilot_runs": 2, "flags": "--warmup_runs=1"}
HEADER = "model variant runner threads delegate batch_size input_size"


@pytest.fixture(params=SHELLS)
def host(request, tmp_path) -> Iterator[Host]:
    host = Host(request.param, tmp_path / "it's a dir")
    yield host
    host.clean_up()


# ---- The rule and the choice by themselves, as every awk calculates them ----


@pytest.fixture(params=AWKS)
def awk(request, tmp_path):
    """Run a function of the script, with this awk, in a directory with the files that are given."""
    words = AWKS[request.param]
    if not shutil.which(words[0]):
        pytest.skip(f"needs {request.param}")

    def run(call: str, **files: str) -> list[list[str]]:
        (tmp_path / "tmp").mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / name.replace("__", "/").replace("_tsv", ".tsv")).write_text(text)
        text = SCRIPT.read_text()
        start, end = text.index("awk_root='"), text.index("# ---- What is there already")
        known = f"run_dir='{tmp_path}' newline='\n' min_repetitions=4 target_percent=1.0 baseline=float32"
        shell = f'awk() {{ command {" ".join(words)} "$@"; }}\n{known}\n{text[start:end]}\n{call}\n'
        done = subprocess.run(
            ["sh", "-c", shell], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
        )
        assert (done.returncode, done.stderr) == (0, "")
        return [line.split("\t") for line in done.stdout.splitlines()]

    return run


def plan_of(configurations: list[str]) -> str:
    rows = [f"x 1 1 measure {' '.join(name.split('/'))} 60 file - -".replace(" ", "\t") for name in configurations]
    return "\n".join(["run", *rows, ""])


def name_of(case: int, variant: str) -> str:
    return f"m{case}/{variant}/litert/1/default/-/-"


def test_students_quantile(awk):
    df = np.concatenate([np.linspace(1, 4, 40), np.linspace(5, 300, 40)])
    function = re.search(r"^    function t975.*?^    }", SCRIPT.read_text(), re.DOTALL | re.MULTILINE)[0]
    found = awk(f"""awk '{function} {{ printf "%.12g\\n", t975($1) }}' <<END\n{chr(10).join(map(str, df))}\nEND""")
    assert np.array(found, dtype=float).ravel() == pytest.approx(special.stdtrit(df, 0.975), rel=1e-4)


def test_without_a_limit_to_degrees_of_freedom_the_rule_has_the_reports_intervals():
    random_numbers = np.random.default_rng(8)
    for n_b, n_c in ((10, 10), (12, 7), (30, 10), (3, 3)):
        common = random_numbers.standard_normal(40)
        values = 100 + common + random_numbers.standard_normal((2, 40))
        values[0, n_b:] = values[1, n_c:] = np.nan
        b, c = (stats.Sample(list(x[~np.isnan(x)]), list(range(np.sum(~np.isnan(x))))) for x in values)
        expected = stats.speedup(b, c)
        half = 100 * (expected.ci_high - expected.ci_low) / 2 / expected.speedup
        assert speedup_half_percent(values[0], values[1], least=99) == pytest.approx(half, rel=0.02)
        low, high = stats.mean_interval(np.mean(b.values), np.std(b.values, ddof=1), n_b)
        assert mean_half_percent(values[0], least=99) == pytest.approx(100 * (high - low) / 2 / np.mean(b.values))


def test_the_rule_is_that_of_an_independent_calculation(awk):
    """300 cases of a baseline and two candidates, with runs that are missing, correlated blocks, any spread."""
    random_numbers = np.random.default_rng(5)
    blocks, cases, variants = 9, 300, ("float32", "int8", "pruned")
    shape = (cases, 3, blocks)
    spread = 10 ** random_numbers.uniform(-3.3, -1.5, (cases, 3, 1))
    common = random_numbers.standard_normal((cases, 1, blocks)) * random_numbers.choice([0, 1], (cases, 1, 1))
    values = 1000 * (1 + spread * (common + random_numbers.standard_normal(shape))) * [[[1.0], [0.3], [1.7]]]
    values[random_numbers.random(shape) < random_numbers.choice([0, 0, 0.3], (cases, 1, 1))] = np.nan
    values[:5, 1] = np.nan
    values[5:8, 0] = np.nan
    values[8:10] = 1000.0
    plan = [name_of(case, variant) for case in range(cases) for variant in variants]
    for block in (4, 9):
        seen = values[:, :, :block]
        lines = []
        for case, at, k in zip(*np.nonzero(~np.isnan(seen)), strict=True):
            name = name_of(case, variants[at])
            lines.append(f"{name} {k + 1} measure 50 {values[case, at, k]:.17g} 1 2.5\n")
            lines += [f"{name} {k + 1} - 50 9e9 1 2.5\n", f"{name} 0 pilot 50 9e9 1 2.5\n"]  # are no repetitions
        random_numbers.shuffle(lines)
        rows = awk(f"list_leaving {block}", plan_tsv=plan_of(plan), tmp__results="".join(lines))
        leaving = zip(*np.nonzero(stops(seen, 4, 1.0)), strict=True)
        assert {(row[0], row[1]) for row in rows} == {(f"m{case}", variants[at]) for case, at in leaving}
        assert 100 < len(rows) < 600
        means, speedups = mean_half_percent(seen, 4), speedup_half_percent(seen[:, :1], seen, 4)
        for row in rows:
            case, at = int(row[0][1:]), variants.index(row[1])
            values_here = seen[case, at][~np.isnan(seen[case, at])]
            assert row[7:9] == [str(block), str(len(values_here))]
            if len(values_here) == 0:
                assert row[9:] == ["-", "-", "-", "never worked"]
                continue
            against = [k for k in (1, 2) if np.isfinite(speedups[case, k])] if at == 0 else [at]
            expected = [values_here.mean() / 1000, means[case, at], max(speedups[case, against], default=np.inf)]
            found = [np.inf if value == "-" else float(value) for value in row[9:12]]
            assert found == pytest.approx(expected, rel=1e-3)
            assert row[12] == "narrow"


def test_what_has_left_is_not_listed_again(awk):
    lines = [f"{name_of(1, v)} {b} measure 50 1000 1 2.5\n" for v in ("float32", "int8") for b in range(1, 5)]
    files = {"plan_tsv": plan_of([name_of(1, "float32"), name_of(1, "int8")]), "tmp__results": "".join(lines)}
    assert [row[1] for row in awk("list_leaving 4", **files)] == ["float32", "int8"]
    stopped = f"{HEADER} block n\nm1 float32 litert 1 default - - 4 4\n".replace(" ", "\t")
    assert [row[1] for row in awk("list_leaving 4", stopping_tsv=stopped, **files)] == ["int8"]


def test_iterations_are_those_that_kalibera_and_jones_give(awk):
    """Known variances: 3 pilots of each configuration, one without any, one at each bound."""
    pilots = {  # configuration: (iterations, [mean_us], std_us, seconds of the process)
        name_of(1, "float32"): (20, [5000, 5040, 5050], 250, 0.7),
        name_of(2, "float32"): (10, [170000, 174000, 169000], 3000, 3.4),
        name_of(3, "float32"): (10, [900000, 905000, 899000], 2000, 9.1),
        name_of(4, "float32"): (1000, [2000, 2040, 2030], 600, 5.0),
    }
    lines, within, between = [], {}, []
    for name, (count, means, std, seconds) in pilots.items():
        lines += [f"{name} 0 pilot {count} {mean} {std} {seconds}\n" for mean in means]
        within[name] = statistics.mean(((std + 0.5) / mean) ** 2 * count / (count - 1) for mean in means)
        between.append(statistics.variance(means) / statistics.mean(means) ** 2 - within[name] / count)
    pooled = max(statistics.mean(between), 0.002**2)
    lines.append(f"{name_of(1, 'float32')} 0 - 20 9000 250 0.7\n")  # an invalid one
    rows = awk("list_iterations", plan_tsv=plan_of([*pilots, name_of(5, "float32")]), tmp__results="".join(lines))
    assert " ".join(rows[0]) == (
        f"{HEADER} iterations pilot_runs mean_ms within_sd_percent between_sd_percent overhead_s reason"
    )
    reasons = ["chosen", "chosen", "at the lower bound", "at the upper bound"]
    for row, (name, (count, means, _, seconds)), reason in zip(rows[1:5], pilots.items(), reasons, strict=True):
        mean_us = statistics.mean(means)
        overhead_s = max(seconds - count * mean_us / 1e6, 0.01)
        best = (overhead_s / (mean_us / 1e6) * within[name] / pooled) ** 0.5
        expected = {"at the lower bound": 10, "at the upper bound": int(1e6 / mean_us) + 1}.get(reason, round(best))
        assert "/".join(row[:7]) == name
        assert (int(row[7]), row[8], row[13]) == (expected, "3", reason)
        shown = [mean_us / 1000, 100 * within[name] ** 0.5, 100 * pooled**0.5, overhead_s]
        assert [float(value) for value in row[9:13]] == pytest.approx(shown, rel=0.006)
    assert rows[5][7:] == ["-", "0", "-", "-", "-", "-", "no pilot run was ok"]


# ---- The script as a whole ----


def times(host: Host, values_us: list[float], model: str = "ok", variant: str = "float32", more: str = "") -> None:
    """Let the repetitions of a configuration take these times, one after the other."""
    host.during(
        host.file(model, variant).removesuffix(".tflite"),
        f'n=$(ls "$run_dir/runs" | grep -c "_{model}[.]{variant}[.].*_r.*[.]meta")\n'
        'nth() { shift "$n"; FAKE_AVG_US=$1; }\n'
        f"nth {' '.join(map(str, values_us))}\n"
        f"export FAKE_AVG_US\n{more}",
    )


NARROW = [1000, 1001, 999, 1000.5, 999.5, 1000, 1001, 999]
WIDE = [1000, 1100, 900, 1050, 950, 1000, 1100, 900]


def blocks_of(host: Host, model: str, variant: str = "float32") -> list[int]:
    return sorted(
        int(s["block"]) for s in host.sidecars_of(model, variant) if s["phase"] == "measure" and "retry" not in s
    )


def test_what_is_known_leaves_and_what_is_not_stays_to_the_end(host):
    host.prepare(["ok", "noisy", "crash"], campaign=ADAPTIVE)
    times(host, NARROW)
    times(host, WIDE, "noisy")
    done = host()
    assert (done.returncode, done.stderr) == (0, "")
    assert {model: len(blocks_of(host, model)) for model in ("ok", "noisy", "crash")} == {
        "ok": 3,
        "noisy": 8,
        "crash": 3,
    }
    rows = {row.pop("model"): row for row in host.table("stopping.tsv")}
    common = {"variant": "float32", "runner": "fake", "threads": "1", "delegate": "default"}
    common |= {"batch_size": "-", "input_size": "-", "block": "3", "speedup_interval_percent": "-"}
    assert rows == {
        "ok": common | {"n": "3", "mean_ms": "1", "interval_percent": "0.2484", "reason": "narrow"},
        "crash": common | {"n": "0", "mean_ms": "-", "interval_percent": "-", "reason": "never worked"},
    }
    assert host.done() == {"finished": 14, "failed": 3, "invalid": 0, "repeated": 0, "total": 14}
    assert "configurations that leave the plan after block 3: 2, see stopping.tsv" in done.stdout


def test_what_is_never_valid_leaves_and_holds_nobody_up(host):
    """A baseline whose runs are all disturbed: its candidate goes by its own mean. Repeats are tried all the same."""
    host.put("proc/vmstat", "pswpout 0")
    host.prepare(["ok"], campaign=ADAPTIVE | {"variants": ["float32", "int8"]})
    swapped = 'echo "pswpout $(($(tr -dc 0-9 <"$machine/proc/vmstat") + 999))" >"$machine/proc/vmstat"'
    times(host, 2 * NARROW, more=swapped)
    times(host, NARROW, variant="int8")
    assert host().returncode == 0
    left = {row["variant"]: (row["block"], row["n"], row["reason"]) for row in host.table("stopping.tsv")}
    assert left == {"float32": ("3", "0", "no valid run"), "int8": ("3", "3", "narrow")}
    assert host.done() == {"finished": 6, "failed": 0, "invalid": 3, "repeated": 6, "total": 6}


def test_a_configuration_that_only_its_pilot_could_run_leaves(host):
    host.prepare(["ok"], campaign=ADAPTIVE | AUTO)
    host.during("ok", "case $* in *--min_secs=0.1*) ;; *) exit 3 ;; esac")
    assert host().returncode == 0
    assert [(row["block"], row["n"], row["reason"]) for row in host.table("stopping.tsv")] == [
        ("3", "0", "no valid run")
    ]


def test_a_baseline_stays_for_its_candidates_and_a_candidate_for_its_speedup(host):
    host.prepare(["ok", "other"], campaign=ADAPTIVE | {"variants": ["float32", "int8"]})
    times(host, NARROW)
    times(host, [1000, 1012, 1000, 1000, 1000, 1000, 1000, 1000], variant="int8")  # a slow start, then quiet
    times(host, NARROW, "other")
    times(host, WIDE, "other", "int8")
    assert host().returncode == 0
    assert blocks_of(host, "other") == blocks_of(host, "other", "int8") == list(range(1, 9))
    left = {(row["model"], row["variant"]): int(row["block"]) for row in host.table("stopping.tsv")}
    # From block 5 on the speedup is known; the candidate's mean, in which no pairs help, one block later.
    assert left == {("ok", "float32"): 5, ("ok", "int8"): 6}
    assert (len(blocks_of(host, "ok")), len(blocks_of(host, "ok", "int8"))) == (5, 6)


def test_a_fixed_number_of_repetitions_is_just_that(host):
    host.prepare(["ok"], repetitions=4)
    times(host, NARROW)
    assert host().returncode == 0
    assert len(host.sidecars()) == 4
    assert not (host.run_dir / "stopping.tsv").exists()


def test_invalid_runs_are_no_repetitions_and_are_repeated_at_the_end(host):
    host.put("proc/vmstat", "pswpout 0")
    host.prepare(["ok"], campaign=ADAPTIVE)
    once = '[ -e "$run_dir/swapped" ] || { : >"$run_dir/swapped"; echo pswpout 999 >"$machine/proc/vmstat"; }'
    times(host, NARROW, more=once)
    assert host().returncode == 0
    assert blocks_of(host, "ok") == [1, 2, 3, 4]
    assert [(row["block"], row["n"]) for row in host.table("stopping.tsv")] == [("4", "3")]
    assert host.done() == {"finished": 4, "failed": 0, "invalid": 0, "repeated": 1, "total": 4}


def test_a_pilot_chooses_what_the_repetitions_have(host):
    host.prepare(["ok", "crash"], repetitions=2, campaign=AUTO)
    host.during("ok", "export FAKE_STD_US=6000")
    assert host().returncode == 0
    names = sorted(path.stem.partition("_")[2] for path in (host.run_dir / "runs").glob("*.meta"))
    assert [name for name in names if name.startswith("ok")] == [
        f"ok.float32.fake.t1_{ending}" for ending in ("p01", "p02", "r01", "r02")
    ]
    pilots = [s for s in host.sidecars_of("ok") if s["phase"] == "pilot"]
    assert [(s["block"], s["repetition"]) for s in pilots] == [("0", "1"), ("0", "2")]
    assert all(s["argv"].endswith("--warmup_runs=1 --num_runs=10 --min_secs=0.1") for s in pilots)
    assert not any("iterations_wanted" in s for s in pilots)
    chosen = {row["model"]: (row["iterations"], row["reason"]) for row in host.table("iterations.tsv")}
    assert chosen == {"ok": (chosen["ok"][0], "chosen"), "crash": ("-", "no pilot run was ok")}
    for sidecar in host.sidecars_of("ok"):
        if sidecar["phase"] == "measure":
            assert sidecar["iterations_wanted"] == chosen["ok"][0]
            assert sidecar["argv"].endswith(f"--warmup_runs=1 --num_runs={chosen['ok'][0]} --min_secs=0.001")
    assert all(s["argv"].endswith("--warmup_runs=1") for s in host.sidecars_of("crash") if s["phase"] == "measure")


def test_what_was_chosen_and_who_left_stands_when_the_script_is_killed_at_any_moment(host):
    host.prepare(["ok", "noisy"], campaign=ADAPTIVE | AUTO)
    times(host, NARROW)
    times(host, WIDE, "noisy")
    moments = random.Random(3)
    known: dict[str, str] = {}
    for _ in range(12):
        process = host.start()
        try:
            process.wait(timeout=moments.uniform(0.05, 0.6))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for name in ("iterations.tsv", "stopping.tsv"):
            path = host.run_dir / name
            text = path.read_text() if path.exists() else ""
            assert text.startswith(known.get(name, "")), "what was decided has changed"
            known[name] = text
    assert host().returncode == 0
    assert blocks_of(host, "ok") == [1, 2, 3]
    assert blocks_of(host, "noisy") == list(range(1, 9))
    assert [row["model"] for row in host.table("stopping.tsv")] == ["ok"]
    assert host.done()["total"] == host.done()["finished"] == 3 + 8 + 4


def test_a_decision_that_was_not_written_is_made_when_the_script_goes_on(host):
    """As after a kill between the last run of a block and stopping.tsv."""
    host.prepare(["ok", "noisy"], campaign=ADAPTIVE)
    times(host, NARROW)
    times(host, WIDE, "noisy")
    assert host().returncode == 0
    decided = (host.run_dir / "stopping.tsv").read_text()
    before = host.mtimes()
    for path in (host.run_dir / "runs").glob("*_noisy.*"):
        if int(path.stem[-1]) > 3:
            path.unlink()
    (host.run_dir / "stopping.tsv").unlink()
    (host.run_dir / "DONE").unlink()
    assert host().returncode == 0
    assert (host.run_dir / "stopping.tsv").read_text() == decided
    assert set(host.mtimes()) == set(before)


def test_a_run_that_is_measured_again_later_changes_no_decision(host):
    """Its sidecar was damaged; blocks after it were measured, so its configuration did not leave there."""
    host.prepare(["ok", "noisy"], campaign=ADAPTIVE | {"max_repetitions": 5})
    times(host, [1000, 1100, 1000, 1000, 1000, 1000, 1000])
    times(host, WIDE, "noisy")
    assert host().returncode == 0
    assert host.table("stopping.tsv") == []
    (host.run_dir / "DONE").unlink()
    next((host.run_dir / "runs").glob("*_ok.*_r02.meta")).write_text("")
    times(host, [1000] * 7)
    assert host().returncode == 0
    assert len(blocks_of(host, "ok")) == 5
    assert [row["block"] for row in host.table("stopping.tsv") if row["model"] == "ok"] == ["5"]


def test_progress_says_that_the_plan_may_end_early(host):
    host.prepare(["ok", "noisy"], campaign=ADAPTIVE)
    times(host, NARROW)
    times(host, WIDE, "noisy", more='[ "$n" -lt 4 ] || exec sleep 600')
    process = host.start()
    try:
        wait_for("the end of the third block", lambda: host.status().get("total") == "11")
        assert host.status()["at_most"] == "yes"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


@pytest.mark.parametrize("shell", ["dash", "android"])  # busybox has awk built in
def test_without_awk_everything_is_run_by_the_flags_as_they_are(shell, tmp_path):
    host = Host(shell, tmp_path / "run")
    host.prepare(["ok"], campaign=ADAPTIVE | AUTO | {"max_repetitions": 4})
    script = host.script.read_text()
    host.script.write_text(script.replace("command -v awk", "command -v nawk-").replace("awk '", "nawk- '"))
    done = host()
    assert (done.returncode, done.stderr) == (0, "")
    assert "no awk here, so all 4 blocks are run, by the flags as they are" in done.stdout
    assert blocks_of(host, "ok") == [1, 2, 3, 4]
    assert {s["phase"] for s in host.sidecars_of("ok")} == {"measure"}
    assert not any("iterations_wanted" in s or "checks" in s for s in host.sidecars_of("ok"))
    assert host.done()["total"] == 4


def test_profiles_come_last_and_are_no_repetitions(host, monkeypatch):
    monkeypatch.setattr("ansible_collections.edgebench.testbed.plugins.module_utils.plan.PROFILING_RUNNERS", ("fake",))
    host.prepare(["ok"], campaign=ADAPTIVE | {"op_profiling": True})
    times(host, NARROW)
    assert host().returncode == 0
    last = host.sidecars_of("ok")[-1]
    assert last["run"] == "0009_ok.float32.fake.t1_profile"
    assert (last["phase"], last["block"]) == ("profile", "0")
    assert last["argv"].endswith("--num_runs=2 --enable_op_profiling=true")
    assert blocks_of(host, "ok") == [1, 2, 3]
    assert host.done()["total"] == 4
