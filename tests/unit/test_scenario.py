"""One model by several runners: the table of speed, accuracy and size, its charts, and what is said of it."""

from __future__ import annotations

import math
import re
import statistics
from dataclasses import replace

import pandas as pd
import pytest

from analysis import (
    campaign,
    claims,
    compare,
    document,
    findings,
    grids,
    opening,
    plots_scenario,
    scenario,
    stats,
    tables,
)
from analysis.campaign import Dataset
from analysis.study import Study
from tests.unit import kennings
from tests.unit.datasets import dataset, run, runs_frame, study_rows
from tests.unit.scenarios import IMAGES, TARGET, UNTUNED, WAYS, evaluation, rows, sha256
from tests.unit.scenarios import scenario as made_up

NATIVE = "keras float32 (model.predict)"
TVM = "tvm float32 (core-avx2)"


@pytest.fixture(scope="module")
def report():
    return document.build(made_up())


@pytest.fixture(scope="module")
def table(report) -> pd.DataFrame:
    return report.tables["scenario"]


@pytest.fixture(scope="module")
def out(report, tmp_path_factory):
    """The report as files, with its own charts."""
    path = tmp_path_factory.mktemp("scenario") / "digits"
    own = [chart for chart in document.charts(report) if chart.topic.startswith("scenario")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "charts", lambda _: own)
        document.publish(report, path)
    return path


def made(found) -> dict[str, pd.DataFrame]:
    """The tables of a dataset, without the rest of a report."""
    study = Study(found)
    return scenario.of_study(study, tables.summary(study))


def of(found, **facts) -> pd.Series:
    """The only row of the table of a dataset, or of a table, with these facts."""
    if not isinstance(found, pd.DataFrame):
        found = made(found)["scenario"]
    for name, value in facts.items():
        found = found[found[name] == value]
    (row,) = [found.loc[i] for i in found.index]
    return row


def changed(way: tuple[str, str], **facts):
    """The runs, with other facts of one way to run the model."""
    return [row | facts if (row["runner"], row["variant"]) == way else row for row in rows(2)]


def test_golden(out, golden):
    markdown = (out / "report.md").read_text(encoding="utf-8")
    start, end = (markdown.index(title) for title in ("## Speed, accuracy and size", "## How well"))
    golden("report/scenario.md", markdown[: markdown.index("## Findings")] + markdown[start:end])
    for name in ("scenario.csv", "scenario_claims.csv", "scenario_xeon.tex"):
        golden(f"report/{name}", (out / "tables" / name).read_text(encoding="utf-8"))


def test_the_page_has_the_section_and_its_charts(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    assert '<section id="scenario">' in page
    for name in ("xeon_speed_accuracy_size", "xeon_together"):
        assert (out / "plots" / f"{name}.png").is_file()
        assert f"plots/{name}.png" in page


# --- the table --------------------------------------------------------------------------------------------------------


def test_speedups_are_those_of_the_repetitions_paired_by_block(table):
    mine = {key: [row["avg_inference_ms"] for row in rows() if (row["runner"], row["variant"]) == key] for key in WAYS}
    native, tuned = (stats.Sample(mine[key], range(5)) for key in (("keras", "float32"), ("tvm", "float32")))
    expected = stats.speedup(native, tuned)
    row = of(table, label=TVM)
    assert (row["speedup"], row["ci_low"], row["ci_high"]) == pytest.approx(
        (expected.speedup, expected.ci_low, expected.ci_high)
    )
    assert row["method"] == "Fieller, paired by block"


def test_p_values_are_corrected_over_the_machine(table):
    tested = table[table["p_value"].notna()]
    assert len(tested) == len(WAYS) - 1
    assert tested["p_holm"].tolist() == pytest.approx(stats.holm(tested["p_value"]).tolist())


def test_another_program_is_called_so(table):
    programs = dict(zip(table["runner"] + " " + table["variant"], table["program"], strict=True))
    assert programs.pop("keras float32") == "", "the baseline"
    assert programs.pop("keras compiled") == "the same"
    assert set(programs.values()) == {"another"}
    assert set(table["baseline"]) == {NATIVE}


def test_reports_of_one_runner_or_of_others_than_these_are_as_they_were():
    alone = study_rows({"pi": 1.0}, 2, models=["MobileNet"])
    torch = [row | {"runner": "torch", "log": row["log"].replace("litert", "torch")} for row in alone]
    assert made(dataset(alone)) == made(dataset(alone + torch)) == {}


def test_without_a_native_runner_the_campaigns_first_is_the_baseline():
    some = [row for row in rows(2) if row["runner"] != "keras"]
    for first, label in (("tvm", TVM), ("litert", "litert float32")):
        runners = sorted({"tvm", "litert"}, key=lambda name, first=first: name != first)
        found = made_up(some, campaigns={"demo": {"settings": {"runners": runners}}})
        assert of(found, runner="litert", variant="int8")["baseline"] == label
        assert "scenario_claims" not in made(found), "nothing is native"


def test_a_baseline_of_as_many_threads_is_taken_where_there_is_one():
    some = rows(2) + [row | {"threads": 4, "log": f"4/{row['log']}"} for row in rows(2) if row["runner"] != "tvm"]
    assert of(made_up(some), runner="litert", variant="int8", threads=4)["baseline_threads"] == 4
    some += [row | {"threads": 2, "log": f"2/{row['log']}"} for row in rows(2) if row["runner"] == "tvm"]
    row = of(made_up(some), label=TVM, threads=2)
    assert row["baseline_threads"] == 1
    assert row["remark"] == "the baseline has 1 thread"


def test_what_failed_keeps_its_row():
    some = changed(("tvm", "int8"), status="failed", reason="killed", avg_inference_ms=None)
    row = of(made_up(some), runner="tvm", variant="int8")
    assert (row["n"], row["absent"], row["verdict"]) == (0, "failed", "missing")
    assert row["reason"] == "tvm int8 failed: killed (first of 2 runs)"


def test_without_its_baseline_nothing_is_compared_with_another():
    some = changed(("keras", "float32"), status="failed", reason="killed", avg_inference_ms=None)
    row = of(made_up(some), label=TVM)
    assert (row["verdict"], math.isnan(row["speedup"])) == ("missing", True)
    assert row["reason"].startswith("keras float32 failed: killed")


def test_runners_that_changed_on_the_way_are_not_compared():
    some = rows(2)
    for row in some[: len(some) // 2]:
        if row["runner"] == "tvm":
            row["runner_version"] = "0.26.0"
    row = of(made_up(some), label=TVM)
    assert row["verdict"] == "not comparable"
    assert row["reason"] == "runner_version of tvm float32 differs: 0.26.0, 0.27.0"


def test_one_repetition_has_a_number_and_no_interval():
    row = of(made_up(rows(1)), label=TVM)
    assert row["speedup"] > 1
    assert math.isnan(row["ci_low"])
    assert row["verdict"] == "not comparable"
    assert row["reason"] == "keras float32 n = 1, tvm float32 n = 1; an interval needs 2 repetitions of each"


def test_the_pareto_front_is_what_nothing_beats_in_everything(table):
    front = set(table["label"][table["on_front"]])
    # int8 of LiteRT is the smallest, its float32 smaller than TVM's, which is fastest.
    assert front == {"litert float32", "litert int8", TVM}
    assert of(table, runner="keras", variant="compiled")["dominated_by"] == f"litert float32, {TVM}"


def test_being_less_accurate_is_worth_a_place_on_the_front_only_if_that_is_known():
    less = {("litert", "float32"): (1.0, 0.3, 9.0, 9, {}), ("keras", "float32"): (2.0, 1.0, 300.0, 7, {})}
    assert of(made_up(rows(5, ways=less), less), runner="keras")["dominated_by"] == ""
    unknown = made_up(rows(5, ways=less), less, evaluated=False)
    assert of(unknown, runner="keras")["dominated_by"] == "litert float32"


# --- accuracy ---------------------------------------------------------------------------------------------------------


def test_accuracy_is_compared_on_the_same_images(table):
    row = of(table, runner="litert", variant="int8")
    assert row["accuracy_difference_points"] == pytest.approx(-100 * 2 / IMAGES)
    assert row["accuracy_p_value"] == 0.5, "two images that only the baseline has right: 2 * 1/4"
    assert row["accuracy_verdict"] == "not distinguishable"
    assert of(table, label=NATIVE)["accuracy_verdict"] == ""


def test_a_difference_that_chance_does_not_make_is_called_so():
    ways = WAYS | {("litert", "int8"): (0.1, 0.1, 9.0, 40, {})}
    row = of(made_up(rows(2, ways=ways), ways), runner="litert", variant="int8")
    assert row["accuracy_verdict"] == "lower"
    assert row["accuracy_difference_ci_high"] < 0


def test_accuracy_of_another_file_is_left_out():
    found = made_up(rows(2))
    evaluated = found.runs["phase"].eq("evaluate") & found.runs["runner"].eq("litert")
    found.runs.loc[evaluated & found.runs["variant"].eq("int8"), "model_sha256"] = "another"
    row = of(found, runner="litert", variant="int8")
    assert math.isnan(row["accuracy_percent"])
    assert row["remark"].startswith("accuracy not counted: the runs that were measured had another file (sha256 ")


def test_what_was_evaluated_once_counts_for_all_that_use_the_file(report, table):
    assert not any("compiled" in log for *_, log in report.study.dataset.evaluations)
    assert of(table, variant="compiled")["correct_images"] == 353


def also_compiled(**facts) -> Dataset:
    """The campaign, in which the compiled function has been evaluated as well, and has one image more wrong."""
    found = made_up(rows(2))
    key, log = next((key, key[2]) for key in found.evaluations if ".float32.keras." in key[2])
    (own,) = found.runs[found.runs["log"] == log].to_dict("records")
    mine = own | {"variant": "compiled", "log": log.replace("float32", "compiled")} | facts
    runs = runs_frame([*found.runs.to_dict("records"), mine])
    return replace(found, runs=runs, evaluations=found.evaluations | {(*key[:2], mine["log"]): evaluation(8)})


def test_of_one_file_that_is_called_in_two_ways_each_has_its_own_accuracy():
    table = made(also_compiled())["scenario"]
    assert of(table, variant="compiled")["correct_images"] == IMAGES - 8
    assert of(table, label=NATIVE)["correct_images"] == IMAGES - 7


def test_an_evaluation_that_does_not_count_is_nobodys_accuracy():
    table = made(also_compiled(status="invalid", reason="the flag --compile was not understood"))["scenario"]
    assert of(table, variant="compiled")["correct_images"] == IMAGES - 7, "the same file, called otherwise"
    found = made_up(rows(2))
    found.runs.loc[found.runs["phase"].eq("evaluate"), ["status", "reason"]] = ["invalid", "no exit code"]
    row = of(found, runner="litert", variant="int8")
    assert math.isnan(row["accuracy_percent"])
    assert row["remark"] == "accuracy not counted: no exit code"


def test_one_file_at_several_threads_is_one_comparison_of_accuracy():
    ways = WAYS | {("litert", "int8"): (0.1, 0.1, 9.0, 15, {})}
    some = rows(2, ways=ways)
    four = [row | {"threads": 4, "log": row["log"].replace("t1", "t4")} for row in some]
    one, both = (made(made_up(every, ways))["scenario"] for every in (some, [*some, *four]))
    p_holm = of(one, runner="litert", variant="int8")["accuracy_p_holm"]
    assert 0 < p_holm < 1
    assert both["accuracy_p_holm"][both["label"] == "litert int8"].tolist() == [p_holm, p_holm]


def test_campaign_json_steps_in_and_is_named():
    entry = {"model": "DigitCNN", "variant": "int8", "format": "tflite", "sha256": sha256("litert", "int8")}
    entry |= {"evaluated_images": 100, "correct_images": 90, "evaluated_on": "digits"}
    found = made_up(rows(2), campaigns={"demo": {"models": [entry]}}, evaluated=False)
    row = of(found, runner="litert", variant="int8")
    assert (row["accuracy_from"], row["accuracy_percent"]) == ("campaign.json", 90)
    assert "not on this machine" in row["remark"]
    assert math.isnan(of(found, label=TVM)["accuracy_percent"])
    entry["sha256"] = "another"
    found = made_up(rows(2), campaigns={"demo": {"models": [entry]}}, evaluated=False)
    assert math.isnan(of(found, runner="litert", variant="int8")["accuracy_percent"])


def test_what_is_to_know_of_the_images_is_said():
    found = made_up(rows(2))
    remark = "the weights are from elsewhere: they may have been trained on these images"
    found = replace(found, evaluations=dict.fromkeys(found.evaluations, evaluation(7, remark=remark)))
    notices = [notice.text for notice in document.build(found).notices]
    assert notices.count(f"Accuracy on digits: {remark}.") == 1
    entry = {"model": "DigitCNN", "variant": "int8", "format": "tflite", "remark": remark, "evaluated_on": "digits"}
    entry |= {"evaluated_images": 100, "correct_images": 90}
    found = made_up(rows(2), campaigns={"demo": {"models": [entry]}}, evaluated=False)
    assert [notice.text for notice in findings._of_accuracy(Study(found), None)] == [f"Accuracy on digits: {remark}."]


# --- tuned and untuned ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tuned", "label", "said"),
    [
        (0, f"{TVM}, untuned", "is untuned (0 of 9 kernels tuned)"),
        (5, f"{TVM}, 5 of 9 kernels tuned", "is not as tuned as it could be (5 of 9 kernels tuned)"),
    ],
)
def test_what_is_not_tuned_is_called_so_though_its_variant_does_not(tuned, label, said):
    found = made_up(changed(("tvm", "float32"), **UNTUNED | {"tuned_kernels": tuned}))
    assert of(found, runner="tvm", variant="float32")["label"] == label
    report = document.build(found)
    (notice,) = [notice for notice in report.notices if said in notice.text]
    assert notice.level == findings.CAUTION
    speedups = report.tables["speedup"]
    mine = speedups[(speedups["runner"] == "tvm") & (speedups["variant"] == "int8") & (speedups["model"] == "DigitCNN")]
    assert f"float32: {tuned} of 9 kernels tuned" in mine["reason"].iloc[0], "also where the row is another table's"


def test_what_is_tuned_or_says_that_it_is_not_needs_no_mark(report):
    assert report.study.untuned == {}


def test_kernels_that_ran_with_more_threads_than_they_were_tuned_for_are_named():
    some = [*rows(2), *(row | {"threads": 4, "log": f"t4/{row['log']}"} for row in rows(2) if row["runner"] == "tvm")]
    said = "kernels in tvm were tuned for one thread and ran with"
    (notice,) = [notice for notice in document.build(made_up(some)).notices if said in notice.text]
    assert notice.text.endswith(f"{said} 4: more may be in it than is shown.")


def test_tvm_that_does_not_tell_its_kernels_is_not_taken_for_tuned():
    some = changed(("tvm", "float32"), kernels=None, tuned_kernels=None)
    assert "how many of its kernels are tuned is not told" in of(made_up(some), label=TVM)["remark"]


def test_int8_that_computes_in_float_is_said(report, table):
    assert of(table, runner="tvm", variant="int8")["remark"].startswith("computes in float32")
    assert "computes" not in of(table, runner="litert", variant="int8")["remark"]
    assert "int8 in tvm computes in float32" in " ".join(notice.text for notice in report.notices)


def test_the_study_is_not_asked_of_int8_that_computes_in_float_nor_of_untuned_kernels():
    def asked(some: list[dict]) -> set[str]:
        study = Study(made_up(some))
        compared = (tables.speedups(study, "avg_inference_ms", "float32"), tables.effects(study, "float32"))
        return set(claims.study_findings(study, *compared, "avg_inference_ms", "float32")["runner"])

    assert asked(rows(2)) == {"litert"}
    integer = changed(("tvm", "int8"), arithmetic="")
    assert asked(integer) == {"litert", "tvm"}
    assert asked([row | ({"tuned_kernels": 0} if row["runner"] == "tvm" else {}) for row in integer]) == {"litert"}


def test_a_runner_says_how_it_computes(tmp_path):
    """As the logs have it; what is no text or no count is not read."""
    log = (
        "EDGEBENCH runner={}\nINFO: Graph: [m/DigitCNN.float32.so]\n"
        "INFO: Inference timings in us: Init: 10, First inference: 20, Warmup (avg): 20, Inference (avg): 20\n"
    )
    told = {
        "tvm": f'{{"target": "{TARGET}", "kernels": 9, "tuned_kernels": 0, "arithmetic": "float32", "threads": 1}}',
        "strange": '{"name": "tvm", "target": {"kind": "llvm"}, "kernels": true, "tuned_kernels": "9"}',
        "keras": '{"name": "keras", "call": "tf.function"}',
        "other": '{"name": "litert", "version": "2"}',
    }
    (tmp_path / "host").mkdir()
    for name, line in told.items():
        (tmp_path / "host" / f"{name}.log").write_text(log.replace("{}", line), encoding="utf-8")
    runs = campaign.read([tmp_path]).runs.assign(name=lambda found: found["log"].str.extract(r"(\w+)\.log")[0])
    names = ["call", "target", "arithmetic", "kernels", "tuned_kernels"]
    found = {row["name"]: [None if value is pd.NA else value for value in row[names]] for _, row in runs.iterrows()}
    assert found == {
        "tvm": ["", TARGET, "float32", 9, 0],
        "strange": ["", "", "", None, None],
        "keras": ["tf.function", "", "", None, None],
        "other": ["", "", "", None, None],
    }


# --- Kenning's own ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_kenning(tmp_path_factory):
    return document.build(campaign.read([kennings.write(tmp_path_factory.mktemp("kenning") / "theirs")]))


def test_kennings_files_make_kennings_table(of_kenning):
    table = of_kenning.tables["scenario"].set_index("label")
    assert table["baseline"].unique().tolist() == ["kenning_tensorflow float32"]
    assert table["speedup"].round(1).to_dict() == {
        "kenning_tensorflow float32": 1.0,
        "kenning_tflite float32": 15.6,
        "kenning_tflite int8": 1.7,
        "kenning_tvm int8": 42.7,
    }
    assert set(table["verdict"]) == {"baseline", "not comparable"}, "each was measured once"
    assert not table["on_front"].any(), "of one run nobody knows what is beyond noise"
    (said, *_) = opening.scenario(of_kenning.study, of_kenning.tables["scenario"])
    assert "is 42.7 times as fast as kenning_tensorflow float32, another program, on theirs: by one run of each" in said
    assert table.loc["kenning_tflite int8", "size_reduction"] == pytest.approx(9.0 / 1.28)


def test_kennings_claims_are_of_direction_and_amount(report, of_kenning):
    measured = report.tables["scenario_claims"].set_index(["claim", "quantity"])
    assert len(measured) == 9
    assert measured.loc[("tflite-int8", "size reduction"), ["verdict", "amount"]].tolist() == ["confirmed", "more"]
    assert measured.loc[("tvm-avx2-int8", "size reduction"), ["verdict", "amount"]].tolist() == ["confirmed", "less"]
    accuracy = measured.loc[("tflite-int8", "accuracy difference (points)")]
    assert accuracy[["verdict", "amount"]].tolist() == ["not distinguishable", "as much"]
    once = of_kenning.tables["scenario_claims"].set_index(["claim", "quantity"]).loc[("tflite-int8", "speedup")]
    assert (once["verdict"], once["amount"]) == ("not comparable", ""), "one file each has no interval"


def test_claims_take_untuned_tvm_only_if_there_is_no_other():
    some = [row for row in rows(2) if (row["runner"], row["variant"]) != ("tvm", "int8")]
    claims = made(made_up(some))["scenario_claims"]
    assert set(claims["label"][claims["claim"] == "tvm-avx2-int8"]) == {"tvm int8_untuned (core-avx2)"}
    some = [row for row in some if row["runner"] != "tvm"]
    claims = made(made_up(some))["scenario_claims"]
    assert set(claims["verdict"][claims["claim"] == "tvm-avx2-int8"]) == {"not measured"}


# --- many machines, charts, compare -----------------------------------------------------------------------------------


def test_eight_machines_are_beside_each_other():
    hosts = {f"host{i}": float(i) for i in range(1, 9)}
    study = Study(made_up(rows(2, hosts)))
    table = made(study.dataset)["scenario"]
    grid = grids.scenario_on_machines(study, table)
    assert (len(grid.rows), len(grid.head)) == (len(WAYS), 3 + len(hosts))
    (found,) = [sentence for sentence in opening.scenario(study, table) if "fastest" in sentence]
    assert found.endswith("It is fastest on 8 of 8.")


def test_what_is_fastest_is_also_compared_with_the_compiled_call_and_with_litert(report, table):
    (fastest, smallest) = opening.scenario(report.study, table)
    means = {
        key: statistics.fmean(r["avg_inference_ms"] for r in rows() if (r["runner"], r["variant"]) == key)
        for key in WAYS
    }
    for sentence, mine in ((fastest, ("tvm", "float32")), (smallest, ("litert", "int8"))):
        for other, label in (
            (("keras", "compiled"), "keras compiled (tf.function)"),
            (("litert", "float32"), "litert float32"),
        ):
            times = tables.number(means[other] / means[mine])
            assert re.search(rf"; {re.escape(times)} \([^)]*\) times as fast as {re.escape(label)};", sentence), label


def test_what_is_slower_and_larger_than_the_baseline_is_not_called_fastest_or_smaller():
    ways = {("keras", "float32"): (1.0, 1.0, 9.0, 7, {}), ("litert", "float32"): (2.0, 2.0, 9.0, 7, {})}
    found = made_up(rows(ways=ways), ways)
    (said,) = opening.scenario(Study(found), made(found)["scenario"])
    assert ": slower;" in said
    assert "its file is 2.00 times larger" in said
    assert said.endswith("It is the fastest of the others.")


def test_of_many_models_one_sentence_is_said():
    native = {("keras", "float32"): (2.0, 1.0, 9.0, 7, {})}
    some = []
    for i, ms in enumerate((1.0, 1.0, 1.0, 1.0, 1.0, 4.0)):
        ways = native | {("litert", "float32"): (ms, 1.0, 9.0, 7, {})}
        some += rows(2, {"a": 1.0, "b": 2.0}, ways, f"Model{i}")
    found = made_up(some, evaluated=False)
    assert opening.scenario(Study(found), made(found)["scenario"]) == [
        "Of several ways to run 6 models on 2 machines, 12 in all, fastest is litert float32 for 10, keras float32 for "
        "2: see Speed, accuracy and size."
    ]


def test_nobody_draws_what_has_no_accuracy():
    found = made_up(rows(2), evaluated=False)
    assert list(plots_scenario.charts(Study(found), made(found)["scenario"])) == []


def test_charts_need_two_rows_with_numbers(report, table):
    only = table[table["runner"] == "litert"].head(1)
    assert plots_scenario.bubbles(report.study, only, "") is None
    assert plots_scenario.parallel(report.study, only, "") is None
    unknown = table.assign(accuracy_percent=math.nan)
    assert plots_scenario.bubbles(report.study, unknown, "") is None
    assert plots_scenario.parallel(report.study, unknown, "") is not None


def test_charts_stand_without_sizes_and_intervals(report, table):
    bare = table.assign(size_mb=math.nan, memory_overall_mb=math.nan, mean_ci_low_ms=math.nan, mean_ci_high_ms=math.nan)
    for draw in (plots_scenario.bubbles, plots_scenario.parallel):
        figure = draw(report.study, bare, "")
        assert figure is not None
        assert "nan" not in " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_names_above_the_marks_do_not_cover_each_other():
    at, names = [0.2, 0.25, 0.3, 3.0, 6.5], ["a" * 40] * 5
    places = plots_scenario._name_places(at, names)
    lines = [line for line, _ in places[:3]]
    assert lines == [2, 1, 0], "a name that reaches over another mark stands above that mark's name"
    assert places[-1][1] == "right", "and does not leave the chart"


def test_two_campaigns_of_these_runners_are_compared(tmp_path, capsys):
    for name in ("a", "b"):
        kennings.write(tmp_path / name / "host")
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_terminal_and_report_of_one_run_do_not_break():
    report = document.build(made_up([run(runner="tvm", **UNTUNED), run(runner="keras")], evaluated=False))
    text = document.terminal_text(report)
    assert "MobileNet: tvm float32" in text
    assert "untuned" in text
