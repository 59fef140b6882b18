"""Archives of logs: they count as the directory that they were made of, whatever they hold and however damaged."""

from __future__ import annotations

import io
import os
import random
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from analysis import archives
from analysis.campaign import read
from analysis.errors import AnalysisError

CAMPAIGNS = Path(__file__).resolve().parent.parent / "data" / "campaigns"
LOG = "pi/runs/0001_MobileNet.float32.litert.t4_r1.log"
RUNS = 6  # of the campaign `demo`
FORMATS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.xz": "w:xz"}


def pack(archive: Path, directory: Path, name: str) -> Path:
    """Make an archive of a directory, in which it is called `name`."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(directory.rglob("*")):
                file.write(path, Path(name, path.relative_to(directory)))
    else:
        ending = next(ending for ending in FORMATS if archive.name.endswith(ending))
        with tarfile.open(archive, FORMATS[ending]) as file:
            file.add(directory, arcname=name)
    return archive


@pytest.fixture
def logs_dir(tmp_path):
    return Path(shutil.copytree(CAMPAIGNS / "logs", tmp_path / "logs"))


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


# --- What they may hold ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [*FORMATS, ".zip"])
@pytest.mark.parametrize("inside", ["demo", "logs/demo", "./a/b/logs/demo"])
def test_an_archive_counts_as_its_directory(tmp_path, ending, inside):
    archive = pack(tmp_path / f"colab{ending}", CAMPAIGNS / "logs" / "demo", inside)
    dataset, plain = read([archive]), read([CAMPAIGNS / "logs"])
    assert list(dataset.runs["status"]) == list(plain.runs["status"])
    assert set(dataset.runs["campaign"]) == {"demo"}
    assert dataset.hosts == plain.hosts
    assert dataset.campaigns == plain.campaigns
    assert dataset.leases == plain.leases
    assert len(dataset.leases) == 1
    assert dataset.unfinished == plain.unfinished
    assert f"colab{ending}/{inside.removeprefix('./')}/{LOG}" in set(dataset.runs["log"])
    assert str(tmp_path) not in "".join(dataset.problems + dataset.notes)


def test_archives_lie_among_directories(tmp_path, logs_dir):
    """`logs/archives/` full of what colleagues sent: other hosts of the same campaign, other campaigns, loose logs."""
    nuc = logs_dir / "demo" / "nuc"
    pack(logs_dir / "archives" / "nuc.tar.gz", nuc, "logs/demo/nuc")
    shutil.rmtree(nuc)
    pack(logs_dir / "archives" / "other.zip", CAMPAIGNS / "logs" / "demo", "other")
    pack(logs_dir / "archives" / "laptop.tar.xz", CAMPAIGNS / "foreign" / "board", ".")
    dataset = read([logs_dir])
    names = dict.fromkeys(zip(dataset.runs["campaign"], dataset.runs["host"], strict=True))
    assert list(names) == [("archives", "laptop"), ("demo", "nuc"), ("demo", "pi"), ("other", "nuc"), ("other", "pi")]
    assert "archives/laptop.tar.xz/MobileNet.log" in set(dataset.runs["log"])
    assert any(log.startswith("archives/nuc.tar.gz/logs/demo/nuc/runs/") for log in dataset.runs["log"])
    assert list(dataset.unfinished) == [("demo", "unreachable"), ("other", "unreachable")]


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.tar.gz", "a"), ("A.TGZ", "A"), ("a.b.zip", "a.b"), ("...tar", "archive"), (".zip", "archive")],
)
def test_what_an_archives_directory_would_be_called(name, stem):
    assert archives.is_archive(name)
    assert archives.stem(name) == stem


def test_names_written_by_windows(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as file:
        info = zipfile.ZipInfo("x")
        info.filename = "lab\\board\\MobileNet.log"
        file.writestr(info, (CAMPAIGNS / "foreign" / "board" / "MobileNet.log").read_text())
    assert list(read([tmp_path / "w.zip"]).runs["log"]) == ["w.zip/lab/board/MobileNet.log"]


# --- The same twice ----------------------------------------------------------------------------------------------


def test_an_archive_beside_its_directory_counts_no_run_twice(logs_dir):
    pack(logs_dir / "demo.tar.gz", logs_dir / "demo", "demo")
    dataset, plain = read([logs_dir]), read([logs_dir / "demo"])
    assert len(dataset.runs) == RUNS
    assert dataset.problems == [f"demo/{p}" if p.startswith("pi/") else p for p in plain.problems]
    assert dataset.notes == [
        "demo/nuc: 1 log (0001_MobileNet.float32.benchmark_model.t4_r1.log) both in logs/demo/nuc and in "
        "logs/demo.tar.gz/demo/nuc, with the same content; counted once",
        "demo/pi: 5 logs (0001_MobileNet.float32.litert.t4_r1.log, 0002_MobileNet.dynamic_range.litert.t4_r1.log, "
        "...) both in logs/demo/pi and in logs/demo.tar.gz/demo/pi, with the same content; counted once",
    ]


def test_an_older_archive_adds_nothing_and_a_newer_one_what_is_new(logs_dir, tmp_path):
    archive = pack(tmp_path / "whole.tar", logs_dir / "demo", "demo")
    (logs_dir / "demo" / LOG).unlink()
    (logs_dir / "demo" / LOG.replace(".log", ".meta")).unlink()
    (logs_dir / "demo" / "pi" / "DONE").unlink()
    assert len(read([logs_dir]).runs) == RUNS - 1
    dataset = read([logs_dir, archive])
    assert len(dataset.runs) == RUNS
    assert f"whole.tar/demo/{LOG}" in set(dataset.runs["log"])
    assert ("demo", "pi") not in dataset.unfinished  # DONE is in the archive


@pytest.mark.parametrize("ending", [".log", ".meta"])
def test_of_two_that_differ_the_first_is_used_and_it_is_said(logs_dir, tmp_path, ending):
    archive = pack(tmp_path / "old.zip", logs_dir / "demo", "demo")
    changed = logs_dir / "demo" / LOG.replace(".log", ending)
    changed.write_text(changed.read_text() + "warnings\n")
    for arguments in ([logs_dir, archive], [archive, logs_dir]):  # a directory comes before an archive
        dataset = read(arguments)
        assert len(dataset.runs) == RUNS
        assert f"demo/{LOG}" in set(dataset.runs["log"])
        assert [p for p in dataset.problems if "different content" in p] == [
            f"demo/pi: 1 log ({LOG.rpartition('/')[2]}) both in logs/demo/pi and in old.zip/demo/pi, with different "
            "content; only the first is used (if these are two machines, rename one of them)"
        ]


def test_two_campaigns_of_one_name(logs_dir, tmp_path):
    copy = Path(shutil.copytree(logs_dir, tmp_path / "copy"))
    assert len(read([logs_dir, copy]).runs) == RUNS
    (copy / "demo" / "nuc").rename(copy / "demo" / "nuc2")
    path = copy / "demo" / "campaign.json"
    path.write_text(path.read_text().replace('"seed": 123', '"seed": 7').replace('"unreachable"', '"far"'))
    dataset = read([logs_dir, copy])
    assert len(dataset.runs) == RUNS + 1
    assert dataset.campaigns["demo"]["seed"] == 123
    assert set(dataset.unfinished) == {("demo", "far"), ("demo", "unreachable")}
    assert any("differ in seed: two campaigns of one name" in problem for problem in dataset.problems)


# --- What came from somebody else --------------------------------------------------------------------------------

GOOD = (CAMPAIGNS / "foreign" / "board" / "MobileNet.log").read_bytes()


@pytest.mark.parametrize(
    ("evil", "problem"),
    [
        (member("../../evil.log"), "'../../evil.log' would lie outside of it, not read"),
        (member("/tmp/evil.log"), "'/tmp/evil.log' would lie outside of it, not read"),
        (member("board/evil.log", tarfile.SYMTYPE, "/etc/passwd"), "'board/evil.log' is a link, not followed"),
        (member("board/evil.log", tarfile.LNKTYPE, "../../x"), "'board/evil.log' is a link, not followed"),
        (member("board/evil.log", tarfile.FIFOTYPE), "'board/evil.log' is a device, not followed"),
        (member("inner.tar.gz"), "'inner.tar.gz' is an archive in an archive, not read"),
        (member("board/MobileNet.log/evil.log"), "'board/MobileNet.log/evil.log' cannot be unpacked"),
        (member("x" * 300 + ".log"), "cannot be unpacked"),
        (member("board/\x1b[31m\udcff.log"), ""),
        (member("board/._MobileNet.log"), ""),
        (member("board/model.tflite"), ""),
    ],
)
def test_nothing_leaves_its_place(tmp_path, evil, problem):
    # A symbolic link to a directory, then a file through it: the classic way out.
    link = member("way", tarfile.SYMTYPE, str(tmp_path / "outside"))
    (tmp_path / "outside").mkdir()
    content = b"" if evil.type != tarfile.REGTYPE else GOOD
    through = member("way/out.log")
    archive = tar_of(
        tmp_path / "a.tar.gz", (member("board/MobileNet.log"), GOOD), (link, b""), (evil, content), (through, GOOD)
    )
    before = sorted(path for path in tmp_path.rglob("*"))
    dataset = read([archive])
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert "a.tar.gz/board/MobileNet.log" in set(dataset.runs["log"])
    assert not problem or any(text.startswith("a.tar.gz: ") and problem in text for text in dataset.problems)
    assert all(name.isprintable() for name in dataset.runs["log"])


def test_a_link_in_a_zip_is_not_followed(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("board/MobileNet.log", GOOD)
        info = zipfile.ZipInfo("board/evil.log")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    dataset = read([tmp_path / "a.zip"])
    assert len(dataset.runs) == 1
    assert dataset.problems == ["a.zip: 'board/evil.log' is a link, not followed"]


def test_sizes_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 2 * len(GOOD))
    archive = tar_of(tmp_path / "a.tar.gz", *((member(f"b/{i}.log"), GOOD * (3 if i == 1 else 1)) for i in range(5)))
    dataset = read([archive])
    assert (len(dataset.runs), len(dataset.problems)) == (4, 1)
    assert "'b/1.log' is larger than" in dataset.problems[0]
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    dataset = read([archive])
    assert len(dataset.runs) == 2
    assert "more than 2 files" in dataset.problems[1]
    monkeypatch.setattr(archives, "MAX_EXTENT_BYTES", 100)
    with pytest.raises(AnalysisError, match=r"no logs found; a\.tar\.gz: larger than"):
        read([archive])


def test_no_room_to_unpack_is_the_users_to_know(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    archive = pack(tmp_path / "a.tar", CAMPAIGNS / "logs" / "demo", "demo")
    with pytest.raises(AnalysisError, match=r"no room to unpack archives of logs .* set TMPDIR"):
        read([archive])


# --- Damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [*FORMATS, ".zip"])
def test_a_cut_archive_is_read_as_far_as_it_is_whole(logs_dir, ending):
    whole = pack(logs_dir / "archives" / f"cut{ending}", CAMPAIGNS / "logs" / "demo", "colleague")
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    dataset = read([logs_dir])
    assert sum(dataset.runs["campaign"] == "demo") == RUNS
    assert any(problem.startswith(f"archives/cut{ending}: ") for problem in dataset.problems)
    if ending == ".tar":
        assert sum(dataset.runs["campaign"] == "colleague") > 0
    whole.write_bytes(b"")
    with pytest.raises(AnalysisError, match="no logs found; cut"):
        read([whole])


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 1536, 5000, 10240])
def test_a_tar_that_ends_too_soon_is_never_taken_for_whole(tmp_path, cut):
    whole = pack(tmp_path / "a.tar", CAMPAIGNS / "logs" / "demo", "demo").read_bytes().rstrip(b"\0")
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 512 * 512 - cut])
    (tmp_path / "a.tar").rename(tmp_path / "b.tar")
    assert any(problem.startswith("b.tar: ") for problem in read([tmp_path / "b.tar"]).problems)


def test_one_damaged_file_of_a_zip_is_one_file(tmp_path):
    path = pack(tmp_path / "a.zip", CAMPAIGNS / "foreign", "foreign")
    with zipfile.ZipFile(path) as file:
        info = file.getinfo("foreign/board/MobileNet.log")
    raw = bytearray(path.read_bytes())
    at = info.header_offset + 30 + len(info.filename) + 40
    raw[at : at + 20] = os.urandom(20)
    path.write_bytes(raw)
    dataset = read([path])
    assert len(dataset.runs) == 3
    assert any("'foreign/board/MobileNet.log' is damaged" in problem for problem in dataset.problems)


@pytest.mark.parametrize("ending", [*FORMATS, ".zip"])
def test_damage_never_raises(tmp_path, ending):
    rng = random.Random(1)
    path = pack(tmp_path / f"a{ending}", CAMPAIGNS / "foreign", "foreign")
    whole = path.read_bytes()
    for number in range(60):
        raw = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 4))
        path.write_bytes(raw)
        archives.unpack(path, tmp_path / "unpacked" / str(number))
