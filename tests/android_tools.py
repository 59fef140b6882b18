"""Android's shell and small tools, as far as Debian has them: mksh, toybox and Kernighan's awk, and no coreutils."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

# What Android's toybox has and Debian's lacks; and bash, the login shell of FakeConnection.
FROM_HERE = ("bash", "dd", "expr", "gzip", "tr")
# What Android's has not.
NOT_THERE = ("host", "killall5", "sysctl", "w", "wget")


def install(directory: Path) -> str:
    """Fill a new directory, `sh` among it; return its path, which is all that PATH should have."""
    programs = {
        "sh": "mksh",
        "mksh": "mksh",
        "toybox": "toybox",
        "awk": "original-awk",
        **{name: name for name in FROM_HERE},
    }
    directory.mkdir(parents=True)
    for name, program in programs.items():
        path = shutil.which(program)
        if path is None:
            pytest.skip(f"needs {program} (apt-get install {program})")
        (directory / name).symlink_to(path)
    names = subprocess.run(["toybox"], capture_output=True, text=True, check=True).stdout.split()
    for name in set(names) - set(programs) - set(NOT_THERE):
        (directory / name).symlink_to(directory / "toybox")
    return str(directory)
