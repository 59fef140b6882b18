"""The study of the phones: its table, what its delegates executed, and what is said of both."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scipy.stats import binomtest

from analysis import claims, document, findings, grids, many, plots_compression, stats, tables, tables_compression
from analysis.study import Study
from tests.unit.datasets import dataset, run, study_rows
from tests.unit.phones import FILES, PHONES, entries, phones, rows

METRIC = "avg_inference_ms"


@pytest.fixture(scope="module")
def report():
    return document.build(phones())


@pytest.fixture(scope="module")
def table(report) -> pd.DataFrame:
    return report.tables["compression"]


@pytest.fixture(scope="module")
def out(report, tmp_path_factory):
    """The report as files, with its own charts: of the 80 others there are tests elsewhere."""
    path = tmp_path_factory.mktemp("phones") / "fire"
    own = [chart for chart in document.charts(report) if chart.name.endswith("_size_and_time")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "charts", lambda _: own)
        document.publish(report, path)
    return path


def one(table: pd.DataFrame, **facts: str) -> pd.Series:
    """The only row with these facts."""
    for name, value in facts.items():
        table = table[table[name] == value]
    (row,) = [table.loc[i] for i in table.index]
    return row


def few() -> list[dict]:
    """One run of each technique on one phone's CPU: what is said of files needs no more."""
    return [row for row in rows(1) if (row["host"], row["delegate"]) == ("pixel", "default")]


def said(**parts) -> list[str]:
    return [notice.text for notice in document.build(phones(**{"some": few()} | parts)).notices]


def compression(some: list[dict], **parts) -> pd.DataFrame:
    study = Study(phones(some, **parts))
    return tables_compression.compression(study, tables.summary(study), "float32")


def test_golden(out, golden):
    markdown = (out / "report.md").read_text(encoding="utf-8")
    start, end = (markdown.index(title) for title in ("## Compression", "## Across machines"))
    golden("report/compression.md", markdown[: markdown.index("## Findings")] + markdown[start:end])
    for name in ("compression.csv", "compression_mi_a2.tex", "phones.csv"):
        golden(f"report/{name}", (out / "tables" / name).read_text(encoding="utf-8"))


def test_the_page_has_the_section_and_a_chart_of_each_phone(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    assert '<section id="compression">' in page
    for host in PHONES:
        assert (out / "plots" / f"{host}_size_and_time.png").is_file()
        assert f"plots/{host}_size_and_time.png" in page


# --- the table --------------------------------------------------------------------------------------------------------


def test_ratios_are_those_of_the_samples(table):
    row = one(table, host="pixel", variant="float16", delegate="nnapi")
    ms = {
        (variant, delegate): [
            r[METRIC] for r in rows() if (r["host"], r["variant"], r["delegate"]) == ("pixel", variant, delegate)
        ]
        for variant in ("float32", "float16")
        for delegate in ("default", "nnapi")
    }
    mean = {key: sum(values) / len(values) for key, values in ms.items()}
    assert row["speedup"] == pytest.approx(mean["float32", "nnapi"] / mean["float16", "nnapi"])
    assert row["cpu_speedup"] == pytest.approx(mean["float16", "default"] / mean["float16", "nnapi"])
    paired = stats.speedup(*(stats.Sample(ms["float16", delegate], [1, 2, 3, 4]) for delegate in ("default", "nnapi")))
    assert (row["cpu_ci_low"], row["cpu_ci_high"]) == pytest.approx((paired.ci_low, paired.ci_high))
    assert row["cpu_delegate"] == "default"


def test_accuracy_has_wilsons_interval(table):
    row = one(table, host="pixel", variant="pruned_dynamic_range", delegate="gpu")
    interval = binomtest(438, 450).proportion_ci(method="wilson")
    assert row["accuracy_percent"] == pytest.approx(100 * 438 / 450)
    assert row["accuracy_ci_low_percent"] == pytest.approx(100 * interval.low)
    assert row["accuracy_ci_high_percent"] == pytest.approx(100 * interval.high)
    assert row["accuracy_verdict"] == stats.NOT_DISTINGUISHABLE


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"correct_images": 400}, "lower"),
        ({"correct_images": 444}, stats.NOT_DISTINGUISHABLE),
        ({"correct_images": 450}, "higher"),
        ({"evaluated_on": "faces"}, ""),
        ({"evaluated_images": 900}, ""),
        ({"correct_images": 451}, ""),
        ({"evaluated_images": None, "correct_images": None}, ""),
    ],
)
def test_accuracy_against_the_baseline(change, verdict):
    made = compression(few(), models=entries(dynamic_range=change))
    assert one(made, variant="dynamic_range")["accuracy_verdict"] == verdict


@pytest.mark.parametrize("change", [{"correct_images": 451}, {"correct_images": None}])
def test_no_accuracy_is_like_that_of_a_baseline_without_one(change):
    made = compression(few(), models=entries(float32=change))
    assert set(made["accuracy_verdict"]) == {""}


def test_what_is_known_of_a_file_is_not_said_of_another_of_its_name():
    some = few()
    for row in some:
        row["model_sha256"] = f"{2:064x}" if row["variant"] == "dynamic_range" else "f" * 64
    made = compression(some)
    known = made[made["accuracy_percent"].notna() & made["compressed_mb"].notna()]
    assert known["variant"].tolist() == ["dynamic_range"]


def test_a_file_that_differs_is_not_compared_with_the_cpu():
    some = rows()
    for row in some:
        row["model_sha256"] = "aa" if row["delegate"] == "default" else "bb"
    made = compression(some)
    assert made["cpu_speedup"].isna().all()
    assert made["speedup"].notna().any()


def test_what_fell_back_is_nowhere_that_delegates(report, table):
    nothing = table[(table["host"] == "mi_a2") & (table["delegate"] == "nnapi")]
    assert set(nothing["absent"]) == {"fell back"}
    assert set(nothing["delegation"]) == {"not at all"}
    assert nothing[["mean_ms", "memory_overall_mb", "speedup", "cpu_speedup"]].isna().all(axis=None)
    for name, column in (("speedup", "speedup"), ("summary", "mean"), ("effects", "ratio")):
        made = report.tables[name]
        assert made[(made["host"] == "mi_a2") & (made["delegate"] == "nnapi")][column].isna().all()
        assert made[(made["host"] == "pixel") & (made["delegate"] == "nnapi")][column].notna().any()


def test_where_all_ran_on_the_cpu_and_nothing_more_is_known_there_is_no_such_table():
    models = [{"model": "MobileNet", "variant": v, "size_bytes": 4} for v in ("float32", "dynamic_range")]
    study = study_rows({"pi": 8.0}, 2, models=("MobileNet",))
    made = document.build(dataset(study, campaigns={"demo": {"models": models}})).tables
    assert not {"compression", "phones"} & set(made)
    assert not set(claims.OF_PHONES) & set(made["study_findings"]["finding"])
    for model in models:
        model["compressed_bytes"] = 3
    assert "compression" in document.build(dataset(study, campaigns={"demo": {"models": models}})).tables


def test_a_table_without_files_accuracy_or_a_second_delegate():
    some = [row for row in rows(2) if row["delegate"] == "gpu"]
    made = compression(some, models=[])
    assert made[["accuracy_percent", "compressed_mb", "cpu_speedup"]].isna().all(axis=None)
    grid = grids.compression(Study(phones(some, models=[])), made[made["host"] == "mi_a2"])
    assert grid.head == ["Technique", "GPU: time (ms)", "GPU: memory (MB)"]


def test_rows_for_each_model_and_what_varies():
    some = [row | {"threads": threads} for row in rows(2) if row["host"] == "pixel" for threads in (1, 4)]
    some += [row | {"model": "Other"} for row in some]
    made = compression(some)
    grid = grids.compression(Study(phones(some)), made[made["host"] == "pixel"])
    assert grid.head[:3] == ["Model", "Threads", "Technique"]
    assert len({tuple(row[:3]) for row in grid.rows}) == len(grid.rows) == 2 * 2 * len(FILES)


def test_charts_of_several_settings_say_which_they_are():
    some = [row | {"threads": threads} for row in few() for threads in (1, 4)]
    study = Study(phones(some))
    table = tables_compression.compression(study, tables.summary(study), "float32")
    drawn = {name: draw() for name, _, draw, *_ in plots_compression.charts(study, table)}
    titles = {name: {text.get_text() for text in figure.texts} for name, figure in drawn.items() if figure}
    assert "Size and time of FireNet: Pixel 8, 1 thread" in titles["pixel_size_and_time_1_thread"]
    assert "Size and time of FireNet: Pixel 8, 4 threads" in titles["pixel_size_and_time_4_threads"]


# --- what is said -----------------------------------------------------------------------------------------------------


def test_what_a_delegate_executed_is_said_first(report):
    texts = [notice.text for notice in report.notices if notice.level == findings.CAUTION]
    assert texts[0] == "nnapi on Mi A2 executed nothing of 5 of 5 model files: these runs are not counted as nnapi's."
    assert texts[1].startswith("gpu* on Pixel 8 executed only parts of 3 of 5 model files, and the CPU the rest: ")
    assert "FireNet dynamic_range 15 of 19 nodes" in texts[1]
    assert not any(notice.level == findings.UNTRUSTED for notice in report.notices)


def test_a_delegate_that_executes_parts_has_its_star_where_it_is_named(report):
    study = report.study
    labels = {(m.host, s.delegate): study.place_label(m, s) for m, s in study.groups}
    assert labels["pixel", "gpu"] == "Pixel 8, delegate gpu*"
    assert labels["mi_a2", "gpu"] == "Mi A2, delegate gpu"
    assert ["Pixel 8", "gpu*"] in [row[:2] for row in report.grids["speedup"].rows]
    assert set(study.group_stems.values()) >= {"pixel_delegate_gpu", "mi_a2_delegate_gpu"}
    speedups = report.tables["speedup"]
    reason = one(speedups, host="pixel", delegate="gpu", model="FireNet", variant="dynamic_range")["reason"]
    assert reason == "gpu executes only 15 of 19 nodes of dynamic_range"


def test_the_only_delegate_has_its_star_too():
    some = [row for row in rows(1) if (row["host"], row["delegate"]) == ("pixel", "gpu")]
    study = Study(phones(some))
    (place,) = [place for place in study.groups if place[0].host == "pixel"]
    assert study.place_label(*place) == "Pixel 8, delegate gpu*"


def test_a_fallback_in_some_repetitions_only_is_counted_among_the_invalid():
    some = [row for row in rows(2) if (row["host"], row["delegate"]) == ("mi_a2", "nnapi")]
    for row in some:
        if row["repetition"] == 1:
            row |= {"status": "ok", "delegation": "completely", "reason": ""}
    assert not any("executed nothing" in text for text in said(some=some))


def test_a_fallback_is_one_though_a_run_failed_before_it_could_tell():
    some = [row for row in rows(2) if row["host"] == "mi_a2"]
    for row in some:
        if row["delegate"] == "nnapi" and row["repetition"] == 1:
            row |= {"status": "failed", "delegation": "", "reason": "timed out", METRIC: None}
    assert any("executed nothing of 5 of 5 model files:" in text for text in said(some=some))
    assert set(compression(some).query("host == 'mi_a2' and delegate == 'nnapi'")["absent"]) == {"fell back"}


def test_what_one_runners_delegate_executed_is_not_said_of_anothers():
    app = {"runner": "benchmark_apk", "status": "ok", "delegation": "completely", "graph_nodes": 19}
    some = [row for row in rows(1) if (row["host"], row["delegate"]) == ("mi_a2", "nnapi")]
    some += [row | app for row in some]
    assert [text for text in said(some=some) if "executed" in text] == [
        "nnapi on Mi A2 executed nothing of 5 of 5 model files in benchmark_model: these runs are not counted as "
        "nnapi's."
    ]


def test_phones_that_are_alike_are_named_together():
    some = [
        row | {name: f"{row[name]} {i}" for name in ("host", "platform")}
        for row in rows(1)
        if row["variant"] in ("float32", "dynamic_range") and row["delegate"] != "default"
        for i in range(6)
    ]
    assert [text for text in said(some=some) if "executed" in text] == [
        "nnapi on Mi A2 0, Mi A2 1, Mi A2 2, Mi A2 3, Mi A2 4, and 1 more executed nothing of 2 of 2 model files: "
        "these runs are not counted as nnapi's.",
        "gpu* on Pixel 8 0, Pixel 8 1, Pixel 8 2, Pixel 8 3, Pixel 8 4, and 1 more executed only parts of 1 of 2 model "
        "files, and the CPU the rest: FireNet dynamic_range 15 of 19 nodes.",
    ]


def test_of_many_machines_those_with_parts_are_marked(report):
    study, speedups = report.study, report.tables["speedup"]
    by_model = many.found(study, many.speedups_by_model(study, speedups))
    assert {"gpu*", "default", "nnapi"} == {row[1] for row in by_model.rows}
    means = {row[0]: row[-1] for row in many.machines(study, speedups, report.tables["trust"]).rows}
    assert "gpu*" in means["Pixel 8"]
    assert "gpu*" not in means["Mi A2"]


@pytest.mark.parametrize("extent", ["partly", "not at all"])
def test_what_xnnpack_does_not_execute_is_the_cpus_too(extent):
    some = [
        row | {"delegate": "xnnpack", "delegation": extent, "delegated_nodes": 3, "graph_nodes": 19} for row in few()
    ]
    some[0] |= {"status": "invalid", "reason": "throttled"}
    found = [text for text in said(some=some) if "executed" in text]
    assert [text.partition(": ")[0] for text in found] == (
        ["xnnpack* on Pixel 8 executed only parts of 4 of 5 model files, and TFLite's own kernels the rest"]
        if extent == "partly"
        else []
    )


def test_files_that_are_not_what_they_are_called():
    def not_so(sparsity: float | None, clusters: int) -> list[str]:
        files = {"weight_sparsity": sparsity}, {"weight_clusters": clusters}
        models = entries(**dict(zip(("pruned_dynamic_range", "clustered_dynamic_range"), files, strict=True)))
        return [line for line in said(models=models) if " is not " in line]

    assert not_so(0.29, 17) == [
        "FireNet clustered_dynamic_range is not clustered: a channel in its file has 17 different weights.",
        "FireNet pruned_dynamic_range is not pruned: only 29 % of the weights in its file are zero.",
    ]
    assert not_so(0.3, 16) == not_so(None, 16) == []


def test_trained_weights_are_no_random_ones():
    assert not any("eights" in text for text in said())
    assert any("Weights are random" in text for text in said(models=entries(float16={"weights": "random"})))


def test_a_phone_that_was_charged_at_times():
    some = [*few(), *(row | {"plugged": "none", "screen": "off"} for row in few())]
    assert [text for text in said(some=some) if "always the same" in text] == [
        "The power supply of Pixel 8 was not always the same: none in 5 runs, usb in 5 runs.",
        "The screen of Pixel 8 was not always the same: off in 5 runs, on in 5 runs.",
    ]


def test_the_hottest_run_is_in_no_mean_but_was_there():
    some = few()
    some[0] |= {"status": "invalid", "reason": "the phone's thermal status is 3 (severe)", "thermal_status": 3}
    assert tables.phones(Study(phones(some)))["thermal_status_max"].tolist() == [3]


def test_phones_have_their_soc_gpu_and_batteries(report):
    cells = {text for row in grids.machines(report.study).rows for text in row}
    assert {"Xiaomi Mi A2, Qualcomm SDM660, aarch64", "Adreno (TM) 512, OpenGL ES 3.2 V@331.0", "Android 10"} <= cells
    timeline = report.tables["timeline"]
    assert timeline["battery_percent"].tolist()[:1] == [89]
    assert timeline["battery_temperature_c"].max() == 34


# --- what the study says ----------------------------------------------------------------------------------------------


def verdicts(report: document.Report, finding: str) -> dict[tuple[str, str], str]:
    made = report.tables["study_findings"]
    mine = made[made["finding"] == finding]
    return {(row.subject, row.quantity): row.verdict for row in mine.itertuples()}


def test_the_studys_claims(report):
    slower = verdicts(report, claims.CPU_SLOWER)
    assert slower == {(name, "candidate / baseline time"): claims.CONFIRMED for name in ("Mi A2", "Pixel 8")}
    assert set(verdicts(report, claims.GPU_NOT_SLOWER).values()) == {stats.NOT_DISTINGUISHABLE}
    assert set(verdicts(report, claims.HALF_MEMORY).values()) == {claims.CONFIRMED}
    assert verdicts(report, claims.QUARTER) == {("FireNet", "baseline / candidate size"): claims.CONFIRMED}
    assert set(verdicts(report, claims.SAVES_COMPRESSED).values()) == {claims.CONFIRMED}
    made = report.tables["study_findings"]
    row = one(made, finding=claims.CPU_SLOWER, subject="Mi A2")
    effect = one(tables.effects(report.study, "float32"), host="mi_a2", delegate="default", variant="dynamic_range",
                 model="FireNet", metric=METRIC)  # fmt: skip
    assert row["value"] == pytest.approx(1 / effect["ratio"])
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((1 / effect["ci_high"], 1 / effect["ci_low"]))


def test_claims_that_the_data_contradict_or_cannot_tell():
    some = [row for row in rows(3) if (row["host"], row["delegate"]) == ("pixel", "default")]
    for row in some:
        if row["variant"] == "dynamic_range":
            row[METRIC] /= 2
            row["memory_overall_mb"] = 11.0 + row["block"] / 100
    bare = entries(dynamic_range={"size_bytes": 8_000_000}, pruned_dynamic_range={"compressed_bytes": None})
    made = document.build(phones(some, models=bare))
    assert set(verdicts(made, claims.CPU_SLOWER).values()) == {claims.CONTRADICTED}
    assert verdicts(made, claims.GPU_NOT_SLOWER) == {("", "baseline / candidate time"): claims.NOT_MEASURED}
    assert set(verdicts(made, claims.HALF_MEMORY).values()) == {claims.CONTRADICTED}
    assert verdicts(made, claims.QUARTER) == {("FireNet", "baseline / candidate size"): claims.CONTRADICTED}
    saves = made.tables["study_findings"]
    saves = saves[saves["variant"] == "pruned_dynamic_range"]
    assert saves.set_index("quantity")["verdict"].to_dict() == {
        "baseline / candidate size": claims.CONTRADICTED,
        "baseline / candidate compressed size": claims.NOT_MEASURED,
    }


def test_a_claim_about_a_delegate_says_where_it_executes_only_parts(report):
    made = report.tables["study_findings"]
    basis = {row.subject: row.basis for row in made[made["finding"] == claims.GPU_NOT_SLOWER].itertuples()}
    assert basis["Mi A2"] == "1 model"
    assert basis["Pixel 8"] == "1 model; FireNet: gpu executes only 15 of 19 nodes of dynamic_range"
    text = " ".join(sentence for finding in report.findings for sentence in finding.sentences)
    assert "On Mi A2's GPU it is 1.02" in text
    assert "On Pixel 8's GPU* it is 1.02" in text


def test_sizes_are_those_of_files_that_were_measured_in_one_way():
    """Files of other input sizes are no smaller for what was done to their weights."""
    some = [row | {"input_size": 128} for row in few()]
    some.insert(0, some[0] | {"input_size": 64})
    models = [entry | {"size_bytes": 2_500_000, "input_size": 64, "sha256": "e" * 64} for entry in entries()[:1]]
    made = document.build(phones(some, models=[*models, *entries()]))
    row = one(made.tables["study_findings"], finding=claims.QUARTER)
    assert (row["verdict"], row["basis"]) == (claims.CONFIRMED, "8.50 and 2.14 MB")


def test_what_was_measured_on_no_cpu_is_asked_of_the_one_that_comes_by_itself():
    made = document.build(phones([row for row in rows(2) if row["delegate"] == "gpu"])).tables["study_findings"]
    assert set(made[made["finding"] == claims.CPU_SLOWER]["delegate"]) == {"default"}


def test_a_run_alone_has_no_interval_and_no_claim():
    made = document.build(phones(few()))
    assert set(verdicts(made, claims.CPU_SLOWER).values()) == {claims.NOT_MEASURED}
    assert math.isnan(one(made.tables["compression"], variant="float16")["ci_low"])


def test_a_log_of_one_gpu_run_has_its_row():
    data = dataset([run(delegate="gpu", delegation="completely")])
    made = document.build(data).tables["compression"]
    assert made[["delegation", "mean_ms", "absent"]].values.tolist() == [["completely", 5.0, ""]]
    assert tables_compression.notes(Study(data), made) == ["The accuracy of these files is not known."]
