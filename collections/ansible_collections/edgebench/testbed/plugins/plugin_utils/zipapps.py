# Copyright the edgebench developers. Apache-2.0.
"""Python programs of several files as one file, which is what hosts get and what a sha256 stands for."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path


def zipapp(program: Path, modules: Sequence[Path]) -> bytes:
    """A program and the modules that it imports as one file that Python runs; the same bytes for the same files.

    Stored, since what a compressor makes differs between its versions; and without dates.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, path in [("__main__.py", program), *((module.name, module) for module in modules)]:
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    return buffer.getvalue()
