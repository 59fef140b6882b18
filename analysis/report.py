"""Raw logs -> results/<campaign>/: a report with its tables and plots. `python -m analysis.report --help`.

The report is a pure function of the logs: the same logs give the same bytes, wherever and whenever it is made.
"""

from __future__ import annotations

import argparse
import base64
import difflib
import io
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jinja2
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis import campaign, findings, grids, plots, stats, tables
from analysis.campaign import Dataset
from analysis.errors import AnalysisError
from analysis.study import STUDY_METRICS, TIME_METRICS, Study, metric_label, slug

DEFAULT_METRIC, DEFAULT_BASELINE = "avg_inference_ms", "float32"
PARTS = ("report.html", "report.md", "tables", "plots", "data")  # what a report consists of
_DPI = 110
_FAST = {"compress_level": 1}  # packing harder takes longer than it is worth
_ALL_METRICS_EMBEDDED = 16  # machines and settings; with more, report.html would not stay below some MB
_TERMINAL_LINES = 10  # of each list; the report has all


@dataclass(frozen=True)
class Report:
    """Everything that is written, but for the charts.

    Attributes:
        tables: by file name without ending; written as tables/<name>.csv.
        latex: the same in fewer digits; written as tables/<name>.tex.
    """

    study: Study
    baseline: str
    metric: str
    tables: dict[str, pd.DataFrame]
    latex: dict[str, str]
    findings: list[findings.Finding]
    notices: list[findings.Notice]

    @property
    def metrics(self) -> list[str]:
        """The metrics that have charts: the study's seven and the one of the speedups."""
        return list(dict.fromkeys([*STUDY_METRICS, self.metric]))

    @property
    def complete(self) -> bool:
        """Whether every log is ok, nothing is missing, and there was no problem."""
        missing = self.tables["speedup"]["verdict"].eq(stats.MISSING).any()
        missing |= self.tables["trust"]["configurations_missing"].any()
        return not (missing or self.study.dataset.problems or self.study.runs["status"].ne("ok").any())


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
    summary = tables.summary(study)
    final_results = {f"final_result_{study.stems[m]}": tables.final_result(study, m) for m in study.machines}
    return Report(
        study=study,
        baseline=baseline,
        metric=metric,
        tables={
            "runs": tables.runs(study),
            "summary": summary,
            "speedup": speedups,
            "effects": effects,
            "machines": tables.machines(study),
            "trust": trust,
            **final_results,
        },
        latex={
            "summary": grids.latex(grids.summary(study, summary)),
            "speedup": grids.latex(grids.speedups(study, speedups)),
            "machines": grids.latex(grids.machines(study)),
            **{name: grids.latex(grids.final_result(table)) for name, table in final_results.items()},
        },
        findings=findings.findings(study, speedups, effects),
        notices=findings.notices(study, trust, speedups),
    )


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
    """A chart that will be plots/<name>.png and .svg, if there is anything to draw."""

    name: str
    title: str
    draw: Callable[[], Figure | None]


def charts(report: Report) -> list[Chart]:
    """All charts of a report."""
    study, speedups = report.study, report.tables["speedup"]
    found = []
    if len(study.groups) > 1 and len(speedups):
        found.append(Chart("speedup", "Speedups on every machine", partial(plots.speedup_overview, study, speedups)))
    of_place = tables.by_place(study, speedups)
    for place, stem in study.group_stems.items():
        where = study.place_label(*place)
        if place in of_place:
            draw = partial(plots.speedup, study, of_place[place], *place)
            found.append(Chart(f"{stem}_speedup", f"Speedups, {where}", draw))
        for metric in report.metrics:
            draw = partial(plots.bars, study, *place, metric)
            found.append(Chart(f"{stem}_{metric}", f"{metric_label(metric)[0]}, {where}", draw))
        draw = partial(plots.repetitions, study, *place, report.metric)
        found.append(Chart(f"{stem}_repetitions", f"All repetitions, {where}", draw))
    return found


def draw_all(todo: Sequence[Chart], directory: Path) -> None:
    """Draw and save charts as PNG and SVG, on Linux with every CPU."""
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
            figure.savefig(directory / f"{chart.name}.svg", metadata={"Date": None, "Creator": None})


# --- files ------------------------------------------------------------------------------------------------------------


def write(report: Report, directory: Path) -> None:
    """Write everything into a new directory."""
    for part in ("tables", "plots", "data"):
        (directory / part).mkdir(parents=True)
    todo = charts(report)
    draw_all(todo, directory / "plots")
    for name, table in report.tables.items():
        # The last digits of a sum depend on the processor that added.
        path = directory / "tables" / f"{name}.csv"
        table.to_csv(path, index=table.index.name is not None, float_format="%.10g", lineterminator="\n")
    for name, text in report.latex.items():
        _write(directory / "tables" / f"{name}.tex", text)
    iterations = pa.field("iteration_wall_us", pa.list_(pa.float64()))
    runs = pa.Table.from_pandas(report.study.runs.drop(columns=iterations.name), preserve_index=False)
    runs = runs.append_column(iterations, pa.array(report.study.runs[iterations.name].tolist(), iterations.type))
    pq.write_table(runs, directory / "data" / "runs.parquet")
    for name, text in render(report, todo, directory / "plots").items():
        _write(directory / name, text)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def publish(report: Report, out: Path) -> None:
    """Write a report beside `out` and then put it there, so that a failure leaves what was there before.

    Raises:
        AnalysisError: `out` cannot be written, or holds something that is not a report.
    """
    try:
        if out.exists() and not (out / PARTS[0]).exists() and any(out.iterdir()):
            raise AnalysisError(f"{out}: not empty and not a report; choose another directory with --output")
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
            new, old = Path(temporary, "new"), Path(temporary, "old")
            write(report, new)
            out.mkdir(exist_ok=True)
            old.mkdir()
            for part in PARTS:  # one by one: what else a user keeps there stays
                if (out / part).exists():
                    (out / part).rename(old / part)
                (new / part).rename(out / part)
    except OSError as error:
        raise AnalysisError(f"{out}: cannot write the report there ({error.strerror or error})") from error


# --- report.html and report.md ----------------------------------------------------------------------------------------

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=jinja2.select_autoescape(["html.j2"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"markdown": grids.markdown, "text": grids.markdown_text}


def render(report: Report, todo: Sequence[Chart], plots_directory: Path) -> dict[str, str]:
    """report.html and report.md, whose charts are in `plots_directory`."""
    study = report.study
    drawn = {chart.name: chart for chart in todo if (plots_directory / f"{chart.name}.svg").exists()}
    metrics = report.metrics if len(study.groups) <= _ALL_METRICS_EMBEDDED else [report.metric]
    context = {
        "report": report,
        "study": study,
        "grids": grids,
        "findings": findings,
        "overall": findings.overall(report.tables["speedup"]),
        "counts": study.runs["status"].value_counts().to_dict(),
        "metric": metric_label(report.metric),
        "metrics": [report.metric, *(m for m in metrics if m != report.metric)],
        "speedups": tables.by_place(study, report.tables["speedup"]),
        "not_reported": [m for m in report.metrics if not any(f"{s}_{m}" in drawn for s in study.group_stems.values())],
        "dates": sorted({text[:10] for text in study.runs["start_utc"] if text}),
        "charts": drawn,
        "data_uri": lambda name: _data_uri(plots_directory / f"{name}.svg"),
    }
    return {name: _TEMPLATES.get_template(f"{name}.j2").render(context) for name in ("report.html", "report.md")}


def _data_uri(svg: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode("ascii")


# --- the command ------------------------------------------------------------------------------------------------------

_EPILOG = f"""\
examples:
  python -m analysis.report logs/                      every campaign in logs/, one report
  python -m analysis.report logs/2026-11-20T1330       one campaign -> results/2026-11-20T1330/report.html
  python -m analysis.report logs/a logs/b --output /tmp/both
  python -m analysis.report logs/ --baseline float16 --metric init_time_ms

LOGS may be a campaign as the kit leaves it (logs/<campaign>/<host>/runs/*.log with their sidecars), or logs of TFLite's
benchmark_model from anywhere: <anything>/<host>/*.log or *.txt. A speedup is mean baseline time / mean candidate time.

metrics: {", ".join(TIME_METRICS)}

exit status: 0 = report written; 2 = no report, the reason is on stderr; 3 = with --strict: report written, but a log
is failed or invalid, something is missing, or there was a problem.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report",
        description="Turn raw benchmark logs into tables, plots and a report.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("logs", metavar="LOGS", nargs="*", type=Path, help="directories (or files) of raw logs")
    parser.add_argument("--output", metavar="DIR", type=Path, help="where to write; default results/<campaign>")
    parser.add_argument(
        "--baseline", metavar="VARIANT", help="compare with this variant; default the campaign's, float32"
    )
    parser.add_argument(
        "--metric", metavar="NAME", default=DEFAULT_METRIC, help="time of speedups; default %(default)s"
    )
    parser.add_argument("--strict", action="store_true", help="exit 3 if any log is not ok or anything is missing")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # names may have letters that a terminal lacks
    try:
        if not options.logs:
            raise AnalysisError("no logs given; try: python -m analysis.report logs/   (--help tells more)")
        report = build(campaign.read(options.logs), options.baseline, options.metric)
        out = options.output or Path("results", _default_name(report.study))
        publish(report, out)
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(terminal_text(report))
    print(f"\nReport: {out / 'report.html'}")
    return 3 if options.strict and not report.complete else 0


def _default_name(study: Study) -> str:
    names = [slug(name) for name in sorted({machine.campaign for machine in study.machines})]
    return "+".join(names) if len(names) <= 3 else f"{names[0]}..{names[-1]}_{len(names)}"


def terminal_text(report: Report) -> str:
    """The short version: speedups, what to beware of, and what could not be used."""
    study = report.study
    blocks = []
    for (machine, setting), table in tables.by_place(study, report.tables["speedup"]).items():
        grid = grids.terminal_speedups(table)
        title = f"{study.place_label(machine, setting)} ({metric_label(report.metric)[0].lower()})"
        blocks.append(f"{title}\n{grids.plain(grid)}")
    lines = [*_some("\n\n".join, blocks, "machines or settings"), "", findings.overall(report.tables["speedup"])]
    counts = study.runs["status"].value_counts()
    lines.append(tables.count(len(study.runs), "run") + ": " + ", ".join(f"{n} {s}" for s, n in counts.items()))
    lines += [f"! {notice.text}" for notice in report.notices if notice.level != findings.NOTE]
    lines += _some("\n".join, [f"  {' '.join(row[1:])}" for row in grids.unusable(study).rows], "logs")
    lines += _some("\n".join, [f"  {problem}" for problem in study.dataset.problems], "problems")
    return "\n".join(lines)


def _some(join: Callable[[Sequence[str]], str], texts: Sequence[str], noun: str) -> list[str]:
    """The first few, and how many more there are."""
    more = len(texts) - _TERMINAL_LINES
    first = [join(texts[:_TERMINAL_LINES])] if texts else []
    return [*first, f"  and {more} more {noun}, see the report"] if more > 0 else first


if __name__ == "__main__":
    sys.exit(main())
