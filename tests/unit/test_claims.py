"""The study's findings, computed anew: numbers, verdicts, and what the data cannot say."""

from __future__ import annotations

import math
import random
import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis import claims, document, stats, tables
from analysis.study import Study
from tests.unit.datasets import adaptive, dataset, run
from tests.unit.fleets import EIGHT, eight, of_eight

METRIC = "avg_inference_ms"
MODELS = ("MobileNet", "ResNet50", "VGG19")
INTEL = ("icelake", "cascadelake", "skylake", "broadwell", "haswell")


def found(rows, **parts) -> pd.DataFrame:
    study = Study(of_eight(rows, **parts))
    speedups, effects = tables.speedups(study, METRIC, "float32"), tables.effects(study, "float32")
    return claims.study_findings(study, speedups, effects, METRIC, "float32")


def row(table: pd.DataFrame, finding: str, **facts: str) -> pd.Series:
    """The row of a finding that its verdict is in."""
    mine = table[(table["finding"] == finding) & (table["verdict"] != "")]
    for name, value in facts.items():
        mine = mine[mine[name] == value]
    (only,) = [mine.loc[i] for i in mine.index]
    return only


def speedup_logs(rows, *hosts: str) -> list[float]:
    """The mean logarithm of each host's speedups, by hand."""
    logs = []
    for host in hosts:
        mean = {
            (model, variant): np.mean(
                [r[METRIC] for r in rows if (r["host"], r["model"], r["variant"]) == (host, model, variant)]
            )
            for model in MODELS
            for variant in ("float32", "dynamic_range")
        }
        logs.append(np.mean([math.log(mean[m, "float32"] / mean[m, "dynamic_range"]) for m in MODELS]))
    return logs


@pytest.fixture(scope="module")
def rows():
    return eight(5, models=MODELS)


@pytest.fixture(scope="module")
def of_study(rows):
    return found(rows)


# --- estimates --------------------------------------------------------------------------------------------------------


def test_means_over_machines_are_students():
    noise = random.Random(3)
    logs, base = ([noise.gauss(mean, 0.3) for _ in range(n)] for mean, n in ((0.8, 4), (0.1, 7)))
    one = scipy.stats.ttest_1samp(logs, 0)
    expected = [math.exp(np.mean(logs)), *map(math.exp, one.confidence_interval()), one.pvalue]
    assert list(claims.mean_over(logs)) == pytest.approx(expected)
    two = scipy.stats.ttest_ind(logs, base, equal_var=False)
    expected = [math.exp(np.mean(logs) - np.mean(base)), *map(math.exp, two.confidence_interval()), two.pvalue]
    assert list(claims.ratio_of_means(logs, base)) == pytest.approx(expected)


def test_one_machine_is_no_sample():
    assert math.isnan(claims.mean_over([0.5]).ci_low)
    assert math.isnan(claims.ratio_of_means([0.5], [0.1, 0.2]).ci_low)
    assert math.isnan(claims.mean_over([]).value)
    assert list(claims.mean_over([0.0, 0.0])) == [1, 1, 1, 1]


# --- findings ---------------------------------------------------------------------------------------------------------


def test_machines_are_the_replicates_of_findings_on_machines(rows, of_study):
    general = row(of_study, claims.GENERAL)
    expected = claims.mean_over(speedup_logs(rows, *EIGHT))
    assert [general["value"], general["ci_low"], general["ci_high"]] == pytest.approx(list(expected[:3]))
    assert general["n"] == 8
    vnni = row(of_study, claims.VNNI)
    sides = [speedup_logs(rows, *hosts) for hosts in (("icelake", "cascadelake"), (*INTEL[2:], "colab"))]
    expected = claims.ratio_of_means(*sides)
    assert [vnni["value"], vnni["ci_low"], vnni["ci_high"]] == pytest.approx(list(expected[:3]))
    assert vnni["n"] == 6
    assert "Raspberry" not in vnni["basis"]


def test_two_machines_of_one_processor_count_once(rows):
    twin = [r | {"host": "icelake2"} for r in rows if r["host"] == "icelake"]
    facts = {("demo", "icelake2"): {"cpu_model": "Intel Ice Lake", **EIGHT["icelake"][3]}}
    assert row(found([*rows, *twin], hosts=facts), claims.VNNI)["n"] == 6


def test_machines_with_vnni_gain_more_where_enough_of_them_do():
    gains = dict(zip(INTEL, (1.4, 1.3, 0.7, 0.65, 0.6), strict=True))
    rows = eight(4, INTEL, MODELS)
    for r in rows:
        if r["variant"] == "dynamic_range":
            r[METRIC] *= EIGHT[r["host"]][2] / gains[r["host"]]
    vnni = row(found(rows), claims.VNNI)
    assert vnni["verdict"] == claims.CONFIRMED
    assert 1.5 < vnni["ci_low"] < vnni["value"] < vnni["ci_high"] < 3
    turned = {("demo", h): EIGHT[h][3] | {"cpu_features": EIGHT[o][3]["cpu_features"]}
              for h, o in zip(INTEL, ("haswell", "haswell", "icelake", "icelake", "icelake"), strict=True)}  # fmt: skip
    assert row(found(rows, hosts=turned), claims.VNNI)["verdict"] == claims.CONTRADICTED


@pytest.mark.parametrize(
    ("hosts", "finding", "verdict", "basis"),
    [
        (("icelake", "skylake", "haswell"), claims.VNNI, "not measured", "two kinds of machine on either side"),
        (("haswell", "pi5"), claims.VNNI, "not measured", "x86 machines with VNNI: none"),
        (("pi5",), claims.GENERAL, "not measured", "an interval needs two kinds of machine; here Raspberry Pi 5"),
        (("pi5", "icelake"), claims.PI_GAIN, "not measured", "no Raspberry Pi 4"),
        (("icelake",), claims.PI_GAIN, "not measured", "no Raspberry Pi 5 and no Raspberry Pi 4"),
    ],
)
def test_what_the_machines_cannot_say_is_not_measured(rows, hosts, finding, verdict, basis):
    said = row(found([r for r in rows if r["host"] in hosts]), finding)
    assert said["verdict"] == verdict
    assert basis in said["basis"]
    assert math.isnan(said["ci_low"])


def test_unknown_instructions_are_not_guessed(rows):
    intel = [r for r in rows if r["host"] in INTEL]
    said = row(found(intel, hosts={("demo", "icelake"): {}}), claims.VNNI)
    assert said["verdict"] == claims.NOT_MEASURED
    assert "instructions not known: Intel Ice Lake" in said["basis"]


def test_machines_that_became_slower_are_named_with_their_models(of_study):
    slower = of_study[(of_study["finding"] == claims.SLOWER) & (of_study["verdict"] == stats.SLOWER)]
    assert list(slower["subject"]) == ["Intel Broadwell"]
    assert "slower: MobileNet 0.1" in slower["basis"].item()
    models = of_study[of_study["quantity"] == "machines on which it is slower"].set_index("subject")
    assert models.loc["MobileNet", ["value", "n"]].tolist() == [8, 8]
    assert models.loc["ResNet50", "basis"] == "Intel Broadwell"


def test_two_boards_are_compared_by_their_repetitions(rows, of_study):
    for variant in ("float32", "dynamic_range"):
        speed = row(of_study, claims.PI_SPEED, variant=variant)
        ratios = []
        for model in MODELS:
            samples = [
                stats.Sample(
                    [r[METRIC] for r in rows if (r["host"], r["model"], r["variant"]) == (host, model, variant)],
                    [None] * 5,
                )
                for host in ("pi4", "pi5")
            ]
            ratios.append(stats.speedup(*samples))
        expected = stats.geometric_mean(ratios)
        assert [speed["value"], speed["ci_low"]] == pytest.approx([expected.speedup, expected.ci_low])
        assert speed["verdict"] == claims.CONFIRMED
        each = of_study[(of_study["subject"] == "pi5 / pi4, MobileNet") & (of_study["finding"] == claims.PI_SPEED)]
        assert each.set_index("variant").loc[variant, "ci_high"] == pytest.approx(ratios[0].ci_high)
    gain = row(of_study, claims.PI_GAIN)
    five, four = speedup_logs(rows, "pi5", "pi4")
    assert gain["value"] == pytest.approx(math.exp(five - four))
    assert gain["ci_low"] < gain["value"] < gain["ci_high"]


def test_boards_of_a_campaign_that_stops_when_it_knows_enough_count_as_their_first_repetitions(rows, of_study):
    capped = found([r for r in rows if r["host"].startswith("pi")], campaigns=adaptive(3, 9))
    for finding in (claims.PI_GAIN, claims.PI_SPEED):
        wide, narrow = (row(table, finding, variant="dynamic_range") for table in (capped, of_study))
        assert wide["value"] == pytest.approx(narrow["value"])
        assert wide["ci_low"] < narrow["ci_low"] < narrow["ci_high"] < wide["ci_high"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runner_version": "9"}, "runner_version differs: 2.3.0, 9"),
        ({"weights": "random"}, "weights differs: imagenet, random"),
        ({"model_sha256": "other"}, "model file differs: MobileNet float32"),
        ({"runner_sha256": "other"}, "runner_sha256 differs on aarch64"),
    ],
)
def test_boards_that_were_not_measured_alike_are_not_compared(rows, change, words):
    pis = [r | (change if r["host"] == "pi4" else {}) for r in rows if r["host"].startswith("pi")]
    if "runner_sha256" in change:
        pis = [r | ({"runner_sha256": "one"} if r["host"] == "pi5" else {}) for r in pis]
    table = found(pis)
    for finding in (claims.PI_GAIN, claims.PI_SPEED):
        said = row(table, finding, variant="dynamic_range")
        assert said["verdict"] == stats.NOT_COMPARABLE
        assert words.replace("float32", "") in said["basis"].replace("dynamic_range", "").replace("float32", "")
        assert math.isnan(said["value"])
    assert row(table, claims.GENERAL)["verdict"] == stats.NOT_COMPARABLE


def test_a_model_of_another_file_is_left_out_of_the_comparison_of_boards(rows):
    pis = [r for r in rows if r["host"].startswith("pi")]
    pis = [r | ({"model_sha256": "x"} if (r["host"], r["model"]) == ("pi4", "ResNet50") else {}) for r in pis]
    speed = row(found(pis), claims.PI_SPEED, variant="float32")
    assert speed["n"] == 2
    assert "without ResNet50: model file differs: ResNet50 float32" in speed["basis"]


def test_several_boards_are_compared_as_boards():
    rows, hosts, noise = [], {}, random.Random(1)
    for host in ("pi4", "pi5"):
        for i, factor in enumerate((noise.gauss(1, 0.02) for _ in range(3)), start=1):
            name = f"{host}-{i}"
            rows += [r | {"host": name, METRIC: r[METRIC] * factor} for r in eight(3, (host,), MODELS)]
            hosts["demo", name] = EIGHT[host][3] | {"platform_label": EIGHT[host][0], "board_model": EIGHT[host][0]}
    speed = row(found(rows, hosts=hosts), claims.PI_SPEED, variant="float32")
    assert speed["n"] == 6
    assert speed["basis"].startswith("3 models, 3 boards against 3")
    assert 2.8 < speed["ci_low"] < 3 < speed["ci_high"] < 3.2


def test_initialization_may_be_faster_where_inference_is_not(of_study):
    still = of_study[of_study["finding"] == claims.STILL_INITIALIZED].iloc[0]
    assert (still["value"], still["n"]) == (9, 9)
    assert row(of_study, claims.INITIALIZATION)["verdict"] == claims.CONFIRMED
    memory = row(of_study, claims.MEMORY)
    assert 1 < memory["ci_low"] < memory["value"] < 4


def test_what_has_a_verdict_by_numbers_is_corrected_over_the_table(of_study):
    tested = of_study[of_study["p_value"].notna()]
    assert tested["p_holm"].tolist() == pytest.approx(list(stats.holm(tested["p_value"])))
    assert set(tested["verdict"]) == {claims.CONFIRMED, stats.NOT_DISTINGUISHABLE}
    assert len(tested) == 7


# --- in words ---------------------------------------------------------------------------------------------------------


def sentences(rows) -> dict[str, str]:
    return {found.where: " ".join(found.sentences) for found in document.build(of_eight(rows)).findings}


def test_the_report_says_what_was_found_of_each(rows):
    said = sentences(rows)
    assert list(said)[:2] == ["The study's findings, dynamic_range", "The study's findings, float32"]
    ratio = r"\d\.\d+ \(0?\d?\.\d+ to \d\.\d+\)"
    for words in (
        rf"dynamic_range is {ratio} times as fast as float32 in the geometric mean over 8 kinds of machine: ",
        rf"Slower in the mean of the models: Intel Broadwell {ratio}\. ",
        r"Slower in single models: MobileNet on 8 of 8, ResNet50 on 1 of 8 machines\. ",
        rf"Machines with VNNI gain {ratio} times what x86 machines without it gain \(6 kinds of machine\): ",
        rf"With dynamic_range a Raspberry Pi 5 is {ratio} times as fast as a 4 \(the study: about three\): confirmed",
        rf"The speedup on a Raspberry Pi 5 is {ratio} times that on a 4: confirmed\. ",
        rf"Initialization is {ratio} times as fast over 8 kinds of machine: confirmed\. ",
        r"In 9 of 9 comparisons without faster inference, initialization is faster\. ",
        rf"Overall memory is {ratio} of float32's: confirmed\.$",
    ):
        assert re.search(words, said["The study's findings, dynamic_range"])
    assert "Not measured" not in said["The study's findings, dynamic_range"]


def test_one_machine_comes_first_and_what_it_cannot_say_is_said(rows):
    said = sentences([r for r in rows if r["host"] == "pi5"])
    assert list(said) == ["Raspberry Pi 5", "The study's findings, dynamic_range"]
    assert (
        "Raspberry Pi 5 gains more than 4 and Raspberry Pi 5 is faster than 4 (no Raspberry Pi 4)"
        in (said["The study's findings, dynamic_range"])
    )


def test_logs_without_a_candidate_say_nothing_of_the_study():
    made = document.build(of_eight([run(repetition=i) for i in range(3)]))
    assert "study_findings" not in made.tables
    assert made.findings == []


def test_of_what_a_runner_does_with_the_same_weights_no_finding_is_asked():
    rows = [
        run(model=model, variant=variant, runner="torch", repetition=k, block=k, avg_inference_ms=10.0 + k / 10)
        for model in ("MobileNet", "VGG16")
        for variant in ("float32", "compiled", "channels_last")
        for k in (1, 2, 3)
    ]
    report = document.build(dataset(rows))
    assert set(report.tables["speedup"]["variant"]) == {"compiled", "channels_last"}
    assert "study_findings" not in report.tables
    assert not [finding for finding in report.findings if "study" in finding.where]
