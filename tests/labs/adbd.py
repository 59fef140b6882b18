"""An Android device as the `adb` client sees it: adbd's protocol over TCP, with its shell and its files.

usage: adbd.py ROOT [--address ADDRESS] [--port PORT] [--old]

The directory ROOT is the device's /. Commands run in there as the user `shell`, as which files are read and written
too. Prints its port when it listens, then does what lines on its standard input say:

    cut silent      the link is dead: packets vanish, and nobody is told
    cut reset       the link is down: connections end, and none is accepted
    heal            the link is there
    authorize no    forget all keys, and leave the question whether to trust a new one without an answer
    authorize yes   trust every key that is offered, also while the question is on the screen

Standard library only, and root: it runs inside the aarch64 machine as well. The protocol is that of adb's protocol.txt,
SERVICES.TXT and SYNC.TXT (https://android.googlesource.com/platform/packages/modules/adb); of the services only those
of `adb shell`, `exec-in`, `exec-out`, `push` and `pull` are there.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import pty
import secrets
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
HEADER = struct.Struct("<6I")  # command, two arguments, bytes of data, their sum, the command's complement
VERSION, MAX_DATA = 0x01000001, 256 * 1024
AUTH_TOKEN, AUTH_SIGNATURE, AUTH_KEY = 1, 2, 3
SHA1_NAME = bytes.fromhex("3021300906052b0e03021a05000414")  # what PKCS #1 has before a hash that is signed

SHELL_HEADER = struct.Struct("<BI")  # of the shell protocol's packets: kind, bytes of data
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)

SYNC_HEADER = struct.Struct("<4sI")
SYNC_DATA = 64 * 1024

SHELL_USER = 2000
SHELL_GROUPS = (1004, 1007, 1011, 1015, 1028, 3001, 3002, 3003, 3006)
KEYS = "data/misc/adb/adb_keys"
# What adbd gives its shells.
ENVIRONMENT = {
    "ANDROID_DATA": "/data",
    "ANDROID_ROOT": "/system",
    "HOME": "/",
    "HOSTNAME": "jasmine_sprout",
    "LOGNAME": "shell",
    "PATH": "/sbin:/system/sbin:/system/bin:/system/xbin:/vendor/bin",
    "SHELL": "/system/bin/sh",
    "TERM": "dumb",
    "TMPDIR": "/data/local/tmp",
    "USER": "shell",
}


def is_signed(key: bytes, token: bytes, signature: bytes) -> bool:
    """Whether the owner of a public key, a line as in adbkey.pub, signed a token.

    The line is the base64 of words, -1/n mod 2^32, n (256 bytes, little end first), R^2 and e, and a name.
    """
    raw = base64.b64decode(key.split(b" ")[0].rstrip(b"\0\n"))
    size = 4 * int.from_bytes(raw[:4], "little")
    n = int.from_bytes(raw[8 : 8 + size], "little")
    e = int.from_bytes(raw[8 + 2 * size : 12 + 2 * size], "little")
    padding = b"\xff" * (size - 3 - len(SHA1_NAME) - len(token))
    expected = b"\0\1" + padding + b"\0" + SHA1_NAME + token
    return pow(int.from_bytes(signature, "big"), e, n).to_bytes(size, "big") == expected


class Link:
    """The device's end of the link: a listening socket, and whether packets pass."""

    def __init__(self, address: str, port: int):
        self._listener = socket.create_server((address, port))
        self.address, self.port = self._listener.getsockname()[:2]
        self._fillers: list[socket.socket] = []
        self.passes = threading.Event()  # unset: packets vanish
        self._accepts = threading.Event()  # unset: nobody takes what comes to the listening socket
        self.passes.set()
        self._accepts.set()

    def accept(self) -> socket.socket:
        """Wait for a connection and return it."""
        while True:
            self._accepts.wait()
            with contextlib.suppress(OSError):  # the socket was shut by go_down()
                connection, _ = self._listener.accept()
                if self._accepts.is_set():
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    return connection
                connection.close()

    def go_silent(self) -> None:
        """Let nothing pass. The kernel does not answer who wants to connect, since the queue of such is full."""
        self.passes.clear()
        self._accepts.clear()
        self._knock()  # ends an accept() that waits
        self._listener.listen(0)
        self._fillers = [self._knock() for _ in range(3)]

    def _knock(self) -> socket.socket:
        knocking = socket.socket()
        knocking.setblocking(False)
        knocking.connect_ex((self.address, self.port))
        return knocking

    def go_down(self) -> None:
        """Refuse connections from now on."""
        self._accepts.clear()
        with contextlib.suppress(OSError):  # it was down already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def heal(self) -> None:
        """Let all pass again."""
        for filler in self._fillers:
            filler.close()
        self._fillers = []
        if self._listener.fileno() < 0:
            self._listener = socket.create_server((self.address, self.port))
        self._listener.listen()
        self.passes.set()
        self._accepts.set()


class Stream:
    """A stream of a connection, from a service here to a program there; at most one packet each way is unanswered."""

    def __init__(self, connection: Connection, here: int, there: int):
        self._connection, self._here, self._there = connection, here, there
        self._received = bytearray()
        self._changed = threading.Condition()
        self._closed = self._owes_okay = False
        self._may_send = True

    def read(self, size: int) -> bytes:
        """Return so many bytes, or fewer at the end; as many as there are, but at least one, when size is 0."""
        with self._changed:
            while not self._closed and len(self._received) < max(size, 1):
                if self._owes_okay:
                    self._owes_okay = False
                    self._connection.send(OKAY, self._here, self._there)
                self._changed.wait()
            data = bytes(self._received[: size or None])
            del self._received[: len(data)]
            return data

    def write(self, data: bytes) -> None:
        """Send bytes; raises BrokenPipeError when the other side has closed the stream."""
        limit = self._connection.max_data
        for start in range(0, len(data), limit):
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._may_send)
                if self._closed:
                    raise BrokenPipeError
                self._may_send = False
            self._connection.send(WRTE, self._here, self._there, data[start : start + limit])

    def close(self) -> None:
        if not self.ended():
            self._connection.send(CLSE, self._here, self._there)

    def ended(self) -> bool:
        """Take the stream as closed from now on; return whether it was before."""
        with self._changed:
            was, self._closed = self._closed, True
            self._changed.notify_all()
        return was

    def opened(self) -> None:
        self._connection.send(OKAY, self._here, self._there)

    def got_data(self, data: bytes) -> None:
        with self._changed:
            self._received += data
            self._owes_okay = True
            self._changed.notify_all()

    def got_okay(self) -> None:
        with self._changed:
            self._may_send = True
            self._changed.notify_all()


class Connection:
    """A connection of an adb server, from the exchange of keys to the end."""

    def __init__(self, device: Device, transport: socket.socket):
        self._device, self._transport = device, transport
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._token = b""
        self.offered_key = b""  # one about which the user is asked
        self.is_trusted = False
        self.max_data = MAX_DATA

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        """Send a packet, as soon as the link lets it pass; to nobody when the connection has ended."""
        head = HEADER.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        self._device.link.passes.wait()
        with self._sending, contextlib.suppress(OSError):
            self._transport.sendall(head + data)

    def run(self) -> None:
        """Do what the packets say, until the connection ends."""
        with self._transport, self._transport.makefile("rb") as incoming, contextlib.suppress(OSError, struct.error):
            while True:
                command, first, second, size, *_ = HEADER.unpack(incoming.read(HEADER.size))
                data = incoming.read(size)
                self._device.link.passes.wait()
                self._handle(command, first, second, data)
        for stream in list(self._streams.values()):
            stream.ended()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._transport.shutdown(socket.SHUT_RDWR)

    def _handle(self, command: int, first: int, second: int, data: bytes) -> None:
        if command == CNXN:
            self.max_data = min(second, MAX_DATA)
            self._ask_for_signature()
        elif command == AUTH and first == AUTH_SIGNATURE:
            if any(is_signed(key, self._token, data) for key in self._device.trusted_keys()):
                self.trust()
            else:
                self._ask_for_signature()
        elif command == AUTH and first == AUTH_KEY:
            self.offered_key = data
            self._device.ask_user(self)
        elif not self.is_trusted:
            self.end()
        elif command == OPEN:
            here = max(self._streams, default=0) + 1
            self._streams[here] = stream = Stream(self, here, first)
            threading.Thread(target=self._serve, args=(stream, data.rstrip(b"\0").decode()), daemon=True).start()
        elif stream := self._streams.get(second):
            if command == WRTE:
                stream.got_data(data)
            elif command == OKAY:
                stream.got_okay()
            elif command == CLSE:
                stream.ended()
                del self._streams[second]
        elif command == WRTE:
            self.send(CLSE, 0, first)

    def _ask_for_signature(self) -> None:
        self._token = secrets.token_bytes(20)
        self.send(AUTH, AUTH_TOKEN, 0, self._token)

    def trust(self) -> None:
        """Let the other side open streams."""
        self.is_trusted = True
        self.send(CNXN, VERSION, MAX_DATA, self._device.banner().encode())

    def _serve(self, stream: Stream, name: str) -> None:
        if serve := self._device.service(name):
            stream.opened()
            with contextlib.suppress(OSError, struct.error):
                serve(stream)
        stream.close()


class Device:
    """What a device has: files, programs, keys that it trusts.

    Args:
        root: its /, as seen from here.
        link: by which it is reached.
        old: it is as before Android 7: no exit codes, and `adb shell` always gives a terminal.
    """

    def __init__(self, root: Path, link: Link, *, old: bool):
        self._root, self.link, self._old = root, link, old
        self._user_trusts = False
        self._connections: set[Connection] = set()
        self._chroot = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin")

    def run(self) -> None:
        """Serve whoever connects, for ever."""
        while True:
            connection = Connection(self, self.link.accept())
            self._connections.add(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            self._connections.discard(connection)

    def obey(self, line: str) -> None:
        """Do what a line of the standard input says; raises KeyError for one that means nothing."""
        {
            "cut silent": self.link.go_silent,
            "cut reset": self._cut,
            "heal": self.link.heal,
            "authorize yes": self._trust_all,
            "authorize no": self._trust_none,
        }[line]()

    def _cut(self) -> None:
        self.link.go_down()
        self._end_connections()

    def _end_connections(self) -> None:
        for connection in list(self._connections):
            connection.end()

    # Trust

    def banner(self) -> str:
        names = {"ro.product.name": "jasmine", "ro.product.model": "Mi A2", "ro.product.device": "jasmine_sprout"}
        features = "" if self._old else "features=shell_v2,cmd"
        return "device::" + "".join(f"{key}={value};" for key, value in names.items()) + features

    def trusted_keys(self) -> list[bytes]:
        """The public keys that the device trusts."""
        try:
            return (self._root / KEYS).read_bytes().splitlines()
        except FileNotFoundError:
            return []

    def ask_user(self, connection: Connection) -> None:
        """Ask whether to trust the key that a connection offers; the answer may come later, or never."""
        if self._user_trusts:
            path = self._root / KEYS
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as keys:
                keys.write(connection.offered_key.rstrip(b"\0\n") + b"\n")
            connection.trust()

    def _trust_all(self) -> None:
        self._user_trusts = True
        for connection in list(self._connections):
            if connection.offered_key and not connection.is_trusted:
                self.ask_user(connection)

    def _trust_none(self) -> None:
        self._user_trusts = False
        (self._root / KEYS).unlink(missing_ok=True)
        self._end_connections()

    # Services

    def service(self, name: str) -> Callable[[Stream], None] | None:
        """Return what serves a stream, by the name of the service; None when there is no such service."""
        kind, _, command = name.partition(":")
        options = kind.split(",")
        if kind == "sync":
            return self._sync
        if kind == "exec":
            return lambda stream: self._plain(stream, self._in_root(command))
        if options[0] != "shell":
            return None
        if "v2" in options and not self._old:
            return lambda stream: self._shell(stream, self._in_root(command), terminal="pty" in options)
        if command and not self._old:
            return lambda stream: self._plain(stream, self._in_root(command))
        return lambda stream: self._terminal(stream, self._in_root(command))

    def _in_root(self, command: str) -> list[str]:
        """The words that run a command of the shell on the device; no command: an interactive shell."""
        user = f"--userspec={SHELL_USER}:{SHELL_USER}"
        groups = f"--groups={','.join(map(str, SHELL_GROUPS))}"
        shell = ["/system/bin/sh", "-c", command] if command else ["/system/bin/sh", "-"]
        return [self._chroot, user, groups, str(self._root), *shell]

    def _sync(self, stream: Stream) -> None:
        self._plain(stream, [sys.executable, "-I", "-S", __file__, str(self._root), "--serve-files"])

    def _plain(self, stream: Stream, words: list[str]) -> None:
        """Run a program whose input and output, errors among it, are the stream; it learns of the stream's end."""
        here, there = socket.socketpair()
        with there:
            process = _start(words, stdin=there, stdout=there, stderr=there)

        def feed() -> None:
            with contextlib.suppress(OSError):
                while data := stream.read(0):
                    here.sendall(data)
            with contextlib.suppress(OSError):
                here.shutdown(socket.SHUT_RDWR if stream.ended() else socket.SHUT_WR)

        threading.Thread(target=feed, daemon=True).start()
        with here:
            while data := here.recv(SYNC_DATA):
                stream.write(data)
        process.wait()

    def _terminal(self, stream: Stream, words: list[str]) -> None:
        """Run a program on a terminal, which turns \\n into \\r\\n and echoes."""
        ours, its = pty.openpty()
        process = _start(words, stdin=its, stdout=its, stderr=its)
        os.close(its)

        def feed() -> None:
            with contextlib.suppress(OSError):
                while data := stream.read(0):
                    os.write(ours, data)
            _hang_up(process)

        threading.Thread(target=feed, daemon=True).start()
        with contextlib.suppress(OSError):  # that is how the end of a terminal's output is told
            while data := os.read(ours, SYNC_DATA):
                stream.write(data)
        process.wait()
        os.close(ours)

    def _shell(self, stream: Stream, words: list[str], *, terminal: bool) -> None:
        """Run a program by the shell protocol: two outputs, an exit code, and an input that can be closed."""
        if terminal:
            ours, its = pty.openpty()
            process = _start(words, stdin=its, stdout=its, stderr=its)
            os.close(its)
            stdin, outputs = os.fdopen(os.dup(ours), "wb", 0), {os.fdopen(ours, "rb", 0): STDOUT}
        else:
            pipe = subprocess.PIPE
            process = _start(words, stdin=pipe, stdout=pipe, stderr=pipe)
            stdin, outputs = process.stdin, {process.stdout: STDOUT, process.stderr: STDERR}

        def feed() -> None:
            while head := stream.read(SHELL_HEADER.size):
                kind, size = SHELL_HEADER.unpack(head)
                data = stream.read(size) if size else b""
                with contextlib.suppress(OSError, ValueError):  # the program ended, or its input was closed
                    if kind == STDIN:
                        stdin.write(data)
                    elif kind == CLOSE_STDIN and not terminal:
                        stdin.close()
            _hang_up(process)

        threading.Thread(target=feed, daemon=True).start()
        try:
            _forward(stream, outputs)
        finally:
            for file in outputs:
                file.close()
            status = process.wait()
        exit_code = status if status >= 0 else 128 - status
        stream.write(SHELL_HEADER.pack(EXIT, 1) + bytes([exit_code]))


def _start(words: list[str], **streams: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(words, env=ENVIRONMENT, bufsize=0, umask=0, start_new_session=True, **streams)


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Tell a program, but not those that it started, that nobody is there any more; as adbd does."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGHUP)


def _forward(stream: Stream, outputs: dict[BinaryIO, int]) -> None:
    """Send what comes from files as packets of their kinds, until all files have ended."""
    with selectors.DefaultSelector() as selector:
        for file, kind in outputs.items():
            selector.register(file, selectors.EVENT_READ, kind)
        while selector.get_map():
            for key, _ in selector.select():
                try:
                    data = key.fileobj.read(SYNC_DATA)
                except OSError:  # the end of a terminal's output
                    data = b""
                if data:
                    stream.write(SHELL_HEADER.pack(key.data, len(data)) + data)
                else:
                    selector.unregister(key.fileobj)


# The file service: a program of its own, since it has to be another user, below another root.


class FileService:
    """Does what the requests say that come in, until the last.

    Args:
        incoming, outgoing: binary streams.
    """

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO):
        self._in, self._out = incoming, outgoing

    def run(self) -> None:
        """Answer requests, until QUIT or the end of the input."""
        answers = {b"STAT": self._stat, b"LIST": self._list, b"RECV": self._send_file, b"SEND": self._receive_file}
        while len(head := self._in.read(SYNC_HEADER.size)) == SYNC_HEADER.size:
            request, size = SYNC_HEADER.unpack(head)
            if request not in answers:
                return
            argument = self._in.read(size).decode()
            try:
                answers[request](argument)
            except EOFError:
                return
            self._out.flush()

    def _fail(self, message: str) -> None:
        self._out.write(SYNC_HEADER.pack(b"FAIL", len(message)) + message.encode())

    def _stat(self, path: str) -> None:
        try:
            self._out.write(b"STAT" + _attributes(Path(path)))
        except OSError:
            self._out.write(b"STAT" + bytes(12))

    def _list(self, path: str) -> None:
        with contextlib.suppress(OSError):
            for entry in sorted(Path(path).iterdir()):
                name = entry.name.encode()
                self._out.write(b"DENT" + _attributes(entry) + struct.pack("<I", len(name)) + name)
        self._out.write(b"DONE" + bytes(16))

    def _send_file(self, path: str) -> None:
        try:
            with Path(path).open("rb") as file:
                while data := file.read(SYNC_DATA):
                    self._out.write(SYNC_HEADER.pack(b"DATA", len(data)) + data)
            self._out.write(SYNC_HEADER.pack(b"DONE", 0))
        except OSError as error:
            self._fail(f"{'read' if isinstance(error, IsADirectoryError) else 'open'} failed: {error.strerror}")

    def _receive_file(self, argument: str) -> None:
        """Write a file, "PATH,MODE", that comes in parts; one that did not come or could not be written is not left."""
        name, _, mode = argument.rpartition(",")
        path = Path(name)
        file, failure = None, ""
        try:
            file = _new_file(path)
        except OSError as error:
            failure = f"couldn't create file: {error.strerror}"
        try:
            while True:
                kind, number = SYNC_HEADER.unpack(self._read(SYNC_HEADER.size))
                if kind == b"DONE":
                    break
                data = self._read(number)
                try:
                    while data and not failure:
                        data = data[file.write(data) :]
                except OSError as error:
                    failure = f"write failed: {error.strerror}"
        except EOFError:
            failure = "nobody is there any more"
            raise
        finally:
            if file:
                file.close()
                if failure:
                    path.unlink()
        if failure:
            self._fail(failure)
        else:
            path.chmod(int(mode) & 0o777)
            os.utime(path, (number, number))
            self._out.write(SYNC_HEADER.pack(b"OKAY", 0))

    def _read(self, size: int) -> bytes:
        data = self._in.read(size)
        if len(data) < size:
            raise EOFError
        return data


def _attributes(path: Path) -> bytes:
    status = path.lstat()
    return struct.pack("<3I", status.st_mode, status.st_size & 0xFFFFFFFF, int(status.st_mtime))


def _new_file(path: Path) -> BinaryIO:
    """Open a file for writing, a new one in place of one that is there; the directories above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        path.unlink()
    return path.open("xb", buffering=0)


def serve_files(root: Path) -> None:
    """Serve files below a root, as the user of the shell, on the standard input and output."""
    os.chroot(root)
    os.chdir("/")
    os.setgroups(SHELL_GROUPS)
    os.setgid(SHELL_USER)
    os.setuid(SHELL_USER)
    FileService(sys.stdin.buffer, sys.stdout.buffer).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the directory that is the device's /")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="the port there (any that is free)")
    parser.add_argument("--old", action="store_true", help="be as before Android 7, without the shell protocol")
    parser.add_argument("--serve-files", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_files:
        serve_files(arguments.root)
        return
    link = Link(arguments.address, arguments.port)
    device = Device(arguments.root.resolve(), link, old=arguments.old)
    threading.Thread(target=device.run, daemon=True).start()
    print(link.port, flush=True)
    for line in sys.stdin:
        device.obey(line.rstrip("\n"))
        print("done", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
