# Copyright the edgebench developers. Apache-2.0.
"""What TVM compiles for: the kind of CPU of a host, as `llvm -mcpu=core-avx2`, or with `-mtriple=aarch64-linux-gnu`.

modelzoo reads this file too. CPUs have LLVM's names. What they need is from LLVM 22 (`llvm_get_cpu_features`), in the
words of Linux' /proc/cpuinfo, as far as compiled kernels use it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

_AARCH64_TRIPLE = "aarch64-linux-gnu"
_AARCH64_NAMES = re.compile(
    r"(a64fx|ampere|apple-|carmel|cortex-|exynos-|falkor|generic$|kryo|neoverse-|oryon-|saphira|thunderx|tsv110)"
)
_EXAMPLES = "'llvm -mcpu=core-avx2' or '-mcpu=cortex-a72'"

_V2 = "popcnt sse4_1 sse4_2 ssse3"
_V3 = f"{_V2} abm avx avx2 bmi1 bmi2 f16c fma movbe"
_V4 = f"{_V3} avx512bw avx512cd avx512dq avx512f avx512vl"
_VNNI = f"{_V4} avx512_vnni"
_ICE_LAKE = f"{_VNNI} avx512_bitalg avx512_vbmi2 avx512_vpopcntdq avx512ifma avx512vbmi gfni vaes vpclmulqdq"
_SAPPHIRE_RAPIDS = f"{_ICE_LAKE} amx_bf16 amx_int8 amx_tile avx512_bf16 avx512_fp16 avx_vnni"
_ARMV8_2 = "asimddp asimdhp asimdrdm atomics"
_NEEDS = {
    "x86_64": {
        "x86-64": "",
        **dict.fromkeys(("x86-64-v2", "nehalem", "westmere"), _V2),
        "sandybridge": f"{_V2} avx",
        "ivybridge": f"{_V2} avx f16c",
        **dict.fromkeys(("x86-64-v3", "core-avx2", "haswell", "broadwell", "skylake"), _V3),
        **dict.fromkeys(("znver1", "znver2"), _V3),
        "znver3": f"{_V3} vaes vpclmulqdq",
        "alderlake": f"{_V3} avx_vnni gfni vaes vpclmulqdq",
        **dict.fromkeys(("x86-64-v4", "skylake-avx512"), _V4),
        "cascadelake": _VNNI,
        "cooperlake": f"{_VNNI} avx512_bf16",
        **dict.fromkeys(("icelake-client", "icelake-server", "rocketlake"), _ICE_LAKE),
        **dict.fromkeys(("sapphirerapids", "emeraldrapids"), _SAPPHIRE_RAPIDS),
        "znver4": f"{_ICE_LAKE} avx512_bf16",
    },
    "aarch64": {
        **dict.fromkeys(("generic", "cortex-a53", "cortex-a57", "cortex-a72", "cortex-a73"), ""),
        **dict.fromkeys(
            ("cortex-a55", "cortex-a75", "cortex-a76", "cortex-a77", "cortex-a78", "neoverse-n1"), _ARMV8_2
        ),
    },
}


def normalised(text: str) -> str:
    """Return a target in its one form, by which targets are compared.

    `llvm` may be left out, and the triple where the CPU's name says what machine it is of.

    Raises:
        ValueError: it is none, or for a machine for which TVM has no packages; the message is for users.
    """
    where = f"TVM target '{text}'"
    options: dict[str, str] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        if name in ("-mcpu", "-mtriple") and value and name not in options:
            options[name] = value
        elif word != "llvm":
            raise ValueError(f"{where}: '{word}' is not understood; expected is {_EXAMPLES}")
    name, triple = options.get("-mcpu", ""), options.get("-mtriple")
    if not re.fullmatch(r"[a-z0-9_-]+", name) or name == "native":
        raise ValueError(f"{where}: -mcpu= with LLVM's name of a CPU expected, as in {_EXAMPLES}")
    machine = "aarch64" if _AARCH64_NAMES.match(name) else "x86_64"
    if triple and not re.fullmatch(r"(x86_64|aarch64)(-\w+)?-linux-gnu", triple):
        raise ValueError(
            f"{where}: -mtriple=x86_64-linux-gnu or {_AARCH64_TRIPLE} expected: TVM has packages for these"
        )
    if triple and triple.partition("-")[0] != machine:
        raise ValueError(f"{where}: {name} is a CPU of {machine}, the triple is of {triple.partition('-')[0]}")
    return f"llvm -mcpu={name}" + (f" -mtriple={_AARCH64_TRIPLE}" if machine == "aarch64" else "")


def mcpu(target: str) -> str:
    """Return the CPU's name of a normalised target; of all targets no two have the same."""
    return re.search(r"-mcpu=(\S+)", target)[1]


def machine_of(target: str) -> str:
    """Return what a normalised target's machines are: `x86_64` or `aarch64`."""
    return "aarch64" if "-mtriple=" in target else "x86_64"


def can_run(target: str, machine: str, flags: Collection[str]) -> bool:
    """Whether a machine can run what is compiled for a normalised target; of a CPU that is not known here: no.

    Args:
        flags: of /proc/cpuinfo, there `flags` or `Features`.
    """
    needs = _NEEDS.get(machine, {}).get(mcpu(target)) if machine_of(target) == machine else None
    return needs is not None and set(needs.split()) <= set(flags)


def unfit(target: str, record: Mapping[str, Any], told: Collection[str]) -> str:
    """Why a host cannot run what is compiled for a normalised target, by its host.json; '' = nothing speaks against it.

    Args:
        told: the features of CPUs that such a record has where the CPU has them.
    """
    arch, features = record.get("arch"), record.get("cpu_features")
    if arch and arch != machine_of(target):
        return f"this machine is {arch}"
    needs = _NEEDS[machine_of(target)].get(mcpu(target), "").split()
    lacking = [] if features is None else [need for need in needs if need in told and need not in features]
    return f"its CPU has no {' '.join(lacking)}" if lacking else ""


def of_host(record: Mapping[str, Any]) -> str | None:
    """Return the target of a host by its host.json; None = TVM has no package for such a machine.

    On x86_64 it is the level of its CPU (v2 is taken where there is AVX: the record does not have SSE). On aarch64 it
    is its kind of core, where there is one kind and it is known here.
    """
    features = set(record.get("cpu_features") or ())
    name = record.get("microarchitecture") or ""
    if record.get("arch") == "x86_64":
        # Only Knights Landing and Knights Mill have AVX-512 without what else v4 needs.
        if {"avx512f", "avx2", "fma"} <= features and not name.startswith("Knights"):
            return normalised("-mcpu=x86-64-v4")
        if {"avx2", "fma", "f16c"} <= features:
            return normalised("-mcpu=x86-64-v3")
        return normalised("-mcpu=x86-64-v2" if "avx" in features else "-mcpu=x86-64")
    if record.get("arch") == "aarch64":
        return normalised(f"-mcpu={name.lower() if name.lower() in _NEEDS['aarch64'] else 'generic'}")
    return None
