# Copyright the edgebench developers. Apache-2.0.
"""What we made on a testbed, noted before it is asked for and again when it is there.

A directory beside the inventory (chameleon_state_dir) with a file for each site's leases and one for each host's
machine. A play that is killed at any moment leaves a name here by which the next play, or teardown, finds what was
made. It holds no secrets.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError

Record = dict[str, Any]

_TIME = "%Y-%m-%dT%H:%M:%SZ"


def utc_text(moment: datetime) -> str:
    """As in all of the kit's records: 2026-11-25T16:00:00Z."""
    return moment.astimezone(UTC).strftime(_TIME)


def utc(text: str) -> datetime:
    """What utc_text() wrote."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


class Records:
    """The records in a directory; which need not be there yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def leases(self, site: str) -> list[Record]:
        """The leases of a site, oldest first."""
        return (self._read(self._leases_file(site)) or {"leases": []})["leases"]

    def change_leases(self, site: str, change: Callable[[list[Record]], list[Record]]) -> list[Record]:
        """Replace the leases of a site by change(leases); nobody else changes them meanwhile."""
        with self._locked(".lock"):
            leases = change(self.leases(site))
            self._write(self._leases_file(site), {"site": site, "leases": leases} if leases else None)
        return leases

    def machine(self, host: str) -> Record | None:
        """The machine of a host of the inventory."""
        return self._read(f"machine.{host}.json")

    def keep_machine(self, host: str, record: Record | None) -> None:
        """Note a host's machine; None when it has none any more."""
        self._write(f"machine.{host}.json", record)

    def machines(self, site: str) -> dict[str, Record]:
        """All machines of a site, by host."""
        found = {path.name[len("machine.") : -len(".json")]: None for path in self.directory.glob("machine.*.json")}
        records = {host: self.machine(host) for host in sorted(found)}
        return {host: record for host, record in records.items() if record and record["site"] == site}

    def unfinished(self, host: str) -> list[str]:
        """Where logs of a host's machine belong, on the controller, that have not come home whole."""
        homes = (self.machine(host) or {}).get("homes", [])
        return [home for home in homes if not Path(home, "DONE").exists()]

    def sites(self) -> list[str]:
        """Where anything of ours is."""
        found = {self._read(path.name)["site"] for path in self.directory.glob("leases.*.json")}
        return sorted(found | {self._read(path.name)["site"] for path in self.directory.glob("machine.*.json")})

    def owner(self) -> str:
        """A word that marks what was made with these records; made the first time."""
        with self._locked(".lock"):
            known = self._read("owner.json")
            if not known:
                known = {"owner": secrets.token_hex(8)}
                self._write("owner.json", known)
        return known["owner"]

    @contextlib.contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """For what hosts that are made ready at the same time must not do at the same time."""
        with self._locked(".turn"):
            yield

    @contextlib.contextmanager
    def working_on(self, site: str, wait: bool = False) -> Iterator[None]:
        """Be the only one who makes or ends leases of a site; the kernel frees it when the process ends.

        Raises:
            TestbedError: another play does.
        """
        try:
            with self._locked(f".{_slug(site)}.lock", wait):
                yield
        except BlockingIOError:
            raise TestbedError(
                f"{site}: another play works on the leases of {self.directory} just now; play again when it is done"
            ) from None

    @staticmethod
    def _leases_file(site: str) -> str:
        return f"leases.{_slug(site)}.json"

    @contextlib.contextmanager
    def _locked(self, name: str, wait: bool = True) -> Iterator[None]:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.directory / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise self._unwritable(exc) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(descriptor)

    def _read(self, name: str) -> Record | None:
        path = self.directory / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise TestbedError(
                f"{path} cannot be read ({exc}); it says what was leased: mend it, or end by hand what the site's web "
                "interface shows, and remove it"
            ) from exc

    def _write(self, name: str, record: Record | None) -> None:
        """On the disk before anything else happens: what is not on record may go on costing."""
        path = self.directory / name
        try:
            if record is None:
                path.unlink(missing_ok=True)
                return
            self.directory.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{name}.new")
            with partial.open("w", encoding="utf-8") as file:
                json.dump(record, file, indent=2, sort_keys=True)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def _unwritable(self, exc: OSError) -> TestbedError:
        return TestbedError(
            f"cannot write to {self.directory} ({exc.strerror}), where it is noted what was leased; make room, or set "
            "chameleon_state_dir"
        )


def _slug(site: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", site.lower()).strip("-")
