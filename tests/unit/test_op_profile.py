"""Operator-level profiles: the tool's tables in every dress, what is counted, and what the report makes of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import rc_context

from analysis import campaign, document, op_profile, plots, plots_ops, tables_ops
from analysis.op_profile import DELEGATE, INIT, RUN, SUBGRAPH
from analysis.study import Study
from benchmarks.synthetic import write_campaign
from tests.unit.datasets import dataset, run

DATA = Path(__file__).resolve().parent.parent / "data"
REAL = (DATA / "logs" / "real" / "mobilenet_float_opprof.log").read_text(encoding="utf-8")
TITLE = "=============================="


def section(rows: list[str], *, total_us: int, types: list[str] = (), head: str = "", start: str = "") -> str:
    """The tables of one graph, from their lines; `start` is the column that was there before 2023."""
    names = f"\t [node type]{start}\t  [first]\t [avg ms]\t [%]\t [cdf%]\t [mem KB]\t[times called]\t[Name]"
    lines = [head, f"{TITLE} Run Order {TITLE}", names, *rows, ""]
    lines += [f"{TITLE} Top by Computation Time {TITLE}", names, *rows[:1], ""]
    lines += [f"Number of nodes executed: {len(rows)}", f"{TITLE} Summary by node type {TITLE}"]
    lines += ["\t [Node type]\t [count]\t [avg ms]\t [avg %]\t [cdf %]\t [mem KB]\t[times called]", *types, ""]
    lines += [f"Timings (microseconds): count=50 first=9 curr=9 min=1 max=9 avg={total_us} std=4"]
    return "\n".join([*lines, "Memory (bytes): count=0", f"{len(rows)} nodes observed", "", ""])


def row(kind: str, ms: float, name: str, *, calls: int = 1, start: str = "") -> str:
    times = f"{ms:9.3f}\t{ms:9.3f}"
    return f"\t{kind:>30}{start}\t{times}\t 50.000%\t 50.000%\t     0.000\t{calls:9}\t{name}"


RUNS = "INFO: Operator-wise Profiling Info for Regular Benchmark Runs:"
CONVOLUTION = "Convolution (NHWC, F32) IGEMM"


def table(start: str = "", start_head: str = "") -> str:
    return section(
        [
            row(CONVOLUTION, 0.121, f"Delegate/{CONVOLUTION}:0", start=start),
            row("SHAPE", 0.002, "[a/b;c, d/e]:1", calls=2, start=start),
        ],
        types=[
            f"\t{CONVOLUTION}\t        1\t     0.121\t    97.600%\t    97.600%\t     0.000\t        1",
            "\t SHAPE\t        1\t     0.003\t     2.400%\t   100.000%\t     0.000\t        2",
        ],
        total_us=125,
        head=RUNS,
        start=start_head,
    )


TABLE = table()
WITH_START = table("\t    0.012", "\t          [start]")
CSV = f"""\
{RUNS}
{TITLE} Run Order {TITLE}
node type, first, avg_ms, %, cdf%, mem KB, times called, name
{CONVOLUTION}, 0.121, 0.121, 97.0588%, 97.0588%, 0, 1, Delegate/Convolution (NHWC\t F32) IGEMM:0
SHAPE, 0.002, 0.002, 2.94118%, 100%, 0, 2, [a/b;c\t d/e]:1

{TITLE} Top by Computation Time {TITLE}
node type, first, avg_ms, %, cdf%, mem KB, times called, name
{CONVOLUTION}, 0.121, 0.121, 97.0588%, 97.0588%, 0, 1, Delegate/Convolution (NHWC\t F32) IGEMM:0

Number of nodes executed: 2
{TITLE} Summary by node type {TITLE}
node type, count, avg_ms, avg %, cdf %, mem KB, times called
{CONVOLUTION}, 1, 0.121, 97.6%, 97.6%, 0, 1
SHAPE, 1, 0.003, 2.4%, 100%, 0, 2

Timings (microseconds): count=50 curr=125(all same)
Memory (bytes): count=0
2 nodes observed
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TABLE, id="tabs"),
        pytest.param(TABLE.replace("\t", "    "), id="re-indented"),
        pytest.param(CSV, id="csv"),
        pytest.param(WITH_START, id="before 2023, with [start]"),
        pytest.param(re.sub("(?m)^(?!INFO)", "INFO: ", TABLE), id="logcat"),
        pytest.param("\n".join(line for line in TABLE.split("\n") if TITLE not in line and line != RUNS), id="2019"),
        pytest.param(
            TABLE.replace("\n\t", "\nINFO: Created TensorFlow Lite XNNPACK delegate\n\t", 2), id="stderr between"
        ),
    ],
)
def test_every_dress_of_a_table(text):
    profile = op_profile.parse(text)
    assert profile.problem == ""
    assert [(n.section, n.type, n.name, n.first_ms, n.avg_ms, n.calls, n.ms) for n in profile.nodes] == [
        (RUN, CONVOLUTION, f"Delegate/{CONVOLUTION}:0", 0.121, 0.121, 1, 0.121),
        (RUN, "SHAPE", "[a/b;c, d/e]:1", 0.002, 0.002, 2, 0.004),
    ]


def test_real_log():
    nodes = op_profile.parse(REAL).nodes
    assert {node.section for node in nodes} == {INIT, RUN}
    init = [(node.type, node.ms, node.memory_kb) for node in nodes if node.section == INIT]
    assert init == [("ModifyGraphWithDelegate", 53.589, 26624), ("AllocateTensors", 2.929, 6272)]
    run_nodes = [node for node in nodes if node.section == RUN]
    assert len(run_nodes) == 34
    assert sum(node.ms for node in run_nodes) == pytest.approx(17.225, abs=0.01)  # what the tool says is the total
    assert {node.inside for node in nodes} == {""}


def test_what_is_part_of_another_node_is_marked():
    """A delegate's node holds what the delegate does, a WHILE what its graphs do."""
    text = (
        section([row("TfLiteGpuDelegateV2", 8.0, "[x]:7"), row("WHILE", 2.0, "[y]:8")], total_us=10_000, head=(
            f"{RUNS}\nPrimary graph (name: main) profile:"
        ))
        + section([row("ADD", 1.9, "[z]:0")], total_us=1_900, head="Subgraph (index: 1, name: body) profile:").replace(
            "Timings", "Subgraph (index: 1, name: body) Timings"
        )
        + section(
            [row("DelegateOpInvoke", 5.0, "Delegate/conv_2d, relu:0"), row("DelegateOpInvoke", 2.5, "Delegate/add:1")],
            total_us=7_500,
            head="Delegate internal: ",
        )
    )  # fmt: skip
    profile = op_profile.parse(text)
    assert profile.problem == ""
    assert [(n.type, n.subgraph, n.inside) for n in profile.nodes] == [
        ("TfLiteGpuDelegateV2", 0, ""),
        ("WHILE", 0, ""),
        ("ADD", 1, SUBGRAPH),
        ("conv_2d, relu", 0, DELEGATE),
        ("add", 0, DELEGATE),
    ]


def test_a_run_of_another_signature_has_no_graph_0():
    text = section([row("ADD", 1.0, "[z]:0")], total_us=1_000, head=f"{RUNS}\nSubgraph (index: 3, name: body) profile:")
    text += section([row("WHILE", 2.0, "[y]:8")], total_us=2_000, head="Subgraph (index: 1, name: decode) profile:")
    assert [(n.type, n.inside) for n in op_profile.parse(text).nodes] == [("ADD", SUBGRAPH), ("WHILE", "")]


def test_times_below_the_clock():
    """Where nothing takes a microsecond, shares are 0 / 0."""
    nothing = row("ADD", 0.0, "[z]:0").replace("50.000%", "-nan%")
    (node,) = op_profile.parse(section([nothing], total_us=0, head=RUNS)).nodes
    assert node.ms == 0


# --- tables that cannot be used ---------------------------------------------------------------------------------------


def test_a_log_that_is_cut_anywhere_in_its_tables_is_a_problem():
    start, end = REAL.index("Profiling Info"), REAL.index("34 nodes observed")
    for cut in range(start, end, 97):
        profile = op_profile.parse(REAL[:cut])
        assert profile.problem, REAL[cut - 40 : cut]
        assert profile.nodes == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("INFO: STARTING!\n", "no table of operators", id="written to a file, or proto"),
        pytest.param(section([], total_us=0, head=RUNS), "no table of operators", id="nothing ran"),
        pytest.param(TABLE.partition("Timings")[0], r"graph 0 \(timed runs\) is cut short", id="cut"),
        pytest.param(TABLE.replace("  0.121\t 50", "  0,1 \t 50", 1), "garbled: 1 of 2 rows", id="a number is garbled"),
        pytest.param(
            TABLE.replace("0.121\t 50", "0.131\t 50"),
            f"summary differ in the time of {re.escape(CONVOLUTION)}",
            id="summary",
        ),
        pytest.param(TABLE.replace("avg=125", "avg=150"), "rows and total differ", id="total"),
    ],
)
def test_tables_that_cannot_be_used(text, problem):
    profile = op_profile.parse(text)
    assert re.search(problem, profile.problem)
    assert profile.nodes == ()


def test_huge_lines_take_no_time_to_refuse():
    for line in (" " * 100_000, "x" * 100_000, "1.0 " * 25_000, "\t1.000%" * 10_000):
        assert op_profile.parse(TABLE.replace("\n\t", f"\n{line}\n\t", 2)).problem == ""


# --- operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "operator", "operation"),
    [
        ("CONV_2D", "CONV_2D", "convolution"),
        ("Convolution (NHWC, QDU8, F32, QC8W) IGEMM", "Convolution IGEMM", "convolution"),
        ("TRANSPOSE_CONV", "TRANSPOSE_CONV", "convolution"),
        ("Deconvolution (NHWC, F32) IGEMM", "Deconvolution IGEMM", "convolution"),
        ("DEPTHWISE_CONV_2D", "DEPTHWISE_CONV_2D", "depthwise convolution"),
        ("Convolution (NHWC, F32) DWConv", "Convolution DWConv", "depthwise convolution"),
        ("FULLY_CONNECTED", "FULLY_CONNECTED", "fully connected"),
        ("Fully Connected (NC, F32) GEMM", "Fully Connected GEMM", "fully connected"),
        ("Batch Matrix Multiply (NC, F32) GEMM", "Batch Matrix Multiply GEMM", "fully connected"),
        ("BATCH_MATMUL", "BATCH_MATMUL", "fully connected"),
        ("QUANTIZE", "QUANTIZE", "conversion"),
        ("DEQUANTIZE", "DEQUANTIZE", "conversion"),
        ("Convert (NC, F32, QDU8)", "Convert", "conversion"),
        ("TfLiteGpuDelegateV2", "TfLiteGpuDelegateV2", "delegate"),
        ("ModifyGraphWithDelegate", "ModifyGraphWithDelegate", "other"),
        ("Add (ND)", "Add", "other"),
        ("RESHAPE", "RESHAPE", "other"),
    ],
)
def test_operators_by_name(kind, operator, operation):
    assert (op_profile.operator(kind), op_profile.operation(kind)) == (operator, operation)


# --- from logs to the report ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def profiled():
    return campaign.read([DATA / "op_profiles"])


@pytest.fixture(scope="module")
def study(profiled):
    """Two profiled runs, and two measured ones of float32."""
    rows = [
        run(campaign="lab", host="nuc", runner="benchmark_model", repetition=i, log=f"{i}.log", avg_inference_ms=ms)
        for i, ms in enumerate((34.0, 36.0), start=1)
    ]
    rows += profiled.runs.to_dict("records")
    return Study(replace(dataset(rows), op_profiles=profiled.op_profiles))


def test_a_profiled_run_from_elsewhere_is_in_no_mean(profiled):
    assert profiled.problems == []
    assert profiled.runs["status"].tolist() == ["invalid", "invalid"]
    assert profiled.runs["reason"].str.startswith("profile: ").all()
    assert profiled.runs["avg_inference_ms"].notna().all()


def test_profiles_of_the_kits_own_runs(tmp_path):
    write_campaign(tmp_path, hosts=1, repetitions=1, runner="benchmark_model")
    (log,) = tmp_path.glob("bench/host-0/runs/*_MobileNet.float32.*.log")
    log.write_text((DATA / "op_profiles" / "lab" / "nuc" / "MobileNet.log").read_text(encoding="utf-8"))
    found = campaign.read([tmp_path])
    own = found.runs.set_index("log").loc[f"bench/host-0/runs/{log.name}"]
    assert (own["phase"], own["status"]) == ("profile", "invalid"), "whatever the plan says"
    profiles = found.op_profiles
    assert set(profiles["log"]) == {f"bench/host-0/runs/{log.name}"}
    assert profiles["ms"].sum() == pytest.approx(35.309)
    assert profiles[["campaign", "host", "platform", "variant"]].drop_duplicates().values.tolist() == [
        ["bench", "host-0", "Platform 0", "float32"]
    ]


def test_a_problem_names_the_log_and_a_failed_run_has_none(tmp_path):
    whole = (DATA / "op_profiles" / "lab" / "nuc" / "MobileNet.log").read_text(encoding="utf-8")
    (tmp_path / "nuc").mkdir()
    (tmp_path / "nuc" / "cut.log").write_text(whole.partition("Top by")[0])
    (tmp_path / "nuc" / "failed.log").write_text(whole.partition("Inference timings")[0])
    found = campaign.read([tmp_path])
    assert found.problems == ["nuc/cut.log: the op profile of graph 0 (timed runs) is cut short; not used"]
    assert found.op_profiles.empty
    assert list(found.op_profiles) == list(campaign.read([DATA / "op_profiles"]).op_profiles)


def test_an_operator_is_a_mean_over_all_profiled_runs(study):
    """Also over those that have it not."""
    nodes = study.dataset.op_profiles
    second = nodes[(nodes["variant"] == "float32") & (nodes["type"] != "Softmax (NC, F32)")].assign(log="second.log")
    twice = Study(replace(study.dataset, op_profiles=pd.concat([nodes, second], ignore_index=True)))
    table = tables_ops.operators(twice).set_index(["variant", "operator"])
    assert table.loc[("float32", "Softmax"), ["ms", "calls", "n"]].tolist() == [0.002, 0.5, 2]
    assert table.loc[("float32", "Fully Connected GEMM"), ["ms", "calls", "n"]].tolist() == pytest.approx(
        [31.658, 14, 2]
    )
    assert table.loc[("dynamic_range", "Softmax"), ["ms", "n"]].tolist() == [0.004, 1]


def test_what_is_inside_another_is_in_no_sum(study):
    nodes = study.dataset.op_profiles
    inside = nodes.iloc[[0]].assign(inside=DELEGATE, ms=100.0, avg_ms=100.0)
    more = Study(replace(study.dataset, op_profiles=pd.concat([nodes, inside], ignore_index=True)))
    profile = tables_ops.operators(more)
    assert profile[profile["inside"] == DELEGATE]["ms"].tolist() == [100.0]
    assert profile[profile["inside"] == ""]["share_percent"].sum() == pytest.approx(200)
    for table in (tables_ops.differences, tables_ops.overheads):
        arguments = ["float32"] if table is tables_ops.differences else []
        usual = table(study, tables_ops.operators(study), *arguments)
        pd.testing.assert_frame_equal(table(more, profile, *arguments), usual)


def test_sides_that_differ_in_more_than_the_variant_are_labelled(study):
    runs = study.dataset.runs.assign(runner_version=["", "", "2.1.0", "2.3.0"], governor=["", "", "performance", ""])
    other = Study(replace(study.dataset, runs=runs))
    table = tables_ops.differences(other, tables_ops.operators(other), "float32")
    assert set(table["remark"]) == {"runner_version differs: 2.1.0, 2.3.0"}
    assert tables_ops.difference_grid(table).head[-1] == "Remark"


def test_chart_has_the_longest_operators_the_rest_and_the_sum(study):
    nodes = study.dataset.op_profiles
    many = [nodes.iloc[[0]].assign(type=f"OPERATOR_{i}", ms=0.5 + i / 10) for i in range(6)]
    more = Study(replace(study.dataset, op_profiles=pd.concat([nodes, *many], ignore_index=True)))
    with rc_context(plots.STYLE):
        ((_, title, draw, _),) = plots_ops.charts(more, tables_ops.operators(more))
        (axes,) = draw().axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:2] == ["Fully Connected GEMM", "DEPTHWISE_CONV_2D"]
    assert names[-2:] == ["5 others", "all operators"]
    assert len(names) == 10
    assert axes.get_xlim()[0] == 0
    assert "none" in [text.get_text() for text in axes.texts]  # float32 has no DEPTHWISE_CONV_2D
    assert title == "Where the time went: MobileNet, nuc"
    longest = max(patch.get_width() for patch in axes.patches)
    assert longest == pytest.approx(nodes[nodes["variant"] == "float32"]["ms"].sum() + 4.5)


def test_report(study, tmp_path, golden):
    document.publish(document.build(study.dataset), tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    start = markdown.index("## Where the time went")
    golden("report/operators.md", markdown[start : markdown.index("## How it was measured")])
    for name in ("op_profile.csv", "op_difference.csv", "op_overhead.csv"):
        golden(f"report/{name}", (tmp_path / "out" / "tables" / name).read_text(encoding="utf-8"))
    assert 'id="operators"' in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert len(pd.read_parquet(tmp_path / "out" / "data" / "op_profile.parquet")) == len(study.dataset.op_profiles)


def test_the_profile_of_one_variant_has_its_report(profiled, tmp_path):
    """There is nothing to compare, and no table of differences."""
    runs = profiled.runs.iloc[:1].to_dict("records")
    nodes = profiled.op_profiles[profiled.op_profiles["variant"] == runs[0]["variant"]]
    document.publish(document.build(replace(dataset(runs), op_profiles=nodes)), tmp_path / "out")
    assert not (tmp_path / "out" / "tables" / "op_difference.csv").exists()
    for name in ("report.html", "report.md"):
        assert "What profiling cost" in (tmp_path / "out" / name).read_text(encoding="utf-8")


def test_nothing_is_said_of_profiles_where_there_are_none(tmp_path):
    document.publish(document.build(dataset([run()])), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("op_*"))
    for name in ("report.html", "report.md"):
        assert "perator" not in (tmp_path / "out" / name).read_text(encoding="utf-8")
