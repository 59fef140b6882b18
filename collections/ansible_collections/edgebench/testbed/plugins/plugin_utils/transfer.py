# Copyright the edgebench developers. Apache-2.0.
"""Files to a host over plain shell: skipped when they are there, resumed when cut, verified, put in place by rename."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import SHA256, HostError, HostShell

BLOCK = 64 * 2**10
CHUNK = 128 * BLOCK  # the most bytes of one exchange
CHUNK_S = 5  # what an exchange should take: a link that is cut again and again must let some through
SHOW_EVERY_S = 10


@dataclass(frozen=True)
class Parcel:
    """A file as it shall be on the host; its bytes are `content`, or in `src` here, or the host has them from `url`."""

    dest: str
    sha256: str
    mode: str = "0644"
    content: bytes | None = None
    src: Path | None = None
    url: str = ""

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if self.content is not None else self.src.stat().st_size

    @property
    def name(self) -> str:
        return self.dest.rpartition("/")[2]

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset` on."""
        if self.content is not None:
            return self.content[offset : offset + count]
        with self.src.open("rb") as file:
            file.seek(offset)
            return file.read(count)


# Names in a file's own directory: a receipt, newer than the file that it vouches for, and what has come so far.
_NAMES = """
set_names() { dir=${1%/*} name=${1##*/}; receipt=$dir/.$name.sha256 part=$dir/.$name.$(printf %.12s "$2").part; }
"""

# stdin: sha256, mode, path; a line each. stdout, a line each: same | differs BYTES_THERE | missing BYTES_THERE
LOOK = f"""{SHA256}{_NAMES}
tab=$(printf '\\t') checked=
while IFS=$tab read -r sha mode path; do
  set_names "$path" "$sha"
  state=missing
  if [ -d "$path" ]; then
    echo "$path is a directory, and a file belongs there; remove it" >&2
    exit 1
  elif [ -f "$path" ]; then
    state=differs said=''
    {{ read -r said <"$receipt"; }} 2>/dev/null
    if [ "$said" = "$sha" ] && [ -z "$(find "$path" -newer "$receipt")" ]; then
      state=same
    elif [ "$(sha256 <"$path")" = "$sha" ]; then
      state=same
      [ "$1" = check ] || printf '%s\\n' "$sha" >"$receipt"
    fi
  fi
  if [ "$state" = same ]; then
    [ "$1" = check ] || chmod "$mode" "$path"
    echo same
    continue
  fi
  if [ "$dir" != "$checked" ] && [ "$1" != check ]; then
    mkdir -p "$dir" || exit 1
    # In a directory that others can write to, or that is theirs, files could be exchanged behind our back.
    if [ -n "$(find "$dir/." -prune \\( ! -user "$(id -u)" -o -perm -0002 \\))" ]; then
      echo "$dir belongs to somebody else, or others may write to it; choose another benchmark_work_dir" >&2
      exit 1
    fi
    checked=$dir
  fi
  size=0
  [ ! -f "$part" ] || size=$(wc -c <"$part")
  echo "$state $((size))"
done
"""

# Arguments: sha256, mode, path. Exits 3 when what came is not what was meant.
_FINISH = """
fail() { df -Pk "$dir" | tail -n 1 >&2; exit 1; }
finish() {
  if [ "$(sha256 <"$part")" != "$1" ]; then rm -f "$part"; exit 3; fi
  # On the disk before it has its name, or a power cut leaves an empty file with a receipt.
  sync "$part" 2>/dev/null || sync
  if chmod "$2" "$part" && mv -f "$part" "$3" && printf '%s\\n' "$1" >"$receipt"; then :; else fail; fi
}
"""

# Arguments: sha256, mode, path, offset in blocks, size of the whole file with the last chunk, else `more`. The chunk
# goes to its own place in the file, so one that is sent twice, or whose first sender still lingers behind a dead link,
# does no harm. Such a sender finds the file shorter than it must be, or gone.
STORE = f"""{SHA256}{_NAMES}{_FINISH}
set_names "$3" "$1"
if [ "$4" -gt 0 ] && [ ! -f "$part" ]; then
  cat >/dev/null
  [ "$(sha256 <"$3")" = "$1" ] || exit 3
  exit 0 # the chunk came before, and only the answer was lost
fi 2>/dev/null
said=$(dd of="$part" bs={BLOCK} seek="$4" conv=notrunc 2>&1) || {{ echo "$said" >&2; fail; }}
[ "$5" != more ] || exit 0
[ "$(wc -c <"$part")" -ge "$5" ] || {{ echo "the end of the file did not arrive" >&2; exit 1; }}
finish "$@"
"""

# Arguments: sha256, mode, path. stdin: the URL, which may have a password in it; where there is curl, no list of
# processes shows it. A server that cannot go on in the middle of a file (or has no more of it) is asked for all of it.
FETCH = f"""{SHA256}{_NAMES}{_FINISH}
set_names "$3" "$1"
IFS= read -r url
fetch() {{
  if command -v curl >/dev/null 2>&1; then
    set -- --retry 3 --connect-timeout 30 --speed-limit 1 --speed-time 120
    printf 'url = "%s"\\n' "$url" | curl -K - -fsSL "$@" -C - -o "$part"
  elif command -v wget >/dev/null 2>&1; then wget -q -c -O "$part" "$url"
  else
    echo "there is neither curl nor wget"
    return 1
  fi
}}
# One that an earlier connection, lost meanwhile, left at work would write into the same file.
for words in /proc/[0-9]*/cmdline; do
  pid=${{words#/proc/}}
  ! grep -qF "$part" "$words" 2>/dev/null || {{ kill "${{pid%/cmdline}}" && sleep 1; }}
done
if [ ! -f "$part" ] || [ "$(sha256 <"$part")" != "$1" ]; then
  said=$(fetch 2>&1)
  code=$?
  # What curl, GNU wget and busybox wget say then.
  case $code/$said in 22/* | 33/* | 36/* | 8/* | *" 416 "*)
    [ ! -s "$part" ] || {{ rm -f "$part"; said=$(fetch 2>&1); code=$?; }} ;;
  esac
  [ "$code" = 0 ] || echo "$said (exit code $code)" >&2
  case $code/$said in 0/*) ;; 23/* | 3/* | *space*) fail ;; *) exit 1 ;; esac
fi
finish "$@"
"""


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def missing(shell: HostShell, parcels: Sequence[Parcel], check: bool = False) -> list[tuple[Parcel, int]]:
    """Return the parcels that are not on the host as they shall be, each with the bytes of it that came earlier.

    Args:
        check: change nothing on the host.
    """
    if not parcels:
        return []
    answer = shell.check("cannot look at files on the host", LOOK, "check" if check else "", stdin=question(parcels))
    return absent(parcels, answer.text)


def question(parcels: Sequence[Parcel]) -> bytes:
    """What LOOK reads about parcels."""
    return "".join(f"{parcel.sha256}\t{parcel.mode}\t{parcel.dest}\n" for parcel in parcels).encode()


def absent(parcels: Sequence[Parcel], answer: str) -> list[tuple[Parcel, int]]:
    """The parcels that are not there, by LOOK's answer, each with the bytes of it that came earlier."""
    lines = answer.splitlines()
    if len(lines) != len(parcels):
        raise HostError(f"asked about {len(parcels)} files and got {len(lines)} answers: {answer[-500:].strip()}")
    return [(parcel, int(line.split()[1])) for parcel, line in zip(parcels, lines, strict=True) if line != "same"]


def deliver(shell: HostShell, wanted: Sequence[tuple[Parcel, int]], fetch_on_host: bool = False) -> None:
    """Bring to the host what `missing` found.

    Raises:
        HostError: no room, or a file arrived other than it was meant, twice.
    """
    sent = [(parcel, offset) for parcel, offset in wanted if not (fetch_on_host and parcel.url)]
    for parcel, _ in wanted:
        if fetch_on_host and parcel.url:
            _fetch(shell, parcel)
    link = _Link(shell, sum(parcel.size for parcel, _ in sent))
    for parcel, offset in sent:
        # A whole file's worth that is still a part did not pass its check.
        if link.send(parcel, offset - offset % BLOCK if offset < parcel.size else 0) or link.send(parcel, 0):
            continue
        raise HostError(
            f"{parcel.dest} should have sha256 {parcel.sha256} and arrived otherwise, twice; is "
            f"{parcel.src or 'its source'} being changed, or the host's disk failing?"
        )


class _Link:
    """The way to a host, with what was learnt of its speed."""

    def __init__(self, shell: HostShell, total: int) -> None:
        """`total`: bytes that are to be sent, for messages."""
        self._shell, self._total, self._done = shell, total, 0
        self._chunk = min(16 * BLOCK, CHUNK)
        self._begun_at = self._shown_at = time.monotonic()

    def send(self, parcel: Parcel, offset: int) -> bool:
        """Send a parcel from `offset` on; return whether what is there now passes its check."""
        last = False
        while not last:
            chunk = parcel.read(offset, self._chunk)
            last = offset + len(chunk) >= parcel.size
            begun_at = time.monotonic()
            place = (str(offset // BLOCK), str(parcel.size) if last else "more")
            failure = f"cannot write {parcel.dest} ({parcel.size / 1e6:.1f} MB)"
            try:
                reply = self._shell.run(STORE, parcel.sha256, parcel.mode, parcel.dest, *place, stdin=chunk)
            except HostError as exc:
                raise HostError(f"{failure}: {exc}") from None
            if reply.rc not in (0, 3):
                raise HostError(f"{failure}: {' '.join(reply.said.split())}")
            self._learn(time.monotonic() - begun_at)
            offset += len(chunk)
            self._done += len(chunk)
            self._show(parcel)
        return reply.rc == 0

    def _learn(self, took_s: float) -> None:
        if took_s > 2 * CHUNK_S:
            self._chunk = max(BLOCK, self._chunk // 2 // BLOCK * BLOCK)
        elif took_s < CHUNK_S / 2:
            self._chunk = min(CHUNK, 2 * self._chunk)

    def _show(self, parcel: Parcel) -> None:
        now = time.monotonic()
        if now - self._shown_at > SHOW_EVERY_S:
            self._shown_at = now
            left_s = max(0, self._total - self._done) * (now - self._begun_at) / self._done
            self._shell.say(
                f"copying {parcel.name}: {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB, "
                f"about {left_s:.0f} s left"
            )


def _fetch(shell: HostShell, parcel: Parcel) -> None:
    for _ in range(2):
        url = parcel.url.replace("\\", "%5C").replace('"', "%22")  # what would end or escape curl's string
        reply = shell.run(FETCH, parcel.sha256, parcel.mode, parcel.dest, stdin=f"{url}\n".encode())
        if reply.rc == 0:
            return
        if reply.rc != 3:
            raise HostError(
                f"the host cannot fetch {parcel.name}: {' '.join(reply.said.split())}; correct its URL or the host's "
                "network, or let the controller send it (a setting that ends in fetch_on_host: false)"
            )
    raise HostError(
        f"{parcel.name} as the host fetches it has not the sha256 {parcel.sha256}; correct the URL or the checksum"
    )
