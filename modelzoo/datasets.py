"""What a model is trained on: the digits of scikit-learn, or a directory with a directory of images for each class.

Used on the controller and, beside the programs that train, in their environment: so nothing but the standard library.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

DIGITS = "digits"
# The study's.
DIRECTORY_EPOCHS = 50
# Of training and held-out images together: enough for both to have some of each class.
MIN_IMAGES_PER_CLASS = 8
# What `weights` of a manifest says of models that were trained on no such data set.
TAKEN = (DIGITS, "random", "imagenet", "brain-mri", "unknown")


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set.

    Attributes:
        name: `digits`, or the directory's name.
        epochs: how often training sees each image unless told otherwise.
        directory: None = the digits.
        sha256: of the names and contents of the directory's images; None for the digits, which a version of
            scikit-learn determines.
    """

    name: str = DIGITS
    epochs: int = 10
    directory: Path | None = None
    sha256: str | None = None

    @property
    def option(self) -> str:
        """What the programs that train are told."""
        return str(self.directory or DIGITS)


def find(text: str) -> DataSet:
    """Return the data set of a name or a path. Reads every image's bytes. Raises ValueError when there is none."""
    if text == DIGITS:
        return DataSet()
    directory = Path(text).expanduser().absolute()
    if directory.name in TAKEN:
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
    except OSError as error:
        raise ValueError(f"data set {error.filename} cannot be read ({error.strerror})") from error
    return DataSet(directory.name, DIRECTORY_EPOCHS, directory, digest.hexdigest())


def classes(directory: Path) -> dict[str, list[Path]]:
    """Return, by class, the files of its directory and of those below, in the order of their names.

    A class is a directory with files; names that begin with a dot count as none. Raises ValueError when there are fewer
    than two classes, or few images of one, and OSError when a directory cannot be read.
    """
    found = {}
    for each in sorted(directory.iterdir()):
        if each.is_dir() and not each.name.startswith("."):
            files = sorted(path for path in each.rglob("[!.]*") if path.is_file())
            if files:
                found[each.name] = files
    if len(found) < 2:
        names = f" ({', '.join(found)})" if found else ""
        raise ValueError(
            f"data set {directory}: a directory of images for each of two classes or more expected, {len(found)} "
            f"found{names}"
        )
    check_counts(str(directory), {name: len(files) for name, files in found.items()})
    return found


def check_counts(title: str, images: dict[str, int]) -> None:
    """Raise ValueError when there are too few images of a class to train on some and hold others out."""
    for name, count in images.items():
        if count < MIN_IMAGES_PER_CLASS:
            raise ValueError(
                f"data set {title}: class '{name}' has {count} image{'' if count == 1 else 's'}, "
                f"{MIN_IMAGES_PER_CLASS} or more expected"
            )
