"""The labs are what they claim to be; what tests on their hosts mean depends on it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import playing
from tests.labs.common import LabError, wait_for
from tests.labs.skipping import started
from tests.labs.sshlab import SshLab

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"

# A lab whose process says who it is, and then is killed.
VICTIM = """
from tests.labs.sshlab import SshLab
with SshLab(1) as lab:
    print(lab.directory, lab.hosts[0].pid, lab.gateway, flush=True)
    lab.shell(0, "echo up; sleep 1000")
"""


def over_ssh(lab, i: int, command: str, user: str = "lab") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*lab.ssh(i, user), command], capture_output=True, text=True, check=False)


def test_hosts_are_machines_of_their_own(ssh_lab):
    seen = [over_ssh(ssh_lab, i, f"id -un; hostname; {BOOT_ID}").stdout.split() for i in range(3)]
    assert [answer[:2] for answer in seen] == [["lab", "h0"], ["lab", "h1"], ["lab", "h2"]]
    assert len({answer[2] for answer in seen}) == 3
    assert over_ssh(ssh_lab, 0, "id -un", user="root").stdout == "root\n"

    over_ssh(ssh_lab, 0, "echo mine > file")
    assert ssh_lab.shell(0, "cat file", user="lab") == "mine\n"
    assert over_ssh(ssh_lab, 1, "cat file").returncode != 0
    with pytest.raises(LabError, match="ended with 3: no such luck"):
        ssh_lab.shell(0, "echo no such luck >&2; exit 3")


def test_the_last_host_has_no_python(ssh_lab):
    assert over_ssh(ssh_lab, 1, "python3 -c 'print(6 * 7)'").stdout == "42\n"
    assert over_ssh(ssh_lab, 2, "ls /usr/bin/*python* /usr/local/bin/*python*").returncode != 0
    assert over_ssh(ssh_lab, 2, "command -v python3 || echo none").stdout == "none\n"


def test_a_play_reaches_every_host(ssh_lab, tmp_path):
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        "- {name: Ask, hosts: all, gather_facts: false, tasks: [{name: Ask, ansible.builtin.raw: hostname}]}\n"
    )
    played = playing.play(playbook, ssh_lab.inventory())
    assert played.rc == 0, played.stdout
    assert sorted(played.stats["ok"]) == ["h0", "h1", "h2"]


def test_a_cut_cable_ends_connections_until_it_is_in_again(ssh_lab):
    ssh_lab.cut(0)
    assert over_ssh(ssh_lab, 0, "true").returncode == 255
    assert over_ssh(ssh_lab, 1, "true").returncode == 0
    assert ssh_lab.shell(0, "hostname") == "h0\n"  # still there, and runs on
    ssh_lab.heal(0)
    assert over_ssh(ssh_lab, 0, "hostname").stdout == "h0\n"


def test_a_reboot_ends_processes_and_keeps_files(ssh_lab):
    before = ssh_lab.shell(1, BOOT_ID)
    ssh_lab.shell(1, "echo kept > file; echo kept > /srv/work/file; echo lost > /tmp/file", user="lab")
    over_ssh(ssh_lab, 1, "sleep 1000 >/dev/null 2>&1 &")
    assert "sleep" in ssh_lab.shell(1, "ps -e")

    fault = threading.Thread(target=ssh_lab.reboot, args=(1,))  # as a test does while a play goes on
    fault.start()
    fault.join()
    assert ssh_lab.shell(1, BOOT_ID) != before
    assert "sleep" not in ssh_lab.shell(1, "ps -e")
    assert over_ssh(ssh_lab, 1, "cat file /srv/work/file; ls /tmp").stdout == "kept\nkept\n"

    ssh_lab.halt(1)
    assert over_ssh(ssh_lab, 1, "true").returncode == 255
    ssh_lab.boot(1)
    assert over_ssh(ssh_lab, 1, "cat file").stdout == "kept\n"


def test_another_host_key_is_noticed(ssh_lab):
    ssh_lab.new_host_key(0)
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in over_ssh(ssh_lab, 0, "true").stderr


def test_a_full_disk_is_full(ssh_lab):
    ssh_lab.fill(2)
    assert "full" in over_ssh(ssh_lab, 2, "echo more > /srv/work/file || echo full").stdout
    ssh_lab.unfill(2)
    assert over_ssh(ssh_lab, 2, "echo more > /srv/work/file && cat /srv/work/file").stdout == "more\n"
    ssh_lab.fill(2, 10)
    assert over_ssh(ssh_lab, 2, "dd if=/dev/zero of=/srv/work/file bs=1M count=20 2>&1").returncode == 0


def test_nothing_outlives_a_lab_whose_process_is_killed(ssh_lab):
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM], cwd=playing.ROOT, stdout=subprocess.PIPE, text=True
    ) as victim:
        directory, pid, gateway = victim.stdout.readline().split()
        assert gateway != ssh_lab.gateway  # two labs at once
        victim.send_signal(signal.SIGKILL)
    wait_for("the end of its host", 10, lambda: not Path("/proc", pid).exists())
    wait_for("the end of its cable", 10, lambda: f"inet {gateway}/" not in subprocess.getoutput("ip -4 addr"))
    assert over_ssh(ssh_lab, 0, "hostname").stdout == "h0\n"
    with started(SshLab(1)):
        assert not Path(directory).exists()
        assert ssh_lab.directory.exists()
