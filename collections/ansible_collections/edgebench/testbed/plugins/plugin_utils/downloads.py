# Copyright the edgebench developers. Apache-2.0.
"""Downloads on the controller, which several hosts' workers, or several plays, may want at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit, urlunsplit

from ansible.module_utils.urls import open_url
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import file_sha256

TIMEOUT_S = 60
BLOCK = 2**20


class DownloadError(Exception):
    """It cannot be had; the message is the reason, without the URL."""


def public_url(url: str) -> str:
    """A URL as it may be shown and recorded: without user, password and query, which may be secret."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of what will be at `path`, waiting for it; it ends with the process at the latest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure_download(url: str, dest: Path, sha256: str, say: Callable[[str], None]) -> str:
    """Download a file unless it is there, all or nothing; return its sha256.

    Args:
        sha256: what it must be; '' takes what comes.

    Raises:
        DownloadError: it cannot be had, or is another.
    """
    with locked(dest):
        if dest.is_file() and (there := file_sha256(dest)) and sha256 in ("", there):
            return there
        say(f"downloading {public_url(url)} ...")
        partial = dest.with_name(f".{dest.name}.partial")
        with partial.open("wb") as file:
            found = _download(url, file)
        if sha256 not in ("", found):
            raise DownloadError(f"it has the sha256 {found}, and {sha256} is asked for")
        partial.rename(dest)
        return found


def _download(url: str, file: BinaryIO) -> str:
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with open_url(url, timeout=TIMEOUT_S) as response:
            while block := response.read(BLOCK):
                file.write(block)
                digest.update(block)
                size_bytes += len(block)
            expected = response.headers.get("Content-Length")
    except Exception as error:  # open_url raises nearly anything
        raise DownloadError(str(error).replace(url, public_url(url))) from error
    if expected and int(expected) != size_bytes:
        raise DownloadError(f"it broke off after {size_bytes} of {expected} bytes")
    return digest.hexdigest()
