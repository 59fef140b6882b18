"""What running costs beyond measuring: wall time of the run stage against the time inside runner processes.

The run stage is the play's task that starts the script on the host and watches it until it is done; the time inside
runners is the sum over sidecars of end minus start. Plays site.yml for real with the quick profile, seven models and
two variants, so it takes some minutes (more when the models have to be built first).

    python -m benchmarks.bench_run_stage
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.result import Result, main
from tests.playing import ROOT, play

TARGET = 1.05
RUN_STAGE = ("benchmark_run", "Measure")


def runner_seconds(campaign: Path) -> float:
    """Seconds spent inside runner processes, from the sidecars of a campaign."""
    total = 0.0
    for path in campaign.glob("*/runs/*.meta"):
        sidecar = dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines())
        total += float(sidecar["end_uptime_s"]) - float(sidecar["start_uptime_s"])
    return total


def results() -> list[Result]:
    """Play the quick profile once."""
    with tempfile.TemporaryDirectory(prefix="bench-run-") as scratch:
        played = play(
            ROOT / "site.yml",
            str(ROOT / "inventory/local"),
            campaign_name="bench",
            campaign_logs_dir=f"{scratch}/logs",
            benchmark_work_dir=f"{scratch}/work",
            benchmark_report_output=f"{scratch}/results",
        )
        if played.rc:
            raise SystemExit(played.stdout)
        measuring_s = runner_seconds(Path(scratch, "logs/bench"))
    stage_s = played.seconds(*RUN_STAGE)
    name = f"run stage ({stage_s:.0f} s) / inside runners ({measuring_s:.0f} s), quick profile"
    return [Result(name, stage_s / measuring_s, "x", TARGET)]


if __name__ == "__main__":
    main(results)
