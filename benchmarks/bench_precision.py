"""Machine time until every mean and speedup is known to 1 %: the kit's plan against the study's fixed loop.

Both measure the same configurations on this machine, with the litert runner, by the real run_benchmark.sh, without
Ansible, by turns of a minute each: a machine that is quiet in one quarter of an hour may be noisy in the next, and
would decide for one of the two. The kit's plan is that of the profile `precise`: a pilot, blocks, configurations that
leave when they are known. The fixed loop is the study's: the tool's defaults, one model after the other, one n for
all. That n is the smallest with which the worst configuration would have the same intervals, of means and of speedups
(without blocks there are no pairs), by the standard deviations of ten measured repetitions. So n is extrapolated, and
the loop's time is n times the measured time of a repetition of all. On a noisy machine 1 % takes hours: of what is not
known after --blocks, the repetitions that lack are extrapolated in the same way, and said to be.

    python -m benchmarks.bench_precision [--models MobileNet,VGG16] [--variants float32,int8] [--source-dir DIR]

The logs of both, and report.txt with what is printed here, stay in results/bench-precision/.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from scipy import special

from analysis import campaign
from analysis.names import DEFAULT_METRIC as METRIC
from analysis.study import Study
from benchmarks.result import Result, main
from modelzoo.build import Build
from modelzoo.catalogue import DEFAULT_MODELS
from modelzoo.directory import Directory
from modelzoo.ensure import Wanted, ensure
from modelzoo.paths import cache_dir
from tests.rendering import ROOT, render_run_script

TARGET = 1 / 3
TARGET_PERCENT = 1.0
BASELINE = "float32"
KEPT = ROOT / "results/bench-precision"
BLOCKS = 60
ADAPTIVE = {"min_repetitions": 10, "iterations": "auto", "flags": "--warmup_min_secs=0.1"}
"""As the profile `precise`."""
TURN_S = 60
"""Longer than the longest run: a turn ends before the run that would not end in it."""
FIXED = {"min_repetitions": 10, "max_repetitions": 10, "iterations": "fixed", "flags": ""}


class Found(NamedTuple):
    """What ten repetitions of the fixed loop say of one configuration."""

    mean_ms: float
    sd_ms: float

    def relative_variance(self, n: int) -> float:
        """Of the mean of n repetitions."""
        return (self.sd_ms / self.mean_ms) ** 2 / n


def mean_half_percent(found: Found, n: int) -> float:
    """Half width of Student's 95 % interval of the mean of n repetitions, in percent of it."""
    return 100 * special.stdtrit(n - 1, 0.975) * math.sqrt(found.relative_variance(n))


def speedup_half_percent(baseline: Found, candidate: Found, n: int) -> float:
    """Half width of Fieller's 95 % interval of the speedup with n independent repetitions of each, in percent of it."""
    b, c = baseline.relative_variance(n), candidate.relative_variance(n)
    if b + c == 0:
        return 0.0
    t2 = special.stdtrit((n - 1) * (b + c) ** 2 / (b**2 + c**2), 0.975) ** 2
    return 100 * math.sqrt(1 - (1 - t2 * b) * (1 - t2 * c)) / (1 - t2 * c) if t2 * max(b, c) < 1 else math.inf


def n_needed(found: dict[tuple[str, str], Found], key: tuple[str, str], target_percent: float) -> int:
    """Repetitions with which a configuration's mean, and its speedup over its baseline, are known to the target."""
    one, baseline = found[key], found.get((key[0], BASELINE))
    n = 2
    while mean_half_percent(one, n) > target_percent or (
        baseline and key[1] != BASELINE and speedup_half_percent(baseline, one, n) > target_percent
    ):
        n += 1
    return n


def lacking_s(runs: pd.DataFrame, target_percent: float) -> dict[tuple[str, str], float]:
    """Of each configuration that is not known to the target: the seconds that its further repetitions would take.

    By the standard deviations of what was measured, with pairs by block and the degrees of freedom of the rule.

    Args:
        runs: of an adaptive campaign, without its pilot; ok or not.
        target_percent: half width of the intervals.
    """
    times_ms = runs[runs["status"] == "ok"].pivot_table(index="block", columns=["model", "variant"], values=METRIC)
    relative = times_ms / times_ms.mean()
    t = special.stdtrit(ADAPTIVE["min_repetitions"] - 1, 0.975)
    n = {key: (100 * t * relative[key].std() / target_percent) ** 2 for key in relative}
    for key in [key for key in relative if key[1] != BASELINE and (key[0], BASELINE) in relative]:
        base = (key[0], BASELINE)
        of_pair = (100 * t * (relative[base] - relative[key]).std() / target_percent) ** 2
        n |= {key: max(n[key], of_pair), base: max(n[base], of_pair)}
    length_s = runs.groupby(["model", "variant"])["duration_s"].mean()
    more = {key: math.ceil(n[key]) - int(times_ms[key].count()) for key in n}
    return {key: repetitions * float(length_s[key]) for key, repetitions in more.items() if repetitions > 0}


def model_files(
    names: Sequence[str], variants: Sequence[str], source_dir: Path | None
) -> tuple[Path, list[dict[str, Any]]]:
    """Make the models be there; return their directory and the entries of its manifest."""
    source = Directory(source_dir) if source_dir else Build(cache_dir())
    wanted = [Wanted(name, variant) for name in names for variant in variants]
    outcome = ensure(source, wanted, KEPT / "models" if source_dir else cache_dir() / "models", say)
    if outcome.failed:
        raise SystemExit(f"bench_precision has no {outcome.failed[0].wanted.key}: {outcome.failed[0].reason}")
    return outcome.directory, [dataclasses.asdict(entry) for entry in outcome.models]


def prepare(name: str, settings: dict[str, Any], models_dir: Path, entries: list[dict[str, Any]]) -> Path:
    """Return a directory with the plan and the script of a campaign.

    Args:
        name: `fixed` = the rows of the plan one configuration after the other.
        settings: of the campaign.
        models_dir: where the model files are.
        entries: of the model manifest.
    """
    sys.path.append(str(ROOT / "collections"))
    from ansible_collections.edgebench.testbed.plugins.module_utils import plan

    directory = KEPT / "logs" / name / "this-machine"
    directory.mkdir(parents=True)
    rows = plan.build("this-machine", settings, entries, seed=1, timeout_s=600)
    if name == "fixed":
        rows.sort(key=lambda row: (settings["models"].index(row["model"]), settings["variants"].index(row["variant"])))
    (directory / "plan.tsv").write_text(plan.to_tsv(rows), encoding="utf-8")
    runner = {"litert": {"argv": [sys.executable, str(ROOT / "runners/litert.py")], "version": "-"}}
    roles_own = {"benchmark_run_settings": settings, "benchmark_run_max_wait_s": 60}
    (directory / "run_benchmark.sh").write_text(
        render_run_script(directory, runner, benchmark_run_models_dir=str(models_dir), **roles_own), encoding="utf-8"
    )
    return directory


def take_turn(directory: Path) -> float:
    """Let a campaign go on for a turn, as on a machine that goes back then; return the seconds that it took."""
    (directory / "until").write_text(f"{math.ceil(time.time() + TURN_S)} the other's turn\n", encoding="utf-8")
    begun = time.monotonic()
    with (directory / "script.log").open("a") as log:
        command = ["sh", str(directory / "run_benchmark.sh"), "run"]
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"run_benchmark.sh failed; see {directory}/script.log")
    return time.monotonic() - begun


def measure(directories: Sequence[Path]) -> list[float]:
    """Run campaigns by turns until all are through; return the seconds that each took."""
    seconds = [0.0] * len(directories)
    while left := [k for k, directory in enumerate(directories) if not (directory / "DONE").exists()]:
        for k in left:
            seconds[k] += take_turn(directories[k])
    return seconds


def read_runs(name: str) -> pd.DataFrame:
    """The repetitions of one of the two campaigns."""
    return Study(campaign.read([KEPT / "logs" / name])).runs


def found_by_fixed_loop() -> dict[tuple[str, str], Found]:
    """By model and variant, from the logs of the fixed loop."""
    runs = read_runs("fixed")
    times_ms = runs[runs["status"] == "ok"].groupby(["model", "variant"])[METRIC]
    return {key: Found(float(values.mean()), float(values.std())) for key, values in times_ms}


def table(name: str) -> dict[tuple[str, str], dict[str, str]]:
    """Rows of a file that the host decided by, by model and variant; none where it did not come to that."""
    path = KEPT / "logs/adaptive/this-machine" / name
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as file:
        return {(row["model"], row["variant"]): row for row in csv.DictReader(file, delimiter="\t")}


def say(text: str) -> None:
    """Print and keep."""
    print(text, flush=True)
    keep(text)


def keep(text: str) -> None:
    """Add a line to report.txt."""
    with (KEPT / "report.txt").open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def results(
    models: Sequence[str] = DEFAULT_MODELS,
    variants: Sequence[str] = (BASELINE, "dynamic_range"),
    source_dir: Path | None = None,
    target_percent: float = TARGET_PERCENT,
    blocks: int = BLOCKS,
) -> list[Result]:
    """Measure both once."""
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    common = {"models": list(models), "variants": list(variants), "runners": ["litert"], "threads": [1]}
    common |= {"delegates": ["default"], "baseline": BASELINE, "target_percent": target_percent, "pilot_runs": 3}
    models_dir, entries = model_files(models, variants, source_dir)
    campaigns = {"adaptive": common | ADAPTIVE | {"max_repetitions": blocks}, "fixed": common | FIXED}
    prepared = [prepare(name, settings, models_dir, entries) for name, settings in campaigns.items()]
    adaptive_s, ten_s = measure(prepared)

    chosen, left, found = table("iterations.tsv"), table("stopping.tsv"), found_by_fixed_loop()
    keys = [(model, variant) for model in models for variant in variants]
    runs = read_runs("adaptive")
    ok = runs[runs["status"] == "ok"].groupby(["model", "variant"])[METRIC].agg(["count", "mean", "std"])
    if never := [".".join(key) for key in keys if key not in found or key not in ok.index]:
        raise SystemExit(f"never ok: {', '.join(never)}; see {KEPT}")
    more_s = lacking_s(runs, target_percent)
    more_s = {key: seconds for key, seconds in more_s.items() if left.get(key, {}).get("reason") != "narrow"}
    needed = {key: n_needed(found, key, target_percent) for key in keys}
    say("                                adaptive                                  fixed loop")
    say("configuration                 iterations    n   mean ms   sd %  more s    mean ms   sd %  n needed")
    for key in keys:
        mine, fixed = ok.loc[key], found[key]
        say(
            f"{'.'.join(key):28} {chosen[key]['iterations']:>11} {mine['count']:>4.0f} {mine['mean']:9.3f}"
            f" {100 * mine['std'] / mine['mean']:6.2f} {more_s.get(key, 0):7.0f}"
            f" {fixed.mean_ms:10.3f} {100 * fixed.sd_ms / fixed.mean_ms:6.2f} {needed[key]:9}"
        )
    n = max(needed.values())
    fixed_s = ten_s / 10 * n
    say(f"adaptive: {adaptive_s:.0f} s, measured, its pilot included; {sum(more_s.values()):.0f} s more, extrapolated:")
    say(f"{len(more_s)} of {len(keys)} configurations were not known to {target_percent:g} % after {blocks} blocks")
    adaptive_s += sum(more_s.values())
    say(f"fixed loop: {ten_s:.0f} s for 10 repetitions, measured; {fixed_s:.0f} s for n = {n}, extrapolated")
    name = f"machine time to {target_percent:g} % everywhere, adaptive ({adaptive_s:.0f} s) / fixed n ({fixed_s:.0f} s)"
    result = Result(name, adaptive_s / fixed_s, "x", TARGET)
    keep(str(result))
    return [result]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=lambda text: text.split(","), default=DEFAULT_MODELS, help="default: Keras's")
    parser.add_argument("--variants", type=lambda text: text.split(","), default=(BASELINE, "dynamic_range"))
    parser.add_argument("--source-dir", type=Path, help="use the model files of this directory")
    parser.add_argument("--target", type=float, default=TARGET_PERCENT, metavar="PERCENT")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="at most so many are measured; default %(default)s")
    asked = parser.parse_args()
    main(lambda: results(asked.models, asked.variants, asked.source_dir, asked.target, asked.blocks))
