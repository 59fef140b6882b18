"""Which files below a path are logs, and of which campaign and host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import AnalysisError

LAYOUT = (
    "expected logs/<campaign>/<host>/runs/*.log as a campaign leaves them, or <anything>/<host>/*.log|*.txt, "
    "or one such directory or file"
)


@dataclass(frozen=True, slots=True)
class LogFile:
    """One log; `name` is its path below the argument it was found through; `sidecar` is None where there is none.

    Paths are text here: making a Path costs as much as reading the file.
    """

    path: str
    name: str
    sidecar: str | None

    @property
    def stem(self) -> str:
        """The file's name without its ending: what plan.tsv calls the run."""
        return self.path.rpartition("/")[2].rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class HostLogs:
    """The logs of one host of one campaign.

    Attributes:
        measured_here: whether the kit made them, so that each has a sidecar and the plan tells which are missing;
            otherwise they are any logs from anywhere.
        partial: whether only some of its logs were asked for.
        strays: sidecars without a log.
    """

    campaign: str
    host: str
    directory: Path
    measured_here: bool
    partial: bool
    logs: tuple[LogFile, ...]
    strays: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.campaign, self.host


def find(arguments: Sequence[Path]) -> tuple[list[HostLogs], list[str]]:
    """Find every host's logs below the arguments, and what looked like logs but was passed over.

    Raises AnalysisError for a path that does not exist, and for two directories that claim to be the same campaign.
    """
    hosts: dict[tuple[str, str], HostLogs] = {}
    problems: list[str] = []
    for argument in arguments:
        # Not resolve(): a link's own name is the name that the user gave.
        root = Path(os.path.abspath(argument))  # noqa: PTH100
        if not root.exists():
            raise AnalysisError(f"{argument}: no such file or directory; {LAYOUT}")
        found = [_single(root)] if root.is_file() else list(_walk(root, root, problems))
        for host in found:
            before = hosts.get(host.key)
            hosts[host.key] = _merge(before, host) if before else host
    _check_one_directory_each(hosts.values())
    return [hosts[key] for key in sorted(hosts)], list(dict.fromkeys(problems))


def _walk(directory: Path, root: Path, problems: list[str]) -> Iterator[HostLogs]:
    if directory == root and directory.name == "runs" and was_measured_here(directory.parent):
        yield _measured_host(directory.parent, root)
        return
    if was_measured_here(directory):
        yield _measured_host(directory, root)
        return
    files, directories = _entries(directory, problems)
    found = [host for name in directories for host in _walk(directory / name, root, problems)]
    yield from found
    logs = [name for name in files if name.endswith((".log", ".txt"))]
    if not logs or "campaign.json" in files:
        return
    if any(host.measured_here for host in found):
        # Beside campaigns a log is most likely another program's.
        problems += [f"{_name(directory / name, root)}: not read, lies beside campaigns" for name in logs]
        return
    yield HostLogs(
        campaign=directory.parent.name,
        host=directory.name,
        directory=directory,
        measured_here=False,
        partial=False,
        logs=_logs(directory, logs, root, set(files)),
    )


def _entries(directory: Path, problems: list[str]) -> tuple[list[str], list[str]]:
    """Names of a directory's files and subdirectories, sorted; hidden ones are nobody's logs."""
    files, directories = [], []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if not entry.is_dir():
                    files.append(entry.name)
                elif entry.is_symlink():
                    # Following would count the runs of `latest -> 2026-11-20` twice.
                    problems.append(f"{entry.path}: a link to a directory, not followed")
                else:
                    directories.append(entry.name)
    except OSError as error:
        problems.append(f"{directory}: cannot be read ({error.strerror})")
    return sorted(files), sorted(directories)


def was_measured_here(directory: Path) -> bool:
    """Whether this is a host's directory of a campaign of ours, with everything that belongs to it."""
    if (directory / "plan.tsv").is_file():
        return True
    if (directory / "host.json").is_file() and (directory.parent / "campaign.json").is_file():
        return True
    runs = directory / "runs"
    if not runs.is_dir():
        return False
    return (
        (directory / "host.json").is_file()
        or (directory.parent / "campaign.json").is_file()
        or next(runs.glob("*.meta"), None) is not None
    )


def _measured_host(directory: Path, root: Path) -> HostLogs:
    """Only runs/*.log are runs: beside them lie the script's own log and its temporary files."""
    runs = directory / "runs"
    files = _entries(runs, [])[0] if runs.is_dir() else []
    known = set(files)
    return HostLogs(
        campaign=directory.parent.name,
        host=directory.name,
        directory=directory,
        measured_here=True,
        partial=False,
        logs=_logs(runs, [name for name in files if name.endswith(".log")], root, known),
        strays=tuple(
            _name(runs / name, root)
            for name in files
            if name.endswith(".meta") and name.removesuffix(".meta") + ".log" not in known
        ),
    )


def _single(path: Path) -> HostLogs:
    """One file, named by the user: a log whatever it is called."""
    measured_here = path.parent.name == "runs" and was_measured_here(path.parent.parent)
    directory = path.parent.parent if measured_here else path.parent
    sidecar = path.with_suffix(".meta")
    return HostLogs(
        campaign=directory.parent.name,
        host=directory.name,
        directory=directory,
        measured_here=measured_here,
        partial=True,
        logs=(LogFile(str(path), path.name, str(sidecar) if sidecar.is_file() else None),),
    )


def _logs(directory: Path, names: Sequence[str], root: Path, files: set[str]) -> tuple[LogFile, ...]:
    """The named logs of a directory that holds `files`."""
    base = f"{directory}/"
    prefix = "" if directory == root else _name(directory, root) + "/"
    return tuple(
        LogFile(
            path=base + name,
            name=prefix + name,
            sidecar=base + sidecar if (sidecar := name.rpartition(".")[0] + ".meta") in files else None,
        )
        for name in names
    )


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _merge(one: HostLogs, other: HostLogs) -> HostLogs:
    """The same host reached through two arguments: each log counts once."""
    _check_same(one, other)
    known = {log.path for log in one.logs}
    whole = other if one.partial else one
    return HostLogs(
        campaign=one.campaign,
        host=one.host,
        directory=one.directory,
        measured_here=one.measured_here,
        partial=one.partial and other.partial,
        logs=one.logs + tuple(log for log in other.logs if log.path not in known),
        strays=whole.strays,
    )


def _check_one_directory_each(hosts: Sequence[HostLogs]) -> None:
    first: dict[str, HostLogs] = {}
    for host in hosts:
        _check_same(first.setdefault(host.campaign, host), host)


def _check_same(one: HostLogs, other: HostLogs) -> None:
    if one.directory.parent != other.directory.parent:
        raise AnalysisError(
            f"two campaigns are called '{one.campaign}': {one.directory.parent} and {other.directory.parent}; "
            "report on them one at a time, or rename one of the directories"
        )
