"""Trained weights from elsewhere: of PyTorch, whose names carry the beginning of their sha256, and a user's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from modelzoo import manifest
from modelzoo.download import fetch, is_url, new_session, shown
from modelzoo.resources import Say, locked


def fetched(url: str, mirror: str | None, directory: Path, say: Say) -> Path:
    """Return the file of a URL, from a directory where it is kept, else downloaded from there or from a mirror.

    The file's name ends in `-` and the first digits of its sha256 (torch.hub's custom), which must be right. A mirror
    is the URL of a directory with files of these names. Raises ZooError when the file cannot be had.
    """
    name = url.rpartition("/")[2]
    if mirror:
        url = f"{mirror.rstrip('/')}/{name}"
    sha256 = re.search(r"-([0-9a-f]{8,})\.", name)[1]
    file, part = directory / name, directory / f".{name}.part"
    with locked(directory / ".lock", say):
        if not (file.exists() and manifest.sha256(file).startswith(sha256)):
            say(f"downloading the weights {name} from {shown(url)} ...")
            fetch(new_session(), url, part, sha256, promised_by="its name")
            part.replace(file)
    return file


@dataclass(frozen=True, slots=True)
class Finished:
    """Weights of a network of Keras that somebody else has trained, in a file or at a URL."""

    where: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name, for people."""
        return Path(urlsplit(self.where).path if is_url(self.where) else self.where).name

    def file(self, cache: Path, say: Say) -> Path:
        """Return the file, downloaded where that is not done. Raises ZooError when it cannot be had."""
        if not is_url(self.where):
            return Path(self.where)
        directory = cache / "weights"
        # Keras reads a file as its whole ending says.
        file = directory / f"{self.sha256[:12]}-{self.name}"
        with locked(directory / ".lock", say):
            if not (file.exists() and manifest.sha256(file) == self.sha256):
                say(f"downloading the weights {self.name} from {shown(self.where)} ...")
                part = directory / f".{self.sha256}.part"
                fetch(new_session(), self.where, part, self.sha256, promised_by="--trained-sha256")
                part.replace(file)
        return file


def finished(where: str, sha256: str | None) -> Finished:
    """Return weights by a path or a URL, which needs a sha256. Raises ValueError when they are not to be used."""
    if sha256 and not re.fullmatch("[0-9a-f]{64}", sha256.lower()):
        raise ValueError(f"'{sha256}' is not a sha256")
    if is_url(where):
        if not sha256:
            raise ValueError(f"trained weights from {shown(where)} need their sha256")
        found = Finished(where, sha256.lower())
    else:
        path = Path(where).expanduser().absolute()
        try:
            found = Finished(str(path), manifest.sha256(path))
        except OSError as error:
            raise ValueError(f"trained weights {path} cannot be read ({error.strerror})") from error
        if sha256 and found.sha256 != sha256.lower():
            raise ValueError(f"the sha256 of {path} is {found.sha256}, {sha256.lower()} expected")
    if not found.name.endswith((".h5", ".keras")):
        raise ValueError(f"trained weights {found.name}: .h5, .weights.h5 or .keras expected")
    return found
