"""Libraries that TVM compiles from TFLite files, for one kind of CPU each; their kernels are tuned on this machine.

Tuning measures kernels, so it is done only for a CPU whose code this machine can run. What it finds is kept in a
database: a directory, which may also come from another machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from modelzoo import targets
from modelzoo.catalogue import COMPILED
from modelzoo.ensure import Failure, Wanted, publish
from modelzoo.errors import ZooError
from modelzoo.manifest import Entry
from modelzoo.resources import Say, locked
from modelzoo.training import how_it_ended

# In the words of convert_tvm.py.
RECORDS, SPENT = "database_tuning_record.json", "tuning.json"
OF_GRAPH = ("weights", "weights_seed", "remark", "parameters", "macs", "activation_mb", "input_size")
FACTS = ("kernels", "tuned_kernels", "tuning_minutes", "arithmetic")


def graph_of(wanted: Wanted) -> Wanted:
    """The TFLite file that a library is compiled from."""
    return replace(wanted, variant=COMPILED[wanted.variant], format="tflite", target=None)


def is_tuned(wanted: Wanted) -> bool:
    return not wanted.variant.endswith("_untuned")


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compile libraries, one after the other.

    Attributes:
        databases: the directory of the databases.
        minutes: of tuning that each library is to have had, in all.
        seed: of the tuner.
    """

    databases: Path
    minutes: float
    seed: int

    def database(self, wanted: Wanted) -> Path:
        """The directory of what is known of a library's kernels: `DigitCNN.float32.core-avx2`."""
        return self.databases / wanted.file.removesuffix(".so")

    def outdated(self, wanted: Wanted, entry: Entry) -> str | None:
        """Why a library is to be compiled again although its recipe is the same, if it is."""
        if not is_tuned(wanted):
            return None
        minutes = self._minutes_spent(wanted)
        if targets.runs_here(wanted.target):
            minutes = max(minutes, round(self.minutes, 2))
        had = entry.tuning_minutes or 0
        return f"it is tuned for {had:g} of {minutes:g} minutes" if had < minutes else None

    def left_out(self, wanted: Wanted) -> str | None:
        """Why there can be no such library, None where there can."""
        records = self.database(wanted) / RECORDS
        if not is_tuned(wanted) or (records.exists() and records.stat().st_size):
            return None
        beginning = "kernels can be tuned for a CPU like this machine's only"
        if targets.runs_here(wanted.target):
            if self.minutes:
                return None
            beginning = "its kernels get no minutes of tuning"
        return (
            f"{beginning}, and there is no database of them in {self.database(wanted)}; "
            "its untuned variant can be measured"
        )

    def announcement(self, wanted: Wanted, need_gb: float) -> str:
        memory = f"(needs about {need_gb:.1f} GB of memory)"
        if is_tuned(wanted) and self.minutes and targets.runs_here(wanted.target):
            return f"tuning {wanted.key}, up to {self.minutes:g} minutes {memory} ..."
        return f"compiling {wanted.key} {memory} ..."

    def compile(
        self, wanted: Wanted, graph: Entry, recipe: str, command: list[str], directory: Path, work: Path, say: Say
    ) -> Entry | Failure:
        """Compile a library from a TFLite file of its directory.

        Args:
            graph: the manifest's entry of the TFLite file.
            command: how the program begins that compiles.
            work: a directory for unfinished files, beside the models.
        """
        started_s = time.monotonic()
        unfinished, facts_file, log = work / wanted.file, work / f"{wanted.key}.json", directory / f"{wanted.key}.log"
        command = [
            *command,
            f"--graph={directory / graph.file}",
            f"--variant={graph.variant}",
            f"--target={wanted.target}",
            f"--seed={self.seed}",
            f"--output={unfinished}",
            f"--facts={facts_file}",
        ]
        if targets.runs_here(wanted.target):
            command.append("--check")
        if not is_tuned(wanted):
            status = _run(command, log, work)
        else:
            command.append(f"--database={self.database(wanted)}")
            if targets.runs_here(wanted.target):
                command.append(f"--minutes={self.minutes}")
            with locked(self.database(wanted) / ".lock", say):
                status = _run(command, log, work)
        if status:
            return Failure(wanted, how_it_ended("compilation", status, log))
        facts = json.loads(facts_file.read_text(encoding="utf-8"))
        try:
            entry = publish(
                unfinished,
                wanted,
                directory,
                source="build",
                **{name: getattr(graph, name) for name in OF_GRAPH},
                batch_size=wanted.batch_size,
                **{name: facts.get(name) for name in FACTS},
                compiled_from_sha256=graph.sha256,
                recipe=recipe,
                versions=facts["versions"],
            )
        except ZooError as error:
            return Failure(wanted, str(error))
        log.unlink()
        tuned = f", {entry.tuned_kernels} of its {entry.kernels} kernels tuned" if is_tuned(wanted) else ""
        say(
            f"built {wanted.key} in {time.monotonic() - started_s:.0f} s, {entry.size_bytes / 2**20:,.1f} MiB{tuned} "
            f"(took {facts['peak_memory_gb']:.1f} GB of memory)"
        )
        if is_tuned(wanted) and entry.tuned_kernels < entry.kernels:
            say(
                f"warning: {wanted.key}: {entry.kernels - entry.tuned_kernels} of its {entry.kernels} kernels are not "
                "tuned, which may make it many times slower; give it more minutes (--tvm-minutes, "
                "benchmark_models_tvm_minutes)"
            )
        return entry

    def _minutes_spent(self, wanted: Wanted) -> float:
        """What the database of a library had of tuning so far; one without a word of it counts as none."""
        try:
            return round(json.loads((self.database(wanted) / SPENT).read_text(encoding="utf-8"))["minutes"], 2)
        except (FileNotFoundError, ValueError):  # not there, or empty after a crash of the machine
            return 0


def _run(command: list[str], log: Path, work: Path) -> int:
    """Run a program with its output in a log; return its exit status. Whatever ends us ends it and what it started."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TMPDIR": str(work)},
            process_group=0,
        ) as process,
    ):
        try:
            return process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
