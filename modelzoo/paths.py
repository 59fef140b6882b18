"""Where modelzoo keeps what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def cache_dir() -> Path:
    """The kit's cache: EDGEBENCH_CACHE, else edgebench in XDG_CACHE_HOME, else ~/.cache/edgebench."""
    if own := os.environ.get("EDGEBENCH_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebench"
