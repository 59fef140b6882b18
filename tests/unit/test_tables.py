"""The tables of a report: their columns, their numbers, and that nothing is dropped."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from analysis import grids, tables
from analysis.grids import Grid
from analysis.leases import Lease, parse
from analysis.study import SETTING, Study
from tests.unit.datasets import adaptive, dataset, decided, run, study_rows

AVG = "avg_inference_ms"
PLAN_COLUMNS = ("run", "block", "repetition", "model", "variant", *SETTING)


def runs(times: dict[str, list[float]], **facts):
    """Repetitions in blocks, by variant."""
    return [
        run(variant=variant, repetition=i, block=i, avg_inference_ms=ms, **facts)
        for variant, values in times.items()
        for i, ms in enumerate(values, start=1)
    ]


PAIR = {"float32": [10.0, 10.2, 9.9], "dynamic_range": [5.0, 5.2, 4.9]}


def plan(*cells: tuple[str, str]) -> list[dict[str, str]]:
    rows = [
        [f"{i}", "1", "1", model, variant, "litert", "1", "default", "-", "-"]
        for i, (model, variant) in enumerate(cells)
    ]
    return [dict(zip(PLAN_COLUMNS, row, strict=True)) for row in rows]


def speedups(data, baseline="float32", metric=AVG):
    table = tables.speedups(Study(data), metric, baseline)
    return table.set_index(["host", "model", "variant"])


RUNS = """campaign host platform arch model variant runner threads delegate batch_size input_size repetition status
reason init_time_ms init_inference_ms first_inference_ms warmup_inference_ms avg_inference_ms std_inference_ms
min_inference_ms max_inference_ms median_inference_ms p95_inference_ms iterations memory_init_mb
memory_overall_mb log"""
SUMMARY = """campaign host platform model variant runner threads delegate batch_size input_size metric n_ok n_invalid
n_failed mean sd ci_low ci_high median min max"""
SPEEDUP = """campaign host platform model variant baseline_variant runner threads delegate batch_size input_size
baseline_ms candidate_ms speedup ci_low ci_high p_value verdict"""


def test_columns_begin_with_those_of_the_design():
    study = Study(dataset(runs(PAIR)))
    made = (tables.runs(study), tables.summary(study), tables.speedups(study, AVG, "float32"))
    for table, columns in zip(made, (RUNS, SUMMARY, SPEEDUP), strict=True):
        assert list(table)[: len(columns.split())] == columns.split()


def test_summary_counts_ok_runs_and_leaves_the_others_out_of_means():
    rows = runs({"float32": [10.0, 12.0, 14.0]})
    rows += [
        run(status="invalid", reason="throttled", avg_inference_ms=99.0),
        run(status="failed", avg_inference_ms=None),
    ]
    table = tables.summary(Study(dataset(rows))).set_index("metric")
    row = table.loc[AVG]
    assert (row["n_ok"], row["n_invalid"], row["n_failed"]) == (3, 1, 1)
    assert (row["mean"], row["sd"], row["median"], row["min"], row["max"]) == (12, 2, 12, 10, 14)
    assert row["ci_high"] - row["mean"] == pytest.approx(4.302653 * 2 / math.sqrt(3))
    assert table.loc["init_time_ms", "n_ok"] == 0  # the runs do not report it
    assert math.isnan(table.loc["init_time_ms", "mean"])


def test_speedup_agrees_with_the_means_of_the_summary():
    study = Study(dataset(study_rows({"pi": 3.0}, 4)))
    means = tables.summary(study).query(f"metric == '{AVG}'").set_index(["model", "variant"])["mean"]
    for row in tables.speedups(study, AVG, "float32").query("model != 'geomean'").itertuples():
        assert row.baseline_ms == pytest.approx(means[row.model, "float32"])
        assert row.speedup == pytest.approx(means[row.model, "float32"] / means[row.model, row.variant])
        assert row.method == "Fieller, paired by block"


def test_models_are_in_the_studys_order_and_end_in_their_geometric_mean():
    rows = [r for model in ("zebra", "VGG16", "alpha", "MobileNet") for r in runs(PAIR, model=model)]
    table = tables.speedups(Study(dataset(rows)), AVG, "float32")
    assert list(table["model"]) == ["MobileNet", "VGG16", "alpha", "zebra", "geomean"]
    assert table["method"].iloc[-1] == "geometric mean of 4 models"
    assert table["speedup"].iloc[-1] == pytest.approx(table["speedup"].iloc[0])


def test_p_values_are_corrected_over_one_host_and_no_more():
    one, two = study_rows({"a": 1.0}, 3), study_rows({"a": 1.0, "b": 2.0}, 3)
    alone, together = speedups(dataset(one)), speedups(dataset(two))
    np.testing.assert_allclose(alone.loc["a"]["p_holm"], together.loc["a"]["p_holm"])
    assert (alone["p_holm"] >= alone["p_value"]).all()
    assert alone["p_holm"].min() == pytest.approx(8 * alone["p_value"].min())  # 7 models and their mean


def test_intervals_of_adaptive_campaigns_have_the_degrees_of_freedom_of_their_first_repetitions():
    rows = runs({"float32": [10.0, 10.2, 9.9, 10.1, 10.0], "int8": [5.0, 5.2, 4.9, 5.0, 5.1]})
    fixed, stopping = dataset(rows, campaigns=adaptive(5, 5)), dataset(rows, campaigns=adaptive(3, 9))
    widths = []
    for data in (fixed, stopping):
        row = tables.summary(Study(data)).query(f"metric == '{AVG}' and variant == 'int8'").iloc[0]
        widths.append(row["ci_high"] - row["mean"])
    assert widths[1] / widths[0] == pytest.approx(4.302653 / 2.776445)  # t with 2 and with 4 degrees of freedom
    one, other = (speedups(data).loc["pi", "MobileNet", "int8"] for data in (fixed, stopping))
    assert other["ci_high"] - other["ci_low"] > 1.4 * (one["ci_high"] - one["ci_low"])
    means = [speedups(data).loc["pi", "geomean", "int8"] for data in (fixed, stopping)]
    assert means[1]["ci_high"] > means[0]["ci_high"]


def test_rank_test_and_effect_size_stand_beside_the_t_test():
    """One odd run moves the mean, and not the ranks."""
    noise = np.random.default_rng(1)
    slow, fast = 10 + 0.01 * noise.normal(size=16), 9.9 + 0.01 * noise.normal(size=16)
    slow[4] = 5.0
    table = speedups(dataset(runs({"float32": slow.tolist(), "int8": fast.tolist()})))
    row = table.loc["pi", "MobileNet", "int8"]
    assert list(table)[-2:] == ["p_rank", "hedges_g"]
    assert row["p_rank"] == pytest.approx(wilcoxon(slow - fast).pvalue)
    assert row["p_rank"] < 0.05 < row["p_value"]
    assert abs(row["hedges_g"]) < 1
    assert row["verdict"] == "not distinguishable"
    assert row["reason"] == f"the rank test finds a difference (p = {row['p_rank']:.2g}, Holm)"
    assert math.isnan(table.loc["pi", "geomean", "int8"]["p_rank"])


def test_how_much_hosts_measured_and_why(golden):
    study = Study(decided())
    table = tables.decisions(study, tables.effects(study, "float32"))
    rows = table.set_index("variant")
    assert rows.loc["float32", ["iterations", "n_ok", "left_after_block", "left_reason", "reached"]].tolist() == [
        12, 3, 3, "narrow", "yes",
    ]  # fmt: skip
    assert rows["reached"].to_dict() == {"float32": "yes", "int8": "no", "float16": ""}
    # Of a baseline, the speedups of all its candidates count.
    assert rows.loc["float32", "speedup_interval_percent"] == rows.loc["int8", "speedup_interval_percent"] > 1
    golden("report/decisions.csv", table.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    golden("report/decisions.md", grids.markdown(grids.decisions(study, table)) + "\n")


def test_nothing_is_said_of_decisions_where_the_number_of_repetitions_was_fixed():
    study = Study(dataset(runs(PAIR), campaigns=adaptive(3, 3)))
    assert tables.decisions(study, tables.effects(study, "float32")).empty


def test_pilot_and_profile_runs_are_in_the_list_of_runs_alone():
    data = decided()
    study = Study(data)
    assert len(tables.runs(study)) == len(study.runs) + 1
    assert tables.trust(study, AVG)[["ok", "invalid", "failed"]].iloc[0].tolist() == [8, 0, 1]
    assert tables.summary(study).query(f"metric == '{AVG}'").set_index("variant")["n_ok"].to_dict() == {
        "float32": 3, "int8": 5, "float16": 0,
    }  # fmt: skip


def test_trust_counts_outliers_and_tells_whether_repetitions_are_independent():
    noise = np.random.default_rng(2)
    rows = []
    for host, drift in (("calm", 0.0), ("warming", 0.05)):
        for name in ("float32", "int8"):
            times = (10 + 0.1 * noise.normal(size=12) + drift * np.arange(12)).tolist()
            rows += runs({name: times}, host=host)
    rows[3]["outlier"] = "high"
    table = tables.trust(Study(dataset(rows)), AVG).set_index("host")
    assert table["outliers"].to_dict() == {"calm": 1, "warming": 0}
    assert table.loc["warming", "autocorrelation_p"] < 0.01 < table.loc["calm", "autocorrelation_p"]
    assert table.loc["warming", "autocorrelation"] > 0.3


FAILED = {"status": "failed", "reason": "killed", "avg_inference_ms": None}


@pytest.mark.parametrize(
    ("rows", "verdict", "reason"),
    [
        pytest.param(runs({"float32": [1, 2]}) + [run(variant="int8", **FAILED)] * 2, "missing",
                     "int8 failed: killed (first of 2 runs)", id="candidate failed"),
        pytest.param(runs({"int8": [1, 2]}), "missing", "float32: no run", id="no baseline"),
        pytest.param(runs({"float32": [1, 2], "int8": [math.nan] * 2}), "missing",
                     "int8: avg_inference_ms is not reported", id="metric not reported"),
        pytest.param(runs({"float32": [1, 2], "int8": [1]}), "not comparable",
                     "float32 n = 2, int8 n = 1; an interval needs 2 repetitions of each", id="one repetition"),
        pytest.param(runs({"float32": [1, 2]}) + runs({"int8": [1, 2]}, runner_version="9"), "not comparable",
                     "runner_version differs: 2.3.0, 9", id="runners differ"),
        pytest.param(runs({"float32": [1, 2]}) + runs({"int8": [1, 2]}, weights="random"), "not comparable",
                     "weights differs: imagenet, random", id="weights differ"),
        pytest.param(runs({"float32": [1, 2]}, control="none") + runs({"int8": [1, 2]}, control="pin_cpus=2"),
                     "not comparable", "control differs: none, pin_cpus=2", id="set for one side only"),
        pytest.param(runs({"float32": [1, 2]}, turbo="on") + runs({"int8": [1, 2]}, turbo="off"),
                     "not comparable", "turbo differs: off, on", id="turbo differs"),
        pytest.param(runs({"float32": [1, 2]}) + [r for s in "ab" for r in runs({"int8": [1]}, model_sha256=s)],
                     "not comparable", "model file of int8 differs: a, b", id="two files of one name"),
        pytest.param(runs({"float32": [1, 2], "int8": [0, 0]}), "not comparable",
                     "a mean is not positive: baseline 1.5, candidate 0", id="zero times"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_says_why(rows, verdict, reason):
    row = speedups(dataset(rows)).loc["pi", "MobileNet", "int8"]
    assert (row["verdict"], row["reason"]) == (verdict, reason)
    assert math.isnan(row["ci_low"])


def test_unknown_facts_do_not_forbid_a_comparison():
    rows = runs({"float32": [1.0, 1.1]}, weights="") + runs({"int8": [2.0, 2.1]})
    assert speedups(dataset(rows)).loc["pi", "MobileNet", "int8"]["verdict"] == "slower"


def test_configurations_that_are_only_planned_are_missing():
    data = dataset(
        runs(PAIR), plans={("demo", "pi"): plan(("MobileNet", "float32"), ("VGG19", "float32"), ("VGG19", "int8"))}
    )
    table = speedups(data)
    assert table.loc["pi", "VGG19", "int8"]["reason"] == "float32: no run; int8: no run"
    assert table.loc["pi", "MobileNet", "int8"]["reason"] == "int8: no run, not in this host's plan"
    assert table.loc["pi", "geomean", "dynamic_range"]["reason"] == "without VGG19"
    assert tables.final_result(Study(data), Study(data).machines[0]).loc["VGG19_int8"].isna().all()


def test_hosts_and_models_that_only_the_campaign_names_are_missing():
    settings = {"models": ["MobileNet", "VGG19"], "variants": ["float32", "dynamic_range"], "threads": [1]}
    data = dataset(runs(PAIR), campaigns={"demo": {"hosts": ["pi", "ghost"], "settings": settings}})
    table = speedups(data)
    assert set(table.loc["ghost"]["verdict"]) == {"missing"}
    assert table.loc["pi", "VGG19", "dynamic_range"]["verdict"] == "missing"
    assert table.loc["pi", "MobileNet", "dynamic_range"]["verdict"] == "faster"


@pytest.mark.parametrize(
    "content", [{"settings": [1], "models": 3, "hosts": "x", "git": [], "runners": 1, "seed": {}}, {"settings": None}]
)
def test_campaign_json_of_any_shape_is_survived(content):
    study = Study(
        dataset(runs(PAIR), campaigns={"demo": content}, hosts={("demo", "pi"): {"platform_label": 3, "turbo": 7}})
    )
    assert len(tables.speedups(study, AVG, "float32")) == 2
    for grid in (grids.settings, grids.model_files, grids.runners):
        grid(study, "demo")
    assert grids.machines(study).rows[0][0] == "pi"


def test_images_held_out_are_no_model_and_a_library_says_what_it_is_compiled_for():
    target = "llvm -mcpu=cortex-a72 -mtriple=aarch64-linux-gnu"
    library = {"model": "DigitCNN", "variant": "float32", "format": "so", "target": target, "tuned_kernels": 3}
    images = {"model": "DigitCNN", "variant": "held_out", "format": "npz"}
    study = Study(dataset(runs(PAIR), campaigns={"demo": {"models": [library, images]}}))
    grid = grids.model_files(study, "demo")
    assert [dict(zip(grid.head, row, strict=True)) for row in grid.rows] == [
        {"Model": "DigitCNN", "Variant": "float32", "Format": "so", "Compiled for": "cortex-a72"}
    ]
    (row,) = tables.models(study).to_dict("records")
    assert (row["variant"], row["target"], row["tuned_kernels"]) == ("float32", target, 3)


def test_what_does_not_vary_is_no_label():
    study = Study(dataset(runs(PAIR)))
    assert study.setting_label(study.cells[0].setting) == ""
    assert study.place_label(study.cells[0].machine, study.cells[0].setting) == "pi"


def test_threads_are_compared_each_with_their_own_baseline_and_named_only_where_they_vary():
    rows = runs(PAIR) + runs({v: [t / 2 for t in times] for v, times in PAIR.items()}, threads=4)
    study = Study(dataset(rows))
    table = tables.speedups(study, AVG, "float32")
    assert list(table["threads"]) == [1, 1, 4, 4]
    assert list(table["baseline_ms"].dropna()) == pytest.approx([10.033, 5.017], abs=1e-3)
    assert [study.setting_label(setting) for _, setting in study.groups] == ["1 thread", "4 threads"]
    assert list(study.group_stems.values()) == ["pi_1_thread", "pi_4_threads"]
    result = tables.final_result(study, study.machines[0])
    assert "MobileNet_quant [4 threads]" in result.index
    assert (
        Study(dataset(runs(PAIR))).setting_label(
            study.settings[0] if hasattr(study, "settings") else study.cells[0].setting
        )
        == ""
    )


def test_final_result_is_the_seeds_table():
    rows = [r for model in ("VGG16", "MobileNet") for r in runs(PAIR | {"int8": [3.0, 3.0]}, model=model)]
    study = Study(dataset(rows))
    table = tables.final_result(study, study.machines[0])
    assert list(table.index) == [
        "MobileNet", "MobileNet_quant", "MobileNet_int8", "VGG16", "VGG16_quant", "VGG16_int8",
    ]  # fmt: skip
    assert list(table)[8:10] == [AVG, f"{AVG}_sd"]
    assert len(list(table)) == 14
    assert table.loc["MobileNet", AVG] == pytest.approx(np.mean(PAIR["float32"]))
    assert table.loc["MobileNet", f"{AVG}_sd"] == pytest.approx(np.std(PAIR["float32"], ddof=1))


def test_machines_of_one_platform_are_told_apart():
    rows = [
        run(campaign=c, host=h, platform="Raspberry Pi 5") for c, h in (("a", "pi-0"), ("a", "pi-1"), ("b", "pi-1"))
    ]
    rows.append(run(campaign="a", host="xeon", platform="Skylake"))
    study = Study(dataset(rows))
    assert list(study.labels.values()) == [
        "Raspberry Pi 5 (pi-0)", "Raspberry Pi 5 (a/pi-1)", "Skylake", "Raspberry Pi 5 (b/pi-1)",
    ]  # fmt: skip
    assert list(study.stems.values()) == ["pi-0", "a_pi-1", "xeon", "b_pi-1"]


def test_file_names_are_safe_and_unique():
    study = Study(dataset([run(host=host) for host in ("../etc", "PI", "pi", "a b", "a_b")]))
    stems = list(study.stems.values())
    assert len({stem.lower() for stem in stems}) == 5
    assert all(stem == stem.strip(".") and "/" not in stem and " " not in stem for stem in stems)


def test_trust_tells_the_state_of_the_machine():
    rows = runs(PAIR, steal_percent=0.5, throttled_after="0x0", governor="ondemand")
    rows[0]["throttled_after"] = "0x50005"
    row = tables.trust(Study(dataset(rows)), AVG).iloc[0]
    assert (row["steal_percent_max"], row["throttled_runs"], row["governor"]) == (0.5, 1, "ondemand")
    assert pd.isna(tables.trust(Study(dataset(runs(PAIR))), AVG)["throttled_runs"].iloc[0])  # unknown, not none


def test_the_state_of_machines_is_of_those_that_measured():
    """Ranges over before and after; what makes a run invalid is counted over all runs; unknown is not zero."""
    pi = {"host": "pi", "temperature_before_c": 41.0, "temperature_after_c": 63.5, "cpu_mhz_before": 1500.0,
          "cpu_mhz_after": 2400.0, "turbo": "off", "control": "governor=performance nice=-5", "governor": "performance",
          "waited_s": 2.0, "thermal_throttle_events": 0, "swapped_pages": 0, "throttled_after": "0x0"}  # fmt: skip
    rows = runs(PAIR, **pi) + runs(PAIR, host="vm", control="none")
    rows.append(rows[0] | {"status": "invalid", "thermal_throttle_events": 3, "swapped_pages": 7})
    rows.append(run(host="dead", status="failed"))
    study = Study(dataset(rows))
    table = tables.trust(study, AVG).set_index("host")
    assert table.loc["pi", ["thermal_throttle_events", "swapped_pages", "waited_s"]].tolist() == [3, 7, 14]
    assert table.loc["vm", ["thermal_throttle_events", "waited_s", "cpu_mhz_min"]].isna().all()
    grid = grids.state(study, table.reset_index())
    assert [row[0] for row in grid.rows] == ["pi", "vm"]
    assert dict(zip(grid.head, grid.rows[0], strict=True)) == {
        "Machine": "pi", "Temperature (°C)": "41.0 to 63.5", "Clock (MHz)": "1500 to 2400", "Governor": "performance",
        "Turbo": "off", "Firmware throttling": "no", "Thermal throttle events": "3", "Swapped pages": "7",
        "Set for the runs": "governor=performance nice=-5", "Waited (s)": "14",
    }  # fmt: skip
    assert set(grid.rows[1][1:]) == {"–"}


@pytest.mark.parametrize(("bits", "count"), [("0x0", 0), ("0", 0), ("0x50000", 1), ("50000", 1), ("?", None)])
def test_throttle_bits_of_vcgencmd_and_of_sysfs(bits, count):
    found = tables.trust(Study(dataset([run(throttled_after=bits)])), AVG)["throttled_runs"].iloc[0]
    assert found == count or (count is None and pd.isna(found))


def test_a_host_of_which_nothing_is_known_would_have_been_measured_as_the_others():
    """Its settings are those that all others have in common, so that it adds no settings of its own to the report."""
    settings = {"models": ["MobileNet"], "variants": ["float32", "dynamic_range"]}
    rows = [
        r
        for host, threads in (("pi", (1, 4)), ("xeon", (1, 24)))
        for t in threads
        for r in runs(PAIR, host=host, threads=t)
    ]
    study = Study(dataset(rows, campaigns={"demo": {"hosts": ["pi", "xeon", "ghost"], "settings": settings}}))
    assert [setting.threads for machine, setting in study.groups if machine.host == "ghost"] == [1]
    assert study.varying == ("threads",)


def test_a_mean_that_leaves_models_out_says_so_where_machines_are_compared():
    rows = [r for host in ("a", "b") for model in ("MobileNet", "VGG19") for r in runs(PAIR, host=host, model=model)]
    rows = [r for r in rows if (r["host"], r["model"], r["variant"]) != ("b", "VGG19", "dynamic_range")]
    study = Study(dataset(rows))
    grid = grids.at_a_glance(study, tables.speedups(study, AVG, "float32"))
    assert [row[-1] for row in grid.rows] == ["1.99", "1.99 (1 of 2 models)"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5, "1234"), (123.45, "123"), (12.345, "12.3"), (1.2345, "1.23"), (0.012345, "0.0123"), (0.9996, "1.00"),
        (0, "0.00"), (-2.5, "-2.50"), (math.nan, ""), (None, ""), (pd.NA, ""), (math.inf, "∞"),
    ],
)  # fmt: skip
def test_numbers_as_people_read_them(value, text):
    assert tables.number(value) == text


def test_latex_is_escaped_booktabs():
    text = grids.latex(Grid.of(["Model", "#Mean (%)"], [["a_b & \\c{$}#^~", "1 ± 2"]]))
    assert r"\begin{tabular}{lr}" in text
    assert r"Model & Mean (\%) \\" in text
    assert r"a\_b \& \textbackslash{}c\{\$\}\#\textasciicircum{}\textasciitilde{} & 1 $\pm$ 2 \\" in text
    assert "longtable" in grids.latex(Grid.of(["x"], [["y"]] * 60))


def test_markdown_cells_stay_in_their_cells():
    text = grids.markdown(Grid.of(["a|b", "#n"], [["x|y\nz <script> *", "1"]]))
    assert text == "| a\\|b | n |\n| --- | ---: |\n| x\\|y z \\<script\\> \\* | 1 |"


def test_a_size_that_is_the_models_own_divides_neither_means_nor_charts():
    own = [*runs(PAIR, model="MobileNet", input_size=224), *runs(PAIR, model="InceptionV3", input_size=299)]
    study = Study(dataset(own))
    assert len(study.groups) == 1
    table = tables.speedups(study, AVG, "float32").set_index("model")
    assert table["input_size"].dropna().to_dict() == {"MobileNet": 224, "InceptionV3": 299}
    assert table.loc["geomean", "method"] == "geometric mean of 2 models"

    swept = Study(dataset([*own, *runs(PAIR, model="MobileNet", input_size=448)]))
    assert {setting.input_size for _, setting in swept.groups} == {224, 299, 448}


# --- what leased machines cost ----------------------------------------------------------------------------------------


def lease(start: str, end: str, released: str | None = None, **facts) -> Lease:
    """A lease of one day, by its hours."""
    start, end, released = (hour and f"2026-11-25T{hour}:00Z" for hour in (start, end, released))
    entry = {"site": "CHI@UC", "lease": "edgebench-1", "type": "compute_skylake", "su_per_hour": 1.0, "ours": True}
    return parse(entry | {"start_utc": start, "end_utc": end, "released_utc": released} | facts)


def leased(rows, **leases: list[Lease]) -> Study:
    """A study whose hosts had these leases, in every campaign."""
    data = dataset(rows, campaigns={row["campaign"]: {} for row in rows})
    return Study(replace(data, leases={(c, h): leases[h] for c, h in data.hosts if h in leases}))


@pytest.mark.parametrize(
    ("leases", "node_hours", "service_units"),
    [
        pytest.param([lease("16:00", "19:30")], 3.5, 3.5, id="to its agreed end"),
        pytest.param([lease("16:00", "19:30", "18:00", su_per_hour=3)], 2, 6, id="given back earlier"),
        pytest.param([lease("16:00", "19:30", "20:00")], 3.5, 3.5, id="given back when it was over"),
        pytest.param([lease("16:00", "19:30", "15:00")], 0, 0, id="given back before it began"),
        pytest.param([lease("10:00", "11:00"), lease("12:00", "14:00", su_per_hour=0)], 3, 1, id="one after the other"),
        pytest.param([lease("16:00", "18:00", su_per_hour=None)], 2, math.nan, id="price not known"),
        pytest.param([lease("10:00", "11:00"), Lease()], math.nan, math.nan, id="one cannot be read"),
    ],
)
def test_a_lease_costs_its_time_and_not_the_measurings(leases, node_hours, service_units):
    row = tables.cost(leased([run(duration_s=900.0), run(status="failed", duration_s=900.0)], pi=leases)).iloc[0]
    assert row["measured_hours"] == 0.5
    np.testing.assert_equal([row["node_hours"], row["service_units"]], [node_hours, service_units])
    np.testing.assert_equal(row["measured_percent"], 50 / node_hours if node_hours else math.nan)


def test_cost_has_a_row_per_leased_host_and_a_total_per_campaign():
    rows = [run(campaign=c, host=h, duration_s=360.0) for c in ("a", "b") for h in ("node", "home", "pi")]
    served = [lease("16:00", "18:00", "17:00", lease="first", site="CHI@TACC"), lease("18:00", "21:00", lease="second")]
    table = tables.cost(leased(rows, node=served, pi=[lease("16:00", "17:00", su_per_hour=None)]))
    assert list(table) == [
        "campaign", "host", "platform", "site", "type", "lease", "start_utc", "end_utc", "released_utc", "node_hours",
        "service_units", "measured_hours", "measured_percent",
    ]  # fmt: skip
    assert list(zip(table["campaign"], table["host"], strict=True)) == [
        (campaign, host) for campaign in ("a", "b") for host in ("node", "pi", "total")
    ]
    assert table.iloc[0].tolist() == [
        "a", "node", "node", "CHI@TACC, CHI@UC", "compute_skylake", "first, second", "2026-11-25T16:00:00Z",
        "2026-11-25T21:00:00Z", "", 4, 4, pytest.approx(0.1), pytest.approx(2.5),
    ]  # fmt: skip
    total = table.iloc[5]
    assert total[["node_hours", "measured_hours", "measured_percent"]].tolist() == pytest.approx([5, 0.2, 4])
    assert math.isnan(total["service_units"])  # of a part they are not known


def test_cost_as_people_read_it():
    study = leased([run(campaign=c, duration_s=360.0) for c in ("a", "b")], pi=[lease("16:00", "18:00")])
    grid = grids.cost(study, tables.cost(study))
    assert grid.head == [
        "Machine", "Host", "Site", "Type", "Lease", "From (UTC)", "Until (UTC)", "Node hours", "Service units",
        "Measured (h)", "Measured (% of leased)",
    ]  # fmt: skip
    assert grid.rows[2:] == [
        ["pi (b/pi)", "b/pi", "CHI@UC", "compute_skylake", "edgebench-1", "2026-11-25 16:00",
         "2026-11-25 18:00, as agreed", "2.00", "2.00", "0.100", "5.0"],
        ["total", "b", "", "", "", "", "", "2.00", "2.00", "0.100", "5.0"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("served", "until"),
    [
        (lease("16:00", "18:00", "17:05"), "2026-11-25 17:05, given back"),
        (lease("16:00", "18:00", "18:05"), "2026-11-25 18:00, as agreed"),
        (Lease(), "–"),
    ],
)
def test_until_when_a_lease_counted(served, until):
    study = leased([run(host=h) for h in "ab"], a=[served], b=[lease("16:00", "18:00")])
    assert grids.cost(study, tables.cost(study)).rows[0][6] == until


def test_what_is_not_known_of_a_cost_is_not_nothing():
    study = leased([run(host="a"), run(host="b", duration_s=9.0)], a=[lease("16:00", "18:00")], b=[Lease()])
    table = tables.cost(study).set_index("host")
    assert math.isnan(table.loc["a", "measured_hours"])  # runs without sidecars
    assert table.loc["total", ["node_hours", "service_units", "measured_hours", "measured_percent"]].isna().all()
    assert grids.cost(study, table.reset_index()).rows[1][:3] == ["b", "b", "–"]


def test_a_machine_that_measured_nothing_cost_something_all_the_same():
    data = dataset([run()], hosts={("demo", "late"): {}})
    row = tables.cost(Study(replace(data, leases={("demo", "late"): [lease("16:00", "18:00")]}))).iloc[0]
    assert row[["host", "node_hours", "measured_hours", "measured_percent"]].tolist() == ["late", 2, 0, 0]


def test_machines_that_were_not_leased_have_no_cost():
    assert tables.cost(leased(runs(PAIR))).empty


def test_equal_values_have_no_spread():
    """Of 17.808 seven times over, numpy's mean is off in the last bit, and so is its standard deviation."""
    rows = [run(repetition=n, first_inference_ms=17.808) for n in range(1, 8)]
    study = Study(dataset(rows))
    table = tables.final_result(study, study.machines[0])
    assert table["first_inference_ms_sd"].item() == 0
    assert grids.final_result(table).rows[0][1] == "17.8 ± 0.0"
