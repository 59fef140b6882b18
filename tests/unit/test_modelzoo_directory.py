"""Files that are already there, and the study's folder on Google Drive, whose files have the same names."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from gdown.exceptions import DownloadError

from modelzoo import manifest
from modelzoo.directory import Directory
from modelzoo.drive import DriveFolder, parse_folder, read_checksums
from modelzoo.ensure import Wanted, ensure
from modelzoo.errors import UsageError, ZooError
from modelzoo.manifest import Entry

FLOAT = Wanted("MobileNet", "float32")
QUANTIZED = Wanted("MobileNet", "dynamic_range")


def tflite(content: str) -> bytes:
    return b"\0\0\0\0TFL3" + content.encode()


def quiet(_line: str) -> None:
    pass


@pytest.fixture
def there(tmp_path):
    """A directory with the study's files and one of ours."""
    there = tmp_path / "there"
    there.mkdir()
    (there / "MobileNet.tflite").write_bytes(tflite("float"))
    (there / "MobileNet_quant.tflite").write_bytes(tflite("quantized"))
    (there / "Own.int4.tflite").write_bytes(tflite("any model, any variant"))
    return there


def test_files_are_used_in_place_under_our_names(there, tmp_path):
    wanted = [FLOAT, QUANTIZED, Wanted("Own", "int4")]
    before = sorted(there.iterdir())
    outcome = ensure(Directory(there), wanted, tmp_path / "models", quiet)
    assert outcome.changed
    assert outcome.failed == []
    assert [entry.file for entry in outcome.models] == [each.file for each in wanted]
    assert (outcome.directory / "MobileNet.dynamic_range.tflite").read_bytes() == tflite("quantized")
    assert (outcome.directory / "MobileNet.dynamic_range.tflite").resolve() == there / "MobileNet_quant.tflite"
    assert outcome.models[0].weights == "unknown"
    assert outcome.models[0].parameters is outcome.models[0].recipe is None
    assert sorted(there.iterdir()) == before

    again = ensure(Directory(there), wanted, tmp_path / "models", quiet)
    assert not again.changed
    assert again.models == outcome.models


def test_format_batch_and_input_size_are_in_the_name(there, tmp_path):
    (there / "Own.float32.s448.pt2").write_bytes(b"PK\x03\x04 an archive")
    (there / "Own.float32.onnx").write_bytes(b"\x08\x0a a model")
    (there / "Own.float32_untuned.so").write_bytes(b"\x7fELF a library")
    (there / "MobileNet.float32.b8.tflite").write_bytes(tflite("eight at once"))
    wanted = [
        Wanted("Own", "float32", "pt2", None, 448),
        Wanted("Own", "float32", "onnx", None),
        Wanted("Own", "float32_untuned", "so"),
        Wanted("MobileNet", "float32", batch_size=8),
        FLOAT,
        Wanted("MobileNet", "dynamic_range", batch_size=8),
    ]
    outcome = ensure(Directory(there), wanted, tmp_path / "models", quiet)
    assert [(entry.file, entry.format, entry.batch_size, entry.input_size) for entry in outcome.models] == [
        ("Own.float32.s448.pt2", "pt2", None, 448),
        ("Own.float32.onnx", "onnx", None, None),
        ("Own.float32_untuned.so", "so", None, None),
        ("MobileNet.float32.b8.tflite", "tflite", 8, None),
        ("MobileNet.float32.tflite", "tflite", None, None),
    ]
    assert "has no MobileNet.dynamic_range.b8.tflite; it has: " in outcome.failed[0].reason


CORE, PI = "llvm -mcpu=core-avx2", "llvm -mcpu=cortex-a72 -mtriple=aarch64-linux-gnu"


@pytest.mark.parametrize(
    ("file", "wanted", "is_left_out"),
    [
        ("Own.float32.core-avx2.so", Wanted("Own", "float32", "so", target=PI), True),
        ("Own.float32_untuned.cortex-a72.so", Wanted("Own", "float32", "so", target=PI), True),
        ("Own.float32.core-avx2.so", Wanted("Own", "int8", "so", target=PI), False),
        ("Own.float32.core-avx2.so", Wanted("Own", "float32", "so", 8, target=PI), False),
        ("Own.float32.cortex-a72.so", Wanted("Own", "float32_untuned", "so", target=PI), False),
    ],
)
def test_a_library_that_is_there_for_another_cpu_or_untuned_is_left_out(there, tmp_path, file, wanted, is_left_out):
    """As when it is built: the hosts of the other kind measure all that is asked for, and this one what there is."""
    (there / file).write_bytes(b"\x7fELF")
    outcome = ensure(Directory(there), [wanted, FLOAT], tmp_path / "models", quiet)
    assert [entry.key for entry in outcome.models] == ["MobileNet.float32"]
    (failure,) = outcome.left_out if is_left_out else outcome.failed
    assert failure.wanted == wanted
    assert failure.reason.startswith(f"{there} has no {wanted.file}; it has: {file if is_left_out else 'MobileNet.'}")


def test_a_library_of_a_target_is_used_in_place(there, tmp_path):
    (there / "Own.float32.core-avx2.so").write_bytes(b"\x7fELF")
    (entry,) = ensure(
        Directory(there), [Wanted("Own", "float32", "so", target=CORE)], tmp_path / "models", quiet
    ).models
    assert (entry.file, entry.target) == ("Own.float32.core-avx2.so", CORE)


def test_our_name_goes_before_the_studys(there, tmp_path):
    (there / FLOAT.file).write_bytes(tflite("ours"))
    outcome = ensure(Directory(there), [FLOAT], tmp_path / "models", quiet)
    assert (outcome.directory / FLOAT.file).read_bytes() == tflite("ours")


def test_a_file_that_was_replaced_is_recorded_anew(there, tmp_path):
    first = ensure(Directory(there), [FLOAT, QUANTIZED], tmp_path / "models", quiet)
    (there / "MobileNet.tflite").write_bytes(tflite("float, retrained"))
    said = []
    second = ensure(Directory(there), [FLOAT, QUANTIZED], tmp_path / "models", said.append)
    assert second.changed
    assert second.models[0].sha256 != first.models[0].sha256
    assert second.models[1] == first.models[1]
    assert any(line.startswith("MobileNet.float32: the file has") for line in said)


def test_another_directory_is_another_source(there, tmp_path):
    ensure(Directory(there), [FLOAT], tmp_path / "models", quiet)
    other = shutil.copytree(there, tmp_path / "other")
    outcome = ensure(Directory(other), [FLOAT], tmp_path / "models", quiet)
    assert (outcome.directory / FLOAT.file).resolve() == other / "MobileNet.tflite"


def test_a_manifest_beside_the_files_says_what_they_are(there, tmp_path):
    known = {}
    for each, content in ((FLOAT, "carried over"), (QUANTIZED, "changed on the way")):
        (there / each.file).write_bytes(tflite(content))
        sha256 = hashlib.sha256(tflite("carried over")).hexdigest()
        known[each.key] = Entry(
            each.model, each.variant, each.file, 20, sha256, "build", "random", weights_seed=3, parameters=7
        )
    manifest.write(there, known)
    carried, changed = ensure(Directory(there), [FLOAT, QUANTIZED], tmp_path / "models", quiet).models
    assert (carried.weights, carried.weights_seed, carried.parameters) == ("random", 3, 7)
    assert carried.source == "directory"
    assert (changed.weights, changed.parameters) == ("unknown", None)


def test_a_manifest_of_something_else_is_left_alone(there, tmp_path):
    (there / "manifest.json").write_text('{"name": "a web app"}')
    assert ensure(Directory(there), [FLOAT], tmp_path / "models", quiet).failed == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"<html>", "not a TFLite model"), (b"", "not a TFLite model"), (b"\0\0\0\0TFL2....", "b'TFL2' found")],
)
def test_what_is_no_model_is_refused_by_name(there, tmp_path, content, problem):
    (there / "MobileNet.tflite").write_bytes(content)
    outcome = ensure(Directory(there), [FLOAT, QUANTIZED], tmp_path / "models", quiet)
    assert [entry.key for entry in outcome.models] == ["MobileNet.dynamic_range"]
    assert outcome.failed[0].reason.startswith(f"{there / 'MobileNet.tflite'}: ")
    assert problem in outcome.failed[0].reason


@pytest.mark.parametrize(
    ("file_format", "problem"),
    [("pt2", "not an archive of torch.export"), ("onnx", "not an ONNX model"), ("so", "not a shared library")],
)
def test_what_is_no_model_of_its_format_is_refused(there, tmp_path, file_format, problem):
    (there / f"Own.float32.{file_format}").write_bytes(tflite("of another format"))
    outcome = ensure(Directory(there), [Wanted("Own", "float32", file_format, None)], tmp_path / "models", quiet)
    assert problem in outcome.failed[0].reason


def test_what_cannot_be_read_is_refused_by_name(there, tmp_path):
    (there / "MobileNet.tflite").unlink()
    (there / "MobileNet.tflite").symlink_to(tmp_path / "nowhere")
    outcome = ensure(Directory(there), [FLOAT], tmp_path / "models", quiet)
    assert outcome.failed[0].reason == f"{there / 'MobileNet.tflite'}: cannot be read (No such file or directory)"


def test_a_missing_file_is_said_with_what_is_there(there, tmp_path):
    outcome = ensure(Directory(there), [Wanted("Ovn", "int4")], tmp_path / "models", quiet)
    assert outcome.failed[0].reason == (
        f"{there} has no Ovn.int4.tflite; it has: MobileNet.tflite, MobileNet_quant.tflite, Own.int4.tflite"
    )


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ZooError, match="nowhere cannot be read"):
        Directory(tmp_path / "nowhere")


FOLDER = "1OcJ9ceYg6ZWFJ4QMR0zznsw0KVeHPa4h"


class Drive:
    """Stands in for the gdown module: a folder with the files of a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.problem: Exception | None = None
        self.downloads: list[str] = []

    def download_folder(self, *, id: str, output: str, skip_download: bool, **_options):
        if self.problem:
            raise self.problem
        assert (id, skip_download) == (FOLDER, True)
        return [SimpleNamespace(id=f"id of {file.name}", path=file.name) for file in self.directory.iterdir()]

    def download(self, *, id: str, output: str, **_options):
        name = id.removeprefix("id of ")
        self.downloads.append(name)
        if name == "MobileNet_quant.tflite" and self.problem:
            raise self.problem
        shutil.copy(self.directory / name, output)


def test_the_studys_folder(there, tmp_path):
    drive = Drive(there)

    def run(checksums=None):
        return ensure(DriveFolder(FOLDER, checksums, drive), [FLOAT, QUANTIZED], tmp_path / "models", quiet)

    outcome = run()
    assert outcome.failed == []
    assert [entry.weights for entry in outcome.models] == ["unknown", "unknown"]
    assert drive.downloads == ["MobileNet.tflite", "MobileNet_quant.tflite"]
    assert not run().changed
    assert len(drive.downloads) == 2

    checksums = tmp_path / "sums"
    checksums.write_text(f"{outcome.models[0].sha256}  MobileNet.tflite\n{'0' * 64} *MobileNet_quant.tflite\n")
    outcome = run(checksums)
    assert [entry.key for entry in outcome.models] == ["MobileNet.float32"]
    assert f"the checksum list says {'0' * 64}" in outcome.failed[0].reason


def test_what_drive_does_not_have_or_give_is_named(there, tmp_path):
    drive = Drive(there)
    folder = DriveFolder(FOLDER, client=drive)
    outcome = ensure(folder, [FLOAT, Wanted("MobileNet", "int8")], tmp_path / "models", quiet)
    assert outcome.failed[0].reason.startswith("the Google Drive folder has no MobileNet.int8.tflite; it has: ")

    drive.problem = DownloadError("Cannot retrieve\nthe link")
    outcome = ensure(DriveFolder("x" * 33, client=drive), [FLOAT], tmp_path / "models", quiet)
    assert outcome.failed[0].reason == f"Google Drive folder {'x' * 33} cannot be listed (Cannot retrieve the link)"


@pytest.mark.parametrize(
    "folder",
    [
        FOLDER,
        f"https://drive.google.com/drive/folders/{FOLDER}",
        f"https://drive.google.com/drive/folders/{FOLDER}?usp=drive_link",
        f"https://drive.google.com/drive/u/0/folders/{FOLDER}",
    ],
)
def test_parse_folder(folder):
    assert parse_folder(folder) == FOLDER


@pytest.mark.parametrize("folder", ["", "models", "https://example.org/drive/folders/" + FOLDER])
def test_parse_folder_refuses_what_is_none(folder):
    with pytest.raises(UsageError, match="not a Google Drive folder"):
        parse_folder(folder)


def test_read_checksums_names_the_bad_line(tmp_path):
    (tmp_path / "sums").write_text(f"{'a' * 64}  good\nbad line\n")
    with pytest.raises(ZooError, match="sums, line 2"):
        read_checksums(tmp_path / "sums")
