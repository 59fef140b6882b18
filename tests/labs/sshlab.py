"""SSH hosts on this machine: each has its own root file system, processes, network, SSH server and host key.

usage: python -m tests.labs.sshlab install            make what labs need, once
       python -m tests.labs.sshlab up COUNT           start h0, h1, ...; prints an inventory and stays until `down`
       python -m tests.labs.sshlab COMMAND [ARGUMENT ...]   have the lab that is up do something (--help)

Hosts are Linux namespaces without names, and their disks are mounted in there only: all goes with the last process.
The cables meet in a switch, a network namespace of its own, from which one cable leads to this machine; so a cut cable
behaves as a real one does, and nothing stays in the machine's own network either.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.labs import cli, common, sshroots
from tests.labs.common import LabError, run, spawn, wait_for

MAX_HOSTS = 200
RECIPE = (sshroots,)
WORK = "srv/work"
LISTEN = "0A"  # a state in /proc/net/tcp
MOUNTS = Path(__file__).with_name("mounts.sh")
HOST_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid")

# Process 1 of a host, with this machine's tools until the last line.
BOOT = """set -e
read -r pid rest < /proc/self/stat  # our number outside, since /proc is still this machine's
echo "$pid"
read -r cable_is_in
exec < /dev/null > "$DIRECTORY/log" 2>&1
hostname "$NAME"
ip link set lo up
ip addr add "$ADDRESS/24" dev eth0
ip link set eth0 up
ip route add default via "$GATEWAY"
cd "$DIRECTORY"
mount -t overlay overlay -o lowerdir="$ROOT",upperdir=upper,workdir=overlay root
mount -o loop,noatime,nodelalloc work.img root/$WORK  # without nodelalloc a full disk still takes a few KiB
cd root
echo "$NAME" > etc/hostname
printf '%s\\n' '127.0.0.1 localhost' "$ADDRESS $NAME" > etc/hosts
. "$MOUNTS"
mkdir run/sshd
cat ../authorized_keys > run/authorized_keys
(umask 077; cat ../host_key > run/host_key)
echo "$BOOT_ID" > run/boot_id
mount --bind run/boot_id proc/sys/kernel/random/boot_id
exec env -i PATH="$HOST_PATH" chroot . /usr/sbin/sshd -D -e
"""

# Tries what a lab does; says what it tried last.
TRIAL = """set -e
echo 'overlay file systems'
mkdir lower upper overlay root
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=overlay root
echo 'loop devices'
mke2fs -q -t ext4 -O ^has_journal disk 1M > log
mount -o loop,nodelalloc disk lower
echo 'network bridges and virtual cables'
ip link add switch type bridge
ip link add h0 master switch type veth peer name eth0
"""


def make_roots() -> Path:
    """Return the directory of the roots, having them made when they are not there (half a minute)."""
    return common.cached("ssh", RECIPE, sshroots.make)


@dataclass
class Host:
    """A host of a lab; process and pid (of its process 1, as seen from outside) are there while it runs."""

    name: str
    address: str
    mac: str
    root: str
    directory: Path
    process: subprocess.Popen[str] | None = None
    pid: int = 0


class SshLab:
    """Hosts h0, h1, ... that are up within `with`.

    Each has the users root and lab (the default), both with the lab's key, and a small disk at /srv/work that is
    lab's. Their processes end with ours, however that comes.

    Args:
        count: how many hosts.
        no_python: numbers of the hosts that have only sshd, dash and busybox.
        work_mb: size of the small disk.
    """

    def __init__(self, count: int, no_python: Collection[int] = frozenset({2}), work_mb: int = 64):
        if not 0 < count <= MAX_HOSTS:
            raise LabError(f"a lab has 1 to {MAX_HOSTS} hosts, not {count}")
        self.count = count
        self.no_python = no_python
        self.work_mb = work_mb

    @staticmethod
    def missing() -> str:
        """What this machine lacks for a lab, in words; "" for nothing."""
        made = common.cached_path("ssh", RECIPE).exists()
        return common.lacking("sshlab", made=made, root=True) or common.forbidden(TRIAL, NAMESPACES, HOST_PATH)

    # Up and down

    def __enter__(self) -> SshLab:
        with contextlib.ExitStack() as stack:
            self._roots = make_roots()
            self.directory = stack.enter_context(common.own_directory())
            self.known_hosts = self.directory / "known_hosts"
            self.key = self.directory / "id"
            self._public_key = common.make_key(self.key)
            self._start_switch()
            stack.callback(self._end_switch)
            self._plug_in()
            self.hosts: list[Host] = []
            stack.callback(self._end_hosts)
            stack.callback(common.end_kept_connections, self.directory)
            self._start_hosts()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _start_switch(self) -> None:
        """Start the process that holds the switch's namespace."""
        command = ("unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity")
        self._switch = spawn(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._switch.stdout.readline()

    def _plug_in(self) -> None:
        """Lay a cable from the switch to this machine; the first number that is free tells it from other labs'."""
        self._uplink = ""
        for number in range(256):
            name = f"edgelab{number}"
            try:
                run(*f"ip link add {name} type veth peer name uplink netns {self._switch.pid}".split())
            except LabError as error:
                if "File exists" not in str(error):
                    raise
                continue
            self._uplink, self._net, self._mac = name, f"10.231.{number}", f"02:0a:e7:{number:02x}:00"
            break
        else:
            raise LabError("256 labs are up on this machine already")
        self.gateway = f"{self._net}.1"
        run("ip", "addr", "add", f"{self.gateway}/24", "dev", self._uplink)
        run("ip", "link", "set", self._uplink, "up")
        self._in_switch("link add switch type bridge", "link set switch up", "link set uplink master switch up")

    def _end_switch(self) -> None:
        self._switch.kill()
        self._switch.wait()
        self._switch.stdout.close()
        if self._uplink:
            with contextlib.suppress(LabError):  # It may just be going with the switch.
                run("ip", "link", "del", self._uplink)

    def _in_switch(self, *commands: str) -> None:
        """Do commands of `ip` in the switch."""
        run("nsenter", f"--net=/proc/{self._switch.pid}/ns/net", "ip", "-batch", "-", stdin="\n".join(commands))

    def _start_hosts(self) -> None:
        """Start all hosts, made anew."""
        self.known_hosts.unlink(missing_ok=True)
        self.hosts = [self._new_host(i) for i in range(self.count)]
        for host in self.hosts:
            self._start(host)
        for host in self.hosts:
            self._await_sshd(host)

    def _new_host(self, i: int) -> Host:
        """Make a host's disks and key."""
        name = f"h{i}"
        host = Host(
            name=name,
            address=f"{self._net}.{10 + i}",
            mac=f"{self._mac}:{10 + i:02x}",  # one that stays, or this machine's ARP table misleads after a reboot
            root=str(self._roots / ("nopython" if i in self.no_python else "python")),
            directory=self.directory / name,
        )
        for directory in ("upper", "overlay", "root"):
            (host.directory / directory).mkdir(parents=True)
        (host.directory / "upper").chmod(0o755)
        (host.directory / "authorized_keys").write_text(self._public_key, encoding="ascii")
        with self.known_hosts.open("a", encoding="ascii") as known_hosts:
            known_hosts.write(f"{host.address} {common.make_key(host.directory / 'host_key')}")
        disk = ("-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=1000:1000")
        run("mke2fs", "-q", *disk, host.directory / "work.img", f"{self.work_mb}M")
        return host

    def _start(self, host: Host) -> None:
        environment = {
            "NAME": host.name,
            "ADDRESS": host.address,
            "GATEWAY": self.gateway,
            "DIRECTORY": str(host.directory),
            "ROOT": host.root,
            "WORK": WORK,
            "MOUNTS": str(MOUNTS),
            "BOOT_ID": str(uuid.uuid4()),
            "HOST_PATH": HOST_PATH,
            "PATH": HOST_PATH,
        }
        host.process = spawn(
            *("unshare", *NAMESPACES, "--fork", "--kill-child", "sh", "-c", BOOT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        host.pid = int(host.process.stdout.readline() or 0)
        if not host.pid:
            raise LabError(f"{host.name} did not start: unshare failed")
        self._in_switch(
            f"link add {host.name} type veth peer name eth0 address {host.mac} netns {host.pid}",
            f"link set {host.name} master switch up",
        )
        host.process.stdout.close()
        with contextlib.suppress(BrokenPipeError), host.process.stdin as told:
            told.write("the cable is in\n")

    def _await_sshd(self, host: Host) -> None:
        """Wait until the host listens for SSH; not by calling it, since its cable may be cut."""

        def listens() -> bool:
            if host.process.poll() is not None:
                raise LabError(f"{host.name} did not start: {(host.directory / 'log').read_text()}")
            sockets = [line.split() for line in Path(f"/proc/{host.pid}/net/tcp").read_text().splitlines()]
            return any(local.endswith(f":{22:04X}") and state == LISTEN for _, local, _, state, *_ in sockets)

        wait_for(f"the SSH server of {host.name}", 30, listens)

    def _end_hosts(self) -> None:
        for host in self.hosts:
            self._end(host)

    def _end(self, host: Host) -> None:
        """End all processes of a host at once: the kernel does so when process 1 ends."""
        if not host.process:
            return
        if host.process.poll() is None and host.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(host.pid, signal.SIGKILL)
        host.process.wait()
        host.process, host.pid = None, 0
        with contextlib.suppress(LabError):  # It may just be going with the host.
            self._in_switch(f"link del {host.name}")
        disk = host.directory / "work.img"
        wait_for(f"the disk of {host.name} to be free", 10, lambda: not run("losetup", "--associated", disk))

    # What happens to hosts

    def _host(self, i: int) -> Host:
        if not 0 <= i < self.count:
            raise LabError(f"there is no host {i}, only 0 to {self.count - 1}")
        return self.hosts[i]

    def _running(self, i: int) -> Host:
        host = self._host(i)
        if not host.process:
            raise LabError(f"{host.name} is halted")
        return host

    def reset(self) -> None:
        """Have all hosts as they were at first, with other host keys, of which known_hosts knows."""
        common.end_kept_connections(self.directory)
        self._end_hosts()
        for host in self.hosts:
            shutil.rmtree(host.directory)
        self._start_hosts()

    def cut(self, i: int) -> None:
        """Take a host's network cable out."""
        self._in_switch(f"link set {self._running(i).name} down")

    def heal(self, i: int) -> None:
        """Put the cable in again."""
        self._in_switch(f"link set {self._running(i).name} up")

    def halt(self, i: int) -> None:
        """Take the power away: all processes end at once; what was written stays, but for /tmp and /run."""
        self._end(self._running(i))

    def boot(self, i: int) -> None:
        """Start a host that is halted; its cable is in."""
        host = self._host(i)
        if host.process:
            raise LabError(f"{host.name} runs already")
        self._start(host)
        self._await_sshd(host)

    def reboot(self, i: int) -> None:
        """Halt and boot a host."""
        self.halt(i)
        self.boot(i)

    def new_host_key(self, i: int) -> None:
        """Give a host another key, of which known_hosts does not know; the host is rebooted."""
        self.halt(i)
        common.make_key(self._host(i).directory / "host_key")
        self.boot(i)

    def fill(self, i: int, mb: int | None = None) -> None:
        """Use up so many MB of a host's small disk, or as much as there is, to the last byte."""
        common.fill(self._work(i) / ".fill", mb)

    def unfill(self, i: int) -> None:
        """Give back what fill() used."""
        (self._work(i) / ".fill").unlink(missing_ok=True)

    def _work(self, i: int) -> Path:
        """The small disk, as the host sees it."""
        return Path(f"/proc/{self._running(i).pid}/root/{WORK}")

    def shell(self, i: int, command: str, user: str = "root") -> str:
        """Run a command on a host from within, not over SSH; return its output, or raise LabError when it fails.

        Args:
            i: number of the host.
            command: for sh, in the user's home directory.
            user: root or lab.
        """
        number, home = {"root": (0, "/root"), "lab": (1000, "/home/lab")}[user]
        enter = [*NAMESPACES, "--root", "--wd", f"--setuid={number}", f"--setgid={number}"]
        return run(
            *("nsenter", f"--target={self._running(i).pid}", *enter, "--", "/bin/sh", "-c", f"cd\n{command}"),
            env={"PATH": HOST_PATH, "HOME": home, "USER": user},
        )

    # How to reach hosts

    def address(self, i: int) -> str:
        return self._host(i).address

    def host_key(self, i: int) -> str:
        """A host's public key, one line."""
        return (self._host(i).directory / "host_key.pub").read_text(encoding="ascii")

    def ssh(self, i: int, user: str = "lab") -> list[str]:
        """The words of an ssh command to a host, to which the command there is added."""
        options = ["-i", str(self.key), "-o", "ConnectTimeout=5"]
        return ["ssh", *common.ssh_args(self.known_hosts), *options, f"{user}@{self.address(i)}"]

    def inventory(self, **hostvars: Any) -> dict[str, Any]:
        """An Ansible inventory of the hosts, each with these variables, which win over the lab's own."""
        common_vars = common.ansible_ssh(self.directory, self.known_hosts, "lab")
        hosts = {}
        for i, host in enumerate(self.hosts):
            python = {} if i in self.no_python else {"ansible_python_interpreter": "/usr/bin/python3"}
            hosts[host.name] = {"ansible_host": host.address} | common_vars | python | hostvars
        return {"all": {"hosts": hosts}}


def add_arguments_of_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("count", type=int, help="how many hosts")
    parser.add_argument(
        "--no-python", type=int, nargs="+", default=[], metavar="I", help="numbers of the hosts without Python"
    )
    parser.add_argument("--work-mb", type=int, default=64, help="size of the disk at /srv/work (%(default)s)")


if __name__ == "__main__":
    methods = ("reset", "cut", "heal", "halt", "boot", "reboot", "new_host_key", "fill", "unfill", "shell")
    cli.main(__doc__, "ssh", SshLab, make_roots, methods, add_arguments_of_up)
