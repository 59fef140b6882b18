"""Libraries compiled and tuned for real, by TVM in its cached environment (made where it is missing)."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import time
from pathlib import Path

import pytest

from modelzoo import manifest, targets
from modelzoo.compilation import Compiler, graph_of
from modelzoo.ensure import Wanted, publish
from modelzoo.environment import TVM, builder_python
from modelzoo.manifest import Entry
from modelzoo.paths import REPOSITORY, cache_dir
from tests.runner_programs import RUNNERS, SHORT, edgebench

MODELS = REPOSITORY / "tests/data/models"
HERE, THERE = map(targets.normalised, ("-mcpu=x86-64-v2", "-mcpu=cortex-a72"))
if platform.machine() == "aarch64":
    HERE, THERE = map(targets.normalised, ("-mcpu=generic", "-mcpu=x86-64-v2"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def program():
    """How the command of a compilation begins."""
    return [str(builder_python(cache_dir(), print, TVM)), str(REPOSITORY / "modelzoo/convert_tvm.py")]


class Bench:
    """A directory with one of the tests' TFLite files, from which libraries are compiled."""

    def __init__(self, root: Path, program: list[str]) -> None:
        self.root, self.program = root, program
        (root / "work").mkdir()

    def compile(self, variant: str, target: str, minutes: float = 0) -> Entry:
        wanted = Wanted("convolution", variant, "so", target=target)
        graph = self._graph(graph_of(wanted))
        compiler, said = Compiler(self.root / "databases", minutes, seed=0), []
        work = self.root / "work"
        return compiler.compile(wanted, graph, "recipe", self.program, self.root, work, said.append)

    def _graph(self, wanted: Wanted) -> Entry:
        unfinished = self.root / "work" / wanted.file
        unfinished.write_bytes((MODELS / wanted.file).read_bytes())
        return publish(unfinished, wanted, self.root, source="build")

    def runner(self, entry: Entry) -> dict:
        """What a run of the library says of it."""
        command = [self.program[0], RUNNERS / "tvmrt.py", f"--graph={self.root / entry.file}", *SHORT]
        return edgebench(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["runner"]


@pytest.fixture
def bench(tmp_path, program):
    return Bench(tmp_path, program)


def test_an_int8_library_says_what_it_is_and_computes_what_litert_does(bench):
    entry = bench.compile("int8_untuned", HERE)  # which compares the two
    assert (entry.target, entry.tuned_kernels, entry.arithmetic) == (HERE, 0, "float32")
    assert entry.compiled_from_sha256 == manifest.sha256(MODELS / "convolution.int8.tflite")
    runner = bench.runner(entry)
    expected = {name: getattr(entry, name) for name in ("target", "kernels", "tuned_kernels", "arithmetic")}
    assert expected.items() <= runner.items()


def test_an_interrupted_tuning_keeps_what_it_has_found(bench):
    database = bench.root / "databases" / f"convolution.float32.{targets.mcpu(HERE)}"
    records = database / "database_tuning_record.json"
    database.mkdir(parents=True)
    options = ["--variant=float32", f"--target={HERE}", f"--database={database}", "--minutes=30"]
    options += [f"--graph={MODELS}/convolution.float32.tflite", f"--output={bench.root}/x", f"--facts={bench.root}/y"]
    with (bench.root / "log").open("wb") as log:
        process = subprocess.Popen([*bench.program, *options], stdout=log, stderr=log, process_group=0)
    deadline_s = time.monotonic() + 240
    while not (records.exists() and records.read_bytes().count(b"\n")) and process.poll() is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with records.open("a") as file:
        file.write("[0, [[[")

    minutes = json.loads((database / "tuning.json").read_text())["minutes"]
    assert 0 < minutes < 5
    entry = bench.compile("float32", HERE, minutes=0)
    assert (entry.kernels, entry.tuned_kernels, entry.tuning_minutes) == (1, 1, round(minutes, 2))
    assert bench.runner(entry)["tuned_kernels"] == 1


def test_a_library_for_another_machine_is_one_of_that_machine(bench):
    entry = bench.compile("float32_untuned", THERE)
    head = (bench.root / entry.file).read_bytes()[:20]
    assert (
        int.from_bytes(head[18:20], "little")
        == {"aarch64": 0xB7, "x86_64": 0x3E}["aarch64" if "aarch64" in THERE else "x86_64"]
    )


def test_a_cpu_that_llvm_does_not_know_is_refused(bench):
    failure = bench.compile("float32_untuned", targets.normalised("-mcpu=cortex-a7x"))
    assert "LLVM has no CPU 'cortex-a7x' for llvm -mcpu=cortex-a7x -mtriple=" in failure.reason
    assert "did you mean cortex-a7" in failure.reason
