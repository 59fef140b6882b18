"""Source `download`: files that a list names by URL and sha256."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from modelzoo import manifest
from modelzoo.catalogue import FORMATS, near
from modelzoo.ensure import Failure, Source, Wanted, instead_of, publish
from modelzoo.errors import ZooError
from modelzoo.manifest import Entry
from modelzoo.resources import Say

# Seconds to connect, and between two pieces of an answer.
TIMEOUT_S = (10, 60)
CHUNK_BYTES = 1 << 16
KNOWN_WEIGHTS = ("imagenet", "brain-mri", "random", "unknown")

_ENDING = re.compile(rf"(\.b\d+)?(\.s\d+)?\.({'|'.join(FORMATS)})$")


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a download list."""

    url: str
    sha256: str
    weights: str

    @property
    def public_url(self) -> str | None:
        """The URL, None where something in it may be secret."""
        return self.url if self.url == shown(self.url) else None


class Download(Source):
    """Download what a list names; each file's sha256 must be what the list says.

    A list is TSV with a header line, or a JSON array of objects, with the fields model, variant, url, sha256 and, where
    it is known, weights (`imagenet`, `brain-mri` or `random`). Where the URL ends like our file names
    (`.b8.s448.tflite`, `.pt2`), that is the file's batch size, input size and format; of a library, whose name must be
    ours (`DigitCNN.float32.core-avx2.so`), the CPU too. The list is a file or a URL. Raises ZooError when it cannot be
    used.
    """

    subdirectory = "download"
    verb = "download"

    def __init__(self, download_list: str) -> None:
        self._session = new_session()
        self._name = shown(download_list) if is_url(download_list) else download_list
        self._listed = parse_list(self._read(download_list), source=self._name)

    def offers(self, wanted: Wanted) -> bool:
        return wanted.key in self._listed

    def outdated(self, wanted: Wanted, entry: Entry, directory: Path) -> str | None:
        listed = self._listed.get(wanted.key)
        if listed is None:
            return f"{self._name} does not name it"
        same = (entry.sha256, entry.weights, entry.url) == (listed.sha256, listed.weights, listed.public_url)
        return None if same else "the list has changed"

    def left_out(self, wanted: Wanted) -> str | None:
        others = [] if self.offers(wanted) else instead_of(wanted, self._listed)
        return f"{self._name} does not name it; it has: {', '.join(others)}" if others else None

    def provide(self, wanted: Sequence[Wanted], directory: Path, say: Say) -> Iterator[Entry | Failure]:
        for each in wanted:
            listed = self._listed.get(each.key)
            if listed is None:
                known = ", ".join(self._listed)
                yield Failure(each, f"{self._name} does not name it{near(each.key, self._listed)}; it has: {known}")
                continue
            try:
                part = directory / f".{listed.sha256}.part"
                if _has_sha256(directory / each.file, listed.sha256):
                    # Only the list's words about it have changed, or the manifest was lost.
                    (directory / each.file).replace(part)
                else:
                    say(f"downloading {each.key} from {shown(listed.url)} ...")
                    fetch(self._session, listed.url, part, listed.sha256, promised_by="the list")
                entry = publish(part, each, directory, source="download", weights=listed.weights, url=listed.public_url)
            except ZooError as error:
                yield Failure(each, str(error))
            else:
                say(f"{each.key} is there, {entry.size_bytes / 2**20:,.1f} MiB")
                yield entry

    def _read(self, download_list: str) -> str:
        if not is_url(download_list):
            try:
                return Path(download_list).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ZooError(f"download list {download_list} cannot be read ({error})") from error
        try:
            response = self._session.get(download_list, timeout=TIMEOUT_S)
            response.raise_for_status()
        except requests.RequestException as error:
            raise ZooError(f"download list {self._name} cannot be fetched ({explain(error)})") from error
        return response.text


def new_session() -> requests.Session:
    """A session that asks busy servers again."""
    session = requests.Session()
    retry = Retry(total=3, backoff_factor=0.3, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    # As stored: a compressed transfer could not be resumed, and its length could not be checked.
    session.headers["Accept-Encoding"] = "identity"
    return session


def fetch(
    session: requests.Session, url: str, part: Path, checksum: str, promised_by: str, algorithm: str = "sha256"
) -> None:
    """Download a file until its checksum is right, going on where an attempt or an earlier run broke off.

    A transfer that breaks off is taken up again as long as each attempt brings something. Raises ZooError; what has
    arrived is then kept for the next run.

    Args:
        checksum: of the file, or the beginning of it.
        promised_by: what says so, for the message.
    """
    while True:
        have = _size(part)
        try:
            _transfer(session, url, part, have)
        except requests.HTTPError as error:
            raise ZooError(f"{shown(url)}: {explain(error)}") from error
        except requests.RequestException as error:
            if _size(part) > have:
                continue
            arrived = f"; {_size(part):,} bytes have arrived, run it again for the rest" if have else ""
            raise ZooError(f"{shown(url)}: {explain(error)}{arrived}") from error
        found = manifest.checksum(part, algorithm)
        if found.startswith(checksum):
            return
        part.unlink()
        # A part that was there may have been of something else; all of it anew will tell.
        if not have:
            raise ZooError(f"{shown(url)}: its {algorithm} is {found}, {promised_by} says {checksum}")


def _transfer(session: requests.Session, url: str, part: Path, have: int) -> None:
    headers = {"Range": f"bytes={have}-"} if have else {}
    with session.get(url, stream=True, timeout=TIMEOUT_S, headers=headers) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # There is no more of it: the checksum tells whether that is all.
        response.raise_for_status()
        with part.open("ab" if response.status_code == requests.codes.partial_content else "wb") as file:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _has_sha256(path: Path, sha256: str) -> bool:
    return path.is_file() and manifest.sha256(path) == sha256


def is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def shown(url: str) -> str:
    """A URL as it may be shown: without user, password and query, which may be secret."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def explain(error: requests.RequestException) -> str:
    """What went wrong with a request, in a few words."""
    if error.response is not None:
        return f"{error.response.status_code} {error.response.reason}"
    cause = error.args[0] if error.args else error
    said = str(getattr(cause, "reason", cause))
    url = getattr(error.request, "url", None)
    return said.replace(url, shown(url)) if url else said


def parse_list(text: str, source: str) -> dict[str, Listed]:
    """Return what a download list names, by key (`MobileNet.float32`).

    Raises ZooError with the line (or, in JSON, the entry) that cannot be used.
    """
    if text.lstrip().startswith("["):
        try:
            rows = list(enumerate(json.loads(text), start=1))
        except ValueError as error:
            raise ZooError(f"{source}: not JSON ({error})") from error
        unit = "entry"
    else:
        rows = list(enumerate(csv.DictReader(text.splitlines(), delimiter="\t"), start=2))
        unit = "line"
    listed = {}
    for number, row in rows:
        try:
            each = _parse_row(row)
            listed[_key(f"{row['model']}.{row['variant']}", urlsplit(each.url).path)] = each
        except (KeyError, TypeError, ValueError) as error:
            problem = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise ZooError(
                f"{source}, {unit} {number}: {problem}; expected are model, variant, url, sha256 and perhaps weights, "
                "separated by tabs below a line with these names, or as JSON objects"
            ) from error
    if not listed:
        raise ZooError(f"{source}: names no models")
    return listed


def _key(beginning: str, path: str) -> str:
    """The key of a file by model and variant and the path of its URL."""
    name = path.rpartition("/")[2]
    if name.startswith(f"{beginning}.") and name.endswith(".so"):
        return name
    ending = _ENDING.search(name)
    return manifest.key(f"{beginning}{ending[0] if ending else ''}")


def _parse_row(row: dict[str, str]) -> Listed:
    url, sha256, weights = row["url"], str(row["sha256"]).lower(), row.get("weights") or "unknown"
    if not is_url(url):
        raise ValueError(f"'{shown(url)}' is not an http or https URL")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"'{sha256}' is not a sha256")
    if weights not in KNOWN_WEIGHTS:
        raise ValueError(f"weights '{weights}' are none of {', '.join(KNOWN_WEIGHTS)}")
    return Listed(url, sha256, weights)
