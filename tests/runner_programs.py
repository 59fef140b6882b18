"""The runners that are written in Python, as programs, and the packages that those beside litert import."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modelzoo.paths import cache_dir
from modelzoo.resources import locked
from tests.playing import ROOT

RUNNERS = ROOT / "runners"
DEFAULTS = yaml.safe_load((ROOT / "roles/benchmark_runner/defaults/main.yml").read_text(encoding="utf-8"))
SHORT = ("--num_runs=3", "--min_secs=0", "--warmup_min_secs=0")
TIMEOUT_S = 300


def start(
    program: Path, *arguments: str, before: str = "", python: Path | str = sys.executable, **environment: str
) -> subprocess.CompletedProcess:
    """Run a runner from a shell, as hosts do: a large parent would leave its memory mark on the process.

    Args:
        before: what the shell does first.
        python: what runs it.
        environment: more of it.
    """
    command = ["sh", "-c", f'{before}\n"$@"; exit $?', "sh", str(python), str(program), *arguments]
    environment = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment)


def edgebench(log: str) -> dict:
    """Return the values of a log's EDGEBENCH lines."""
    return {name: json.loads(text) for name, text in re.findall(r"^EDGEBENCH (\w+)=(.*)$", log, re.MULTILINE)}


def cached_packages(runner: str) -> Path:
    """The directory, in the kit's cache, of the packages that hosts get for a runner; it need not be there."""
    key = hashlib.sha256(" ".join([sys.version, *wanted_packages(runner)]).encode()).hexdigest()[:12]
    return cache_dir() / "venvs" / f"runner-{runner}-{key}"


def wanted_packages(runner: str) -> list[str]:
    """What pip is asked for."""
    return DEFAULTS[f"benchmark_runner_{runner}_packages"]


def questions(runner: str) -> list[list[str]]:
    """The same, one call of pip each: as for hosts, the first package may be on an index of its own."""
    first, *others = wanted_packages(runner)
    if index := DEFAULTS.get(f"benchmark_runner_{runner}_index_url"):
        return [["--retries=1", f"--extra-index-url={index}", first], others]
    return [[first, *others]]


def packages(runner: str) -> Path:
    """That directory, made if need be; skips the test that calls this where pip has not the packages."""
    directory = cached_packages(runner)
    with locked(directory.with_suffix(".lock"), print):
        if not directory.is_dir():
            partial = directory.with_suffix(".partial")
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", f"--target={partial}"]
            for question in questions(runner):
                done = subprocess.run([*pip, *question], capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"pip cannot install what the runner {runner} needs: {done.stderr.strip()[-300:]}")
            partial.rename(directory)
    return directory


def tvm_networks() -> Path:
    """The directory, in the kit's cache, of tiny networks that TVM has compiled for this kind of machine.

    They are made if need be, once for all processes of a test session: to start the compiler takes seconds. Skips the
    test that calls this where there is no compiler or linker.
    """
    make = ROOT / "tests/data/networks/make_tvm.py"
    compiler = packages("tvm")
    key = hashlib.sha256(make.read_bytes() + compiler.name.encode()).hexdigest()[:12]
    directory = cache_dir() / "networks" / f"tvm-{os.uname().machine}-{key}"
    with locked(directory.with_suffix(".lock"), print):
        if not directory.is_dir():
            if not shutil.which("g++"):
                pytest.skip("needs g++, with which TVM links (Debian: g++)")
            partial = directory.with_suffix(".partial")
            partial.mkdir(exist_ok=True)
            environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(compiler)}
            command = [sys.executable, make, partial]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            partial.rename(directory)
    return directory
