"""Play a playbook for real, through ansible-runner."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner

ROOT = Path(__file__).resolve().parent.parent


# This machine as a host of another name.
BOX = {"all": {"hosts": {"box": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}}}


def tiny_campaign(directory: Path, **settings: Any) -> dict[str, Any]:
    """Settings of a campaign of seconds: two variants of a tiny model that is in tests/data, two short repetitions.

    Args:
        directory: what the controller makes goes there: logs/, models/, results/.
        settings: more of them, which win.
    """
    return {
        "campaign_logs_dir": str(directory / "logs"),
        "campaign_models": ["image"],
        "campaign_variants": ["float32", "int8"],
        "campaign_min_repetitions": 2,
        # Of two threads and five iterations neither CPU time nor a drift is judged: these tests share their CPUs.
        "campaign_threads": [2],
        "campaign_flags": "--num_runs=5 --min_secs=0 --warmup_min_secs=0.01",
        "benchmark_models_source": "directory",
        "benchmark_models_source_dir": str(ROOT / "tests/data/models"),
        "benchmark_models_dir": str(directory / "models"),
        "benchmark_report_output": str(directory / "results"),
        # Reports are half of what a play of seconds takes. Tests of what stands in them are elsewhere.
        "benchmark_report_plots": False,
        "benchmark_report_early": False,
        "benchmark_run_max_wait_s": 0,
        # Other machines, and other tests, are busy when they are.
        "benchmark_run_max_steal_percent": 0,
        "benchmark_run_max_drift_percent": 0,
        "benchmark_run_min_cpu_percent": 0,
        "benchmark_run_show_every_s": 0,
        **settings,
    }


@dataclass(frozen=True)
class Played:
    """How a play went."""

    rc: int
    stdout: str
    stats: dict[str, dict[str, int]]
    events: list[dict[str, Any]]

    def changed(self) -> int:
        """Tasks that changed something, on any host; the play must have succeeded."""
        assert self.rc == 0, self.stdout
        return sum(self.stats["changed"].values())

    def failure(self) -> str:
        """The message of the last task that failed; the play must have failed."""
        assert self.rc != 0, self.stdout
        failed = [event["event_data"]["res"] for event in self.events if event["event"] == "runner_on_failed"]
        return [result["msg"] for result in failed if "msg" in result][-1]

    def seconds(self, role: str, task: str) -> float:
        """Time that a role's task took, summed over hosts, in seconds."""
        done = [event["event_data"] for event in self.events if event["event"].startswith("runner_on_")]
        return sum(data.get("duration", 0.0) for data in done if (data.get("role"), data.get("task")) == (role, task))


def environment(**more: str) -> dict[str, str]:
    """What a play of this checkout needs in its environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Said aloud, since ansible-runner would not check host keys.
    ours = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOST_KEY_CHECKING": "True", "ANSIBLE_NOCOLOR": "1"}
    return {**ours, "PATH": path, **more}


def play(
    playbook: Path,
    inventory: Any,
    *,
    check: bool = False,
    limit: str | None = None,
    envvars: dict[str, str] | None = None,
    **extravars: Any,
) -> Played:
    """Play a playbook.

    Args:
        playbook: its path.
        inventory: a path, or an inventory as a dict.
        check: in check mode.
        limit: a pattern of hosts; others are left out.
        envvars: further environment variables.
        extravars: variables that win over all others.
    """
    with tempfile.TemporaryDirectory(prefix="play-") as scratch:  # a new one: ansible-runner remembers settings
        done = ansible_runner.run(
            private_data_dir=scratch,
            playbook=str(playbook),
            inventory=inventory,
            extravars=extravars,
            cmdline="--check" if check else None,
            limit=limit,
            envvars=environment(**(envvars or {})),
            quiet=True,
        )
        return Played(done.rc, done.stdout.read(), done.stats or {}, list(done.events))
