"""Operator-level profiles: the tables that benchmark_model prints with `--enable_op_profiling=true` -> nodes.

The tables come with tabs, re-indented with spaces, or as the CSV of `--op_profiling_output_mode=csv`; before 2023 with
a column `[start]`. A node's type may hold spaces and commas, also in the CSV, so rows are read by the numbers in their
middle. Layout: TensorFlow's `lite/profiling/profile_summary_formatter.cc` and `core/util/stats_calculator.cc`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from analysis.names import COLUMNS, CONFIGURATION, INTEGER, NUMBER, TEXT

INIT, RUN = "init", "run"  # the initialization, once per process; the timed inferences
DELEGATE, SUBGRAPH = "delegate", "subgraph"


@dataclass(frozen=True, slots=True)
class Node:
    """One row of a `Run Order` table.

    Attributes:
        section: INIT or RUN.
        subgraph: index of the graph that it belongs to.
        inside: DELEGATE or SUBGRAPH where its time is a part of another node's and must not be added to it; else ''.
        type: what the tool calls the operator; for what a delegate does inside, the delegate's own word.
        name: the node's outputs, or the delegate's operator, with its number.
        first_ms, avg_ms: time of the first call, and mean over all calls.
        percent: share of the table's total, as printed.
        calls: calls per inference.
        memory_kb: growth of the process during the last call.
    """

    section: str
    subgraph: int
    inside: str
    type: str
    name: str
    first_ms: float
    avg_ms: float
    percent: float
    calls: int
    memory_kb: float

    @property
    def ms(self) -> float:
        """Time per inference. The tool rounds calls per inference down, so that 0 stands for some."""
        return self.avg_ms * max(self.calls, 1)


@dataclass(frozen=True, slots=True)
class Profile:
    """The nodes of one run, in the tool's order; none where there is a problem."""

    nodes: tuple[Node, ...] = ()
    problem: str = ""


def parse(text: str) -> Profile:
    """Read the tables of one run's log. Never raises: tables that are cut, garbled or contradictory are a problem."""
    tables = _tables(text)
    if problem := next(filter(None, map(_problem, tables)), ""):
        return Profile(problem=problem)
    if not any(table.nodes for table in tables if table.section == RUN):
        return Profile(
            problem="op profiling was on, but there is no table of operators in the log; expected what the tool prints "
            "with --op_profiling_output_mode=stdout or csv and no --op_profiling_output_file"
        )
    return Profile(tuple(_nodes(tables)))


# --- Tables ------------------------------------------------------------------------------------------------------

_NUMBER = r"(-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?|nan|inf))"
_BETWEEN = r"(?:, |[ \t]{1,60})"  # of the CSV, of a table
_TYPE = r"[ \t]{0,200}(\S.{0,300}?)"


def _row(*columns: str, last: str) -> re.Pattern[str]:
    return re.compile(_BETWEEN.join([_TYPE, *columns]) + last)


_TAIL = (rf"{_NUMBER}%", rf"{_NUMBER}%", _NUMBER, "([0-9]{1,9})")  # share, cumulated share, memory, calls
_NODE = _row(_NUMBER, _NUMBER, *_TAIL, last=rf"(?:{_BETWEEN}(.*))?$")
_NODE_WITH_START = _row(_NUMBER, _NUMBER, _NUMBER, *_TAIL, last=rf"(?:{_BETWEEN}(.*))?$")
_BY_TYPE = _row("([0-9]{1,9})", _NUMBER, *_TAIL, last=r"[ \t]*$")
_GRAPH = re.compile(r"[ \t]*(?:Primary graph|Subgraph \(index: ([0-9]{1,6})[^\n]*\))[^\n]* profile:[ \t]*$")
_TOTAL = re.compile(rf"Timings \(microseconds\): count=[0-9]+ (?:first=.* avg=|curr=){_NUMBER}")
_OBSERVED = re.compile(r"[ \t]*([0-9]{1,9}) nodes observed")
_DELEGATE_NODE = re.compile(r"Delegate/(.*):[0-9]+")

# A row prints microseconds, the summary by type drops what is below one for each node, a mean has six digits.
_ROUNDING_MS, _ROUNDING = 0.0016, 1e-5


@dataclass(slots=True)
class _Table:
    """One graph's or the delegates' part of a section.

    Attributes:
        headed: whether its column names were seen.
        nodes: with types as printed.
        by_type: ms per inference of each type, as the tool sums it up; {} where it does not.
        total_us: per inference; None where it is not printed.
        observed: how many nodes the tool says there are, on the table's last line; None where that line is not there.
    """

    section: str
    subgraph: int = 0
    delegate: bool = False
    headed: bool = False
    nodes: list[Node] = field(default_factory=list)
    by_type: dict[str, float] = field(default_factory=dict)
    total_us: float | None = None
    observed: int | None = None


def _tables(text: str) -> list[_Table]:
    tables: list[_Table] = []
    pattern, reading = _NODE, ""  # what the lines are: 'nodes', 'types', or '' for neither

    def begin(table: _Table) -> None:
        if tables and not tables[-1].headed:
            tables.pop()  # its heading only announced this one
        tables.append(table)

    for line in text.split("\n"):
        line = line.removeprefix("INFO: ")
        section = tables[-1].section if tables else RUN
        if "Profiling Info for " in line:
            begin(_Table(INIT if "Benchmark Initialization" in line else RUN))
            reading = ""
        elif "[Node type]" in line or "node type, count" in line:
            reading = "types"
        elif "[node type]" in line or "node type, " in line:
            if not tables:
                begin(_Table(RUN))  # before 2020 no heading came before the tables
            # The table by time comes second and holds the same, or a part of it.
            reading = "" if tables[-1].headed else "nodes"
            tables[-1].headed = True
            pattern = _NODE_WITH_START if "start" in line else _NODE
        elif not tables:
            continue
        elif graph := _GRAPH.match(line):
            begin(_Table(section, subgraph=int(graph[1] or 0)))
        elif line.startswith("Delegate internal:"):
            begin(_Table(section, delegate=True))
        elif total := _TOTAL.search(line):
            tables[-1].total_us = float(total[1])
        elif observed := _OBSERVED.match(line):
            tables[-1].observed = int(observed[1])
            reading = ""
        elif reading == "nodes" and (row := pattern.match(line)):
            tables[-1].nodes.append(_node(tables[-1], row))
        elif reading == "types" and (row := _BY_TYPE.match(line)):
            tables[-1].by_type[row[1]] = float(row[3])
    return tables


def _node(table: _Table, row: re.Match[str]) -> Node:
    kind, *times, percent, _, memory, calls, name = row.groups()
    return Node(
        section=table.section,
        subgraph=table.subgraph,
        inside="",
        type=kind,
        name=(name or "").strip().replace("\t", ","),  # the CSV has tabs for the commas in a name
        first_ms=float(times[-2]),
        avg_ms=float(times[-1]),
        percent=float(percent),
        calls=int(calls),
        memory_kb=float(memory),
    )


def _problem(table: _Table) -> str:
    """Why a table is not to be used; '' if it is whole and agrees with itself."""
    part = "the delegates" if table.delegate else f"graph {table.subgraph}"
    where = f"the op profile of {part} ({'initialization' if table.section == INIT else 'timed runs'})"
    if table.observed is None:
        return f"{where} is cut short"
    if len(table.nodes) != table.observed:
        return f"{where} is garbled: {len(table.nodes)} of {table.observed} rows can be read"
    of_type: dict[str, list[Node]] = defaultdict(list)
    for node in table.nodes:
        of_type[node.type].append(node)
    for kind, said_ms in table.by_type.items():
        if not _agree(of_type[kind], said_ms):
            return f"{where} contradicts itself: rows and summary differ in the time of {kind}"
    if table.total_us is not None and not _agree(table.nodes, table.total_us / 1e3):
        return f"{where} contradicts itself: rows and total differ"
    return ""


def _agree(nodes: Iterable[Node], said_ms: float) -> bool:
    sums = [(node.ms, max(node.calls, 1)) for node in nodes]
    rounding = _ROUNDING_MS * sum(calls for _, calls in sums) + _ROUNDING * said_ms
    return abs(math.fsum(ms for ms, _ in sums) - said_ms) <= rounding


def _nodes(tables: Iterable[_Table]) -> Iterator[Node]:
    """All nodes; those whose time is a part of another's are marked, and what a delegate did is called by its name."""
    top: dict[str, int] = {}
    for table in sorted(tables, key=lambda table: table.total_us or 0.0):
        # The time of a graph that calls others has theirs in it: it comes last here. 0 is the model's main one.
        if not table.delegate and top.get(table.section) != 0:
            top[table.section] = table.subgraph
    for table in tables:
        for node in table.nodes:
            if table.delegate:
                own = _DELEGATE_NODE.fullmatch(node.name)
                yield replace(node, inside=DELEGATE, type=own[1] if own else node.type)
            else:
                yield node if node.subgraph == top[table.section] else replace(node, inside=SUBGRAPH)


# --- Operators ---------------------------------------------------------------------------------------------------

_DATA_TYPES = re.compile(r" ?\([^()]*\)")
_OPERATIONS = {
    "depthwise convolution": r"(?i)depthwise_?conv.*|convolution DWConv.*",
    "convolution": r"(?i)conv_[23]d|(transpose_|de)conv.*|convolution.*",
    "fully connected": r"(?i)fully.?connected.*|batch[_ ]?mat.*",
    "conversion": r"(?i)quantize|dequantize|convert.*|cast",
    "delegate": r"(?i)(?!ModifyGraph).*delegate.*",
}
OTHER = "other"


def operator(kind: str) -> str:
    """A type of node without data types, so that variants can be compared: `Mean (ND) Reduce` is `Mean Reduce`."""
    return _DATA_TYPES.sub("", kind.removeprefix("Delegate/")).strip()


def operation(kind: str) -> str:
    """What a type of node does, in few words: one of the operations, else OTHER."""
    name = operator(kind)
    return next((words for words, pattern in _OPERATIONS.items() if re.fullmatch(pattern, name)), OTHER)


# --- All runs ----------------------------------------------------------------------------------------------------

_OF_RUN = ("campaign", "host", "platform", *CONFIGURATION, "log", "avg_inference_ms")
_OF_NODE = {
    "section": TEXT,
    "subgraph": INTEGER,
    "inside": TEXT,
    "type": TEXT,
    "name": TEXT,
    "first_ms": NUMBER,
    "avg_ms": NUMBER,
    "percent": NUMBER,
    "calls": INTEGER,
    "memory_kb": NUMBER,
    "ms": NUMBER,
}


def frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One line per node of the runs whose row has a `profile`: what ran, then the node's attributes."""
    found = [
        [row.get(name) for name in _OF_RUN] + [getattr(node, name) for name in _OF_NODE]
        for row in rows
        if (profile := row.get("profile"))
        for node in profile.nodes
    ]
    types = {name: COLUMNS[name] for name in _OF_RUN} | _OF_NODE
    return pd.DataFrame(found, columns=list(types)).astype(types)


def problems(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each run whose profile cannot be used."""
    return [f"{row['log']}: {p.problem}; not used" for row in rows if (p := row.get("profile")) and p.problem]
