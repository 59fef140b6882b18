"""What of a run's own log speaks against it."""

from __future__ import annotations

import pytest

from analysis import validity
from analysis.logs import OK, ToolRun
from analysis.sidecar import parse

STEADY = [100.0 + i % 3 for i in range(40)]
WARMING = [100.0 + i % 3 for i in range(20)] + [112.0 + i % 3 for i in range(20)]


def a_run(**facts) -> ToolRun:
    """A good run of 40 iterations on one thread."""
    parameters = {"Min num runs": "40"} | facts.pop("parameters", {})
    edgebench = {"iteration_wall_us": STEADY, "iteration_cpu_us": STEADY} | facts.pop("edgebench", {})
    usual = {"status": OK, "graph": "x/m.tflite", "threads": 1, "iterations": 40}
    return ToolRun(**usual | facts, parameters=parameters, edgebench=edgebench)


def shares(share: float) -> dict:
    return {"edgebench": {"iteration_cpu_us": [share * us for us in STEADY]}}


@pytest.mark.parametrize(
    ("run", "known", "doubt"),
    [
        (a_run(), "", ""),
        pytest.param(a_run(iterations=400), "", "", id="more iterations than asked for"),
        (a_run(iterations=12), "", "only 12 of 40 iterations: the tool gave up at its time limit"),
        (a_run(iterations=12), "checks=drift,iterations", ""),
        (a_run(iterations=12), "checks=drift", "only 12 of 40 iterations: the tool gave up at its time limit"),
        pytest.param(a_run(iterations=12, parameters={"Min num runs": ""}), "", "", id="not known what was asked for"),
        pytest.param(
            a_run(iterations=12, parameters={"Min num runs": ""}),
            "iterations_wanted=15",
            "only 12 of 15 iterations: the tool gave up at its time limit",
            id="what the pilot chose",
        ),
        (a_run(**shares(0.899)), "", "the process was on a CPU for only 90 % of the timed part"),
        (a_run(**shares(0.901)), "", ""),
        (a_run(**shares(0.5)), "checks=cpu", ""),
        pytest.param(a_run(**shares(0.5), threads=2), "", "", id="two threads wait for each other"),
        pytest.param(a_run(**shares(0.1), delegate="gpu"), "", "", id="another processor works"),
        (a_run(edgebench={"iteration_wall_us": WARMING, "iteration_cpu_us": WARMING}), "",
         "no steady state: the second half of the iterations was 12 % slower than the first"),
        (a_run(edgebench={"iteration_wall_us": WARMING[::-1], "iteration_cpu_us": WARMING[::-1]}), "",
         "no steady state: the second half of the iterations was 11 % faster than the first"),
        (a_run(edgebench={"iteration_wall_us": WARMING, "iteration_cpu_us": WARMING}), "checks=drift", ""),
        pytest.param(a_run(edgebench={"iteration_wall_us": WARMING[16:25], "iteration_cpu_us": None}), "", "",
                     id="9 iterations are too few"),
        pytest.param(a_run(edgebench={"iteration_wall_us": [100, 160] * 10 + [112, 172] * 10,
                                      "iteration_cpu_us": None}), "", "", id="a change that noise explains"),
        (a_run(), "model_file=n.tflite", "the log is of 'm.tflite', but the sidecar says 'n.tflite'"),
        (a_run(), "threads=4", "the log is of 1 threads, but the sidecar says 4"),
        (a_run(), "delegate=gpu", "the log is of delegate default, but the sidecar says gpu"),
        pytest.param(a_run(graph=""), "delegate=gpu", "nothing says that the delegate gpu executed any of the model",
                     id="a log without its head"),
        pytest.param(a_run(graph="", delegation="completely"), "delegate=gpu", "", id="without its head, but told"),
        pytest.param(a_run(delegate="none"), "delegate=default", "", id="switched off by the campaign's flags"),
        (a_run(delegate="xnnpack", edgebench={"runner": {"xnnpack": False}}), "delegate=xnnpack",
         "delegate xnnpack was asked for, but XNNPACK executed nothing of the model"),
        (a_run(delegate="none", edgebench={"runner": {"xnnpack": True}}), "delegate=none",
         "delegate none was asked for, but XNNPACK executed some of the model"),
        (a_run(delegate="none", edgebench={"runner": {"xnnpack": False}}), "delegate=none", ""),
    ],
)  # fmt: skip
def test_doubts(run, known, doubt):
    assert validity.doubts(run, parse(known.replace(" ", "\n"))) == ([doubt] if doubt else [])


def test_steadiness_needs_iterations():
    assert validity.is_steadiness_known(STEADY)
    assert not validity.is_steadiness_known(STEADY[:9])
    assert not validity.is_steadiness_known(None)
