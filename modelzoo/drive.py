"""Source `download`, from a folder on Google Drive that anyone with the link can read, such as the study's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gdown
import requests
from gdown.exceptions import DownloadError

from modelzoo import manifest
from modelzoo.directory import file_names
from modelzoo.download import explain
from modelzoo.ensure import Failure, Source, Wanted, publish
from modelzoo.errors import UsageError, ZooError
from modelzoo.manifest import Entry
from modelzoo.resources import Say

TIMEOUT_S = 60
RETRIES = 3


class DriveFolder(Source):
    """Download the files of a folder that are named as directory.file_names says.

    Drive states no sha256: where a list of checksums is given, as sha256sum writes it, files must agree with it;
    otherwise what arrived first is recorded in the manifest and checked from then on. The folder does not say what
    weights its models have, so they are `unknown`.
    """

    subdirectory = "download"
    verb = "download"

    def __init__(self, folder: str, checksums: Path | None = None, client: Any = gdown) -> None:
        self._folder_id = parse_folder(folder)
        self._checksums = read_checksums(checksums) if checksums else {}
        self._client = client

    def offers(self, wanted: Wanted) -> bool:
        return False

    def outdated(self, wanted: Wanted, entry: Entry, directory: Path) -> str | None:
        if entry.recipe != self._recipe:
            return "it is not from this folder"
        expected = self._expected_sha256(wanted)
        return None if expected in (None, entry.sha256) else "its sha256 is not that of the checksum list"

    def provide(self, wanted: Sequence[Wanted], directory: Path, say: Say) -> Iterator[Entry | Failure]:
        say(f"listing the Google Drive folder {self._folder_id} ...")
        by_name = self._list(directory)
        for each in wanted:
            name = next((name for name in file_names(each) if name in by_name), None)
            if name is None:
                yield Failure(
                    each,
                    f"the Google Drive folder has no {' or '.join(file_names(each))}; it has: {', '.join(by_name)}",
                )
                continue
            say(f"downloading {each.key} from Google Drive ...")
            try:
                entry = self._fetch(each, by_name[name], directory)
            except ZooError as error:
                yield Failure(each, str(error))
            else:
                say(f"{each.key} is there, {entry.size_bytes / 2**20:,.1f} MiB")
                yield entry

    @property
    def _recipe(self) -> str:
        return manifest.digest({"drive_folder": self._folder_id})

    def _expected_sha256(self, wanted: Wanted) -> str | None:
        return next((self._checksums[name] for name in file_names(wanted) if name in self._checksums), None)

    def _list(self, directory: Path) -> dict[str, str]:
        """Return the ids of the folder's files by name."""
        try:
            files = self._client.download_folder(
                id=self._folder_id,
                output=str(directory),
                skip_download=True,
                quiet=True,
                use_cookies=False,
                timeout=TIMEOUT_S,
            )
        except (DownloadError, requests.RequestException) as error:
            raise ZooError(f"Google Drive folder {self._folder_id} cannot be listed ({_one_line(error)})") from error
        return {Path(file.path).name: file.id for file in files}

    def _fetch(self, wanted: Wanted, file_id: str, directory: Path) -> Entry:
        part = directory / f".{wanted.file}.part"
        try:
            self._client.download(
                id=file_id, output=str(part), quiet=True, use_cookies=False, timeout=TIMEOUT_S, retries=RETRIES
            )
        except (DownloadError, requests.RequestException) as error:
            raise ZooError(f"Google Drive did not give the file ({_one_line(error)})") from error
        expected, found = self._expected_sha256(wanted), manifest.sha256(part)
        if expected not in (None, found):
            part.unlink()
            raise ZooError(f"its sha256 is {found}, the checksum list says {expected}")
        return publish(part, wanted, directory, source="download", recipe=self._recipe)


def parse_folder(folder: str) -> str:
    """Return the id of a Drive folder given by its URL or its id."""
    match = re.fullmatch(r"(?:https://drive\.google\.com/drive/(?:u/\d+/)?folders/)?([\w-]{20,})(?:\?.*)?", folder)
    if not match:
        raise UsageError(
            f"'{folder}' is not a Google Drive folder; expected is https://drive.google.com/drive/folders/ID or the ID"
        )
    return match[1]


def read_checksums(path: Path) -> dict[str, str]:
    """Return sha256 by file name from a file as sha256sum writes it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ZooError(f"checksum list {path} cannot be read ({error})") from error
    checksums = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line)
        if not match:
            raise ZooError(f"{path}, line {number}: '<sha256>  <file name>' expected, as sha256sum writes it")
        checksums[Path(match[2]).name] = match[1].lower()
    return checksums


def _one_line(error: Exception) -> str:
    return explain(error) if isinstance(error, requests.RequestException) else " ".join(str(error).split())
