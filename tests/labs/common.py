"""What the labs share: what they need of a machine, their cache, processes that end with ours, keys.

`python3 -m tests.labs.common` prints the Debian packages that are missing here, of all that the tests use; it needs
nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from modelzoo.paths import cache_dir

# Command -> the Debian package that has it, for each part of the tests.
TOOLS = {
    "browser": {"chromium": "chromium"},
    "latex": {"pdflatex": "texlive-latex-recommended"},
    "run script": {
        "busybox": "busybox",
        "dash": "dash",
        "gawk": "gawk",
        "mawk": "mawk",
        "mksh": "mksh",
        "original-awk": "original-awk",
        "toybox": "toybox",
    },
    "sshlab": {
        "ip": "iproute2",
        "losetup": "mount",
        "mke2fs": "e2fsprogs",
        "mmdebstrap": "mmdebstrap",
        "nsenter": "util-linux",
        "ssh": "openssh-client",
        "unshare": "util-linux",
    },
    "adblab": {
        "adb": "adb",
        "losetup": "mount",
        "mke2fs": "e2fsprogs",
        "mksh": "mksh",
        "original-awk": "original-awk",
        "toybox": "toybox",
        "unshare": "util-linux",
    },
    "armlab": {
        "dtc": "device-tree-compiler",
        "mke2fs": "e2fsprogs",
        "mmdebstrap": "mmdebstrap",
        "qemu-system-aarch64": "qemu-system-arm",
        "ssh": "openssh-client",
        "unshare": "util-linux",
    },
    "chilab": {"dpkg-deb": "dpkg", "nsenter": "util-linux", "unshare": "util-linux"},
}
# A user's PATH may lack the places of root's tools.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

# In front of a command: the kernel ends it when the thread that started it ends, however that came.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")
# The same for all that the command starts, which cannot mount anything into the machine's own tree either.
CONFINED = (*ENDS_WITH_US, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# The one thread that starts what is to last: it ends when this process does.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="labs")


class LabError(Exception):
    """A lab cannot be made, or does not do what it was told; the message says what went wrong."""


def run(*command: object, stdin: str = "", timeout_s: float | None = None, **options: Any) -> str:
    """Run a command and return its output; raises LabError with what it said when it fails or takes too long."""
    words = [str(word) for word in command]
    options = {"env": os.environ | {"PATH": PATH}} | options
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False, **options
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{shlex.join(words)}: {error}") from error
    if done.returncode:
        raise LabError(f"{shlex.join(words)} ended with {done.returncode}: {(done.stderr or done.stdout)[-3000:]}")
    return done.stdout


def spawn(*command: str, **options: Any) -> subprocess.Popen[str]:
    """Start a command that the kernel ends when this process ends, however that comes; from any thread."""
    return _SPAWNER.submit(subprocess.Popen, [*ENDS_WITH_US, *command], text=True, **options).result()


def wait_for(what: str, seconds: float, check: Callable[[], object], pause_s: float = 0.02) -> None:
    """Wait until check() returns something true, with a pause between; raises LabError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds} s in vain for {what}")
        time.sleep(pause_s)


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# What a machine must have


def missing_packages(part: str) -> list[str]:
    """Debian packages that a part of the tests (a key of TOOLS) lacks here."""
    return sorted({package for tool, package in TOOLS[part].items() if not shutil.which(tool, path=PATH)})


def lacking(part: str, *, made: bool, root: bool) -> str:
    """Say in words what this machine lacks for a lab, as far as that can be seen without trying; "" for nothing.

    Args:
        part: a key of TOOLS.
        made: what the lab keeps in the cache is there; making it takes Debian and root.
        root: the lab needs root in any case.
    """
    if platform.system() != "Linux":
        return f"Linux (this is {platform.system()})"
    lacks = [] if made or system("ID") == "debian" else [f"Debian (this is {system('ID') or 'something else'})"]
    if (root or not made) and os.geteuid() != 0:
        lacks.append("root")
    if packages := missing_packages(part):
        lacks.append(f"Debian packages (apt-get install --no-install-recommends {' '.join(packages)})")
    return "; ".join(lacks)


def forbidden(trial: str, namespaces: Iterable[str], path: str) -> str:
    """Have a shell with a PATH try what a lab does, in new namespaces; say what it may not use here, "" for nothing.

    The trial prints what it tries next; without a word it was the namespaces.
    """
    with own_directory() as directory:
        command = ["unshare", *namespaces, "--fork", "--kill-child", "sh", "-c", trial]
        tried = subprocess.run(command, cwd=directory, env={"PATH": path}, capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return ""
    feature = (tried.stdout.splitlines() or ["namespaces"])[-1]
    return f"a Linux where root may use {feature} ({tried.stderr.strip()})"


def system(key: str) -> str:
    """A value of this machine's os-release; "" when there is none."""
    try:
        return platform.freedesktop_os_release().get(key, "")
    except OSError:
        return ""


def debian_mirror() -> tuple[str, str]:
    """Return the mirror and the release that this machine's own apt uses."""
    release = system("VERSION_CODENAME")
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    for line in targets.splitlines():
        mirror, *of = line.split()
        if of == [release, "main"]:
            return mirror, release
    raise LabError(f"apt has no source for {release or 'this system'} main, from which the lab's system would come")


# The cache, and directories of labs that are up


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file or directory that exists; the kernel frees it when the process ends, however that came.

    Raises BlockingIOError when somebody else has it and we are not to wait.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def labs_dir() -> Path:
    """Where the labs keep what is large, and what belongs to labs that are up."""
    directory = cache_dir() / "labs"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def cached_path(name: str, recipe: Iterable[ModuleType | Path]) -> Path:
    """Where in the cache that which these modules and files make is, or would be; another place when one changes."""
    key = hashlib.sha256(f"{system('VERSION_CODENAME')} {platform.machine()}".encode())
    for part in recipe:
        key.update((part if isinstance(part, Path) else Path(part.__file__)).read_bytes())
    return labs_dir() / f"{name}-{key.hexdigest()[:12]}"


def cached(name: str, recipe: Iterable[ModuleType | Path], make: Callable[[Path], None]) -> Path:
    """Return cached_path(), having it made by make(directory) when it is not there; it appears complete or not at all.

    Of several processes that want it, one makes it and the others wait.
    """
    path = cached_path(name, recipe)
    if not path.exists():
        lock = path.with_name(f"{path.name}.lock")
        lock.touch()
        with locked(lock):
            if not path.exists():
                unfinished = path.with_name(f"{path.name}.unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                make(unfinished)
                unfinished.rename(path)
    return path


@contextlib.contextmanager
def own_directory() -> Iterator[Path]:
    """A new directory for a lab that is up, gone afterwards. Those that killed processes left behind go as well."""
    up = labs_dir() / "up"
    up.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        with locked(up):  # nobody takes a directory for a dead one's before it is locked
            for left in up.iterdir():
                with contextlib.suppress(BlockingIOError), locked(left, wait=False):
                    shutil.rmtree(left, ignore_errors=True)
            directory = Path(tempfile.mkdtemp(dir=up))
            stack.enter_context(locked(directory))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)  # ssh may just be removing files of its own
        yield directory


def fill(file: Path, mb: int | None = None) -> None:
    """Have a file use up so many MB of its disk, or as much as there is, to the last byte."""
    disk = os.statvfs(file.parent)
    free = disk.f_bavail * disk.f_frsize
    with file.open("ab", buffering=0) as filler, contextlib.suppress(OSError):  # until it is full
        end = filler.tell()
        wanted = end + (free + 2**20 if mb is None else mb * 2**20)
        os.posix_fallocate(filler.fileno(), end, min(wanted - end, free * 9 // 10))
        end = filler.seek(0, os.SEEK_END)
        while end < wanted:
            end += filler.write(bytes(min(disk.f_bsize, wanted - end)))


# SSH


def make_key(path: Path) -> str:
    """Make a key pair at this path, over one that is there; return the public key."""
    path.unlink(missing_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path)
    return path.with_name(f"{path.name}.pub").read_text(encoding="ascii")


def ssh_args(known_hosts: Path) -> list[str]:
    """Options for ssh: nothing of this machine's own, our key only, and only host keys that we made ourselves."""
    options = (
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
    )
    return ["-F", "none", *(word for option in options for word in ("-o", option))]


def ansible_ssh(directory: Path, known_hosts: Path, user: str) -> dict[str, str]:
    """Ansible's variables for hosts of a lab, whose key is `id` in its directory.

    Connections that Ansible keeps open are the lab's own: the next lab may well have the same addresses.
    """
    return {
        "ansible_user": user,
        "ansible_ssh_private_key_file": str(directory / "id"),
        "ansible_ssh_common_args": shlex.join(ssh_args(known_hosts)),
        "ansible_control_path_dir": str(directory / "cp"),
    }


def end_kept_connections(directory: Path) -> None:
    """End what Ansible kept open to hosts of the lab in this directory."""
    for path in (directory / "cp").glob("*"):
        with contextlib.suppress(LabError):  # It may just be ending by itself.
            run("ssh", "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "lab", timeout_s=5)


if __name__ == "__main__":
    print(" ".join(sorted({package for part in TOOLS for package in missing_packages(part)})))
