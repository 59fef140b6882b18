"""The script on the host: settings of the machine that it changes and puts back, and what holds for the runner."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.run_host import SHELLS, Host, is_running, wait_for

CPUS = "sys/devices/system/cpu"
GOVERNORS = [f"{CPUS}/cpu{cpu}/cpufreq/scaling_governor" for cpu in (0, 1)]
NO_TURBO = f"{CPUS}/intel_pstate/no_turbo"
WANTED = {"benchmark_run_governor": "performance", "benchmark_run_disable_turbo": True}
AT_REST = ["ondemand", "schedutil", "0"]
SAY_NICE = r'echo "nice $(sed -E "s/.*\) //" /proc/$$/stat | cut -d " " -f 17)"'
CHANGED = ["performance", "performance", "1"]


@pytest.fixture(params=SHELLS)
def host(request, tmp_path) -> Iterator[Host]:
    host = Host(request.param, tmp_path / "it's a dir")
    for name, value in zip([*GOVERNORS, NO_TURBO], AT_REST, strict=True):
        host.put(name, value)
    host.put(f"{CPUS}/cpu0/cpufreq/scaling_available_governors", "performance schedutil ondemand")
    yield host
    host.clean_up()


def settings(host: Host) -> list[str]:
    return [host.get(name) for name in [*GOVERNORS, NO_TURBO]]


def hang(host: Host) -> subprocess.Popen:
    """Begin to measure with changed settings, and return while the runner hangs."""
    host.prepare(["hang"], **WANTED)
    earlier = host.runner_pid()
    process = host.start()
    wait_for("the runner", lambda: host.runner_pid() not in (None, earlier))
    assert settings(host) == CHANGED
    return process


def keeper(host: Host) -> int:
    lines = (host.run_dir / "control").read_text().splitlines()
    return int(next(line.removeprefix("keeper=").split()[0] for line in lines if line.startswith("keeper=")))


def test_settings_hold_for_every_run_are_noted_and_put_back(host):
    host.prepare(["ok"], **WANTED)
    host.during("ok", 'cat "$machine"/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor')
    done = host()
    assert (done.returncode, done.stderr) == (0, "")
    sidecar = host.sidecars()["ok_r01"]
    assert sidecar["control.governor"] == sidecar["before.governor"] == "performance"
    assert sidecar["control.turbo"] == sidecar["before.turbo"] == "off"
    assert "invalid" not in sidecar
    log = host.run_dir / "runs" / f"{sidecar['run']}.log"
    assert log.read_text().startswith("performance\nperformance\n")
    assert settings(host) == AT_REST
    assert not (host.run_dir / "control").exists()


def test_the_other_kind_of_turbo_switch(host):
    (host.machine / NO_TURBO).unlink()
    boost = host.put(f"{CPUS}/cpufreq/boost", 1)
    host.prepare(["ok"], benchmark_run_disable_turbo=True)
    host.during("ok", f'cp "$machine/{CPUS}/cpufreq/boost" "$run_dir/seen"')
    assert host().returncode == 0
    assert (host.run_dir / "seen").read_text() == "0\n"
    assert host.sidecars()["ok_r01"]["control.turbo"] == "off"
    assert boost.read_text() == "1\n"


def test_without_being_asked_nothing_is_changed(host):
    host.prepare(["ok"])
    host.during("ok", f'cp "$machine/{GOVERNORS[0]}" "$run_dir/seen"')
    assert host().returncode == 0
    assert (host.run_dir / "seen").read_text() == "ondemand\n"
    assert not any(key.startswith("control.") for key in host.sidecars()["ok_r01"])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stopped_script_puts_back_and_leaves_nothing_running(host, how):
    process = hang(host)
    process.send_signal(how)
    assert process.wait(timeout=30) == 128 + how
    assert settings(host) == AT_REST
    assert host.left_running() == {}


def test_stop_returns_when_all_is_put_back(host):
    process = hang(host)
    stopped = host("stop")
    assert stopped.stdout == "stopped demo\n"
    assert settings(host) == AT_REST
    process.wait(timeout=30)
    assert host.left_running() == {}


def test_after_a_kill_the_keeper_puts_back(host):
    process = hang(host)
    guard = keeper(host)
    process.kill()
    process.wait()
    wait_for("the keeper", lambda: settings(host) == AT_REST)
    wait_for("the keeper's end", lambda: not is_running(guard))
    assert not (host.run_dir / "control").exists()
    host("stop")


def kill_with_keeper(host: Host) -> None:
    """As the memory killer or a container's end do."""
    process = hang(host)
    os.kill(keeper(host), signal.SIGKILL)
    process.kill()
    process.wait()
    assert settings(host) == CHANGED


@pytest.mark.parametrize("word", ["run", "restore", "stop"])
def test_without_a_keeper_the_next_call_puts_back(host, word):
    kill_with_keeper(host)
    host.prepare(["ok"])
    done = host(word)
    assert done.returncode == 0
    assert "put back" in done.stdout
    assert settings(host) == AT_REST
    assert not (host.run_dir / "control").exists()
    assert not (host.run_dir / "lock").exists()


def test_restore_when_there_is_nothing_to_put_back_says_nothing(host):
    host.prepare(["ok"])
    done = host("restore")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_restore_while_measuring_is_refused(host):
    process = hang(host)
    refused = host("restore")
    assert refused.returncode == 75
    assert f"campaign 'demo' (process {process.pid}) measures" in refused.stdout
    assert settings(host) == CHANGED
    host("stop")
    process.wait(timeout=30)


def test_after_a_restart_of_the_machine_nothing_is_put_back(host):
    kill_with_keeper(host)
    host.put("proc/sys/kernel/random/boot_id", "boot-2")
    host.put(GOVERNORS[0], "powersave")  # what it came up with
    host.prepare(["ok"])
    done = host()
    assert done.returncode == 0
    assert "undone by its restart" in done.stdout
    assert settings(host)[0] == "powersave"
    assert not (host.run_dir / "control").exists()


def test_the_keeper_of_a_killed_script_does_not_disturb_the_next(host):
    process = hang(host)
    guard = keeper(host)
    process.kill()
    process.wait()
    again = hang(host)
    assert keeper(host) != guard
    wait_for("the old keeper's end", lambda: not is_running(guard))
    assert settings(host) == CHANGED
    host("stop")
    again.wait(timeout=30)
    assert settings(host) == AT_REST


@pytest.mark.parametrize(
    ("machine", "wanted", "words"),
    [
        ({}, {"benchmark_run_governor": "warp"}, "this machine offers: performance schedutil ondemand"),
        ({GOVERNORS[0]: None}, {"benchmark_run_governor": "performance"}, "has no governor to set"),
        ({NO_TURBO: None}, {"benchmark_run_disable_turbo": True}, "has no turbo to switch"),
        ({}, {"benchmark_run_pin_cpus": "4095"}, "taskset -c 4095"),
        ({}, {"benchmark_run_pin_cpus": "64"}, "taskset -c 64"),
    ],
)
def test_what_cannot_be_had_keeps_it_from_beginning(host, machine, wanted, words):
    for name in machine:
        (host.machine / name).unlink()
    host.prepare(["ok"], **wanted)
    refused = host()
    assert refused.returncode == 77
    assert words in refused.stdout
    assert host.status()["state"] == "failed"
    assert words in host.status()["message"]
    assert host.sidecars() == {}
    assert not (host.run_dir / "lock").exists()


def test_a_nice_value_that_is_not_allowed_keeps_it_from_beginning(host):
    host.put_command("renice", "#!/bin/sh\nexit 1\n")
    host.put_command("sudo", "#!/bin/sh\nexit 1\n")
    host.prepare(["ok"], benchmark_run_nice=-5)
    refused = host()
    assert refused.returncode == 77
    assert "benchmark_run_nice is -5" in refused.stdout


@pytest.fixture
def read_only(host) -> Iterator[str]:
    """The turbo switch cannot be written, even by root, until it is mounted anew; the governors can."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount read-only")
    path = str((host.machine / NO_TURBO).parent)
    if subprocess.run(["mount", "--bind", path, path], check=False).returncode:
        pytest.skip("needs the right to mount")
    subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_setting_that_is_denied_keeps_it_from_beginning_and_the_others_are_put_back(host, read_only):
    host.put_command("sudo", "#!/bin/sh\nexit 1\n")
    host.prepare(["ok"], **WANTED)
    refused = host()
    assert refused.returncode == 77
    assert "cannot write '1' to " in refused.stdout
    assert "sudo -n" in refused.stdout
    assert settings(host) == AT_REST
    assert host.sidecars() == {}
    assert host.left_running() == {}


def test_sudo_is_used_where_it_is_needed_and_allowed(host, read_only):
    host.put_command(
        "sudo",
        f'#!/bin/sh\n[ "$1" = -n ] || exit 1\nshift\nmount -o remount,bind,rw "{read_only}"\n"$@"\nrc=$?\n'
        f'mount -o remount,bind,ro "{read_only}"\nexit $rc\n',
    )
    host.prepare(["ok"], **WANTED)
    done = host()
    assert done.returncode == 0, done.stdout
    assert host.sidecars()["ok_r01"]["before.turbo"] == "off"
    assert settings(host) == AT_REST


def test_a_machine_that_has_the_settings_already_needs_no_rights(host, read_only):
    subprocess.run(["mount", "-o", "remount,bind,rw", read_only], check=True)
    host.put(NO_TURBO, 1)
    subprocess.run(["mount", "-o", "remount,bind,ro", read_only], check=True)
    host.prepare(["ok"], benchmark_run_disable_turbo=True)
    done = host()
    assert done.returncode == 0, done.stdout
    assert host.sidecars()["ok_r01"]["control.turbo"] == "off"


def test_the_runner_is_pinned_and_has_its_priority(host):
    host.prepare(["ok"], benchmark_run_pin_cpus="0", benchmark_run_nice=5)
    host.during("ok", f'grep Cpus_allowed_list "/proc/$$/status"\n{SAY_NICE}')
    done = host()
    assert (done.returncode, done.stderr) == (0, "")
    sidecar = host.sidecars()["ok_r01"]
    log = (host.run_dir / "runs" / f"{sidecar['run']}.log").read_text().splitlines()
    assert log[:2] == ["Cpus_allowed_list:\t0", f"nice {5 + os.nice(0)}"]
    assert (sidecar["control.pin_cpus"], sidecar["control.nice"]) == ("0", "5")


def test_a_raised_priority_is_in_effect(host):
    if os.geteuid() != 0:
        pytest.skip("needs root, to raise a priority")
    host.prepare(["ok"], benchmark_run_nice=-3)
    host.during("ok", SAY_NICE)
    if host().returncode == 77:
        pytest.skip("needs the right to raise a priority")
    sidecar = host.sidecars()["ok_r01"]
    assert (host.run_dir / "runs" / f"{sidecar['run']}.log").read_text().startswith("nice -3\n")
