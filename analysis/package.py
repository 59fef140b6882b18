"""Campaigns -> one archive for others: logs, report, code, versions, checksums. `python -m analysis.package --help`.

A .zip that is an RO-Crate. The same logs and options give the same bytes. docs/decisions/0007-package.md says why.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pandas as pd
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement

from analysis import campaign, check, crate, layout, output, report
from analysis.campaign import Dataset
from analysis.crate import About, Author, Campaign, Content
from analysis.document import TEMPLATES
from analysis.errors import AnalysisError, exit_status
from analysis.layout import HostLogs
from analysis.names import NO_REPETITION

ROOT = Path(__file__).resolve().parent.parent
_LIBRARIES = (*output.LIBRARIES, "jsonschema", "packaging", "rocrate")
_DOUBTS_SHOWN = 10
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say
_ORCID = re.compile(r"(?:https?://orcid\.org/)?([0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X])")
_CAUTION = "It holds what logs hold: host names, kernels, paths with users' names. Look at it before you publish it."

_EPILOG = f"""\
examples:
  python -m analysis.package logs/night --author "Kim Doe <0000-0002-1825-0097>"
  python -m analysis.package logs/night colab.tar.gz --title "Two machines" --output /tmp/two.zip

The archive is an RO-Crate (a .zip with {crate.METADATA}) of the raw logs, the report made from them, the code that
made it, exact versions and checksums. The README in it says how to make the report again.
{_CAUTION}

exit status: 0 = archive written; 2 = no archive, the reason is on stderr.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.package",
        description="Pack campaigns with their report into one archive, fit for Zenodo or Trovi.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("logs", metavar="LOGS", nargs="+", type=Path, help="directories or archives of campaigns")
    parser.add_argument("--output", metavar="FILE", type=Path, help="default edgebench-<campaign>.zip")
    parser.add_argument("--title", metavar="TEXT", help="default: the campaigns' names")
    parser.add_argument(
        "--author", metavar='"NAME <ORCID>"', action="append", default=[], help="may be given several times"
    )
    parser.add_argument(
        "--licence", metavar="SPDX", default="CC-BY-4.0", help="of logs and report; default %(default)s"
    )
    parser.add_argument("--partial", action="store_true", help="pack a campaign that is not finished, and say so in it")
    options = parser.parse_args(arguments)
    return exit_status(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    try:
        return _packed(options)
    except OSError as error:
        raise AnalysisError(f"cannot make the package ({error}); mend that and try again") from error


def _packed(options: argparse.Namespace) -> int:
    authors, licence = [_author(text) for text in options.author], _licence(options.licence)
    target = options.output or Path(f"edgebench-{report.default_name(options.logs)}.zip")
    if target.suffix != ".zip" or not os.access(target.parent, os.W_OK):
        raise AnalysisError(f"{target}: expected the name of a .zip in a directory that can be written; see --output")
    with tempfile.TemporaryDirectory(prefix="edgebench-package-") as temporary:
        staged = Path(temporary)
        with layout.opened(options.logs) as found:
            if not any(host.logs for host in found.hosts):
                raise AnalysisError(f"{', '.join(map(str, options.logs))}: no logs found; {layout.LAYOUT}")
            _copy_logs(found.hosts, staged / "logs")
        dataset = campaign.read([staged / "logs"])
        about = _about(dataset, options.title, authors, licence)
        if about.unfinished and not options.partial:
            raise AnalysisError(
                f"not finished: {about.unfinished}; go on with measuring, or pack what there is with --partial"
            )
        doubts = [*found.problems, *check.violations([staged / "logs"])]
        _make_report(staged)
        _copy_code(staged)
        _write(staged / "README.md", _readme(about))
        files = [_content(path, staged) for path in _files(staged)]
        _write(staged / crate.METADATA, crate.metadata(about, files))
        files.append(_content(staged / crate.METADATA, staged))
        _write(staged / crate.MANIFEST, "".join(f"{file.sha256}  {file.name}\n" for file in files))
        _pack(staged, target)
    for doubt in doubts[:_DOUBTS_SHOWN]:
        print(f"! {doubt}", file=sys.stderr)
    if len(doubts) > _DOUBTS_SHOWN:
        print(f"! and {len(doubts) - _DOUBTS_SHOWN} more; python -m analysis.check says all", file=sys.stderr)
    print(f"Package of {len(dataset.runs)} runs, {target.stat().st_size / 1e6:.2f} MB: {target}\n{_CAUTION}")
    return 0


# --- What the user said -----------------------------------------------------------------------------------------------


def _author(text: str) -> Author:
    """'Kim Doe <0000-0002-1825-0097>'; the identifier may be left out. Raises AnalysisError."""
    name, _, rest = text.partition("<")
    name, orcid = " ".join(name.split()), rest.strip().removesuffix(">").strip()
    match = _ORCID.fullmatch(orcid)
    if not name or (rest and not (match and _is_orcid(match[1]))):
        raise AnalysisError(f"--author '{text}': expected a name and an ORCID iD like 'Kim Doe <0000-0002-1825-0097>'")
    return Author(name, f"https://orcid.org/{match[1]}" if match else "")


def _is_orcid(text: str) -> bool:
    """Whether the last digit checks the others (ISO 7064, MOD 11-2), so that a slip names nobody else."""
    total = 0
    for digit in text.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    return "0123456789X"[(12 - total % 11) % 11] == text[-1]


def _licence(text: str) -> str:
    """An SPDX identifier as SPDX spells it. Raises AnalysisError."""
    try:
        licence = canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        licence = ""
    if not licence or " " in licence:
        raise AnalysisError(
            f"--licence '{text}': not the identifier of one licence in the SPDX list; for example CC-BY-4.0 or CC0-1.0"
        )
    return licence


# --- What is known ----------------------------------------------------------------------------------------------------


def _about(dataset: Dataset, title: str | None, authors: Sequence[Author], licence: str) -> About:
    runs, names = dataset.runs, list(dataset.campaigns)
    campaigns = []
    for name in names:
        own = runs[runs["campaign"].eq(name)]
        campaigns.append(Campaign(name, dataset.campaigns[name], _first(own["start_utc"]), _last(own["end_utc"])))
    known = [*(c.end_utc for c in campaigns), *(str(c.record.get("created_utc", "")) for c in campaigns)]
    if not any(known):
        raise AnalysisError(
            f"{', '.join(names)}: neither a run nor campaign.json says when it was measured, so the package has no date"
        )
    kinds = runs["status"].mask(runs["phase"].isin(NO_REPETITION), runs["phase"])  # of repetitions, their status
    statuses = ", ".join(f"{count} {kind}" for kind, count in kinds.value_counts().sort_index().items())
    description = (
        f"Inference benchmarks of {_list(runs['model'])} ({_list(runs['variant'])}) with {_list(runs['runner'])} on "
        f"{_list(runs['platform'])}: {len(runs)} process executions ({statuses}), measured with the kit edgebench. "
        "Raw logs, report, and the code that makes the report from the logs."
    )
    return About(
        title=title or f"Inference benchmarks: {', '.join(names)}",
        description=description,
        licence=licence,
        authors=authors,
        published=next(filter(None, [max(known[: len(names)]), max(known)])),
        unfinished=", ".join(f"{c}/{host} ({what})" for (c, host), what in dataset.unfinished.items()),
        revision=_revision(),
        campaigns=campaigns,
    )


def _list(column: pd.Series) -> str:
    return ", ".join(sorted(set(column) - {""}))


def _first(times: pd.Series) -> str:
    return min(set(times) - {""}, default="")


def _last(times: pd.Series) -> str:
    return max(set(times) - {""}, default="")


def _revision() -> str:
    """The git revision of this code, and whether it was changed since; '' where it is no checkout."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != ROOT:
            return ""  # unpacked in somebody else's checkout
        return crate.revision_text(
            {"revision": git("rev-parse", "HEAD"), "dirty": git("status", "--porcelain", "--", "analysis")}
        )
    except (OSError, subprocess.CalledProcessError):
        return ""


def _requirements() -> str:
    """What analysis runs on, and all that this needs in turn, in the versions that are installed here."""
    found: dict[str, str] = {}
    todo = list(_LIBRARIES)
    while todo:
        try:
            package = metadata.distribution(todo.pop())
        except metadata.PackageNotFoundError:
            continue  # needed elsewhere only, or optional
        name = package.metadata["Name"]
        if name not in found:
            found[name] = package.version
            needs = map(Requirement, package.requires or ())
            todo += [need.name for need in needs if not need.marker or need.marker.evaluate({"extra": ""})]
    return "".join(f"{name}=={found[name]}\n" for name in sorted(found, key=str.lower))


# --- Files ------------------------------------------------------------------------------------------------------------


def _copy_logs(hosts: Sequence[HostLogs], target: Path) -> None:
    """Copy what the campaigns' directories hold, but for hidden files. Raises AnalysisError for other logs."""
    for host in hosts:
        name = f"{host.campaign}/{host.host}"
        if not host.measured_here or host.partial:
            raise AnalysisError(f"{name}: not a whole host of a campaign of the kit; give campaigns' directories")
        if len(host.directories) > 1:
            raise AnalysisError(f"{name} was found in {' and in '.join(host.places)}; give one of them")
        [directory] = host.directories
        record = directory.parent / "campaign.json"
        for path in (record, *sorted(directory.rglob("*"))):
            inside = path.relative_to(directory.parent)
            if path.is_file() and not any(part.startswith(".") for part in inside.parts):
                copy = target / directory.parent.name / inside
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


def _make_report(staged: Path) -> None:
    """The report, by the command that the README names. Raises AnalysisError where that fails."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        status = report.main([str(staged / "logs"), "--output", str(staged / "results")])
    if status:
        raise AnalysisError(said.getvalue().strip().removeprefix("error: "))


def _copy_code(staged: Path) -> None:
    package = Path(__file__).parent
    shutil.copytree(package, staged / "analysis", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    licence = next(path for path in (ROOT / "LICENSE", package / "LICENSE") if path.exists())
    shutil.copyfile(licence, staged / "analysis/LICENSE")
    _write(staged / "requirements.txt", _requirements())


def _readme(about: About) -> str:
    return TEMPLATES.get_template("package.md.j2").render(
        about=about, python=platform.python_version(), rocrate=crate.VERSION
    )


def _files(staged: Path) -> list[Path]:
    return sorted(path for path in staged.rglob("*") if path.is_file())


def _content(path: Path, staged: Path) -> Content:
    content = path.read_bytes()
    return Content(path.relative_to(staged).as_posix(), len(content), hashlib.sha256(content).hexdigest())


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _pack(staged: Path, target: Path) -> None:
    """Write a directory as .zip: sorted, of no date, owned by nobody, so that the same files give the same bytes."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            for path in _files(staged):
                member = zipfile.ZipInfo(path.relative_to(staged).as_posix(), _DATE)
                member.compress_type = zipfile.ZIP_DEFLATED
                member.create_system = 3  # Unix, so that the mode counts
                member.external_attr = 0o100644 << 16
                archive.writestr(member, path.read_bytes())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
