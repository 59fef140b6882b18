"""Two campaigns -> what changed between them beyond noise, and an exit status. `python -m analysis.compare --help`.

The command alone: what computes and draws is imported when there is something to compute, since that takes a second.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError, exit_status
from analysis.names import DEFAULT_METRIC, slug

if TYPE_CHECKING:
    from analysis.comparison import Comparison

DEFAULT_TOLERANCE_PERCENT = 3.0

_EPILOG = """\
examples:
  python -m analysis.compare logs/october logs/november             one campaign each, hosts matched by name
  python -m analysis.compare old.tar.gz logs/today --strict         an archive counts as the directory it was made of
  python -m analysis.compare logs/c logs/c --a-host pi4 --b-host pi5         two hosts of one campaign
  python -m analysis.compare before/ after/ --all-metrics --output results/change    several campaigns each

A and B are what analysis.report reads. The change is mean of B / mean of A, with its 95 % interval. A host belongs to
the host of the same name; where A and B have one host each, these two are compared. A runner, number of threads or
delegate that is one in all of A and another in all of B is compared, too; what differs is listed first. Of several
campaigns on each side each counts as one replicate.

outcomes: regression = B is worse beyond noise, and the whole interval lies above the tolerance; no regression = the
whole interval lies below it; uncertain = neither.

exit status: 0 = no regression found; 1 = a regression; 2 = nothing could be compared, the reason is on stderr; 3 = with
--strict: no regression found, but a comparison is uncertain, missing or not possible, or there was a problem with the
logs.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.compare",
        description="Say what changed from campaign A to campaign B beyond noise, and whether it is a regression.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A", type=Path, help="raw logs of what was before")
    parser.add_argument("b", metavar="B", type=Path, help="raw logs of what is compared with it")
    parser.add_argument("--a-host", metavar="HOST", help="only this host of A")
    parser.add_argument("--b-host", metavar="HOST", help="only this host of B")
    metrics = parser.add_mutually_exclusive_group()
    metrics.add_argument("--metric", metavar="NAME", action="append", help=f"may be repeated; default {DEFAULT_METRIC}")
    metrics.add_argument("--all-metrics", action="store_true", help="the study's seven: times, initialization, memory")
    parser.add_argument(
        "--tolerance",
        metavar="PERCENT",
        type=_percent,
        default=DEFAULT_TOLERANCE_PERCENT,
        help="how much worse B may be; default %(default)g",
    )
    parser.add_argument("--output", metavar="DIR", type=Path, help="write compare.md, compare.csv and charts there")
    parser.add_argument("--strict", action="store_true", help="exit 3 if anything is undecided or missing")
    options = parser.parse_args(arguments)
    return exit_status(lambda: _run(options))


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a percentage; expected a number from 0 up, such as 3")
    return value


def _run(options: argparse.Namespace) -> int:
    from analysis import campaign, comparison

    found = comparison.build(
        campaign.read([options.a]),
        campaign.read([options.b]),
        None if options.all_metrics else options.metric or [DEFAULT_METRIC],
        tolerance_percent=options.tolerance,
        a_host=options.a_host,
        b_host=options.b_host,
    )
    print(comparison.text(found))
    if options.output:
        write(found, options.output)
        print(f"\nWritten: {options.output / 'compare.md'}")
    if found.is_empty:
        raise AnalysisError(f"{options.a} and {options.b}: nothing could be compared; the remarks above say why")
    if found.has_regression:
        return 1
    return 3 if options.strict and not found.decided else 0


def write(found: Comparison, out: Path) -> None:
    """Write compare.md, compare.csv, and a chart of each pair of hosts and metric, as PNG and SVG.

    Raises:
        AnalysisError: `out` cannot be written.
    """
    from analysis import comparison, document, output, plots
    from analysis.study import metric_label

    charts = []
    for hosts, of_hosts in comparison.by_hosts(found):
        for metric, rows in of_hosts.groupby("metric", sort=False):
            names = [" ".join(filter(None, label)) for label in comparison.labels(found, rows)]
            title = f"{metric_label(metric)[0]}, {hosts}"
            draw = partial(plots.changes, rows, names, title, found.tolerance_percent)
            stem = "_".join(dict.fromkeys([*rows["a_host"], *rows["b_host"]]))
            charts.append(document.Chart(slug(f"{stem}_{metric}"), title, draw))
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "compare.md").write_text(comparison.markdown(found), encoding="utf-8", newline="\n")
        found.table.to_csv(out / "compare.csv", index=False, float_format="%.10g", lineterminator="\n")
        document.draw_all(charts, out)
    except OSError as error:
        raise output.unwritable(out, error) from error


if __name__ == "__main__":
    sys.exit(main())
