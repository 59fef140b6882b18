"""Do campaigns keep to the written schema of raw logs? `python -m analysis.check --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis import layout, schema
from analysis.errors import AnalysisError, exit_status
from analysis.layout import Found, HostLogs
from analysis.names import readable

_EPILOG = """\
examples:
  python -m analysis.check logs/                     every campaign in logs/
  python -m analysis.check logs/night colab.tar.gz   an archive counts as the directory that it was made of

What is checked: campaign.json, host.json, leases.json, plan.tsv, iterations.tsv, stopping.tsv, idle.tsv, DONE and the
sidecars (runs/*.meta), against the schemas in analysis/schemas/. docs/logs.md says the same in words. Whether runs are
missing or failed is the report's to say.

exit status: 0 = all is as the schema says; 1 = something is not, a line for each; 2 = there is nothing to check.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.check",
        description="Check raw logs of campaigns against their written schema.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("logs", metavar="LOGS", nargs="+", type=Path, help="directories or archives of campaigns")
    options = parser.parse_args(arguments)
    return exit_status(lambda: _run(options.logs))


def _run(paths: Sequence[Path]) -> int:
    with layout.opened(paths) as found:
        checked, said = check(found)
    if not checked:
        raise AnalysisError(
            f"{', '.join(map(str, paths))}: no campaign of the kit found; "
            "expected logs/<campaign>/campaign.json and logs/<campaign>/<host>/"
        )
    for line in said:
        print(line)
    files = f"{checked} file{'s' if checked != 1 else ''}"
    print(
        f"{files} checked: "
        + (f"{len(said)} violation{'s' if len(said) != 1 else ''}" if said else "all as the schema says")
    )
    return 1 if said else 0


def violations(paths: Sequence[Path]) -> list[str]:
    """What of the campaigns below the paths is not as the schema says, one line each.

    Raises AnalysisError for a path that does not exist.
    """
    with layout.opened(paths) as found:
        return check(found)[1]


def check(found: Found) -> tuple[int, list[str]]:
    """How many files were checked, and what is not as it should be; of campaigns of the kit, not of other logs."""
    checked, said = 0, list(found.problems)
    for name, path in dict.fromkeys(file for host in found.hosts if host.measured_here for file in _files(host)):
        checked += 1
        try:
            wrong = schema.violations(schema.kind_of(path.name), path.read_bytes())
        except FileNotFoundError:
            wrong = ["is not there"]
        except OSError as error:
            wrong = [f"cannot be read ({error.strerror})"]
        said += [f"{name}: {sentence}" for sentence in wrong]
    return checked, said


def _files(host: HostLogs) -> Iterator[tuple[str, Path]]:
    """The files of a host that have a schema, and the campaign's; with names for messages."""
    for directory in host.directories:
        yield f"{host.campaign}/campaign.json", directory.parent / "campaign.json"
        for path in sorted((*directory.glob("*"), *directory.glob("runs/*.meta"))):
            if schema.kind_of(path.name):
                yield f"{host.campaign}/{host.host}/{readable(path.relative_to(directory).as_posix())}", path


if __name__ == "__main__":
    sys.exit(main())
