# Copyright the edgebench developers. Apache-2.0.
"""One Android device, as the adb client of this machine reaches it; nothing of Ansible in it.

What adb gets wrong is put right here. Its exit code is 0 when the link breaks in the middle of a command, so each
command ends with a line of ours. It waits for many minutes on a link that died in silence, so the device is asked for
a sign of life while a command is silent. What it copies is compared by sha256.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shlex
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

CLIENT_S = 20  # what the client and its server on this machine need at most, also to start
LOOK_EVERY_S = 0.5
PIPED_BYTES = 64 * 1024  # more stdin than this goes as a file
# The most bytes of a command line: adb's own requests are of at most 64 KiB, those of old devices of 4 KiB.
LINE_BYTES = {True: 32 * 1024, False: 3 * 1024}  # with shell v2, and without
SCRATCH = ".edgebench-scratch-"  # so begin the names of files that are there for a command only

_TCP = re.compile(r"(\S+):\d+")
_ADDRESS = re.compile(r"\d+(\.\d+){3}")
_LISTED = re.compile(r"(?P<serial>\S+)\s+(?P<state>no permissions|[a-z]+)\b(?P<rest>.*)")
_OTHER_SERVER = re.compile(r"adb server version \((\d+)\) doesn't match this client \((\d+)\)")
# Said of files, by the device or by the client: then the link is as it should be.
_OF_FILES = re.compile(r"\bremote\b|cannot (stat|open|create)|No space left|Permission denied|Read-only|[Dd]irectory")

# Arguments: the file as it came, the file as it shall be, its sha256. Exits 3 with another sha256.
_KEEP = """
found=$(sha256sum <"$1") || { rm -f "$1"; exit 4; }
found=${found%% *}
if [ "$found" != "$3" ]; then rm -f "$1"; echo "$found"; exit 3; fi
if [ -d "$2" ]; then rm -f "$1"; echo "it is a directory" >&2; exit 1; fi
mv -f "$1" "$2"
"""
_SUM = """
if [ -d "$1" ]; then echo "it is a directory" >&2; exit 1; fi
sha256sum <"$1"
"""
_NO_SUM = "the device has no sha256sum (Android has it since 8), and nothing that is copied could be checked"
_AGAIN = "see to its cable or network, and play again"


class AdbError(Exception):
    """The device is out of reach; the message is one line for the user."""


class FileError(Exception):
    """The device answers, and a file could not be copied; the message is one line for the user."""


class Output(NamedTuple):
    """What a command on the device gave."""

    code: int
    stdout: bytes
    stderr: bytes


class Listed(NamedTuple):
    """A device of `adb devices -l`. `state` is `device` when it can be used."""

    serial: str
    state: str
    model: str


class Device:
    """One device.

    Attributes:
        warnings: what the user should know although it works, a line each.
    """

    def __init__(
        self,
        serial: str,
        executable: str = "adb",
        timeout_s: float = 10,
        silence_s: float = 10,
        directory: str = "/data/local/tmp",
    ) -> None:
        """Name a device; nothing is asked of it.

        Args:
            serial: of USB, or ADDRESS:PORT; the port of an address is 5555 unless told.
            timeout_s: how long to wait for the device to be there, and for a sign of life.
            silence_s: after how much silence of a command a sign of life is asked for.
            directory: where on the device input of commands, and what old devices say on stderr, may lie for a while.
        """
        self.serial = f"{serial}:5555" if _ADDRESS.fullmatch(serial) else serial
        self.warnings: list[str] = []
        self._adb = os.path.expanduser(executable)  # noqa: PTH111 - Path fails where there is no such user
        self._timeout_s, self._silence_s = timeout_s, silence_s
        self._id = secrets.token_hex(4)  # what is sent again takes the place of what came of it before
        self._scratch = f"{directory}/{SCRATCH}{self._id}"
        # What a killed play left, after a day or two: what +1 means differs.
        old = f"-name '{SCRATCH}*' -mtime +1"
        self._sweep = f"find {shlex.quote(directory)} -maxdepth 1 {old} -exec rm -f {{}} ';'"
        self._has_shell_v2 = True

    @property
    def is_tcp(self) -> bool:
        return bool(_TCP.fullmatch(self.serial))

    @property
    def _shell(self) -> list[str]:
        return ["shell", "-T"] if self._has_shell_v2 else ["exec-out"]

    def connect(self) -> None:
        """Wait until the device can be used, for `timeout_s`.

        Raises:
            AdbError: it cannot, or nobody said which device is meant.
        """
        deadline = time.monotonic() + self._timeout_s
        with _one_at_a_time("server"):  # the first that asks starts it, and two that do get in each other's way
            listed = self._devices()
        if not self.serial:
            raise AdbError(f"no serial: set the host's adb_serial (or ansible_host); {shown(listed)}")
        said, may_dial = "", True
        while (state := state_of(self.serial, listed)) != "device":
            if may_dial and (state == "offline" or (self.is_tcp and state in ("", "unauthorized"))):
                said, may_dial = self._dial(), False
            elif (
                state == "no permissions" or (self.is_tcp and state in ("", "offline")) or time.monotonic() >= deadline
            ):
                raise AdbError(trouble(self.serial, state, said, listed))
            else:  # a cable is plugged in, or the user is asked whether to trust us
                time.sleep(LOOK_EVERY_S)
            listed = self._devices()
        features = self._ask("-s", self.serial, "features")
        if features.code:  # it went between two questions
            raise AdbError(broken(self.serial, features.stderr.decode(errors="replace")))
        self._has_shell_v2 = b"shell_v2" in features.stdout.split()

    def run(self, command: str, stdin: bytes = b"") -> Output:
        """Run a sh command on the device, for as long as it takes.

        Raises:
            AdbError: the link broke, so nobody knows what became of it.
            FileError: its input could not be brought to the device.
        """
        files = []
        if len(shlex.quote(command).encode()) > LINE_BYTES[self._has_shell_v2]:
            files.append(self._place(command.encode(), "sh"))
            command = f"sh {shlex.quote(files[-1])}"
        is_piped = self._has_shell_v2 and 0 < len(stdin) <= PIPED_BYTES
        source = "/dev/null"
        if stdin and not is_piped:
            files.append(source := self._place(stdin, "in"))
        line = f"sh -c {shlex.quote(command)}"
        if not is_piped:
            line += f" <{shlex.quote(source)}"
        return self._exchange(line, files, stdin if is_piped else b"")

    def push(self, src: Path, dest: str) -> None:
        """Copy a file to the device, compare it there and put it in place by rename.

        Raises:
            AdbError: the link broke.
            FileError: it cannot be written, or arrived other than it was.
        """
        part = f"{dest}.{self._id}.part"
        with src.open("rb") as file:
            expected = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            self._copy("push", str(src), part)
        except FileError as exc:
            self.run(shlex.join(["rm", "-f", part]))
            raise FileError(f"cannot write {dest}: {exc}") from None
        done = self.run(shlex.join(["sh", "-c", _KEEP, "sh", part, dest, expected]))
        if done.code == 4:
            raise FileError(f"cannot write {dest}: {_NO_SUM}")
        if done.code == 3:
            found = done.stdout.decode().strip()
            raise FileError(f"{dest} did not arrive whole: its sha256 is {found} on the device and {expected} here")
        if done.code:
            raise FileError(f"cannot write {dest}: {_one_line(done.stderr)}")

    def pull(self, src: str, dest: Path) -> None:
        """Copy a file from the device, compare it and put it in place by rename.

        Raises:
            AdbError: the link broke.
            FileError: it cannot be read, or arrived other than it is.
        """
        done = self.run(shlex.join(["sh", "-c", _SUM, "sh", src]))
        if done.code:
            raise FileError(f"cannot fetch {src}: {_NO_SUM if done.code == 127 else _one_line(done.stderr)}")
        expected = done.stdout.decode().split()[0]
        part = dest.with_name(f"{dest.name}.part")
        try:
            self._copy("pull", src, str(part))
            with part.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != expected:
                raise FileError(f"it did not come whole: its sha256 is {expected} on the device and {found} here")
            part.replace(dest)
        except FileError as exc:
            raise FileError(f"cannot fetch {src}: {exc}") from None
        finally:
            part.unlink(missing_ok=True)

    def _devices(self) -> list[Listed]:
        return listing(self._ask("devices", "-l").stdout.decode(errors="replace"))

    def _dial(self) -> str:
        """Connect, anew when there is a connection that cannot be used; return what adb says of it."""
        if not self.is_tcp:
            self._ask("-s", self.serial, "reconnect")
            return ""
        with _one_at_a_time(self.serial):
            state = state_of(self.serial, self._devices())
            if state == "device":
                return ""
            if state:  # it would say that it is connected already
                self._ask("disconnect", self.serial)
            try:
                done = self._ask("connect", self.serial, timeout_s=self._timeout_s)
            except subprocess.TimeoutExpired:
                return f"within {self._timeout_s:.0f} s"
            return _one_line(done.stdout + done.stderr)

    def _ask(self, *words: str, timeout_s: float | None = None) -> Output:
        """Ask what the client and its server on this machine answer of their own."""
        try:
            done = subprocess.run(
                [self._adb, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s or CLIENT_S,
                check=False,
            )
        except OSError as exc:
            raise AdbError(_not_runnable(self._adb, exc)) from None
        except subprocess.TimeoutExpired:
            if timeout_s:
                raise
            raise AdbError(
                f"the adb server on this machine does not answer within {CLIENT_S} s; end it (adb kill-server) and "
                "play again"
            ) from None
        said = done.stderr.decode(errors="replace")
        if match := _OTHER_SERVER.search(said):
            self.warnings.append(
                f"two versions of adb take turns on this machine and cut each other's connections: the server was "
                f"of version {match[1]} and {self._adb} is of version {match[2]}, so it was ended; let all use one, "
                "see adb_executable"
            )
        if "cannot connect to daemon" in said or "failed to start daemon" in said:
            raise AdbError(
                f"the adb server on this machine does not start ({_one_line(done.stderr)[-200:]}); see "
                f"/tmp/adb.{os.getuid()}.log, end what is left of it (adb kill-server) and play again"
            )
        return Output(done.returncode, done.stdout, done.stderr)

    def _exchange(self, line: str, files: Sequence[str], stdin: bytes) -> Output:
        """Run a line of sh, remove files that it used, and take apart what came back."""
        end = secrets.token_hex(8)
        tidy = f"rm -f {shlex.join(files)}; {self._sweep}; " if files else ""
        if self._has_shell_v2:
            line += f"; code=$?; {tidy}echo; echo {end} $code"
            pattern = rb"(.*)\n%b (\d+)\n()" % end.encode()
        else:  # all comes on one way, so what is said on stderr waits in a file
            err = shlex.quote(f"{self._scratch}.err")
            line += f" 2>{err}; code=$?; {tidy}echo; echo {end} $code; cat {err}; rm -f {err}; echo; echo {end}"
            pattern = rb"(.*)\n%(end)b (\d+)\n(.*)\n%(end)b\n" % {b"end": end.encode()}
        done = self._watch([*self._shell, line], stdin)
        match = re.fullmatch(pattern, done.stdout, re.DOTALL)
        if match is None:
            raise AdbError(broken(self.serial, done.stderr.decode(errors="replace")))
        return Output(int(match[2]), match[1], match[3] or done.stderr)

    def _place(self, data: bytes, kind: str) -> str:
        """Put what a command needs into a file on the device; return its path."""
        path = f"{self._scratch}.{kind}"
        with tempfile.NamedTemporaryFile() as file:  # of mode 0600, here and there
            file.write(data)
            file.flush()
            self.push(Path(file.name), path)
        return path

    def _copy(self, verb: str, source: str, target: str) -> None:
        done = self._watch([verb, source, target], b"")
        if done.code == 0:
            return
        said = re.sub(r"\S+: 0 files? (pushed|pulled).*", "", (done.stdout + done.stderr).decode(errors="replace"))
        if _OF_FILES.search(said) and not re.search(r"device .*(not found|offline|unauthorized)", said):
            raise FileError(_one_line(said.rpartition(f"'{target}': ")[2]).removeprefix("adb: error: "))
        raise AdbError(broken(self.serial, said))

    def _watch(self, words: Sequence[str], stdin: bytes) -> Output:
        """Run a client that needs the device; end it when the device gives no sign of life."""
        try:
            process = subprocess.Popen(
                [self._adb, "-s", self.serial, *words],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as exc:
            raise AdbError(_not_runnable(self._adb, exc)) from None
        heard, data = 0, stdin or None
        with process:
            try:
                while True:
                    try:
                        stdout, stderr = process.communicate(data, self._silence_s)
                        return Output(process.returncode, stdout, stderr)
                    except subprocess.TimeoutExpired as exc:
                        data = None  # it is being sent
                        if len(exc.output or b"") == heard and not self._is_alive():
                            raise AdbError(self._give_up()) from None
                        heard = len(exc.output or b"")
            finally:
                if process.poll() is None:
                    process.kill()

    def _is_alive(self) -> bool:
        words = ["-s", self.serial, *self._shell, "echo alive"]
        try:
            return b"alive" in self._ask(*words, timeout_s=self._timeout_s).stdout
        except subprocess.TimeoutExpired:
            return False

    def _give_up(self) -> str:
        """Let go of a dead link, since adb's server would not; return what to say."""
        self._ask(*(["disconnect", self.serial] if self.is_tcp else ["-s", self.serial, "reconnect"]))
        return f"{self.serial} gave no sign of life for {self._silence_s + self._timeout_s:.0f} s; {_AGAIN}"


def listing(text: str) -> list[Listed]:
    """What `adb devices -l` prints."""
    found = (_LISTED.match(line) for line in text.splitlines() if not line.startswith(("List of", "*")))
    return [
        Listed(match["serial"], match["state"], (re.findall(r"\bmodel:(\S+)", match["rest"]) or [""])[0])
        for match in found
        if match
    ]


def state_of(serial: str, listed: Sequence[Listed]) -> str:
    """The state of a device; empty = it is not there."""
    return next((device.state for device in listed if device.serial == serial), "")


def shown(listed: Sequence[Listed]) -> str:
    """What is connected, for a message."""
    if not listed:
        return "adb sees no device at all"
    return "adb sees " + ", ".join(
        f"{device.serial} ({device.model or 'a device' if device.state == 'device' else device.state})"
        for device in listed
    )


def trouble(serial: str, state: str, said: str, listed: Sequence[Listed]) -> str:
    """Why a device cannot be used and what to do, in one line.

    Args:
        state: as in `Listed`; empty = it is not there.
        said: what `adb connect` said.
    """
    if state == "unauthorized":
        return (
            f"unauthorized: {serial} does not trust this computer's key; unlock it and accept the key. If it does not "
            "ask: Developer options > Revoke USB debugging authorizations, and connect it again"
        )
    if state == "no permissions":
        return (
            f"no permissions: this user may not use the USB device {serial}; install udev rules for it (Debian: "
            "android-sdk-platform-tools-common), join the group plugdev, and connect it again"
        )
    if state == "offline" or (_TCP.fullmatch(serial) and not state):
        why = _reason(said)
        if not _TCP.fullmatch(serial):
            return f"{serial} is offline: it is connected and does not answer; unlock it, or connect it again"
        if "resolve" in said:
            return f"no address is known for {serial}; correct adb_serial (or ansible_host)"
        return (
            f"no answer from {serial}{why}; is it on, awake and in this network, with Developer options > Wireless "
            "debugging on (Android 11; its port changes, and it wants `adb pair` once), or told `adb tcpip 5555` "
            "over USB since it booted?"
        )
    if state:
        return f"{serial} is not ready ({state}); unlock it, or boot Android on it, and play again"
    return (
        f"no device {serial}; {shown(listed)}. Connect it, switch on Developer options > USB debugging, or correct "
        "adb_serial (or ansible_host)"
    )


def broken(serial: str, said: str) -> str:
    """Why a command did not come to its end, in one line.

    Args:
        said: what the client and the command wrote to stderr.
    """
    errors = re.findall(r"^(?:adb|error|adb: error): (.*)", said, re.MULTILINE)
    if not errors:
        return f"the link to {serial} broke in the middle of a command; {_AGAIN}"
    if errors[-1] == "closed":
        return f"{serial} runs no shell for us (closed); it may be booting. If it stays so, restart it"
    return f"the link to {serial} broke ({errors[-1].rstrip('.')}); {_AGAIN}"


def _reason(said: str) -> str:
    """What stands in brackets in a message, of what `adb connect` said."""
    words = re.sub(r"^failed to connect to '?[^\s']+'?:?\s*", "", said)
    return f" ({words})" if words else ""


def _not_runnable(executable: str, exc: OSError) -> str:
    return f"no program {executable} ({exc.strerror}); install adb (Debian: apt-get install adb), or set adb_executable"


def _one_line(said: str | bytes) -> str:
    return " ".join((said if isinstance(said, str) else said.decode(errors="replace")).split())


@contextmanager
def _one_at_a_time(what: str) -> Iterator[None]:
    """Hold off this user's other processes on this machine that come here for the same."""
    number = zlib.crc32(what.encode()) % 64  # the files stay, and ports of Wireless debugging are many
    path = Path(tempfile.gettempdir(), f"edgebench-adb.{os.getuid()}.{number}.lock")
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
