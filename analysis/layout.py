"""Which files below a path are logs, and of which campaign and host."""

from __future__ import annotations

import gc
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from analysis import archives
from analysis.errors import AnalysisError
from analysis.names import KENNING_MATRIX, KENNING_STEPS, readable

LAYOUT = (
    "expected logs/<campaign>/<host>/runs/*.log as a campaign leaves them, or <anything>/<host>/*.log|*.txt, or "
    "Kenning's measurements <anything>/<host>/*.json, or one such directory or file, or archives of them (.tar, "
    ".tar.gz, .tgz, .tar.xz, .zip)"
)
MEASUREMENTS = ".json"  # how the name of a file ends that Kenning wrote
_OF_PACKAGES = ("manifest-sha256.txt", "requirements.txt")  # lie beside logs/ in what analysis.package makes
_OF_KENNING = tuple(f'"{key}"'.encode() for key in (*KENNING_STEPS, KENNING_MATRIX))


class LogFile(NamedTuple):
    """One log.

    Paths are text here: making a Path costs as much as reading the file. They are put together when they are asked for:
    a directory's logs have all but the file's name in common, in memory and on the way to another process.

    Attributes:
        directory: where it lies, with the `/` at its end.
        below: what of this is below the argument that it was found through; '' or it ends with `/`.
        file: the file's name.
        has_sidecar: whether its sidecar lies beside it.
    """

    directory: str
    below: str
    file: str
    has_sidecar: bool

    @property
    def path(self) -> str:
        return self.directory + self.file

    @property
    def name(self) -> str:
        """Its path below the argument it was found through, for people and tables."""
        return self.below + readable(self.file)

    @property
    def stem(self) -> str:
        """The file's name without its ending: what plan.tsv calls the run, but for `.retry<k>`."""
        return self.file.rpartition(".")[0]

    @property
    def sidecar(self) -> str | None:
        """Its sidecar's path; None where there is none."""
        return self.directory + _sidecar(self.file) if self.has_sidecar else None


def _sidecar(file: str) -> str:
    """What the sidecar of a log of this name is called."""
    return f"{file.rpartition('.')[0] or file}.meta"


@dataclass(frozen=True, slots=True)
class HostLogs:
    """The logs of one host of one campaign.

    Attributes:
        directories: where host.json, leases.json and plan.tsv lie; several where it was found in several places, the
            first counts.
        places: the same in words, for messages.
        measured_here: whether the kit made them, so that each has a sidecar and the plan tells which are missing;
            otherwise they are any logs from anywhere.
        partial: whether only some of its logs were asked for.
        logs: by the names of their files, so that a repeat comes after its original, wherever the two were found.
        strays: sidecars without a log.
    """

    campaign: str
    host: str
    directories: tuple[Path, ...]
    places: tuple[str, ...]
    measured_here: bool
    partial: bool
    logs: tuple[LogFile, ...]
    strays: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """To other processes logs go as columns, which takes a fifth of the time."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return _sent, (values | {"logs": tuple(zip(*self.logs, strict=True))},)

    @property
    def key(self) -> tuple[str, str]:
        return self.campaign, self.host

    def beside(self, name: str) -> Path:
        """The file of this name in the first directory that has it."""
        first, *others = (directory / name for directory in self.directories)
        return next(filter(_is_file, (first, *others)), first) if others else first


def _sent(values: dict[str, Any]) -> HostLogs:
    """What was sent from another process."""
    return HostLogs(**values | {"logs": tuple(map(LogFile._make, zip(*values["logs"], strict=True)))})


@dataclass(frozen=True, slots=True)
class Found:
    """What lies below some paths. Its files are there until `opened` ends.

    Attributes:
        hosts: sorted by campaign and host.
        problems: what looked like logs but was passed over, archives that are damaged, runs that contradict another.
        notes: what is good to know and wrong with nothing.
    """

    hosts: list[HostLogs]
    problems: list[str]
    notes: list[str]


@contextmanager
def without_collector() -> Iterator[None]:
    """Neither what is found nor what is read holds cycles; looking for some among so much takes a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def opened(arguments: Sequence[Path]) -> Iterator[Found]:
    """Find every host's logs below the arguments, in directories and in archives.

    What is found twice counts once. Directories come before archives, else the order is that of the arguments.

    Raises AnalysisError for a path that does not exist, and when there is no room to unpack.
    """
    with tempfile.TemporaryDirectory(prefix="edgebench-logs-") as scratch:
        yield _find(arguments, Path(scratch))


@without_collector()
def _find(arguments: Sequence[Path], scratch: Path) -> Found:
    found: list[HostLogs] = []
    problems: list[str] = []
    archived: dict[Path, tuple[str, str]] = {}
    for argument in arguments:
        # Not resolve(): a link's own name is the name that the user gave.
        path = Path(os.path.abspath(argument))  # noqa: PTH100
        if not path.exists():
            raise AnalysisError(f"{argument}: no such file or directory; {LAYOUT}")
        if path.is_file() and archives.is_archive(path.name):
            archived.setdefault(path, (readable(path.name), readable(path.name)))
        elif path.is_file():
            found.append(_single(path))
        else:
            root = _Root(path, "", path.name, problems, archived)
            found += _walk(path, root)
    for number, (path, (name, place)) in enumerate(archived.items()):
        # As if it were a directory in its own place: loose logs take campaign and host from its name.
        unpacked = scratch / str(number) / path.parent.name / archives.stem(path.name)
        here = archives.unpack(path, unpacked)
        root = _Root(unpacked, f"{name}/", place, [], {})
        hosts = list(_walk(unpacked, root))
        if not (hosts or here):
            here.append("no logs in it")
        found += hosts
        problems += [*(f"{name}: {problem}" for problem in here), *root.problems]
    merged: dict[tuple[str, str], HostLogs] = {}
    notes: list[str] = []
    for host in found:
        before = merged.get(host.key)
        merged[host.key] = _merge(before, host, problems, notes) if before else host
    return Found([merged[key] for key in sorted(merged)], list(dict.fromkeys(problems)), list(dict.fromkeys(notes)))


@dataclass(frozen=True, slots=True)
class _Root:
    """Where a search begins.

    Attributes:
        prefix: goes before the names of what is found; `label` stands for the root itself.
        problems, archives: grow during the search; archives by path, with name and place.
    """

    path: Path
    prefix: str
    label: str
    problems: list[str]
    archives: dict[Path, tuple[str, str]]

    def name(self, path: Path) -> str:
        return self.prefix + readable(path.relative_to(self.path).as_posix())

    def place(self, directory: Path) -> str:
        below = directory.relative_to(self.path).as_posix()
        return readable(self.label if directory == self.path else f"{self.label}/{below}")


def _walk(directory: Path, root: _Root) -> Iterator[HostLogs]:
    if directory == root.path and directory.name == "runs" and was_measured_here(directory.parent):
        yield _measured_host(directory.parent, root)
        return
    if was_measured_here(directory):
        yield _measured_host(directory, root)
        return
    files, directories = _entries(directory, root)
    for name in files:
        if archives.is_archive(name):
            path = directory / name
            root.archives.setdefault(path, (root.name(path), root.place(path)))
    found = [host for name in directories for host in _walk(directory / name, root)]
    yield from found
    logs = [
        name
        for name in files
        if name.endswith((".log", ".txt")) or (name.endswith(MEASUREMENTS) and _is_of_kenning(directory / name))
    ]
    if "ro-crate-metadata.json" in files:
        logs = [name for name in logs if name not in _OF_PACKAGES]
    if not logs or "campaign.json" in files:
        return
    if any(host.measured_here for host in found):
        # Beside campaigns a log is most likely another program's.
        root.problems.extend(f"{root.name(directory / name)}: not read, lies beside campaigns" for name in logs)
        return
    yield HostLogs(
        campaign=readable(directory.parent.name),
        host=readable(directory.name),
        directories=(directory,),
        places=(root.place(directory),),
        measured_here=False,
        partial=False,
        logs=_logs(directory, logs, root, set(files)),
    )


def _is_of_kenning(path: Path) -> bool:
    """Whether JSON looks like Kenning's measurements, whole or not: most that lies about is something else."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return any(key in content for key in _OF_KENNING)


def _entries(directory: Path, root: _Root) -> tuple[list[str], list[str]]:
    """Names of a directory's files and subdirectories, sorted; hidden ones are nobody's logs."""
    files, directories = [], []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == ".":
                    continue
                if not entry.is_dir():
                    files.append(name)
                elif entry.is_symlink():
                    # Following would count the runs of `latest -> 2026-11-20` twice.
                    root.problems.append(f"{root.name(Path(entry.path))}: a link to a directory, not followed")
                else:
                    directories.append(name)
    except OSError as error:
        root.problems.append(f"{root.place(directory)}: cannot be read ({error.strerror})")
    return sorted(files), sorted(directories)


def was_measured_here(directory: Path) -> bool:
    """Whether this is a host's directory of a campaign of ours, with everything that belongs to it."""
    if _is_file(directory / "plan.tsv"):
        return True
    # A leased host has cost something, even if it never came as far as to say what it is.
    has_facts = _is_file(directory / "host.json") or _is_file(directory / "leases.json")
    in_campaign = _is_file(directory.parent / "campaign.json")
    if has_facts and in_campaign:
        return True
    runs = directory / "runs"
    if not os.path.isdir(runs):  # noqa: PTH112
        return False
    return has_facts or in_campaign or next(runs.glob("*.meta"), None) is not None


def _is_file(path: Path) -> bool:
    """Unlike Path.is_file, this does not raise in directories that one may not look into."""
    return os.path.isfile(path)  # noqa: PTH113


def _measured_host(directory: Path, root: _Root) -> HostLogs:
    """Only runs/*.log are runs: beside them lie the script's own log and its temporary files."""
    runs = directory / "runs"
    files = _entries(runs, root)[0] if runs.is_dir() else []
    known = set(files)
    return HostLogs(
        campaign=readable(directory.parent.name),
        host=readable(directory.name),
        directories=(directory,),
        places=(root.place(directory) if directory.is_relative_to(root.path) else root.label,),
        measured_here=True,
        partial=False,
        logs=_logs(runs, [name for name in files if name.endswith(".log")], root, known),
        strays=tuple(
            root.name(runs / name)
            for name in files
            if name.endswith(".meta") and name.removesuffix(".meta") + ".log" not in known
        ),
    )


def _single(path: Path) -> HostLogs:
    """One file, named by the user: a log whatever it is called."""
    measured_here = path.parent.name == "runs" and was_measured_here(path.parent.parent)
    directory = path.parent.parent if measured_here else path.parent
    log = LogFile(f"{path.parent}/", "", path.name, path.with_name(_sidecar(path.name)).is_file())
    return HostLogs(
        campaign=readable(directory.parent.name),
        host=readable(directory.name),
        directories=(directory,),
        places=(readable(directory.name),),
        measured_here=measured_here,
        partial=True,
        logs=(log,),
    )


def _logs(directory: Path, names: Sequence[str], root: _Root, files: set[str]) -> tuple[LogFile, ...]:
    """The named logs of a directory that holds `files`."""
    base = f"{directory}/"
    below = root.prefix if directory == root.path else root.name(directory) + "/"
    return tuple([LogFile(base, below, name, _sidecar(name) in files) for name in names])


def _merge(one: HostLogs, other: HostLogs, problems: list[str], notes: list[str]) -> HostLogs:
    """The same host found twice: each of its logs counts once, and of two that differ the first."""
    known = {log.file: log for log in one.logs}
    new, same, differing = [], [], []
    for log in other.logs:
        first = known.get(log.file)
        if first is None:
            new.append(log)
        elif first.path != log.path:
            (same if _content(first) == _content(log) else differing).append(log.file)
    where = f"{one.campaign}/{one.host}: {{}} both in {one.places[0]} and in {other.places[0]}"
    if same:
        notes.append(f"{where.format(_some(same))}, with the same content; counted once")
    if differing:
        text = f"{where.format(_some(differing))}, with different content; only the first is used"
        problems.append(f"{text} (if these are two machines, rename one of them)")
    whole = other if one.partial else one
    by_place = dict(zip(other.directories + one.directories, other.places + one.places, strict=True))
    by_place = {directory: by_place[directory] for directory in (*one.directories, *other.directories)}
    there = {*known, *(log.file for log in other.logs)}
    strays = whole.strays if set(one.directories) == set(other.directories) else one.strays + other.strays
    # By the log that they have not, which may have been found in the other place.
    lonely = {name.rpartition("/")[2].removesuffix(".meta") + ".log": name for name in reversed(strays)}
    return HostLogs(
        campaign=one.campaign,
        host=one.host,
        directories=tuple(by_place),
        places=tuple(by_place.values()),
        measured_here=one.measured_here or other.measured_here,
        partial=one.partial and other.partial,
        logs=tuple(sorted([*one.logs, *new], key=lambda log: (log.file, log.name))),
        strays=tuple(name for log, name in reversed(lonely.items()) if log not in there),
    )


def _content(log: LogFile) -> tuple[str | None, ...]:
    """What the log and its sidecar hold, as their sha256; None for what cannot be read."""
    return tuple(map(sha256, (log.path, log.sidecar)))


def sha256(path: str | Path | None) -> str | None:
    """A file's sha256 in hex; None where there is none that can be read."""
    try:
        return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def _some(names: Sequence[str]) -> str:
    """'3 logs (a, b, ...)'."""
    listed = ", ".join(map(readable, names[:2])) + (", ..." if len(names) > 2 else "")
    return f"{len(names)} log{'s' if len(names) != 1 else ''} ({listed})"
