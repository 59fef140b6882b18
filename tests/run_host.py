"""A host for the run script: its directory, a made machine that it sees in place of /sys and /proc, and its shells."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.edgebench.testbed.plugins.module_utils import plan

from tests import android_tools
from tests.rendering import FIXED, ROOT, render_run_script

FAKE_RUNNER = {
    "argv": ["sh", str(ROOT / "tests/data/fake_runner.sh")],
    "environment": {"WORD": "two words"},
    "version": "1",
}
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "android": ["mksh"]}  # android: with its tools

# Stands in for the Raspberry Pi's tool: answers with the file of the question's name, and keeps count.
VCGENCMD = """#!/bin/sh
echo "$*" >>{vc}/asked
cat {vc}/"$1" || exit 255
"""


class Host:
    """A campaign's directory as it is on a host, with the script and a plan in it."""

    def __init__(self, shell: str, run_dir: Path) -> None:
        if not shutil.which(SHELLS[shell][0]):
            pytest.skip(f"needs {shell} (apt-get install {shell})")
        self.shell_name, self.shell, self.run_dir = shell, SHELLS[shell], run_dir
        self.script = run_dir / "run_benchmark.sh"
        self.machine = run_dir.parent / "machine"
        self.bin = run_dir.parent / "bin"
        self.bin.mkdir(parents=True, exist_ok=True)
        self.path = os.environ["PATH"]
        if shell == "android":
            self.path = android_tools.install(run_dir.parent / f"{run_dir.name}.system")
        self.started: list[subprocess.Popen] = []
        self.runners: set[int] = set()  # seen, since their record goes with the script that ends them
        self.put("proc/sys/kernel/random/boot_id", "boot-1")

    def put(self, name: str, text: object) -> Path:
        """Make a file of the machine; `name` is below its root."""
        path = self.machine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
        return path

    def get(self, name: str) -> str:
        return (self.machine / name).read_text().strip()

    def put_vcgencmd(self, **answers: str) -> None:
        for question, answer in answers.items():
            self.put(f"vc/{question}", answer)
        self.put_command("vcgencmd", VCGENCMD.format(vc=shlex.quote(str(self.machine / "vc"))))

    def put_command(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def prepare(
        self,
        models: list[str],
        *,
        runner: str = "fake",
        timeout_s: int = 60,
        repetitions: int = 1,
        campaign: dict | None = None,
        held_out: bool = False,
        **settings,
    ):
        """Put script and plan there.

        `campaign`: its settings, where they are not those of one variant's fixed loop. `held_out`: there are images.
        """
        asked = {
            "models": models,
            "variants": ["float32"],
            "runners": [runner],
            "threads": [1],
            "delegates": ["default"],
            "flags": "--num_runs=2",
            **FIXED,
            "min_repetitions": repetitions,
            "max_repetitions": repetitions,
            **(campaign or {}),
        }
        (self.run_dir / "models").mkdir(parents=True, exist_ok=True)
        entries = [
            {"model": name, "variant": variant, "file": self.file(name, variant), "sha256": "0" * 64}
            for name in models
            for variant in asked["variants"]
        ]
        if held_out:
            images = [{"model": name, "variant": plan.HELD_OUT, "file": f"{name}.held_out.npz"} for name in models]
            entries += [image | {"format": "npz", "sha256": "0" * 64} for image in images]
        for entry in entries:
            (self.run_dir / "models" / entry["file"]).touch()
        roots = {f"__benchmark_run_{root}": str(self.machine / root) for root in ("sys", "proc")}
        roots["benchmark_run_settings"] = asked
        self.script.write_text(render_run_script(self.run_dir, {"fake": FAKE_RUNNER}, **roots | settings))
        rows = plan.build("testhost", asked, entries, seed=1, timeout_s=timeout_s)
        (self.run_dir / "plan.tsv").write_text(plan.to_tsv(rows))
        return self

    def need_memory(self, **least_mb: int) -> None:
        """Let the plan say how much memory models need at least; what is not named, nobody knows of."""
        rows = [row | {"least_memory_mb": str(least_mb.get(row["model"], "-"))} for row in self.table("plan.tsv")]
        columns = [column for column in rows[0] if column != "least_memory_mb"]
        columns.insert(columns.index("timeout_s") + 1, "least_memory_mb")
        self.write_plan(columns, rows)

    def write_plan(self, columns: list[str], rows: list[dict[str, str]]) -> None:
        lines = [columns, *([row[column] for column in columns] for row in rows)]
        (self.run_dir / "plan.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))

    @staticmethod
    def file(model: str, variant: str) -> str:
        return f"{model}.tflite" if variant == "float32" else f"{model}.{variant}.tflite"

    def table(self, name: str) -> list[dict[str, str]]:
        """Rows of a file such as stopping.tsv; [] where there is none."""
        path = self.run_dir / name
        lines = [line.split("\t") for line in path.read_text().splitlines()] if path.exists() else [[]]
        return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]

    def during(self, model: str, commands: str) -> None:
        """Let the runner of a model do something; $machine is the machine's root, $run_dir the campaign's directory."""
        known = f"machine={shlex.quote(str(self.machine))} run_dir={shlex.quote(str(self.run_dir))}\n"
        (self.run_dir / "models" / f"{model}.during").write_text(known + commands + "\n")

    def _command(self, word: str) -> dict:
        path = f"{self.bin}:{self.path}"
        return {"args": [*self.shell, str(self.script), word], "env": {**os.environ, "PATH": path}, "text": True}

    def __call__(self, word: str = "run") -> subprocess.CompletedProcess:
        return subprocess.run(**self._command(word), capture_output=True, timeout=60, check=False)

    def start(self) -> subprocess.Popen:
        """Run in the background, in a session of its own, its words going to `said`."""
        with (self.run_dir / "said").open("a") as said:
            process = subprocess.Popen(
                **self._command("run"), stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.started.append(process)
        return process

    def left_running(self) -> dict[int, str]:
        """What still runs of the scripts that were started: their sessions, and those of their runners."""
        self.runner_pid()
        sessions = {process.pid for process in self.started} | self.runners
        left = {}
        for pid, session in _processes():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if session in sessions or str(self.run_dir) in words:
                left[pid] = words
        return left

    def clean_up(self) -> None:
        """End what a test left, such as a runner that a killed script left."""
        for pid in self.left_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.wait(timeout=30)

    def said(self) -> str:
        return (self.run_dir / "said").read_text()

    def status(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self("status").stdout.splitlines())

    def done(self) -> dict[str, int]:
        lines = (self.run_dir / "DONE").read_text().splitlines()
        return {key: int(value) for key, value in (line.split("=") for line in lines)}

    def sidecars(self) -> dict[str, dict[str, str]]:
        """By the run's model and repetition: 'ok_r01', and 'ok_r01.retry1' for a repeat."""
        found = {}
        for path in sorted((self.run_dir / "runs").glob("*.meta")):
            values = dict(line.split("=", 1) for line in path.read_text().splitlines())
            retry = f".retry{values['retry']}" if "retry" in values else ""
            found[f"{values['model']}_r{int(values['repetition']):02d}{retry}"] = values
        return found

    def sidecars_of(self, model: str, variant: str = "float32") -> list[dict[str, str]]:
        """Of a configuration, in the order of runs."""
        paths = sorted((self.run_dir / "runs").glob(f"*_{model}.{variant}.*.meta"))
        return [dict(line.split("=", 1) for line in path.read_text().splitlines()) for path in paths]

    def mtimes(self) -> dict[str, int]:
        runs = self.run_dir / "runs"
        return {path.name: path.stat().st_mtime_ns for path in runs.iterdir()} if runs.exists() else {}

    def runner_pid(self) -> int | None:
        """Of the runner that is on record now."""
        record = self.run_dir / "lock.runner"
        words = record.read_text().split() if record.exists() else []
        if not words:
            return None
        self.runners.add(int(words[0]))
        return int(words[0])


def wait_for(what: str, check: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not check():
        assert time.monotonic() < deadline, f"waited 30 s in vain for {what}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    return pid in {found for found, _ in _processes()}


def _processes() -> Iterator[tuple[int, int]]:
    """Pid and session of every process that is not just a name any more."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            yield int(stat.parent.name), int(fields[3])
