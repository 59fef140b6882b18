"""Archives of logs (.tar, .tar.gz, .tar.xz, .zip) -> the files in them that may matter, in a directory of their own.

An archive may come from anybody: nothing is written outside the directory, no link is made, sizes are bounded. A
damaged one gives what can be read of it, and the reason why it gives no more.
"""

from __future__ import annotations

import errno
import gzip
import lzma
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from analysis.errors import AnalysisError
from analysis.names import readable

ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".zip")
_WANTED = (".log", ".txt", ".meta", ".json", ".tsv")  # all that analysis reads, but for DONE

# Far above what campaigns have, far below what fills a disk.
MAX_FILE_BYTES = 64 << 20
MAX_BYTES, MAX_FILES = 4 << 30, 500_000
MAX_EXTENT_BYTES = 64 << 30  # of a tar, what is skipped included: it is decompressed all the same


class _Member(NamedTuple):
    name: str
    kind: str  # file, directory, link or another
    size: int
    read: Callable[[], bytes]


class _UnusableError(Exception):
    """The archive cannot be read on; the message is the reason."""


def is_archive(name: str) -> bool:
    """Whether a file's name says that it is one."""
    return name.lower().endswith(ENDINGS)


def stem(name: str) -> str:
    """The name without its ending: what a directory of the same content would be called."""
    ending = next(e for e in sorted(ENDINGS, key=len, reverse=True) if name.lower().endswith(e))
    return name[: -len(ending)].strip(".") or "archive"


def unpack(archive: Path, into: Path) -> list[str]:
    """Write an archive's logs, and what lies beside logs, into a new directory.

    Returns one sentence for each thing in it that was not taken; [] if all went well.

    Raises AnalysisError when there is no room for what is unpacked.
    """
    into.mkdir(parents=True)
    problems: list[str] = []
    files, size = 0, 0
    members = _zip(archive) if archive.name.lower().endswith(".zip") else _tar(archive)
    try:
        for member in members:
            name = readable(member.name)
            path = PurePosixPath(name)
            if not _is_wanted(path) or member.kind == "directory":
                if is_archive(name) and member.kind == "file":
                    problems.append(f"'{name}' is an archive in an archive, not read")
                continue
            if path.is_absolute() or ".." in path.parts:
                problems.append(f"'{name}' would lie outside of it, not read")
            elif member.kind != "file":
                problems.append(f"'{name}' is a {member.kind}, not followed")
            elif member.size > MAX_FILE_BYTES:
                problems.append(f"'{name}' is larger than {MAX_FILE_BYTES >> 20} MiB, not read")
            elif files + 1 > MAX_FILES or size + member.size > MAX_BYTES:
                raise _UnusableError(f"more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB of logs")
            else:
                try:
                    content = member.read()
                except _damage(archive) as error:
                    problems.append(f"'{name}' is damaged ({_words(error)})")
                    continue
                files, size = files + 1, size + len(content)
                if problem := _write(into / path, content):
                    problems.append(f"'{name}' cannot be unpacked ({problem})")
    except AnalysisError:
        raise
    except Exception as error:  # what damaged bytes make the libraries raise is no closed list
        reason = _words(error) if isinstance(error, _UnusableError) else f"damaged ({_words(error)})"
        problems.append(f"{reason}; {files} files before that were read" if files else f"{reason}; nothing was read")
    return problems


def _damage(archive: Path) -> tuple[type[Exception], ...]:
    """What a damaged member raises where the members after it can be read all the same: only a zip has a directory."""
    return (Exception,) if archive.name.lower().endswith(".zip") else ()


def _is_wanted(path: PurePosixPath) -> bool:
    if any(part.startswith(".") and part != ".." for part in path.parts):
        return False  # hidden ones are nobody's logs, above all not macOS's ._x.log
    return path.name.endswith(_WANTED) or path.name == "DONE"


def _write(path: Path, content: bytes) -> str:
    """Write a file; return why it cannot be, '' if it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise AnalysisError(
                f"{tempfile.gettempdir()}: no room to unpack archives of logs ({error.strerror}); free some, or set "
                "TMPDIR to a directory that has more"
            ) from error
        return error.strerror or str(error)
    return ""


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _zip(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            kind = "directory" if info.is_dir() else "link" if mode == stat.S_IFLNK else "file"
            # Some programs on Windows write its own separators.
            name = info.filename.replace("\\", "/")
            yield _Member(name, kind, info.file_size, lambda info=info: archive.read(info))


def _tar(path: Path) -> Iterator[_Member]:
    with path.open("rb") as raw:
        head = raw.read(6)
    opener = gzip.open if head[:2] == b"\x1f\x8b" else lzma.open if head == b"\xfd7zXZ\0" else open
    with opener(path, "rb") as plain:
        stream = _Bounded(plain)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for info in archive:
                if info.size < 0:
                    raise _UnusableError("damaged (a negative size)")
                links = info.issym() or info.islnk()
                kind = "file" if info.isreg() else "directory" if info.isdir() else "link" if links else "device"
                yield _Member(info.name, kind, info.size, lambda info=info: archive.extractfile(info).read())
            # tarfile takes any end for the end; a whole archive has a block of zeros there.
            stream.seek(archive.offset)
            end = stream.read(tarfile.BLOCKSIZE)
        if end != bytes(tarfile.BLOCKSIZE):
            raise _UnusableError("cut short" if len(end) < tarfile.BLOCKSIZE else "damaged (not a tar header)")
        while stream.read(min(1 << 20, MAX_FILE_BYTES)):
            pass  # to the checksum at the end of what is compressed


class _Bounded:
    """A stream that refuses what only a made-up header asks for: to read very much at once, or to go very far."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_FILE_BYTES:
            raise _UnusableError(f"damaged (a header of {size} bytes)")
        self._check(self.tell())
        return self._stream.read(size)

    def seek(self, position: int) -> int:
        self._check(position)
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if not 0 <= position <= MAX_EXTENT_BYTES:
            raise _UnusableError(f"larger than {MAX_EXTENT_BYTES >> 30} GiB when unpacked")
