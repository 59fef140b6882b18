"""Tables and charts across machines: what is compared, what is refused, and what is seen."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle

from analysis import across, document, grids, isa, plots, plots_across, stats, tables
from analysis.study import Machine, Study
from tests.unit.datasets import adaptive, dataset, run
from tests.unit.fleets import EIGHT, eight, of_eight

METRIC = "avg_inference_ms"
MODELS = ("MobileNet", "ResNet50")

# --- groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "label"),
    [
        ({"arch": "x86_64", "cpu_features": []}, "x86-64, none of AVX"),
        ({"arch": "x86_64", "cpu_features": ["avx", "avx2", "fma"]}, "x86-64 AVX2"),
        ({"arch": "x86_64", "cpu_features": ["avx", "avx2", "avx512f"]}, "x86-64 AVX-512"),
        ({"arch": "x86_64", "cpu_features": ["avx2", "avx_vnni"]}, "x86-64 AVX-VNNI"),
        ({"arch": "x86_64", "cpu_features": ["avx512f", "avx512_vnni", "avx_vnni"]}, "x86-64 AVX-512 VNNI"),
        ({"arch": "aarch64", "cpu_features": ["asimd"]}, "ARM64 NEON"),
        ({"arch": "aarch64", "cpu_features": ["asimd", "asimddp"]}, "ARM64 NEON dotprod"),
        ({"arch": "aarch64", "cpu_features": ["asimd", "asimddp", "i8mm"]}, "ARM64 NEON i8mm"),
        ({"arch": "armv7l", "cpu_features": ["neon"]}, "ARM, 32 bit NEON"),
        ({"arch": "aarch64", "cpu_features": None}, "ARM64, instructions not known"),
        ({"arch": "riscv64", "cpu_features": []}, "riscv64"),
        ({"cpu_features": ["avx2"]}, "not known"),
        ({"arch": 3}, "not known"),
    ],
)
def test_groups_are_named_after_the_best_that_a_machine_has(facts, label):
    assert isa.isa_group(facts).label == label


def test_machines_are_shown_group_by_group_each_below_its_heading():
    study = Study(of_eight(eight(1, ("skylake", "pi5", "icelake", "haswell", "pi4"), MODELS[:1])))
    shown = [row if isinstance(row, isa.Heading) else row.host for row in isa.in_groups(study, study.machines)]
    assert shown == [
        *("x86-64 AVX2", "haswell", "x86-64 AVX-512", "skylake", "x86-64 AVX-512 VNNI", "icelake"),
        *("ARM64 NEON", "pi4", "ARM64 NEON dotprod", "pi5"),
    ]
    assert isa.in_groups(study, [Machine("demo", "pi4")]) == [Machine("demo", "pi4")]


@pytest.mark.parametrize(
    ("board", "platform", "kind"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0", "pi", 5),
        ("Raspberry Pi 400 Rev 1.0", "Raspberry Pi 4", 400),
        (None, "Raspberry Pi 4 (4 GB)", 4),
        ("Rock 5B", "Raspberry Pi 5", None),
        (None, "pi5", None),
    ],
)
def test_boards_are_known_by_what_they_say(board, platform, kind):
    assert isa.raspberry_pi({"board_model": board}, platform) == kind


# --- times on several machines ----------------------------------------------------------------------------------------


def times(rows, **parts) -> pd.DataFrame:
    """across.csv of some runs, by host; of one model and variant."""
    study = Study(of_eight(rows, **parts))
    return across.across(study, tables.summary(study), METRIC).set_index("host")


def few(*hosts: str) -> list[dict]:
    return [row for row in eight(5, hosts, MODELS[:1]) if row["variant"] == "float32"]


def test_speed_is_relative_to_the_fastest():
    rows = few("icelake", "haswell", "pi4")
    found = times(rows)
    mean = {host: sum(r[METRIC] for r in rows if r["host"] == host) / 5 for host in found.index}
    assert found["verdict"].to_dict() == {"haswell": "slower", "icelake": "fastest", "pi4": "slower"}
    for host, row in found.iterrows():
        assert row["mean_ms"] == pytest.approx(mean[host])
        assert row["relative_speed"] == pytest.approx(mean["icelake"] / mean[host])
    slower = found.drop("icelake")
    assert (slower["ci_low"] < slower["relative_speed"]).all()
    assert (slower["relative_speed"] < slower["ci_high"]).all()
    assert set(found["reference"]) == {"icelake"}
    assert list(found["group"]) == ["x86-64 AVX2", "x86-64 AVX-512 VNNI", "ARM64 NEON"]


def test_blocks_of_two_machines_are_no_pairs():
    rows = few("icelake", "haswell")
    for row in rows:
        row[METRIC] = {"icelake": 1, "haswell": 2}[row["host"]] * (10 + row["block"])
    independent = stats.speedup(*(stats.Sample([k * (10 + b) for b in range(1, 6)], [None] * 5) for k in (1, 2)))
    assert times(rows).loc["haswell", "ci_low"] == pytest.approx(independent.ci_low)


def test_machines_of_campaigns_that_stop_when_they_know_enough_count_as_their_first_repetitions():
    rows = few("icelake", "haswell")
    sides = [[row[METRIC] for row in rows if row["host"] == host] for host in ("icelake", "haswell")]
    expected = stats.speedup(*(stats.Sample(side, [None] * 5) for side in sides), max_df=2)
    found = times(rows, campaigns=adaptive(3, 9)).loc["haswell", ["ci_low", "ci_high", "p_value"]]
    assert found.tolist() == pytest.approx([expected.ci_low, expected.ci_high, expected.p_value])
    assert found["ci_low"] < times(rows).loc["haswell", "ci_low"]


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        ("runner_version", "runner_version differs: 2.3.0, other"),
        ("weights", "weights differs: imagenet, other"),
        ("model_sha256", "model file differs: MobileNet float32"),
        ("runner_sha256", "runner_sha256 differs on x86_64"),
    ],
)
def test_what_was_not_measured_alike_is_not_compared(fact, reason):
    rows = few("icelake", "haswell", "skylake")
    found = times([row | ({fact: "other"} if row["host"] == "haswell" else {}) for row in rows])
    assert found["verdict"].to_dict() == {"haswell": "not comparable", "skylake": "slower", "icelake": "fastest"}
    assert found.loc["haswell", "reason"] == reason
    assert math.isnan(found.loc["haswell", "relative_speed"])
    assert found.loc["haswell", "mean_ms"] > 0


def test_the_odd_one_out_is_not_what_the_others_are_measured_by():
    rows = few("icelake", "haswell", "skylake")
    found = times([row | ({"runner_version": "9"} if row["host"] == "icelake" else {}) for row in rows])
    assert found["verdict"].to_dict() == {"haswell": "slower", "skylake": "fastest", "icelake": "not comparable"}


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        ({}, "another binary for each architecture"),
        ({"governor": "x"}, "governor differs: performance, x; another binary for each architecture"),
        ({"model_sha256": ""}, "another binary for each architecture; not known to be the same: model_sha256"),
    ],
)
def test_what_machines_may_differ_in_is_said(change, remark):
    rows = [row | {"governor": "performance"} for row in few("icelake", "pi4")]
    found = times([row | (change if row["host"] == "pi4" else {}) for row in rows])
    assert found.loc["pi4", ["verdict", "remark"]].tolist() == ["slower", remark]


def test_threads_that_differ_are_another_setting_and_unknown_ones_are_said():
    rows = few("icelake", "haswell")
    for row in rows:
        row["threads"] = {"icelake": 1, "haswell": 4}[row["host"]]
    compared = times(rows)
    assert compared.loc[compared["mean_ms"].notna(), "relative_speed"].tolist() == [1, 1]
    found = times([row | {"threads": None} for row in rows])
    assert found.loc["haswell", "remark"] == "not known to be the same: threads"


def test_what_has_no_time_says_why():
    rows = few("icelake", "haswell", "skylake", "broadwell")
    for row in rows:
        if row["host"] == "haswell":
            row |= {"status": "failed", METRIC: None}
        if row["host"] == "skylake":
            row |= {"status": "invalid"}
    rows = [row for row in rows if row["host"] != "broadwell" or row["repetition"] == 1]
    found = times(rows)
    assert found["verdict"].to_dict() | {"icelake": ""} == {
        "broadwell": "not comparable", "haswell": "missing", "skylake": "missing", "icelake": "",
    }  # fmt: skip
    assert found["reason"].to_dict() == {
        "broadwell": "n = 5 and 1; an interval needs 2 repetitions of each",
        "haswell": "failed", "skylake": "invalid", "icelake": "",
    }  # fmt: skip


# --- threads, memory, time --------------------------------------------------------------------------------------------


def swept(counts=(1, 2, 4)) -> list[dict]:
    rows = []
    for threads in counts:
        for block in range(1, 5):
            ms = (90 + block) / threads**0.5
            rows.append(run(threads=threads, block=block, repetition=block, avg_inference_ms=ms))
    return rows


def test_threads_are_compared_with_the_fewest():
    study = Study(dataset(swept()))
    found = across.threads(study, tables.summary(study), METRIC).set_index("threads")
    assert found["speedup"].tolist() == pytest.approx([1, 2**0.5, 2])
    assert found["efficiency"].tolist() == pytest.approx([1, 2**-0.5, 0.5])
    assert found.loc[4, "ci_low"] == pytest.approx(2), "paired by block, which is all that varies"
    other = [row | ({"runner_version": "9"} if row["threads"] == 4 else {}) for row in swept()]
    study = Study(dataset(other))
    found = across.threads(study, tables.summary(study), METRIC).set_index("threads")
    assert found.loc[4, "reason"] == "runner_version differs: 2.3.0, 9"
    assert math.isnan(found.loc[4, "speedup"])
    uneven = [row | {METRIC: row[METRIC] + row["threads"] % 4 * row["block"] ** 2} for row in swept((1, 4))]
    for more, max_df in (({}, math.inf), ({"campaigns": adaptive(2, 9)}, 1)):
        study = Study(dataset(uneven, **more))
        found = across.threads(study, tables.summary(study), METRIC).set_index("threads")
        values = [[row[METRIC] for row in uneven if row["threads"] == threads] for threads in (1, 4)]
        expected = stats.speedup(*(stats.Sample(side, [1, 2, 3, 4]) for side in values), max_df)
        assert found.loc[4, ["ci_low", "ci_high"]].tolist() == pytest.approx([expected.ci_low, expected.ci_high])
    study = Study(dataset(swept((4,))))
    assert across.threads(study, tables.summary(study), METRIC).empty


def test_size_is_as_reported_else_as_the_campaign_has_it():
    rows = [run(variant=v, memory_overall_mb=9.0, model_size_mb=s) for v, s in (("float32", 4.0), ("int8", None))]
    models = [{"model": "MobileNet", "variant": v, "size_bytes": 1_250_000} for v in ("float32", "int8")]
    study = Study(dataset(rows, campaigns={"demo": {"models": models}}))
    found = across.memory_and_size(study, tables.summary(study)).set_index("variant")
    assert found["model_size_mb"].to_dict() == {"float32": 4.0, "int8": 1.25}


def test_runs_are_in_the_order_in_which_they_were_made_whatever_clocks_said():
    facts = [
        ("0010_a", 3, None, "ok", 30.0), ("0002_a", 1, None, "invalid", 90.0),
        ("0003_a", 2, None, "ok", 10.0), ("0002_a.retry1", 1, 1, "ok", 20.0),
        ("0011_a", 4, None, "failed", None),
    ]  # fmt: skip
    rows = [
        run(log=f"pi/runs/{name}.log", repetition=rep, retry=retry, status=status, avg_inference_ms=ms,
            start_utc=f"20{30 - i}-01-01T00:00:00Z")
        for i, (name, rep, retry, status, ms) in enumerate(facts)
    ]  # fmt: skip
    found = across.timeline(Study(dataset(rows)), METRIC)
    assert [log.split("/")[-1] for log in found["log"]] == [
        *("0002_a.log", "0003_a.log", "0010_a.log", "0011_a.log", "0002_a.retry1.log"),
    ]
    assert found["order"].tolist() == [1, 2, 3, 4, 5]
    assert found["deviation_percent"].fillna(-1).tolist() == pytest.approx([350, -50, 50, -1, 0])


def test_iterations_are_cut_in_halves():
    rows = [run(iteration_wall_us=[2000.0] * 10 + [1000.0] * 10), run(status="invalid", iteration_wall_us=[9.0] * 9)]
    study = Study(dataset([*rows, run(variant="int8")]))
    found = across.iterations(study, *next(iter(study.groups)))
    assert set(found["variant"]) == {"float32"}
    assert found.groupby("half", sort=False)["ms"].agg(["min", "max"]).to_numpy().tolist() == [[2, 2], [1, 1]]
    assert set(found["runs"]) == {1}


# --- charts -----------------------------------------------------------------------------------------------------------


def drawn(figure):
    with rc_context(plots.STYLE):
        FigureCanvasAgg(figure).draw()
    return figure


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.fixture(scope="module")
def made():
    """A report of the study's eight machines, on which one configuration failed and one cannot be compared."""
    rows = eight(3, models=MODELS)
    for row in rows:
        if (row["host"], row["model"], row["variant"]) == ("pi4", "ResNet50", "dynamic_range"):
            row |= {"status": "failed", METRIC: None}
        if (row["host"], row["model"], row["variant"]) == ("haswell", "MobileNet", "dynamic_range"):
            row["weights"] = "random"
        if (row["host"], row["model"], row["variant"]) == ("skylake", "ResNet50", "dynamic_range"):
            row[METRIC] = 46 + 5 * (-1) ** row["block"]
    return document.build(of_eight(rows))


def figures(made, topic: str) -> list:
    with rc_context(plots.STYLE):
        return [drawn(chart.draw()) for chart in document.charts(made) if chart.topic == topic]


def test_heat_map_has_a_cell_for_every_model_and_machine(made):
    (figure,) = figures(made, "speedups")
    axes = figure.axes[0]
    assert len(texts(axes)) == len(EIGHT) * 3
    assert {"missing", "not comparable"} <= set(texts(axes))
    assert any(text.startswith("≈ ") for text in texts(axes))
    hatched = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_hatch()]
    assert len(hatched) == 2
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["x86-64 AVX2", "Intel Broadwell"]
    slow, fast = (axes.patches[texts(axes).index(text)].get_facecolor() for text in _ends(axes))
    assert slow[0] > slow[2], "red = slower"
    assert fast[2] > fast[0], "blue = faster"


def _ends(axes) -> list[str]:
    numbers = sorted((text for text in texts(axes) if text[0].isdigit()), key=float)
    return [numbers[0], numbers[-1]]


def test_tables_name_the_instructions_and_follow_their_groups(made):
    grid = grids.at_a_glance(made.study, made.tables["speedup"])
    assert [row[0] for row in grid.rows] == [
        *["x86-64 AVX2"] * 3, "x86-64 AVX-512", *["x86-64 AVX-512 VNNI"] * 2, "ARM64 NEON", "ARM64 NEON dotprod",
    ]  # fmt: skip
    grid = grids.across(made.study, made.tables["across"])
    assert grid.rows[0][:4] == ["MobileNet", "float32", "x86-64 AVX2", "Intel Broadwell"]
    assert "weights differs: imagenet, random" in [row[-1].partition(";")[0] for row in grid.rows]
    said = grids.study_findings(made.study, made.tables["study_findings"])
    assert not any("pi5 / pi4, MobileNet" in row for row in said.rows), "single models are in the CSV"


def test_times_are_drawn_for_every_machine_and_hollow_where_not_comparable(made):
    (figure,) = figures(made, "times")
    assert [axes.get_title() for axes in figure.axes] == list(MODELS)
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert axes.get_xlabel() == "time (ms)"
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert len(hollow) == 1
    assert "Hollow: not comparable" in figure.texts[1].get_text().replace("\n", " ")


def test_bars_of_size_and_memory_stand_on_zero(made):
    (figure,) = figures(made, "memory")
    assert [axes.get_xlabel() for axes in figure.axes] == ["size of the file (MB)", "memory overall (MB)"]
    assert all(axes.get_xlim()[0] == 0 for axes in figure.axes)


def test_one_repetition_is_one():
    said = [plots_across.repetitions_of(pd.Series(counts)) for counts in ([0, 1], [5, 5], [4, 5])]
    assert said == ["1 repetition", "5 repetitions", "4 to 5 repetitions"]


def test_timeline_shows_what_the_machine_was_like_and_leaves_out_what_never_changed(made):
    by_title = {figure.texts[0].get_text().rpartition(": ")[2]: figure for figure in figures(made, "timeline")}
    assert len(by_title) == len(EIGHT)
    labels = [axes.get_ylabel().partition("\n")[0] for axes in by_title["Raspberry Pi 4"].axes]
    assert labels == ["time: deviation", "temperature", "clock", "other load"]
    assert [axes.get_ylabel().partition("\n")[0] for axes in by_title["Intel Haswell"].axes][1] == "clock"
    assert "failed (3)" in [text.get_text() for text in by_title["Raspberry Pi 4"].texts]


def test_every_chart_explains_itself_inside_its_borders(made):
    topics = {chart.topic for chart in document.charts(made)} - {""}
    assert topics == {"speedups", "times", "memory", "timeline", "iterations"}
    for topic in topics:
        figure = figures(made, topic)[0]
        width, height = figure.get_size_inches() * figure.dpi
        for text in [*figure.texts, *(label for axes in figure.axes for label in axes.get_yticklabels())]:
            box = text.get_window_extent()
            assert box.x0 >= 0, (topic, text.get_text())
            assert box.x1 <= width, (topic, text.get_text())
            assert box.y0 >= 0, (topic, text.get_text())
            assert box.y1 <= height, (topic, text.get_text())


def test_threads_have_charts_where_there_are_several_counts():
    made = document.build(dataset(swept()))
    time, gain = figures(made, "threads")
    assert time.axes[0].get_ylabel() == "time (ms)"
    assert gain.texts[0].get_text() == "Speedup against 1 thread: pi"
    assert [chart.name for chart in document.charts(made) if chart.topic == "threads"] == [
        *("pi_threads_time", "pi_threads_gain"),
    ]


def test_one_machine_has_no_chart_of_several():
    made = document.build(of_eight(eight(2, ("pi5",), MODELS[:1])))
    assert {chart.topic for chart in document.charts(made)} - {""} == {"memory", "timeline", "iterations"}
    assert "across" not in made.tables


def test_of_many_machines_groups_are_drawn():
    rows, hosts = [], {}
    for i in range(across.MANY + 1):
        host = tuple(EIGHT)[i % 3]
        rows += [row | {"host": f"{host}-{i}", "platform": f"{host} {i}"} for row in eight(2, (host,), MODELS[:1])]
        hosts["demo", f"{host}-{i}"] = EIGHT[host][3]
    made = document.build(of_eight(rows, hosts=hosts))
    (figure,) = figures(made, "speedups")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [name.replace("\n", " ") for name in names] == [
        *("x86-64 AVX-512 (10 machines)", "x86-64 AVX-512 VNNI (21 machines)"),
    ]
    (figure,) = figures(made, "times")
    assert len(figure.axes[0].get_yticks()) == 2
    assert {chart.topic for chart in document.charts(made)} == {"", "speedups", "times", "memory"}
    with rc_context(plots.STYLE):
        overview = drawn(next(chart for chart in document.charts(made) if chart.name == "speedup").draw())
    assert any(text.endswith("21 machines") for text in texts(overview.axes[0]))


@pytest.mark.parametrize("missing", ["speedups", "times", "memory", "timeline", "iterations"])
def test_nothing_is_drawn_of_nothing(missing):
    rows = [run(host=h, variant=v, status="failed", avg_inference_ms=None) for h in "ab" for v in ("float32", "int8")]
    made = document.build(dataset(rows))
    assert [chart.draw() for chart in document.charts(made) if chart.topic == missing] in ([None], [None, None], [])
