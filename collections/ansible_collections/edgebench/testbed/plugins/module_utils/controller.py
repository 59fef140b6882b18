# Copyright the edgebench developers. Apache-2.0.
"""Who plays a campaign: one controller's play at a time, and how another tells whether it still does."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import socket
from pathlib import Path
from typing import NamedTuple


class Controller(NamedTuple):
    """A play: `started` is its process's start time, so that a pid given to another process is not mistaken."""

    user: str
    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host} {self.pid} {self.started}"

    @property
    def shown(self) -> str:
        """For messages."""
        return f"{self.user}@{self.host} (process {self.pid})"

    @classmethod
    def parse(cls, text: str) -> Controller | None:
        """Read what `str` wrote; None for anything else."""
        words = text.split()
        if len(words) != 3 or not words[1].isdecimal():
            return None
        user, _, host = words[0].partition("@")
        return cls(user, host, int(words[1]), words[2])

    def is_gone(self) -> bool:
        """Whether it certainly does not play any more; of another machine's process nobody here can say."""
        return self.host == socket.gethostname() and start_time(self.pid) != self.started


def this_play() -> Controller:
    """The ansible-playbook process that this worker belongs to.

    One that was killed leaves its workers running for a moment. Their parent is then init, which never ends: what they
    note in its name would keep other plays out for good. They go on speaking for their play, which is gone.
    """
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent else os.getppid()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return Controller(user.replace(" ", "_"), socket.gethostname(), pid, start_time(pid) or "ended")


def start_time(pid: int) -> str:
    """When a process was started, in a unit that only serves to compare; '' when it is gone.

    The 22nd field of /proc/<pid>/stat (proc(5)), which counts from the boot; elsewhere (macOS) 'alive'.
    """
    if Path("/proc/self").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "alive"
