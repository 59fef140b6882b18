# Copyright the edgebench developers. Apache-2.0.
"""Raw logs from a host to the controller: what is new, verified, never overwriting; and back to one that lost them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostError, HostShell
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import file_sha256

BESIDE_RUNS = ("iterations.tsv", "stopping.tsv", "idle.tsv")  # what a host decided, and must stand by; its idle power
GROWING = frozenset({"script.log", "stopping.tsv", "idle.tsv"})  # what the host still writes; its version replaces ours
BATCH = 200  # files of one exchange: what a cut link costs, at most

# stdout: checksum and path, a line each. A log without its sidecar is still being written. Nothing is written, since
# the host's disk may be full. Decisions come before the runs that were made by them.
_LIST = """
cd "$1" 2>/dev/null || exit 0
if command -v sha256sum >/dev/null 2>&1; then sum=sha256sum; else sum='shasum -a 256'; fi
{
  for file in plan.tsv iterations.tsv stopping.tsv idle.tsv script.log DONE; do [ ! -f "$file" ] || echo "$file"; done
  for file in runs/*.meta; do
    if [ -f "$file" ] && [ -f "${file%.meta}.log" ]; then printf '%s\\n' "${file%.meta}.log" "$file"; fi
  done
} | xargs $sum
"""
_PACK = 'cd "$1" && shift && tar -cf - "$@"'

# stdin: a tar. Sidecars come last: they make runs count. What is there of tables is left alone.
_RESTORE = """
cd "$1" && rm -rf .restored && mkdir -p runs .restored && tar -xf - -C .restored || exit 1
for file in .restored/*.tsv; do
  if [ -f "$file" ] && [ ! -e "${file##*/}" ]; then mv "$file" . || exit 1; fi
done
for ending in log meta; do
  for file in .restored/*."$ending"; do [ ! -f "$file" ] || mv -f "$file" runs/ || exit 1; done
done
rm -rf .restored
"""


def collect(shell: HostShell, src: str, dest: Path, check: bool = False) -> tuple[list[str], list[str]]:
    """Bring home what is new below `src` on the host; with `check` only find out what that is.

    Returns:
        The files that came home, and those that are there and differ: they are left alone.

    Raises:
        HostError: the host's logs cannot be read, or came otherwise than they are there.
        OSError: `dest` cannot be written to. What is home by then is whole.
    """
    listing = shell.check(f"cannot read the logs in {src} on the host", _LIST, src).text
    there = dict(reversed(line.split(maxsplit=1)) for line in listing.splitlines() if line.strip())
    wanted, conflicts = compare(there, dest)
    if not check:
        for names in _batches(wanted):
            packed = shell.check(f"cannot pack the logs in {src} on the host", _PACK, src, *names).stdout
            unpack(packed, dest, {name: there[name] for name in names})
    return wanted, conflicts


def compare(there: dict[str, str], dest: Path) -> tuple[list[str], list[str]]:
    """Return (files to fetch, files that are here and differ); `there` is name -> sha256 on the host.

    A run's log comes before its sidecar, and DONE, which says that all is here, last.
    """
    wanted, conflicts = [], []
    for name, expected in sorted(there.items(), key=lambda item: item[0] == "DONE"):
        path = dest / name
        if not path.exists():
            wanted.append(name)
        elif file_sha256(path) != expected:
            (wanted if name in GROWING else conflicts).append(name)
    return wanted, conflicts


def unpack(packed: bytes, dest: Path, files: dict[str, str]) -> None:
    """Put an archive's files below `dest`, each only when its checksum is the expected one, by rename.

    Raises:
        HostError: the archive is cut short, or lacks a file, or a file is not what the host said it is.
    """
    bad = []
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            came = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
    except (tarfile.TarError, EOFError) as exc:
        raise HostError(f"the archive of logs came home damaged ({exc}); play again") from exc
    for name, expected in files.items():
        # A growing file may have grown between listing and packing.
        if name in came and (name in GROWING or hashlib.sha256(came[name]).hexdigest() == expected):
            path = dest / name
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.new")
            partial.write_bytes(came[name])
            partial.replace(path)
        else:
            bad.append(name)
    if bad:
        raise HostError(f"{bad[0]} came home other than it is on the host ({len(bad)} such files); play again")


def restore(shell: HostShell, directory: str, home: Path, there: set[str]) -> list[str]:
    """Give a host back what it lost and is home: its runs, so that they count as measured, and the tables beside them.

    Args:
        shell: of the host.
        directory: the campaign's, on the host.
        home: the same on the controller.
        there: names of the runs that the host has.

    Returns:
        Names of the runs that it was given.
    """
    runs, tables = home / "runs", [home / name for name in BESIDE_RUNS if (home / name).exists()]
    lost = [path.stem for path in sorted(runs.glob("*.meta")) if path.stem not in there]
    for names in _batches(lost):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in tables:
                tar.add(path, arcname=path.name)
            for name in names:
                for ending in ("log", "meta"):
                    tar.add(runs / f"{name}.{ending}", arcname=f"{name}.{ending}")
        shell.check(f"cannot write to {directory}", _RESTORE, directory, stdin=packed.getvalue())
    return lost


def _batches(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
