"""Facts of a machine: the script that asks for them, the record made of its answer, and the comparison of records."""

from __future__ import annotations

import json
import os
import platform
import pty
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.edgebench.testbed.plugins.module_utils.host_facts import (
    HostFactsError,
    access,
    parse,
    reconcile,
)

from tests import android_tools

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "roles" / "host_facts" / "files" / "collect_facts.sh"
DATA = ROOT / "tests" / "data" / "host_facts"
MACHINES = sorted(path.stem for path in DATA.glob("*.txt"))
UTC = "2026-11-20T13:30:00Z"
CPU0 = "/sys/devices/system/cpu/cpu0"


def record_of(text, label=None):
    return parse(text, "host-0", label, UTC)


def machine(**sections):
    """Make the text of a machine that tells just these sections."""
    return "\n".join([f"== {name}\n{text}" for name, text in sections.items()] + ["== end\n"])


# --- the record ---


@pytest.mark.parametrize("name", MACHINES)
def test_record_of_a_machine(name, golden):
    record = record_of((DATA / f"{name}.txt").read_text(encoding="utf-8"))
    golden(f"host_facts/{name}.json", json.dumps(record, indent=2) + "\n")


def test_a_login_shells_greeting_and_a_terminals_line_ends_are_ignored():
    text = (DATA / "raspberry_pi_5.txt").read_text(encoding="utf-8")
    over_terminal = "Welcome: 3 updates = available\n\n" + text.replace("\n", "\r\n")
    assert record_of(over_terminal) == record_of(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("", "found ''", id="nothing"),
        pytest.param("sh: syntax error\n", "found 'sh: syntax error'", id="no section"),
        pytest.param("== files\n== cpuinfo\nprocessor\t: 0\n", r"found 'processor\\t: 0'", id="cut short"),
    ],
)
def test_text_that_does_not_end_as_the_script_ends(text, found):
    with pytest.raises(HostFactsError, match="host-0.*cut short.*" + found):
        record_of(text)


@pytest.mark.parametrize(
    ("vendor", "family", "model", "stepping", "expected"),
    [
        ("GenuineIntel", 6, 63, 2, "Haswell"),
        ("GenuineIntel", 6, 79, 1, "Broadwell"),
        ("GenuineIntel", 6, 94, 3, "Skylake"),
        ("GenuineIntel", 6, 85, 4, "Skylake"),
        ("GenuineIntel", 6, 85, 7, "Cascade Lake"),
        ("GenuineIntel", 6, 85, 11, "Cooper Lake"),
        ("GenuineIntel", 6, 85, 15, None),
        ("GenuineIntel", 6, 142, 9, "Kaby Lake"),
        ("GenuineIntel", 6, 158, 13, "Coffee Lake"),
        ("GenuineIntel", 6, 106, 6, "Ice Lake"),
        ("GenuineIntel", 6, 143, 8, "Sapphire Rapids"),
        ("GenuineIntel", 6, 207, 2, "Emerald Rapids"),
        ("GenuineIntel", 6, 173, 1, "Granite Rapids"),
        ("GenuineIntel", 15, 4, 1, None),
        ("AuthenticAMD", 0x17, 0x01, 2, "Zen"),
        ("AuthenticAMD", 0x17, 0x31, 0, "Zen 2"),
        ("AuthenticAMD", 0x19, 0x01, 1, "Zen 3"),
        ("AuthenticAMD", 0x19, 0x11, 1, "Zen 4"),
        ("AuthenticAMD", 0x19, 0x61, 2, "Zen 4"),
        ("AuthenticAMD", 0x1A, 0x02, 1, "Zen 5"),
        ("AuthenticAMD", 0x16, 0x30, 1, None),
        ("CentaurHauls", 6, 63, 2, None),
    ],
)
def test_x86_microarchitecture(vendor, family, model, stepping, expected):
    cpuinfo = f"vendor_id : {vendor}\ncpu family : {family}\nmodel : {model}\nstepping : {stepping}"
    lscpu = f"Vendor ID: {vendor}\nCPU family: {family}\nModel: {model}\nStepping: {stepping}"
    assert record_of(machine(cpuinfo=cpuinfo))["microarchitecture"] == expected
    assert record_of(machine(lscpu=lscpu))["microarchitecture"] == expected


@pytest.mark.parametrize(
    ("cores", "vendor", "expected"),
    [
        pytest.param([(0x41, 0xD08)] * 4, "ARM", "Cortex-A72", id="Pi 4"),
        pytest.param([(0x41, 0xD03)], "ARM", "Cortex-A53", id="Pi 3"),
        pytest.param([(0x41, 0xD0C)], "ARM", "Neoverse-N1", id="Altra"),
        pytest.param([(0x41, 0xD4F)], "ARM", "Neoverse-V2", id="Grace"),
        pytest.param(
            [(0x41, 0xD05)] * 4 + [(0x41, 0xD0B)] * 4, "ARM", "Cortex-A55 + Cortex-A76", id="two kinds of cores"
        ),
        pytest.param([(0x61, 0x022), (0x61, 0x023)], "Apple", None, id="parts that the table lacks"),
        pytest.param([(0x41, 0xD0B), (0x41, 0xFFF)], "ARM", None, id="one kind unknown"),
        pytest.param([(0x99, 0x001)], None, None, id="unknown implementer"),
    ],
)
def test_arm_cores(cores, vendor, expected):
    cpuinfo = "\n".join(
        f"processor\t: {number}\nCPU implementer\t: {implementer:#x}\nCPU part\t: {part:#05x}"
        for number, (implementer, part) in enumerate(cores)
    )
    record = record_of(machine(cpuinfo=cpuinfo))
    assert (record["cpu_vendor"], record["microarchitecture"], record["cpus"]) == (vendor, expected, len(cores))


@pytest.mark.parametrize(
    ("uname", "long_bit", "expected"),
    [
        ("x86_64", "64", "x86_64"),
        ("aarch64", "64", "aarch64"),
        ("aarch64", "", "aarch64"),
        pytest.param("aarch64", "32", "armv7l", id="32-bit Raspberry Pi OS on a 64-bit kernel"),
        ("armv7l", "32", "armv7l"),
        ("", "", None),
    ],
)
def test_architecture_is_that_of_programs(uname, long_bit, expected):
    assert record_of(machine(machine=uname, long_bit=long_bit))["arch"] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", "Intel Xeon Platinum 8380"),
        ("Intel(R) Xeon(R) CPU E5-2670 v3 @ 2.30GHz", "Intel Xeon E5-2670 v3"),
        ("12th Gen Intel(R) Core(TM) i7-1260P", "12th Gen Intel Core i7-1260P"),
        ("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7763"),
    ],
)
def test_label_is_the_cpus_short_name(text, expected):
    assert record_of(machine(cpuinfo=f"model name\t: {text}"))["platform_label"] == expected


def test_label_is_what_the_inventory_says_else_the_board_else_the_host():
    board = machine(files="/proc/device-tree/model=Raspberry Pi 5 Model B Rev 1.0")
    assert record_of(board, "My Pi")["platform_label"] == "My Pi"
    assert record_of(board)["platform_label"] == "Raspberry Pi 5 Model B"
    assert record_of(machine())["platform_label"] == "host-0"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("sys_vendor=Dell Inc.\nproduct_name=PowerEdge R740", "Dell Inc. PowerEdge R740"),
        ("sys_vendor=QEMU\nproduct_name=QEMU Virtual Machine", "QEMU Virtual Machine"),
        ("sys_vendor=To Be Filled By O.E.M.\nproduct_name=To Be Filled By O.E.M.", None),
        ("sys_vendor=ASUS\nproduct_name=System Product Name", "ASUS"),
    ],
)
def test_board_model_from_dmi(files, expected):
    files = "\n".join(f"/sys/class/dmi/id/{line}" for line in files.split("\n"))
    assert record_of(machine(files=files))["board_model"] == expected


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        pytest.param({"vm": "kvm", "container": "docker"}, "kvm", id="a machine counts more than a container in it"),
        pytest.param({"vm": "none", "container": "podman"}, "podman", id="container"),
        pytest.param({"vm": "none", "container": "none"}, "none", id="bare metal"),
        pytest.param({"lscpu": "Hypervisor vendor: VMware"}, "vmware", id="lscpu"),
        pytest.param({"cpuinfo": "flags : fpu hypervisor"}, "vm-other", id="flag"),
        pytest.param({"files": "/sys/hypervisor/type=xen"}, "xen", id="xen"),
        pytest.param({"cpuinfo": "flags : fpu avx"}, "none", id="no flag"),
        pytest.param({"cpuinfo": "Features : fp asimd", "lscpu": "Flags: fp asimd"}, None, id="ARM cannot tell"),
    ],
)
def test_virtualization(sections, expected):
    assert record_of(machine(**sections))["virtualization"] == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("intel_pstate/no_turbo=0", True),
        ("intel_pstate/no_turbo=1", False),
        ("cpufreq/boost=1", True),
        ("cpufreq/boost=0", False),
        ("cpufreq/other=0", None),
    ],
)
def test_turbo(files, expected):
    assert record_of(machine(files=f"/sys/devices/system/cpu/{files}"))["turbo"] is expected


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        pytest.param(
            {
                "files": "/sys/class/thermal/thermal_zone0/type=x86_pkg_temp\n"
                "/sys/class/powercap/intel-rapl:0/name=package-0\n/sys/class/powercap/intel-rapl:0:0/name=core\n"
                "/sys/class/powercap/intel-rapl:0:1/name=dram\n/sys/class/powercap/intel-rapl:1/name=psys\n"
                "/sys/class/powercap/intel-rapl:2/name=package-1\n/sys/class/powercap/intel-rapl:2:1/name=dram"
            },
            ["x86_pkg_temp", "rapl dram", "rapl package-0", "rapl package-1"],
            id="server",
        ),
        pytest.param(
            {"files": "/sys/class/hwmon/hwmon0/name=nvme\n/sys/class/hwmon/hwmon3/name=ina3221"},
            ["ina3221"],
            id="Jetson",
        ),
        pytest.param({"files": "/sys/bus/iio/devices/iio:device0/name=ina3221x"}, ["ina3221"], id="older Jetson"),
        pytest.param({"pmic": "vc_gencmd_read_response returned -1"}, [], id="Raspberry Pi 4"),
    ],
)
def test_sensors_of_temperature_and_energy(sections, expected):
    assert record_of(machine(**sections))["sensors"] == expected


def test_cpus_with_other_clocks_and_governors():
    files = """
/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor=schedutil
/sys/devices/system/cpu/cpu4/cpufreq/scaling_governor=performance
/sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq=408000
/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq=1800000
/sys/devices/system/cpu/cpu4/cpufreq/scaling_min_freq=816000
/sys/devices/system/cpu/cpu4/cpufreq/scaling_max_freq=2400000
"""
    record = record_of(machine(files=files))
    assert (record["governor"], record["cpu_min_mhz"], record["cpu_max_mhz"]) == ("performance, schedutil", 408, 2400)


@pytest.mark.parametrize(
    ("lscpu", "expected_kb"),
    [
        pytest.param("L2 cache: 256K", 256, id="before 2.34"),
        pytest.param("L2 cache: 24 MiB", None, id="2.34: a sum of an unknown number"),
        pytest.param("L2 cache: 1.5 MiB (6 instances)", 256, id="2.37"),
        pytest.param("L2 cache: 32 MiB (1 instance)", 32768, id="one"),
    ],
)
def test_cache_of_one_instance_by_lscpu(lscpu, expected_kb):
    assert record_of(machine(lscpu=lscpu))["l2_kb"] == expected_kb


@pytest.mark.parametrize(
    ("libc", "glibc", "musl"),
    [
        ("glibc 2.36\nldd (Debian GLIBC 2.36-9+deb12u14) 2.36", "2.36", None),
        ("ldd (GNU libc) 2.34\nCopyright (C) 2021", "2.34", None),
        ("ldd (Ubuntu GLIBC 2.31-0ubuntu9.16) 2.31", "2.31", None),
        ("GNU C Library (Debian GLIBC 2.36-9+deb12u9) stable release version 2.36.\nCopyright", "2.36", None),
        ("musl libc (aarch64)\nVersion 1.2.5\nDynamic Program Loader", None, "1.2.5"),
        ("", None, None),
    ],
)
def test_c_library(libc, glibc, musl):
    record = record_of(machine(libc=libc))
    assert (record["glibc"], record["musl"]) == (glibc, musl)


# --- two records of one machine ---


@pytest.fixture
def now():
    return record_of((DATA / "ice_lake.txt").read_text(encoding="utf-8"))


def test_the_first_record_of_a_campaign(now):
    assert reconcile(None, now, "host.json", False) == {"record": now, "replaced": False, "problem": ""}


@pytest.mark.parametrize(
    "then",
    [
        pytest.param({}, id="the same"),
        pytest.param({"cpu_mhz": 800.0, "collected_utc": "2026-11-19T01:00:00Z", "sensors": []}, id="this moment"),
        pytest.param({"bogomips": 4600.04, "memory_total_mb": 257590}, id="measured anew at each boot"),
        pytest.param({"governor": None, "python": None}, id="not known then"),
    ],
)
def test_a_record_that_still_holds_is_kept(now, then):
    outcome = reconcile(json.dumps({**now, **then}), now, "host.json", False)
    assert outcome == {"record": {**now, **then}, "replaced": False, "problem": ""}


def test_what_is_not_known_any_more_is_not_a_change(now):
    assert reconcile(json.dumps(now), {**now, "virtualization": None}, "host.json", False)["record"] == now


def test_a_new_label_is_taken_over(now):
    outcome = reconcile(json.dumps(now), {**now, "platform_label": "Big"}, "host.json", False)
    assert outcome == {"record": {**now, "platform_label": "Big"}, "replaced": False, "problem": ""}


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ({"kernel": "5.4.0"}, "kernel: 5.4.0 -> 5.15.0-119-generic"),
        ({"governor": "powersave", "turbo": False}, "governor: powersave -> performance; "),
        ({"turbo": False}, "turbo: False -> True"),
        ({"bogomips": "?"}, "bogomips: ? -> 4600.0"),
        ({"memory_total_mb": 128000}, "memory_total_mb: 128000 -> 257596"),
        ({"hostname": "icelake-1"}, "hostname: icelake-1 -> icelake-0"),
        ({"cpu_features": ["avx"]}, "cpu_features: avx -> avx avx2 fma f16c avx512f avx512_vnni"),
    ],
)
def test_another_machine_stops_the_campaign(now, then, said):
    previous = json.dumps({**now, **then})
    outcome = reconcile(previous, now, "logs/c/h/host.json", False)
    assert outcome["problem"].startswith("logs/c/h/host.json: the machine is not what it was")
    assert said in outcome["problem"]
    assert "campaign_name" in outcome["problem"]
    assert "\n" not in outcome["problem"]
    assert reconcile(previous, now, "x", True) == {"record": now, "replaced": True, "problem": ""}


@pytest.mark.parametrize("previous", ["", '{"schema": 1, "ho', "[]"])
def test_an_earlier_record_that_cannot_be_read_stops_the_campaign(now, previous):
    assert "h/host.json: not a host record" in reconcile(previous, now, "h/host.json", False)["problem"]


# --- phones ---


def phone(**properties):
    return machine(getprop="\n".join(f"[ro.{key.replace('__', '.')}]: [{value}]" for key, value in properties.items()))


@pytest.mark.parametrize(
    ("abi", "expected"),
    [
        ("arm64-v8a", "aarch64"),
        pytest.param("armeabi-v7a", "armv7l", id="32-bit programs on a 64-bit kernel"),
        ("x86_64", "x86_64"),
        ("", "aarch64"),
    ],
)
def test_architecture_of_a_phone_is_that_of_its_programs(abi, expected):
    text = phone(build__version__release="9", product__cpu__abi=abi).replace("== end", "== machine\naarch64\n== end")
    assert record_of(text)["arch"] == expected


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        pytest.param({"soc__manufacturer": "QTI", "soc__model": "SM8550"}, "Qualcomm SM8550", id="since Android 12"),
        pytest.param({"board__platform": "sdm660", "hardware": "qcom"}, "Qualcomm SDM660", id="a number"),
        pytest.param({"board__platform": "kona", "hardware": "qcom"}, "Qualcomm kona", id="a name"),
        pytest.param({"board__platform": "mt6789", "hardware": "mt6789"}, "MT6789", id="MediaTek"),
        pytest.param({"hardware": "ranchu"}, None, id="an emulator"),
    ],
)
def test_chip_of_a_phone(properties, expected):
    assert record_of(phone(build__version__release="12", **properties))["soc"] == expected


@pytest.mark.parametrize(
    ("maker", "model", "expected"),
    [("samsung", "SM-G991B", "samsung SM-G991B"), ("OnePlus", "ONEPLUS A6013", "ONEPLUS A6013"), ("", "X", "X")],
)
def test_model_of_a_phone(maker, model, expected):
    record = record_of(phone(product__manufacturer=maker, product__model=model))
    assert record["board_model"] == record["platform_label"] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GLES: Mali-G76 MC4", "Mali-G76 MC4"),
        (" GLES: Qualcomm, Adreno (TM) 610", "Adreno (TM) 610"),
        (
            "GLES: Qualcomm, Adreno (TM) 730, OpenGL ES 3.2 V@0615.60 (GIT@16c1863, I69, 167) (Date:01/19/23)",
            "Adreno (TM) 730, OpenGL ES 3.2 V@0615.60",
        ),
    ],
)
def test_gpu_of_a_phone(line, expected):
    assert record_of(machine(surfaceflinger=line))["gpu"] == expected


def test_a_phone_has_a_directory_for_adbs_user():
    text = (DATA / "mi_a2.txt").read_text(encoding="utf-8")
    assert access(text) == {"home": "/data/local/tmp", "uid": 2000, "python_path": None, "time_s": 1795660000}


def test_an_update_of_a_phone_stops_the_campaign_and_cores_that_it_switched_off_do_not():
    now = record_of((DATA / "mi_a2.txt").read_text(encoding="utf-8"))
    fewer_cores = now | {"cpus": 6, "cores": 6, "cpu_max_mhz": 1843.2, "microarchitecture": "Kryo 2xx Silver"}
    assert reconcile(json.dumps(now), fewer_cores, "x", False)["problem"] == ""
    updated = reconcile(json.dumps(now), now | {"android_build": "xiaomi/later"}, "x", False)["problem"]
    assert f"(android_build: {now['android_build']} -> xiaomi/later)" in updated


def test_script_on_a_phone(tmp_path):
    """Of its properties it tells none that says whose phone it is; mksh has Android's tools."""
    system = android_tools.install(tmp_path / "system")
    for name, text in {
        "getprop": "[ro.product.model]: [Mi A2]\n[ro.serialno]: [f00f00]\n[ro.build.version.release]: [10]",
        "dumpsys": "Build configuration:\nGLES: Qualcomm, Adreno (TM) 512, OpenGL ES 3.2 V@331.0 (GIT@1)\nlayers",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        (tmp_path / name).chmod(0o755)
    text = ask(["mksh"], path=f"{tmp_path}:{system}")
    assert "f00f00" not in text
    record = record_of(text)
    assert (record["android"], record["os"], record["board_model"]) == ("10", "Android 10", "Mi A2")
    assert record["gpu"] == "Adreno (TM) 512, OpenGL ES 3.2 V@331.0"
    assert record["cpus"] == os.cpu_count()


# --- the script ---


@pytest.fixture(params=["dash", "busybox sh", "mksh"])
def shell(request):
    name, *arguments = request.param.split()
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name} on this machine (Debian: apt-get install {name})")
    return [path, *arguments]


def ask(shell, *arguments, path=None):
    """Run the script; it never fails and never complains."""
    done = subprocess.run(
        [*shell, SCRIPT, *arguments], env=os.environ | ({"PATH": path} if path else {}), capture_output=True, check=True
    )
    assert done.stderr == b""
    return done.stdout.decode()


def test_script_on_this_machine(shell):
    record = record_of(ask(shell))
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    assert (record["kernel"], record["hostname"]) == (platform.release(), platform.node())
    assert record["cpus"] == os.cpu_count()
    assert record["memory_total_mb"] == pytest.approx(memory_mb, rel=0.01)
    assert record["arch"]


def test_script_without_any_command(shell, tmp_path):
    rich, poor = record_of(ask(shell)), record_of(ask(shell, path=str(tmp_path)))
    by_commands = {"python", "glibc", "musl", "virtualization", "microcode", "arch", "cpu_mhz"}
    unlike = {name for name in rich if rich[name] != poor[name]}
    assert unlike <= by_commands | {"cpu_model", "cpu_vendor"}, "facts were lost that files tell"
    assert poor["cpus"] == os.cpu_count()
    assert poor["kernel"] == platform.release()


def test_script_where_there_is_nothing_to_read(shell, tmp_path):
    record = record_of(ask(shell, tmp_path, path=str(tmp_path)))
    known = {name for name, value in record.items() if value not in (None, [])}
    assert known == {"schema", "host", "platform_label", "collected_utc"}


def test_script_on_a_raspberry_pi(shell, tmp_path):
    """A Raspberry Pi made of files: NUL-terminated model, cpufreq, thermal zone, and a vcgencmd of its own."""
    root, commands = tmp_path / "root", tmp_path / "bin"
    features = "Features\t: fp asimd asimdhp asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"
    tree = {
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "proc/sys/kernel/osrelease": "6.6.51+rpt-rpi-2712\n",
        "proc/cpuinfo": f"processor\t: 0\nBogoMIPS\t: 108.00\n{features}\n"
        f"processor\t: 1\nBogoMIPS\t: 108.00\n{features}\nSerial\t\t: 10000000abcdef01\n",
        "proc/meminfo": "MemTotal:        8256096 kB\nMemFree: 1 kB\nSwapTotal:        524272 kB\n",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian',
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        f"{CPU0[1:]}/cache/index2/level": "2\n",
        f"{CPU0[1:]}/cache/index2/type": "Unified\n",
        f"{CPU0[1:]}/cache/index2/size": "512K\n",
    }
    for number in (0, 1):
        cpu = f"sys/devices/system/cpu/cpu{number}"
        tree |= {
            f"{cpu}/cpufreq/scaling_governor": "ondemand\n",
            f"{cpu}/cpufreq/scaling_min_freq": "1500000\n",
            f"{cpu}/cpufreq/scaling_max_freq": "2400000\n",
            f"{cpu}/topology/core_id": f"{number}\n",
            f"{cpu}/topology/physical_package_id": "0\n",
        }
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    commands.mkdir()
    for name, body in {
        "timeout": 'shift; exec "$@"',
        "vcgencmd": 'case $1 in version) echo "version 26826259 (release) (embedded)" ;; '
        'pmic_read_adc) echo "   3V3_SYS_A current(1)=0.08783"; echo "   3V3_SYS_V volt(9)=3.31" ;; esac',
        "uname": "echo aarch64",
    }.items():
        (commands / name).write_text(f"#!/bin/sh\n{body}\n")
        (commands / name).chmod(0o755)

    text = ask(shell, root, path=str(commands))
    expected = {
        **{"board_model": "Raspberry Pi 5 Model B Rev 1.0", "cpu_model": "Cortex-A76", "arch": "aarch64"},
        **{"cpus": 2, "cores": 2, "sockets": 1, "bogomips": 108.0, "l2_kb": 512, "governor": "ondemand"},
        **{"cpu_min_mhz": 1500.0, "cpu_max_mhz": 2400.0, "cpu_features": ["asimd", "asimddp", "asimdhp"]},
        **{"memory_total_mb": 8063, "swap_total_mb": 512, "os": "Debian GNU/Linux 12 (bookworm)"},
        **{"microcode": "26826259", "sensors": ["cpu-thermal", "pmic"], "kernel": "6.6.51+rpt-rpi-2712"},
    }
    record = record_of(text)
    assert {name: record[name] for name in expected} == expected
    assert "10000000abcdef01" not in text, "a serial number is nobody's business"


def test_script_over_a_terminal(tmp_path):
    """Over ssh -tt lines end in CR LF, complaints mix with output, and lscpu would break its long lines."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(["/bin/sh", SCRIPT], stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        chunks = []
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
        os.close(ours)
    assert process.returncode == 0
    over_terminal, plain = record_of(b"".join(chunks).decode()), record_of(ask(["/bin/sh"]))
    assert over_terminal | {"cpu_mhz": None} == plain | {"cpu_mhz": None}
