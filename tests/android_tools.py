"""Android's shell and small tools, as far as Debian has them: mksh, toybox and Kernighan's awk, and no coreutils."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

# What Android's toybox has and Debian's lacks; and bash, the login shell of FakeConnection.
FROM_HERE = ("bash", "dd", "expr", "gzip", "tr")
TOYBOX = Path(__file__).parent / "data/android/toybox.txt"  # the phones of tests/labs have the same


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
    for name in TOYBOX.read_text(encoding="ascii").split():
        (directory / name).symlink_to(directory / "toybox")
    return str(directory)
