"""Android phones on this machine, as far as the real `adb` client and a shell can tell: they are reached over TCP.

usage: python -m tests.labs.adblab up COUNT           start phone0, phone1, ...; prints an inventory, stays until `down`
       python -m tests.labs.adblab COMMAND [ARGUMENT ...]   have the lab that is up do something (--help)

Each has its own root file system with mksh and toybox, its own processes, a small disk at /data/local/tmp, and what
tools of Android say is in files. There is no Android in them, no GPU and no other accelerator, and the only app is a
stand-in for TensorFlow's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.labs import cli, common
from tests.labs.common import LabError, run, spawn, wait_for

LABS = Path(__file__).parent
TESTS = LABS.parent
# What a phone is made of, beside what is in data/android.
FILES = (LABS / "adbd.py", LABS / "mounts.sh", LABS / "phone.sh", TESTS / "data/fake_benchmark_model.sh")
# Programs of this machine: the shell, and what Android's toybox has and Debian's lacks. data/android/toybox.txt is what
# Android 10 has of toybox, as far as Debian's has it.
PROGRAMS = ("mksh", "toybox", "original-awk", "dd", "diff", "expr", "gzip", "tr")
TOOLS = ("am", "cmd", "dumpsys", "getprop", "log", "logcat", "pm", "settings", "setprop", "svc")
DATA = "data/local/tmp"
ANSWERS = "data/system/answers"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACES = ("--mount", "--uts", "--ipc", "--pid")
# The server must not see what is plugged in here, which is none of the tests' business.
SERVER = """[ ! -d /dev/bus/usb ] || mount -t tmpfs tmpfs /dev/bus/usb
exec adb nodaemon server
"""

# Tries what a lab does; says what it tried last.
TRIAL = """set -e
echo 'loop devices'
mkdir disk
mke2fs -q -t ext4 -O ^has_journal disk.img 1M > log
mount -o loop,nodelalloc disk.img disk
echo 'bind mounts'
mount --bind -o ro /usr/lib disk
"""


def install(directory: Path) -> None:
    """Copy into a directory what a phone is made of."""
    for file in FILES:
        shutil.copy(file, directory)
    shutil.copytree(TESTS / "data/android", directory / "android")
    programs = directory / "bin"
    programs.mkdir()
    for name in (directory / "android/toybox.txt").read_text(encoding="ascii").split():
        (programs / name).symlink_to("toybox")
    for name in TOOLS:
        tool = shutil.copy(directory / "android/tool.sh", programs / name)
        tool.chmod(0o755)


def answer_file(command: str) -> str:
    """The name of the file with what a command line prints on a phone."""
    return re.sub("[ /]", "_", command)


def variables(serial: str) -> dict[str, str]:
    """Ansible's variables for the phone of this serial number."""
    return {
        "ansible_connection": "edgebench.testbed.adb",
        "adb_serial": serial,
        "benchmark_work_dir": f"/{DATA}/edgebench",
    }


class AdbServer:
    """An adb server with a key of its own, up within `with`; it knows only of devices that it is told of.

    Attributes:
        environment: of processes that call adb.
        public_key: the line that a device that trusts us has.
    """

    def __init__(self, directory: Path):
        self._key = directory / "adbkey"
        self._directory = directory

    def __enter__(self) -> AdbServer:
        run("adb", "keygen", self._key)
        self.public_key = self._key.with_suffix(".pub").read_text(encoding="ascii")
        port = common.free_port()
        self.environment = {
            "ANDROID_ADB_SERVER_PORT": str(port),
            "ADB_VENDOR_KEYS": str(self._key),
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554",  # look for no emulators
        }
        environment = os.environ | self.environment | {"HOME": str(self._directory), "PATH": common.PATH}
        with (self._directory / "adb.log").open("w") as log:
            self._process = spawn(
                *("unshare", "--mount", "sh", "-c", SERVER),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        wait_for("the adb server", 10, lambda: _listens(port))
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        if _listens(int(self.environment["ANDROID_ADB_SERVER_PORT"])):
            # A test ended ours, and a client started its own.
            run("adb", "kill-server", env=os.environ | self.environment)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Phone:
    """A phone of a lab; process and pid (of its process 1, as seen from outside) are there while it runs."""

    name: str
    directory: Path
    port: int
    process: subprocess.Popen[str] | None = None
    pid: int = 0


class AdbLab:
    """Phones phone0, phone1, ... that are up within `with`, and an adb server that they trust.

    Their processes end with ours, however that comes.

    Args:
        count: how many phones.
        old: numbers of the phones that are as before Android 7: adb gets no exit codes from them.
        data_mb: size of the small disk.
        measures: the stand-in for benchmark_model measures, with the Python that we run in, and makes no numbers up.
    """

    def __init__(
        self, count: int = 1, old: Collection[int] = frozenset(), data_mb: int = 64, *, measures: bool = False
    ):
        self.count = count
        self.old = old
        self.data_mb = data_mb
        self.measures = measures

    @staticmethod
    def missing() -> str:
        """What this machine lacks for a lab, in words; "" for nothing."""
        return common.lacking("adblab", made=True, root=True) or common.forbidden(TRIAL, NAMESPACES, PATH)

    # Up and down

    def __enter__(self) -> AdbLab:
        with contextlib.ExitStack() as stack:
            self.directory = stack.enter_context(common.own_directory())
            self.directory.chmod(0o755)  # the shell's user reaches its root through it
            self.files = self.directory / "files"
            self.files.mkdir()
            install(self.files)
            if self.measures:
                shutil.copytree(TESTS.parent / "runners", self.files / "runners")
            self._server = stack.enter_context(AdbServer(self.directory))
            self.environment = self._server.environment
            self.phones: list[Phone] = []
            stack.callback(self._end_phones)
            for i in range(self.count):
                self.phones.append(self._new_phone(i))
                self._start(i)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _new_phone(self, i: int) -> Phone:
        """Make a phone's disk, and have it trust our key."""
        directory = self.directory / f"phone{i}"
        directory.mkdir()
        (directory / "adb_keys").write_text(self._server.public_key, encoding="ascii")
        disk = ("-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=2000:2000")
        run("mke2fs", "-q", *disk, directory / "data.img", f"{self.data_mb}M")
        return Phone(name=directory.name, directory=directory, port=common.free_port())

    def _start(self, i: int) -> None:
        phone = self.phones[i]
        with (phone.directory / "log").open("w") as log:
            phone.process = spawn(
                *("unshare", *NAMESPACES, "--fork", "--kill-child", "sh", str(self.files / "phone.sh")),
                cwd=phone.directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={
                    "PYTHON": sys.executable,
                    "PREFIX": sys.base_prefix if self.measures else "",
                    "PACKAGES": sysconfig.get_path("purelib"),
                    "FILES": str(self.files),
                    "PROGRAMS": " ".join(PROGRAMS),
                    "ADBD": f"--port {phone.port}{' --old' if i in self.old else ''}",
                    "BOOT_ID": str(uuid.uuid4()),
                    "PATH": PATH,
                },
                start_new_session=True,
            )
        phone.pid = int(phone.process.stdout.readline() or 0)
        if phone.process.stdout.readline() != f"{phone.port}\n":
            raise LabError(f"{phone.name} did not start: {(phone.directory / 'log').read_text()}")

    def _end_phones(self) -> None:
        for phone in self.phones:
            self._end(phone)

    def _end(self, phone: Phone) -> None:
        """End all processes of a phone at once: the kernel does so when process 1 ends."""
        if not phone.process:
            return
        if phone.process.poll() is None and phone.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(phone.pid, signal.SIGKILL)
        phone.process.wait()
        phone.process.stdin.close()
        phone.process.stdout.close()
        phone.process, phone.pid = None, 0
        disk = phone.directory / "data.img"
        wait_for(f"the disk of {phone.name} to be free", 10, lambda: not run("losetup", "--associated", disk))

    # What happens to phones

    def _phone(self, i: int) -> Phone:
        if not 0 <= i < self.count:
            raise LabError(f"there is no phone {i}, only 0 to {self.count - 1}")
        return self.phones[i]

    def _tell(self, i: int, line: str) -> None:
        """Have a phone's adbd do something."""
        process = self._phone(i).process
        print(line, file=process.stdin, flush=True)
        if process.stdout.readline() != "done\n":
            raise LabError(f"adbd did not {line}: {(self.phones[i].directory / 'log').read_text()}")

    def cut(self, i: int, how: str = "silent") -> None:
        """Cut a phone's link: packets vanish (silent), or connections end and new ones are refused (reset)."""
        self._tell(i, f"cut {how}")

    def heal(self, i: int) -> None:
        """Mend the link."""
        self._tell(i, "heal")

    def reboot(self, i: int) -> None:
        """Have all processes of a phone end at once, and start it anew; its files stay, its link is there."""
        self._end(self._phone(i))
        self._start(i)

    def authorize(self, i: int, trusts: bool) -> None:
        """Have a phone's user trust no key any more (0), or every one that is offered (1)."""
        self._tell(i, f"authorize {'yes' if trusts else 'no'}")

    def answer(self, i: int, command: str, text: str) -> None:
        """Have a tool of Android print this text for a command line: answer(0, "getprop ro.soc.model", "SM8550")."""
        new = self.root(i) / ANSWERS / ".new"
        new.write_text(f"{text}\n", encoding="utf-8")
        new.rename(new.with_name(answer_file(command)))

    def fill(self, i: int) -> None:
        """Use up a phone's small disk, to the last byte."""
        common.fill(self.root(i) / DATA / ".fill")

    def make_room(self, i: int) -> None:
        """Give back what fill() used."""
        (self.root(i) / DATA / ".fill").unlink(missing_ok=True)

    # How to reach phones

    def root(self, i: int) -> Path:
        """A phone's /, as it sees it; elsewhere after a reboot."""
        phone = self._phone(i)
        return Path(f"/proc/{phone.pid}/root/{phone.directory}/root")

    def serial(self, i: int) -> str:
        """A phone's serial number, which is what `adb connect` takes."""
        return f"127.0.0.1:{self._phone(i).port}"

    def adb(self, *words: object) -> str:
        """Call adb with our server; return its output, or raise LabError when it fails."""
        return run("adb", *words, env=os.environ | self.environment)

    def inventory(self, **hostvars: Any) -> dict[str, Any]:
        """An Ansible inventory of the phones, each with these variables, which win over the lab's own."""
        hosts = {phone.name: variables(self.serial(i)) | hostvars for i, phone in enumerate(self.phones)}
        return {"all": {"hosts": hosts}}


def add_arguments_of_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("count", type=int, help="how many phones")
    parser.add_argument(
        "--old", type=int, nargs="+", default=[], metavar="I", help="numbers of the phones before Android 7"
    )
    parser.add_argument(
        "--measures", action="store_true", help="have the stand-in for benchmark_model measure for real"
    )
    parser.add_argument("--data-mb", type=int, default=64, help="size of the disk at /data/local/tmp (%(default)s)")


def shown(lab: AdbLab) -> dict[str, Any]:
    """How to reach the phones of a lab."""
    return {"environment": lab.environment, "inventory": lab.inventory()}


if __name__ == "__main__":
    methods = ("cut", "heal", "reboot", "authorize", "answer", "fill", "make_room")
    cli.main(__doc__, "adb", AdbLab, lambda: None, methods, add_arguments_of_up, shown)
