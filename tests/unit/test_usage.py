"""What runs used over time: their means and peaks, and how they are drawn."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from matplotlib import rc_context

from analysis import grids, plots, plots_usage, tables_usage
from analysis.campaign import read
from analysis.study import Study
from analysis.usage import PROCESS, Usage
from tests.unit import kennings
from tests.unit.classifiers import CONFIGURATIONS, classifiers, rows
from tests.unit.datasets import dataset, run

UNEVEN = Usage(of=PROCESS, time_s=[1, 2, 4], cpu_percent=[100, 50, 0], memory_mb=[10, 30, 20])


def of_runs(*used: Usage | None, **facts: object) -> Study:
    """As many runs of one configuration, each with its samples."""
    found = dataset([run(repetition=i, **facts) for i, _ in enumerate(used, start=1)])
    keys = zip(*(found.runs[name] for name in ("campaign", "host", "log")), strict=True)
    return Study(replace(found, usage={key: one for key, one in zip(keys, used, strict=True) if one}))


def table(study: Study) -> pd.DataFrame:
    return tables_usage.usage(study)


def test_means_are_over_time_and_peaks_of_any_sample():
    """Sampled at 1, 2 and 4 s: the last value counts twice."""
    (row,) = table(of_runs(UNEVEN)).itertuples()
    assert (row.of, row.n, row.samples, row.watched_s) == ("process", 1, 3, 4)
    assert row.cpu_mean_percent == pytest.approx((100 + 50 + 2 * 0) / 4)
    assert row.memory_mean_mb == pytest.approx((10 + 30 + 2 * 20) / 4)
    assert (row.cpu_peak_percent, row.memory_peak_mb) == (100, 30)
    assert pd.isna(row.cpu_mean_ci_low_percent), "one run has no interval"
    assert pd.isna(row.memory_mean_percent)


def test_means_of_several_runs_have_intervals():
    more = replace(UNEVEN, memory_mb=[20, 40, 30])
    (row,) = table(of_runs(UNEVEN, more, None)).itertuples()
    assert (row.n, row.samples, row.memory_peak_mb) == (2, 6, 40)
    assert row.memory_mean_mb == pytest.approx(25)
    half = 12.7062 * (50**0.5) / 2**0.5  # Student's for one degree of freedom, times sd / sqrt(n)
    assert row.memory_mean_ci_high_mb == pytest.approx(25 + half, rel=1e-4)


def test_only_ok_runs_count():
    assert table(of_runs(UNEVEN, status="invalid")).empty
    assert tables_usage.of_study(of_runs(UNEVEN, status="failed")) == {}


def test_that_kenning_watches_the_whole_machine_is_said(tmp_path):
    study = Study(read([kennings.write(tmp_path / "lab/laptop", "native")]))
    (row,) = table(study).itertuples()
    assert (row.of, row.memory_peak_percent) == ("machine", 9.3)
    assert pd.isna(row.memory_mean_mb)
    grid = grids.usage(study, table(study))
    assert grid.rows[0][grid.head.index("Of")] == "the whole machine"
    drawn = figures(study)["laptop_usage"]
    cpu, memory = drawn.axes
    assert cpu.get_title().endswith("whole machine")
    assert memory.get_title() == "memory (%)"
    assert any("Whole machine: all that ran on it" in text.get_text() for text in drawn.texts)


# --- charts -----------------------------------------------------------------------------------------------------------


def figures(study: Study) -> dict[str, object]:
    with rc_context(plots.STYLE):
        return {name: draw() for name, _, draw, _, _ in plots_usage.charts(study, table(study))}


def test_a_pair_of_panels_for_each_model_and_setting():
    (figure,) = figures(Study(classifiers(rows(("laptop",))))).values()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["keras", "litert", "tvm", *["memory (MB)"] * 3]
    assert [len(axes.lines) for axes in figure.axes] == [6] * 6, "two variants, three runs each"
    assert figure.axes[3].get_ylim()[0] == 0


def test_of_many_panels_and_runs_some_are_drawn():
    some = [
        row | {"model": f"Model{model}", "log": f"{model}{row['log']}"}
        for model in range(4)
        for row in rows(("laptop",), repetitions=5)
    ]
    (figure,) = figures(Study(classifiers(some))).values()
    assert len(figure.axes) == 2 * plots_usage.MOST_PANELS
    assert {len(axes.lines) for axes in figure.axes} == {6}
    assert any("4 more pairs of panels" in text.get_text().replace("\n", " ") for text in figure.texts)


def test_places_that_no_panel_needs_are_empty():
    some = [
        row | {"model": f"Model{model}", "log": f"{model}{row['log']}"}
        for model in range(2)
        for row in rows(("laptop",), repetitions=1)
    ]
    (figure,) = figures(Study(classifiers(some))).values()
    assert [axes.get_title() for axes in figure.axes].count("memory (MB)") == 6
    assert len(figure.axes) == 12


def test_many_samples_are_thinned_without_losing_time_work_or_peaks():
    n = 1_000
    times = [0.01 * (i + 1) ** 1.2 for i in range(n)]
    busy = [float(i % 7) for i in range(n)]
    memory = [float(i == 777) for i in range(n)]
    used = Usage(of=PROCESS, time_s=times, cpu_percent=busy, memory_mb=memory)
    few = plots_usage.thinned(used)
    assert len(few.time_s) == len(few.cpu_percent) == len(few.memory_mb) == 77
    assert few.time_s[-1] == times[-1]
    assert max(few.memory_mb) == 1
    mean = tables_usage.mean_over_time
    assert mean(few, few.cpu_percent) == pytest.approx(mean(used, busy))
    assert plots_usage.thinned(UNEVEN) is UNEVEN


def test_the_numbers_of_a_chart():
    study = Study(classifiers(rows(("laptop",), repetitions=1)))
    ((_, _, _, numbers, _),) = plots_usage.charts(study, table(study))
    made = numbers()
    assert set(zip(made["runner"], made["variant"], strict=True)) == set(CONFIGURATIONS)
    assert made["of"].eq("process").all()
    assert len(made) == 30 * len(CONFIGURATIONS)
    assert made["memory_percent"].isna().all()
