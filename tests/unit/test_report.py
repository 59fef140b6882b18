"""The report as a whole: what it writes, what it says, and that it is a pure function of the logs."""

from __future__ import annotations

import filecmp
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis import campaign, findings, plots, report
from analysis.errors import AnalysisError
from tests.unit.datasets import STUDY_MS, dataset, run, study_rows

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ["found", "trust", "machines", "speedups", "charts", "measured", "runs", "missing"]


def entry(model: str, variant: str) -> dict:
    return {
        "model": model, "variant": variant, "file": f"{model}.{variant}.tflite", "size_bytes": 16861716,
        "sha256": "5a" * 32, "parameters": 4253864, "batch_size": 1, "input_size": 224, "source": "build",
        "weights": "random", "weights_seed": 0, "recipe": None,
    }  # fmt: skip


@pytest.fixture(scope="module")
def demo():
    """Two hosts, three models, four repetitions: one configuration failed, one repetition invalid, one host missing."""
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
    problems = ["demo/ghost: nothing came home from this host"]
    return dataset(rows, campaigns={"demo": facts}, hosts=hosts, problems=problems)


@pytest.fixture(scope="module")
def out(demo, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "demo"
    report.publish(report.build(demo), path)
    return path


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


# --- what is written --------------------------------------------------------------------------------------------------


def test_golden(out, golden):
    golden("report/report.md", (out / "report.md").read_text(encoding="utf-8"))
    for name in ("speedup.csv", "speedup.tex", "trust.csv", "final_result_pi.csv", "machines.tex"):
        golden(f"report/{name}", (out / "tables" / name).read_text(encoding="utf-8"))


def test_everything_of_the_design_is_there(out):
    found = files(out)
    tables = [f"tables/{name}.csv" for name in ("runs", "summary", "speedup", "effects", "machines", "trust")]
    tables += [f"tables/final_result_{host}.csv" for host in ("ghost", "pi", "xeon")]
    tables += [f"tables/{name}.tex" for name in ("summary", "speedup", "machines", "final_result_pi")]
    charts = ["speedup", "pi_speedup", "pi_repetitions", "pi_avg_inference_ms", "xeon_memory_overall_mb"]
    charts = [f"plots/{name}.{ending}" for name in charts for ending in ("png", "svg")]
    assert {"report.html", "report.md", "data/runs.parquet", *tables, *charts} <= set(found)


def test_tables_read_back(out, demo):
    runs = pd.read_csv(out / "tables" / "runs.csv")
    assert len(runs) == len(demo.runs)
    assert set(runs["status"]) == {"ok", "failed", "invalid"}
    parquet = pd.read_parquet(out / "data" / "runs.parquet")
    assert list(parquet) == list(campaign.COLUMNS)
    assert parquet["avg_inference_ms"].sum() == pytest.approx(demo.runs["avg_inference_ms"].sum())


def test_the_same_logs_give_the_same_bytes(demo, out, tmp_path):
    report.publish(report.build(demo), tmp_path / "elsewhere" / "other name")
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
        self.references += [v for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]
        self.images += [attributes] if tag == "img" else []
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
    assert all(ref.startswith(("#", "data:image/svg+xml;base64,")) for ref in page.references)
    assert {ref[1:] for ref in page.references if ref.startswith("#")} <= set(page.ids)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "url(" not in text
    assert "@import" not in text
    assert all(image["alt"] for image in page.images)


def test_html_names_every_run_that_is_in_no_mean(page, demo):
    text = "".join(page.text[page.text.index("Missing and unusable", 30) :])
    for log in demo.runs["log"][demo.runs["status"] != "ok"]:
        assert log in text
    assert "killed (out of memory) <sic>" in text
    assert "demo/ghost: nothing came home from this host" in text


def test_html_warns_at_the_top(out):
    top = (out / "report.html").read_text(encoding="utf-8").split('<section id="found">')[0]
    for words in ("Weights are random: speed only", "profile quick", "failed", "Virtual machine", "3 repetitions"):
        assert words in top


def test_text_from_logs_is_never_markup(tmp_path):
    evil = "<script>alert(1)</script>|`x`\n# h"
    rows = [run(host=evil, platform=evil, model=evil, variant=v, repetition=i, avg_inference_ms=ms + i)
            for v, ms in (("float32", 9.0), (evil, 3.0)) for i in (1, 2)]  # fmt: skip
    rows.append(run(host=evil, status="failed", reason=evil, warnings=evil, log=evil))
    data = dataset(rows, problems=[evil], campaigns={"demo": {"settings": {evil: evil}, "models": [{"model": evil}]}})
    report.publish(report.build(data), tmp_path / "out")
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert page.open == []
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in markdown
    assert not re.search(r"^# h", markdown, re.MULTILINE)
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if line.startswith("| Model |")}
    assert len(widths) <= 2


# --- what it says -----------------------------------------------------------------------------------------------------


def test_findings_are_sentences_with_intervals(demo):
    made = report.build(demo)
    by_machine = {finding.where: " ".join(finding.sentences) for finding in made.findings}
    xeon = by_machine["Intel | <Skylake>"]
    number = r"\d+\.\d+ \(\d+\.\d+ to \d+\.\d+\)"
    assert re.match(rf"dynamic_range is {number} times as fast as float32 in the geometric mean of 3 models\.", xeon)
    assert re.search(rf"Slower: MobileNet {number}\.", xeon)
    assert re.search(rf"Initialization is {number} times as fast; overall memory is {number} of float32's\.", xeon)
    assert "geometric mean of 2 of 3 models" in by_machine["Raspberry Pi 5"]
    assert "Missing: VGG19." in by_machine["Raspberry Pi 5"]
    assert "No speedup of dynamic_range over float32, missing: MobileNet, ResNet50 and VGG19." in by_machine["ghost"]


REPEATED = [{"variant": v, "repetition": i, "avg_inference_ms": ms + i / 10}
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
    made = report.build(dataset([run(**{"governor": "performance"} | facts | change) for facts in REPEATED]))
    found = [(notice.level, notice.text) for notice in made.notices]
    assert any(lv == level and words in text for lv, text in found) if level else found == []


def test_mixed_binaries_are_refused_at_the_top():
    rows = [run(**facts, runner_sha256=facts["variant"]) for facts in REPEATED]
    notices = report.build(dataset(rows)).notices
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


@pytest.mark.filterwarnings("error")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", ODD)
def test_odd_datasets_give_a_report(name, tmp_path):
    made = report.build(dataset(ODD[name]))
    report.publish(made, tmp_path / "out")
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert page.sections == SECTIONS
    assert page.open == []
    assert report.terminal_text(made)


# --- charts -----------------------------------------------------------------------------------------------------------


def drawn(rows, draw):
    study = report.build(dataset(rows)).study
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


def test_a_metric_that_no_run_reports_has_no_chart():
    study = report.build(dataset([run()])).study
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
    clean = dataset([run(**facts) for facts in REPEATED])
    monkeypatch.setattr(campaign, "read", lambda paths: clean)
    assert report.main(["logs", "--strict"]) == 0


def test_help_shows_how(capsys):
    with pytest.raises(SystemExit, match="0"):
        report.main(["--help"])
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "exit status" in text


def test_default_names_of_several_campaigns():
    def name(*campaigns: str) -> str:
        return report._default_name(report.build(dataset([run(campaign=c) for c in campaigns])).study)

    assert name("a") == "a"
    assert name("b", "a") == "a+b"
    assert name("a", "b", "c", "d") == "a..d_4"
    assert name("../x") == "x"


def test_a_report_replaces_a_report_and_nothing_else(demo, tmp_path):
    made, target = report.build(dataset([run()])), tmp_path / "out"
    report.publish(report.build(demo), target)
    (target / "notes.txt").write_text("mine")
    report.publish(made, target)
    assert (target / "notes.txt").read_text() == "mine"
    assert not (target / "plots" / "xeon_speedup.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_directory_that_is_no_report_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(AnalysisError, match="not empty and not a report"):
        report.publish(report.build(dataset([run()])), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AnalysisError, match="cannot write the report there"):
        report.publish(report.build(dataset([run()])), tmp_path / "file" / "out")


def test_a_failure_leaves_the_former_report(tmp_path, monkeypatch):
    target = tmp_path / "out"
    made = report.build(dataset([run()]))
    report.publish(made, target)
    before = {name: (target / name).read_bytes() for name in files(target)}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "render", full)
    with pytest.raises(AnalysisError, match="No space left on device"):
        report.publish(made, target)
    assert {name: (target / name).read_bytes() for name in files(target)} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
