"""What the machine has left (memory, disk), and locks between processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from modelzoo.errors import ZooError

Say = Callable[[str], None]


def available_memory_gb(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Memory that new processes can use, in GB: the machine's or what a control group leaves; None = unknown."""
    try:
        lines = (proc / "meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    available_kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return min([available_kib * 1024, *_cgroup_headroom_bytes(proc, cgroups)]) / 1e9


def _cgroup_headroom_bytes(proc: Path, cgroups: Path) -> Iterator[int]:
    """Limit minus use of every control group that this process is in and that has a limit (version 1 and 2)."""
    try:
        memberships = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # A kernel without control groups.
        return
    for membership in memberships:
        _, controllers, group = membership.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        limit, use = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        )
        root = cgroups / controllers
        leaf = root / group.lstrip("/")
        # In a container the root may be the container's own group, and the path that of the machine, not to be seen.
        for directory in (leaf, *leaf.parents):
            with contextlib.suppress(OSError, ValueError):  # No such file, or "max".
                yield _number(directory / limit) - _number(directory / use) + _reclaimable_bytes(directory)
            if directory == root:
                break


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


def _reclaimable_bytes(cgroup: Path) -> int:
    """The page cache that counts as use of a control group but is given back when it is needed."""
    values = dict(line.split() for line in (cgroup / "memory.stat").read_text(encoding="ascii").splitlines())
    # Version 1 counts the groups below under total_.
    return int(values.get("total_inactive_file", values.get("inactive_file", 0)))


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_disk(directory: Path, needed_gb: float, purpose: str) -> None:
    """Raise ZooError when the file system of a directory (which need not exist) has too little space left."""
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    if free_gb < needed_gb:
        raise ZooError(
            f"{purpose} needs about {needed_gb:.1f} GB of disk below {directory}, {free_gb:.1f} GB are free; "
            "make room, or put the cache elsewhere with EDGEBENCH_CACHE"
        )


@contextlib.contextmanager
def locked(path: Path, say: Say) -> Iterator[None]:
    """Hold a lock while the block runs, waiting for the process that has it; the kernel ends the lock of a dead one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another modelzoo is at work in {path.parent}; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
