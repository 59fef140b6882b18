"""Make the networks that test the runner tvm: of TVM for this machine, which is why they are not kept here.

    python make_tvm.py DIRECTORY

Needs the packages of the runner tvm, whose compiler this uses, and a C compiler to link with.
"""

import json
import sys
from pathlib import Path

import numpy
import tvm
from tvm import relax

SHAPES = {"image": {"input": ([1, 3, 32, 32], "float32")}, "colours": {"images": ([1, 8, 8, 3], "int8")}}
SHAPES["lookup"] = {"words": ([1, 5], "int64"), "scale": ([1, 5, 4], "float32"), "mask": ([1, 5, 1], "bool")}


def image(images):
    kernels = relax.const(numpy.full((4, 3, 3, 3), 0.1, "float32"))
    return relax.op.mean(relax.op.nn.relu(relax.op.nn.conv2d(images, kernels)), [2, 3])


def lookup(words, scale, mask):
    table = relax.const(numpy.ones((100, 4), "float32"))
    found = relax.op.reshape(relax.op.take(table, relax.op.reshape(words, (5,)), 0), (1, 5, 4))
    return relax.op.multiply(relax.op.multiply(found, scale), relax.op.astype(mask, "float32"))


def colours(images):  # one of seven: the nearest to the mean of the image, by x.c - c.c / 2
    table = numpy.array([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in range(7)], "float32")
    floats = relax.op.multiply(
        relax.op.add(relax.op.astype(images, "float32"), relax.const(128.0)), relax.const(1 / 255)
    )
    scores = relax.op.matmul(relax.op.mean(floats, [1, 2]), relax.const(table.T.copy()))
    return relax.op.subtract(scores, relax.const((table**2).sum(1) / 2))


def write(network, path: Path) -> None:
    shapes = SHAPES[network.__name__]
    variables = [relax.Var(name, relax.TensorType(*shape)) for name, shape in shapes.items()]
    builder = relax.BlockBuilder()
    with builder.function("main", variables):
        builder.emit_func_output(builder.emit(network(*variables)))
    with builder.function("describe", []):
        inputs = [[name, dtype, shape] for name, (shape, dtype) in shapes.items()]
        described = {"inputs": inputs, "target": "this machine", "kernels": 3, "tuning_minutes": 1}
        if network is colours:
            described["input_quantization"] = [[1 / 255, -128]]
        builder.emit_func_output(tvm.ir.StringImm(json.dumps(described)))
    relax.build(builder.get(), tvm.target.Target({"kind": "llvm"})).export_library(str(path))


for each in (image, lookup, colours):
    write(each, Path(sys.argv[1], f"{each.__name__}.so"))
