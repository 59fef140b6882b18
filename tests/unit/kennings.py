"""Measurements as Kenning writes them, made up: the scenarios of its example with the Pet data set."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

MODEL = "TensorFlowPetDatasetMobileNetV2"
TFLITE, TVM = "kenning.optimizers.tflite.TFLiteCompiler", "kenning.optimizers.tvm.TVMCompiler"
TO_INT8 = {"target": "int8", "inference_input_type": "int8", "inference_output_type": "int8"}
TO_AVX2 = {"target": "llvm -mcpu=core-avx2", "opt_level": 3, "use_fp16_precision": False, "use_int8_precision": False}
MATRIX = [[50.0, 3.0, 2.0], [4.0, 40.0, 6.0], [0.0, 5.0, 45.0]]
# file: (optimizers, runtime, mean in s, bytes)
SCENARIOS: dict[str, tuple[list[tuple[str, dict[str, Any]]], str, float, int]] = {
    "native": ([], "", 0.064, 9_000_000),
    "tflite-fp32": ([(TFLITE, {"target": "default"})], "tflite.TFLiteRuntime", 0.0041, 4_580_000),
    "tflite-int8": ([(TFLITE, TO_INT8)], "tflite.TFLiteRuntime", 0.038, 1_280_000),
    "tvm-avx2-int8": ([(TFLITE, TO_INT8), (TVM, TO_AVX2)], "tvm.TVMRuntime", 0.0015, 2_790_000),
}


def measurements(name: str = "tflite-int8", **changed: Any) -> dict[str, Any]:
    """The content of a file; what is None in `changed` is left out."""
    optimizers, runtime, mean_s, size = SCENARIOS[name]
    noise = random.Random(name)
    times = [3 * mean_s, *(mean_s * noise.gauss(1, 0.01) for _ in range(154))]
    starts = [100 + 0.1 * i for i in range(6)]
    blocks: dict[str, Any] = {
        "dataset": {
            "type": "kenning.datasets.pet_dataset.PetDataset",
            "parameters": {"dataset_root": "build/PetDataset", "inference_batch_size": 1, "split_fraction_test": 0.2},
        },
        "model_wrapper": {
            "type": f"kenning.modelwrappers.classification.tensorflow_pet_dataset.{MODEL}",
            "parameters": {"model_path": "/home/me/.kenning/models/tensorflow_pet_dataset_mobilenetv2.h5"},
        },
        "optimizers": [{"type": kind, "parameters": parameters} for kind, parameters in optimizers],
    }
    if runtime:
        blocks["runtime"] = {"type": f"kenning.runtimes.{runtime}", "parameters": {}}
    content = {
        "target_inference_step": times,
        "target_inference_step_timestamp": [100 + sum(times[: i + 1]) for i in range(len(times))],
        "session_utilization_cpus_percent": [[0.0, 0.0], *([50.0 + i, 100.0] for i in range(5))],
        "session_utilization_mem_percent": [9.0, 9.1, 9.2, 9.2, 9.2, 9.3],
        "session_utilization_timestamp": starts,
        "eval_confusion_matrix": MATRIX,
        "top_5_count": 155,
        "total": 155,
        "optimizers": [
            {"compiler_framework": "tvm" if kind == TVM else "tensorflow", "compiler_version": "0.1"}
            for kind, _ in optimizers
        ],
        "command": ["python -m kenning test \\", "    --json-cfg \\", f"        {name}.json"],
        "build_cfg": blocks,
        "model_framework": "tensorflow",
        "model_version": "2.15.0",
        "class_names": ["Abyssinian", "american_bulldog", "pug"],
        "compiled_model_size": size,
    } | changed
    return {key: value for key, value in content.items() if value is not None}


def write(directory: Path, *names: str) -> Path:
    """The files of some scenarios; of all where none is named."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names or SCENARIOS:
        (directory / f"{name}.json").write_text(json.dumps(measurements(name), indent=2), encoding="utf-8")
    return directory
