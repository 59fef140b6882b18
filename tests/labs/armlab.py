"""A 64-bit ARM machine in QEMU, on a machine of any kind: it calls itself a Raspberry Pi, and may have a phone in it.

usage: python -m tests.labs.armlab install            make what the machine needs, once
       python -m tests.labs.armlab up                 start it; prints an inventory and stays until `down`
       python -m tests.labs.armlab COMMAND [ARGUMENT ...]   have the machine that is up do something (--help)

Its processor is emulated, so times measured on it mean nothing. What is written to its disk is gone when it ends.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import shlex
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.labs import adblab, armimage, cli, common, sshroots
from tests.labs.common import LabError, run, spawn

COMPATIBLE = {
    "Raspberry Pi 4": ("raspberrypi,4-model-b", "brcm,bcm2711"),
    "Raspberry Pi 5": ("raspberrypi,5-model-b", "brcm,bcm2712"),
}
BOOT_DEADLINE_S = 180
PHONE_PORT = 5555
RESET = f"""
pkill -KILL -u lab || true
pkill -KILL -f '[/]phone\\.sh' || true
find /home/lab /tmp /srv -mindepth 1 -delete
rm -rf /etc/vcgencmd
cp -r /{armimage.DEFAULT_ANSWERS} /etc/vcgencmd
"""
# Starts the phone in /srv/phone, and waits until it says its port.
PHONE = f"""
cd /srv/phone
FILES=$PWD/files PROGRAMS='{" ".join(adblab.PROGRAMS)}' BOOT_ID=$(cat /proc/sys/kernel/random/uuid) \\
    PYTHON=python3 PREFIX= ADBD='--address 0.0.0.0 --port {PHONE_PORT}' \\
    setsid unshare {" ".join(adblab.NAMESPACES)} --fork --kill-child \\
    sh files/phone.sh </dev/null >said 2>log &
until grep -q '^{PHONE_PORT}$' said; do kill -0 $! || {{ cat log >&2; exit 1; }}; sleep 0.1; done
"""
RECIPE = (armimage, sshroots)


def make_image() -> Path:
    """Return the directory of kernel and disk, having them made when they are not there (half a minute)."""
    return common.cached("arm", RECIPE, armimage.make)


class ArmLab:
    """A machine that is up within `with`; it ends with our process, however that comes.

    It has the users root and lab (the default), both with the lab's key, python3, and a stand-in for vcgencmd.

    Args:
        board: what /proc/device-tree/model says.
        cpu: QEMU's name of the processor: cortex-a76 (Raspberry Pi 5), cortex-a72 (Raspberry Pi 4).
        cpus: cores.
        memory_mb: memory.
    """

    def __init__(
        self,
        board: str = "Raspberry Pi 5 Model B Rev 1.0",
        cpu: str = "cortex-a76",
        cpus: int = 2,
        memory_mb: int = 1024,
    ):
        self.board = board
        self.hardware = ["-cpu", cpu, "-smp", str(cpus), "-m", str(memory_mb)]

    @staticmethod
    def missing() -> str:
        """What this machine lacks for a lab, in words; "" for nothing."""
        return common.lacking("armlab", made=common.cached_path("arm", RECIPE).exists(), root=False)

    # Up and down

    def __enter__(self) -> ArmLab:
        with contextlib.ExitStack() as stack:
            image = make_image()
            self.directory = stack.enter_context(common.own_directory())
            self.known_hosts = self.directory / "known_hosts"
            self.key = self.directory / "id"
            host_key = self._write_keys()
            self._write_device_tree()
            self._process = None
            stack.callback(self._end)
            self._start(image, host_key)
            stack.callback(common.end_kept_connections, self.directory)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _write_keys(self) -> str:
        """Make both keys, and the archive that the machine takes them from; return the host's public key."""
        keys = self.directory / "keys"
        keys.mkdir()
        (keys / "authorized_keys").write_text(common.make_key(self.key), encoding="ascii")
        public_host_key = common.make_key(keys / "host_key")
        with tarfile.open(self.directory / "keys.tar", "w") as archive:
            for name, mode in {"authorized_keys": 0o644, "host_key": 0o600}.items():
                member = archive.gettarinfo(keys / name, name)
                member.uid, member.gid, member.uname, member.gname, member.mode = 0, 0, "root", "root", mode
                with (keys / name).open("rb") as content:
                    archive.addfile(member, content)
        return public_host_key

    def _write_device_tree(self) -> None:
        """Write QEMU's own device tree for this hardware, under the board's name."""
        tree = self.directory / "board.dtb"
        run("qemu-system-aarch64", "-M", f"virt,dumpdtb={tree}", *self.hardware, "-nodefaults", "-nographic")
        run("fdtput", "-t", "s", tree, "/", "model", self.board)
        run("fdtput", "-t", "s", tree, "/", "compatible", *COMPATIBLE.get(self.board[:14], ()), "linux,dummy-virt")

    def _start(self, image: Path, host_key: str) -> None:
        for _ in range(5):
            self.port, self.phone_port = common.free_port(), common.free_port()
            self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key}", encoding="ascii")
            with (self.directory / "qemu.log").open("w") as log:
                self._process = spawn(
                    *self._qemu(image),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=os.environ | {"TMPDIR": str(self.directory)},  # for what is written to the disk
                    start_new_session=True,
                )
            if self._answers():
                return
            said = (self.directory / "qemu.log").read_text()
            if "host forwarding" not in said:  # else somebody took the port before QEMU did
                raise LabError(f"the machine did not start: {said}")
        raise LabError(f"no port of 127.0.0.1 stays free long enough: {said}")

    def _qemu(self, image: Path) -> list[str]:
        ports = {self.port: 22, self.phone_port: PHONE_PORT}
        forwarded = "".join(f",hostfwd=tcp:127.0.0.1:{ours}-:{its}" for ours, its in ports.items())
        nic = f"user,id=net,restrict=on{forwarded}"
        return [
            *("qemu-system-aarch64", "-M", "virt", *self.hardware, "-accel", "tcg,thread=multi"),
            *("-nographic", "-nodefaults", "-no-reboot", "-serial", f"file:{self.directory}/console.log"),
            *("-kernel", f"{image}/kernel", "-initrd", f"{image}/initrd", "-dtb", f"{self.directory}/board.dtb"),
            *("-append", f"console=ttyAMA0 quiet panic=-1 mitigations=off lab.time={int(time.time())}"),
            *("-drive", f"file={image}/disk,format=raw,if=none,id=disk,snapshot=on"),
            *("-drive", f"file={self.directory}/keys.tar,format=raw,if=none,id=keys,readonly=on"),
            *("-device", "virtio-blk-pci,drive=disk", "-device", "virtio-blk-pci,drive=keys"),
            *("-netdev", nic, "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"),
        ]

    def _answers(self) -> bool:
        """Wait for the machine's SSH server; False when QEMU ended. Its key shows that it is this machine's."""
        deadline = time.monotonic() + BOOT_DEADLINE_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            with contextlib.suppress(LabError):  # QEMU accepts connections long before the machine does.
                run(*self.ssh("root"), "true", timeout_s=30)
                return True
            time.sleep(0.1)
        console = (self.directory / "console.log").read_text(errors="replace")
        raise LabError(f"the machine did not answer within {BOOT_DEADLINE_S} s; its console: {console[-2000:]}")

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    # What happens to the machine

    def answer(self, command: str, text: str) -> None:
        """Have vcgencmd answer a command with this text from now on: answer("get_throttled", "throttled=0x50005")."""
        file = shlex.quote(f"/etc/vcgencmd/{command}")
        self.shell(f"cat > /etc/vcgencmd.new && mv /etc/vcgencmd.new {file}", stdin=f"{text}\n")

    def reset(self) -> None:
        """Make the machine as it was at first: no phone, lab without processes and files, vcgencmd's answers."""
        common.end_kept_connections(self.directory)
        self.shell(RESET)

    def phone(self, public_key: str) -> str:
        """Start a phone in the machine that trusts a key of adb; return its serial number, for `adb connect`."""
        archive = io.BytesIO()
        with tempfile.TemporaryDirectory() as directory, tarfile.open(fileobj=archive, mode="w:gz") as archived:
            files = Path(directory, "files")
            files.mkdir()
            adblab.install(files)
            files.with_name("adb_keys").write_text(public_key, encoding="ascii")
            archived.add(directory, ".")
        unpack = "mkdir /srv/phone && base64 -d | tar -x -z --no-same-owner -C /srv/phone"
        self.shell(unpack, stdin=base64.b64encode(archive.getvalue()).decode())
        self.shell(PHONE)
        return f"127.0.0.1:{self.phone_port}"

    def shell(self, command: str, user: str = "root", stdin: str = "") -> str:
        """Run a command on the machine; return its output, or raise LabError when it fails."""
        return run(*self.ssh(user), command, stdin=stdin)

    # How to reach it

    def ssh(self, user: str = "lab") -> list[str]:
        """The words of an ssh command to the machine, to which the command there is added."""
        options = ["-i", str(self.key), "-p", str(self.port), "-o", "ConnectTimeout=20"]
        return ["ssh", *common.ssh_args(self.known_hosts), *options, f"{user}@127.0.0.1"]

    def inventory(self, **hostvars: Any) -> dict[str, Any]:
        """An Ansible inventory of the machine, named pi, with these variables, which win over the lab's own."""
        host = {"ansible_host": "127.0.0.1", "ansible_port": self.port}
        host |= common.ansible_ssh(self.directory, self.known_hosts, "lab")
        return {"all": {"hosts": {"pi": host | {"ansible_python_interpreter": "/usr/bin/python3"} | hostvars}}}


if __name__ == "__main__":
    cli.main(__doc__, "arm", ArmLab, make_image, ("answer", "reset", "shell"))
