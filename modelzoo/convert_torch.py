"""Build one PyTorch network and convert it to one file: pt2 (torch.export), onnx or tflite.

A program, not a library: it runs with the Python of its own environment (environment.py), one process per conversion,
and imports nothing of modelzoo but unet.py, which lies beside it. What it writes is determined by its arguments, by the
versions of its packages, and by this file: raise the recipe version in build.py when a change here changes the bytes.

Images are (batch, 3, height, width) in every format, as PyTorch has them. A pt2 or onnx file takes any batch; a tflite
file is made for one.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import torch
from torch.utils.flop_counter import FlopCounterMode

IMAGE_SEED = 0
# Largest difference from the network itself that a file may have, as a share of the range of the network's output.
TOLERANCES = {"float32": 1e-3, "dynamic_range": 0.1}
# Of an archive that takes any batch, and what it is checked with.
EXAMPLE_BATCH = 2
CHECKED_BATCHES = (1, 2)
# What each format is made with.
PACKAGES = {
    "pt2": ("torch", "torchvision"),
    "onnx": ("torch", "torchvision", "onnx", "onnxscript"),
    "tflite": ("torch", "torchvision", "litert-torch", "ai-edge-quantizer"),
}

Run = Callable[[torch.Tensor], torch.Tensor]


def main() -> int:
    arguments = parse_arguments()
    network = build(arguments.network, arguments.weights, arguments.seed)
    with torch.inference_mode():
        WRITERS[arguments.format](network, arguments)
        check(network, arguments)
        found = facts(network, image(1, arguments.input_size)) | {
            "peak_memory_gb": peak_memory_gb(),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES[arguments.format]}
            | {"python": platform.python_version()},
        }
    arguments.facts.write_text(json.dumps(found), encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", required=True, help="UNet, or a name in torchvision.models")
    parser.add_argument("--format", required=True, choices=WRITERS)
    parser.add_argument("--variant", required=True, choices=TOLERANCES)
    parser.add_argument("--weights", required=True, help="random, or a file with a state dict")
    parser.add_argument("--seed", type=int, default=0, help="of random weights")
    parser.add_argument("--batch-size", type=int, help="of a tflite file")
    parser.add_argument("--input-size", type=int, required=True, help="height and width, in pixels")
    parser.add_argument("--output", type=Path, required=True, help="the file to write")
    parser.add_argument("--facts", type=Path, required=True, help="JSON file for parameters, MACs, versions, ...")
    return parser.parse_args()


def build(name: str, weights: str, seed: int) -> torch.nn.Module:
    """Return a network for inference, with seeded random weights or those of a file."""
    torch.manual_seed(seed)
    network = constructor(name)()
    if weights != "random":
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def constructor(name: str) -> type[torch.nn.Module]:
    if name == "UNet":
        from unet import UNet

        return UNet
    return getattr(torchvision_models(), name)


def torchvision_models() -> ModuleType:
    """Return torchvision.models.

    A torchvision made for CUDA cannot load its own operators beside a torch without CUDA, and then not even be
    imported, though no classifier needs them: the two that it registers something for are declared in its stead.
    """
    try:
        import torchvision.models
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision.models
    return torchvision.models


def image(batch: int, size: int) -> torch.Tensor:
    """Seeded noise: (batch, 3, size, size)."""
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(IMAGE_SEED))


def export_any_batch(network: torch.nn.Module, size: int) -> torch.export.ExportedProgram:
    """Return the network's graph for any batch, without what names files of this machine."""
    batch = torch.export.Dim("batch", min=1)
    exported = torch.export.export(network, (image(EXAMPLE_BATCH, size),), dynamic_shapes=({0: batch},))
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)
    return exported


def write_pt2(network: torch.nn.Module, arguments: argparse.Namespace) -> None:
    torch.export.save(export_any_batch(network, arguments.input_size), arguments.output)


def write_onnx(network: torch.nn.Module, arguments: argparse.Namespace) -> None:
    torch.onnx.export(
        export_any_batch(network, arguments.input_size),
        f=arguments.output,
        dynamo=True,
        input_names=["input"],
        output_names=["output"],
        external_data=False,
        verbose=False,
    )


def write_tflite(network: torch.nn.Module, arguments: argparse.Namespace) -> None:
    try:
        import litert_torch
    except ModuleNotFoundError:
        sys.exit(
            "litert-torch, which converts PyTorch's networks to TFLite, has no package for this machine; build "
            "these files on an x86_64 machine and bring its models directory here (--source directory)"
        )
    example = (image(arguments.batch_size, arguments.input_size),)
    litert_torch.convert(network, example).export(str(arguments.output))
    if arguments.variant == "dynamic_range":
        from ai_edge_quantizer import quantizer, recipe

        converted = quantizer.Quantizer(str(arguments.output), recipe.dynamic_wi8_afp32()).quantize()
        converted.export_model(str(arguments.output), overwrite=True)


WRITERS = {"pt2": write_pt2, "onnx": write_onnx, "tflite": write_tflite}


def check(network: torch.nn.Module, arguments: argparse.Namespace) -> None:
    """Exit with a message when the file does not compute what the network does."""
    run = RUNNERS[arguments.format](arguments.output)
    for batch in CHECKED_BATCHES if arguments.batch_size is None else (arguments.batch_size,):
        images = image(batch, arguments.input_size)
        expected = network(images)
        found = run(images)
        if found.shape != expected.shape:
            sys.exit(
                f"to a batch of {batch} the file answers {tuple(found.shape)}, the network {tuple(expected.shape)}"
            )
        difference = float((found - expected).abs().max() / (expected.max() - expected.min()))
        if not difference <= TOLERANCES[arguments.variant]:  # NaN is wrong too
            sys.exit(
                f"the file does not compute what the network does: at batch {batch} outputs differ by {difference:.2g} "
                f"of their range, expected is at most {TOLERANCES[arguments.variant]:g}"
            )


def run_pt2(file: Path) -> Run:
    return torch.export.load(file).module()


def run_onnx(file: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"input": images.numpy()})[0])


def run_tflite(file: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()

    def run(images: torch.Tensor) -> torch.Tensor:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images.numpy())
        interpreter.invoke()
        return torch.from_numpy(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))

    return run


RUNNERS = {"pt2": run_pt2, "onnx": run_onnx, "tflite": run_tflite}


def facts(network: torch.nn.Module, one: torch.Tensor) -> dict[str, int | float]:
    """How large a network is; what follows from the image's size, for one image."""
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),  # each once, shared or not
        "macs": count_macs(network, one),
        "activation_mb": largest_activation_mb(network, one),
    }


def count_macs(network: torch.nn.Module, images: torch.Tensor) -> int:
    """Multiply-accumulates of one pass: torch counts each as two, in convolutions and matrix products only."""
    with FlopCounterMode(display=False) as counter:
        network(images)
    return counter.get_total_flops() // 2


def peak_memory_gb() -> float:
    """Peak resident memory in GB; getrusage counts KiB on Linux, bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def largest_activation_mb(network: torch.nn.Module, images: torch.Tensor) -> float:
    """Inputs and outputs of the operation that has most of them, in MB of 2^20 bytes, weights apart.

    Batch norms, what works point by point and what works in place are not looked at: runtimes fuse them.
    """
    exported = torch.export.export(network, (images,))
    weights = {*exported.graph_signature.inputs_to_parameters, *exported.graph_signature.inputs_to_buffers}
    largest = 0
    for node in exported.graph.nodes:
        if node.op != "call_function":
            continue
        operation = node.target.__name__.partition(".")[0]
        if operation.endswith("_") or operation == "batch_norm" or torch.Tag.pointwise in node.target.tags:
            continue
        tensors = {node, *(source for source in node.all_input_nodes if source.name not in weights)}
        largest = max(largest, sum(tensor.meta["val"].nbytes for tensor in tensors))
    return round(largest / 2**20, 2)


if __name__ == "__main__":
    sys.exit(main())
