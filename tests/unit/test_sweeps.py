"""Sweeps over batch and input sizes, and what latency grows with: numbers, verdicts, and what the data cannot say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from ansible_collections.edgebench.testbed.plugins.module_utils import plan
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis import claims, document, findings, grids, plots, plots_sweeps, plotted, stats, sweeps, tables
from analysis.entries import Entries
from analysis.names import CONFIGURATION
from analysis.study import Study
from tests.unit.datasets import dataset, run
from tests.unit.labs import BATCHES, INPUTS, LAB, entries, fail, lab, lab_rows, macs

# Six models, whose time grows with their operations and falls with their parameters.
SIX = {f"M{i}": (7_000_000 - i * 1_000_000, float(i), 3.0 * i) for i in range(1, 7)}


def answers(rows, models=LAB, **parts) -> pd.DataFrame:
    """lab_questions.csv of some runs, by question."""
    return sweeps.lab_questions(Study(lab(rows, models, **parts))).set_index("question")


def swept(found) -> pd.DataFrame:
    study = Study(found)
    return sweeps.sweeps(study, tables.summary(study))


def is_large_unet(row) -> bool:
    return row["model"] == "UNet" and row["input_size"] == 448 and row["batch_size"] >= 16


@pytest.fixture(scope="module")
def rows():
    """The whole lab; UNet did not fit with large batches."""
    made = lab_rows()
    for row in filter(is_large_unet, made):
        fail(row)
    return made


# --- rank correlations ------------------------------------------------------------------------------------------------


def test_one_stratum_has_spearmans_correlation_and_the_exact_p_value():
    x, y = [1, 2, 3, 4, 5, 6], [1.0, 2.5, 2.0, 7.0, 5.0, 8.0]
    rho, p_value = stats.mean_rank_correlation(np.c_[x], np.c_[y])
    assert rho == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    every = [scipy.stats.spearmanr(order, y).statistic for order in itertools.permutations(x)]
    assert p_value == pytest.approx(2 * np.mean(np.array(every) >= rho - 1e-9))


def test_strata_that_rank_the_same_things_again_add_no_evidence():
    x, y = np.c_[[1, 2, 3, 4, 5]], np.c_[[1.0, 2.0, 3.0, 5.0, 4.0]]
    once = stats.mean_rank_correlation(x, y)
    assert stats.mean_rank_correlation(np.tile(x, 12), np.tile(y, 12)) == pytest.approx(once)


def test_things_that_were_not_measured_in_a_stratum_are_not_ranked_there():
    x, y = np.tile(np.c_[[1, 2, 3, 4]], 2), np.array([[1, 1], [2, math.nan], [3, 3], [4, 2.0]])
    assert stats.mean_rank_correlation(x, y)[0] == pytest.approx(
        (1 + scipy.stats.spearmanr([1, 3, 4], [1, 3, 2])[0]) / 2
    )
    assert math.isnan(stats.mean_rank_correlation(x[:2], y[:2])[0])  # two things are always in order


@pytest.mark.parametrize("n", [4, 5, 6, 7, 12])
def test_the_interval_of_a_perfect_order_is_as_wide_as_its_permutation_test_says(n):
    low, high = stats.rank_interval(1.0, n)
    assert high == 1
    assert (low > 0) == (stats.least_rank_p(n) < 0.05)
    assert stats.rank_interval(-1.0, n) == pytest.approx((-high, -low))


def test_no_interval_of_three_things():
    assert np.isnan(stats.rank_interval(1.0, 3)).all()
    half = 1.959964 * math.sqrt((1 + 0.5**2 / 2) / 27)
    expected = [math.tanh(math.atanh(0.5) + side) for side in (-half, half)]
    assert stats.rank_interval(0.5, 30) == pytest.approx(expected)


# --- what latency grows with ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.6, 0.95])
def test_the_exponent_of_the_batch_size_is_found(exponent):
    found = answers(lab_rows(exponent=exponent)).loc["batch size"]
    assert found["exponent"] == pytest.approx(exponent, abs=0.01)
    assert found["exponent_ci_low"] < exponent < found["exponent_ci_high"]
    assert found["verdict"] == claims.CONFIRMED
    assert found[["rho", "n", "strata", "strata_rising", "steps", "steps_rising"]].tolist() == [1, 6, 8, 8, 40, 40]


def test_the_exponent_of_the_input_size_is_that_of_an_area():
    found = answers(lab_rows()).loc["input size"]
    assert found["exponent"] == pytest.approx(2, abs=0.01)
    assert (found["verdict"], found["strata"], found["steps_rising"]) == (claims.CONFIRMED, 24, 24)
    assert math.isnan(found["rho"])  # two sizes are always in order


def test_latency_that_falls_contradicts():
    found = answers(lab_rows(exponent=-0.3)).loc["batch size"]
    assert found["verdict"] == claims.CONTRADICTED
    assert found[["rho", "steps_rising", "steps_falling", "strata_rising"]].tolist() == [-1, 0, 40, 0]


def test_noise_does_not_grow():
    found = answers(lab_rows(exponent=0, noise=0.1, inputs=(224,))).loc["batch size"]
    assert found["verdict"] == stats.NOT_DISTINGUISHABLE
    assert found["exponent_ci_low"] < 0 < found["exponent_ci_high"]
    assert found["strata_rising"] == 0


def test_four_models_are_too_few_even_in_perfect_order():
    found = answers(lab_rows())
    flops, parameters = found.loc["FLOPs"], found.loc["parameters"]
    assert flops[["rho", "strata", "strata_rising", "steps_rising", "steps"]].tolist() == [1, 12, 12, 36, 36]
    assert flops["p_value"] == pytest.approx(2 / 24)
    assert flops["ci_low"] < 0
    assert flops["verdict"] == stats.NOT_DISTINGUISHABLE
    assert "p cannot be below 0.083, even in perfect order" in flops["basis"]
    assert parameters[["steps_rising", "steps_falling", "strata_rising"]].tolist() == [12, 24, 0]


def test_the_order_of_six_models_can_be_told():
    found = answers(lab_rows(models=SIX, batches=(1, 2), inputs=(224,)), SIX)
    assert found.loc["FLOPs", ["rho", "verdict"]].tolist() == [1, claims.CONFIRMED]
    assert found.loc["parameters", ["rho", "verdict"]].tolist() == [-1, claims.CONTRADICTED]
    assert found.loc["FLOPs", "p_value"] == pytest.approx(2 / math.factorial(6))
    tested = found.loc[["parameters", "FLOPs", "batch size"], "p_value"]
    assert found.loc[tested.index, "p_holm"].tolist() == pytest.approx(stats.holm(tested).tolist())
    assert "input size" not in found.index


def test_models_with_as_many_parameters_are_no_step():
    twins = {**SIX, "M2": SIX["M1"]}
    found = answers(lab_rows(models=twins, batches=(1,), inputs=(224,)), twins).loc["parameters"]
    assert found[["models", "strata", "steps"]].tolist() == [6, 1, 4]


@pytest.mark.parametrize(
    ("kept", "question", "basis"),
    [
        ({"models": {"UNet": LAB["UNet"]}}, "FLOPs", "one model"),
        ({"models": {"UNet": LAB["UNet"]}}, "batch size", "an interval needs two models"),
    ],
)
def test_what_was_not_varied_is_not_measured(kept, question, basis):
    found = answers(lab_rows(**kept)).loc[question]
    assert (found["verdict"], found["basis"]) == (claims.NOT_MEASURED, basis)
    assert math.isnan(found["p_holm"])


def test_each_machine_is_asked_for_itself():
    """What is found on one does not depend on which others share the report."""
    alone = answers(lab_rows(models=SIX), SIX)
    other = lab_rows(models=SIX, host="xeon", batches=(4,))
    both = answers([*lab_rows(models=SIX), *other], SIX)
    columns = ["p_holm", "verdict", "exponent"]
    assert both[both["host"] == "pi"][columns].equals(alone[columns])
    xeon = both[both["host"] == "xeon"]
    assert xeon.loc["batch size", ["verdict", "basis"]].tolist() == [claims.NOT_MEASURED, "one batch size"]


def test_models_of_which_nothing_is_known_are_not_ranked():
    found = answers(lab_rows(), campaigns={"demo": {}})
    for question in ("parameters", "FLOPs"):
        assert found.loc[question, "verdict"] == claims.NOT_MEASURED
        assert found.loc[question, "basis"] == f"campaign.json does not tell the models' {question}"
    assert found.loc["batch size", "verdict"] == claims.CONFIRMED


def test_what_did_not_fit_shortens_its_stratum(rows):
    found = answers(rows)
    assert found.loc["batch size", ["strata", "steps", "verdict"]].tolist() == [8, 38, claims.CONFIRMED]
    assert found.loc["input size", "strata"] == 22
    assert found.loc["FLOPs", ["rho", "steps"]].tolist() == [1, 34]


def test_models_at_sizes_of_their_own_are_compared():
    rows = lab_rows(models=SIX, batches=(1, 2), inputs=(224,))
    for row in rows:
        row["input_size"] = 299 if row["model"] == "M3" else 224
    files = [entry | {"input_size": 299} if entry["model"] == "M3" else entry for entry in entries(SIX, (224,))]
    found = answers(rows, campaigns={"demo": {"models": files}}).loc["FLOPs"]
    assert found[["models", "n", "strata"]].tolist() == [6, 6, 2]


# --- the sweep --------------------------------------------------------------------------------------------------------


def test_each_size_has_its_time_throughput_and_work(rows):
    table = swept(lab(rows))
    assert len(table) == len(LAB) * len(BATCHES) * len(INPUTS)
    row = table.set_index(["model", "input_size", "batch_size"]).loc["ResNet18", 448, 8]
    ms = [r["avg_inference_ms"] for r in rows if (r["model"], r["input_size"], r["batch_size"]) == ("ResNet18", 448, 8)]
    low, high = scipy.stats.t.interval(0.95, 4, np.mean(ms), scipy.stats.sem(ms))
    assert [row["mean_ms"], row["mean_ci_low_ms"], row["mean_ci_high_ms"]] == pytest.approx([np.mean(ms), low, high])
    assert [row["per_image_ms"], row["per_image_ci_low_ms"]] == pytest.approx([np.mean(ms) / 8, low / 8])
    assert row["images_per_s"] == pytest.approx(np.mean(8e3 / np.array(ms)))
    assert row["gflop"] == pytest.approx(2e-9 * 8 * macs("ResNet18", 448))
    assert row["gflop_per_s"] == pytest.approx(row["gflop"] / (np.mean(ms) / 1e3))


def test_out_of_memory_is_told_from_other_failures(rows):
    rows = [dict(row) for row in rows]
    for row in rows:
        if (row["model"], row["input_size"], row["batch_size"]) == ("ResNet18", 448, 32):
            fail(row, "the runner aborted itself (exit code 134)")
    table = swept(lab(rows))
    absent = table[table["absent"] != ""].set_index(["model", "batch_size"])
    assert absent["absent"].to_dict() == {
        ("ResNet18", 32): "failed", ("UNet", 16): "out of memory", ("UNet", 32): "out of memory",
    }  # fmt: skip
    assert absent.loc[("UNet", 16), "reason"].startswith("float32 failed: out of memory: 3100 MB needed")
    grid = grids.sweep(Study(lab(rows)), table)
    assert grid.head == ["Input", "Batch", "MobileNetV3Small", "ResNet18", "SqueezeNet", "UNet"]
    assert [row[0:2] + row[-1:] for row in grid.rows[-2:]] == [
        ["448", "16", "out of memory"],
        ["448", "32", "out of memory"],
    ]
    assert grid.rows[-1][3] == "failed"


def test_a_pilot_that_did_not_fit_leaves_a_configuration_out_of_memory():
    rows = [row for row in lab_rows(repetitions=2) if not is_large_unet(row)]
    names = list(CONFIGURATION)
    plan = [{name: str(row[name]) for name in names} for row in lab_rows(repetitions=1)]
    large = [("UNet", "448", batch) for batch in ("16", "32")]
    left = [line for line in plan if (line["model"], line["input_size"], line["batch_size"]) in large]
    parts = {
        "plans": {("demo", "pi"): plan},
        "stopping": {("demo", "pi"): [line | {"block": "0", "reason": "out of memory"} for line in left]},
    }
    table = swept(lab(rows, **parts))
    absent = table[table["absent"] != ""]
    assert list(absent["absent"]) == ["out of memory"] * 2
    assert list(absent["reason"]) == ["float32 failed: out of memory"] * 2


def test_what_left_for_memory_is_no_decision_on_repetitions():
    """At a fixed number of repetitions the report has no section on how they were decided."""
    rows = lab_rows(batches=(1, 8), inputs=(448,), repetitions=2)
    large = {name: str(row[name]) for row in rows for name in CONFIGURATION if row["model"] == "UNet"}
    left = large | {"block": "1", "reason": "out of memory"}
    study = Study(lab(rows, stopping={("demo", "pi"): [left]}))
    assert tables.decisions(study, tables.effects(study, "float32")).empty
    study = Study(lab(rows, stopping={("demo", "pi"): [left | {"reason": "no valid run"}]}))
    assert len(tables.decisions(study, tables.effects(study, "float32"))) == 1


def test_speedups_of_what_did_not_fit_say_so(rows):
    both = [*rows, *({**row, "variant": "compiled"} for row in rows)]
    study = Study(lab(both))
    speedups = tables.speedups(study, "avg_inference_ms", "float32")
    assert set(speedups["verdict"]) == {stats.NOT_DISTINGUISHABLE, stats.MISSING}
    grid = grids.at_a_glance(study, speedups)
    assert [row[-2] for row in grid.rows].count("out of memory") == 2
    (place,) = [place for place in study.groups if place[1].input_size == 448 and place[1].batch_size == 32]
    said = {bar.absent for bar in plotted.bars(study, *place, "avg_inference_ms") if bar.model == "UNet"}
    assert said == {"out of memory"}


def test_only_what_was_swept_is_a_sweep():
    rows = lab_rows(batches=(1,), inputs=(224,))
    assert sweeps.tables_of(Study(dataset(rows)), tables.summary(Study(dataset(rows)))) == {}
    more = run(model="UNet", runner="torch", batch_size=2, input_size=224, avg_inference_ms=200.0)
    assert set(swept(lab([*rows, more]))["model"]) == {"UNet"}
    elsewhere = more | {"host": "xeon"}
    assert swept(lab([*rows, elsewhere])).empty


def test_flags_of_a_runner_use_the_float32_file():
    compiled = swept(lab(lab_rows(variant="compiled", repetitions=1)))
    assert compiled["gflop"].notna().all()


def test_a_variant_of_one_runner_is_not_missing_with_another():
    """UNet has no int8 file, and litert no compiled models: the former is lacking, the latter is not."""
    facts = {"batch_size": 1, "input_size": 224}
    rows = [
        run(model=model, variant=variant, runner=runner, **facts)
        for model in ("UNet", "ResNet18")
        for runner, variant in (("torch", "float32"), ("torch", "compiled"), ("litert", "float32"), ("litert", "int8"))
        if (model, variant) != ("UNet", "int8")
    ]
    settings = {"models": ["UNet", "ResNet18"], "variants": ["float32", "compiled", "int8"]}
    study = Study(lab(rows, campaigns={"demo": {"settings": settings}}))
    assert [(c.setting.runner, c.model, c.variant) for c in study.cells if not study.n(c, "ok")] == [
        ("litert", "UNet", "int8")
    ]
    speedups = tables.speedups(study, "avg_inference_ms", "float32")
    assert set(zip(speedups["runner"], speedups["variant"], strict=True)) == {("torch", "compiled"), ("litert", "int8")}


# --- trade-offs -------------------------------------------------------------------------------------------------------


def trade_offs(rows, models=LAB) -> pd.DataFrame:
    study = Study(lab(rows, models))
    return sweeps.trade_off(study, tables.summary(study)).set_index("model")


def test_a_model_is_shown_at_its_best_and_with_what_is_better_in_everything(rows):
    found = trade_offs(rows)
    assert set(found["batch_size"]) == {32}
    assert set(found["input_size"]) == {224}
    assert found["dominated_by"].to_dict() == {
        "MobileNetV3Small": "", "SqueezeNet": "", "ResNet18": "MobileNetV3Small, SqueezeNet",
        "UNet": "MobileNetV3Small, SqueezeNet",
    }  # fmt: skip
    per_image = [
        r["latency_per_image_ms"] for r in rows if (r["model"], r["batch_size"], r["input_size"]) == ("UNet", 32, 224)
    ]
    assert found.loc["UNet", "per_image_ms"] == pytest.approx(np.mean(per_image))


def test_noise_does_not_beat_a_model():
    """B has fewer parameters. What noise hides, be it a little or a lot, does not make it as fast as A."""
    models = {"A": (2_000_000, 1.0, 10.0), "B": (1_000_000, 1.0, 10.01), "C": (900_000, 1.0, 50.0)}
    found = trade_offs(lab_rows(models=models, noise=0.05, batches=(1,)), models)
    assert found["dominated_by"].to_dict() == {"A": "", "B": "", "C": ""}
    found = trade_offs(lab_rows(models=models, noise=0.5, batches=(1,), repetitions=2), models)
    assert found["dominated_by"].to_dict() == {"A": "", "B": "", "C": ""}


def with_energy(rows, watts) -> list:
    """The runs, with the energy of machines that take so many watts, told by model and batch size."""
    return [
        {
            **row, "energy_meter": "rapl",
            "energy_inference_j": row["avg_inference_ms"] / 1000 * watts(row["model"], row["batch_size"]),
        }
        for row in rows
    ]  # fmt: skip


def test_less_energy_for_an_image_saves_a_slower_model():
    models = {"A": (1_000_000, 1.0, 10.0), "B": (1_000_000, 1.0, 20.0)}
    rows = lab_rows(models=models, batches=(1, 8), inputs=(224,))
    assert trade_offs(rows, models)["dominated_by"].to_dict() == {"A": "", "B": "A"}
    rows = with_energy(rows, lambda model, batch: {"A": 9.0, "B": 3.0}[model])
    found = trade_offs(rows, models)
    assert found["dominated_by"].to_dict() == {"A": "", "B": ""}
    joules = [row["energy_inference_j"] / 8 for row in rows if (row["model"], row["batch_size"]) == ("B", 8)]
    assert found.loc["B", "energy_per_image_j"] == pytest.approx(np.mean(joules))


def test_energy_is_asked_the_same_as_time():
    """A batch of 32 takes half the power of a single image: energy grows less than time."""
    rows = with_energy(lab_rows(inputs=(224,)), lambda model, batch: 10 * batch**-0.2)
    report = document.build(lab(rows))
    found = report.tables["lab_questions"].set_index(["question", "metric"])
    assert found.loc[("batch size", "avg_inference_ms"), "exponent"] == pytest.approx(0.9, abs=0.01)
    of_energy = found.loc[("batch size", "energy_inference_j")]
    assert of_energy["exponent"] == pytest.approx(0.7, abs=0.01)
    assert of_energy[["verdict", "strata", "strata_rising"]].tolist() == [claims.CONFIRMED, 4, 4]
    assert of_energy["p_holm"] == pytest.approx(stats.holm(found["p_value"])[list(found.index).index(of_energy.name)])
    assert {row[1] for row in report.grids["lab_questions"].rows} == {"Inference, average", "Energy per inference"}
    (finding,) = report.findings
    assert any(text.startswith("Energy per inference grows with batch size: confirmed") for text in finding.sentences)
    assert any("latency per image, energy per image, parameters" in text for text in finding.sentences)


# --- the report -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variants", [1, 4])
def test_without_a_sweep_answers_are_in_their_section_only_and_in_tables_where_they_are_many(
    tmp_path, variants, monkeypatch
):
    monkeypatch.setattr(document, "_FEW_ROWS", 6)
    rows = lab_rows(models=SIX, batches=(1,), inputs=(224,), repetitions=2)
    found = lab([{**row, "variant": f"v{i}"} for row in rows for i in range(variants)], SIX)
    found.campaigns["demo"]["models"] = [
        {**entry, "variant": f"v{i}"} for entry in entries(SIX, (224,)) for i in range(variants)
    ]
    report = document.build(found, baseline="v0")
    document.publish(report, tmp_path / "out")
    assert len(report.tables["lab_questions"]) == 2 * variants
    assert findings.growth_in_short(report.tables) == []
    assert not [finding for finding in report.findings if "grows" in finding.where]
    markdown = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert markdown.count("| FLOPs |") == int(variants == 1)
    assert ("tables/trade_off.csv" in markdown) == (variants > 1)


def test_models_whose_operations_nobody_knows_have_no_section():
    rows = lab_rows(batches=(1,), inputs=(224,))
    unknown = {"demo": {"models": [entry | {"macs": None} for entry in entries(inputs=(224,))]}}
    study = Study(lab(rows, campaigns=unknown))
    assert sweeps.tables_of(study, tables.summary(study)) == {}


def test_hosts_that_swept_differently():
    """One has two batch sizes, the other the larger of them only: it has charts there, and is in no sweep."""
    rows = lab_rows(batches=(1, 8), inputs=(224,), repetitions=2)
    rows += [
        {**row, "host": "nuc", "platform": "nuc", "log": row["log"].replace("pi/", "nuc/")}
        for row in rows
        if row["batch_size"] == 8
    ]
    report = document.build(lab(rows))
    assert set(report.tables["sweeps"]["host"]) == {"pi"}
    batch = report.tables["lab_questions"].set_index(["host", "question"])["basis"].unstack()["batch size"]
    assert batch.to_dict() == {"nuc": "one batch size", "pi": "exponents of 4 models"}
    charted = {machine.host: setting.batch_size for machine, setting in report.study.charted}
    assert charted == {"nuc": 8, "pi": 1}
    across = {chart.name for chart in document.charts(report) if chart.topic == "times"}
    assert across == {"across_times_batch_1", "across_times_batch_8"}


@pytest.fixture(scope="module")
def small():
    """Two batch and two input sizes; UNet fits in none of the large ones together."""
    made = lab_rows(batches=(1, 8), repetitions=3)
    for row in made:
        if (row["model"], row["input_size"], row["batch_size"]) == ("UNet", 448, 8):
            fail(row)
    return document.build(lab(made))


@pytest.fixture(scope="module")
def out(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "out"
    document.publish(small, path)
    return path


def test_golden(out, golden):
    golden("report/sweep.md", (out / "report.md").read_text(encoding="utf-8"))
    for name in ("sweeps.csv", "lab_questions.csv", "trade_off.csv"):
        golden(f"report/{name}", (out / "tables" / name).read_text(encoding="utf-8"))


def test_a_sweep_has_charts_of_its_own_and_only_the_least_sizes_have_the_others(out):
    found = sorted(path.stem for path in (out / "plots").glob("*.svg"))
    of_sweep = ["pi_sweep_batch", "pi_sweep_batch_per_image", "pi_sweep_input", "pi_sweep_work"]
    assert [name for name in found if "sweep" in name] == of_sweep
    assert all("batch_1_input_224" in name or name == "pi_timeline" for name in found if "sweep" not in name)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert (
        page.index('id="speedups"') < page.index('id="sweeps"') < page.index('id="growth"') < page.index('id="across"')
    )
    assert all(f"plots/{name}.png" in page for name in of_sweep)


def test_what_was_found_is_said(small):
    (short,) = findings.growth_in_short(small.tables)
    assert short == (
        "Latency of 4 models grows with parameters (rank correlation 0.57) and FLOPs (rank correlation 1.0): not "
        "distinguishable; with batch size (exponent 0.90) and input size (exponent 2.0): confirmed."
    )
    assert short in document.terminal_text(small)
    (finding,) = [finding for finding in small.findings if finding.where.startswith("What latency grows with")]
    assert any("too few for any order to be told from chance" in text for text in finding.sentences)
    assert any(text.startswith("Best trade-off of latency per image, parameters") for text in finding.sentences)
    assert finding.sentences[-1] == (
        "Accuracy was not measured, and with random weights there is none: no trade-off with it can be told."
    )
    assert any("1 of 16 configurations without a usable run, 1 of them out of memory." in n.text for n in small.notices)


def figure_of(report, draw, **facts):
    ((which, part),) = sweeps.by_series(report.tables["sweeps"], variants=False).items()
    with rc_context(plots.STYLE):
        figure = draw(report.study, part, which, **facts)
        FigureCanvasAgg(figure).draw()
    return figure


def test_lines_are_on_logarithmic_axes_and_what_did_not_fit_is_a_cross(small):
    left, right = figure_of(small, plots_sweeps.against_batch, of="mean_ms").axes
    assert {axes.get_xscale() for axes in (left, right)} == {axes.get_yscale() for axes in (left, right)} == {"log"}
    assert left.get_ylim() == right.get_ylim()
    crosses = [
        [x for line in axes.lines if line.get_marker() == "x" for x in line.get_xdata()] for axes in (left, right)
    ]
    assert crosses == [[], [8.0]]
    texts = [text.get_text() for text in left.figure.texts]
    assert any("error bars: 95 % confidence intervals" in text for text in texts)
    assert any("UNet, input 448, batch 8: out of memory" in text for text in texts)


def test_every_configuration_is_a_mark_between_lines_of_equal_speed(small):
    (axes,) = figure_of(small, plots_sweeps.against_work).axes
    marks = [line for line in axes.lines if line.get_marker() in ("o", "s")]
    assert len(marks) == 4 * 2 * 2 - 1
    lines = [line for line in axes.lines if line.get_color() == "#BBBBBB"]
    speeds = [float(x[0] / y[0]) for x, y in (line.get_data() for line in lines)]
    assert speeds == pytest.approx([10.0 ** round(math.log10(speed)) for speed in speeds])
    assert len(speeds) > 2


# --- which file a run used --------------------------------------------------------------------------------------------

FILES = [
    {"model": "UNet", "variant": "float32", "format": "pt2", "batch_size": None, "input_size": size, "macs": size}
    for size in (224, 448)
] + [
    {"model": "UNet", "variant": variant, "batch_size": batch, "input_size": 224, "sha256": f"{variant}{batch}"}
    for variant in ("float32", "int8")
    for batch in (1, 8)
]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("", "UNet", "float32", "torch", 4, 448), FILES[1]),
        (("", "UNet", "compiled_channels_last", "torch", 4, 224), FILES[0]),
        (("float328", "UNet", "float32", "litert", 8, 224), FILES[3]),
        (("float328", "UNet", "float32", "litert", None, None), FILES[3]),
        (("", "UNet", "float16", "torch", 1, 224), {}),
        (("", "UNet", "float32", "torch", 1, 299), {}),
        (("int81", "UNet", "int8", "benchmark_model", 1, 224), FILES[4]),
        (("", "VGG16", "float32", "torch", 1, 224), {}),
    ],
)
def test_the_file_of_a_run_is_found_by_its_sum_else_by_its_names_format_and_sizes(asked, found):
    assert Entries(FILES).of(*asked) == found


def test_runners_have_the_files_that_the_plan_gives_them():
    files = [{"model": "UNet", "variant": "float32", "format": name} for name in (plan.TFLITE, *plan.FORMATS.values())]
    for runner in ("benchmark_model", "litert", *plan.FORMATS):
        found = [
            Entries(files).of("", "UNet", name, runner, 1, 224)
            for name in ("float32", *plan.VARIANT_FLAGS.get(runner, ()))
        ]
        assert {entry["format"] for entry in found} == {plan.FORMATS.get(runner, plan.TFLITE)}


def test_an_entry_may_be_anything():
    assert (
        Entries([None, 3, {"model": []}, {"model": "UNet", "variant": {}}]).of("", "UNet", "int8", "torch", 1, 1) == {}
    )
    assert Entries("models").all == []
