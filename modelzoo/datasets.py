"""What a model is trained on: the digits of scikit-learn, or the images of a directory.

That has a directory of images for each class, or is a copy of Oxford-IIIT Pet (O. M. Parkhi and others, Cats and dogs,
2012): its `images` in one directory, and beside that `annotations` with list.txt, which says of what breed each is, and
perhaps test.txt, which says which images are held out.

Used on the controller and, beside the programs that train, in their environment: so nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

DIGITS = "digits"
PETS = "pets"
# The digits as classes of theirs.
EVEN_OR_ODD = ("even", "odd")
TEN_DIGITS = tuple("0123456789")
# The study's, and of Kenning's training on Pet.
DIRECTORY_EPOCHS = 50
# The variant, so called in names of files, that is no model but the images that models are evaluated with.
HELD_OUT = "held_out"
# So that any host can take them; of more, the same share of each class.
MAX_HELD_OUT = 1000
# Of training and held-out images together: enough for both to have some of each class.
MIN_IMAGES_PER_CLASS = 8
LIST, TEST = "annotations/list.txt", "annotations/test.txt"
# What `weights` of a manifest says of models that were trained on no such data set.
TAKEN = (DIGITS, PETS, "random", "imagenet", "brain-mri", "unknown")


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set.

    Attributes:
        name: `digits`, or the directory's name.
        epochs: how often training sees each image unless told otherwise.
        directory: None = the digits.
        sha256: of the names and contents of the directory's images; None for the digits, which a version of
            scikit-learn determines.
        url: where the directory's content is to be had, if it is not there; None = nowhere.
    """

    name: str = DIGITS
    epochs: int = 10
    directory: Path | None = None
    sha256: str | None = None
    url: str | None = None

    @property
    def option(self) -> str:
        """What the programs that train are told."""
        return str(self.directory or DIGITS)


def find(text: str) -> DataSet:
    """Return the data set of a name or a path. Reads every image's bytes. Raises ValueError when there is none."""
    if text == DIGITS:
        return DataSet()
    directory = Path(text).expanduser().absolute()
    if directory.name in TAKEN and not (directory.name == PETS and _is_pet(directory)):
        raise ValueError(
            f"{directory}: a data set goes by its directory's name, and '{directory.name}' is taken; rename it"
        )
    digest = hashlib.sha256()
    try:
        for images in classes(directory).values():
            for image in images:
                with image.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                digest.update(f"{image.relative_to(directory)}\0{content}\n".encode(errors="surrogateescape"))
        if _is_pet(directory):
            digest.update(json.dumps([_annotated(directory, LIST), sorted(held_out(directory) or ())]).encode())
    except OSError as error:
        raise ValueError(f"data set {error.filename} cannot be read ({error.strerror})") from error
    return DataSet(directory.name, DIRECTORY_EPOCHS, directory, digest.hexdigest())


def classes(directory: Path) -> dict[str, list[Path]]:
    """Return the files of each class, in the order of their names; of Pet, the breeds in the order of their numbers.

    A class is a directory with files, in it and in those below; names that begin with a dot count as none. Raises
    ValueError when there are fewer than two classes, or few images of one, and OSError when something cannot be read.
    """
    found = _breeds(directory) if _is_pet(directory) else _directories(directory)
    if len(found) < 2:
        names = f" ({', '.join(found)})" if found else ""
        raise ValueError(
            f"data set {directory}: a directory of images for each of two classes or more expected, {len(found)} "
            f"found{names}"
        )
    check_counts(str(directory), {name: len(files) for name, files in found.items()})
    return found


def held_out(directory: Path) -> set[str] | None:
    """Return the names, without ending, of the images that a copy of Pet holds out; None where nothing says so."""
    return set(_annotated(directory, TEST)) if (directory / TEST).is_file() else None


def _is_pet(directory: Path) -> bool:
    return (directory / LIST).is_file() and (directory / "images").is_dir()


def _directories(directory: Path) -> dict[str, list[Path]]:
    found = {}
    for each in sorted(directory.iterdir()):
        if each.is_dir() and not each.name.startswith("."):
            files = sorted(path for path in each.rglob("[!.]*") if path.is_file())
            if files:
                found[each.name] = files
    return found


def _breeds(directory: Path) -> dict[str, list[Path]]:
    """The images that list.txt names (`Abyssinian_100 1 1 1`: the breed's number is the first), by `Abyssinian`."""
    by_number: dict[int, list[str]] = {}
    for name, number in _annotated(directory, LIST).items():
        by_number.setdefault(number, []).append(name)
    return {
        names[0].rpartition("_")[0].replace("_", " "): [directory / "images" / f"{name}.jpg" for name in sorted(names)]
        for _, names in sorted(by_number.items())
    }


def _annotated(directory: Path, file: str) -> dict[str, int]:
    """What a file of Pet's annotations says: the number of its breed by the name of an image."""
    found = {}
    for number, line in enumerate((directory / file).read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) < 2 or not words[1].isdecimal() or "/" in words[0]:
            raise ValueError(
                f"data set {directory / file}, line {number}: the name of an image and the number of its breed "
                f"expected, '{line.strip()}' found"
            )
        found[words[0]] = int(words[1])
    return found


def check_counts(title: str, images: dict[str, int]) -> None:
    """Raise ValueError when there are too few images of a class to train on some and hold others out."""
    for name, count in images.items():
        if count < MIN_IMAGES_PER_CLASS:
            raise ValueError(
                f"data set {title}: class '{name}' has {count} image{'' if count == 1 else 's'}, "
                f"{MIN_IMAGES_PER_CLASS} or more expected"
            )
