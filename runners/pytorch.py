"""Runner `torch`: measures a torch.export archive (.pt2) with PyTorch on the CPU; forward pass only.

It needs the package torch, what that imports, and numpy. What it has of benchmark_model, and where it differs, is in
protocol.py. Beside that:

- An archive's module runs as it is, operator by operator (eager), under torch.inference_mode. As in every runner,
  `--num_threads=-1` is one thread; between operators there is none beside it. Inputs are those of `forward`, in its
  order; what the flags call them does not matter.
- Such a module takes as long as the one that was exported, to a percent or two. Where small operators are many it takes
  some more, since it looks its parameters up one by one: half a millisecond in seven for MobileNetV3-Small, batch 1.
- `--compile=true` compiles the module with torch.compile for these very shapes, in a cache of its own that is removed
  afterwards: every process compiles anew, which takes tens of seconds, is over before the warm-up and is in the time
  of initialization. It needs a C++ compiler, Python's header files and openssl on the host.
- `--channels_last=true` lays weights and images out with channels last (NHWC), as oneDNN's convolutions like them.
- An iteration makes its result and gives up its memory again, as a program that uses PyTorch does.
"""
# ruff: noqa: B905  zip's strict= came with Python 3.10; hosts may be older.

from __future__ import annotations

import functools
import logging
import os
import sys
import tempfile
from typing import Any

from protocol import (
    BenchmarkError,
    Call,
    Input,
    Model,
    Parameters,
    Runner,
    Shapes,
    asked_shapes,
    copy_in,
    explained,
    info,
    leave,
    main,
    random_arrays,
)

NOT_COMPILED = (
    "torch.compile failed; it needs a C++ compiler, Python's header files and openssl on the host (Debian: apt-get "
    "install g++ python3-dev openssl), and no blanks or quotes in benchmark_work_dir. Or leave out what is compiled"
)


def import_runtime() -> str:
    """Import all that measuring needs; return the runtime's version."""
    # That was for numpy. PyTorch's wheels for aarch64 bring another OpenBLAS, which is to have its threads.
    os.environ.pop("OPENBLAS_NUM_THREADS", None)
    import torch
    import torch.export

    # The first use imports another thousand modules, which takes seconds.
    torch.export.export(torch.nn.Identity(), (torch.zeros(1),))
    return str(torch.__version__)


def load(parameters: Parameters, shapes: Shapes) -> Model:
    """Load an archive, lay it out and compile it as the flags ask.

    Raises:
        BenchmarkError: the file is no archive, or the module cannot be made ready.
    """
    import torch

    torch.set_num_threads(parameters.threads)
    torch.set_num_interop_threads(1)
    try:
        program = read(parameters.graph)
        # Inputs are checked once, below; a module that never was an archive does not check them in every call.
        module = program.module(check_guards=False)
        module._forward_pre_hooks.clear()
    except Exception as error:  # zipfile's, pickle's, PyTorch's own
        raise explained(error, f"Failed to load model {parameters.graph}") from None
    info(f"Loaded model {parameters.graph}")
    inputs = inputs_of(program)
    sizes = asked_shapes(inputs, shapes)
    torch.inference_mode().__enter__()  # for as long as the process lives
    try:
        tensors = [torch.zeros(size, dtype=getattr(torch, wanted.dtype)) for wanted, size in zip(inputs, sizes)]
        if parameters.channels_last:
            module = module.to(memory_format=torch.channels_last)
            tensors = [
                tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
                for tensor in tensors
            ]
    except Exception as error:
        raise explained(error, "Failed to make the model ready") from None
    if parameters.compile:
        module = compiled(module, tensors)
    return Model(
        functools.partial(module, *tensors),
        functools.partial(prepare_inputs, inputs, tensors),
        {
            "threads": torch.get_num_threads(),
            "compile": parameters.compile,
            "channels_last": parameters.channels_last,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        },
    )


def read(path: str) -> Any:
    """Load an archive with torch.export.load, which tries an old format where the new one fails.

    Raises:
        Exception: what was wrong at first; PyTorch only logs that, and raises what the old format had against the file.
    """
    import torch

    failures = []

    def keep(record: logging.LogRecord) -> bool:
        if record.exc_info:
            failures.append(record.exc_info[1])
        return not record.exc_info

    logger = logging.getLogger("torch.export")
    logger.addFilter(keep)
    try:
        return torch.export.load(path)
    except Exception as error:
        raise (failures or [error])[0] from None
    finally:
        logger.removeFilter(keep)


def inputs_of(program: Any) -> list[Input]:
    """Return what an archive's inputs are.

    Raises:
        BenchmarkError: one is no tensor.
    """
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs = []
    for index, name in enumerate(program.graph_signature.user_inputs):
        value = values.get(name)
        if not hasattr(value, "dtype"):
            raise BenchmarkError(f"Input #{index} ({name}) is no tensor; export the model with tensors as its inputs")
        shape = [size if isinstance(size, int) else None for size in value.shape]  # else symbolic
        inputs.append(Input(index, "", str(value.dtype).removeprefix("torch."), shape))
    return inputs


def compiled(module: Any, tensors: list[Any]) -> Any:
    """Return a module compiled for these inputs; compiling happens in the first call, which is here.

    Raises:
        BenchmarkError: it cannot be compiled here.
    """
    import torch

    # Without helper processes, which would stay; and a compiled module is in memory, so its files may go.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="edgebench-") as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        module = torch.compile(module, dynamic=False)
        try:
            module(*tensors)
        except Exception as error:
            said = error if isinstance(error, MemoryError) else RuntimeError(complaint(str(error)))
            raise explained(said, NOT_COMPILED) from None
    return module


def complaint(text: str) -> str:
    """Return the line of PyTorch's many that says what is wrong: the compiler's first error, else the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["torch.compile gives no reason"]
    return next((line for line in lines if "error: " in line), lines[0])


def prepare_inputs(inputs: list[Input], tensors: list[Any]) -> Call | None:
    """Fill every input with random values; return what is to be called before each inference, if any.

    Raises:
        BenchmarkError: an input's type has no values.
    """
    import torch

    arrays = random_arrays(inputs, [tensor.shape for tensor in tensors])
    return copy_in([(tensor.copy_, torch.from_numpy(values)) for tensor, values in zip(tensors, arrays)])


RUNNER = Runner(
    name="torch",
    file="torch.export archive",
    suffix="pt2",
    shape="8,3,224,224",
    import_runtime=import_runtime,
    load=load,
    flags={
        "compile": "true: with torch.compile; needs a C++ compiler and Python's header files on the host",
        "channels_last": "true: weights and images with channels last",
    },
    refused={
        "use_xnnpack": "XNNPACK is a delegate of TFLite; use the runner litert or benchmark_model",
        "enable_op_profiling": "the runner torch tells no times of operators; use the runner benchmark_model",
    },
)

if __name__ == "__main__":
    leave(main(RUNNER, sys.argv[1:]))
