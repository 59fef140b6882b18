# Copyright the edgebench developers. Apache-2.0.
"""What a machine is: from the text of ``collect_facts.sh`` to the record ``host.json``, and from record to record.

Sources of the tables:
- Intel: Linux ``arch/x86/include/asm/intel-family.h`` (family 6; the steppings of models 0x55, 0x8E and 0x9E are in
  its comments; 0x55 stepping 5 and 6 are early Cascade Lake, 10 an early Cooper Lake).
- AMD: Linux ``arch/x86/kernel/cpu/amd.c``, ``bsp_init_amd()`` ("Figure out Zen generations"; Zen+ is Zen there).
- ARM: Linux ``arch/arm64/include/asm/cputype.h`` and util-linux ``sys-utils/lscpu-arm.c``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

SCHEMA = 1

# fmt: off
FEATURES = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16",
    "neon", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2",
)
# fmt: on
"""CPU features that matter for inference, by the kernel's names, in the order in which they are recorded."""

_INTEL = {
    model: name
    for name, models in {
        "Nehalem": (0x1A, 0x1E, 0x1F, 0x2E),
        "Westmere": (0x25, 0x2C, 0x2F),
        "Sandy Bridge": (0x2A, 0x2D),
        "Ivy Bridge": (0x3A, 0x3E),
        "Haswell": (0x3C, 0x3F, 0x45, 0x46),
        "Broadwell": (0x3D, 0x47, 0x4F, 0x56),
        "Skylake": (0x4E, 0x5E),
        "Comet Lake": (0xA5, 0xA6),
        "Cannon Lake": (0x66,),
        "Ice Lake": (0x6A, 0x6C, 0x7D, 0x7E),
        "Rocket Lake": (0xA7,),
        "Tiger Lake": (0x8C, 0x8D),
        "Alder Lake": (0x97, 0x9A),
        "Raptor Lake": (0xB7, 0xBA, 0xBF),
        "Meteor Lake": (0xAA, 0xAC),
        "Arrow Lake": (0xB5, 0xC5, 0xC6),
        "Lunar Lake": (0xBD,),
        "Sapphire Rapids": (0x8F,),
        "Emerald Rapids": (0xCF,),
        "Granite Rapids": (0xAD, 0xAE),
        "Silvermont": (0x37, 0x4A, 0x4D),
        "Airmont": (0x4C, 0x5A, 0x75),
        "Goldmont": (0x5C, 0x5F),
        "Goldmont Plus": (0x7A,),
        "Tremont": (0x86, 0x96, 0x9C),
        "Gracemont": (0xBE,),
        "Crestmont": (0xAF, 0xB6),
        "Darkmont": (0xDD,),
        "Knights Landing": (0x57,),
        "Knights Mill": (0x85,),
    }.items()
    for model in models
}

_INTEL_STEPPINGS = {
    0x55: ((range(0, 5), "Skylake"), (range(5, 8), "Cascade Lake"), (range(10, 12), "Cooper Lake")),
    0x8E: ((range(9, 10), "Kaby Lake"), (range(10, 11), "Coffee Lake"), (range(11, 13), "Whiskey Lake")),
    0x9E: ((range(9, 10), "Kaby Lake"), (range(10, 14), "Coffee Lake")),
}

_AMD = {
    0x17: (
        ("Zen", (range(0x00, 0x30), range(0x50, 0x60))),
        ("Zen 2", (range(0x30, 0x50), range(0x60, 0x80), range(0x90, 0x92), range(0xA0, 0xB0))),
    ),
    0x19: (
        ("Zen 3", (range(0x00, 0x10), range(0x20, 0x60))),
        ("Zen 4", (range(0x10, 0x20), range(0x60, 0xB0))),
    ),
    0x1A: (
        ("Zen 5", (range(0x00, 0x30), range(0x40, 0x50), range(0x60, 0x80))),
        ("Zen 6", (range(0x50, 0x60), range(0x80, 0xB0), range(0xC0, 0xD0))),
    ),
}

# fmt: off
_ARM_IMPLEMENTERS = {
    0x41: "ARM", 0x42: "Broadcom", 0x43: "Cavium", 0x46: "FUJITSU", 0x48: "HiSilicon", 0x4E: "NVIDIA", 0x50: "APM",
    0x51: "Qualcomm", 0x53: "Samsung", 0x56: "Marvell", 0x61: "Apple", 0x6D: "Microsoft", 0x70: "Phytium",
    0xC0: "Ampere",
}

_ANDROID_ARCHS = {"arm64-v8a": "aarch64", "armeabi-v7a": "armv7l", "x86_64": "x86_64", "x86": "i686"}
_SOC_MAKERS = {"QTI": "Qualcomm", "Mediatek": "MediaTek"}

_ARM_CORES = {
    0x41: {
        0xB76: "ARM1176", 0xC05: "Cortex-A5", 0xC07: "Cortex-A7", 0xC08: "Cortex-A8", 0xC09: "Cortex-A9",
        0xC0D: "Cortex-A17", 0xC0E: "Cortex-A17", 0xC0F: "Cortex-A15", 0xD01: "Cortex-A32", 0xD02: "Cortex-A34",
        0xD03: "Cortex-A53", 0xD04: "Cortex-A35", 0xD05: "Cortex-A55", 0xD06: "Cortex-A65", 0xD07: "Cortex-A57",
        0xD08: "Cortex-A72", 0xD09: "Cortex-A73", 0xD0A: "Cortex-A75", 0xD0B: "Cortex-A76", 0xD0C: "Neoverse-N1",
        0xD0D: "Cortex-A77", 0xD0E: "Cortex-A76AE", 0xD40: "Neoverse-V1", 0xD41: "Cortex-A78",
        0xD42: "Cortex-A78AE", 0xD43: "Cortex-A65AE", 0xD44: "Cortex-X1", 0xD46: "Cortex-A510",
        0xD47: "Cortex-A710", 0xD48: "Cortex-X2", 0xD49: "Neoverse-N2", 0xD4A: "Neoverse-E1", 0xD4B: "Cortex-A78C",
        0xD4C: "Cortex-X1C", 0xD4D: "Cortex-A715", 0xD4E: "Cortex-X3", 0xD4F: "Neoverse-V2", 0xD80: "Cortex-A520",
        0xD81: "Cortex-A720", 0xD82: "Cortex-X4", 0xD83: "Neoverse-V3AE", 0xD84: "Neoverse-V3",
        0xD85: "Cortex-X925", 0xD87: "Cortex-A725", 0xD89: "Cortex-A720AE", 0xD8B: "C1-Pro", 0xD8E: "Neoverse-N3",
    },
    0x43: {0x0A1: "ThunderX", 0x0AF: "ThunderX2"},
    0x46: {0x001: "A64FX"},
    0x48: {0xD01: "Kunpeng-920"},
    0x4E: {0x000: "Denver", 0x003: "Denver 2", 0x004: "Carmel"},
    0x51: {
        0x201: "Kryo", 0x205: "Kryo", 0x211: "Kryo", 0x800: "Kryo 2xx Gold", 0x801: "Kryo 2xx Silver",
        0x802: "Kryo 3xx Gold", 0x803: "Kryo 3xx Silver", 0x804: "Kryo 4xx Gold", 0x805: "Kryo 4xx Silver",
    },
    0x53: {0x001: "Exynos-M1", 0x002: "Exynos-M3", 0x003: "Exynos-M4", 0x004: "Exynos-M5"},
    0x6D: {0xD49: "Neoverse-N2"},  # Azure Cobalt 100
    0xC0: {0xAC3: "AmpereOne", 0xAC4: "AmpereOne A"},
}

_PLACEHOLDERS = {
    "", "none", "n/a", "unknown", "default string", "system product name", "system manufacturer",
    "linux,dummy-virt",  # QEMU's device tree
}
# fmt: on
"""What firmware says, in lower case, when nobody filled in a name (as does anything `to be filled by`)."""

NOT_COMPARED = ("schema", "host", "platform_label", "collected_utc", "clock_offset_s", "cpu_mhz", "sensors")
"""Fields that may differ between two looks at the same machine, or that are not about the machine."""

NOT_COMPARED_OF_PHONES = (
    "cpus",
    "cores",
    "sockets",
    "threads_per_core",
    "cpu_model",
    "microarchitecture",
    "cpu_max_mhz",
    "cpu_min_mhz",
)
"""What a phone changes by itself, at any time: it switches cores off, which then are not told of, and limits clocks."""

CALIBRATED = ("bogomips", "memory_total_mb")
"""Fields that every boot measures anew: the same when within 1 %."""


class HostFactsError(ValueError):
    """The text is not what ``collect_facts.sh`` prints; the message says what to do."""


def parse(text: str, host: str, platform_label: str | None, collected_utc: str) -> dict[str, Any]:
    """Make the record of a machine from what ``collect_facts.sh`` printed on it.

    Args:
        text: the script's output; what comes before its first section (greetings of a login shell) is ignored.
        host: the machine's name in the inventory.
        platform_label: its name in tables; None: the model of the board where the machine is one (Raspberry Pi and
            the like), else of the CPU, both shortened, else ``host``.
        collected_utc: when the script ran, by the controller's clock, as 2026-11-20T13:30:00Z.

    Returns:
        The flat record; what is unknown is None. Units are in the names: ``_mb`` is 1024 kB, ``_kb`` 1024 bytes.
        Cache sizes are of one instance, as CPU 0 sees it. ``cores`` and ``sockets`` are of the whole machine.

    Raises:
        HostFactsError: the text does not end as the script ends.
    """
    raw = _sections(text, host)
    files = dict(line.split("=", 1) for line in raw.get("files", ()) if "=" in line)
    cpu = _fields(raw.get("cpuinfo", ()))
    lscpu = _fields(raw.get("lscpu", ()))
    memory = _fields(raw.get("meminfo", ()))
    first = {name: lines[0].strip() for name, lines in raw.items() if lines}
    properties = _properties(raw)
    android = properties.get("ro.build.version.release")
    uses_arm = "CPU implementer" in cpu

    arm_cores = _arm_cores(raw.get("cpuinfo", ())) if uses_arm else None
    lscpu_model = lscpu.get("Model name") if lscpu.get("Model name") not in ("-", "unknown") else None
    # ARM kernels give no name, or one like "ARMv7 Processor rev 3 (v7l)"
    cpu_model = arm_cores or lscpu_model or cpu.get("model name") if uses_arm else cpu.get("model name") or lscpu_model
    # containers may not see the device tree; a Raspberry Pi's kernel says it in /proc/cpuinfo too
    board = _phone_model(properties) or _named(files.get("/proc/device-tree/model")) or _named(cpu.get("Model"))
    return {
        "schema": SCHEMA,
        "host": host,
        "platform_label": platform_label or _label(board or cpu_model) or host,
        "collected_utc": collected_utc,
        "clock_offset_s": None,  # whoever asked knows
        "arch": _ANDROID_ARCHS.get(properties.get("ro.product.cpu.abi"))
        or _arch(first.get("machine") or files.get("/proc/sys/kernel/arch"), first.get("long_bit")),
        "hostname": files.get("/proc/sys/kernel/hostname"),
        "board_model": board or _dmi_model(files),
        "cpu_model": cpu_model,
        "cpu_vendor": _ARM_IMPLEMENTERS.get(_int(cpu["CPU implementer"]))
        if uses_arm
        else cpu.get("vendor_id") or lscpu.get("Vendor ID"),
        "microarchitecture": arm_cores if uses_arm else _x86_microarchitecture(cpu, lscpu),
        **_topology(files, raw.get("cpuinfo", ()), lscpu),
        **({"sockets": 1} if android else {}),  # kernels of phones count clusters of cores
        "bogomips": _float(cpu.get("bogomips") or cpu.get("BogoMIPS") or lscpu.get("BogoMIPS")),
        **_clocks_mhz(files, cpu, lscpu),
        **_caches_kb(files, lscpu),
        "cpu_features": _features(cpu.get("flags") or cpu.get("Features") or lscpu.get("Flags")),
        "memory_total_mb": _mb(memory.get("MemTotal")),
        "swap_total_mb": _mb(memory.get("SwapTotal")),
        "kernel": files.get("/proc/sys/kernel/osrelease"),
        "os": f"Android {android}" if android else _os_name(raw.get("os_release", ())),
        "governor": ", ".join(sorted(set(_matching(files, r"cpu\d+/cpufreq/scaling_governor").values()))) or None,
        "turbo": _turbo(files),
        "virtualization": _virtualization(raw, files, cpu, lscpu),
        "microcode": cpu.get("microcode") or _search(r"^version (\S+)", raw.get("vcgencmd", ())),
        "python": _search(r"^Python (\S+)", raw.get("python", ())),
        "glibc": _search(
            r"^glibc (\S+)|^ldd \(.*(?:GLIBC|GNU libc).*\) (\S+)|^GNU C Library .* version ([\d.]+\d)",
            raw.get("libc", ()),
        ),
        "musl": _search(r"^musl libc.*\nVersion (\S+)", raw.get("libc", ())),
        "sensors": [*sorted(_matching(files, r"thermal_zone\d+/type").values()), *_energy_meters(files, raw)],
        "android": android,
        "android_api": _int(properties.get("ro.build.version.sdk")),
        "android_build": properties.get("ro.build.fingerprint"),
        "soc": _soc(properties, cpu) if android else None,
        "gpu": _gpu(raw.get("surfaceflinger", ())),
    }


def access(text: str) -> dict[str, Any]:
    """Read who we are on a machine, from the same text as `parse`; not of the record, since it tells of a person.

    Returns:
        ``home``, ``uid``, ``python_path`` (of python3) and ``time_s`` (the machine's clock, Unix time); unknown = None.
        On Android ``home`` is the directory that adb's user can write to, since its own is ``/``.
    """
    raw = _sections(text, "")
    fields = dict(line.split("=", 1) for line in raw.get("user", ()) if "=" in line)
    return {
        "home": "/data/local/tmp" if _properties(raw) else fields.get("home") or None,
        "uid": _int(fields.get("uid")),
        "python_path": fields.get("python") or None,
        "time_s": _int(fields.get("time")),
    }


def reconcile(previous: str | None, now: dict[str, Any], source: str, allow_change: bool) -> dict[str, Any]:
    """Compare a machine with the record made when its campaign began.

    A fact that is unknown on either side is not a change.

    Args:
        previous: text of the earlier record; None when there is none.
        now: what the machine is now, from `parse`.
        source: where the earlier record was read, for messages.
        allow_change: whether the campaign may go on although the earlier record does not hold any more.

    Returns:
        ``record``, what should stand in host.json: the earlier record while it holds, with the label of now;
        ``replaced``, whether that gives up an earlier record; ``problem``, why the campaign cannot go on, or nothing.
    """
    if previous is None:
        return {"record": now, "replaced": False, "problem": ""}
    try:
        then = json.loads(previous)
    except ValueError:
        then = None
    if isinstance(then, dict):
        not_compared = NOT_COMPARED + (NOT_COMPARED_OF_PHONES if now.get("android") else ())
        changes = [
            f"{name}: {_shown(then[name])} -> {_shown(value)}"
            for name, value in now.items()
            if name not in not_compared and not _same(name, then.get(name), value)
        ]
        if not changes:
            label = {"platform_label": now["platform_label"]}
            return {"record": {**then, **label}, "replaced": False, "problem": ""}
        reason = f"the machine is not what it was when the campaign began ({'; '.join(changes)}); undo that"
    else:
        reason = "not a host record (garbled or cut short); put the right file there"
    problem = f"{source}: {reason}, begin a new campaign (campaign_name), or go on with host_facts_allow_change=true"
    return {"record": now, "replaced": True, "problem": "" if allow_change else problem}


def _same(name: str, then: Any, now: Any) -> bool:
    if then is None or now is None:
        return True
    if name in CALIBRATED and isinstance(then, int | float):
        return abs(now - then) <= 0.01 * abs(then)
    return then == now


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


def _sections(text: str, host: str) -> dict[str, list[str]]:
    """Split the script's output; lines keep their indentation but not the terminal's carriage return."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.replace("\r", "").split("\n"):
        if line.startswith("== "):
            lines = sections.setdefault(line[3:].strip(), [])
        else:
            lines.append(line)
    if "end" not in sections:
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
        raise HostFactsError(
            f"host '{host}': the facts are cut short: expected '== end' as the last line, found {last[:200]!r}; "
            "see that its /bin/sh works and run again"
        )
    return {name: [line for line in lines if line.strip()] for name, lines in sections.items()}


def _fields(lines: list[str]) -> dict[str, str]:
    """Read `key : value` lines; the first of a key counts (the first processor, the first kind of core)."""
    fields: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    return fields


def _matching(files: dict[str, str], pattern: str) -> dict[str, str]:
    return {path: value.strip() for path, value in files.items() if re.search(pattern + "$", path)}


def _energy_meters(files: dict[str, str], raw: dict[str, list[str]]) -> list[str]:
    """What tells energy or power, in the words of the run script's meters; whether we may read it is not asked."""
    counters = _matching(files, r"intel-rapl:\d+(:\d+)?/name").values()
    names = _matching(files, r"(hwmon|iio:device)\d+/name").values()
    found = [f"rapl {name}" for name in sorted({name for name in counters if name.startswith(("package", "dram"))})]
    if _search(r"(current)\(", raw.get("pmic", [])):
        found.append("pmic")
    if any(name.startswith("ina3221") for name in names):
        found.append("ina3221")
    return found


def _search(pattern: str, lines: list[str]) -> str | None:
    match = re.search(pattern, "\n".join(lines), re.MULTILINE)
    return next((group for group in match.groups() if group), None) if match else None


def _int(text: str | None) -> int | None:
    try:
        return int(text or "", 0)
    except ValueError:
        return None


def _float(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _mb(kb_text: str | None) -> int | None:
    kb = _int(kb_text.split()[0]) if kb_text else None
    return None if kb is None else round(kb / 1024)


def _named(text: str | None) -> str | None:
    """Return a name from firmware, or None for what stands there when there is none."""
    name = (text or "").strip(" \0")
    return None if name.lower() in _PLACEHOLDERS or "to be filled by" in name.lower() else name


def _dmi_model(files: dict[str, str]) -> str | None:
    vendor = _named(files.get("/sys/class/dmi/id/sys_vendor"))
    product = _named(files.get("/sys/class/dmi/id/product_name"))
    if vendor and product and product.startswith(vendor):
        return product
    return " ".join(filter(None, (vendor, product))) or None


def _label(model: str | None) -> str | None:
    """Shorten a model's name for tables: no marks, clock, core count or board revision."""
    if model is None:
        return None
    short = re.sub(r"\((R|TM|tm)\)|\bCPU\b|@.*|\b\d+-Core Processor\b| Rev [\d.]+$", " ", model)
    return " ".join(short.split()) or model


def _arch(machine: str | None, long_bit: str | None) -> str | None:
    """Return the architecture that programs are built for, which on a 64-bit kernel may be the 32-bit one."""
    return {"aarch64": "armv7l", "x86_64": "i686"}.get(machine or "", machine) if long_bit == "32" else machine


def _properties(raw: dict[str, list[str]]) -> dict[str, str]:
    """Read Android's `[key]: [value]` lines; {} elsewhere."""
    matches = (re.fullmatch(r"\[(.*?)\]: \[(.+)\]", line) for line in raw.get("getprop", ()))
    return {match[1]: match[2] for match in matches if match}


def _phone_model(properties: dict[str, str]) -> str | None:
    """`Xiaomi Mi A2`; a model that begins with its maker's name, as OnePlus's do, stays as it is."""
    maker, model = properties.get("ro.product.manufacturer"), properties.get("ro.product.model")
    if maker and model and model.lower().startswith(maker.lower()):
        return model
    return " ".join(filter(None, (maker, model))) or None


def _soc(properties: dict[str, str], cpu: dict[str, str]) -> str | None:
    """Name a phone's chip: by its own properties since Android 12, else by the kernel or the platform's name."""
    maker, model = properties.get("ro.soc.manufacturer"), properties.get("ro.soc.model")
    if maker and model:
        return f"{_SOC_MAKERS.get(maker, maker)} {model}"
    if hardware := cpu.get("Hardware"):
        return re.sub(r"Qualcomm Technologies,? Inc\.?", "Qualcomm", hardware)
    platform = properties.get("ro.board.platform")
    if platform is None:
        return None
    name = platform.upper() if re.search(r"\d", platform) else platform  # sdm660, but kona
    return f"Qualcomm {name}" if properties.get("ro.hardware") == "qcom" else name


def _gpu(surfaceflinger: list[str]) -> str | None:
    """Name and driver of a phone's GPU from `GLES: Qualcomm, Adreno (TM) 512, OpenGL ES 3.2 V@331.0 (GIT@...) ...`."""
    return _search(r"GLES: (?:[^,]*, )?(\S.*?, OpenGL ES \S+ \S+|\S.*)", surfaceflinger)


def _x86_microarchitecture(cpu: dict[str, str], lscpu: dict[str, str]) -> str | None:
    vendor = cpu.get("vendor_id") or lscpu.get("Vendor ID")
    family = _int(cpu.get("cpu family") or lscpu.get("CPU family"))
    model = _int(cpu.get("model") or lscpu.get("Model"))
    stepping = _int(cpu.get("stepping") or lscpu.get("Stepping"))
    if vendor == "GenuineIntel" and family == 6:
        if model in _INTEL_STEPPINGS:
            return next((name for steppings, name in _INTEL_STEPPINGS[model] if stepping in steppings), None)
        return _INTEL.get(model)
    if vendor == "AuthenticAMD":
        generations = _AMD.get(family, ())
        return next((name for name, ranges in generations if any(model in models for models in ranges)), None)
    return None


def _arm_cores(cpuinfo: list[str]) -> str | None:
    """Name the kinds of cores in the order of the processors (`Cortex-A55 + Cortex-A76`); None if one is unknown."""
    names: dict[str | None, None] = {}  # a set that keeps its order
    implementer = None
    for line in cpuinfo:
        key, _, value = line.partition(":")
        if key.strip() == "CPU implementer":
            implementer = _int(value.strip())
        elif key.strip() == "CPU part":
            names[_ARM_CORES.get(implementer, {}).get(_int(value.strip()))] = None
    return None if None in names else " + ".join(filter(None, names)) or None


def _topology(files: dict[str, str], cpuinfo: list[str], lscpu: dict[str, str]) -> dict[str, int | None]:
    """Count CPUs that are online, by sysfs, else by lscpu; their number alone also by /proc/cpuinfo."""
    packages = {path.split("/")[5]: value for path, value in _matching(files, r"physical_package_id").items()}
    dies = {path.split("/")[5]: value for path, value in _matching(files, r"topology/die_id").items()}
    core_ids = {path.split("/")[5]: value for path, value in _matching(files, r"topology/core_id").items()}
    if core_ids:
        threads = Counter((packages.get(cpu), dies.get(cpu), core) for cpu, core in core_ids.items())
        return {
            "cpus": len(core_ids),
            "cores": len(threads),
            "sockets": len(set(packages.values())) or None,
            "threads_per_core": max(threads.values()),
        }
    sockets = _int(lscpu.get("Socket(s)"))
    cores_per_socket = _int(lscpu.get("Core(s) per socket"))
    processors = sum(re.match(r"processor\s*:", line) is not None for line in cpuinfo)
    return {
        "cpus": _int(lscpu.get("CPU(s)")) or processors or None,
        "cores": sockets * cores_per_socket if sockets and cores_per_socket else None,
        "sockets": sockets,
        "threads_per_core": _int(lscpu.get("Thread(s) per core")),
    }


def _clocks_mhz(files: dict[str, str], cpu: dict[str, str], lscpu: dict[str, str]) -> dict[str, float | None]:
    """Return the clock at this moment and the limits that cpufreq keeps it in (widest over the CPUs)."""

    def from_khz(pattern: str) -> list[float]:
        return [khz / 1000 for value in _matching(files, pattern).values() if (khz := _int(value)) is not None]

    return {
        "cpu_mhz": max(from_khz(r"cpu0/cpufreq/scaling_cur_freq"), default=None)
        or _float(cpu.get("cpu MHz") or lscpu.get("CPU MHz")),
        "cpu_max_mhz": max(from_khz(r"scaling_max_freq"), default=None) or _float(lscpu.get("CPU max MHz")),
        "cpu_min_mhz": min(from_khz(r"scaling_min_freq"), default=None) or _float(lscpu.get("CPU min MHz")),
    }


def _caches_kb(files: dict[str, str], lscpu: dict[str, str]) -> dict[str, int | None]:
    sizes: dict[str, int | None] = {"l1d_kb": None, "l1i_kb": None, "l2_kb": None, "l3_kb": None}
    for name in sizes:
        sizes[name] = _lscpu_cache_kb(lscpu.get(f"{name.removesuffix('_kb').capitalize()} cache"))
    for path, level in _matching(files, r"cache/index\d+/level").items():
        index = path.removesuffix("level")
        suffix = {"Data": "d", "Instruction": "i"}.get(files.get(f"{index}type", ""), "")
        kb = re.fullmatch(r"(\d+)K", files.get(f"{index}size", ""))
        if kb and (name := f"l{level}{suffix}_kb") in sizes:
            sizes[name] = int(kb[1])
    return sizes


def _lscpu_cache_kb(text: str | None) -> int | None:
    """Return the size of one instance from `96 KiB (2 instances)`, or from `48K` of util-linux before 2.34.

    The versions between (`1.5 MiB`) print a sum and not of how many: None.
    """
    match = re.fullmatch(r"(\d+)K|([\d.]+) ([KM])iB \((\d+) instances?\)", text or "")
    if match is None:
        return None
    if match[1]:
        return int(match[1])
    return round(float(match[2]) * {"K": 1, "M": 1024}[match[3]] / int(match[4]))


def _features(flags: str | None) -> list[str] | None:
    if flags is None:
        return None
    have = set(flags.split())
    return [feature for feature in FEATURES if feature in have]


def _os_name(os_release: list[str]) -> str | None:
    name = _search(r"^PRETTY_NAME=(.*)$", os_release)
    return name.strip("\"'") if name else None


def _turbo(files: dict[str, str]) -> bool | None:
    no_turbo = files.get("/sys/devices/system/cpu/intel_pstate/no_turbo")
    boost = files.get("/sys/devices/system/cpu/cpufreq/boost")
    if no_turbo in ("0", "1"):
        return no_turbo == "0"
    return boost == "1" if boost in ("0", "1") else None


def _virtualization(
    raw: dict[str, list[str]], files: dict[str, str], cpu: dict[str, str], lscpu: dict[str, str]
) -> str | None:
    """Name the hypervisor, else the container, in systemd's words; "none" only where something said so."""
    vm = next(iter(raw.get("vm", ())), None)
    flags = cpu.get("flags", "").split()  # of x86 only: on ARM they are "Features", and do not tell
    hypervisor = lscpu.get("Hypervisor vendor") or files.get("/sys/hypervisor/type")
    if vm not in (None, "none"):
        return vm
    if hypervisor:
        return hypervisor.lower()
    if "hypervisor" in flags:
        return "vm-other"
    container = next((name for name in raw.get("container", ()) if name != "none"), None)
    return container or ("none" if vm == "none" or flags else None)
