"""The recipe of SshLab's root file systems: what of it changes makes them anew, below another name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from tests.labs.common import CONFINED, debian_mirror, run

PACKAGES = ("busybox-static", "curl", "iproute2", "openssh-server", "procps", "python3")
# The two keys come from outside at each boot, so that a root belongs to no lab.
SSHD_CONFIG = """UsePAM no
PidFile none
HostKey /run/host_key
AuthorizedKeysFile /run/authorized_keys
UseDNS no
PrintMotd no
MaxStartups 100
MaxSessions 100
Subsystem sftp /usr/lib/openssh/sftp-server
"""
SSH_PROGRAMS = ("/usr/sbin/sshd", "/usr/lib/openssh/sftp-server", "/usr/bin/scp")
LAB_USER = {
    "passwd": "lab:x:1000:1000::/home/lab:/bin/sh\n",
    "group": "lab:x:1000:\n",
    "shadow": "lab:*:19000:0:99999:7:::\n",
}
# What a system without package manager has instead of base-passwd.
BARE_ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
    "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "shadow": "root:*:19000:0:99999:7:::\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
}


def make(directory: Path) -> None:
    """Make the roots `python` (Debian) and `nopython` (sshd, dash and busybox) in this directory."""
    make_debian(directory / "python")
    make_bare(directory / "nopython", directory / "python")
    for root in (directory / "python", directory / "nopython"):
        finish(root)


def debian(root: Path, packages: Iterable[str], *options: str) -> None:
    """Install Debian's packages, of the release that this machine has, below an empty directory."""
    mirror, release = debian_mirror()
    without = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")]
    include = f"--include={','.join(packages)}"
    run(*CONFINED, "mmdebstrap", "--quiet", "--mode=root", include, *without, *options, release, root, mirror)


def make_debian(root: Path) -> None:
    debian(root, PACKAGES, "--variant=minbase")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()


def make_bare(root: Path, debian: Path) -> None:
    """The SSH server and dash with their libraries, as Debian has them, and busybox for everything else."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "etc/ssh", "home", "proc", "root", "run", "srv", "sys", "tmp", "var/empty", "var/log"):
        (root / name).mkdir(parents=True)
    linked = (*SSH_PROGRAMS, "/usr/bin/dash")
    libraries = {word for word in run("chroot", debian, "ldd", *linked).split() if word.startswith("/")}
    for path in (*linked, "/usr/bin/busybox", *(word for word in libraries if not word.endswith(":"))):
        copy = root / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(debian / path.lstrip("/"), copy)
    (root / "bin/sh").symlink_to("dash")
    for path in run("chroot", root, "/bin/busybox", "--list-full").split():
        applet = root / path
        applet.parent.mkdir(parents=True, exist_ok=True)
        if not applet.exists():
            applet.symlink_to("/usr/bin/busybox")
    for name, text in BARE_ETC.items():
        (root / "etc" / name).write_text(text, encoding="ascii")
    (root / "var/log/lastlog").touch()


def finish(root: Path) -> None:
    """Add the user lab, the server's settings and the place of the small disk."""
    for name, line in LAB_USER.items():
        with (root / "etc" / name).open("a", encoding="ascii") as file:
            file.write(line)
    (root / "etc/shadow").chmod(0o600)
    (root / "etc/ssh/sshd_config").write_text(SSHD_CONFIG, encoding="ascii")
    (root / "srv/work").mkdir()
    home = root / "home/lab"
    home.mkdir()
    os.chown(home, 1000, 1000)
    (root / "root").chmod(0o700)
