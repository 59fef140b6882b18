"""The phones of adblab are what they claim to be, as the real adb client sees them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.labs.adblab import AdbLab
from tests.labs.common import LabError, wait_for
from tests.labs.skipping import started
from tests.playing import ROOT

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
STAND_IN = ROOT / "tests/data/android/benchmark_model.sh"
MODEL = ROOT / "tests/data/models/image.int8.tflite"

# A lab whose process says who it is, and then is killed.
VICTIM = """
from tests.labs.adblab import AdbLab
with AdbLab(1) as lab:
    print(lab.directory, lab.phones[0].pid, lab.environment["ANDROID_ADB_SERVER_PORT"], flush=True)
    input()
"""


def adb(lab, i: int, *words: object, **options) -> subprocess.CompletedProcess[bytes]:
    """Call adb for a phone, for at most 20 s."""
    command = ["adb", "-s", lab.serial(i), *map(str, words)]
    environment = os.environ | lab.environment
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=20, **options)


def shell(lab, i: int, command: str) -> str:
    return adb(lab, i, "shell", command).stdout.decode()


def connect(lab, i: int) -> None:
    """Have adb reach a phone, also one that it lost."""
    if lab.serial(i) in lab.adb("devices"):
        lab.adb("disconnect", lab.serial(i))
    lab.adb("connect", lab.serial(i))
    wait_for("the phone", 20, lambda: adb(lab, i, "get-state").stdout == b"device\n")


@pytest.fixture(scope="module")
def phones():
    """A phone, and one that is as before Android 7."""
    with started(AdbLab(2, old={1}, data_mb=8)) as lab:
        yield lab


@pytest.fixture
def lab(phones):
    """The phones, both connected."""
    for i in range(2):
        connect(phones, i)
    return phones


def test_phones_are_machines_of_their_own_with_what_android_has(lab):
    done = adb(lab, 0, "shell", "id -un; echo error >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"shell\n", b"error\n")
    assert shell(lab, 0, "ls /bin /tmp; command -v python3 bash busybox git || echo none") == "none\n"
    assert shell(lab, 0, "echo 'a b' | awk '{ print $2 }'; touch /system/x /data/x || echo no root") == "b\nno root\n"
    assert len({shell(lab, i, BOOT_ID).strip() for i in range(2)}) == 2
    assert shell(lab, 0, "getprop ro.product.model; getprop ro.nothing; dumpsys battery | grep level").split("\n") == [
        *("Mi A2", "", "  level: 84", "")
    ]
    lab.answer(0, "getprop ro.product.model", "Pixel 8")
    lab.answer(0, "cmd thermalservice /x", "heard")
    assert shell(lab, 0, "getprop ro.product.model; cmd thermalservice /x") == "Pixel 8\nheard\n"
    assert shell(lab, 1, "getprop ro.product.model").strip() == "Mi A2"


def test_an_old_phone_tells_adb_no_exit_code_and_has_a_terminal(lab):
    done = adb(lab, 1, "shell", "echo out; echo error >&2; exit 7")
    assert (done.returncode, done.stdout) == (0, b"out\r\nerror\r\n")
    assert adb(lab, 1, "exec-out", "echo out; exit 7").stdout == b"out\n"


def test_files_are_pushed_and_pulled_as_the_shells_user(lab, tmp_path):
    content = bytes(range(256)) * 4096
    (tmp_path / "file").write_bytes(content)
    for i in range(2):
        assert adb(lab, i, "push", tmp_path / "file", "/data/local/tmp/new/a file").returncode == 0
        assert shell(lab, i, "cd /data/local/tmp/new; stat -c '%U %s' a*").split() == ["shell", "1048576"]
        assert adb(lab, i, "pull", "/data/local/tmp/new/a file", tmp_path / f"{i}").returncode == 0
        assert (tmp_path / f"{i}").read_bytes() == content
    assert b"Permission denied" in adb(lab, 0, "push", tmp_path / "file", "/system/file").stdout
    assert adb(lab, 0, "shell", "cat | wc -c", input=content).stdout == b"1048576\n"


def test_a_full_disk_is_full(lab, tmp_path):
    (tmp_path / "file").write_bytes(bytes(100_000))
    lab.fill(0)
    assert "full" in shell(lab, 0, "echo more 2>/dev/null > /data/local/tmp/more || echo full")
    assert b"No space left on device" in adb(lab, 0, "push", tmp_path / "file", "/data/local/tmp/file").stdout
    assert shell(lab, 0, "ls /data/local/tmp/file 2>&1; true").endswith("No such file or directory\n")
    lab.make_room(0)
    assert adb(lab, 0, "push", tmp_path / "file", "/data/local/tmp/file").returncode == 0


def test_a_connection_that_is_reset_ends_commands_with_success(lab):
    cut = threading.Timer(0.5, lab.cut, (0, "reset"))
    cut.start()
    done = adb(lab, 0, "shell", "echo begun; sleep 19; echo done; exit 3")
    cut.join()
    assert (done.returncode, done.stdout) == (0, b"begun\n"), "that is what the real client does"
    assert b"offline" in adb(lab, 0, "shell", "true").stderr
    lab.heal(0)
    connect(lab, 0)
    assert shell(lab, 0, "echo there") == "there\n"


def test_silence_is_noticed_by_nobody_and_ends_as_it_began(lab):
    lab.cut(0)
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["adb", "-s", lab.serial(0), "shell", "true"], env=os.environ | lab.environment, timeout=1)
    assert adb(lab, 0, "get-state").stdout == b"device\n"
    assert "there" in shell(lab, 1, "echo there")
    lab.heal(0)
    assert shell(lab, 0, "echo there") == "there\n"


def test_a_reboot_ends_processes_and_keeps_files(lab):
    before = shell(lab, 0, f"{BOOT_ID}; echo kept > /data/local/tmp/file; sleep 1000 </dev/null >/dev/null 2>&1 &")
    assert shell(lab, 0, "pidof sleep")
    lab.answer(0, "getprop ro.x", "kept")
    lab.reboot(0)
    connect(lab, 0)
    assert shell(lab, 0, BOOT_ID) != before
    assert shell(lab, 0, "pidof sleep; cat /data/local/tmp/file; getprop ro.x") == "kept\nkept\n"


def test_a_phone_trusts_keys_as_its_user_says(lab):
    lab.authorize(0, False)
    wait_for("the end of trust", 20, lambda: f"{lab.serial(0)}\tunauthorized" in lab.adb("devices"))
    assert b"confirmation dialog" in adb(lab, 0, "shell", "true").stderr
    assert "there" in shell(lab, 1, "echo there")
    lab.authorize(0, True)
    wait_for("trust", 20, lambda: f"{lab.serial(0)}\tdevice" in lab.adb("devices"))
    assert shell(lab, 0, "echo there") == "there\n"


def test_the_stand_in_says_what_a_delegate_did(lab):
    for file, name in ((STAND_IN, "benchmark_model"), (MODEL, "m.tflite")):
        adb(lab, 0, "push", file, f"/data/local/tmp/{name}")

    def said(flag: str) -> list[str]:
        command = f"cd /data/local/tmp; sh benchmark_model --graph=m.tflite --num_threads=1 {flag}"
        return re.findall("(?:Use|Explicitly|Though|Could not|Inference timings)[^:,]*", shell(lab, 0, command))

    assert said("") == ["Inference timings in us"]
    wholly = "Explicitly applied GPU delegate"
    assert said("--use_gpu=true") == ["Use gpu", wholly, "Inference timings in us"]
    assert said("--use_nnapi=true")[1] == "Though NNAPI delegate is explicitly applied"
    assert said("--use_hexagon=true")[1] == "Could not create Hexagon delegate"


def test_nothing_outlives_a_lab_whose_process_is_killed(lab):
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as victim:
        directory, pid, port = victim.stdout.readline().split()
        victim.send_signal(signal.SIGKILL)
    wait_for("the end of its phone", 10, lambda: not Path("/proc", pid).exists())
    with socket.socket() as client:
        wait_for("the end of its adb server", 10, lambda: client.connect_ex(("127.0.0.1", int(port))) != 0)
    with started(AdbLab(1)):
        assert not Path(directory).exists()
        assert lab.directory.exists()


def test_a_lab_says_what_it_cannot_do(lab):
    with pytest.raises(LabError, match="no phone 2"):
        lab.cut(2)
    with pytest.raises(LabError, match="sideways"):
        lab.cut(0, "sideways")
