"""Whether a delegate executed the model: the lines of all eras, of both streams, and what they are worth."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import logs
from analysis.delegation import COMPLETELY, NOT_AT_ALL, PARTLY
from analysis.logs import FAILED, INVALID, OK

GPU_LOG = (Path(__file__).resolve().parents[1] / "data/logs/made/delegate_gpu.log").read_text(encoding="utf-8")
APPLIED = "INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.\n"


def words(name: str, extent: str) -> str:
    text = {
        COMPLETELY: f"INFO: Explicitly applied {name} delegate, and the model graph will be completely executed by the "
        "delegate.\n",
        PARTLY: f"INFO: Explicitly applied {name} delegate, and the model graph will be partially executed by the "
        "delegate w/ 3 delegate kernels.\n",
        NOT_AT_ALL: f"INFO: Though {name} delegate is explicitly applied, the model graph will not be executed by the "
        "delegate.\n",
    }
    return text[extent]


def replacing(nodes: str, delegate: str, of: str = "the whole graph") -> str:
    """The runtime's line, `nodes` as in '59 out of 64'."""
    return (
        f"VERBOSE: Replacing {nodes} node(s) with delegate ({delegate}) node, yielding 3 partitions for {of}.\n"
        if of
        else f"INFO: Replacing {nodes} node(s) with delegate ({delegate}) node, yielding 3 partitions.\n"
    )


GPU, NNAPI, XNNPACK = "TfLiteGpuDelegateV2", "TfLiteNnapiDelegate", "TfLiteXNNPackDelegate"
USE_NNAPI = "Use NNAPI: [1]"
IDLE = "the {} delegate executed nothing, so this is another delegate's time"

# What was asked for, what the log says, and: extent, nodes, status, the reason's beginning.
CASES = {
    "all nodes": (
        "Use gpu: [1]", replacing("64 out of 64", GPU) + words("GPU", COMPLETELY), COMPLETELY, (64, 64), OK, ""),
    "runtime's line after the tool's": (
        "Use gpu: [1]", words("GPU", PARTLY) + replacing("59 out of 64", GPU), PARTLY, (59, 64), OK, ""),
    "XNNPACK takes the rest": (
        USE_NNAPI,
        replacing("5 out of 64", NNAPI) + replacing("59 out of 62", XNNPACK) + words("NNAPI", PARTLY),
        PARTLY, (5, 64), OK, ""),
    "only XNNPACK's nodes": (
        USE_NNAPI, words("NNAPI", NOT_AT_ALL) + replacing("31 out of 31", XNNPACK),
        NOT_AT_ALL, (None, None), INVALID, IDLE.format("NNAPI")),
    "claimed and given up": (
        USE_NNAPI, replacing("31 out of 31", NNAPI) + words("NNAPI", NOT_AT_ALL),
        NOT_AT_ALL, (0, 31), INVALID, IDLE.format("NNAPI")),
    "applied, to no node": (
        "Use gpu: [1]", words("GPU", COMPLETELY) + replacing("0 out of 64", GPU),
        NOT_AT_ALL, (0, 64), INVALID, IDLE.format("GPU")),
    "undone after a failure": (
        "Use gpu: [1]",
        replacing("64 out of 64", GPU) + "ERROR: Restored original execution plan after delegate application failure\n",
        "", (None, None), INVALID, "nothing says that the delegate gpu was applied"),
    "only the runtime's line": ("Use gpu: [1]", replacing("59 out of 64", GPU), PARTLY, (59, 64), OK, ""),
    "applied, nothing more": (
        "Use gpu: [1]", "INFO: Explicitly applied GPU delegate.\n",
        "", (None, None), INVALID, "nothing says that the GPU delegate executed any of the model"),
    "subgraphs": (
        "Use gpu: [1]",
        replacing("60 out of 60", GPU, "subgraph 0 (main)") + replacing("0 out of 4", GPU, "subgraph 1 (body)")
        + words("GPU", COMPLETELY),
        PARTLY, (60, 64), OK, ""),
    "applied anew when tensors are resized": (
        "Use gpu: [1]", 2 * replacing("64 out of 64", GPU, "subgraph 0") + words("GPU", COMPLETELY),
        COMPLETELY, (64, 64), OK, ""),
    "2020: no total": (
        "Use NNAPI: [1]", replacing("31", NNAPI, "") + words("NNAPI", COMPLETELY), COMPLETELY, (31, None), OK, ""),
    "2019": (
        "Use gpu : [1]",
        "Applied GPU delegate, and the model graph will be completely executed w/ the delegate.\n",
        COMPLETELY, (None, None), OK, ""),
    "OpenCL backend": ("Use gpu: [1]", replacing("64 out of 64", "LITERT_CL"), COMPLETELY, (64, 64), OK, ""),
    "Hexagon": (
        "Use Hexagon: [1]", replacing("30 out of 31", "TfLiteHexagonDelegate") + words("Hexagon", PARTLY),
        PARTLY, (30, 31), OK, ""),
    "Hexagon is not there": (
        "Use Hexagon: [1]",
        "WARN: Could not create Hexagon delegate: platform may not support delegate or required libraries are missing\n"
        + replacing("31 out of 31", XNNPACK),
        NOT_AT_ALL, (None, None), FAILED,
        "Could not create Hexagon delegate: platform may not support delegate or required libraries are missing"),
    "no GPU": (
        "Use gpu: [1]", "WARN: GPU acceleration is unsupported on this platform.\n",
        NOT_AT_ALL, (None, None), FAILED, "GPU acceleration is unsupported on this platform"),
    "GPU fails": (
        "Use gpu: [1]",
        "ERROR: TfLiteGpuDelegate Init: No shader implementation for transpose\nERROR: Failed to apply GPU delegate.\n"
        "ERROR: Benchmarking failed.\n",
        "", (None, None), FAILED, "TfLiteGpuDelegate Init: No shader implementation for transpose; Failed to apply"),
    "an external one": (
        "External delegate path: [/vendor/lib64/libvx_delegate.so]",
        replacing("30 out of 31", "Vx Delegate") + words("EXTERNAL", PARTLY), PARTLY, (30, 31), OK, ""),
    "XNNPACK, which is the default too": (
        "Use xnnpack: [1]", replacing("64 out of 64", XNNPACK) + words("XNNPACK", NOT_AT_ALL),
        COMPLETELY, (64, 64), OK, ""),
    "XNNPACK, not told": ("Use xnnpack: [1]", words("XNNPACK", NOT_AT_ALL), "", (None, None), OK, ""),
    "NNAPI with its CPU named": (
        f"{USE_NNAPI}\nINFO: NNAPI accelerator name: [nnapi-reference]",
        replacing("64 out of 64", NNAPI) + words("NNAPI", COMPLETELY),
        NOT_AT_ALL, (0, 64), INVALID, "NNAPI had only nnapi-reference to execute it with, which is the CPU"),
    "NNAPI with nothing but its CPU": (
        f"{USE_NNAPI}\nINFO: NNAPI accelerators available: [nnapi-reference]",
        words("NNAPI", COMPLETELY),
        NOT_AT_ALL, (None, None), INVALID, "NNAPI had only nnapi-reference to execute it with, which is the CPU"),
    "NNAPI free to take its CPU": (
        f"{USE_NNAPI}\nINFO: NNAPI accelerators available: [qti-dsp,nnapi-reference]\nINFO: Disable NNAPI cpu: [0]",
        words("NNAPI", COMPLETELY),
        "", (None, None), INVALID, "NNAPI was free to execute it with nnapi-reference, which is the CPU, and does not"),
    "NNAPI with a device": (
        f"{USE_NNAPI}\nINFO: NNAPI accelerators available: [qti-dsp,nnapi-reference]", words("NNAPI", COMPLETELY),
        COMPLETELY, (None, None), OK, ""),
    "two, the lesser counts": (
        f"Use gpu: [1]\nINFO: {USE_NNAPI}", words("GPU", PARTLY) + words("NNAPI", COMPLETELY),
        PARTLY, (None, None), OK, ""),
    "none asked for": ("Num threads: [1]", replacing("64 out of 64", XNNPACK), "", (None, None), OK, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_how_much_the_delegate_executes(name):
    asked, said, extent, nodes, status, reason = CASES[name]
    text = GPU_LOG.replace("Use gpu: [1]", asked).replace(APPLIED, said)
    (run,) = logs.parse(text)
    assert (run.delegation, (run.delegated_nodes, run.graph_nodes)) == (extent, nodes)
    assert run.status == status
    assert run.reason.startswith(reason)
    assert bool(run.reason) == bool(reason)


def test_a_part_is_said_with_its_share_of_the_nodes():
    text = GPU_LOG.replace(APPLIED, replacing("59 out of 64", GPU) + words("GPU", PARTLY))
    (run,) = logs.parse(text)
    assert run.warnings == ("the GPU delegate executes only parts of the model (3 kernels, 59 of 64 nodes)",)


def test_a_capture_without_its_head_is_read_too():
    text = GPU_LOG.partition("INFO: Loaded model")[2].replace(APPLIED, words("GPU", NOT_AT_ALL))
    (run,) = logs.parse(text)
    assert (run.delegation, run.status) == (NOT_AT_ALL, INVALID)
    assert IDLE.format("GPU") in run.reason


def test_logcat_of_the_benchmark_app():
    """The same lines with Android's heads, the runtime's among them."""
    body = (replacing("59 out of 64", GPU) + words("GPU", PARTLY)).replace("VERBOSE: ", "INFO: ")
    lines = GPU_LOG.replace(APPLIED, body).splitlines()
    heads = "\n".join(f"07-19 14:10:10.844  7937  7937 I tflite  : {line.removeprefix('INFO: ')}" for line in lines)
    (run,) = logs.parse(heads)
    assert (run.delegation, run.delegated_nodes, run.graph_nodes, run.status) == (PARTLY, 59, 64, OK)
