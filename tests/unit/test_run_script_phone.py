"""The script on a phone: what Android's services say of it, when it waits, what is invalid, what it puts back."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator

import pytest

from analysis import schema
from tests.rendering import render_run_script
from tests.run_host import FAKE_RUNNER, Host, is_running, wait_for

CPUS = "sys/devices/system/cpu"
SUSPENDS = "sys/power/suspend_stats/success"

# As a Pixel 4 with Android 13 says it.
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Dock powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 2282000
  status: 2
  health: 2
  present: true
  level: 75
  scale: 100
  voltage: 4120
  temperature: 313
  technology: Li-ion"""
UNPLUGGED = BATTERY.replace("USB powered: true", "USB powered: false").replace("status: 2", "status: 3")
THERMAL = """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
\tkilled: false
\tbroadcasts count: -1
ThermalStatusListeners:
\tcallbacks: 2
\tkilled: false
\tbroadcasts count: -1
Thermal Status: 0
Cached temperatures:
\tTemperature{mValue=90.0, mType=0, mName=CPU0, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=44.6, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=48.299999, mType=0, mName=CPU7, mStatus=0}
\tTemperature{mValue=47.0, mType=1, mName=GPU0, mStatus=0}
\tTemperature{mValue=31.3, mType=2, mName=battery, mStatus=0}
\tTemperature{mValue=NaN, mType=0, mName=CPU8, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}"""
POWER = """POWER MANAGER (dumpsys power)

Power Manager State:
  mDirty=0x0
  mWakefulness=Awake
  mWakefulnessChanging=false"""

# They read their input, as tools that are sent to another process do: what they find there is not for them.
DUMPSYS = 'cat >/dev/null\ncat {machine}/dumpsys/"$1" 2>/dev/null || echo "Can\'t find service: $1"'
SETTINGS = """
cat >/dev/null
cd {machine}/settings || exit 1
case $1 in
    get) [ -e silent ] || cat "$3" 2>/dev/null || echo null ;;
    put) [ -e refused ] || echo "$4" >"$3" ;;
    delete) rm -f "$3" ;;
esac
"""


@pytest.fixture
def phone(tmp_path) -> Iterator[Host]:
    """Plugged in, cool and awake."""
    host = Host("android", tmp_path / "it's a dir")
    programs = {"dumpsys": DUMPSYS, "settings": SETTINGS, "input": 'echo "$*" >>{machine}/input'}
    for name, text in programs.items():
        host.put_command(name, "#!/bin/sh\n" + text.format(machine=shlex.quote(str(host.machine))))
    for name, text in {"battery": BATTERY, "thermalservice": THERMAL, "power": POWER}.items():
        host.put(f"dumpsys/{name}", text)
    host.put("settings/low_power", 0)
    host.put("settings/stay_on_while_plugged_in", 0)
    yield host
    host.clean_up()


def measure_one(host: Host, **settings) -> dict[str, str]:
    host.prepare(["ok"], benchmark_run_retries=0, **settings)
    done = host()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return host.sidecars()["ok_r01"]


def state(sidecar: dict[str, str], when: str) -> dict[str, str]:
    return {key.removeprefix(f"{when}."): value for key, value in sidecar.items() if key.startswith(when)}


def becomes(service: str, text: str) -> str:
    """Commands for `Host.during`."""
    return f"cat >\"$machine/dumpsys/{service}\" <<'END'\n{text}\nEND\n"


def test_the_state_of_a_phone_is_noted_before_and_after(phone):
    phone.put(SUSPENDS, 12)
    phone.put("proc/vmstat", "pswpin 10\npswpout 20")
    for cpu, khz in ((0, 1843200), (4, 2208000), (7, 2208000)):
        phone.put(f"{CPUS}/cpu{cpu}/cpufreq/cpuinfo_max_freq", khz)
        phone.put(f"{CPUS}/cpu{cpu}/cpufreq/scaling_cur_freq", khz)
    phone.prepare(["ok"])
    phone.during(
        "ok",
        becomes("battery", UNPLUGGED.replace("level: 75", "level: 74").replace("temperature: 313", "temperature: 305"))
        + becomes("power", POWER.replace("Awake", "Dozing")),
    )
    sidecar = measure_one(phone)
    before, after = state(sidecar, "before"), state(sidecar, "after")
    before.pop("children_times")
    assert before == {
        "battery_percent": "75",
        "battery_temperature_c": "31.3",
        "battery_status": "charging",
        "plugged": "usb",
        "thermal_status": "0",
        "screen": "on",
        "power_save": "0",
        "suspends": "12",
        "temperature_c": "48.2",
        "cpu_mhz": "2208",
    }
    changed = {key: value for key, value in after.items() if key != "children_times" and before[key] != value}
    assert changed == {
        "battery_percent": "74",
        "battery_temperature_c": "30.5",
        "battery_status": "discharging",
        "plugged": "none",
        "screen": "dozing",
    }
    assert "invalid" not in sidecar
    assert sidecar["energy.reason"].startswith("no sensor")
    (path,) = (phone.run_dir / "runs").glob("*.meta")
    assert schema.violations("sidecar", path.read_bytes()) == []


def test_what_the_services_do_to_answer_does_not_look_like_other_work(phone):
    """They work before the first and after the second look at the CPUs' ticks."""
    stat = shlex.quote(str(phone.put("proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0")))
    answers = DUMPSYS.format(machine=shlex.quote(str(phone.machine)))
    count = f'read -r _ n _ <{stat} && echo "cpu  $((n + 1)) 0 0 0 0 0 0 0 0 0" >{stat}'
    phone.put_command("dumpsys", f"#!/bin/sh\n{count}\n{answers}\n")
    sidecar = measure_one(phone)
    assert sidecar["before.cpu_ticks"] == sidecar["after.cpu_ticks"] != "0 0 0 0 0 0 0 0 0 0"


def test_what_a_phone_does_not_tell_is_not_noted(phone):
    for service in ("battery", "thermalservice", "power"):
        (phone.machine / "dumpsys" / service).unlink()
    shutil.rmtree(phone.machine / "settings")
    sidecar = measure_one(phone)
    assert set(state(sidecar, "before")) == set(state(sidecar, "after")) == {"children_times"}
    assert "invalid" not in sidecar


def test_a_service_that_hangs_does_not_hold_the_campaign(phone):
    answers = DUMPSYS.format(machine=shlex.quote(str(phone.machine)))
    phone.put_command("dumpsys", f'#!/bin/sh\n[ "$1" != power ] || exec sleep 600\n{answers}\n')
    before = state(measure_one(phone), "before")
    assert (before["battery_percent"], before.get("screen")) == ("75", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(BATTERY.replace("present: true", "present: false"), None, id="no battery"),
        pytest.param(BATTERY.replace("AC powered: false", "AC powered: true"), ("75", "ac+usb"), id="two plugs"),
        pytest.param(UNPLUGGED.replace("75", "150").replace("scale: 100", "scale: 200"), ("75", "none"), id="scale"),
    ],
)
def test_batteries(phone, text, expected):
    phone.put("dumpsys/battery", text)
    before = state(measure_one(phone), "before")
    assert (before.get("battery_percent"), before.get("plugged")) == (expected or (None, None))


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        pytest.param({"battery": 31300, "cpu-1-0-usr": 52100}, "52.1", id="cores of a Snapdragon"),
        pytest.param({"battery": 31300, "mtktscpu": 45000}, "45.0", id="MediaTek"),
        pytest.param({"battery": 31300, "tsens_tz_sensor1": 415}, "41.5", id="tenths"),
        pytest.param({"battery": 31300, "tsens_tz_sensor1": 41}, "41.0", id="degrees"),
        pytest.param({"battery": 31300}, "48.2", id="only the thermal service"),
    ],
)
def test_the_processors_temperature(phone, zones, expected):
    for number, (kind, temperature) in enumerate(zones.items()):
        phone.put(f"sys/class/thermal/thermal_zone{number}/type", kind)
        phone.put(f"sys/class/thermal/thermal_zone{number}/temp", temperature)
    assert measure_one(phone)["before.temperature_c"] == expected


DISTURBANCES = {
    "heat": (becomes("thermalservice", THERMAL.replace("Status: 0", "Status: 2")), "status is 2 (moderate)"),
    "battery saver": ('echo 1 >"$machine/settings/low_power"', "the phone's battery saver is on"),
    "sleep": (f'echo 14 >"$machine/{SUSPENDS}"', "the phone slept during the run (2 times)"),
}


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_a_disturbed_run_is_invalid_and_says_why(phone, disturbance):
    commands, reason = DISTURBANCES[disturbance]
    phone.put(SUSPENDS, 12)
    phone.prepare(["ok"])
    phone.during("ok", commands)
    assert measure_one(phone)["invalid"].endswith(reason)


def test_a_phone_that_does_not_count_its_sleeps_is_found_to_have_slept_by_its_clock(phone):
    uptime = phone.put("proc/uptime", "1000.00 0")
    phone.prepare(["ok"])
    phone.during(
        "ok",
        'until [ -s "$run_dir/tmp/watchdog.sleeper" ]; do sleep 0.05; done\n'
        f'echo "1006.50 0" >{shlex.quote(str(uptime))}\n'
        'until [ -e "$run_dir/tmp/slept" ]; do sleep 0.05; done',
    )
    assert measure_one(phone)["invalid"] == "the phone slept during the run"


def test_a_hot_phone_is_waited_for_and_measured_as_invalid_when_it_stays_so(phone):
    phone.put("dumpsys/thermalservice", THERMAL.replace("Status: 0", "Status: 3"))
    phone.put("dumpsys/battery", BATTERY.replace("temperature: 313", "temperature: 412"))
    sidecar = measure_one(phone, benchmark_run_max_cooldown_s=1, benchmark_run_max_battery_temperature_c=40)
    heat = "the phone's thermal status is 3 (severe)"
    assert (sidecar["waited_s"], sidecar["unfit"]) == ("1", f"{heat}; the battery is at 41 C, above 40 C")
    assert sidecar["invalid"] == heat


def test_swapping_is_nothing_that_disturbs_a_phone(phone):
    """Its swap is compressed memory, where idle apps go when a large model comes."""
    phone.put("proc/vmstat", "pswpin 10\npswpout 20")
    phone.put("proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 2000000 kB\nSwapTotal: 9 kB\nSwapFree: 2000000 kB")
    phone.prepare(["slow"], benchmark_run_retries=0)
    phone.during("slow", 'sed -i "s/^SwapFree.*/SwapFree: 9 kB/" "$machine/proc/meminfo"\nsleep 1')
    assert phone().returncode == 0
    sidecar = phone.sidecars()["slow_r01"]
    assert (sidecar["exit_code"], sidecar.get("invalid"), sidecar.get("failure")) == ("0", None, None)


def test_a_low_battery_is_charged_before_it_goes_on(phone):
    phone.put("dumpsys/battery", UNPLUGGED.replace("level: 75", "level: 12"))
    phone.prepare(["ok"], repetitions=2, benchmark_run_max_cooldown_s=1)
    ended = phone()
    assert ended.returncode == 69
    status = phone.status()
    assert status["state"] == "failed"
    assert "begins the battery is at 12 %, below 20 %; charge the phone (plugged in now: none)" in status["message"]
    assert phone.sidecars() == {}

    phone.put("dumpsys/battery", BATTERY.replace("level: 75", "level: 20"))
    assert phone().returncode == 0
    assert phone.done()["finished"] == 2


def stay_on(host: Host) -> str:
    return host.get("settings/stay_on_while_plugged_in")


def test_a_phone_that_is_plugged_in_is_kept_awake_and_let_go(phone):
    phone.prepare(["ok"])
    phone.during("ok", 'cp "$machine/settings/stay_on_while_plugged_in" "$run_dir/seen"')
    assert phone().returncode == 0
    assert (phone.run_dir / "seen").read_text() == "7\n"
    assert stay_on(phone) == "0"
    assert phone.get("input") == "keyevent KEYCODE_WAKEUP"


def test_what_the_setting_was_must_be_known_before_it_is_changed(phone):
    phone.put("settings/silent", "")
    phone.prepare(["ok"])
    done = phone()
    assert (done.returncode, "changed until the end" in done.stdout) == (0, False)
    assert stay_on(phone) == "0"


@pytest.mark.parametrize(("battery", "wanted"), [(UNPLUGGED, True), (BATTERY, False)])
def test_a_phone_on_its_battery_or_that_shall_not_is_left_alone(phone, battery, wanted):
    phone.put("dumpsys/battery", battery)
    (phone.machine / "settings/stay_on_while_plugged_in").unlink()
    measure_one(phone, benchmark_run_stay_awake=wanted)
    assert not (phone.machine / "settings/stay_on_while_plugged_in").exists()
    assert not (phone.machine / "input").exists()


def test_a_phone_that_refuses_is_measured_as_it_is(phone):
    phone.put("settings/refused", "")
    phone.prepare(["ok"])
    done = phone()
    assert done.returncode == 0
    assert "lets nobody keep it awake" in done.stdout
    assert "changed until the end" not in done.stdout
    assert phone.done()["finished"] == 1
    assert not (phone.run_dir / "control").exists()


def hang(host: Host) -> None:
    """Kill script and keeper in the middle of a run, as Android does when its adbd is started anew."""
    host.prepare(["hang"])
    process = host.start()
    wait_for("the runner", host.runner_pid)
    host.runner_pid()
    process.kill()
    process.wait()
    host.clean_up()
    assert stay_on(host) == "7"


def test_a_restart_does_not_undo_what_android_writes_down(phone):
    (phone.machine / "settings/stay_on_while_plugged_in").unlink()
    hang(phone)
    phone.put("proc/sys/kernel/random/boot_id", "boot-2")
    phone.put("settings/silent", "")
    phone.prepare(["ok"])
    refused = phone("restore")
    assert (refused.returncode, "cannot put 'null' back" in refused.stdout) == (77, True), "Android is not up yet"
    (phone.machine / "settings/silent").unlink()
    restored = phone("restore")
    assert (restored.returncode, "put back: global:stay_on_while_plugged_in=null" in restored.stdout) == (0, True)
    assert not (phone.machine / "settings/stay_on_while_plugged_in").exists()
    assert not (phone.run_dir / "control").exists()


def test_without_a_boot_id_the_first_service_tells_one_boot_from_another(phone):
    (phone.machine / "proc/sys/kernel/random/boot_id").unlink()
    phone.put_command("getprop", '#!/bin/sh\n[ "$1" != ro.boottime.servicemanager ] || echo 1438625364\n')
    assert measure_one(phone)["boot_id"] == "1438625364"


def test_a_phone_that_still_starts_is_waited_for(phone):
    phone.put_command("getprop", '#!/bin/sh\n[ "$1" != init.svc.bootanim ] || echo running\n')
    sidecar = measure_one(phone, benchmark_run_max_wait_s=1)
    assert (sidecar["waited_s"], sidecar["unfit"]) == ("1", "the phone is still starting")


APP = FAKE_RUNNER | {"stop": ["am", "force-stop", "org.tensorflow.lite.benchmark"]}


def with_app(host: Host, model: str, **settings) -> None:
    host.put_command("am", f'#!/bin/sh\necho "$*" >>{shlex.quote(str(host.machine))}/am\n')
    host.prepare([model], **settings)
    roots = {f"__benchmark_run_{root}": str(host.machine / root) for root in ("sys", "proc")}
    host.script.write_text(render_run_script(host.run_dir, {"fake": APP}, **roots | settings))


def test_an_app_that_a_killed_runner_started_is_ended(phone):
    with_app(phone, "hang", timeout_s=1, benchmark_run_retries=0)
    assert phone().returncode == 0
    assert phone.get("am") == "force-stop org.tensorflow.lite.benchmark"


def test_an_app_of_a_run_that_was_stopped_or_orphaned_is_ended(phone):
    with_app(phone, "hang")
    process = phone.start()
    wait_for("the runner", phone.runner_pid)
    runner = phone.runner_pid()
    process.kill()
    process.wait()
    assert phone("stop").returncode == 0
    assert phone.get("am") == "force-stop org.tensorflow.lite.benchmark"
    assert not is_running(runner)


def test_cpus_are_chosen_with_a_mask_where_taskset_knows_only_that(phone):
    phone.prepare(["ok"], benchmark_run_pin_cpus="0")
    phone.during("ok", 'grep Cpus_allowed_list "/proc/$$/status"')
    assert phone().returncode == 0
    sidecar = phone.sidecars()["ok_r01"]
    assert (phone.run_dir / "runs" / f"{sidecar['run']}.log").read_text().startswith("Cpus_allowed_list:\t0\n")
