"""The recipe of ArmLab's disk: what of it changes makes it anew, below another name.

Debian's arm64 packages are extracted only and none of their scripts run, so that not one step needs an arm64 processor.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
from pathlib import Path

from tests.labs.common import run
from tests.labs.sshroots import BARE_ETC, LAB_USER, SSHD_CONFIG, debian

DISK_MB = 1500
PACKAGES = (
    *("base-files", "bash", "busybox-static", "coreutils", "curl", "dash", "debianutils", "diffutils", "findutils"),
    *("grep", "gzip", "hostname", "iproute2", "libc-bin", "libgomp1", "libstdc++6", "linux-image-cloud-arm64", "mawk"),
    *("mksh", "mount", "openssh-server", "original-awk", "procps", "python3", "sed", "tar", "toybox", "util-linux"),
)
# Links that the packages' scripts would have made.
LINKS = {"usr/bin/sh": "dash", "usr/bin/awk": "mawk", "usr/bin/which": "which.debianutils"}

# In the order in which they load; those that a kernel has built in are not there as files.
BOOT_MODULES = (
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
    "drivers/char/hw_random/virtio-rng.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
)

# Process 1 until the disk is there.
INITRD_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /modules/$module; done
i=0
while [ ! -b /dev/vda ] && [ $i -lt 1500 ]; do /bin/busybox usleep 20000; i=$((i + 1)); done
/bin/busybox mount -t ext4 -o noatime /dev/vda /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/labinit
"""
# Process 1 from then on. The second disk is a tar archive with the machine's keys.
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p /run/sshd
ln -sf /proc/self/fd /dev/fd
for word in $(cat /proc/cmdline); do
  case $word in lab.time=*) date -s "@${word#*=}" ;; esac
done
hostname raspberrypi
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
tar -x -f /dev/vdb -C /run
exec /usr/sbin/sshd -D -e
"""
# A stand-in for the Raspberry Pi's tool: a file per command has the answer, and is read anew at each call.
VCGENCMD = """#!/bin/sh
cat "/etc/vcgencmd/$*" 2>/dev/null || echo 'error=1 error_msg="Command not registered"'
"""
ANSWERS = {
    "get_throttled": "throttled=0x0",
    "measure_clock arm": "frequency(0)=2400033792",
    "measure_temp": "temp=48.3'C",
    "measure_volts": "volt=0.8768V",
    "pmic_read_adc": """     VDD_CORE_A current(7)=1.23540000A
     VDD_CORE_V volt(15)=0.87658110V
       EXT5V_V volt(24)=5.09796000V
        BATT_V volt(25)=0.00732600V""",
    "version": "2024/09/23 14:02:56 \nCopyright (c) 2012 Broadcom\nversion 26826259 (release) (embedded)",
}
# What is there when nobody has changed an answer.
DEFAULT_ANSWERS = "usr/share/vcgencmd"


def make(directory: Path) -> None:
    """Make the files `kernel`, `initrd` and `disk` in this directory."""
    root = directory / "root"
    debian(root, PACKAGES, "--architectures=arm64", "--variant=extract", "--skip=check/qemu,chroot/mount")
    configure(root)
    modules = next((root / "lib/modules").iterdir()) / "kernel"
    (directory / "initrd").write_bytes(initrd(root, modules))
    kernel = next((root / "boot").glob("vmlinuz-*")).read_bytes()
    (directory / "kernel").write_bytes(gzip.decompress(kernel) if kernel[:2] == b"\x1f\x8b" else kernel)
    for name in ("boot", "lib/modules"):
        shutil.rmtree(root / name)
    run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, directory / "disk", f"{DISK_MB}M")
    shutil.rmtree(root)


def configure(root: Path) -> None:
    """Do by hand what the packages' scripts would have done, and add what is ours."""
    for name in ("dev", "home/lab", "proc", "root", "run", "srv", "sys", "tmp", "etc/vcgencmd", DEFAULT_ANSWERS):
        (root / name).mkdir(parents=True, exist_ok=True)
    texts = {f"etc/{name}": text + LAB_USER.get(name, "") for name, text in BARE_ETC.items()}
    texts |= {
        "etc/hostname": "raspberrypi\n",
        "etc/hosts": "127.0.0.1 localhost raspberrypi\n",
        "etc/ssh/sshd_config": SSHD_CONFIG,
        "sbin/labinit": INIT,
        "usr/bin/vcgencmd": VCGENCMD,
    }
    for command, answer in ANSWERS.items():
        for directory in ("etc/vcgencmd", DEFAULT_ANSWERS):
            texts[f"{directory}/{command}"] = f"{answer}\n"
    for name, text in texts.items():
        (root / name).write_text(text, encoding="ascii")
    for name, mode in {"etc/shadow": 0o600, "root": 0o700, "sbin/labinit": 0o755, "usr/bin/vcgencmd": 0o755}.items():
        (root / name).chmod(mode)
    for name, target in LINKS.items():
        if not (root / name).exists():
            (root / name).symlink_to(target)
    os.chown(root / "home/lab", 1000, 1000)


def initrd(root: Path, modules: Path) -> bytes:
    """A cpio archive (newc) with busybox and the modules without which there is no disk and no network."""
    found = [modules / name for name in BOOT_MODULES if (modules / name).exists()]
    init = INITRD_INIT.format(modules=" ".join(path.name for path in found))
    directory, file, device = 0o040755, 0o100755, 0o020600
    entries = [(name, directory, b"") for name in ("bin", "dev", "modules", "root")]
    entries += [("dev/console", device, b""), ("init", file, init.encode())]
    entries += [("bin/busybox", file, (root / "bin/busybox").read_bytes())]
    entries += [(f"modules/{path.name}", file, path.read_bytes()) for path in found]
    archive = io.BytesIO()
    for serial, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        rdev = (5, 1) if mode == device else (0, 0)
        fields = (serial, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(name) + 1, 0)
        for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0", data):
            archive.write(part)
            archive.write(bytes(-archive.tell() % 4))
    return archive.getvalue()
