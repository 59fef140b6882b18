"""Compile one TFLite model with TVM for one kind of CPU: a shared library, for the runner tvm.

A program, not a library: it runs with the Python of its own environment (environment.py), one process per model, and
imports nothing of modelzoo.

The library has two functions of TVM's virtual machine: `main`, the model, and `describe`, which returns as JSON what
its inputs are, what it was compiled for, and how many of its kernels are tuned. A model whose kernels are not is many
times slower than with LiteRT: without --minutes the database must have them.

Tuning measures kernels on this machine, so it is only worth something for a CPU like this one. What it finds goes into
a database, a directory, and is used by every later compilation of a model with kernels of the same shapes.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy
import tflite
import tvm
import xgboost  # noqa: F401  the tuner learns with it; missing, it would be noticed minutes later
from tvm import relax
from tvm.ir.utils import derived_object
from tvm.relax import transform
from tvm.relax.frontend.tflite import from_tflite
from tvm.s_tir import meta_schedule
from tvm.s_tir.meta_schedule.builder.local_builder import default_build
from tvm.s_tir.meta_schedule.relax_integration import extract_tasks, extracted_tasks_to_tune_contexts
from tvm.s_tir.meta_schedule.runner.utils import alloc_argument_common

# Largest difference from LiteRT that the library may have, as a share of the output's range; of int8's 255, two steps.
TOLERANCES = {"float32": 1e-3, "int8": 0.01}
IMAGE_SEED = 0
PACKAGES = ("apache-tvm", "apache-tvm-ffi", "tflite", "xgboost-cpu")

# Of the search: a budget is minutes, so every kernel has its turn soon.
TRIALS_AT_ONCE = 8
POPULATION = {"population_size": 64, "genetic_num_iters": 1, "init_min_unmeasured": 16}
SHORTEST_MEASUREMENT_MS = 10
DATABASE_FILES = ("database_workload.json", "database_tuning_record.json")


def main() -> int:
    arguments = parse_arguments()
    target = tvm.target.Target(target_of(arguments))
    if arguments.tune:
        tune(kernels_of(arguments.graph, target), target, arguments.database, arguments.seed)
        return 0
    if arguments.minutes:
        tune_for(arguments)
    module = kernels_of(arguments.graph, target)
    tuned, kernels = 0, len(extract_tasks(module, target, {}))
    if arguments.database:
        with target:
            module = transform.MetaScheduleApplyDatabase(str(arguments.database))(module)
        tuned = sum(bool((function.attrs or {}).get("tirx.is_scheduled")) for function in module.functions.values())
    described = {
        "inputs": inputs_of(module["main"]),
        "target": target_of(arguments),
        "kernels": kernels,
        "tuned_kernels": tuned,
    }
    module["describe"] = constant_function(json.dumps(described))
    relax.build(module, target).export_library(str(arguments.output), fcompile=linked)
    if arguments.check:
        check(arguments)
    facts = described | {
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
    }
    arguments.facts.write_text(json.dumps(facts), encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graph", type=Path, required=True, help="a TFLite model, float32 or int8")
    parser.add_argument("--variant", required=True, choices=TOLERANCES)
    parser.add_argument("--machine", default=platform.machine(), help="x86_64 or aarch64")
    parser.add_argument("--mcpu", required=True, help="LLVM's name of the CPU, such as core-avx2 or cortex-a72")
    parser.add_argument("--database", type=Path, help="directory of tuned kernels; without it none is")
    parser.add_argument("--minutes", type=float, default=0, help="of tuning, before the library is made")
    parser.add_argument("--seed", type=int, default=0, help="of the tuner")
    parser.add_argument("--check", action="store_true", help="compare with LiteRT; only for a CPU like this one")
    parser.add_argument("--output", type=Path, required=True, help="the library to write")
    parser.add_argument("--facts", type=Path, required=True, help="JSON file for kernels, versions, ...")
    parser.add_argument("--tune", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.minutes and not arguments.database:
        parser.error("--minutes needs a --database, for what is found")
    return arguments


def target_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the library is for. One core: the pool of threads divides what is left of loops anyway."""
    target = {"kind": "llvm", "mcpu": arguments.mcpu, "num-cores": 1}
    return target if arguments.machine == platform.machine() else target | {"mtriple": f"{arguments.machine}-linux-gnu"}


def kernels_of(graph: Path, target: tvm.target.Target) -> tvm.IRModule:
    """Return a model as kernels: operators that can be are fused, what depends on weights only is computed."""
    module = from_tflite(tflite.Model.GetRootAsModel(graph.read_bytes(), 0))
    steps = [transform.DecomposeOpsForInference(), transform.CanonicalizeBindings(), relax.get_pipeline("zero")]
    with target:
        return tvm.transform.Sequential(steps)(module)


def inputs_of(function: relax.Function) -> list[tuple[str, str, list[int]]]:
    """Name, type and shape of each input."""
    return [(each.name, str(each.ty.dtype), [int(size) for size in each.ty.shape]) for each in function.params]


def constant_function(text: str) -> relax.Function:
    builder = relax.BlockBuilder()
    with builder.function("describe", []):
        builder.emit_func_output(tvm.ir.StringImm(text))
    return builder.get()["describe"]


def linked(output: str, objects: list[str], **_: Any) -> None:
    """Link objects of any machine. What they want of the C library, the runtime library has loaded."""
    command = [sys.executable, "-m", "ziglang", "ld.lld", "-shared", "--strip-all", "-o", output, *objects]
    subprocess.run(command, check=True)


linked.output_format = "so"


def tune_for(arguments: argparse.Namespace) -> None:
    """Tune as long as there is time, in a process of its own: it ends by being killed, or by a candidate that crashes.

    After a crash another seed goes on with what the database has.
    """
    end_s = time.monotonic() + 60 * arguments.minutes
    arguments.database.mkdir(parents=True, exist_ok=True)
    seed = arguments.seed
    while (left_s := end_s - time.monotonic()) > 0:
        try:
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], f"--seed={seed}", "--tune"], timeout=left_s, check=False
            )
        except subprocess.TimeoutExpired:
            break
        finally:
            for name in DATABASE_FILES:
                drop_cut_line(arguments.database / name)
        if done.returncode >= 0:  # not by a signal
            if done.returncode:
                sys.exit("tuning failed; the lines above say why")
            break
        seed += 1


def drop_cut_line(path: Path) -> None:
    """Remove what a process that was killed left at the end of a file without ending the line."""
    if path.exists():
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            path.write_bytes(whole)


def tune(module: tvm.IRModule, target: tvm.target.Target, database: Path, seed: int) -> None:
    """Search schedules for all kernels without end, best first for those that take most time."""
    os.environ["TVM_NUM_THREADS"] = "1"
    tasks, weights = extracted_tasks_to_tune_contexts(
        extract_tasks(module, target, {}),
        str(database),
        strategy=meta_schedule.search_strategy.EvolutionarySearch(**POPULATION),
        seed=seed,
        num_threads=1,
    )
    built: dict[str, Any] = {}
    meta_schedule.tune_tasks(
        tasks=tasks,
        task_weights=weights,
        work_dir=str(database),
        max_trials_global=sys.maxsize // 2**33,
        num_trials_per_iter=TRIALS_AT_ONCE,
        builder=Builder(built),
        runner=Runner(built),
        database=meta_schedule.database.JSONDatabase(work_dir=str(database)),
        cost_model="xgb",
        measure_callbacks=[
            meta_schedule.measure_callback.AddToDatabase(),
            meta_schedule.measure_callback.UpdateCostModel(),
        ],
        task_scheduler=meta_schedule.task_scheduler.GradientBased(seed=seed),
    )


# TVM's own build and measure every candidate in new processes, which import TVM for seconds, and link with a compiler.


@derived_object
class Builder(meta_schedule.builder.PyBuilder):
    """Compiles candidates in this process, and keeps them by number."""

    def __init__(self, built: dict[str, Any]) -> None:
        super().__init__()
        self.built = built

    def build(self, build_inputs: list[Any]) -> list[Any]:
        return [self._one(each) for each in build_inputs]

    def _one(self, candidate: Any) -> Any:
        key = str(len(self.built))
        try:
            self.built[key] = default_build(candidate.mod, candidate.target, None)
        except Exception as error:  # a candidate that cannot be compiled is only a bad one
            return meta_schedule.builder.BuilderResult(None, str(error))
        return meta_schedule.builder.BuilderResult(key, None)


@derived_object
class Runner(meta_schedule.runner.PyRunner):
    """Measures candidates in this process."""

    def __init__(self, built: dict[str, Any]) -> None:
        super().__init__()
        self.built = built

    def run(self, runner_inputs: list[Any]) -> list[Any]:
        return [Measured(self._one(each)) for each in runner_inputs]

    def _one(self, candidate: Any) -> Any:
        library, self.built[candidate.artifact_path] = self.built[candidate.artifact_path], None
        (tensors,) = alloc_argument_common(fill, tvm.cpu(), [each.as_json() for each in candidate.args_info], 1)
        measure = library.time_evaluator("main", tvm.cpu(), number=1, repeat=2, min_repeat_ms=SHORTEST_MEASUREMENT_MS)
        return meta_schedule.runner.RunnerResult([float(each) for each in measure(*tensors).results], None)


@derived_object
class Measured(meta_schedule.runner.PyRunnerFuture):
    """A result that is there already."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self._result = result

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        return self._result


def fill(tensor: Any) -> None:
    values = numpy.random.default_rng(0).integers(-4, 5, tensor.shape)
    tensor.copyfrom(values.astype(str(tensor.dtype)))


def check(arguments: argparse.Namespace) -> None:
    """Exit with a message when the library does not compute what LiteRT does."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(arguments.graph))
    interpreter.allocate_tensors()
    (wanted, *_), (given, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    generator = numpy.random.default_rng(IMAGE_SEED)
    if wanted["dtype"] is numpy.float32:
        images = generator.random(wanted["shape"], "float32")
    else:
        images = generator.integers(-128, 128, wanted["shape"], wanted["dtype"])
    interpreter.set_tensor(wanted["index"], images)
    interpreter.invoke()
    expected = interpreter.get_tensor(given["index"]).astype("float64")
    machine = relax.VirtualMachine(tvm.runtime.load_module(str(arguments.output)), tvm.cpu())
    found = machine["main"](tvm.runtime.tensor(images)).numpy().astype("float64")
    span = 255 if arguments.variant == "int8" else expected.max() - expected.min()
    difference = abs(found - expected).max() / span
    if not difference <= TOLERANCES[arguments.variant]:  # NaN is wrong too
        sys.exit(
            f"the library does not compute what LiteRT does: outputs differ by {difference:.2g} of their range, "
            f"expected is at most {TOLERANCES[arguments.variant]:g}"
        )


if __name__ == "__main__":
    sys.exit(main())
