"""A `Dataset` -> a report with its tables and plots, as files and on the terminal.

The report is a pure function of the logs: the same logs give the same bytes, wherever and whenever it is made.
"""

from __future__ import annotations

import difflib
import io
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis import (
    across,
    claims,
    findings,
    grids,
    hover,
    many,
    opening,
    output,
    plots,
    plots_across,
    plots_compression,
    plots_energy,
    plots_ops,
    plots_quality,
    plots_scenario,
    plots_sweeps,
    plots_usage,
    plotted,
    scenario,
    stats,
    sweeps,
    tables,
    tables_compression,
    tables_energy,
    tables_ops,
    tables_quality,
    tables_usage,
)
from analysis.campaign import Dataset
from analysis.errors import AnalysisError
from analysis.names import DEFAULT_BASELINE, DEFAULT_METRIC, TIME_METRICS, slug
from analysis.study import STUDY_METRICS, Machine, Setting, Study, metric_label

_DPI = 110
_FLOAT = "%.10g"  # the last digits of a sum depend on the processor that added
_FAST = {"compress_level": 1}  # packing harder takes longer than it is worth
_ALL_METRICS_EMBEDDED = 16  # machines and settings; with more, report.html would not stay below some MB
_FEW_ROWS = 24  # of a long table that is open in the page, or in report.md at all
_TERMINAL_LINES = 10  # of each list; the report has all


@dataclass(frozen=True)
class Report:
    """Everything that is written, but for the charts.

    Attributes:
        tables: by file name without ending; written as tables/<name>.csv and data/<name>.parquet.
        grids: what people paste, in fewer digits; written as tables/<name>.tex and .md.
        plots: whether there are charts.
    """

    study: Study
    baseline: str
    metric: str
    tables: dict[str, pd.DataFrame]
    grids: dict[str, grids.Grid]
    findings: list[findings.Finding]
    notices: list[findings.Notice]
    plots: bool = True

    @property
    def metrics(self) -> list[str]:
        """The metrics that have charts: the study's seven and the one of the speedups."""
        return list(dict.fromkeys([*STUDY_METRICS, self.metric]))

    @property
    def many(self) -> bool:
        """Whether there are too many machines for one page."""
        return across.many(self.study)

    @property
    def complete(self) -> bool:
        """Whether every log is ok, nothing is missing, and there was no problem."""
        missing = self.tables["speedup"]["verdict"].eq(stats.MISSING).any()
        missing |= self.tables["trust"]["configurations_missing"].any()
        found = self.study.dataset
        return not (missing or found.problems or found.unfinished or self.study.runs["status"].ne("ok").any())


def build(dataset: Dataset, baseline: str | None = None, metric: str = DEFAULT_METRIC) -> Report:
    """Compute a report.

    Raises:
        AnalysisError: a baseline or metric that there is not.
    """
    study = Study(dataset)
    baseline = _baseline(study, baseline)
    if metric not in TIME_METRICS:
        raise AnalysisError(f"--metric '{metric}': not a time to make speedups of; {_near(metric, TIME_METRICS)}")
    speedups = tables.speedups(study, metric, baseline)
    effects = tables.effects(study, baseline)
    trust = tables.trust(study, metric)
    decisions = tables.decisions(study, effects)
    summary = tables.summary(study)
    study_findings = claims.study_findings(study, speedups, effects, metric, baseline)
    final_results = {f"final_result_{study.stems[m]}": tables.final_result(study, m) for m in study.machines}
    of_sweeps = sweeps.tables_of(study, summary)
    optional = {
        "models": tables.models(study),
        "decisions": decisions,
        "cost": tables.cost(study),
        "phones": tables.phones(study),
        "study_findings": study_findings,
        **across.tables_of(study, summary, metric),
        **of_sweeps,
        **tables_ops.tables(study, baseline),
        **tables_energy.of_study(study, summary, baseline),
        **tables_compression.of_study(study, summary, baseline),
        **scenario.of_study(study, summary),
        **tables_quality.of_study(study),
        **tables_usage.of_study(study),
        **(_of_many(study, speedups) if across.many(study) else {}),
    }
    made = {
        "runs": tables.runs(study),
        "summary": summary,
        "speedup": speedups,
        "effects": effects,
        "machines": tables.machines(study),
        "trust": trust,
        **{name: table for name, table in optional.items() if len(table)},
    }
    as_they_are = ("summary", "effects", "trust", "decisions", "cost", "study_findings", "across", "threads")
    as_they_are += ("phones", "energy_meters", "energy", "sweeps", "lab_questions", "trade_off", "scenario_claims")
    as_they_are += ("quality", "agreement", "usage")
    return Report(
        study=study,
        baseline=baseline,
        metric=metric,
        tables=made | final_results,
        grids={
            **{name: getattr(grids, name)(study, made[name]) for name in as_they_are if name in made},
            "speedup": grids.speedups(study, speedups),
            "at_a_glance": grids.at_a_glance(study, speedups),
            "machines": grids.machines(study),
            "state": grids.state(study, trust),
            "models": grids.models(study),
            "missing": grids.missing(study, speedups),
            **{name: grids.final_result(table) for name, table in final_results.items()},
            **{
                f"compression_{study.stems[machine]}": grids.compression(study, part)
                for machine, part in (across.by_machine(made["compression"]) if "compression" in made else {}).items()
            },
            **{
                f"scenario_{study.stems[machine]}": grids.scenario(study, part)
                for machine, part in (across.by_machine(made["scenario"]) if "scenario" in made else {}).items()
            },
        },
        findings=[
            *findings.findings(study, speedups, effects, study_findings),
            *findings.of_sweeps(study, of_sweeps),
        ],
        notices=findings.notices(
            *(study, trust, speedups, decisions),
            *(made.get(name) for name in ("energy_meters", "phones", "scenario")),
        ),
    )


def _of_many(study: Study, speedups: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables that there are only with many machines."""
    problems = pd.DataFrame({"problem": study.dataset.problems}, dtype="str")
    return {"speedup_by_model": many.speedups_by_model(study, speedups), "problems": problems}


def _baseline(study: Study, asked: str | None) -> str:
    """The baseline that was asked for, else the campaigns' own, else float32."""
    if asked is not None:
        if asked not in study.variants:
            raise AnalysisError(f"--baseline '{asked}': no log is of this variant; {_near(asked, study.variants)}")
        return asked
    own = [v for v in study.variants if any(study.asked(name).get("baseline") == v for name in study.dataset.campaigns)]
    return own[0] if len(own) == 1 else DEFAULT_BASELINE


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return (f"did you mean '{near[0]}'? " if near else "") + f"known: {', '.join(known)}"


# --- charts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chart:
    """A chart that will be plots/<name>.png and .svg, if there is anything to draw.

    Attributes:
        data: the numbers that it draws, a row for each mark; written as plots/<name>.csv.
        topic: which part of the section on machines, threads and time it belongs to.
    """

    name: str
    title: str
    draw: Callable[[], Figure | None]
    data: Callable[[], pd.DataFrame | Sequence[tuple]] | None = None
    topic: str = ""


def charts(report: Report) -> list[Chart]:
    """All charts of a report."""
    if not report.plots:
        return []
    study, speedups = report.study, report.tables["speedup"]
    found = []
    if len(study.groups) > 1 and len(speedups):
        overview = plots_across.speedup_of_groups if report.many else plots.speedup_overview
        draw, data = partial(overview, study, speedups), partial(plotted.speedup_overview, speedups)
        found.append(Chart("speedup", "Speedups on every machine", draw, data))
    if report.many:  # those of a machine are drawn when a report of that machine is made
        draw, data = partial(plots.speedups_by_model, study, speedups), report.tables["speedup_by_model"].copy
        return [Chart("speedup_by_model", "Speedups over machines", draw, data), *found, *_charts_across(report)]
    of_place = tables.by_place(study, speedups)
    for place, stem in study.charted.items():
        where = study.place_label(*place)
        if place in of_place:
            mine = of_place[place]
            draw, data = partial(plots.speedup, study, mine, *place), partial(plotted.speedup, mine)
            found.append(Chart(f"{stem}_speedup", f"Speedups, {where}", draw, data))
        for metric in report.metrics:
            draw, data = (partial(part.bars, study, *place, metric) for part in (plots, plotted))
            found.append(Chart(f"{stem}_{metric}", f"{metric_label(metric)[0]}, {where}", draw, data))
        draw, data = (partial(part.repetitions, study, *place, report.metric) for part in (plots, plotted))
        found.append(Chart(f"{stem}_repetitions", f"All repetitions, {where}", draw, data))
    found += [Chart(*chart) for chart in plots_ops.charts(study, report.tables.get("op_profile"))]
    found += [Chart(*chart) for chart in plots_energy.charts(study, report.tables.get("energy"))]
    found += [Chart(*chart) for chart in plots_compression.charts(study, report.tables.get("compression"))]
    found += [Chart(*chart) for chart in plots_scenario.charts(study, report.tables.get("scenario"))]
    found += [Chart(*chart) for chart in plots_quality.charts(study, report.tables.get("confusion"))]
    found += [Chart(*chart) for chart in plots_usage.charts(study, report.tables.get("usage"))]
    return [*found, *_charts_of_sweeps(report), *_charts_across(report), *_charts_over_time(report)]


_OVER_MACHINES = (
    ("across", "times", "Times on every machine", plots_across.absolute_times),
    ("memory_and_size", "memory", "Size and memory", plots_across.memory_and_size),
)


def _charts_across(report: Report) -> list[Chart]:
    """The charts over all machines, each kind once for each setting."""
    study, found = report.study, []
    if "across" in report.tables:
        for setting, part in _charted_settings(report, "speedup").items():
            for variant, mine in part.groupby("variant", sort=False):
                where = ", ".join(filter(None, (variant, study.setting_label(setting))))
                draw = partial(plots_across.heat_map, study, mine, setting, variant)
                found.append(Chart(f"across_speedup_{slug(where)}", f"Speedups, {where}", draw, mine.copy, "speedups"))
    for table, topic, title, function in _OVER_MACHINES:
        if table in report.tables:
            for setting, part in _charted_settings(report, table).items():
                where = study.setting_label(setting)
                name = slug("_".join(filter(None, ("across", topic, where))))
                draw = partial(function, study, part, setting)
                found.append(Chart(name, ", ".join(filter(None, (title, where))), draw, part.copy, topic))
    return found


def _charted_settings(report: Report, table: str) -> dict[Setting, pd.DataFrame]:
    """A table cut by setting, without the settings that are points of a sweep."""
    charted = {setting for _, setting in report.study.charted}
    parts = across.by_setting(report.study, report.tables[table])
    return {setting: part for setting, part in parts.items() if setting in charted}


_AGAINST_BATCH, _SAME = plots_sweeps.against_batch, pd.DataFrame.copy
_SWEEPS = {  # title, chart, of what it is, the rows that it draws
    "batch": ("Latency against batch size", _AGAINST_BATCH, {"of": "mean_ms"}, _SAME),
    "batch_per_image": ("Latency per image against batch size", _AGAINST_BATCH, {"of": "per_image_ms"}, _SAME),
    "input": ("Latency against input size", plots_sweeps.against_input, {"of": "mean_ms"}, plots_sweeps.at_least_batch),
    "work": ("Latency against work", plots_sweeps.against_work, {}, plots_sweeps.with_work),
}


def _charts_of_sweeps(report: Report) -> list[Chart]:
    """The charts over batch and input sizes, each kind once for each machine and way to run."""
    study, found = report.study, []
    table = report.tables.get("sweeps")
    for which, part in {} if table is None else sweeps.by_series(table, variants=False).items():
        stem, where = study.stems[which.machine], sweeps.label(study, which)
        stem = slug(f"{stem}_sweep{where.removeprefix(study.labels[which.machine])}")
        for name, (title, function, facts, rows) in _SWEEPS.items():
            draw, data = partial(function, study, part, which, **facts), partial(rows, part)
            found.append(Chart(f"{stem}_{name}", f"{title}, {where}", draw, data, "sweeps"))
    return found


def _charts_over_time(report: Report) -> list[Chart]:
    """The charts of thread counts, of the campaign's course and of iterations."""
    study, found = report.study, []
    if "threads" in report.tables:
        charted = {(machine, setting._replace(threads=None)) for machine, setting in study.charted}
        for (machine, rest), part in across.by_sweep(study, report.tables["threads"]).items():
            if (machine, rest) not in charted:
                continue
            stem = slug("_".join(filter(None, (study.stems[machine], "threads", across.sweep_label(study, rest)))))
            for name, column in (("time", "mean_ms"), ("gain", "speedup")):
                draw = partial(plots_across.threads, study, part, machine, rest, column)
                found.append(Chart(f"{stem}_{name}", f"Threads, {study.labels[machine]}", draw, part.copy, "threads"))
    timeline = report.tables.get("timeline")
    for machine, part in {} if timeline is None else across.by_machine(timeline).items():
        draw = partial(plots_across.timeline, study, part, machine)
        title = f"Timeline, {study.labels[machine]}"
        found.append(Chart(f"{study.stems[machine]}_timeline", title, draw, part.copy, "timeline"))
    for place, stem in study.charted.items():
        draw, data = partial(plots_across.iterations, study, *place), partial(across.iterations, study, *place)
        title = f"Single iterations, {study.place_label(*place)}"
        found.append(Chart(f"{stem}_iterations", title, draw, data, "iterations"))
    return found


def draw_all(todo: Sequence[Chart], directory: Path) -> None:
    """Draw and save charts as PNG and SVG, and their numbers as CSV, on Linux with every CPU."""
    workers = min(len(os.sched_getaffinity(0)), 8) if sys.platform == "linux" else 1
    shares = [todo[i::workers] for i in range(workers)]
    helpers = [multiprocessing.get_context("fork").Process(target=_draw, args=(s, directory)) for s in shares[1:]]
    for helper in helpers:
        helper.start()
    _draw(shares[0], directory)
    for helper, share in zip(helpers, shares[1:], strict=True):
        helper.join()
        if helper.exitcode != 0:
            _draw(share, directory)  # here its error is seen


def _draw(todo: Sequence[Chart], directory: Path) -> None:
    with rc_context(plots.STYLE):
        for chart in todo:
            figure = chart.draw()
            if figure is None:
                continue
            figure.savefig(directory / f"{chart.name}.png", dpi=_DPI, metadata={"Software": None}, pil_kwargs=_FAST)
            svg = io.StringIO()
            figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
            _write(directory / f"{chart.name}.svg", hover.titled(svg.getvalue()))
            if chart.data:
                _write_csv(directory / f"{chart.name}.csv", pd.DataFrame(chart.data()))


# --- files ------------------------------------------------------------------------------------------------------------


def write(report: Report, directory: Path) -> None:
    """Write everything into a new directory."""
    for part in ("tables", "plots", "data"):
        (directory / part).mkdir(parents=True)
    todo = charts(report)
    draw_all(todo, directory / "plots")
    for name, table in report.tables.items():
        _write_csv(directory / "tables" / f"{name}.csv", table)
        if name not in ("runs", "op_profile"):  # whose parquet has more than the table
            _write_parquet(directory / "data" / f"{name}.parquet", table)
    for name, grid in report.grids.items():
        if not grid.rows:
            continue
        _write(directory / "tables" / f"{name}.tex", grids.latex(grid))
        _write(directory / "tables" / f"{name}.md", grids.markdown(grid) + "\n")
    iterations = pa.field("iteration_wall_us", pa.list_(pa.float64()))
    every_run = report.study.dataset.runs
    runs = pa.Table.from_pandas(every_run.drop(columns=iterations.name), preserve_index=False)
    runs = runs.append_column(iterations, pa.array(every_run[iterations.name].tolist(), iterations.type))
    pq.write_table(runs, directory / "data" / "runs.parquet")
    if "op_profile" in report.tables:
        report.study.dataset.op_profiles.to_parquet(directory / "data" / "op_profile.parquet", index=False)
    if report.many:
        (directory / "hosts").mkdir()
        pages = _many_pages(report, todo, directory / "plots")
    else:
        pages = render(report, todo, directory / "plots").items()
    for name, text in pages:
        _write(directory / name, text)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=table.index.name is not None, float_format=_FLOAT, lineterminator="\n")


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    """The same as in the CSV; a column with both numbers and texts is text."""
    table = table.reset_index() if table.index.name else table
    columns = {}
    for name, column in table.items():
        values = column.convert_dtypes() if column.dtype == object else column
        if values.dtype == object:
            values = values.map(str, na_action="ignore")
        elif pd.api.types.is_float_dtype(values.dtype):
            values = values.map(lambda value: float(_FLOAT % value), na_action="ignore")
        columns[name] = values
    pq.write_table(pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False), path)


def publish(report: Report, out: Path, made_from: Mapping[str, Any] | None = None) -> None:
    """Write a report in a hidden place and then put it into `out`, so that a failure leaves what was there before.

    Args:
        report: what to write.
        out: its directory; what else a user keeps there stays.
        made_from: the record for `output.current`.

    Raises:
        AnalysisError: `out` cannot be written, or holds something that is not a report.
    """
    output.check(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=output.MAKING, dir=out) as temporary:
            new = Path(temporary, "new")
            write(report, new)
            if made_from is not None:
                record = {**made_from, "complete": report.complete, "said": terminal_text(report)}
                _write(new / output.MADE_FROM, json.dumps(record, indent=1, sort_keys=True) + "\n")
            output.replace(new, out, Path(temporary, "old"))
    except OSError as error:
        raise output.unwritable(out, error) from error


# --- report.html and report.md ----------------------------------------------------------------------------------------

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=jinja2.select_autoescape(["html.j2"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"markdown": grids.markdown, "text": grids.markdown_text}


def render(report: Report, todo: Sequence[Chart], plots_directory: Path) -> dict[str, str]:
    """report.html and report.md, whose charts are in `plots_directory`."""
    study, speedups = report.study, report.tables["speedup"]
    drawn = _drawn(todo, plots_directory)
    beside = opening.scenario(study, report.tables.get("scenario"))
    beside += [*opening.energy(study, report.tables.get("energy")), *findings.growth_in_short(report.tables)]
    compression, of_scenario, accuracy = (report.tables.get(name) for name in ("compression", "scenario", "quality"))
    if accuracy is not None:
        beside += tables_quality.in_short(accuracy, report.tables.get("agreement"))
    metrics = report.metrics if len(study.charted) <= _ALL_METRICS_EMBEDDED else [report.metric]
    context = {
        "report": report,
        "study": study,
        "grids": grids,
        "findings": findings,
        "tables_ops": tables_ops,
        # That there is nothing to compare is said where there is nothing else to say.
        "found": [*(opening.found(study, speedups) if len(speedups) or not beside else []), *beside],
        "sweeps": sweeps,
        "few_rows": _FEW_ROWS,
        "sure": opening.sure(study, speedups, report.tables["trust"]),
        "of_topic": lambda topic: [name for name, chart in drawn.items() if chart.topic == topic],
        "counts": study.runs["status"].value_counts().to_dict(),
        "metric": metric_label(report.metric),
        "metrics": [report.metric, *(m for m in metrics if m != report.metric)],
        "speedups": tables.by_place(study, speedups),
        "energy": tables.by_place(study, report.tables["energy"]) if "energy" in report.tables else {},
        "compression": across.by_machine(compression) if compression is not None else {},
        "scenario": {} if of_scenario is None else across.by_machine(of_scenario),
        "scenario_notes": [] if of_scenario is None else scenario.notes(of_scenario),
        "compression_notes": [] if compression is None else tables_compression.notes(study, compression),
        "quality_notes": [] if accuracy is None else tables_quality.notes(study, accuracy),
        "not_reported": [m for m in report.metrics if not any(f"{s}_{m}" in drawn for s in study.charted.values())],
        "charts": drawn,
        "svg": lambda name: _inlined(drawn[name], plots_directory),
    }
    return {name: TEMPLATES.get_template(f"{name}.j2").render(context) for name in ("report.html", "report.md")}


def _drawn(todo: Sequence[Chart], directory: Path) -> dict[str, Chart]:
    """The charts that had something to draw, by name."""
    return {chart.name: chart for chart in todo if (directory / f"{chart.name}.svg").exists()}


def _inlined(chart: Chart, directory: Path) -> str:
    svg = (directory / f"{chart.name}.svg").read_text(encoding="utf-8")
    return hover.inlined(svg, chart.title, f"{chart.name}-")


def _many_pages(report: Report, todo: Sequence[Chart], plots_directory: Path) -> Iterator[tuple[str, str]]:
    """report.html and report.md of many machines together, and hosts/<host>.html of each: names and texts."""
    study, speedups = report.study, report.tables["speedup"]
    drawn = _drawn(todo, plots_directory)
    context = {
        "report": report,
        "study": study,
        "grids": grids,
        "many": many,
        "findings": findings,
        "overall": findings.overall(speedups),
        "counts": study.runs["status"].value_counts().to_dict(),
        "metric": metric_label(report.metric),
        "campaigns": list(dict.fromkeys(machine.campaign for machine in study.machines)),
        "links": {study.labels[machine]: f"hosts/{stem}.html" for machine, stem in study.stems.items()},
        "charts": drawn,
        "svg": lambda name: _inlined(drawn[name], plots_directory),
    }
    for name in ("report.html", "report.md"):
        yield name, TEMPLATES.get_template(name.replace("report", "many") + ".j2").render(context)
    found = {finding.where: finding for finding in report.findings}
    speedups_of: dict[Machine, dict] = {machine: {} for machine in study.machines}
    for place, rows in tables.by_place(study, speedups).items():
        speedups_of[place[0]][place] = rows
    page = TEMPLATES.get_template("host.html.j2")
    for machine, stem in study.stems.items():
        of_host = {
            "machine": machine,
            "speedups": speedups_of[machine],
            "found": [found[study.place_label(*place)] for place in speedups_of[machine] if place in study.charted],
            "means": report.tables[f"final_result_{stem}"],
        }
        yield f"hosts/{stem}.html", page.render(context | of_host)


# --- the terminal -----------------------------------------------------------------------------------------------------


def terminal_text(report: Report) -> str:
    """The short version: speedups, what to beware of, and what could not be used."""
    study = report.study
    blocks = []
    measured = {cell.machine for cell in study.statuses}
    for (machine, setting), table in tables.by_place(study, report.tables["speedup"]).items():
        if machine not in measured:
            continue  # that nothing has come home is said below
        grid = grids.terminal_speedups(table)
        title = f"{study.place_label(machine, setting)} ({metric_label(report.metric)[0].lower()})"
        blocks.append(f"{title}\n{grids.plain(grid)}")
    lines = [*_some("\n\n".join, blocks, "machines or settings"), "", findings.overall(report.tables["speedup"])]
    lines += [*opening.scenario(study, report.tables.get("scenario")), *findings.growth_in_short(report.tables)]
    counts = study.runs["status"].value_counts()
    parts = filter(None, [", ".join(f"{n} {status}" for status, n in counts.items()), findings.repeats(study)])
    lines.append(f"{tables.count(len(study.runs), 'run')}: {'; '.join(parts)}")
    lines += [f"! {notice.text}" for notice in report.notices if notice.level != findings.NOTE]
    lines += _some("\n".join, [f"  {' '.join(row[1:])}" for row in grids.unusable(study).rows], "logs")
    said = [*study.dataset.problems, *study.dataset.notes]
    lines += _some("\n".join, [f"  {text}" for text in said], "problems or notes")
    return "\n".join(lines)


def _some(join: Callable[[Sequence[str]], str], texts: Sequence[str], noun: str) -> list[str]:
    """The first few, and how many more there are."""
    more = len(texts) - _TERMINAL_LINES
    first = [join(texts[:_TERMINAL_LINES])] if texts else []
    return [*first, f"  and {more} more {noun}, see the report"] if more > 0 else first
