"""What TVM compiles for: the one form of its text, which machines can run it, and what a host's own is."""

from __future__ import annotations

import pytest
from ansible_collections.edgebench.testbed.plugins.module_utils.host_facts import FEATURES
from ansible_collections.edgebench.testbed.plugins.module_utils.tvm_target import (
    can_run,
    machine_of,
    mcpu,
    normalised,
    of_host,
    unfit,
)

A72 = "llvm -mcpu=cortex-a72 -mtriple=aarch64-linux-gnu"
V3 = {"popcnt", "sse4_1", "sse4_2", "ssse3", "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("llvm -mcpu=core-avx2", "llvm -mcpu=core-avx2"),
        (" -mcpu=core-avx2 ", "llvm -mcpu=core-avx2"),
        ("llvm -mtriple=x86_64-unknown-linux-gnu -mcpu=core-avx2", "llvm -mcpu=core-avx2"),
        ("-mcpu=cortex-a72", A72),
        (A72, A72),
        ("-mcpu=generic", "llvm -mcpu=generic -mtriple=aarch64-linux-gnu"),
    ],
)
def test_a_target_has_one_form(text, target):
    assert normalised(text) == target
    assert mcpu(target) in text
    assert machine_of(target) == ("aarch64" if "aarch64" in target else "x86_64")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "TVM target '': -mcpu= with LLVM's name of a CPU expected, as in 'llvm -mcpu=core-avx2' or ",
        ),
        ("llvm", "TVM target 'llvm': -mcpu= with LLVM's name of a CPU expected"),
        ("-mcpu=native", "TVM target '-mcpu=native': -mcpu= with LLVM's name"),
        ("-mcpu=../x", "TVM target '-mcpu=../x': -mcpu= with LLVM's name"),
        ("cuda", "TVM target 'cuda': 'cuda' is not understood; expected is 'llvm -mcpu=core-avx2' or"),
        ("-mcpu=a -mcpu=b", "TVM target '-mcpu=a -mcpu=b': '-mcpu=b' is not understood"),
        ("-mcpu=a -mtriple=arm-linux-gnueabihf", "TVM target '-mcpu=a -mtriple=arm-linux-gnueabihf': -mtriple=x86_64-"),
        ("-mcpu=haswell -mtriple=aarch64-linux-gnu", ".*: haswell is a CPU of x86_64, the triple is of aarch64"),
    ],
)
def test_what_is_no_target_is_refused(text, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        normalised(text)


def test_a_machine_can_run_what_needs_no_more_than_it_has():
    avx2, cascade_lake = normalised("-mcpu=core-avx2"), normalised("-mcpu=cascadelake")
    assert can_run(avx2, "x86_64", {*V3, "hypervisor"})
    assert not can_run(avx2, "x86_64", V3 - {"fma"})
    assert not can_run(cascade_lake, "x86_64", V3)
    assert not can_run(avx2, "aarch64", V3)
    assert not can_run(A72, "x86_64", V3)
    assert can_run(A72, "aarch64", {"fp", "asimd", "crc32"})
    assert not can_run(normalised("-mcpu=cortex-a76"), "aarch64", {"fp", "asimd", "crc32"})
    assert not can_run(normalised("-mcpu=made-up"), "x86_64", V3)


@pytest.mark.parametrize(
    ("target", "record", "reason"),
    [
        ("-mcpu=core-avx2", {"arch": "x86_64", "cpu_features": ["avx", "avx2", "fma", "f16c"]}, ""),
        ("-mcpu=core-avx2", {"arch": "x86_64", "cpu_features": ["avx"]}, "its CPU has no avx2 f16c fma"),
        ("-mcpu=core-avx2", {"arch": "x86_64", "cpu_features": None}, ""),
        ("-mcpu=made-up", {"arch": "x86_64", "cpu_features": []}, ""),
        ("-mcpu=cortex-a72", {"arch": "x86_64", "cpu_features": []}, "this machine is x86_64"),
        ("-mcpu=cortex-a76", {"arch": "aarch64", "cpu_features": ["asimd"]}, "its CPU has no asimddp asimdhp"),
        ("-mcpu=cortex-a76", {"arch": "aarch64", "cpu_features": ["asimd", "asimddp", "asimdhp"]}, ""),
    ],
)
def test_what_a_host_cannot_run_is_known_by_its_record(target, record, reason):
    assert unfit(normalised(target), record, FEATURES) == reason


@pytest.mark.parametrize(
    ("arch", "features", "microarchitecture", "target"),
    [
        ("x86_64", ["avx", "avx2", "fma", "f16c", "avx512f"], "Ice Lake", "llvm -mcpu=x86-64-v4"),
        ("x86_64", ["avx", "avx2", "fma", "f16c", "avx512f"], "Knights Landing", "llvm -mcpu=x86-64-v3"),
        ("x86_64", ["avx", "avx2", "fma", "f16c"], None, "llvm -mcpu=x86-64-v3"),
        ("x86_64", ["avx", "f16c"], "Ivy Bridge", "llvm -mcpu=x86-64-v2"),
        ("x86_64", None, None, "llvm -mcpu=x86-64"),
        ("aarch64", ["asimd"], "Cortex-A72", A72),
        ("aarch64", ["asimd", "asimddp"], "Cortex-A55 + Cortex-A76", "llvm -mcpu=generic -mtriple=aarch64-linux-gnu"),
        ("armv7l", ["neon"], "Cortex-A72", None),
        (None, None, None, None),
    ],
)
def test_a_host_s_own_target(arch, features, microarchitecture, target):
    record = {"arch": arch, "cpu_features": features, "microarchitecture": microarchitecture}
    assert of_host(record) == target
