"""Make the wanted models be there: keep what is right, let a source provide the rest, keep the manifest true."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from modelzoo import manifest
from modelzoo.catalogue import ANY_BATCH, MODELS
from modelzoo.errors import ZooError
from modelzoo.manifest import Entry
from modelzoo.resources import Say, locked
from modelzoo.targets import mcpu


@dataclass(frozen=True, slots=True)
class Wanted:
    """One model in one variant, as one file.

    Attributes:
        batch_size: images per inference that the file is made for; None in formats that take any.
        input_size: height and width of the image, in pixels; None = the model's own.
        target: of a library, TVM's normalised target that it is for; None = a file for any CPU, or not known.
    """

    model: str
    variant: str
    format: str = "tflite"
    batch_size: int | None = 1
    input_size: int | None = None
    target: str | None = None

    @property
    def key(self) -> str:
        return manifest.key(self.file)

    @property
    def file(self) -> str:
        """`ResNet18.float32.b8.s448.tflite`, `DigitCNN.int8_untuned.core-avx2.so`.

        Batch and input size are there only where they are not 1 and the model's own.
        """
        batch = f".b{self.batch_size}" if self.batch_size not in (None, 1) else ""
        size = f".s{self.input_size}" if self.input_size else ""
        cpu = f".{mcpu(self.target)}" if self.target else ""
        return f"{self.model}.{self.variant}{batch}{size}{cpu}.{self.format}"

    @property
    def named(self) -> dict[str, Any]:
        """What the file's name says of it, for the manifest: where it says nothing, that is not known."""
        return {
            "format": self.format,
            "batch_size": None if self.batch_size == 1 else self.batch_size,
            "input_size": self.input_size,
            "target": self.target,
        }


def file_of(
    model: str, variant: str, file_format: str, batch_size: int, input_size: int | None, target: str | None = None
) -> Wanted:
    """Return the file that serves a batch, an input size (None = the model's own) and, as a library, a target."""
    own = MODELS[model].input_size if model in MODELS else None
    return Wanted(
        model,
        variant,
        file_format,
        None if file_format in ANY_BATCH else batch_size,
        None if input_size == own else input_size,
        target if file_format == "so" else None,
    )


def instead_of(wanted: Wanted, files: Collection[str]) -> list[str]:
    """Libraries that say that a library may be missing: the same for other CPUs, and the untuned one for this CPU.

    As when they are built here, where kernels can be tuned for some CPUs only.
    """
    if wanted.format != "so":
        return []
    beginning = re.escape(replace(wanted, target=None).file.removesuffix(".so"))
    untuned = replace(wanted, variant=f"{wanted.variant}_untuned").file
    return [file for file in files if file == untuned or re.fullmatch(rf"{beginning}\.[a-z0-9_-]+\.so", file)]


@dataclass(frozen=True, slots=True)
class Failure:
    """A model that could not be provided, and why."""

    wanted: Wanted
    reason: str


class Source(Protocol):
    """Where models come from.

    Attributes:
        subdirectory: of the models directory, for its models alone, so that sources never overwrite each other's.
        verb: what it does to a model, for messages ("build").
    """

    subdirectory: str
    verb: str

    def offers(self, wanted: Wanted) -> bool:
        """Whether it has something that is taken where it is to be had, and not missed elsewhere."""

    def outdated(self, wanted: Wanted, entry: Entry, directory: Path) -> str | None:
        """Why an entry is not what this source would provide now, None when it is; the file is checked elsewhere."""

    def left_out(self, wanted: Wanted) -> str | None:
        """Why a model that is not there is none that is missing, None when it is one."""
        return None

    def provide(self, wanted: Sequence[Wanted], directory: Path, say: Say) -> Iterator[Entry | Failure]:
        """Put models into a directory, each by rename, and yield what became of each as soon as that is known.

        Those that the wanted ones are made of, and nobody asked for, may be among what is yielded. Raises ZooError when
        none of the rest can be provided.
        """


@dataclass(slots=True)
class Outcome:
    """What is there after `ensure`; after a check `changed` says whether something would have changed.

    Attributes:
        left_out: what cannot be there, though that is no failure.
    """

    directory: Path
    changed: bool = False
    models: list[Entry] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    left_out: list[Failure] = field(default_factory=list)


def ensure(source: Source, wanted: Sequence[Wanted], models_dir: Path, say: Say, check: bool = False) -> Outcome:
    """Make the wanted models be there, as the source would provide them, in a directory of the source's own.

    The manifest is written after each model, so what is ready when this is interrupted stays ready. One process at a
    time works in a directory. With `check` nothing is changed, and what is not there is neither in models nor failed.
    """
    outcome = Outcome(directory=models_dir / source.subdirectory)
    entries, reasons = inspect(source, wanted, outcome.directory, say)
    missing = {each.key: each for each in wanted if each.key in reasons}
    for key, each in list(missing.items()):
        if reason := source.left_out(each):
            say(f"{key}: left out: {reason}")
            outcome.left_out.append(Failure(each, reason))
            del missing[key]
    if check:
        outcome.changed = bool(missing)
        for key in missing:
            say(f"would {source.verb} {key}: {reasons[key]}")
    elif missing:
        try:
            with locked(outcome.directory / ".lock", say):
                _provide(source, missing, outcome, say)
                entries = manifest.read(outcome.directory)
        except (ZooError, OSError) as error:
            reason = str(error) if isinstance(error, ZooError) else _unusable(outcome.directory, error)
            say(reason)
            outcome.failed += [Failure(each, reason) for each in missing.values()]
    absent = missing.keys() | {failure.wanted.key for failure in outcome.failed + outcome.left_out}
    outcome.models = [_completed(entries[each.key]) for each in wanted if each.key not in absent]
    return outcome


def _provide(source: Source, missing: dict[str, Wanted], outcome: Outcome, say: Say) -> None:
    """Let the source provide what is missing, taking from `missing` what is dealt with."""
    # Once more, now that the lock is held: another process may have been at work.
    entries, reasons = inspect(source, list(missing.values()), outcome.directory, say=lambda _: None)
    for key in list(missing):
        if key not in reasons:
            del missing[key]
        elif key in entries:
            say(f"{key}: {reasons[key]}")
    # Closed at once when this is interrupted: that ends the processes which the source has started.
    with contextlib.closing(source.provide(list(missing.values()), outcome.directory, say)) as results:
        for result in results:
            if isinstance(result, Failure):
                say(f"{result.wanted.key} failed: {result.reason}")
                outcome.failed.append(result)
                del missing[result.wanted.key]
            else:
                entries[result.key] = result
                manifest.write(outcome.directory, entries)
                outcome.changed = True
                missing.pop(result.key, None)


def inspect(
    source: Source, wanted: Sequence[Wanted], directory: Path, say: Say
) -> tuple[dict[str, Entry], dict[str, str]]:
    """Return all entries of a directory, and by key why wanted models are not ready."""
    try:
        entries = manifest.read(directory)
    except ZooError as error:
        say(f"{error}; starting a new one")
        entries = {}
    reasons = {}
    current = []
    for each in wanted:
        entry = entries.get(each.key)
        if reason := source.outdated(each, entry, directory) if entry else "not there yet":
            reasons[each.key] = reason
        else:
            current.append(entry)
    if current:
        say(f"checking {describe(current)} in {directory} ...")
    return entries, reasons | manifest.damage(directory, current)


def _completed(entry: Entry) -> Entry:
    """The entry with its MACs, where an older modelzoo built the model and recorded none."""
    model = MODELS.get(entry.model)
    if model is None or entry.macs or (entry.parameters, entry.input_size) != (model.parameters, model.input_size):
        return entry
    return replace(entry, macs=model.macs, activation_mb=model.activation_mb)


def _unusable(directory: Path, error: OSError) -> str:
    return f"models directory {directory} cannot be used ({error.strerror or error}); choose another with --dir"


@contextlib.contextmanager
def workspace(directory: Path) -> Iterator[Path]:
    """An empty directory for unfinished files, beside the models so that they are renamed, not copied.

    It is removed in the end, and what a killed run left there in the beginning: hold the directory's lock.
    """
    path = directory / ".work"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def publish(unfinished: Path, wanted: Wanted, directory: Path, **facts: Any) -> Entry:
    """Move a finished file to its name in the models directory and return its entry.

    Raises ZooError when it is not of the wanted format.
    """
    manifest.check_format(unfinished, wanted.format)
    size_bytes, sha256 = unfinished.stat().st_size, manifest.sha256(unfinished)
    unfinished.replace(directory / wanted.file)
    return Entry(wanted.model, wanted.variant, wanted.file, size_bytes, sha256, **(wanted.named | facts))


def describe(entries: Sequence[Entry]) -> str:
    """'14 models, 2,143.2 MiB'."""
    size_mib = sum(entry.size_bytes for entry in entries) / 2**20
    return f"{len(entries)} model{'' if len(entries) == 1 else 's'}, {size_mib:,.1f} MiB"
