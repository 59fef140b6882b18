"""What runs classified: with the file that was measured, against each other, on many machines, in words and charts."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context

from analysis import document, grids, plots, plots_quality, quality, stats, tables_quality
from analysis.campaign import Dataset
from analysis.names import EVALUATE, MEASURE
from analysis.quality import Evaluation, confusion_matrix
from analysis.study import Study
from tests.unit.classifiers import CONFIGURATIONS, TARGETS, classifiers, evaluation, rows

NAMES = ("quality", "quality_classes", "confusion", "agreement")


@pytest.fixture(scope="module")
def report():
    return document.build(classifiers())


@pytest.fixture(scope="module")
def out(report, tmp_path_factory):
    """The report as files, with its own charts: of all others there are tests elsewhere."""
    path = tmp_path_factory.mktemp("classifiers") / "kenning"
    own = [chart for chart in document.charts(report) if chart.name in ("confusion", "laptop_usage")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "charts", lambda _: own)
        document.publish(report, path)
    return path


def few(**changed: Evaluation) -> Dataset:
    """One run of each configuration on the laptop; what is changed, by runner and variant: `litert_int8=...`."""
    found = classifiers(rows(("laptop",), repetitions=1))
    return replace(found, evaluations={key: changed.get(_name(key), of) for key, of in found.evaluations.items()})


def _name(key: tuple[str, str, str]) -> str:
    _, variant, runner, *_ = key[2].rpartition("/")[2].split(".")
    return f"{runner}_{variant}"


def tables(dataset: Dataset) -> dict[str, pd.DataFrame]:
    return tables_quality.of_study(Study(dataset))


def one(table: pd.DataFrame, **facts: str) -> pd.Series:
    """The only row with these facts."""
    for name, value in facts.items():
        table = table[table[name] == value]
    (row,) = [table.loc[i] for i in table.index]
    return row


def in_short(dataset: Dataset) -> str:
    found = tables(dataset)
    (text,) = tables_quality.in_short(found["quality"], found.get("agreement"))
    return text


def test_golden(out, golden):
    markdown = (out / "report.md").read_text(encoding="utf-8")
    start, end = (markdown.index(title) for title in ("## How well", "## Across machines"))
    golden("report/quality.md", markdown[start:end])
    for name in ("quality.csv", "agreement.csv", "agreement.tex", "usage.csv"):
        golden(f"report/{name}", (out / "tables" / name).read_text(encoding="utf-8"))


def test_the_page_has_the_sections_and_their_charts(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    for section in ("quality", "usage"):
        assert f'<section id="{section}">' in page
        assert f'<a href="#{section}">' in page
    for name in ("confusion", "laptop_usage"):
        assert (out / "plots" / f"{name}.png").is_file()
        assert f"plots/{name}.png" in page


def test_nothing_is_said_where_nothing_was_classified():
    found = replace(few(), evaluations={})
    assert tables(found) == {}
    assert list(plots_quality.charts(Study(found), None)) == []


# --- the file that was measured ---------------------------------------------------------------------------------------


def test_only_the_file_that_was_measured_counts():
    some = rows(("laptop",), repetitions=1)
    for row in some:
        if row["phase"] == EVALUATE and row["variant"] == "int8":
            row["model_sha256"] = "f" * 64
    dataset = classifiers(some)
    found = tables(dataset)
    row = one(found["quality"], variant="int8")
    assert pd.isna(row["accuracy_percent"])
    assert pd.isna(row["matrix"])
    assert row["remark"] == (
        "not counted: the runs that were measured had another file (sha256 696e74382e74, not ffffffffffff)"
    )
    assert len(found["quality"]) == len(CONFIGURATIONS)
    for name in NAMES[1:]:
        assert "int8" not in set(found[name]["variant"]), name
    said = tables_quality.notes(Study(dataset), found["quality"])
    assert f"DigitCNN by litert int8 on Laptop is {row['remark']}." in said


def test_an_invalid_run_counts_no_more_than_elsewhere():
    """But what a repetition classified counts, even if its times do not: Kenning's runs do both."""
    some = rows(("laptop",), repetitions=1)
    for row in some:
        if row["phase"] == EVALUATE and row["runner"] == "litert":
            row |= {"status": "invalid", "reason": "the flag --evaluate was not understood"}
    again = next(row for row in some if row["phase"] == EVALUATE and row["variant"] == "int8")
    some.append(again | {"status": "ok", "reason": "", "log": "laptop/again.log"})
    found = tables(classifiers(some))["quality"]
    row = one(found, runner="litert", variant="float32")
    assert pd.isna(row["accuracy_percent"])
    assert row["remark"] == "not counted: the flag --evaluate was not understood"
    row = one(found, runner="litert", variant="int8")
    assert (row["log"], row["n"], row["correct_images"]) == ("laptop/again.log", 1, 341)
    measured = [row | {"phase": MEASURE} for row in some]
    key = {(row["campaign"], row["host"], row["log"]): evaluation("laptop", row["variant"]) for row in measured}
    assert tables(classifiers(measured, evaluations=key))["quality"]["accuracy_percent"].notna().all()


def test_a_file_whose_hash_nobody_knows_counts():
    some = [row | {"model_sha256": ""} for row in rows(("laptop",), repetitions=1)]
    assert tables(classifiers(some))["quality"]["accuracy_percent"].notna().all()


@pytest.mark.parametrize(
    ("entry", "remark"),
    [
        ({"correct_images": 350}, "the model builder counted 350 right, not 341"),
        ({"correct_images": 341}, ""),
        ({"correct_images": None}, ""),
        ({"correct_images": 350, "evaluated_images": 900}, ""),
        ({"correct_images": 350, "evaluated_on": "faces"}, ""),
        ({"correct_images": 350, "sha256": "e" * 64}, ""),
    ],
)
def test_the_model_builder_may_have_counted_otherwise(entry, remark):
    dataset = few()
    sha256 = one(dataset.runs, variant="int8", phase=EVALUATE)["model_sha256"]
    file = {"model": "DigitCNN", "variant": "int8", "format": "tflite", "sha256": sha256}
    file |= {"evaluated_on": "digits", "evaluated_images": 360} | entry
    found = tables(replace(dataset, campaigns={"kenning": {"models": [file]}}))
    assert one(found["quality"], variant="int8")["remark"] == remark


def notes(**changed: object) -> list[str]:
    dataset = few()
    dataset = replace(dataset, evaluations={key: replace(of, **changed) for key, of in dataset.evaluations.items()})
    return tables_quality.notes(Study(dataset), tables(dataset)["quality"])


def test_what_the_numbers_rest_on():
    shown = "DigitCNN was shown 360 images of digits in 10 classes."
    assert notes() == [f"{shown} They took no part in training."]
    assert notes(file_sha256="") == [f"{shown} Whether it was trained on them is not known."]
    remark = "the weights are from elsewhere: they may have been trained on these images"
    assert notes(remark=remark) == [shown], "it is among what to distrust"


def test_what_was_classified_with_once_is_said():
    some = rows(("laptop",), repetitions=1)
    some += [row | {"threads": 4, "log": f"4{row['log']}"} for row in some if row["phase"] == MEASURE]
    dataset = classifiers(some)
    said = tables_quality.notes(Study(dataset), tables(dataset)["quality"])
    assert "Each file was classified with once on each machine (threads 1), not in each setting." in said


# --- against the model itself -----------------------------------------------------------------------------------------


def test_agreement_and_which_images_only_one_has_right(report):
    row = one(report.tables["agreement"], host="laptop", variant="int8")
    assert (row["reference_runner"], row["reference_variant"]) == ("keras", "float32")
    assert (row["agreeing_images"], row["evaluated_images"]) == (348, 360)
    assert (row["only_reference_correct_images"], row["only_candidate_correct_images"]) == (12, 0)
    assert row["difference_points"] == pytest.approx(-100 * 12 / 360)
    assert row["p_value"] == pytest.approx(2 / 2**12)
    assert row["p_holm"] == pytest.approx(5 * 2 / 2**12), "five comparisons on this machine, this one first"
    assert row["verdict"] == "lower"
    same = one(report.tables["agreement"], host="laptop", variant="compiled")
    assert (same["agreement_percent"], same["p_value"], same["verdict"]) == (100, 1, stats.NOT_DISTINGUISHABLE)


def test_it_may_be_higher():
    float32 = evaluation("laptop", "int8")
    found = tables(few(keras_float32=float32))
    assert one(found["agreement"], runner="litert", variant="float32")["verdict"] == "higher"


@pytest.mark.parametrize(
    ("left_out", "reference"),
    [
        ((), "keras"),
        (("keras",), "litert"),
        (("keras", "litert"), "tvm"),
    ],
)
def test_float32_of_keras_is_the_model_itself_then_of_litert_then_any(left_out, reference):
    some = [row for row in rows(("laptop",), repetitions=1) if row["runner"] not in left_out]
    found = tables(classifiers(some))["agreement"]
    assert set(found["reference_runner"]) == {reference}
    compared = set(zip(found["runner"], found["variant"], strict=True))
    assert compared == {(row["runner"], row["variant"]) for row in some} - {(reference, "float32")}


def test_without_a_float32_there_is_nothing_to_compare_with():
    some = [row for row in rows(("laptop",), repetitions=1) if row["variant"] != "float32"]
    found = tables(classifiers(some))
    assert found["agreement"].empty
    assert len(found["quality"]) == 3


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"file_sha256": "2" * 64}, "not of the same images"),
        ({"targets": tuple(reversed(TARGETS))}, "not of the same images"),
        ({"targets": (), "predictions": ()}, "what each image was taken for is not known"),
    ],
)
def test_only_the_same_images_are_compared(changed, reason):
    found = tables(few(litert_int8=evaluation("laptop", "int8", **changed)))["agreement"]
    row = one(found, variant="int8")
    assert (row["verdict"], row["reason"]) == (stats.NOT_COMPARABLE, reason)
    assert pd.isna(row["agreement_percent"])
    others = found[found["variant"] != "int8"]
    assert one(others, variant="int8_untuned")["p_holm"] == pytest.approx(4 * 2 / 2**12), "it is in no family"


# --- the interval of a difference -------------------------------------------------------------------------------------


def test_a_difference_by_hand():
    """Agresti and Min's Wald + 2: 86.5 and 150.5 of 1602, of the approval ratings that Agresti's books have."""
    found = quality.difference(86, 150, 1600)
    assert found.value == -0.04
    half = 1.959964 * np.sqrt(86.5 + 150.5 - 64**2 / 1602) / 1602
    assert found[1:] == pytest.approx((-64 / 1602 - half, -64 / 1602 + half), abs=1e-6)


def test_a_difference_of_nothing_has_a_width_and_bounds():
    none = quality.difference(0, 0, 100)
    assert none.value == 0
    assert -0.03 < none.ci_low < 0 < none.ci_high < 0.03
    assert quality.difference(1, 0, 1).ci_high <= 1
    assert all(map(np.isnan, quality.difference(0, 0, 0)))
    with pytest.raises(ValueError, match="3 and 3 of 5"):
        quality.difference(3, 3, 5)


@pytest.mark.parametrize(("p_one", "p_other"), [(0.02, 0.02), (0.1, 0.02), (0.15, 0.1)])
def test_intervals_of_differences_cover(p_one, p_other):
    """The exact probability that the interval holds the true difference, over all outcomes of 60 images."""
    n, covered = 60, 0.0
    for one_only in range(n + 1):
        for other_only in range(n + 1 - one_only):
            rest = n - one_only - other_only
            chance = comb(n, one_only) * comb(n - one_only, other_only)
            chance *= p_one**one_only * p_other**other_only * (1 - p_one - p_other) ** rest
            found = quality.difference(one_only, other_only, n)
            covered += chance * (found.ci_low <= p_one - p_other <= found.ci_high)
    assert 0.93 < covered <= 1


# --- in words, and on several machines --------------------------------------------------------------------------------


def test_in_short_what_is_lower():
    assert in_short(few()) == (
        "DigitCNN classifies from 94.7 % (91.9 to 96.6; litert int8) to 98.1 % (96.0 to 99.1; keras float32) of 360 "
        "images of digits rightly. Accuracy is lower than that of keras float32 on the same images for litert int8 "
        "(-3.3 points, -5.2 to -1.4), tvm int8_untuned (-3.3 points, -5.2 to -1.4)."
    )


def test_in_short_what_is_not_distinguishable():
    float32 = evaluation("laptop", "float32")
    text = in_short(few(litert_int8=float32, tvm_int8_untuned=float32))
    assert text == (
        "DigitCNN classifies 98.1 % (96.0 to 99.1) of 360 images of digits rightly, whatever runs it. "
        "No accuracy is distinguishable from that of keras float32 on the same images."
    )


def test_in_short_where_it_is_lower():
    """On the server int8 is as good as float32."""
    dataset = classifiers(rows(("laptop", "server"), repetitions=1))
    better = {key: evaluation("server", "float32") for key in dataset.evaluations if key[1] == "server"}
    text = in_short(replace(dataset, evaluations=dataset.evaluations | better))
    assert "for litert int8 (-3.3 points, -5.2 to -1.4; on 1 of 2 machines), tvm" in text


def test_in_short_of_one_that_is_compared_with_nothing():
    some = [row for row in rows(("laptop",), repetitions=1) if row["variant"] == "int8"]
    assert in_short(classifiers(some)) == "DigitCNN classifies 94.7 % (91.9 to 96.6) of 360 images of digits rightly."


def test_machines_that_classify_alike_share_a_row(report):
    grid = grids.quality(report.study, report.tables["quality"])
    at = {name: grid.head.index(name) for name in ("Runner", "Variant", "Machines", "Matrix")}
    where = [tuple(row[i] for i in at.values()) for row in grid.rows]
    assert where == [
        ("keras", "float32", "all 3", "1"),
        ("keras", "compiled", "all 3", "1"),
        ("litert", "float32", "all 3", "1"),
        ("litert", "int8", "Laptop, Server", "2"),
        ("litert", "int8", "Raspberry Pi 5", "3"),
        ("tvm", "float32", "all 3", "1"),
        ("tvm", "int8_untuned", "Laptop, Server", "2"),
        ("tvm", "int8_untuned", "Raspberry Pi 5", "3"),
    ]


def test_one_machine_needs_no_column():
    study = Study(few())
    assert "Machines" not in grids.quality(study, tables(few())["quality"]).head


# --- confusions -------------------------------------------------------------------------------------------------------


def test_the_long_form_has_every_image_once(report):
    table = report.tables["confusion"]
    assert (table["images"] > 0).all()
    assert set(table.groupby(["host", "runner", "variant"])["images"].sum()) == {360}
    row = one(table, host="laptop", runner="litert", variant="int8", true_class="8", predicted_class="1")
    assert row["images"] == 13


def breeds(seed: int, classes: int = 37) -> Evaluation:
    """A classifier of so many classes that is wrong of a tenth of the images."""
    noise = np.random.default_rng(seed)
    targets = np.repeat(np.arange(classes), 20)
    said = np.where(noise.random(len(targets)) < 0.1, noise.integers(0, classes, len(targets)), targets)
    said[:20] = [5] * 7 + [0] * 13
    targets, said = tuple(targets.tolist()), tuple(said.tolist())
    names = tuple(f"breed {number}" for number in range(classes))
    return Evaluation(confusion_matrix(targets, said, classes), names, "pets", 19 * classes, targets, said)


def test_of_many_classes_the_most_frequent_confusions_are_listed():
    dataset = replace(few(), evaluations=dict.fromkeys(few().evaluations, breeds(1)))
    grid = grids.confused(Study(dataset))
    assert grid.rows[0] == ["DigitCNN", "1", "breed 0", "breed 5", "7", "35.0"]
    assert len(grid.rows) == 5
    assert grids.confused(Study(few())).rows == [], "ten classes have their numbers in the chart"


def figure(dataset: Dataset):
    study = Study(dataset)
    ((_, _, draw, _, _),) = plots_quality.charts(study, tables(dataset)["confusion"])
    with rc_context(plots.STYLE):
        return draw()


def test_each_matrix_is_drawn_once_with_its_numbers():
    panels = figure(few()).axes
    assert [axes.get_title().partition("\n")[0] for axes in panels] == [
        "1: keras float32, keras compiled, and 2 more",
        "2: litert int8, tvm int8_untuned",
    ]
    numbers = [text.get_text() for text in panels[1].texts]
    assert (numbers.count("36"), "13" in numbers) == (3, True)
    assert sum(map(int, numbers)) == 360


def test_a_large_matrix_is_a_heat_map_and_of_many_some_are_drawn():
    many = {key: breeds(i) for i, key in enumerate(classifiers().evaluations)}
    drawn = figure(classifiers(evaluations=many))
    assert len(drawn.axes) == tables_quality.MOST_MATRICES
    assert not any(axes.texts for axes in drawn.axes)
    assert any("9 more in tables/confusion.csv" in text.get_text().replace("\n", " ") for text in drawn.texts)
