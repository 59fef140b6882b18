"""The directory of a report: what it was made from, one writer at a time, and putting new files in the place of old."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from analysis import layout
from analysis.errors import AnalysisError
from analysis.layout import Found

try:
    import fcntl
except ImportError:  # Windows: two reports of one campaign at once are the user's to avoid
    fcntl = None

PARTS = ("report.html", "report.md", "tables", "plots", "data")  # what a report consists of
PARTS_OF_MANY = ("hosts",)  # and further, of a report of many machines
MADE_FROM = "data/made_from.json"
BESIDE_LOGS = ("host.json", "leases.json", "plan.tsv", "iterations.tsv", "stopping.tsv", "idle.tsv", "DONE")
MAKING = ".making-"  # begins the names of directories in which a report is made
_LOCK = ".lock"
LIBRARIES = ("jinja2", "matplotlib", "numpy", "pandas", "pyarrow", "scipy")


# --- what it was made from --------------------------------------------------------------------------------------------


def made_from(found: Found, baseline: str | None, metric: str, plots: bool) -> dict[str, Any]:
    """Everything that a report depends on: the logs' content and names, the code, the options."""
    options = {"baseline": baseline, "metric": metric, "plots": plots}
    return {"schema": 1, "logs": _logs(found), "code": _code(), **options}


class Current(NamedTuple):
    """A report that need not be made again: whether nothing lacked in it, and what was said when it was made."""

    complete: bool
    said: str


def current(out: Path, record: Mapping[str, Any]) -> Current | None:
    """The report in `out` if it was made from the same."""
    if not all((out / part).exists() for part in PARTS):
        return None
    try:
        there = json.loads((out / MADE_FROM).read_text(encoding="utf-8"))
        made = Current(there.pop("complete") is True, str(there.pop("said")))
    except (OSError, ValueError, AttributeError, KeyError):
        return None
    return made if there == record else None


def _logs(found: Found) -> str:
    hasher = hashlib.sha256()

    def add(*words: object) -> None:
        hasher.update(json.dumps(words).encode())

    parents = {}
    for host in found.hosts:
        add(host.campaign, host.host, host.places, host.measured_here, host.partial, host.strays)
        for log in host.logs:
            add(log.name, layout.sha256(log.path), layout.sha256(log.sidecar))
        add(*(layout.sha256(host.beside(name)) for name in BESIDE_LOGS))
        parents |= {directory.parent: host.campaign for directory in host.directories}
    for parent, campaign in parents.items():
        if record := layout.sha256(parent / "campaign.json"):
            # A host that was not asked for is named as missing only as long as it is.
            add(campaign, record, sorted(path.name for path in parent.glob("*") if layout.was_measured_here(path)))
    add(found.problems, found.notes)
    return hasher.hexdigest()


def _code() -> str:
    """Sum over this package, and over what else decides on the bytes of a report."""
    hasher = hashlib.sha256(sys.version.encode())
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            hasher.update(f"{name}=={metadata.version(name)}\n".encode())
    package = Path(__file__).parent
    for path in sorted((*package.glob("*.py"), *package.glob("templates/*"))):
        hasher.update(path.name.encode() + path.read_bytes())
    return hasher.hexdigest()


# --- one writer at a time ---------------------------------------------------------------------------------------------


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Wait until nobody else makes a report in `out`, and keep others out. Leaves no trace if no report is made.

    Raises:
        AnalysisError: `out` cannot be written, or holds something that is not a report.
    """
    check(out)
    created = [path for path in (out, *out.parents) if not path.exists()]
    try:
        lock = _locked(out)
        for stale in out.glob(f"{MAKING}*"):  # of a process that was killed: others are kept out
            if fcntl:
                shutil.rmtree(stale, ignore_errors=True)
    except OSError as error:
        raise unwritable(out, error) from error
    try:
        yield
    finally:
        with suppress(OSError):
            (out / _LOCK).unlink()
            for path in created:
                path.rmdir()  # only an empty one goes
        lock.close()


def _locked(out: Path) -> Any:
    """An open, locked file in `out`. The lock is the system's: it goes with the process, whatever ends it."""
    waited = False
    while True:
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock = (out / _LOCK).open("w")
        except FileNotFoundError:
            continue  # whoever made the directory for nothing has just removed it
        if not fcntl:
            return lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waited:
                print(f"{out}: another process makes the report there; waiting for it", file=sys.stderr, flush=True)
            waited = True
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            return lock  # a file system without locks
        # Whoever had it removed the file: what was locked may be nobody's any more.
        with suppress(FileNotFoundError):
            if os.path.samestat((out / _LOCK).stat(), os.fstat(lock.fileno())):
                return lock
        lock.close()


# --- files ------------------------------------------------------------------------------------------------------------


def check(out: Path) -> None:
    """Refuse a directory that holds something else. Raises AnalysisError."""
    try:
        if out.exists() and not (out / PARTS[0]).exists():
            strange = [path.name for path in out.iterdir() if path.name != _LOCK and not path.name.startswith(MAKING)]
            if strange:
                raise AnalysisError(f"{out}: not empty and not a report; choose another directory with --output")
    except OSError as error:
        raise unwritable(out, error) from error


def replace(new: Path, out: Path, old: Path) -> None:
    """Move every part of a report from `new` to `out`, and what was there to `old`.

    What it was made from goes first and comes last: whenever this is cut, the report is not taken for current.
    """
    old.mkdir()
    if (out / "data").exists():
        (out / "data").rename(old / "data")
    for part in (*PARTS, *PARTS_OF_MANY):
        if (out / part).is_dir():
            (out / part).rename(old / part)
        if (new / part).exists():
            (new / part).replace(out / part)


def unwritable(out: Path, error: OSError) -> AnalysisError:
    """The error for a report that cannot be written."""
    return AnalysisError(f"{out}: cannot write the report there ({error.strerror or error})")
