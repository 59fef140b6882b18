"""Compile one TFLite model with TVM for one kind of CPU: a shared library, for the runner tvm.

A program, not a library: it runs with the Python of its own environment (environment.py), one process per model, and
imports nothing of modelzoo.

The library has two functions of TVM's virtual machine: `main`, the model, and `describe`, which returns as JSON what
its inputs are, what it was compiled for, what it computes with and how many of its kernels are tuned. A model whose
kernels are not is many times slower than with LiteRT: without --minutes the database must have them.

Tuning measures kernels on this machine, so it is only worth something for a CPU like this one. What it finds goes into
a database, a directory, and is used by every later compilation of a model with kernels of the same shapes. Beside it
stands how many minutes were spent on it: an interrupted tuning goes on where it was.

Of an int8 model TVM's importer makes floats, operator by operator: the library takes and returns int8, its weights and
its arithmetic are float32.
"""

import argparse
import contextlib
import difflib
import importlib.metadata
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
import types
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
from tvm.s_tir.analysis import estimate_tir_flops
from tvm.s_tir.meta_schedule.builder.local_builder import default_build
from tvm.s_tir.meta_schedule.relax_integration import extract_tasks, extracted_tasks_to_tune_contexts
from tvm.s_tir.meta_schedule.runner.utils import alloc_argument_common
from tvm.target import codegen

# Largest difference from LiteRT that the library may have, as a share of the largest output; of int8's 255, two steps.
TOLERANCES = {"float32": 1e-3, "int8": 0.01}
IMAGE_SEED = 0
PACKAGES = ("apache-tvm", "apache-tvm-ffi", "tflite", "xgboost-cpu")

# Of the search: a budget is minutes, so every kernel has its turn soon.
TRIALS_AT_ONCE = 8
POPULATION = {"population_size": 64, "genetic_num_iters": 1, "init_min_unmeasured": 16}
SHORTEST_MEASUREMENT_MS = 10
ENDLESS = sys.maxsize // 2**33
DATABASE_FILES = (WORKLOADS, RECORDS) = ("database_workload.json", "database_tuning_record.json")
SPENT = "tuning.json"
SECONDS_BETWEEN_NOTES = 2
# Crashes one after the other, none with anything found between them: then it is not a candidate that crashes.
MOST_CRASHES = 5


def main() -> int:
    arguments = parse_arguments()
    target = target_of(arguments.target)
    module = kernels_of(arguments.graph, target)
    if arguments.tune:
        tune(module, target, arguments.database, arguments.seed)
        return 0
    kernels = count_kernels(module)
    facts = {"kernels": kernels, "tuned_kernels": 0}
    if arguments.database:
        untuned, module = module, with_schedules(module, target, arguments.database)
        minutes_left = arguments.minutes - minutes_spent(arguments.database)
        if minutes_left > 0 or (arguments.minutes and count_tuned(module) < kernels):
            tune_for(arguments, minutes_left if minutes_left > 0 else arguments.minutes)
            module = with_schedules(untuned, target, arguments.database)
        facts |= {"tuned_kernels": count_tuned(module), "tuning_minutes": round(minutes_spent(arguments.database), 2)}
        if not facts["tuned_kernels"]:
            sys.exit(
                f"none of the {kernels} kernels is tuned: {facts['tuning_minutes']:g} minutes were too few; give it "
                "more minutes (--tvm-minutes, benchmark_models_tvm_minutes)"
            )
    facts |= {"target": arguments.target, "arithmetic": "float32"}
    described = facts | {"inputs": inputs_of(module["main"])} | quantization_of(arguments.graph)
    module["describe"] = constant_function(json.dumps(described))
    relax.build(module, target).export_library(str(arguments.output), fcompile=linked)
    if arguments.check:
        check(arguments)
    facts |= {
        "peak_memory_gb": max(map(peak_memory_gb, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
    }
    arguments.facts.write_text(json.dumps(facts), encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graph", type=Path, required=True, help="a TFLite model, float32 or int8")
    parser.add_argument("--variant", required=True, choices=TOLERANCES)
    parser.add_argument("--target", required=True, help="such as llvm -mcpu=cortex-a72 -mtriple=aarch64-linux-gnu")
    parser.add_argument("--database", type=Path, help="directory of tuned kernels; without it none is")
    parser.add_argument("--minutes", type=float, default=0, help="of tuning in all; 0 = as the database is")
    parser.add_argument("--seed", type=int, default=0, help="of the tuner")
    parser.add_argument("--check", action="store_true", help="compare with LiteRT; only for a CPU like this one")
    parser.add_argument("--output", type=Path, required=True, help="the library to write")
    parser.add_argument("--facts", type=Path, required=True, help="JSON file for kernels, versions, ...")
    parser.add_argument("--tune", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.minutes and not arguments.database:
        parser.error("--minutes needs a --database, for what is found")
    return arguments


def target_of(text: str) -> tvm.target.Target:
    """Return a target, which is of x86_64 where it says nothing; exit with a message when LLVM has no such CPU.

    One core: the pool of threads divides what is left of loops anyway.
    """
    options = dict(re.findall(r"-(mcpu|mtriple)=(\S+)", text))
    if "mcpu" not in options:
        sys.exit(f"target '{text}': expected is 'llvm -mcpu=cortex-a72 -mtriple=aarch64-linux-gnu'")
    kind = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "num-cores": 1}
    known = codegen.llvm_get_cpu_archlist(tvm.target.Target(kind | options))
    if options["mcpu"] not in known:
        near = difflib.get_close_matches(options["mcpu"], known, n=3, cutoff=0.4)
        sys.exit(
            f"LLVM has no CPU '{options['mcpu']}' for {text}" + (f"; did you mean {' or '.join(near)}?" * bool(near))
        )
    return tvm.target.Target(kind | options)


def kernels_of(graph: Path, target: tvm.target.Target) -> tvm.IRModule:
    """Return a model as kernels: operators that can be are fused, what depends on weights only is computed."""
    module = from_tflite(tflite.Model.GetRootAsModel(graph.read_bytes(), 0))
    steps = [transform.DecomposeOpsForInference(), transform.CanonicalizeBindings(), relax.get_pipeline("zero")]
    with target:
        return tvm.transform.Sequential(steps)(module)


def with_schedules(module: tvm.IRModule, target: tvm.target.Target, database: Path) -> tvm.IRModule:
    """Return the kernels, those that the database has with their best schedule."""
    database.mkdir(parents=True, exist_ok=True)
    for name in DATABASE_FILES:
        drop_cut_line(database / name)
    with target:
        return transform.MetaScheduleApplyDatabase(str(database))(module)


def count_kernels(module: tvm.IRModule) -> int:
    return sum(isinstance(function, tvm.tirx.PrimFunc) for function in module.functions.values())


def count_tuned(module: tvm.IRModule) -> int:
    return sum(bool((function.attrs or {}).get("tirx.is_scheduled")) for function in module.functions.values())


def peak_memory_gb(whose: int) -> float:
    """Peak resident memory in GB; getrusage counts KiB on Linux."""
    return resource.getrusage(whose).ru_maxrss * 1024 / 1e9


def quantization_of(graph: Path) -> dict[str, list[tuple[float, int] | None]]:
    """Scale and zero point of each input and output, in their order; None of those that are not quantized."""
    model = tflite.Model.GetRootAsModel(graph.read_bytes(), 0).Subgraphs(0)
    indices = {"input": model.InputsAsNumpy(), "output": model.OutputsAsNumpy()}
    return {f"{name}_quantization": [quantized(model.Tensors(each)) for each in of] for name, of in indices.items()}


def quantized(tensor: tflite.Tensor) -> tuple[float, int] | None:
    found = tensor.Quantization()
    if found is None or not found.ScaleLength():
        return None
    return float(found.Scale(0)), int(found.ZeroPoint(0))


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


def minutes_spent(database: Path) -> float:
    try:
        return json.loads((database / SPENT).read_text(encoding="utf-8"))["minutes"]
    except (FileNotFoundError, ValueError):  # not there, or empty after a crash of the machine
        return 0


def note_spent(database: Path, minutes: float) -> None:
    unfinished = database / f"{SPENT}.unfinished"
    unfinished.write_text(json.dumps({"minutes": minutes}), encoding="utf-8")
    unfinished.replace(database / SPENT)


def tune_for(arguments: argparse.Namespace, minutes: float) -> None:
    """Tune as long as there is time, in a process of its own: it ends by being killed, or by a candidate that crashes.

    After a crash another seed goes on with what the database has. So does a later call, when this one is killed: what
    was spent is noted again and again.
    """
    database, before = arguments.database, minutes_spent(arguments.database)
    begin_s, end_s = time.monotonic(), time.monotonic() + 60 * minutes
    crashes, found = 0, count_lines(database / RECORDS)
    while time.monotonic() < end_s:
        command = [sys.executable, __file__, *sys.argv[1:], f"--seed={arguments.seed + found + crashes}", "--tune"]
        with subprocess.Popen(command) as process:
            while process.poll() is None and (left_s := end_s - time.monotonic()) > 0:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(left_s, SECONDS_BETWEEN_NOTES))
                note_spent(database, before + (time.monotonic() - begin_s) / 60)
            ended = process.poll()
            process.kill()
        for name in DATABASE_FILES:
            drop_cut_line(database / name)
        if ended is None or ended == 0:  # no time left, or nothing left to try
            break
        found, known = count_lines(database / RECORDS), found
        crashes = 0 if found > known else crashes + 1
        if ended > 0 or crashes == MOST_CRASHES:
            sys.exit(
                "tuning failed; the lines above say why" if ended > 0 else f"tuning crashed {crashes} times in a row"
            )
    note_spent(database, before + minutes)


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def drop_cut_line(path: Path) -> None:
    """Remove what a process that was killed left at the end of a file without ending the line."""
    if path.exists():
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            path.write_bytes(whole)


def tune(module: tvm.IRModule, target: tvm.target.Target, database: Path, seed: int) -> None:
    """Search schedules for all kernels without end, best first for those that take most time.

    Before that each kernel that the database does not have gets one round of random schedules, those that compute most
    first, so that a short time does most: the scheduler of the search takes its first results only when all have had
    a round.
    """
    os.environ["TVM_NUM_THREADS"] = "1"
    leave_out_intrinsics_of_others()
    found = meta_schedule.database.JSONDatabase(work_dir=str(database))
    kernels = extract_tasks(module, target, {})
    new = [each for each in kernels if not found.has_workload(each.dispatched[0])]
    new.sort(key=lambda each: estimate_tir_flops(each.dispatched[0]), reverse=True)
    options = {"seed": seed, "num_threads": 1}
    built: dict[str, Any] = {}

    def search(tasks: list[meta_schedule.TuneContext], weights: list[float], trials: int) -> None:
        meta_schedule.tune_tasks(
            tasks=tasks,
            task_weights=weights,
            work_dir=str(database),
            max_trials_global=trials,
            num_trials_per_iter=TRIALS_AT_ONCE,
            builder=Builder(built),
            runner=Runner(built),
            database=found,
            cost_model="xgb",
            measure_callbacks=[
                meta_schedule.measure_callback.AddToDatabase(),
                meta_schedule.measure_callback.UpdateCostModel(),
            ],
            task_scheduler=meta_schedule.task_scheduler.GradientBased(seed=seed),
        )

    for task in extracted_tasks_to_tune_contexts(new, str(database), strategy="replay-trace", **options)[0]:
        search([task], [1.0], TRIALS_AT_ONCE)
    strategy = meta_schedule.search_strategy.EvolutionarySearch(**POPULATION)
    search(*extracted_tasks_to_tune_contexts(kernels, str(database), strategy=strategy, **options), ENDLESS)


def leave_out_intrinsics_of_others() -> None:
    """Let empty modules stand for those of other machines: the tuner imports all, which takes half a minute."""
    own = {"x86_64": "x86", "aarch64": "arm_cpu"}.get(platform.machine())
    for name in {"arm_cpu", "cuda", "hexagon", "riscv_cpu", "rocm", "x86"} - {own}:
        sys.modules[f"tvm.s_tir.tensor_intrin.{name}"] = types.ModuleType(name)


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
    largest = 255 if arguments.variant == "int8" else abs(expected).max()
    difference = abs(found - expected).max() / largest
    if not difference <= TOLERANCES[arguments.variant]:  # NaN is wrong too
        sys.exit(
            f"the library does not compute what LiteRT does: outputs differ by {difference:.2g} of the largest, "
            f"expected is at most {TOLERANCES[arguments.variant]:g}"
        )


if __name__ == "__main__":
    sys.exit(main())
