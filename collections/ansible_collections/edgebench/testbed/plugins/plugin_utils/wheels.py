# Copyright the edgebench developers. Apache-2.0.
"""Python packages for another machine: its wheels, or where they are, from the controller's pip."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from ansible_collections.edgebench.testbed.plugins.plugin_utils.downloads import locked, public_url

Say = Callable[[str], None]


class WheelsError(Exception):
    """pip finds none; the message is what it says."""


class Target(NamedTuple):
    """The Python that packages are for.

    Attributes:
        python: its version, such as `3.11`.
        machine: as `uname -m` says.
        glibc: its version, such as `2.36`.
        key: a name for all that fits it as this one does.
    """

    python: str
    machine: str
    glibc: str
    key: str

    @property
    def options(self) -> list[str]:
        """For pip: only what runs there. A wheel for an older glibc works with a newer one; pip wants each named."""
        newest = int(self.glibc.split(".")[1])
        platforms = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, newest + 1))]
        return [
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--no-deps",
            "--only-binary=:all:",
            "--implementation=cp",
            f"--python-version={self.python}",
            *(f"--platform={platform}_{self.machine}" for platform in platforms),
        ]


@dataclass(frozen=True)
class Packages:
    """Packages, the Python whose pip looks for them, and a directory for what it found.

    Attributes:
        requirements: the packages, as pip's requirements.
        extra_index_url: an index that is asked as well, for the first of them; '' for none.
        leave_out: patterns of files in the packages that are not wanted, as of `fnmatch`; `*` also matches a slash.
    """

    requirements: tuple[str, ...]
    python: str
    cache: Path
    extra_index_url: str = ""
    leave_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        first, *others = self.requirements
        return f"{first} and {len(others)} more" if len(others) > 1 else " and ".join(self.requirements)

    @property
    def digest(self) -> str:
        """A name for what is asked for."""
        words = [*self.requirements, *filter(None, [self.extra_index_url]), *self.leave_out]
        return hashlib.sha256(" ".join(words).encode()).hexdigest()[:8]

    def wheels(self, target: Target, say: Say) -> list[Path]:
        """Return the wheels' paths; downloads them once for all targets of the same key.

        What is to be left out is left out here, so that it is not sent: of a compiler hosts may want the runtime.

        Raises:
            WheelsError: there are none.
        """
        final = self.cache / target.key
        with locked(final):
            if not final.is_dir():
                for left in self.cache.glob(f"{target.key}.partial.*"):  # by one that was killed
                    shutil.rmtree(left)
                say(f"downloading {self} for CPython {target.python} on {target.machine} ...")
                with tempfile.TemporaryDirectory(dir=self.cache, prefix=f"{target.key}.partial.") as scratch:
                    for question in self._questions:
                        self._pip("download", *target.options, f"--dest={scratch}/wheels", *question)
                    for path in Path(scratch, "wheels").glob("*.whl") if self.leave_out else ():
                        leave_out(path, self.leave_out)
                    Path(scratch, "wheels").rename(final)
        return sorted(final.glob("*.whl"))

    def addresses(self, target: Target, say: Say) -> dict[str, tuple[str, str]]:
        """Return the URL and sha256 of each wheel by its name; empty when the host cannot fetch all of them.

        Raises:
            WheelsError: there are none.
        """
        final = self.cache / f"{target.key}.urls.json"
        with locked(final):
            if not final.is_file():
                say(f"looking for {self} for CPython {target.python} on {target.machine} ...")
                with tempfile.TemporaryDirectory(dir=self.cache, prefix=f"{target.key}.partial.") as scratch:
                    report = Path(scratch, "report.json")
                    options = ("--dry-run", "--ignore-installed", f"--target={scratch}/target", f"--report={report}")
                    found = []
                    for question in self._questions:
                        self._pip("install", *options, *target.options, *question)
                        found.append(addresses_in(json.loads(report.read_text(encoding="utf-8"))))
                    merged = {name: where for part in found for name, where in part.items()} if all(found) else {}
                    report.write_text(json.dumps(merged), encoding="utf-8")
                    report.rename(final)
            return {
                name: (url, sha256) for name, (url, sha256) in json.loads(final.read_text(encoding="utf-8")).items()
            }

    @property
    def _questions(self) -> list[list[str]]:
        """What pip is asked for, one call each: of another index only what is wanted from there."""
        if not self.extra_index_url:
            return [["--", *self.requirements]]
        first, *others = self.requirements
        return [[f"--extra-index-url={self.extra_index_url}", "--", first], *([["--", *others]] if others else [])]

    def _pip(self, command: str, *options: str) -> None:
        argv = [self.python, "-m", "pip", command, *options]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        except OSError as error:
            raise WheelsError(f"cannot run {self.python}: {error.strerror}") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise WheelsError(next((line for line in lines if line.startswith("ERROR")), lines[-1]))


def leave_out(path: Path, patterns: Sequence[str]) -> None:
    """Write a wheel anew without the files that match a pattern. Its RECORD still has them: hosts only unpack it."""
    with zipfile.ZipFile(path) as wheel:
        kept = [each for each in wheel.infolist() if not any(fnmatchcase(each.filename, one) for one in patterns)]
        if len(kept) == len(wheel.infolist()):
            return
        partial = path.with_suffix(".partial")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as smaller:
            for each in kept:
                with wheel.open(each) as source, smaller.open(each, "w") as target:
                    shutil.copyfileobj(source, target)  # piece by piece: TensorFlow's library has a GB
    partial.replace(path)


def addresses_in(report: dict[str, Any]) -> dict[str, Sequence[str]]:
    """Read pip's installation report: URL and sha256 by the wheel's name; empty when hosts cannot fetch all of them."""
    found = {}
    for item in report["install"]:
        url = item["download_info"]["url"].partition("#")[0]
        sha256 = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if not sha256 or not url.startswith(("https://", "http://")) or url != public_url(url):
            return {}
        found[PurePosixPath(unquote(url)).name] = (url, sha256)
    return found
