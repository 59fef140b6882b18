"""manifest.json: what each model file of a directory is, and whether it still is that."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelzoo.errors import ZooError
from modelzoo.resources import usable_cores

NAME = "manifest.json"
SCHEMA = 1

# Format -> what it is, and where which bytes tell: a flatbuffer's identifier, a zip archive, the tag of a protobuf's
# first field.
_BEGINNINGS = {
    "tflite": ("a TFLite model", 4, b"TFL3"),
    "pt2": ("an archive of torch.export", 0, b"PK\x03\x04"),
    "onnx": ("an ONNX model", 0, b"\x08"),
    "keras": ("an archive of Keras", 0, b"PK\x03\x04"),
    "npz": ("an archive of NumPy", 0, b"PK\x03\x04"),
    "so": ("a shared library", 0, b"\x7fELF"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One model file. None = unknown.

    Attributes:
        file: its name in the manifest's directory.
        input_size: height and width of the input image, in pixels.
        source: `build`, `download` or `directory`.
        weights: `random`, what trained weights were trained on (`imagenet`, `brain-mri`, `digits`, the name of a
            directory of images), or `unknown`; results on random weights say nothing about accuracy.
        weights_seed: of random weights.
        macs: multiply-accumulates of one image at this input size; FLOPs are twice as many.
        activation_mb: inputs and outputs of one image's largest operation, in MB of 2^20 bytes, as float32.
        format: `tflite`, `pt2` (torch.export), `onnx`, `keras`, `so` (compiled by TVM) or `npz` (no model but the
            images that models are evaluated with).
        batch_size: images per inference; None also where the file takes any.
        url: where anybody can download it; None also where the URL has a user, password or query, which may be secret.
        recipe: sha256 of what determines the file's bytes or where it came from.
        versions: of the packages that made it.
        compressed_bytes: size of the file as gzip makes it at level 9: clustering and pruning save only there.
        evaluated_on: the data set of the images that it was evaluated with.
        evaluated_images: how many these were; no training, fine-tuning or calibration has seen them.
        correct_images: how many of them this very file puts into the right class, of `classes`.
        weight_sparsity: the share of zeros in the kernels of convolutions and dense layers, read back from the file.
        weight_clusters: the most distinct values in one output channel of any kernel but depthwise ones, read back from
            the file.
        remark: on the weights, where they are not what the other facts let expect.
        target: what a library is compiled for, such as `llvm -mcpu=core-avx2`; None = a file for any CPU.
        kernels: of a library, how many it has; tuned_kernels of them are tuned.
        tuning_minutes: what their tuning was given, in all.
        compiled_from_sha256: of the TFLite file that a library is compiled from.
        arithmetic: type of the numbers that a library computes with, whatever its inputs, outputs and weights are.
    """

    model: str
    variant: str
    file: str
    size_bytes: int
    sha256: str
    source: str
    weights: str = "unknown"
    weights_seed: int | None = None
    parameters: int | None = None
    macs: int | None = None
    activation_mb: float | None = None
    format: str = "tflite"
    batch_size: int | None = None
    input_size: int | None = None
    url: str | None = None
    recipe: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    compressed_bytes: int | None = None
    evaluated_on: str | None = None
    evaluated_images: int | None = None
    correct_images: int | None = None
    classes: int | None = None
    weight_sparsity: float | None = None
    weight_clusters: int | None = None
    remark: str | None = None
    target: str | None = None
    kernels: int | None = None
    tuned_kernels: int | None = None
    tuning_minutes: float | None = None
    compiled_from_sha256: str | None = None
    arithmetic: str | None = None

    @property
    def key(self) -> str:
        return key(self.file)


def key(file: str) -> str:
    """What names a model file in the manifest and to people; that a file is TFLite goes without saying."""
    return file.removesuffix(".tflite")


def read(directory: Path) -> dict[str, Entry]:
    """Return the entries of a directory by key, none where there is no manifest.

    Raises ZooError when there is one that cannot be used.
    """
    path = directory / NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ZooError(f"{path}: schema {document['schema']!r} found, {SCHEMA} expected")
        return {key: Entry(**entry) for key, entry in document["models"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ZooError(f"{path}: not a manifest ({error})") from error


def write(directory: Path, entries: dict[str, Entry]) -> None:
    """Replace a directory's manifest, all or nothing."""
    document = {"schema": SCHEMA, "models": {key: asdict(entries[key]) for key in sorted(entries)}}
    temporary = directory / f".{NAME}.{os.getpid()}"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / NAME)


def damage(directory: Path, entries: Iterable[Entry]) -> dict[str, str]:
    """Return, by key, what is wrong with each file that is not what its entry says. Reads every file in full."""
    entries = list(entries)
    with ThreadPoolExecutor(usable_cores()) as pool:
        problems = pool.map(lambda entry: _damage(directory / entry.file, entry), entries)
        return {entry.key: problem for entry, problem in zip(entries, problems, strict=True) if problem}


def _damage(path: Path, entry: Entry) -> str | None:
    try:
        size_bytes = path.stat().st_size
        if size_bytes != entry.size_bytes:
            return f"the file has {size_bytes} bytes, {entry.size_bytes} are expected"
        if sha256(path) != entry.sha256:
            return "the file is damaged (its sha256 is not the manifest's)"
    except FileNotFoundError:
        return "the file is gone"
    except OSError as error:
        return f"the file cannot be read ({error.strerror})"
    return None


def sha256(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    return checksum(path, "sha256")


def checksum(path: Path, algorithm: str) -> str:
    """The checksum of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def digest(document: dict[str, Any]) -> str:
    """The sha256 of a JSON document in one canonical form, in hex."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_format(path: Path, file_format: str) -> None:
    """Raise ZooError unless a file begins like one of a format."""
    title, offset, expected = _BEGINNINGS[file_format]
    try:
        with path.open("rb") as file:
            found = file.read(offset + len(expected))[offset:]
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror})") from error
    if found != expected:
        raise ZooError(f"{path}: not {title} ({expected!r} expected at byte {offset}, {found!r} found)")
