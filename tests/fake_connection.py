"""A connection plugin of Ansible, as far as HostShell needs one, to a shell on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.errors import AnsibleConnectionFailure

from tests import android_tools

SHELLS = ["dash", "busybox", "android"]


class FakeConnection:
    """Runs what it is given.

    Attributes:
        commands: what was run so far, one for each exchange.
        greeting: what the login shell says before anything else.
        trouble: called before an exchange with its number (from 1), its command and stdin; it may raise, or return
            another stdin, which is what arrives before the connection drops.
    """

    def __init__(self, scratch: Path | None = None, shell: str = "dash", greeting: bytes = b"") -> None:
        """`scratch`: a new directory, for a `sh` that is the shell of that name; without it, the machine's own.

        With `android` its tools are there, and the machine's own are not.
        """
        self.path = os.environ["PATH"]
        if scratch:
            if shell == "android":
                self.path = android_tools.install(scratch.with_name(f"{scratch.name}.system"))
                shell = "mksh"
            program = shutil.which(shell)
            if program is None:
                pytest.skip(f"needs {shell} (apt-get install {shell})")
            scratch.mkdir()
            (scratch / "sh").symlink_to(program)
            self.path = f"{scratch}:{self.path}"
        self.greeting = greeting
        self.commands: list[str] = []
        self.resets = 0
        self.trouble: Callable[[int, str, bytes], bytes | None] = lambda *_: None

    def exec_command(self, command: str, in_data: bytes | None, sudoable: bool) -> tuple[int, bytes, bytes]:
        assert not sudoable
        self.commands.append(command)
        cut = self.trouble(len(self.commands), command, in_data or b"")
        done = subprocess.run(
            ["bash", "-c", command],  # a login shell is anything
            input=in_data if cut is None else cut,
            capture_output=True,
            env=os.environ | {"PATH": self.path},
            check=False,
        )
        if cut is not None:
            raise AnsibleConnectionFailure("Connection reset by peer")
        return done.returncode, self.greeting + done.stdout, done.stderr

    def reset(self) -> None:
        self.resets += 1
