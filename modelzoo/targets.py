"""TVM's targets, by the module that a campaign's plan reads them with, and this machine's own."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Collection
from pathlib import Path

from modelzoo.paths import REPOSITORY

# By its path: the packages of Ansible's collections can be imported where Ansible runs only.
_PATH = REPOSITORY / "collections/ansible_collections/edgebench/testbed/plugins/module_utils/tvm_target.py"
_SPEC = importlib.util.spec_from_file_location("tvm_target", _PATH)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)

normalised = _MODULE.normalised
mcpu = _MODULE.mcpu


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> Collection[str]:
    """What this machine's first CPU has, in Linux' words; nothing where that cannot be told."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    values = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return next(values, "").split()


def runs_here(target: str) -> bool:
    """Whether this machine can run what is compiled for a target."""
    return _MODULE.can_run(target, platform.machine(), cpu_flags())


def own() -> str | None:
    """This machine's target; None where TVM has no package for it."""
    return _MODULE.of_host({"arch": platform.machine(), "cpu_features": cpu_flags()})
