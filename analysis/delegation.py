"""Whether the delegate that was asked for executes the model, from what a log says of it.

`Explicitly applied` alone says that the delegate was there. How much of the model it executes, the tool says behind
that, and the runtime in `Replacing 59 out of 64 node(s) with delegate (TfLiteGpuDelegateV2)`. Where the two differ the
lesser counts: of a model that fell back, nodes may have been claimed and given up. Forms of the lines: TensorFlow's
lite/tools/benchmark/benchmark_tflite_model.cc, lite/core/subgraph.cc and lite/tools/delegates/, 2019 to 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

COMPLETELY, PARTLY, NOT_AT_ALL = "completely", "partly", "not at all"
ON_CPU = ("default", "none", "xnnpack")  # the delegates that are not another device

_LEAST_FIRST = ("", NOT_AT_ALL, PARTLY, COMPLETELY)
_SAID = re.compile(
    r"pplied (\S+) delegate(?:, and the model graph will be (completely|partially) executed"
    r"(?: by the delegate w/ ([0-9]+) )?)?"
)
_IDLE = re.compile(r"Though (\S+) delegate is explicitly applied, the model graph will not be executed by")
_REPLACING = re.compile(
    r"Replacing ([0-9]{1,9}) (?:out of ([0-9]{1,9}) )?node\(s\) with delegate \(([^()\n]*)\) node"
    r"(?:, yielding [0-9]+ partitions for (subgraph [0-9]+))?"
)
_REFUSED = re.compile(r"\w+ acceleration is unsupported on this platform|Could not create \w+ delegate[^\n]*")
_UNDONE = "Restored original execution plan after delegate application failure"
# What the names that delegates give themselves in the graph contain: TfLiteGpuDelegateV2, LITERT_CL, ...
_OWN_NAMES = {"gpu": ("gpu", "litert_cl"), **{name: (name,) for name in ("nnapi", "hexagon", "coreml", "xnnpack")}}
_NNAPI_CPU = "nnapi-reference"


class Delegation(NamedTuple):
    """How much of a model is executed by the delegate that was asked for.

    Attributes:
        extent: `completely`, `partly`, `not at all`; '' = not told, or no delegate was asked for.
        delegated_nodes, graph_nodes: how many nodes of how many; None = not told.
        failure: why the delegate could not even be made, in the tool's words; '' if it could.
        doubts: why the numbers are not that delegate's.
        warnings: what is good to know.
    """

    extent: str = ""
    delegated_nodes: int | None = None
    graph_nodes: int | None = None
    failure: str = ""
    doubts: Sequence[str] = ()
    warnings: Sequence[str] = ()


_NO_DEVICE = ("", "default", "none")
_NOTHING_TOLD = Delegation()


def read(text: str, asked: str, parameters: Mapping[str, str]) -> Delegation:
    """Read what a log says of the delegates.

    Args:
        text: the log of one run.
        asked: the delegates that the tool was told to use, joined by `+`; '' if the log has lost its head.
        parameters: what the tool echoed.
    """
    if asked in _NO_DEVICE and "pplied" not in text:
        return _NOTHING_TOLD
    said = _said(text)
    wanted = [name for name in asked.split("+") if name not in _NO_DEVICE]
    devices = [name for name in wanted or said if name not in ON_CPU] or wanted
    if not devices:
        return Delegation(warnings=_warnings(said, {}))
    counts = _counts(text) if "Replacing " in text else {}
    warnings = _warnings(said, counts)
    if refused := _REFUSED.search(text):
        return Delegation(NOT_AT_ALL, failure=refused[0].strip().rstrip("."), warnings=warnings)
    found = [_extent(name, said, counts, parameters) for name in devices]
    doubts = [doubt for _, doubt in found if doubt]
    if parameters.get("Require full delegation") == "1":
        partly = [words.name for words in said.values() if words.extent == PARTLY]
        doubts += [
            f"full delegation was asked for, and the {name} delegate executed only parts of the model"
            for name in partly
        ]
    extent = min((extent for extent, _ in found), key=_LEAST_FIRST.index)
    nodes = counts.get(devices[0]) if len(devices) == 1 else None
    done, total = nodes or (None, None)
    return Delegation(extent, 0 if done and extent == NOT_AT_ALL else done, total, doubts=doubts, warnings=warnings)


class _Words(NamedTuple):
    """What the tool says of one delegate: its name as it is printed there."""

    name: str
    extent: str
    kernels: str = ""


def _said(text: str) -> dict[str, _Words]:
    """The tool's own words, by the delegate's name in small letters; `extent` is '' where they do not tell."""
    extents = {"completely": COMPLETELY, "partially": PARTLY, "": ""}
    found = {name.lower(): _Words(name, extents[how], kernels) for name, how, kernels in _SAID.findall(text)}
    return found | {name.lower(): _Words(name, NOT_AT_ALL) for name in _IDLE.findall(text)}


def _counts(text: str) -> dict[str, tuple[int, int | None]]:
    """The runtime's: nodes that each delegate took, and of how many (None before 2021), over all subgraphs.

    When tensors are resized, delegates are applied anew and say it again: the last word counts.
    """
    if _UNDONE in text:
        return {}
    last: dict[str, dict[str, tuple[int, int | None]]] = {}
    for done, total, own_name, subgraph in _REPLACING.findall(text):
        names = (name for name, parts in _OWN_NAMES.items() if any(part in own_name.lower() for part in parts))
        last.setdefault(next(names, "external"), {})[subgraph] = (int(done), int(total) if total else None)
    found = {}
    for name, parts in last.items():
        totals = [total for _, total in parts.values()]
        found[name] = (sum(done for done, _ in parts.values()), None if None in totals else sum(totals))
    return found


def _extent(
    name: str,
    said: Mapping[str, _Words],
    counts: Mapping[str, tuple[int, int | None]],
    parameters: Mapping[str, str],
) -> tuple[str, str]:
    """How much a delegate executes, and why the run's time is not this delegate's; '' = not told, and no doubt."""
    words = said.get(name)
    called = words.name if words else name
    # Where XNNPACK is the default too, an explicit one finds nothing left to do; the nodes are those of the default.
    told = [words.extent] if words and words.extent and (name != "xnnpack" or words.extent != NOT_AT_ALL) else []
    if name in counts:
        done, total = counts[name]
        told += [NOT_AT_ALL] if not done else [] if total is None else [COMPLETELY if done >= total else PARTLY]
    extent = min(told, key=_LEAST_FIRST.index, default="")
    if name == "xnnpack":
        return extent, ""
    device = parameters.get("NNAPI accelerator name", "")
    if name == "nnapi" and _NNAPI_CPU in (device, parameters.get("NNAPI accelerators available")):
        return NOT_AT_ALL, f"NNAPI had only {_NNAPI_CPU} to execute it with, which is the CPU"
    if extent == NOT_AT_ALL:
        return extent, f"the {called} delegate executed nothing, so this is another delegate's time"
    if not extent:
        applied = f"the {called} delegate executed any of the model" if words else f"the delegate {name} was applied"
        return "", f"nothing says that {applied}"
    if name == "nnapi" and not device and parameters.get("Disable NNAPI cpu") == "0":
        return "", f"NNAPI was free to execute it with {_NNAPI_CPU}, which is the CPU, and does not say what it chose"
    return extent, ""


def _warnings(said: Mapping[str, _Words], counts: Mapping[str, tuple[int, int | None]]) -> list[str]:
    found = []
    for key, words in said.items():
        if words.extent == NOT_AT_ALL:
            found.append(f"the {words.name} delegate executes nothing")
        elif words.extent == PARTLY:
            done, total = counts.get(key, (None, None))
            parts = [f"{words.kernels} kernels"] if words.kernels else []
            parts += [f"{done} of {total} nodes"] if total is not None else []
            more = f" ({', '.join(parts)})" if parts else ""
            found.append(f"the {words.name} delegate executes only parts of the model{more}")
    return found
