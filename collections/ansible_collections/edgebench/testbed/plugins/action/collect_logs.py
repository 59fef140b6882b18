# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.collect_logs``."""

from __future__ import annotations

DOCUMENTATION = """
module: collect_logs
short_description: Bring a host's new logs home, each verified by checksum
description:
  - Compares the checksums of the files below I(src) on the host with those below I(dest) on the controller and
    fetches what is missing in one archive. A file is put in place only when its checksum agrees, by rename.
  - A file that is there and differs is never overwritten; the task names it and fails, after everything else has
    come home. The exception is I(growing), files that the host still writes.
  - A run comes home with its sidecar; a log without one is still being written and is left for the next time.
  - Needs sh, tar and sha256sum (or shasum) on the host; no Python.
options:
  src:
    description: The campaign's directory on the host.
    type: path
    required: true
  dest:
    description: The host's directory below the campaign's logs on the controller.
    type: path
    required: true
  growing:
    description: Files that may change; the host's version replaces the older one.
    type: list
    elements: str
    default: [script.log]
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Bring the logs home
  edgebench.testbed.collect_logs:
    src: /home/pi/edgebench/campaigns/2026-11-20
    dest: logs/2026-11-20/pi5
"""

RETURN = """
fetched:
  description: Names of the files that came home.
  type: list
  elements: str
  returned: success
"""

import hashlib
import shlex
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# One line per file: checksum and path. A run's log is listed when its sidecar is there.
LIST_FILES = """
[ -d {src} ] || exit 0
cd {src} || exit 1
if command -v sha256sum >/dev/null 2>&1; then sum=sha256sum; else sum='shasum -a 256'; fi
for file in plan.tsv script.log DONE; do [ ! -f "$file" ] || echo "$file"; done >.fetch.list
for file in runs/*.meta; do [ ! -f "$file" ] || printf '%s\\n' "${{file%.meta}}.log" "$file"; done >>.fetch.list
xargs $sum <.fetch.list
rm -f .fetch.list
"""

PACK_FILES = "cd {src} && cat >.fetch.list && tar -cf .fetch.tar -T .fetch.list && rm -f .fetch.list"


class CollectError(Exception):
    """Logs could not be brought home; the message is one line for the user."""


class ActionModule(ActionBase):
    TRANSFERS_FILES = True
    _VALID_ARGS = frozenset(("src", "dest", "growing"))

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "src": {"type": "path", "required": True},
                "dest": {"type": "path", "required": True},
                "growing": {"type": "list", "elements": "str", "default": ["script.log"]},
            }
        )
        dest = Path(args["dest"]).absolute()
        try:
            there = self._checksums(args["src"])
            growing = frozenset(args["growing"])
            wanted, conflicts = compare(there, dest, growing)
            if wanted and not self._task.check_mode:
                self._fetch(args["src"], dest, {name: there[name] for name in wanted}, growing)
        except CollectError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        except OSError as exc:
            msg = f"cannot write to {dest}: {exc.strerror}; the logs are still on the host"
            return {**result, "failed": True, "msg": msg}
        result |= {"changed": bool(wanted), "fetched": wanted}
        if not there:
            result["msg"] = f"there is nothing in {args['src']} on the host yet"
        if conflicts:
            others = f", as do {len(conflicts) - 1} others" if len(conflicts) > 1 else ""
            result |= {
                "failed": True,
                "msg": f"{dest / conflicts[0]} differs from the host's file of that name{others}; "
                "nothing was overwritten. Move the older files away, or give the new campaign another campaign_name",
            }
        return result

    def _checksums(self, src: str) -> dict[str, str]:
        listing = self._shell(LIST_FILES, src)
        return dict(reversed(line.split(maxsplit=1)) for line in listing.splitlines())

    def _shell(self, script: str, src: str, in_data: bytes | None = None) -> str:
        command = script.strip().format(src=shlex.quote(src))
        reply = self._low_level_execute_command(command, in_data=in_data, sudoable=False)
        if reply["rc"] != 0:
            said = (reply["stderr"] or reply["stdout"]).strip()[:500]
            raise CollectError(f"cannot read the logs in {src} on the host: {said}")
        return reply["stdout"]

    def _fetch(self, src: str, dest: Path, files: dict[str, str], growing: frozenset[str]) -> None:
        self._shell(PACK_FILES, src, in_data="".join(f"{name}\n" for name in files).encode())
        dest.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=dest) as partial:
            archive = Path(partial, "fetch.tar")
            self._connection.fetch_file(f"{src}/.fetch.tar", str(archive))
            unpack(archive, Path(partial), dest, files, growing)
        self._shell("rm -f {src}/.fetch.tar", src)


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare(there: dict[str, str], dest: Path, growing: frozenset[str]) -> tuple[list[str], list[str]]:
    """Return (files to fetch, files that are here and differ); `there` is name -> sha256 on the host."""
    wanted, conflicts = [], []
    for name, expected in there.items():
        path = dest / name
        if not path.exists():
            wanted.append(name)
        elif checksum(path) != expected:
            (wanted if name in growing else conflicts).append(name)
    return wanted, conflicts


def unpack(archive: Path, scratch: Path, dest: Path, files: dict[str, str], growing: frozenset[str]) -> None:
    """Put the archive's files below `dest`, each only when its checksum is the expected one.

    Raises:
        CollectError: the archive is cut short, or lacks a file, or a file is not what the host said it is.
    """
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
    except tarfile.TarError as exc:
        raise CollectError(f"the archive of logs came home damaged ({exc}); play again") from exc
    bad = []
    # DONE comes last: it says that all is here.
    for name, expected in sorted(files.items(), key=lambda item: item[0] == "DONE"):
        came = scratch / name
        # A growing file may have grown between listing and packing.
        if came.is_file() and (name in growing or checksum(came) == expected):
            (dest / name).parent.mkdir(parents=True, exist_ok=True)
            came.replace(dest / name)
        else:
            bad.append(name)
    if bad:
        raise CollectError(f"{bad[0]} came home other than it is on the host ({len(bad)} such files); play again")
