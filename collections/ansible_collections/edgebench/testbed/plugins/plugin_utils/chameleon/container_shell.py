# Copyright the edgebench developers. Apache-2.0.
"""Commands in a container of CHI@Edge, with exit code, stdin, stdout and stderr, over Zun's exec and archive calls.

Zun's exec mixes stdout and stderr, takes no stdin, speaks text, and ends when a proxy on the way loses patience; its
archive calls take small files only. So a command is a small directory in the container: it goes there in parts, runs
detached from the call that starts it, and its output is fetched as bytes, in parts again.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import (
    GoneError,
    RefusedError,
    TestbedError,
    UnavailableError,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import Site
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import SHA256

WAIT_S = 10  # the longest that one exec call is left open
TRIES = 3  # of a call that is not answered
BASE = "/tmp"  # where each command has a directory of its own, for root alone

# Arguments: seconds to wait, and the directory of an earlier command, which is done with. Called again and again until
# it says that the command has ended; the first call starts it.
_GO = f"""umask 077
cd "${{0%/*}}" || exit 1
{SHA256}
if mkdir out 2>/dev/null; then
  [ -z "${{2:-}}" ] || rm -rf "$2"
  for part in in.*; do [ ! -f "$part" ] || cat "$part"; done >in
  rm -f in.*
  if [ "$(sha256 <in)" = "$(cat in_sha256)" ]; then
    (sh ./command <in >out/stdout 2>out/stderr; echo $? >code.new; mv code.new code) </dev/null >/dev/null 2>&1 &
  else
    echo damaged >code
  fi
fi
looks=0
while [ ! -e code ] && [ "$looks" -lt $((${{1:-10}} * 10)) ]; do
  looks=$((looks + 1))
  sleep 0.1 2>/dev/null || {{ sleep 1; looks=$((looks + 9)); }}
done
[ -e code ] || {{ echo running; exit 0; }}
echo "ended $(cat code) $(($(wc -c <out/stdout))) $(($(wc -c <out/stderr)))"
"""
# Arguments: which stream, which part, size of a part.
_PART = """cd "${0%/*}" && mkdir -p one && dd if="out/$1" of=one/bytes bs="$3" skip="$2" count=1 2>/dev/null
"""


class Output(NamedTuple):
    """What a command left."""

    code: int
    stdout: bytes
    stderr: bytes


class ContainerShell:
    """A container in which commands run.

    Args:
        site: that it is at.
        container: its id.
        part_bytes: of a file that goes through in one call; the service takes small ones only.
    """

    def __init__(self, site: Site, container: str, part_bytes: int = 512 * 1024) -> None:
        self._site, self._container, self._part = site, container, part_bytes
        self._done_with = ""

    def run(self, command: str, stdin: bytes = b"") -> Output:
        """Run a command line in sh, to its end.

        Raises:
            TestbedError: the container does not run; or the service does not answer, or damages what goes through it.
        """
        directory = f".edgebench-{uuid.uuid4().hex[:12]}"
        self._send(directory, command, stdin)
        said = ["running"]
        while said[0] == "running":
            said = self._exec(f"sh {BASE}/{directory}/go {WAIT_S} {self._done_with}".rstrip()).split() or ["nothing"]
        self._done_with = f"{BASE}/{directory}"
        if said[0] != "ended" or said[1:2] == ["damaged"] or len(said) != 4:
            raise UnavailableError(
                f"{self._site.name}: a command did not arrive whole in the container ({' '.join(said)})"
            )
        code, *sizes = map(int, said[1:])
        if sum(sizes) <= self._part:
            files = self._get(f"{BASE}/{directory}/out") if sum(sizes) else {}
            streams = [files.get(name, b"") for name in ("stdout", "stderr")]
        else:
            streams = [
                self._in_parts(directory, name, size) for name, size in zip(("stdout", "stderr"), sizes, strict=True)
            ]
        if [len(stream) for stream in streams] != sizes:
            raise UnavailableError(f"{self._site.name}: a command's output came from the container cut short")
        return Output(code, *streams)

    def close(self) -> None:
        """Leave nothing behind."""
        if self._done_with:
            self._exec(f"rm -rf {self._done_with}")
            self._done_with = ""

    def _send(self, directory: str, command: str, stdin: bytes) -> None:
        files = {
            "go": _GO.encode(),
            "part": _PART.encode(),
            "command": command.encode(),
            "in_sha256": hashlib.sha256(stdin).hexdigest().encode(),
        }
        parts = [stdin[start : start + self._part] for start in range(0, len(stdin), self._part)]
        for number, part in enumerate(parts[:-1]):
            self._put(_tar(directory, {f"in.{number:06}": part}))
        self._put(_tar(directory, files | ({f"in.{len(parts) - 1:06}": parts[-1]} if parts else {})))

    def _in_parts(self, directory: str, stream: str, size: int) -> bytes:
        parts = []
        for number in range(-(-size // self._part)):
            self._exec(f"sh {BASE}/{directory}/part {stream} {number} {self._part}")
            parts.append(self._get(f"{BASE}/{directory}/one")["bytes"])
        return b"".join(parts)

    # Zun's calls

    def _exec(self, words: str) -> str:
        """Run words without quotes in them; what they print. Each is a command that may be run twice."""
        answer = self._call("run a command", lambda: self._containers.execute(self._container, command=words, run=True))
        return str((answer or {}).get("output") or "")

    def _put(self, tar: bytes) -> None:
        self._call("send a file", lambda: self._containers.put_archive(self._container, BASE, tar))

    def _get(self, path: str) -> dict[str, bytes]:
        """The files of a directory, by name."""
        answer = self._call("fetch a file", lambda: self._containers.get_archive(self._container, path))
        with tarfile.open(fileobj=io.BytesIO(answer["data"])) as tar:
            return {member.name.rpartition("/")[2]: tar.extractfile(member).read() for member in tar if member.isfile()}

    @property
    def _containers(self) -> Any:
        return self._site.zun.containers

    def _call(self, what: str, call: Callable[[], Any]) -> Any:
        for attempt in range(1, TRIES + 1):
            try:
                return self._site.ask(f"{what} in the container", call)
            except GoneError:
                raise GoneError(f"no machine: the container {self._container} is gone; {_AGAIN}", 404) from None
            except RefusedError as exc:
                raise self._why_not(exc) from exc
            except UnavailableError:
                if attempt == TRIES:
                    raise
                time.sleep(attempt)
        return None

    def _why_not(self, refusal: RefusedError) -> TestbedError:
        """A container that has died refuses everything."""
        container = self._site.ask("look at the container", lambda: self._containers.get(self._container))
        if container is None or container.status == "Running":
            return refusal
        reason = f" ({container.status_reason})" if getattr(container, "status_reason", None) else ""
        return GoneError(f"no machine: the container {self._container} is {container.status}{reason}; {_AGAIN}", 409)


_AGAIN = "play playbooks/provision.yml or site.yml, which makes a new one; what is home already counts as measured"


def _tar(directory: str, files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(directory)
        entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o700, time.time()
        tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{directory}/{name}")
            entry.size, entry.mode, entry.mtime = len(content), 0o600, time.time()
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
