"""What the run script noted beside each log: how the process ended, and what the machine was like before and after.

Format: `key=value` lines, UTF-8, the last one `complete=1`; a key whose fact the machine does not have is absent.
"""

from __future__ import annotations

import math
import operator
import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from analysis.names import EVALUATE, strange_schema

SWAPPED_PAGES = 256  # 1 MB, with the usual pages: a system that tidies away what is idle disturbs nobody
TICKS_PER_S = 100  # USER_HZ, the unit of /proc/stat: 100 on every Linux port that runs TFLite

_EXIT_CODES = {
    124: "stopped at the time limit",
    126: "the runner could not be executed",
    127: "the runner was not found",
    132: "the processor does not know an instruction of the runner",
    134: "the runner aborted itself",
    137: "killed, most often because memory ran out",
    139: "crashed with a segmentation fault",
}

_TIMES = re.compile(r"\s*([0-9]{1,9})m([0-9]{1,9}\.?[0-9]*)s\s+([0-9]{1,9})m([0-9]{1,9}\.?[0-9]*)s\s*")

# `vcgencmd get_throttled`: bits 0-3 are true now, bits 16-19 have been true since boot.
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}

# `PowerManager.getCurrentThermalStatus()` of Android.
_THERMAL_STATUSES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

_AROUND = ("before", "after")  # the run
_OF_PHONES = {
    f"{when}.{key}"
    for when in _AROUND
    for key in ("battery_percent", "battery_temperature_c", "plugged", "thermal_status", "screen")
}
_DISTURBING_PHONES = {f"{when}.{key}" for when in _AROUND for key in ("thermal_status", "power_save", "suspends")}

_LAST_LINE = "\ncomplete=1\n"
_CONTROLS = [(name, f"control.{name}") for name in ("governor", "turbo", "pin_cpus", "nice")]
_THROTTLED_KEYS = ("before.throttled", "during.throttled", "after.throttled")
_DISTURBING = (
    *_THROTTLED_KEYS,
    *(f"{when}.{key}" for when in _AROUND for key in ("thermal_throttle_count", "pages_swapped", "governor")),
)


def parse(text: str) -> dict[str, str]:
    """Read the `key=value` lines; `-` means not set and is left out."""
    return {key: value for line in text.split("\n") for key, _, value in [line.partition("=")] if value != "-"}


def parse_all(texts: Iterable[str | None]) -> Iterator[dict[str, str] | None]:
    """The same of many sidecars, None of None; most have the keys of the one before, and one pattern reads them."""
    keys, pattern = (), None
    for text in texts:
        if text is None:
            yield None
        elif pattern and (found := pattern.fullmatch(text)) and "-" not in (values := found.groups()):
            yield dict(zip(keys, values, strict=True))
        else:
            facts = parse(text)
            if text.endswith(_LAST_LINE):
                lines = [line.partition("=")[0] for line in text.split("\n")]
                keys, pattern = _pattern(tuple(lines), frozenset(facts))
            yield facts


@lru_cache(maxsize=64)  # making one takes as long as reading some hundred sidecars
def _pattern(lines: tuple[str, ...], known: frozenset[str]) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """Of a text whose lines begin with these keys, those that are not `known` not set: the known keys, in order."""
    keys = tuple(key for key in lines if key in known)
    values = (f"{re.escape(key)}={'(.*+)' if key in known else '-'}\n" for key in lines[:-1])
    return keys, re.compile("".join(values) + "()")


def number(facts: Mapping[str, str], key: str) -> float | None:
    """A fact as a finite number; None where it is absent or no number."""
    text = facts.get(key)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def integer(facts: Mapping[str, str], key: str) -> int | None:
    """A fact as an integer; None where it is absent or no integer of a usual size."""
    return _integer(facts.get(key))


@lru_cache(maxsize=4096)  # the same few numbers in most runs
def _integer(text: str | None) -> int | None:
    return int(text) if text and text.removeprefix("-").isdecimal() and len(text) < 18 else None


def failure(facts: Mapping[str, str]) -> str:
    """Why the process gave no measurement, in words; '' if nothing says so."""
    if reason := facts.get("failure"):
        return reason
    if facts.get("timed_out") == "1":
        return f"stopped at the time limit of {facts.get('timeout_s', '?')} s"
    code = integer(facts, "exit_code")
    if not code:
        return ""
    if words := _EXIT_CODES.get(code):
        return f"{words} (exit code {code})"
    try:
        return f"ended by {signal.Signals(code - 128).name} (exit code {code})"
    except ValueError:
        return f"exit code {code}"


def doubts(facts: Mapping[str, str]) -> list[str]:
    """Why a measurement is not to be trusted, as far as the sidecar tells."""
    found = []
    if strange := strange_schema(facts.get("schema")):
        found.append(f"its sidecar's {strange}")
    if facts.get("complete") != "1":
        found.append("the sidecar is cut short")
    elif integer(facts, "exit_code") is None:
        found.append("the sidecar has no exit code")
    if said := facts.get("invalid"):
        found.append(said)
    elif facts.get("phase") != EVALUATE:  # what disturbs a machine changes nothing in what a model takes an image for
        found += _disturbances(tuple(map(facts.get, _DISTURBING)))
        if not facts.keys().isdisjoint(_DISTURBING_PHONES):
            found += _phone_disturbances(facts)
    return found


@lru_cache(maxsize=1024)  # most runs of a machine have the same: nothing happened
def _disturbances(values: tuple[str | None, ...]) -> tuple[str, ...]:
    """What the run script makes a run invalid for; for the sidecars of scripts that did not judge.

    values: of the keys `_DISTURBING`.
    """
    facts = {key: value for key, value in zip(_DISTURBING, values, strict=True) if value is not None}
    before, during, after = [throttled(facts.get(key, "")) or 0 for key in _THROTTLED_KEYS]
    found = []
    # Since-boot bits count only if they came up during the run.
    if bits := (before | during | after) & 0xF | (after & ~before) >> 16 & 0xF:
        causes = [words for bit, words in _THROTTLED.items() if bits >> bit & 1]
        found.append(f"the machine was held back during the run: {', '.join(causes)}")
    if (events := rise(facts, "thermal_throttle_count") or 0) > 0:
        found.append(f"the CPUs were throttled for heat during the run ({events} times)")
    if (pages := rise(facts, "pages_swapped") or 0) >= SWAPPED_PAGES:
        found.append(f"the machine swapped during the run ({pages} pages)")
    early, late = facts.get("before.governor"), facts.get("after.governor")
    if early and late and early != late:
        found.append(f"the frequency governor changed during the run, from {early} to {late}")
    return tuple(found)


def _phone_disturbances(facts: Mapping[str, str]) -> Iterator[str]:
    """The same of what only phones tell."""
    if 0 < (status := thermal_status(facts) or 0) < len(_THERMAL_STATUSES):
        yield f"the phone's thermal status is {status} ({_THERMAL_STATUSES[status]})"
    if "1" in _both(facts, "power_save"):
        yield "the phone's battery saver is on"
    if (times := rise(facts, "suspends") or 0) > 0:
        yield f"the phone slept during the run ({times} times)"


def _both(facts: Mapping[str, str], key: str) -> list[str]:
    """What a fact was before and after the run, each value once."""
    values = (facts.get(f"{when}.{key}") for when in _AROUND)
    return list(dict.fromkeys(value for value in values if value))


def thermal_status(facts: Mapping[str, str]) -> int | None:
    """Android's thermal status, the higher of before and after; 0 = none."""
    return _higher(integer(facts, f"{when}.thermal_status") for when in _AROUND)


def _higher(values: Iterable[float | None]) -> Any:
    """The greatest of what is known; None if nothing is."""
    return max((value for value in values if value is not None), default=None)


def phone(facts: Mapping[str, str]) -> dict[str, Any]:
    """What a phone was like around a run, by the columns of `Dataset.runs`; {} for other machines."""
    if facts.keys().isdisjoint(_OF_PHONES):
        return {}
    return {
        "battery_percent": number(facts, "before.battery_percent"),
        "battery_temperature_c": _higher(number(facts, f"{when}.battery_temperature_c") for when in _AROUND),
        "plugged": ", ".join(_both(facts, "plugged")),
        "thermal_status": thermal_status(facts),
        "screen": ", ".join(_both(facts, "screen")),
    }


def rise(facts: Mapping[str, str], counter: str) -> int | None:
    """By how much a counter of the machine rose during the run; None where it is not there, or began anew."""
    first, last = facts.get("before." + counter), facts.get("after." + counter)
    early = _integer(first)
    late = early if first == last else _integer(last)
    return None if early is None or late is None or late < early else late - early


def control(facts: Mapping[str, str]) -> str:
    """What was set on the machine for the run: 'governor=performance pin_cpus=2-3', or 'none'."""
    return " ".join([f"{name}={facts[key]}" for name, key in _CONTROLS if facts.get(key)]) or "none"


def duration_s(facts: Mapping[str, str]) -> float | None:
    """Wall time of the process, from the machine's uptime, which no clock adjustment moves."""
    return _difference(number(facts, "end_uptime_s"), number(facts, "start_uptime_s"))


def cpu_shares(facts: Mapping[str, str]) -> tuple[float | None, float | None]:
    """What other work took from the machine between the two states, in percent of all its CPUs' time.

    Returns (steal, other): time that the hypervisor gave to other machines; and time that this machine spent busy
    (user, nice, system, interrupts) beyond the runner's own CPU time. On 4 CPUs one busy neighbour is 25 %. None where
    /proc/stat or the shell's `times` is not there.
    """
    before, after = _ticks(facts, "before.cpu_ticks"), _ticks(facts, "after.cpu_ticks")
    if before is None or after is None:
        return None, None
    spent = list(map(operator.sub, after, before))
    total = sum(spent)
    if not 0 < total < math.inf:
        return None, None
    user, nice, system, _, _, irq, softirq, steal = spent
    own = None
    if facts.get("runner") != "benchmark_apk":  # an app is a process of Android's, not of the script's
        own = _difference(_cpu_s(facts, "after.children_times"), _cpu_s(facts, "before.children_times"))
    # Ticks are coarser than the runner's own time, so a quiet machine can come out slightly below zero.
    other = None if own is None else max(0.0, user + nice + system + irq + softirq - own * TICKS_PER_S)
    return 100 * steal / total, None if other is None else 100 * other / total


def _ticks(facts: Mapping[str, str], key: str) -> list[float] | None:
    """user nice system idle iowait irq softirq steal; the guests' times behind them are parts of user and nice."""
    words = facts.get(key, "").split(None, 8)[:8]
    try:
        return list(map(float, words)) if len(words) == 8 else None
    except ValueError:
        return None


def _cpu_s(facts: Mapping[str, str], key: str) -> float | None:
    """Seconds in `0m1.23s 0m0.45s`, user and system together."""
    times = _TIMES.fullmatch(facts.get(key, ""))
    if not times:
        return None
    user_min, user_s, system_min, system_s = times.groups()
    return 60 * (int(user_min) + int(system_min)) + float(user_s) + float(system_s)


@lru_cache(maxsize=256)
def throttled(text: str) -> int | None:
    """The firmware's throttle bits from `throttled=0x5`, `0x5` or `5`, all of them hex; None for no number."""
    if not text:
        return None
    try:
        return int(text.removeprefix("throttled="), 16)
    except ValueError:
        return None


def _difference(late: float | None, early: float | None) -> float | None:
    return None if late is None or early is None else late - early
