"""The report as a whole: what it writes, what it says, and that it is a pure function of the logs."""

from __future__ import annotations

import contextlib
import filecmp
import io
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis import campaign, document, findings, hover, opening, output, plots, report
from analysis.errors import AnalysisError
from analysis.leases import parse
from benchmarks.synthetic import write_campaign
from tests.unit.datasets import STUDY_MS, dataset, decided, run, study_rows

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = [
    "short", "found", "trust", "machines", "speedups", "across", "charts", "measured", "runs", "missing",
]  # fmt: skip


def entry(model: str, variant: str) -> dict:
    return {
        "model": model, "variant": variant, "file": f"{model}.{variant}.tflite", "size_bytes": 16861716,
        "sha256": "5a" * 32, "parameters": 4253864, "batch_size": 1, "input_size": 224, "source": "build",
        "weights": "random", "weights_seed": 0, "recipe": None,
    }  # fmt: skip


@pytest.fixture(scope="module")
def demo():
    """Two hosts, three models, four repetitions: one configuration failed, one repetition invalid, one host missing.

    One host was leased.
    """
    models = ("MobileNet", "ResNet50", "VGG19")
    rows = study_rows({"pi": 8.0, "xeon": 1.0}, 4, models=models, weights="random")
    for row in rows:
        row["weights"] = "random"
        row["platform"] = {"pi": "Raspberry Pi 5", "xeon": "Intel | <Skylake>"}[row["host"]]
        if (row["host"], row["model"], row["variant"]) == ("pi", "VGG19", "dynamic_range"):
            row |= {"status": "failed", "reason": "killed (out of memory) <sic>", "avg_inference_ms": None}
        if (row["host"], row["model"], row["repetition"]) == ("xeon", "ResNet50", 2):
            row |= {"status": "invalid", "reason": "flags not understood: --num_thread=2"}
    settings = {
        "profile": "quick", "models": list(models), "variants": ["float32", "dynamic_range"], "runners": ["litert"],
        "threads": [1], "delegates": ["default"], "min_repetitions": 4, "max_repetitions": 4, "baseline": "float32",
    }  # fmt: skip
    facts = {
        "campaign": "demo", "created_utc": "2026-11-20T13:29:00Z", "hosts": ["ghost", "pi", "xeon"], "seed": 7,
        "settings": settings, "git": {"revision": "abc123", "dirty": True}, "versions": {"ansible_core": "2.19.14"},
        "models": [entry(m, v) for m in models for v in ("float32", "dynamic_range")],
        "runners": {"pi": {"litert": {"version": "2.3.0", "sha256": "6b" * 32}}},
    }  # fmt: skip
    pi = {
        "platform_label": "Raspberry Pi 5", "arch": "aarch64", "board_model": "Raspberry Pi 5 Model B", "cores": 4,
        "cpus": 4, "cpu_model": "Cortex-A76", "cpu_max_mhz": 2400.0, "bogomips": 108.0, "cpu_features": ["asimddp"],
        "memory_total_mb": 8059, "os": "Debian 12", "kernel": "6.6.20", "virtualization": "none",
    }  # fmt: skip
    hosts = {("demo", "pi"): pi, ("demo", "xeon"): {"virtualization": "kvm", "governor": "powersave"}}
    unfinished = {("demo", "ghost"): "nothing has come home"}
    lease = {
        "site": "CHI@Edge", "lease": "edgebench-3f9a1c", "lease_id": "6a1f0c52", "kind": "device",
        "type": "raspberrypi5", "su_per_hour": 1.0, "start_utc": "2026-11-20T13:00:00Z",
        "end_utc": "2026-11-20T15:00:00Z", "released_utc": "2026-11-20T14:12:00Z", "ours": True,
    }  # fmt: skip
    found = dataset(rows, campaigns={"demo": facts}, hosts=hosts, unfinished=unfinished)
    return replace(found, leases={("demo", "pi"): [parse(lease)]})


@pytest.fixture(scope="module")
def out(demo, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "demo"
    document.publish(document.build(demo), path)
    return path


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


# --- what is written --------------------------------------------------------------------------------------------------


def test_golden(out, golden):
    golden("report/report.md", (out / "report.md").read_text(encoding="utf-8"))
    for name in ("speedup.csv", "speedup.tex", "trust.csv", "cost.csv", "final_result_pi.csv", "machines.tex"):
        golden(f"report/{name}", (out / "tables" / name).read_text(encoding="utf-8"))


def test_everything_of_the_design_is_there(out):
    found = files(out)
    tables = [f"tables/{name}.csv" for name in ("runs", "summary", "speedup", "effects", "machines", "trust")]
    tables += [f"tables/final_result_{host}.csv" for host in ("ghost", "pi", "xeon")]
    tables += [f"tables/{name}.tex" for name in ("summary", "speedup", "machines", "final_result_pi")]
    charts = ["speedup", "pi_speedup", "pi_repetitions", "pi_avg_inference_ms", "xeon_memory_overall_mb"]
    charts = [f"plots/{name}.{ending}" for name in charts for ending in ("png", "svg")]
    assert {"report.html", "report.md", "data/runs.parquet", *tables, *charts} <= set(found)


def test_nothing_is_said_of_leases_where_there_are_none(demo, tmp_path):
    document.publish(document.build(replace(demo, leases={})), tmp_path / "out")
    assert not (tmp_path / "out" / "tables" / "cost.csv").exists()
    for name in ("report.html", "report.md"):
        assert "leas" not in (tmp_path / "out" / name).read_text(encoding="utf-8").replace("As few as", "").lower()


def test_tables_read_back(out, demo):
    runs = pd.read_csv(out / "tables" / "runs.csv")
    assert len(runs) == len(demo.runs)
    assert set(runs["status"]) == {"ok", "failed", "invalid"}
    parquet = pd.read_parquet(out / "data" / "runs.parquet")
    assert list(parquet) == list(campaign.COLUMNS)
    assert parquet["avg_inference_ms"].sum() == pytest.approx(demo.runs["avg_inference_ms"].sum())


def test_the_same_logs_give_the_same_bytes(demo, out, tmp_path):
    document.publish(document.build(demo), tmp_path / "elsewhere" / "other name")
    again = tmp_path / "elsewhere" / "other name"
    assert files(again) == files(out)
    different = [name for name in files(out) if not filecmp.cmp(out / name, again / name, shallow=False)]
    assert different == []


def test_a_new_process_gives_the_same_bytes(tmp_path):
    """Hash seeds, clocks and the current directory must not matter."""
    logs = ROOT / "tests" / "data" / "campaigns" / "logs" / "demo"
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        subprocess.run(
            [sys.executable, "-m", "analysis.report", logs, "--output", "out"],
            cwd=tmp_path / seed,
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "TZ": f"UTC-{seed}"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
    one, two = tmp_path / "1" / "out", tmp_path / "2" / "out"
    assert [name for name in files(one) if (one / name).read_bytes() != (two / name).read_bytes()] == []
    text = (one / "report.html").read_text() + (one / "report.md").read_text()
    assert str(tmp_path) not in text
    assert str(ROOT) not in text


# --- report.html ------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What the tests ask of a page: sections, references to elsewhere, tags that were left open."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str):
        super().__init__()
        self.sections, self.references, self.ids, self.tags, self.open, self.text = [], [], [], [], [], []
        self.images = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.sections += [attributes["id"]] if tag == "section" else []
        self.references += [v for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "data", "action")]
        self.images += [attributes] if tag in ("img", "svg") else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(out):
    return Page((out / "report.html").read_text(encoding="utf-8"))


def test_html_reads_from_the_findings_down(page):
    assert page.sections == SECTIONS
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_html_is_one_file_that_needs_nothing_else(page, out):
    text = (out / "report.html").read_text(encoding="utf-8")
    referred = [*page.references, *re.findall(r"url\(([^)]*)\)", text)]
    assert {ref[:1] for ref in referred} == {"#"}
    assert {ref[1:] for ref in referred} <= set(page.ids)
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert "@import" not in text
    assert len(page.images) > 10
    assert all(image["role"] == "img" and image["aria-label"] for image in page.images)


def test_html_names_every_run_that_is_in_no_mean(page, demo):
    text = "".join(page.text[page.text.index("Missing and unusable", 30) :])
    for log in demo.runs["log"][demo.runs["status"] != "ok"]:
        assert log in text
    assert "killed (out of memory) <sic>" in text


def test_html_warns_at_the_top(out):
    top = (out / "report.html").read_text(encoding="utf-8").split('<section id="found">')[0]
    for words in (
        "ghost: nothing has come home",
        "Weights are random: speed only",
        "profile quick",
        "failed",
        "Virtual machine",
        "3 repetitions",
    ):
        assert words in top


def test_text_from_logs_is_never_markup(tmp_path):
    evil = "<script>alert(1)</script>|`x`\n# h"
    rows = [run(host=evil, platform=evil, model=evil, variant=v, repetition=i, avg_inference_ms=ms + i)
            for v, ms in (("float32", 9.0), (evil, 3.0)) for i in (1, 2)]  # fmt: skip
    rows.append(run(host=evil, status="failed", reason=evil, warnings=evil, log=evil))
    data = dataset(rows, problems=[evil], campaigns={"demo": {"settings": {evil: evil}, "models": [{"model": evil}]}})
    moment = "2026-11-20T13:00:00Z"
    lease = {"site": evil, "lease": evil, "type": evil, "start_utc": moment, "end_utc": moment}
    data = replace(data, leases={("demo", evil): [parse(lease)]})
    document.publish(document.build(data), tmp_path / "out")
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert page.tags.count("script") == 1  # the page's own
    assert page.open == []
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in markdown
    assert not re.search(r"^# h", markdown, re.MULTILINE)
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if line.startswith("| Model |")}
    assert len(widths) <= 2


# --- what it says -----------------------------------------------------------------------------------------------------


def test_findings_are_sentences_with_intervals(demo):
    made = document.build(demo)
    by_machine = {finding.where: " ".join(finding.sentences) for finding in made.findings}
    xeon = by_machine["Intel | <Skylake>"]
    number = r"\d+\.\d+ \(\d+\.\d+ to \d+\.\d+\)"
    assert re.match(rf"dynamic_range is {number} times as fast as float32 in the geometric mean of 3 models\.", xeon)
    assert re.search(rf"Slower: MobileNet {number}\.", xeon)
    assert re.search(rf"Initialization is {number} times as fast; overall memory is {number} of float32's\.", xeon)
    assert "geometric mean of 2 of 3 models" in by_machine["Raspberry Pi 5"]
    assert "Missing: VGG19." in by_machine["Raspberry Pi 5"]
    assert "No speedup of dynamic_range over float32, missing: MobileNet, ResNet50 and VGG19." in by_machine["ghost"]


def test_a_report_opens_with_what_was_found_and_how_sure_it_is():
    """MobileNet alone; then with a model that does not change, where the mean of both is not far from 1 either."""
    rows = [run(variant=v, repetition=i, block=i, avg_inference_ms=ms + i / 10)
            for v, ms in (("float32", 9.0), ("int8", 18.0)) for i in range(5)]  # fmt: skip

    def opening_of(rows):
        made = document.build(dataset(rows))
        speedups, trust = made.tables["speedup"], made.tables["trust"]
        return opening.found(made.study, speedups), opening.sure(made.study, speedups, trust)

    found, sure = opening_of(rows)
    assert found[1:] == ["int8, against float32: 0.505 (0.500 to 0.511) times as fast, slower."]
    assert sure[0] == "10 of 10 runs are ok: 5 repetitions of what has a result, each a process of its own."
    assert sure[2] == "The 95 % intervals of the speedups are ± 1.1 % (median), ± 1.1 % at most (MobileNet int8, pi)."
    assert sure[3].startswith("1 of 1 comparison with an interval is decided")

    noise = (0.0, 4.0, -4.0, 2.0, -2.0)
    rows += [run(model="VGG19", variant=v, repetition=i, avg_inference_ms=18.0 - sign * noise[i])
             for v, sign in (("float32", 1), ("int8", -1)) for i in range(5)]  # fmt: skip
    found, sure = opening_of(rows)
    assert found[-1] == "int8 is slower for MobileNet."
    assert sure[3].startswith("1 of 2 comparisons with an interval is decided")

    assert opening_of([run(), run(variant="int8")])[1][-1] == "No speedup has an interval: nothing here is sure."


REPEATED = [{"variant": v, "repetition": i, "avg_inference_ms": ms + i * 3 % 7 / 10,
             "iteration_wall_us": [1e3 * ms] * 10}
            for v, ms in (("float32", 9.0), ("int8", 3.0)) for i in range(6)]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({}, None, ""),
        ({"status": "failed", "reason": "x"}, findings.UNTRUSTED, "No run is usable"),
        ({"weights": "random"}, findings.CAUTION, "Weights are random"),
        ({"weights": ""}, findings.NOTE, "What weights the models had is not known"),
        ({"start_utc": ""}, findings.CAUTION, "Logs without sidecars"),
        ({"steal_percent": 3.0}, findings.CAUTION, "hypervisor took up to 3.0 %"),
        ({"other_cpu_percent": 20.0}, findings.CAUTION, "Other processes took up to 20 %"),
        ({"throttled_after": "0x50005"}, findings.CAUTION, "throttling or under-voltage"),
        ({"governor": "ondemand"}, findings.NOTE, "not fixed to performance"),
    ],
)
def test_notices(change, level, words):
    made = document.build(dataset([run(**{"governor": "performance"} | facts | change) for facts in REPEATED]))
    found = [(notice.level, notice.text) for notice in made.notices]
    assert any(lv == level and words in text for lv, text in found) if level else found == []


def noted(data) -> dict[str, str]:
    """Level by text."""
    return {notice.text: notice.level for notice in document.build(data).notices}


def test_steadiness_that_could_not_be_tested_is_a_note_per_runner():
    rows = [run(**facts) for facts in REPEATED]
    rows += [run(**facts | {"runner": "benchmark_model", "iteration_wall_us": None}) for facts in REPEATED]
    rows += [
        run(**facts | {"runner": "other", "iteration_wall_us": [1.0] * (i + 5)}) for i, facts in enumerate(REPEATED)
    ]
    notes = [text for text in noted(dataset(rows)) if "Steady" in text]
    assert notes == [
        "Steady state could not be tested with benchmark_model: it prints no times of single iterations.",
        "Steady state could not be tested with other in 5 of 12 runs: fewer than 10 iterations.",
    ]


def test_configurations_that_did_not_reach_the_target_are_named():
    found = noted(decided())
    text = "1 of 2 configurations did not reach 1 % (half width of an interval): pi, MobileNet int8."
    assert found[text] == findings.CAUTION
    still_measuring = replace(decided(), unfinished={("demo", "pi"): "8 of 9 runs"})
    assert not any("did not reach" in words for words in noted(still_measuring))


def test_outliers_are_a_note_and_dependent_repetitions_a_caution():
    rows = [run(repetition=i, block=i, avg_inference_ms=5 + i / 10) for i in range(8)]
    rows[2]["outlier"] = "low"
    found = noted(dataset(rows))
    text = "1 outlier among the repetitions (pi): more than 3 interquartile ranges beyond the quartiles. "
    assert found[text + "Ringed in the charts, and in all means."] == findings.NOTE
    (text,) = (text for text in found if "not independent" in text)
    assert text.startswith("Repetitions are not independent (pi; autocorrelation up to 0.7")
    assert found[text] == findings.CAUTION


def test_pilot_and_profile_runs_do_not_make_a_report_incomplete():
    rows = [run(**facts) for facts in REPEATED]
    rows.append(run(phase="pilot", status="invalid", reason="pilot: it chose the number of iterations"))
    made = document.build(dataset(rows))
    assert made.complete
    assert "12 runs: 12 ok" in document.terminal_text(made)
    assert len(made.tables["runs"]) == 13


def test_outliers_are_ringed():
    rows = [run(repetition=i, block=i, avg_inference_ms=5 + i % 3 / 10) for i in range(8)]
    bare = drawn(rows, lambda study, *place: plots.repetitions(study, *place, "avg_inference_ms"))
    rows[2]["outlier"] = "low"
    ringed = drawn(rows, lambda study, *place: plots.repetitions(study, *place, "avg_inference_ms"))
    assert len(ringed.axes[0].collections) == len(bare.axes[0].collections) + 1


def test_invalid_runs_and_their_repeats_can_be_told_apart():
    """Of 12 runs 2 were invalid, one was repeated twice and one once; only the first came out well."""
    rows = [run(**facts, block=facts["repetition"]) for facts in REPEATED]
    for row, name in ((rows[0], "a"), (rows[1], "b")):
        row |= {"status": "invalid", "reason": "throttled", "log": f"pi/runs/{name}.log"}
    rows += [
        rows[0] | {"retry": 1, "log": "pi/runs/a.retry1.log"},
        rows[0] | {"retry": 2, "log": "archives/x.zip/pi/runs/a.retry2.log", "status": "ok", "reason": ""},
        rows[1] | {"retry": 1, "log": "pi/runs/b.retry1.log", "status": "failed"},
    ]
    made = document.build(dataset(rows))
    trust = made.tables["trust"].iloc[0]
    assert trust[["ok", "invalid", "failed", "repeated", "repeated_ok"]].tolist() == [11, 3, 1, 2, 1]
    sentence = "Of 12 first attempts, 2 were invalid and 0 failed; 2 were repeated, 1 of these with success."
    assert any(sentence in notice.text for notice in made.notices)
    assert "15 runs: 11 ok, 3 invalid, 1 failed; 2 were repeated, 1 of these with success" in document.terminal_text(
        made
    )
    assert made.tables["speedup"].query("model == 'MobileNet'")["method"].item() == "Fieller, 5 blocks paired"
    assert made.tables["runs"]["retry"].tolist()[-3:] == [1, 2, 1]


def test_hosts_that_are_not_done_are_named_first(demo):
    rows = [run(host=f"h{i}", **facts) for i in range(2) for facts in REPEATED]
    unfinished = {("demo", "h1"): "12 of 70 runs", ("demo", "pi4"): "nothing has come home"}
    made = document.build(dataset(rows, unfinished=unfinished))
    assert [notice.text for notice in made.notices[:2]] == ["h1: 12 of 70 runs", "pi4: nothing has come home"]
    assert not made.complete
    text = document.terminal_text(made)
    assert "! h1: 12 of 70 runs\n! pi4: nothing has come home\n" in text
    assert "missing" not in text.partition("comparisons")[0]  # no table of a machine that has nothing
    many = {("demo", f"pi{i:02}"): "nothing has come home" for i in range(50)}
    texts = [n.text for n in document.build(dataset(rows, unfinished=many)).notices if n.level == findings.CAUTION]
    assert "and 30 more hosts that are not done" in texts


def test_clocks_of_hosts_are_doubted():
    rows = [run(host=h, start_utc=f"{y}-11-20T13:30:00Z", **f) for h, y in (("a", 2026), ("b", 1970)) for f in REPEATED]
    hosts = {("demo", "a"): {"clock_offset_s": -3.5}, ("demo", "b"): {"clock_offset_s": -1.77e9}}
    made = document.build(dataset(rows, hosts=hosts))
    notes = [notice.text for notice in made.notices if "clock" in notice.text and "governor" not in notice.text]
    assert len(notes) == 1
    assert notes[0].startswith("The clock of b is 1770000000 s behind the controller's")
    assert made.study.dates == ["2026-11-20"]
    for odd in (None, "x", float("nan"), True):
        assert (
            document.build(dataset(rows, hosts={("demo", "a"): {"clock_offset_s": odd}})).study.dates[0] == "1970-11-20"
        )


def test_what_was_found_twice_is_a_note():
    made = document.build(dataset([run(**facts) for facts in REPEATED], notes=["x: found twice"]))
    assert (findings.NOTE, "x: found twice.") in [(notice.level, notice.text) for notice in made.notices]
    assert "  x: found twice" in document.terminal_text(made)
    assert made.complete


def test_mixed_binaries_are_refused_at_the_top():
    rows = [run(**facts, runner_sha256=facts["variant"]) for facts in REPEATED]
    notices = document.build(dataset(rows)).notices
    assert notices[0].level == findings.UNTRUSTED
    assert "runner_sha256 differs: float32, int8" in notices[0].text


ODD = {
    "one run": [run()],
    "one variant": [run(repetition=i, avg_inference_ms=5.0 + i) for i in range(3)],
    "no model": [run(model="", variant="", status="failed", reason="empty", avg_inference_ms=None)],
    "only failures": [run(status="failed", avg_inference_ms=None), run(variant="int8", status="failed")],
    "zeros": [run(avg_inference_ms=0.0, memory_overall_mb=-1.0), run(variant="int8", avg_inference_ms=0.0)] * 2,
    "no spread": [run(avg_inference_ms=4.0), run(variant="int8", avg_inference_ms=2.0)] * 2,
    "wild": [run(variant=v, avg_inference_ms=ms) for v in ("float32", "int8") for ms in (1.0, 50.0, 3.0)],
    "many hosts": [run(host=f"h{i}", variant=v) for i in range(30) for v in ("float32", "int8")],
    "two campaigns": [run(campaign=c, variant=v) for c in ("a", "b") for v in ("float32", "int8")] * 2,
    "swept": [run(threads=t, delegate=d, variant=v, avg_inference_ms=9.0 / t)
              for t in (1, 4) for d in ("default", "none") for v in ("float32", "int8")] * 2,
    "long names": [run(host="h" * 90, model="m" * 90 + str(i), variant=v, avg_inference_ms=3.0)
                   for i in range(3) for v in ("float32", "variant_" * 9)] * 2,
}  # fmt: skip


def test_a_report_that_cannot_be_trusted_says_so_before_all_else(tmp_path):
    rows = [run(**facts, runner_sha256=facts["variant"]) for facts in REPEATED]
    document.publish(document.build(dataset(rows)), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    for text, what in ((page, "<h2>What was found"), (markdown, "**What was found")):
        before = text.partition(what)[0]
        assert "Do not trust this report as it is" in before
        assert "runner_sha256 differs: float32, int8" in before


@pytest.mark.filterwarnings("error")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", ODD)
def test_odd_datasets_give_a_report(name, tmp_path):
    made = document.build(dataset(ODD[name]))
    document.publish(made, tmp_path / "out")
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert page.sections == SECTIONS
    assert page.open == []
    assert document.terminal_text(made)


# --- charts -----------------------------------------------------------------------------------------------------------


def drawn(rows, draw):
    study = document.build(dataset(rows)).study
    with rc_context(plots.STYLE):
        figure = draw(study, *next(iter(study.groups)))
        FigureCanvasAgg(figure).draw()
    return figure


def boxes(texts):
    return [text.get_window_extent() for text in texts if text.get_text()]


@pytest.mark.parametrize("names", [tuple(STUDY_MS), [f"a_rather_long_model_name_{i}" for i in range(7)]])
def test_names_do_not_overlap_and_are_inside(names):
    rows = [run(model=m, variant=v, avg_inference_ms=9.0) for m in names for v in ("float32", "dynamic_range")] * 2
    figure = drawn(rows, lambda study, *place: plots.repetitions(study, *place, "avg_inference_ms"))
    labels = boxes(figure.axes[0].get_yticklabels())
    assert all(not one.overlaps(other) for one, other in pairwise(labels))
    assert all(box.x0 >= 0 for box in labels)
    figure = drawn(rows, lambda study, *place: plots.bars(study, *place, "avg_inference_ms"))
    labels = figure.axes[0].get_xticklabels()
    if labels[0].get_rotation() == 0:
        found = boxes(labels)
        assert all(not one.overlaps(other) for one, other in pairwise(found))
    assert all(box.y0 >= 0 for box in boxes([*labels, *figure.texts]))


def test_bars_stand_on_zero_and_what_has_no_bar_says_why():
    rows = [run(avg_inference_ms=100.0 + i) for i in range(3)]
    rows += [run(variant="int8", status="failed", reason="x", avg_inference_ms=None)]
    figure = drawn(rows, lambda study, *place: plots.bars(study, *place, "avg_inference_ms"))
    axes = figure.axes[0]
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylabel() == "time (ms)"
    assert "failed" in [text.get_text() for text in axes.texts]
    assert "float32 (n = 3)" in [text.get_text() for text in figure.texts]


def test_the_numbers_of_a_chart_are_those_that_it_draws():
    """One model failed in one variant; one repetition is invalid."""
    rows = study_rows({"pi": 1.0}, 4, models=("MobileNet", "VGG19"))
    for row in rows:
        if (row["model"], row["variant"]) == ("VGG19", "dynamic_range"):
            row |= {"status": "failed", "avg_inference_ms": None}
    rows[0] |= {"status": "invalid", "reason": "throttled"}
    made = document.build(dataset(rows))
    table = {chart.name: pd.DataFrame(chart.data()) for chart in document.charts(made)}

    bars = table["pi_avg_inference_ms"]
    assert bars["absent"].tolist() == ["", "", "", "failed"]
    assert bars["n"].tolist() == [3, 4, 4, 0]
    drawn_bars = drawn(rows, lambda study, *place: plots.bars(study, *place, "avg_inference_ms")).axes[0].containers
    heights = sorted(patch.get_height() for bar in drawn_bars if hasattr(bar, "patches") for patch in bar.patches)
    assert heights == sorted(bars["mean"].dropna())

    dots = drawn(rows, lambda study, *place: plots.repetitions(study, *place, "avg_inference_ms")).axes[0].collections
    at = sorted(x for of in dots[:1] for x, _ in of.get_offsets().tolist())
    deviations = table["pi_repetitions"].groupby("status")["deviation_percent"]
    assert at == sorted(deviations.get_group("ok"))
    assert len(deviations.get_group("invalid")) == 1

    assert table["pi_speedup"]["speedup"].tolist()[0] == made.tables["speedup"]["speedup"].tolist()[0]


def test_marks_say_their_numbers_also_where_names_are_odd():
    rows = [run(platform="a\x01<b>␟", variant=v, repetition=i, avg_inference_ms=ms + i / 10)
            for v, ms in (("float32", 9.0), ("int8", 3.0)) for i in range(20)]  # fmt: skip

    def titles(draw):
        svg = io.StringIO()
        drawn(rows, draw).savefig(svg, format="svg")
        root = ET.fromstring(hover.titled(svg.getvalue()))
        return [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]

    bars = titles(lambda study, *place: plots.bars(study, *place, "avg_inference_ms"))
    assert bars == ["MobileNet, float32: 9.950 ± 0.592 ms (n = 20)", "MobileNet, int8: 3.950 ± 0.592 ms (n = 20)"]
    dots = titles(lambda study, *place: plots.repetitions(study, *place, "avg_inference_ms"))
    assert len(dots) == 40
    assert dots[0] == "MobileNet, float32, repetition 0: 9.000 ms, -9.5 %"


def test_a_metric_that_no_run_reports_has_no_chart():
    study = document.build(dataset([run()])).study
    assert plots.bars(study, *next(iter(study.groups)), "first_inference_ms") is None


# --- the command ------------------------------------------------------------------------------------------------------

LOGS = ROOT / "tests" / "data" / "campaigns" / "logs"


def test_command_writes_below_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert report.main([str(LOGS)]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "results" / "demo" / "report.html").is_file()
    assert "Report: results/demo/report.html" in printed
    assert "failed" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no logs given"),
        (["nowhere"], "nowhere"),
        ([str(LOGS), "--metric", "avg_inference"], "did you mean 'avg_inference_ms'?"),
        ([str(LOGS), "--metric", "memory_overall_mb"], "not a time"),
        ([str(LOGS), "--baseline", "float23"], "did you mean 'float32'?"),
    ],
)
def test_mistakes_get_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert report.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_strict_is_an_exit_status(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert report.main([str(LOGS), "--strict"]) == 3
    write_campaign(tmp_path / "logs", hosts=1, repetitions=2, runner="benchmark_model")
    assert report.main(["logs", "--strict"]) == 0
    record = tmp_path / "logs" / "bench" / "campaign.json"
    record.write_text(record.read_text().replace('"host-0"', '"host-0", "pi4"'))
    capsys.readouterr()
    assert report.main(["logs", "--strict"]) == 3
    assert "! pi4: nothing has come home" in capsys.readouterr().out


# --- only if changed --------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A campaign in logs/ of the current directory, with its report."""
    monkeypatch.chdir(tmp_path)
    write_campaign(tmp_path / "logs", hosts=1, repetitions=2, runner="benchmark_model")
    assert report.main(["logs", "--output", "out"]) == 0
    return tmp_path


def if_changed(capsys, *options: str) -> tuple[int, bool]:
    """The exit status, and whether a report was made."""
    capsys.readouterr()
    status = report.main(["logs", "--output", "out", "--if-changed", *options])
    printed = capsys.readouterr().out
    made = "up to date, made from the same logs" not in printed
    assert "runs: " in printed, "what was found is said either way"
    return status, made


def test_the_same_logs_make_no_new_report(small, capsys):
    before = (small / "out" / "report.html").stat().st_ino
    assert if_changed(capsys) == (0, False)
    assert (small / "out" / "report.html").stat().st_ino == before
    shutil.move(small / "logs", small / "elsewhere")
    (small / "logs").symlink_to("elsewhere")
    for path in (small / "logs").rglob("*"):
        os.utime(path, (1, 1))
    assert if_changed(capsys) == (0, False)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: next((root / "logs").rglob("*.log")).write_text("x"),
        lambda root: next((root / "logs").rglob("*.meta")).unlink(),
        lambda root: next((root / "logs").rglob("host.json")).write_text("{}"),
        lambda root: next((root / "logs").rglob("campaign.json")).write_text("{}"),
        lambda root: next((root / "logs").rglob("host.json")).with_name("leases.json").write_text("[]"),
        lambda root: next((root / "logs").rglob("host.json")).with_name("stopping.tsv").write_text("block\treason\n"),
        lambda root: next((root / "logs").rglob("runs")).parent.rename(root / "logs" / "bench" / "other"),
        lambda root: shutil.make_archive(root / "logs" / "sent", "gztar", LOGS),
        lambda root: (root / "out" / "report.md").unlink(),
        lambda root: (root / "out" / "data" / "made_from.json").write_text("["),
        lambda root: shutil.rmtree(root / "out" / "data"),
    ],
)
def test_whatever_changed_makes_a_new_report(small, capsys, change):
    change(small)
    assert if_changed(capsys)[1]
    assert not if_changed(capsys)[1]


def test_other_options_or_code_make_a_new_report(small, capsys, monkeypatch):
    assert if_changed(capsys, "--metric", "init_time_ms") == (0, True)
    assert if_changed(capsys, "--metric", "init_time_ms") == (0, False)
    monkeypatch.setattr(output, "_code", lambda: "newer")
    assert if_changed(capsys, "--metric", "init_time_ms") == (0, True)


def test_a_report_without_charts_says_so(small, capsys):
    assert if_changed(capsys, "--no-plots") == (0, True)
    assert list(Path("out/plots").iterdir()) == []
    for page in ("out/report.html", "out/report.md"):
        text = Path(page).read_text()
        assert "No charts were drawn: the report was made with --no-plots." in text
        assert "<svg" not in text
        assert "](plots/" not in text
    assert Path("out/tables/speedup.csv").exists()
    assert if_changed(capsys) == (0, True)
    assert list(Path("out/plots").glob("*.png"))
    assert "No charts" not in Path("out/report.html").read_text()


def test_strict_knows_what_lacked_the_last_time(small, capsys):
    assert if_changed(capsys, "--strict") == (0, False)
    next((small / "logs").rglob("*.meta")).unlink()
    assert if_changed(capsys, "--strict") == (3, True)
    assert if_changed(capsys, "--strict") == (3, False)


def test_nothing_heavy_is_imported_when_nothing_changed(small):
    code = (
        "import sys; from analysis import report; "
        "status = report.main(['logs', '--output', 'out', '--if-changed']); "
        "assert not {'pandas', 'numpy', 'matplotlib', 'scipy', 'jinja2'} & set(sys.modules); sys.exit(status)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=small, env={"PYTHONPATH": str(ROOT)}, check=True)


# --- one at a time ----------------------------------------------------------------------------------------------------


def test_many_at_once_make_one_report(small):
    """Each host's end may start one: they wait for each other, and those after the first find it made."""
    next((small / "logs").rglob("*.log")).write_text("x")
    command = [sys.executable, "-m", "analysis.report", "logs", "--output", "out", "--if-changed"]
    started = [
        subprocess.Popen(command, cwd=small, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    printed = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sum("up to date" in text for text in printed) == 2
    assert sorted(path.name for path in (small / "out").iterdir()) == sorted(output.PARTS)


def test_who_waited_looks_again(small):
    """The report of the one that waited is of what lies there when its turn comes, not of what it saw before."""
    command = [sys.executable, "-m", "analysis.report", "logs", "--output", "out", "--if-changed"]
    with output.held(small / "out"):
        waiting = subprocess.Popen(
            command, cwd=small, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert "waiting for it" in waiting.stderr.readline()
        next((small / "logs").rglob("*.log")).write_text("x")
    assert "Report: out/report.html" in waiting.communicate()[0]
    assert len((small / "out" / "tables" / "runs.csv").read_text().split(",failed,")) == 2


def test_what_a_killed_process_left_is_cleared(small, capsys):
    """A lock goes with its process; half a report beside the whole one is nobody's."""
    (small / "out" / ".making-x" / "new" / "tables").mkdir(parents=True)
    (small / "out" / ".lock").write_text("")
    assert if_changed(capsys) == (0, False)
    assert sorted(path.name for path in (small / "out").iterdir()) == sorted(output.PARTS)


@pytest.mark.parametrize("after", range(9))
def test_a_report_that_is_cut_while_it_is_put_in_place_is_not_taken_for_current(tmp_path, monkeypatch, after):
    for name in ("out", "making"):
        for part in output.PARTS:
            path = tmp_path / name / part
            if path.suffix:
                path.parent.mkdir(exist_ok=True)
                path.write_text(name)
            else:
                path.mkdir(parents=True)
    record = {"logs": "new"}
    (tmp_path / "out" / output.MADE_FROM).write_text('{"logs": "old", "complete": true, "said": ""}')
    (tmp_path / "making" / output.MADE_FROM).write_text('{"logs": "new", "complete": true, "said": ""}')
    steps = iter(range(after))

    def cut(move):
        def moved(path, target):
            if next(steps, None) is None:
                raise KeyboardInterrupt
            return move(path, target)

        return moved

    monkeypatch.setattr(Path, "rename", cut(Path.rename))
    monkeypatch.setattr(Path, "replace", cut(Path.replace))
    out = tmp_path / "out"
    whole = False
    with contextlib.suppress(KeyboardInterrupt):
        output.replace(tmp_path / "making", out, tmp_path / "old")
        whole = True
    assert (out / "report.html").read_text() in ("out", "making")
    assert bool(output.current(out, record)) is whole
    assert bool(output.current(out, {"logs": "old"})) is (after == 0)
    assert whole == (after == 8)


def test_help_shows_how(capsys):
    with pytest.raises(SystemExit, match="0"):
        report.main(["--help"])
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "exit status" in text


def test_default_names_of_several_campaigns(tmp_path):
    def name(*campaigns: str) -> str:
        root = tmp_path / "+".join(campaigns)
        for own in campaigns:
            shutil.copytree(LOGS.parent / "foreign", root / own)
        return report.default_name([root])

    assert name("a") == "a"
    assert name("b", "a") == "a+b"
    assert name("a", "b", "c", "d") == "a..d_4"
    assert name("x y") == "x_y"


def test_a_report_replaces_a_report_and_nothing_else(demo, tmp_path):
    made, target = document.build(dataset([run()])), tmp_path / "out"
    document.publish(document.build(demo), target)
    (target / "notes.txt").write_text("mine")
    document.publish(made, target)
    assert (target / "notes.txt").read_text() == "mine"
    assert not (target / "plots" / "xeon_speedup.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_directory_that_is_no_report_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(AnalysisError, match="not empty and not a report"):
        document.publish(document.build(dataset([run()])), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AnalysisError, match="cannot write the report there"):
        document.publish(document.build(dataset([run()])), tmp_path / "file" / "out")


def test_a_failure_leaves_the_former_report(tmp_path, monkeypatch):
    target = tmp_path / "out"
    made = document.build(dataset([run()]))
    document.publish(made, target)
    before = {name: (target / name).read_bytes() for name in files(target)}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(document, "render", full)
    with pytest.raises(AnalysisError, match="No space left on device"):
        document.publish(made, target)
    assert {name: (target / name).read_bytes() for name in files(target)} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
