"""The data set `pets`, downloaded: Oxford-IIIT Pet, pictures of 37 breeds of cats and dogs."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath

from modelzoo import manifest
from modelzoo.datasets import DIRECTORY_EPOCHS, PETS, DataSet
from modelzoo.download import fetch, new_session, shown
from modelzoo.errors import ZooError
from modelzoo.resources import Say, check_disk, locked

URL = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"
# Archive -> its md5, as torchvision has it.
ARCHIVES = {
    "images.tar.gz": "5c4f3ee8e5d25df40f4fd59a7f44e54c",
    "annotations.tar.gz": "95a8c909bbe2e81eed6a22bccdf3f68f",
}
# The archives, and what is taken out of them.
SIZE_GB = 1.7
# Of the rest, outlines of the animals and more, nothing is wanted.
WANTED = {("images", ".jpg"), ("annotations", ".txt")}


def pets(cache: Path, mirror: str | None = None) -> DataSet:
    """Return the data set, which need not be there yet. A mirror is the URL of a directory with the archives."""
    sha256 = manifest.digest(ARCHIVES)
    directory = cache / "datasets" / f"{PETS}-{sha256[:12]}"
    return DataSet(PETS, DIRECTORY_EPOCHS, directory, sha256, (mirror or URL).rstrip("/"))


def fetched(data: DataSet, say: Say) -> None:
    """Make the directory of a data set be there, whole or not at all. Raises ZooError when it cannot be had."""
    directory = data.directory
    with locked(directory.with_suffix(".lock"), say):
        if directory.exists():
            return
        check_disk(directory, SIZE_GB, f"the data set {data.name}")
        unfinished = directory.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        parts = []
        for name, md5 in ARCHIVES.items():
            url, part = f"{data.url}/{name}", directory.with_name(f".{md5}.part")
            say(f"downloading {name} of the data set {data.name} from {shown(url)} ...")
            fetch(new_session(), url, part, md5, promised_by="this kit", algorithm="md5")
            parts.append(part)
        for part in parts:
            _unpack(part, unfinished)
        unfinished.rename(directory)
        for part in parts:
            part.unlink()


def _unpack(archive: Path, directory: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if member.isfile() and (str(path.parent), path.suffix) in WANTED:
                    # Not by tar.extract, whose filters Python 3.11 has from 3.11.4 on only.
                    (directory / path).parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(member) as content, (directory / path).open("wb") as file:
                        shutil.copyfileobj(content, file)
    except (tarfile.TarError, OSError) as error:
        raise ZooError(f"{archive} cannot be unpacked ({error})") from error
