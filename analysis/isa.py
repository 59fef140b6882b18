"""Which instructions for inference a machine has: what machines are grouped by in tables and charts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from analysis.study import Machine, Study, texts

UNKNOWN = "not known"
# (feature as Linux calls it, what people call it), from the least; a machine is named after the last that it has.
_X86 = (
    ("avx", "AVX"),
    ("avx2", "AVX2"),
    ("avx512f", "AVX-512"),
    ("avx_vnni", "AVX-VNNI"),
    ("avx512_vnni", "AVX-512 VNNI"),
)
_ARM = (("neon", "NEON"), ("asimd", "NEON"), ("asimddp", "NEON dotprod"), ("i8mm", "NEON i8mm"))
_ARCHITECTURES = {
    "x86_64": ("x86-64", _X86),
    "i686": ("x86, 32 bit", _X86),
    "aarch64": ("ARM64", _ARM),
    "armv7l": ("ARM, 32 bit", _ARM),
}
_VNNI = ("avx512_vnni", "avx_vnni")
_BOARD = re.compile(r"Raspberry Pi (\d+)\b")


class IsaGroup(NamedTuple):
    """Machines of one architecture and instruction set. Sorts by architecture, then from the oldest instructions."""

    architecture: int
    instructions: int
    label: str


def isa_group(facts: Mapping[str, Any]) -> IsaGroup:
    """The group of a machine by its host.json; what that does not say is not known, and never guessed."""
    arch = facts.get("arch")
    if not isinstance(arch, str) or not arch:
        return IsaGroup(len(_ARCHITECTURES) + 1, 0, UNKNOWN)
    if arch not in _ARCHITECTURES:
        return IsaGroup(len(_ARCHITECTURES), 0, arch)
    name, steps = _ARCHITECTURES[arch]
    place = list(_ARCHITECTURES).index(arch)
    if unknown(facts):
        return IsaGroup(place, len(steps) + 1, f"{name}, instructions {UNKNOWN}")
    have = texts(facts["cpu_features"])
    level = max((i for i, (feature, _) in enumerate(steps, start=1) if feature in have), default=0)
    return IsaGroup(place, level, f"{name} {steps[level - 1][1]}" if level else f"{name}, none of {steps[0][1]}")


def unknown(facts: Mapping[str, Any]) -> bool:
    """Whether host.json does not say which instructions a machine has."""
    return not facts.get("arch") or not isinstance(facts.get("cpu_features"), list)


def vnni(facts: Mapping[str, Any]) -> bool | None:
    """Whether an x86 machine has VNNI; None if it is none, or its instructions are not known."""
    if facts.get("arch") not in ("x86_64", "i686") or unknown(facts):
        return None
    return any(feature in facts["cpu_features"] for feature in _VNNI)


def raspberry_pi(facts: Mapping[str, Any], platform: str) -> int | None:
    """4 of a 'Raspberry Pi 4 Model B', by what the board says, else by its name in tables; None for all else."""
    for text in (facts.get("board_model"), platform):
        if isinstance(text, str) and text:
            match = _BOARD.match(text)
            return int(match[1]) if match else None
    return None


def processor(facts: Mapping[str, Any], platform: str) -> str:
    """What kind of machine it is: two of one kind are not independent witnesses of what instructions do."""
    named = (facts.get(name) for name in ("cpu_model", "board_model"))
    return next((name for name in named if isinstance(name, str) and name), platform)


def groups(study: Study) -> dict[Machine, IsaGroup]:
    """The group of every machine, in the order in which machines are shown: group by group, else as in the study."""
    found = {machine: isa_group(study.dataset.hosts.get(machine) or {}) for machine in study.machines}
    return dict(sorted(found.items(), key=lambda item: item[1]))


class Heading(str):
    """The name of a group, in a row of its own above the group's machines."""


def in_groups(study: Study, machines: Iterable[Machine]) -> list[Machine | Heading]:
    """Machines group by group, each group below its heading; without headings if there is only one group."""
    having = set(machines)
    found = {machine: group for machine, group in groups(study).items() if machine in having}
    if len(set(found.values())) < 2:
        return list(found)
    rows: dict[Machine | Heading, None] = {}
    for machine, group in found.items():
        rows |= {Heading(group.label): None, machine: None}
    return list(rows)
