"""What a package says of itself: the metadata of an RO-Crate 1.2, https://w3id.org/ro/crate/1.2.

The vocabulary is schema.org's. The library rocrate keeps the graph; what is in it follows from the logs and from what
the user said, never from the clock.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from rocrate.model import ContextEntity, Person
from rocrate.rocrate import ROCrate

from analysis.study import mapping

METADATA, MANIFEST = "ro-crate-metadata.json", "manifest-sha256.txt"
VERSION = "1.2"
_SPDX = "https://spdx.org/licenses/"
_CODE_LICENCE = "Apache-2.0"
_MEDIA_TYPES = {
    "css": "text/css",
    "csv": "text/csv",
    "html": "text/html",
    "j2": "text/x-jinja2",
    "js": "text/javascript",
    "json": "application/json",
    "log": "text/plain",
    "md": "text/markdown",
    "meta": "text/plain",
    "parquet": "application/vnd.apache.parquet",
    "png": "image/png",
    "py": "text/x-python",
    "svg": "image/svg+xml",
    "tex": "application/x-tex",
    "tsv": "text/tab-separated-values",
    "txt": "text/plain",
}


@dataclass(frozen=True)
class Author:
    """Who made a package; `orcid` is an address (https://orcid.org/...), '' = not given."""

    name: str
    orcid: str = ""


@dataclass(frozen=True)
class Campaign:
    """One campaign of a package.

    Attributes:
        record: its campaign.json.
        start_utc, end_utc: of its first and last run; '' = not known.
    """

    name: str
    record: Mapping[str, Any]
    start_utc: str
    end_utc: str

    @property
    def revision(self) -> str:
        """Of the kit that measured, with a word if it was changed since; '' = not known."""
        return revision_text(mapping(self.record.get("git")))


@dataclass(frozen=True)
class About:
    """What a package is, in words; `licence` is an SPDX identifier, `revision` that of the kit that packed.

    Attributes:
        unfinished: what lacks, '' = nothing.
        published: when its last run ended, since nothing in it is of a later time.
    """

    title: str
    description: str
    licence: str
    authors: Sequence[Author]
    published: str
    unfinished: str
    revision: str
    campaigns: Sequence[Campaign]


@dataclass(frozen=True)
class Content:
    """One file of a package."""

    name: str
    size_bytes: int
    sha256: str


def revision_text(git: Mapping[str, Any]) -> str:
    """A git revision, and whether what ran was that: '645568e..., changed since'; '' = not known."""
    return f"{git.get('revision') or ''}{', changed since' if git.get('dirty') else ''}"


def metadata(about: About, files: Sequence[Content]) -> str:
    """The text of ro-crate-metadata.json."""
    crate = ROCrate(version=VERSION)
    root = crate.root_dataset
    root["datePublished"] = about.published
    root["name"] = about.title
    root["description"] = about.description
    root["license"] = _licence(crate, about.licence)
    root["keywords"] = "benchmark, inference, reproducibility"
    if about.unfinished:
        root["creativeWorkStatus"] = f"Incomplete: {about.unfinished}"
    if about.authors:
        root["author"] = [_person(crate, author) for author in about.authors]
    _directories(crate, about)
    for file in files:
        ending = file.name.rpartition(".")[2]
        facts = {"contentSize": str(file.size_bytes), "sha256": file.sha256}
        crate.add_file(
            dest_path=file.name, properties=facts | {"encodingFormat": _MEDIA_TYPES.get(ending, "text/plain")}
        )
    # It has the checksum of this text, so this text cannot have its.
    crate.add_file(dest_path=MANIFEST, properties={"encodingFormat": "text/plain"})
    return json.dumps(crate.metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _directories(crate: ROCrate, about: About) -> None:
    """What the directories hold, and what made it of what by which program."""
    logs = crate.add_dataset(dest_path="logs/", properties={"name": "Raw logs, as they came from the machines"})
    results = crate.add_dataset(
        dest_path="results/", properties={"name": "Report, tables and plots, made from the logs"}
    )
    code = {"name": "The code that made the report", "license": _licence(crate, _CODE_LICENCE)}
    crate.add_dataset(dest_path="analysis/", properties={**code, "description": f"Python {platform.python_version()}"})
    for campaign in about.campaigns:
        facts = {"name": f"Campaign {campaign.name}"}
        if campaign.start_utc:
            facts["temporalCoverage"] = f"{campaign.start_utc}/{campaign.end_utc}"
        measured = crate.add_dataset(dest_path=f"logs/{campaign.name}/", properties=facts)
        times = {"startTime": campaign.start_utc, "endTime": campaign.end_utc} if campaign.start_utc else {}
        crate.add_action(
            [_kit(crate, campaign.revision), *_runners(crate, campaign.record)],
            identifier=f"#measuring-{quote(campaign.name)}",
            result=measured,
            properties={"name": f"Measuring of campaign {campaign.name}", **times},
        )
    crate.add_action(
        _kit(crate, about.revision),
        identifier="#report",
        object=logs,
        result=results,
        properties={"name": "Making of the report: python -m analysis.report logs --output results"},
    )


def _licence(crate: ROCrate, spdx: str) -> ContextEntity:
    facts = {"@type": "CreativeWork", "name": spdx, "identifier": spdx}
    return crate.add(ContextEntity(crate, f"{_SPDX}{spdx}", properties=facts))


def _person(crate: ROCrate, author: Author) -> Person:
    return crate.add(Person(crate, author.orcid or f"#{quote(author.name)}", properties={"name": author.name}))


def _kit(crate: ROCrate, revision: str) -> ContextEntity:
    return _software(crate, "edgebench", revision or "unknown")


def _runners(crate: ROCrate, record: Mapping[str, Any]) -> list[ContextEntity]:
    """The programs that measured, each version once."""
    found = {
        (name, mapping(facts).get("version") or "unknown")
        for runners in mapping(record.get("runners")).values()
        for name, facts in mapping(runners).items()
    }
    return [_software(crate, name, version) for name, version in sorted(found)]


def _software(crate: ROCrate, name: str, version: str) -> ContextEntity:
    facts = {"@type": "SoftwareApplication", "name": name, "version": version}
    return crate.add(ContextEntity(crate, f"#{quote(f'{name}-{version}')}", properties=facts))
