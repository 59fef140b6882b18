"""Names that users and files know: the columns of tables, metrics, file names. Imports nothing, so that it is quick."""

from __future__ import annotations

import re

TEXT, INTEGER, NUMBER, LIST = "str", "Int64", "float64", "object"

SCHEMAS = (1,)  # the versions of raw logs that analysis reads; analysis/schemas/ has a directory for each

# The columns of `Dataset.runs`, in order, with their types; docs/tables.md says what they hold.
COLUMNS: dict[str, str] = {
    "campaign": TEXT,
    "host": TEXT,
    "platform": TEXT,
    "arch": TEXT,
    "model": TEXT,
    "variant": TEXT,
    "runner": TEXT,
    "threads": INTEGER,
    "delegate": TEXT,
    "batch_size": INTEGER,
    "input_size": INTEGER,
    "repetition": INTEGER,
    "status": TEXT,
    "reason": TEXT,
    "init_time_ms": NUMBER,
    "init_inference_ms": NUMBER,
    "first_inference_ms": NUMBER,
    "warmup_inference_ms": NUMBER,
    "avg_inference_ms": NUMBER,
    "std_inference_ms": NUMBER,
    "min_inference_ms": NUMBER,
    "max_inference_ms": NUMBER,
    "median_inference_ms": NUMBER,
    "p95_inference_ms": NUMBER,
    "iterations": INTEGER,
    "memory_init_mb": NUMBER,
    "memory_overall_mb": NUMBER,
    "log": TEXT,
    "block": INTEGER,
    "start_utc": TEXT,
    "end_utc": TEXT,
    "duration_s": NUMBER,
    "exit_code": INTEGER,
    "model_size_mb": NUMBER,
    "peak_memory_mb": NUMBER,
    "weights": TEXT,
    "model_sha256": TEXT,
    "runner_version": TEXT,
    "runner_sha256": TEXT,
    "cpu_per_wall": NUMBER,
    "steal_percent": NUMBER,
    "other_cpu_percent": NUMBER,
    "load1_before": NUMBER,
    "temperature_before_c": NUMBER,
    "temperature_after_c": NUMBER,
    "throttled_after": TEXT,
    "governor": TEXT,
    "warnings": TEXT,
    "cpu_mhz_before": NUMBER,
    "cpu_mhz_after": NUMBER,
    "turbo": TEXT,
    "thermal_throttle_events": INTEGER,
    "swapped_pages": INTEGER,
    "waited_s": NUMBER,
    "control": TEXT,
    "retry": INTEGER,
    "phase": TEXT,
    "energy_meter": TEXT,
    "energy_run_j": NUMBER,
    "energy_inference_j": NUMBER,
    "energy_net_inference_j": NUMBER,
    "power_w": NUMBER,
    "idle_power_w": NUMBER,
    "macs": INTEGER,
    "images_per_s": NUMBER,
    "latency_per_image_ms": NUMBER,
    "delegation": TEXT,
    "delegated_nodes": INTEGER,
    "graph_nodes": INTEGER,
    "battery_percent": NUMBER,
    "battery_temperature_c": NUMBER,
    "plugged": TEXT,
    "thermal_status": INTEGER,
    "screen": TEXT,
    "outlier": TEXT,
    "call": TEXT,
    "target": TEXT,
    "arithmetic": TEXT,
    "kernels": INTEGER,
    "tuned_kernels": INTEGER,
    "iteration_wall_us": LIST,  # last: tables/runs.csv goes without
}

# What a run was for. Only the first are repetitions; the others chose the iterations, show where the time goes, or say
# what the model takes images for.
MEASURE, PILOT, PROFILE, EVALUATE = "measure", "pilot", "profile", "evaluate"
NO_REPETITION = (PILOT, PROFILE, EVALUATE)

# What makes two runs repetitions of the same thing, beside campaign and host.
CONFIGURATION = ("model", "variant", "runner", "threads", "delegate", "batch_size", "input_size")

# What one process execution measures; empty in the rows of failed runs.
_RATES = ("images_per_s", "power_w")
METRICS = tuple(
    name for name in COLUMNS if name in _RATES or (name.endswith(("_ms", "_mb", "_j")) and name != "model_size_mb")
)

# What speedups can be made of; a ratio of spreads is not a speedup.
TIME_METRICS = tuple(name for name in METRICS if name.endswith("_ms") and name != "std_inference_ms")

# What Kenning's measurements hold, one or the other: times of inferences, at either end of a connection; accuracy.
KENNING_STEPS = ("target_inference_step", "protocol_inference_step")
KENNING_MATRIX = "eval_confusion_matrix"

UNTUNED = "_untuned"  # ends the names of variants that TVM compiled as it does by itself

OUT_OF_MEMORY = "out of memory"  # begins the reason of a run that did not fit

DEFAULT_METRIC, DEFAULT_BASELINE = "avg_inference_ms", "float32"


_KNOWN_SCHEMAS = tuple(map(str, SCHEMAS))


def strange_schema(version: object) -> str:
    """Why a file of raw logs is not to be read, by the `schema` that it says; '' if it is, or says none."""
    if version is None or str(version) in _KNOWN_SCHEMAS:
        return ""
    known = ", ".join(_KNOWN_SCHEMAS)
    return f"schema is {version!r}, this kit knows {known}: another version of the kit wrote it; read it with that one"


def slug(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip("._") or "unnamed"


def readable(name: str) -> str:
    """A name as text that every file and terminal can hold: what is no letter or sign becomes '?'."""
    return name if name.isprintable() else "".join(c if c.isprintable() else "?" for c in name)


def compiled_for(target: str) -> str:
    """'core-avx2' of 'llvm -mcpu=core-avx2': LLVM's name of the CPU that a library is for; else what there is."""
    return target.partition("-mcpu=")[2].partition(" ")[0] or target
