"""Libraries of TVM: what they are compiled from, when kernels are tuned, what is left out. Small programs stand in."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from modelzoo import targets
from modelzoo.build import Build
from modelzoo.catalogue import COMPILED, MODELS, can_be
from modelzoo.ensure import Wanted, ensure, file_of
from modelzoo.errors import ZooError

FAKE = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("--framework")
parser.add_argument("--check", action="store_true")
options, others = parser.parse_known_args()
given = dict(each[2:].split("=", 1) for each in others)
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(pathlib.Path(given["output"]).name + "\\n")
facts = {"peak_memory_gb": 0.5, "versions": {}}
if options.framework == "keras":
    if (here / "conversions_fail").exists():
        sys.exit("no such operation")
    content = b"\\0\\0\\0\\0TFL3" + given["variant"].encode()
    facts |= {"parameters": 7, "macs": 70, "activation_mb": 0.7}
else:
    assert pathlib.Path(given["graph"]).read_bytes().endswith(given["variant"].encode())
    content = b"\\x7fELF" + given["target"].encode()
    facts |= {"kernels": 4, "tuned_kernels": 0, "arithmetic": "float32"}
    if database := given.get("database"):
        spent = pathlib.Path(database, "tuning.json")
        minutes = json.loads(spent.read_text())["minutes"] if spent.exists() else 0
        if float(given.get("minutes", 0)) > minutes:
            minutes = float(given["minutes"])
            spent.write_text(json.dumps({"minutes": minutes}))
            pathlib.Path(database, "database_tuning_record.json").write_text("[]\\n")
        facts |= {"tuned_kernels": 3, "tuning_minutes": minutes}
    facts["peak_memory_gb"] += options.check
pathlib.Path(given["output"]).write_bytes(content)
pathlib.Path(given["facts"]).write_text(json.dumps(facts))
"""
HERE, THERE = targets.normalised("-mcpu=core-avx2"), targets.normalised("-mcpu=cortex-a72")
TUNED = Wanted("MobileNet", "float32", "so", target=HERE)
UNTUNED = Wanted("MobileNet", "float32_untuned", "so", target=HERE)


class Zoo:
    """A models directory, programs that stand in for the converter and the compiler, and what was said."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root / "models/build-random"
        self.databases = root / "cache/tvm"
        self.said: list[str] = []
        (root / "program.py").write_text(FAKE)

    def ensure(self, *wanted: Wanted, check: bool = False, **options):
        def command(framework, cache, say):
            return [sys.executable, str(self.root / "program.py"), f"--framework={framework}"]

        self.said.clear()
        (self.root / "calls").write_text("")
        options = {"converter": command, "memory_gb": lambda: 100.0, "cores": 2} | options
        return ensure(Build(self.root / "cache", **options), wanted, self.root / "models", self.said.append, check)

    def made(self) -> list[str]:
        return (self.root / "calls").read_text().split()


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """One on a machine that can run what is for HERE."""
    monkeypatch.setattr(targets, "runs_here", lambda target: target == HERE)
    return Zoo(tmp_path)


def test_the_tflite_file_is_built_first_and_kept(zoo):
    outcome = zoo.ensure(UNTUNED)
    assert zoo.made() == ["MobileNet.float32.tflite", "MobileNet.float32_untuned.core-avx2.so"]
    (entry,) = outcome.models
    entries = json.loads((zoo.directory / "manifest.json").read_text())["models"]
    assert sorted(entries) == ["MobileNet.float32", "MobileNet.float32_untuned.core-avx2.so"]
    assert entry.compiled_from_sha256 == entries["MobileNet.float32"]["sha256"]
    assert (entry.target, entry.kernels, entry.tuned_kernels, entry.tuning_minutes) == (HERE, 4, 0, None)
    assert (entry.parameters, entry.macs, entry.weights, entry.input_size) == (7, 70, "random", 224)
    assert (entry.arithmetic, entry.correct_images) == ("float32", None)

    assert not zoo.ensure(UNTUNED, Wanted("MobileNet", "float32")).changed
    assert zoo.made() == []


def test_what_is_for_this_machine_is_checked_on_it(zoo):
    zoo.ensure(UNTUNED, Wanted("MobileNet", "float32_untuned", "so", target=THERE))
    assert [line for line in zoo.said if "(took 1.5 GB" in line and "core-avx2" in line]
    assert [line for line in zoo.said if "(took 0.5 GB" in line and "cortex-a72" in line]


def test_each_target_variant_and_batch_size_is_a_file_of_its_own(zoo):
    wanted = [
        file_of("MobileNet", variant, "so", batch, 448, target)
        for variant in COMPILED
        for batch in (1, 8)
        for target in (HERE, THERE)
        if target == HERE or variant.endswith("_untuned")
    ]
    outcome = zoo.ensure(*wanted)
    assert outcome.failed == []
    assert "MobileNet.int8_untuned.b8.s448.cortex-a72.so" in {entry.file for entry in outcome.models}
    assert len({entry.recipe for entry in outcome.models}) == len(outcome.models) == 12


def test_tuning_is_announced_and_kernels_that_it_left_out_are_told(zoo):
    zoo.ensure(TUNED, tvm_minutes=2.5)
    key = "MobileNet.float32.core-avx2.so"
    assert f"tuning {key}, up to 2.5 minutes (needs about 1.0 GB of memory) ..." in zoo.said
    assert [line for line in zoo.said if line.startswith(f"built {key} in ") and "3 of its 4 kernels tuned" in line]
    assert zoo.said[-1].startswith(
        f"warning: {key}: 1 of its 4 kernels are not tuned, which may make it many times slower"
    )


def test_a_library_is_tuned_again_when_more_minutes_are_wanted_only(zoo):
    assert zoo.ensure(TUNED, tvm_minutes=1).models[0].tuning_minutes == 1
    for minutes in (1, 0.5, 0):
        assert not zoo.ensure(TUNED, tvm_minutes=minutes).changed
    assert zoo.ensure(TUNED, tvm_minutes=2).models[0].tuning_minutes == 2
    assert "MobileNet.float32.core-avx2.so: it is tuned for 1 of 2 minutes" in zoo.said
    assert not zoo.ensure(TUNED, tvm_minutes=1).changed


def test_what_was_tuned_is_there_for_a_library_that_is_compiled_again(zoo):
    zoo.ensure(TUNED, tvm_minutes=1)
    (zoo.directory / TUNED.file).unlink()
    (entry,) = zoo.ensure(TUNED, tvm_minutes=0).models
    assert (entry.tuned_kernels, entry.tuning_minutes) == (3, 1)


def test_a_note_of_minutes_that_was_lost_counts_as_none(zoo):
    zoo.ensure(TUNED, tvm_minutes=1)
    (zoo.databases / "MobileNet.float32.core-avx2/tuning.json").write_text("")
    assert not zoo.ensure(TUNED, tvm_minutes=1).changed


def test_kernels_for_another_cpu_come_from_a_database_or_are_left_out(zoo):
    other = Wanted("MobileNet", "float32", "so", target=THERE)
    database = zoo.databases / "MobileNet.float32.cortex-a72"
    for check in (True, False, True):
        outcome = zoo.ensure(other, check=check)
        assert (outcome.changed, outcome.models, outcome.failed) == (False, [], [])
        assert [each.wanted for each in outcome.left_out] == [other]
        assert zoo.said == [
            "MobileNet.float32.cortex-a72.so: left out: kernels can be tuned for a CPU like this machine's only, and "
            f"there is no database of them in {database}; its untuned variant can be measured"
        ]

    database.mkdir(parents=True)
    (database / "database_tuning_record.json").write_text("[]\n")
    (database / "tuning.json").write_text('{"minutes": 7}')
    (entry,) = zoo.ensure(other).models
    assert (entry.tuned_kernels, entry.tuning_minutes) == (3, 7)
    assert not zoo.ensure(other, tvm_minutes=100).changed
    # A database that was tuned further, and brought here again.
    (database / "tuning.json").write_text('{"minutes": 9}')
    assert zoo.ensure(other).models[0].tuning_minutes == 9


def test_without_minutes_and_database_nothing_is_tuned(zoo):
    (left_out,) = zoo.ensure(TUNED, tvm_minutes=0).left_out
    assert left_out.reason.startswith("its kernels get no minutes of tuning, and there is no database of them in")


def test_a_tflite_file_that_cannot_be_built_is_the_reason(zoo):
    (zoo.root / "conversions_fail").touch()
    outcome = zoo.ensure(UNTUNED)
    assert [failure.wanted for failure in outcome.failed] == [UNTUNED]
    assert outcome.failed[0].reason.startswith(
        "MobileNet.float32.tflite, which it is compiled from, is not there: the conversion ended with exit code 1: no "
    )


def test_a_compiler_that_cannot_be_installed_leaves_the_other_models_usable(zoo):
    def command(framework, cache, say):
        if framework == "tvm":
            raise ZooError("TVM could not be installed: no space left")
        return [sys.executable, str(zoo.root / "program.py"), f"--framework={framework}"]

    outcome = zoo.ensure(UNTUNED, Wanted("MobileNet", "float32"), converter=command)
    assert [entry.key for entry in outcome.models] == ["MobileNet.float32"]
    assert [failure.reason for failure in outcome.failed] == ["TVM could not be installed: no space left"]


def test_too_little_memory_for_the_compiler_is_said(zoo):
    outcome = zoo.ensure(TUNED, memory_gb=lambda: 0.95)
    assert "needs about 1.0 GB of memory" in outcome.failed[0].reason


def test_which_libraries_there_can_be():
    assert all(can_be("MobileNet", variant, "so", built=True) for variant in COMPILED)
    assert not can_be("ResNet18", "int8", "so", built=True)
    assert can_be("ResNet18", "float32_untuned", "so", built=True)
    assert not can_be("MobileNet", "dynamic_range", "so", built=True)
    for built in (True, False):
        assert not can_be("MobileNet", "float32_untuned", "tflite", built)
    assert MODELS["MobileNet"].need_gb("float32", "so", 1, None) == pytest.approx(
        2 * MODELS["MobileNet"].need_gb("float32_untuned", "so", 1, None)
    )


def test_a_machine_s_flags(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert targets.cpu_flags(cpuinfo) == ["fpu", "avx2"]
    cpuinfo.write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert targets.cpu_flags(cpuinfo) == ["fp", "asimd"]
    assert not targets.cpu_flags(tmp_path / "none")
