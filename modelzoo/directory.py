"""Source `directory`: model files that are already there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from modelzoo import manifest
from modelzoo.catalogue import FORMATS
from modelzoo.ensure import Failure, Source, Wanted, instead_of
from modelzoo.errors import ZooError
from modelzoo.manifest import Entry
from modelzoo.resources import Say

# The study named its files by model and a suffix.
STUDY_SUFFIXES = {"float32": "", "dynamic_range": "_quant"}


def file_names(wanted: Wanted) -> list[str]:
    """The names a model's file may have: ours first, then the study's."""
    names = [wanted.file]
    if wanted.variant in STUDY_SUFFIXES and wanted == Wanted(wanted.model, wanted.variant):
        names.append(f"{wanted.model}{STUDY_SUFFIXES[wanted.variant]}.tflite")
    return names


class Directory(Source):
    """Use files in place, through links: nothing is copied or written there, so it may be read-only.

    Any model and variant that has a file will do, known to the catalogue or not. What a modelzoo manifest beside the
    files says about one (its weights, its parameters) is taken over when the sha256 agrees, so a directory that was
    built on one machine can be carried to another; otherwise weights are `unknown`.

    Raises ZooError when the directory cannot be read.
    """

    subdirectory = "directory"
    verb = "link"

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser().resolve()
        try:
            self._names = sorted(file.name for file in self._path.iterdir() if file.suffix[1:] in FORMATS)
        except OSError as error:
            raise ZooError(f"model directory {self._path} cannot be read ({error.strerror})") from error
        self._described: dict[str, Entry] = {}
        # A manifest.json of another kind is none of our business.
        with contextlib.suppress(ZooError):
            self._described = {entry.file: entry for entry in manifest.read(self._path).values()}

    def offers(self, wanted: Wanted) -> bool:
        return self._find(wanted) is not None

    def outdated(self, wanted: Wanted, entry: Entry, directory: Path) -> str | None:
        file = self._find(wanted)
        if file is None:
            return f"{self._path} has no file for it"
        return None if (directory / wanted.file).resolve() == file.resolve() else f"{file} is to be used"

    def left_out(self, wanted: Wanted) -> str | None:
        others = [] if self._find(wanted) else instead_of(wanted, self._names)
        return f"{self._path} has no {wanted.file}; it has: {', '.join(others)}" if others else None

    def provide(self, wanted: Sequence[Wanted], directory: Path, say: Say) -> Iterator[Entry | Failure]:
        for each in wanted:
            file = self._find(each)
            if file is None:
                yield Failure(each, self._absent(each))
                continue
            try:
                manifest.check_format(file, each.format)
                entry = self._describe(each, file)
                _link(directory / each.file, file)
            except ZooError as error:
                yield Failure(each, str(error))
            else:
                say(f"using {file} as {each.key}")
                yield entry

    def _find(self, wanted: Wanted) -> Path | None:
        return next((self._path / name for name in file_names(wanted) if name in self._names), None)

    def _absent(self, wanted: Wanted) -> str:
        names = " or ".join(file_names(wanted))
        found = ", ".join(self._names) or f"no files of {', '.join(FORMATS)}"
        return f"{self._path} has no {names}; it has: {found}"

    def _describe(self, wanted: Wanted, file: Path) -> Entry:
        sha256 = manifest.sha256(file)
        known = self._described.get(file.name)
        size_bytes = file.stat().st_size
        entry = Entry(wanted.model, wanted.variant, wanted.file, size_bytes, sha256, source="directory", **wanted.named)
        if known is None or known.sha256 != sha256:
            return entry
        return replace(known, model=entry.model, variant=entry.variant, file=entry.file, source="directory")


def _link(link: Path, target: Path) -> None:
    temporary = link.with_name(f".{link.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
