"""Raw logs -> results/<campaign>/: a report with its tables and plots. `python -m analysis.report --help`.

The command alone: what computes and draws is imported when there is something to compute, since that takes a second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis import layout, output
from analysis.errors import AnalysisError, exit_status
from analysis.names import DEFAULT_METRIC, TIME_METRICS, slug

_EPILOG = f"""\
examples:
  python -m analysis.report logs/                      every campaign in logs/, one report
  python -m analysis.report logs/2026-11-20T1330       one campaign -> results/2026-11-20T1330/report.html
  python -m analysis.report logs/a logs/b --output /tmp/both
  python -m analysis.report logs/ colab.tar.gz         an archive counts as the directory that it was made of
  python -m analysis.report logs/ kenning/*.json       Kenning's measurements join the tables
  python -m analysis.report logs/ --baseline float16 --metric init_time_ms

LOGS may be a campaign as the kit leaves it (logs/<campaign>/<host>/runs/*.log with their sidecars), or logs of TFLite's
benchmark_model from anywhere: <anything>/<host>/*.log or *.txt, or Kenning's measurements: <anything>/<host>/*.json; or
archives of them (.tar, .tar.gz, .tar.xz, .zip), given or lying among the logs. What is found twice counts once. A
speedup is mean baseline time / mean candidate time.

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
    parser.add_argument("logs", metavar="LOGS", nargs="*", type=Path, help="directories, files or archives of raw logs")
    parser.add_argument("--output", metavar="DIR", type=Path, help="where to write; default results/<campaign>")
    parser.add_argument(
        "--baseline", metavar="VARIANT", help="compare with this variant; default the campaign's, float32"
    )
    parser.add_argument(
        "--metric", metavar="NAME", default=DEFAULT_METRIC, help="time of speedups; default %(default)s"
    )
    parser.add_argument("--strict", action="store_true", help="exit 3 if any log is not ok or anything is missing")
    parser.add_argument(
        "--engine",
        metavar="NAME",
        help="where logs are read: serial, processes, dask (on this machine) or dask:ADDRESS of a scheduler; default: "
        "processes where there are thousands",
    )
    parser.add_argument("--no-plots", action="store_true", help="tables and text alone, in half the time")
    parser.add_argument("--if-changed", action="store_true", help="do nothing if the report is of these logs already")
    options = parser.parse_args(arguments)
    return exit_status(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    if not options.logs:
        raise AnalysisError("no logs given; try: python -m analysis.report logs/   (--help tells more)")
    out = options.output or Path("results", default_name(options.logs))
    # Looked at only when nobody else writes there: who waited must not put an older report in place of a newer.
    with output.held(out), layout.opened(options.logs) as found:
        made_from = output.made_from(found, options.baseline, options.metric, not options.no_plots)
        if options.if_changed and (there := output.current(out, made_from)):
            print(f"{there.said}\n\n{out / 'report.html'}: up to date, made from the same logs")
            return _status(options, there.complete)
        from analysis import campaign, document, engines

        with engines.opened(options.engine, found) as spread:
            dataset = campaign.assemble(found, ", ".join(map(str, options.logs)), spread)
        report = replace(document.build(dataset, options.baseline, options.metric), plots=not options.no_plots)
        document.publish(report, out, made_from)
    print(document.terminal_text(report))
    print(f"\nReport: {out / 'report.html'}")
    return _status(options, report.complete)


def _status(options: argparse.Namespace, complete: bool) -> int:
    return 3 if options.strict and not complete else 0


def default_name(logs: Sequence[Path]) -> str:
    """The directory below results/, from the names of the campaigns. Raises AnalysisError for a path that is not."""
    with layout.opened(logs) as found:
        names = [slug(name) for name in sorted({host.campaign for host in found.hosts})]
    return "+".join(names) if len(names) <= 3 else f"{names[0]}..{names[-1]}_{len(names)}"


if __name__ == "__main__":
    sys.exit(main())
