"""The script on the host: a machine that must be given back at some moment."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.run_host import SHELLS, Host, wait_for

GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
PAUSED = "the machine goes back at 2026-11-26 18:55 UTC and the next run would not end in time"
HOUR_S = 3600


@pytest.fixture(params=SHELLS)
def host(request, tmp_path) -> Iterator[Host]:
    host = Host(request.param, tmp_path / "it's a dir")
    yield host
    host.clean_up()


def give_back_in(host: Host, seconds: int) -> None:
    (host.run_dir / "until").write_text(f"{int(time.time()) + seconds} 2026-11-26 18:55 UTC\n")


def assert_paused(host: Host, finished: int) -> None:
    status = host.status()
    assert [status[key] for key in ("state", "alive", "is_done", "run")] == ["paused", "no", "no", "-"]
    assert status["message"] == PAUSED
    assert status["finished"] == str(finished)
    assert not (host.run_dir / "lock").exists()


def take_an_hour(host: Host) -> None:
    """By the machine's uptime, each run of the model `ok` does."""
    host.put("proc/uptime", "1000.25 1.0")
    host.during(
        "ok", 'read -r now _ <"$machine/proc/uptime"; echo "$((${now%.*} + 3600)).25 1.0" >"$machine/proc/uptime"'
    )


def test_with_time_enough_everything_is_measured(host):
    host.prepare(["ok"], repetitions=2)
    give_back_in(host, HOUR_S)
    assert host().returncode == 0
    assert host.done()["finished"] == 2


def test_when_it_is_too_late_nothing_is_begun_and_the_machine_is_as_it_was(host):
    host.put(GOVERNOR, "schedutil")
    host.prepare(["ok"], benchmark_run_governor="performance")
    give_back_in(host, -1)
    done = host()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"paused after 0 of 1 runs: {PAUSED}" in done.stdout
    assert_paused(host, 0)
    assert host.get(GOVERNOR) == "schedutil"
    assert not (host.run_dir / "control").exists()
    assert host.left_running() == {}


@pytest.mark.parametrize("extension", ["a later moment", "none"])
def test_it_goes_on_there_when_there_is_time_again(host, extension):
    host.prepare(["ok"], repetitions=3)
    host.during("ok", 'echo "1 2026-11-26 18:55 UTC" >"$run_dir/until"')  # it is known while the script runs
    assert host().returncode == 0
    assert_paused(host, 1)
    before = host.mtimes()
    host.during("ok", ":")

    assert host("start").returncode == 0
    wait_for("the second pause", lambda: host.status().get("state") == "paused" and host.status()["alive"] == "no")
    assert_paused(host, 1)
    assert host.mtimes() == before

    if extension == "none":
        (host.run_dir / "until").unlink()
    else:
        give_back_in(host, HOUR_S)
    assert host().returncode == 0
    assert host.done()["finished"] == 3
    after = host.mtimes()
    assert {name: after[name] for name in before} == before


def test_the_next_run_is_expected_to_take_as_long_as_the_longest_so_far(host):
    host.prepare(["ok", "crash"], repetitions=2)
    take_an_hour(host)
    give_back_in(host, HOUR_S // 2)
    assert host().returncode == 0
    finished = len(host.sidecars())
    assert [name for name in host.sidecars() if name.startswith("ok")] in (["ok_r01"], ["ok_r02"])
    assert_paused(host, finished)

    assert host().returncode == 0  # a new start knows it from the sidecars
    assert_paused(host, finished)
    give_back_in(host, HOUR_S + 600)
    assert host().returncode == 0
    assert host.done()["total"] == 4


def test_repeats_are_not_begun_either(host):
    host.put(GOVERNOR, "schedutil")
    host.prepare(["ok"])
    host.during("ok", f'echo powersave >"$machine/{GOVERNOR}"; echo "1 2026-11-26 18:55 UTC" >"$run_dir/until"')
    assert host().returncode == 0
    assert_paused(host, 1)
    host.during("ok", ":")
    (host.run_dir / "until").unlink()
    assert host().returncode == 0
    assert host.done() == {"finished": 1, "failed": 0, "invalid": 0, "repeated": 1, "total": 1}


def test_nothing_is_waited_for_any_more(host):
    host.put("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp")
    host.put("sys/class/thermal/thermal_zone0/temp", 90000)
    host.prepare(["ok"], benchmark_run_max_temperature_c=70, benchmark_run_max_cooldown_s=600)
    process = host.start()
    wait_for("the machine to be too warm", lambda: host.status().get("state") == "waiting")
    give_back_in(host, -1)
    assert process.wait(timeout=30) == 0
    assert_paused(host, 0)


@pytest.mark.parametrize("text", ["", "\n", "soon\n", "-5 2026-11-26 18:55 UTC\n"])
def test_a_file_that_says_no_moment_is_no_reason_to_stop(host, text):
    host.prepare(["ok"])
    (host.run_dir / "until").write_text(text)
    done = host()
    assert (done.returncode, done.stderr) == (0, "")
    assert host.done()["finished"] == 1
