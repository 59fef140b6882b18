"""Trained weights of PyTorch's networks: files whose names carry the beginning of their sha256."""

from __future__ import annotations

import re
from pathlib import Path

from modelzoo import manifest
from modelzoo.download import fetch, new_session, shown
from modelzoo.resources import Say, locked


def fetched(url: str, mirror: str | None, directory: Path, say: Say) -> Path:
    """Return the file of a URL, from a directory where it is kept, else downloaded from there or from a mirror.

    The file's name ends in `-` and the first digits of its sha256 (torch.hub's custom), which must be right. A mirror
    is the URL of a directory with files of these names. Raises ZooError when the file cannot be had.
    """
    name = url.rpartition("/")[2]
    if mirror:
        url = f"{mirror.rstrip('/')}/{name}"
    sha256 = re.search(r"-([0-9a-f]{8,})\.", name)[1]
    file, part = directory / name, directory / f".{name}.part"
    with locked(directory / ".lock", say):
        if not (file.exists() and manifest.sha256(file).startswith(sha256)):
            say(f"downloading the weights {name} from {shown(url)} ...")
            fetch(new_session(), url, part, sha256, promised_by="its name")
            part.replace(file)
    return file
