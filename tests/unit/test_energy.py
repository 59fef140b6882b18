"""Energy: raw readings of every kind of meter to joules, against machines whose power is known; and what is said."""

from __future__ import annotations

import random
import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context

from analysis import campaign, document, energy, findings, opening, plots, plots_energy, sidecar
from analysis.energy import COUNTERS, ESTIMATED, SAMPLES, TOO_SHORT, Channels, Told, UnreadableError
from analysis.logs import OK, ToolRun
from benchmarks.synthetic import write_campaign
from tests.unit.datasets import dataset, run

RANGE_UJ = 262143328850  # of a desktop's package, and of its DRAM below
RAPL = Channels("rapl", "uj", "package-0,dram-0", f"{RANGE_UJ},65712999613")
BOOT = "3b0f343b-0931-126a-20f1-33d67c2b018a"


# --- machines whose power is known ------------------------------------------------------------------------------------


class Machine:
    """A made machine that takes some power with nothing to do, more during a process, and is never quite steady.

    The process has init, warm-up and a timed phase, and then ends; all from a seed.
    """

    interval_s = 1.0

    def __init__(self, seed: int) -> None:
        random_ = random.Random(seed)
        self.random = random_
        self.start_s = 1000 * random_.random()
        self.end_s = self.start_s + random_.uniform(30, 60)
        self.timed_s = self.start_s + random_.uniform(3, 6), self.end_s - random_.uniform(0.01, 0.05)
        self.iterations = random_.randint(50, 500)
        self.idle_w, self.busy_w = random_.uniform(2, 40), random_.uniform(3, 60)
        self.wave_w, self.turns_per_s = 0.1 * self.busy_w, random_.uniform(0.5, 2)

    def watts(self, at_s: float) -> float:
        busy = self.start_s <= at_s < self.end_s
        return self.idle_w + busy * self.busy_w + self.wave_w * np.sin(self.turns_per_s * at_s)

    def joules(self, from_s: float, to_s: float) -> float:
        """The integral of `watts`."""

        def until(at_s: float) -> float:
            busy_s = min(max(at_s, self.start_s), self.end_s)
            wave = -self.wave_w * np.cos(self.turns_per_s * at_s) / self.turns_per_s
            return self.idle_w * at_s + self.busy_w * busy_s + wave

        return until(to_s) - until(from_s)

    def times_s(self) -> list[float]:
        """When the meter is read: just before the process, in between as well as a shell sleeps, and just after it."""
        times = [self.start_s - 0.02]
        while times[-1] < self.end_s - 2 * self.interval_s:
            times.append(times[-1] + self.interval_s * self.random.uniform(1, 1.1))
        return [*times, self.end_s + 0.02]

    def samples(self, unit: str) -> tuple[Channels, str]:
        """What the host notes: times as /proc/uptime has them, values as the meter does."""
        names, ranges, value = UNITS[unit]
        words = [f"{int(100 * at_s) / 100:.2f}:{value(self, at_s)}" for at_s in self.times_s()]
        return Channels("made", unit, names, ranges), " ".join(words)

    def facts(self, unit: str) -> dict[str, str]:
        channels, samples = self.samples(unit)
        return told(channels, samples, self.start_s, self.end_s, self.interval_s)

    def run(self, **edgebench: object) -> ToolRun:
        mean_ms = 1000 * (self.timed_s[1] - self.timed_s[0]) / self.iterations
        return ToolRun(status=OK, iterations=self.iterations, avg_inference_ms=mean_ms, edgebench=edgebench)


def counted(machine: Machine, at_s: float) -> str:
    """Two counters with a third and two thirds of the energy; the first wraps within the process."""
    counts = [1e6 * share * machine.joules(machine.start_s - 100, at_s) for share in (1 / 3, 2 / 3)]
    return f"{int((RANGE_UJ - 1e9 + counts[0]) % RANGE_UJ)},{int(counts[1] % RANGE_UJ)}"


def told(channels: Channels, samples: str, start_s: float, end_s: float, interval_s: float = 0.5) -> dict[str, str]:
    """A sidecar's facts on energy."""
    lines = [f"energy.{name}={text or '-'}" for name, text in channels._asdict().items()]
    lines += [f"energy.samples={samples}", f"energy.interval_s={interval_s}", f"boot_id={BOOT}"]
    return sidecar.parse("\n".join([*lines, f"start_uptime_s={start_s:.2f}", f"end_uptime_s={end_s:.2f}"]))


UNITS = {
    "uj": ("package-0,dram-0", f"{RANGE_UJ},{RANGE_UJ}", counted),
    "j": ("meter", "", lambda machine, at_s: f"{5000 + machine.joules(0, at_s):.3f}"),
    "w": ("meter", "", lambda machine, at_s: f"{machine.watts(at_s):.2f}"),
    "mw": ("VDD_IN", "", lambda machine, at_s: f"{1000 * machine.watts(at_s):.0f}"),
    "ma_mv": ("VDD_CPU,VDD_SOC", "", lambda m, t: f"{70 * m.watts(t):.0f},10000,{60 * m.watts(t):.0f},5000"),
    "a_v": ("VDD_CORE,3V3_SYS", "", lambda m, t: f"{m.watts(t) / 2:.8f},1,{m.watts(t) / 6.6:.8f},3.3"),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("unit", UNITS)
def test_joules_are_within_one_percent_of_the_truth(unit, seed):
    machine = Machine(seed)
    start_s, end_s = machine.timed_s
    timed = {"start_uptime_s": start_s, "end_uptime_s": end_s}
    found = energy.of_run(machine.facts(unit), machine.run(timed=timed))
    assert (found.method, found.reason, found.warning) == (SAMPLES, "", "")
    assert found.run_j == pytest.approx(machine.joules(machine.start_s, machine.end_s), rel=0.01)
    assert found.timed_j == pytest.approx(machine.joules(start_s, end_s), rel=0.01)
    assert found.timed_s == pytest.approx(end_s - start_s)
    estimated = energy.of_run(machine.facts(unit), machine.run())
    assert estimated.method == ESTIMATED
    assert estimated.timed_j == pytest.approx(machine.joules(start_s, end_s), rel=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_counters_that_the_runner_read_are_exact(seed):
    machine = Machine(seed)
    start_s, end_s = machine.timed_s
    counters = {"start": json_of(counted(machine, start_s)), "end": json_of(counted(machine, end_s))}
    counters |= {"start_uptime_s": start_s, "end_uptime_s": end_s}
    found = energy.of_run(machine.facts("uj"), machine.run(energy_counters=counters, timed={"start_uptime_s": 0}))
    assert found.method == COUNTERS
    assert found.timed_j == pytest.approx(machine.joules(start_s, end_s), abs=1e-5)  # cut to whole uJ


def json_of(values: str) -> list[int]:
    return [int(value) for value in values.split(",")]


@pytest.mark.parametrize("seed", range(5))
def test_damaged_readings_never_raise(seed):
    random_ = random.Random(seed)
    machine = Machine(seed)
    for unit in UNITS:
        whole = machine.facts(unit)
        for _ in range(30):
            facts = dict(whole)
            name = random_.choice(["energy.samples", "energy.samples", *facts])
            text = facts[name]
            for _ in range(random_.randint(1, 4)):
                at = random_.randrange(len(text) + 1)
                junk = random_.choice(["", " ", ":", ",", "-", "nan", "9" * 30, "1e400", "1e308", "\0", "x"])
                text = text[:at] + junk + text[at + random_.randint(0, 3) :]
            found = energy.of_run(facts | {name: text}, machine.run())
            assert found.run_j is None or np.isfinite(found.run_j)


@pytest.mark.parametrize(
    "value",
    [
        None, 3, "x", [], {}, {"start": 3}, {"start": [1], "end": [2]},
        {"start_uptime_s": "x", "end_uptime_s": [2]}, {"start_uptime_s": 2, "end_uptime_s": 1},
        {"start": [1, 2, 3], "end": [1, 2, 3], "start_uptime_s": 1, "end_uptime_s": 2},
        {"start": ["a", 10**400], "end": [True, None], "start_uptime_s": 1, "end_uptime_s": 2},
    ],
)  # fmt: skip
def test_strange_lines_of_a_runner_are_as_none(value):
    machine = Machine(1)
    found = energy.of_run(machine.facts("uj"), machine.run(energy_counters=value, timed=value if value != [] else 1))
    assert found.method in (ESTIMATED, "")
    assert found.run_j == pytest.approx(machine.joules(machine.start_s, machine.end_s), rel=0.01)


# --- counters ---------------------------------------------------------------------------------------------------------


def test_each_channel_wraps_by_its_own_range():
    samples = "10.00:262143000000,65712000000 10.50:271150,1000387 11.00:1271150,1500387"
    reading = energy.read(RAPL, samples)
    package_j, dram_j = 0.328850 + 0.271150, 0.999613 + 1.000387
    assert reading.joules.tolist() == pytest.approx([0, package_j + dram_j, package_j + dram_j + 1.5])


@pytest.mark.parametrize(
    ("channels", "samples", "message"),
    [
        pytest.param(
            RAPL, "10.00:9000000000,5 10.50:1000,6", "went from 9000000000 to 1000 uj within 0.5 s: it was set anew",
            id="set anew",
        ),
        pytest.param(
            RAPL, "10.00:900000000000,5 10.50:1,6", "went from 900000000000 to 1 uj within 0.5 s", id="beyond its range"
        ),
        pytest.param(
            RAPL, "10.00:5,5 10.50:90000000000,6", "went from 5 to 90000000000 uj within 0.5 s", id="a digit too much"
        ),
        pytest.param(
            RAPL._replace(ranges=""), "1.00:9,5 1.50:8,6", "package-0 went from 9 to 8", id="no range is known"
        ),
        pytest.param(
            RAPL, "10.00:5,5 76.00:6,6", r"the counter of dram-0 may wrap every 66 s, and its readings are 66 s apart",
            id="several wraps cannot be seen",
        ),
        pytest.param(
            Channels("command", "j", "", ""), "1.00:9 1.50:8", "went from 9 to 8 j", id="an external meter set anew"
        ),
    ],
)  # fmt: skip
def test_counters_that_cannot_be_true_give_no_number(channels, samples, message):
    with pytest.raises(UnreadableError, match=re.escape(message)):
        energy.read(channels, samples)


def test_a_timed_phase_longer_than_a_wrap_is_known_from_the_samples():
    """The counters that the runner read could have wrapped twice in 70 s; those between them could not."""
    facts = told(RAPL, " ".join(f"{t}:{t * 5000000},{t * 1000000}" for t in range(10, 91)), 10, 90, 1)
    window = {"start_uptime_s": 15.0, "end_uptime_s": 85.0}
    counters = {"start": [75000000, 15000000], "end": [425000000, 85000000]} | window
    run_ = ToolRun(status=OK, iterations=7, edgebench={"energy_counters": counters, "timed": window})
    found = energy.of_run(facts, run_)
    assert (found.method, found.timed_j) == (SAMPLES, pytest.approx(420))


# --- other meters, as they were recorded ------------------------------------------------------------------------------


def test_rails_of_a_raspberry_pi_5():
    channels = Channels("pmic", "a_v", "3V7_WL_SW,3V3_SYS,1V8_SYS,DDR_VDD2,VDD_CORE", "")
    idle = "0.09759000,3.71486800,0.08002380,3.31135700,0.19226670,1.80146000,0.02634930,1.11269,0.73428000,0.72046880"
    busy = "0.09759000,3.70902000,0.08197560,3.31033500,0.19812210,1.79706800,0.24102000,1.11123,5.16714000,0.87695500"
    reading = energy.read(channels, f"50.00:{idle} 50.50:{busy} 51.00:{busy}")
    idle_w, busy_w = 1.532482, 5.787835
    assert reading.joules[-1] == pytest.approx((idle_w + busy_w) / 4 + busy_w / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("channels", "values"),
    [
        (Channels("ina3221", "ma_mv", "VDD_IN", ""), "1016,4968"),
        (Channels("ina3221", "mw", "POM_5V_IN", ""), "5047"),
        (Channels("command", "w", "-", ""), "5.047"),
    ],
)
def test_steady_power(channels, values):
    reading = energy.read(channels, f"7.00:{values} 7.50:{values} 9.00:{values}")
    assert reading.joules[-1] == pytest.approx(2 * 5.047, rel=1e-3)
    assert reading.between(7.25, 8.25) == pytest.approx(5.047, rel=1e-3)


# --- when there is no number ------------------------------------------------------------------------------------------

STEADY = " ".join(f"{10 + i / 2}:10" for i in range(21))  # 10 W from 10 to 20 s
POWER = Channels("command", "w", "meter", "")


def measured(samples: str = STEADY, *, channels: Channels = POWER, avg_ms: float = 100.0, **edgebench):
    run_ = ToolRun(status=OK, iterations=50, avg_inference_ms=avg_ms, edgebench=edgebench)
    return energy.of_run(told(channels, samples, 10, 20), run_)


def test_a_short_phase_has_no_energy_but_its_process_has():
    found = measured(timed={"start_uptime_s": 18.5, "end_uptime_s": 19.4})
    assert (found.run_j, found.timed_j, found.reason) == (100, None, TOO_SHORT)
    assert measured(avg_ms=19.9).reason == TOO_SHORT
    assert measured(avg_ms=20.1).timed_j == pytest.approx(10.05)
    window = {"start_uptime_s": 18.5, "end_uptime_s": 18.6}
    counters = {"start": [1, 1], "end": [1000001, 1]} | window
    samples = " ".join(f"{10 + i / 2}:{i},{i}" for i in range(21))
    assert measured(samples, channels=RAPL, energy_counters=counters).timed_j == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"channels": POWER._replace(unit="kcal")}, "the unit 'kcal' of the meter is not known"),
        ({"samples": ""}, "0 samples of the meter are readable, expected 2 or more"),
        ({"samples": "10.00:5,6 10.50:x 11.00:5"}, "1 samples of the meter are readable, expected 2 or more"),
        ({"samples": STEADY[:80]}, "the samples of the meter do not cover the process"),
        ({"samples": f"{STEADY} 40.00:10"}, "the meter was silent for 20 s"),
        ({"timed": {"start_uptime_s": 9.5, "end_uptime_s": 18.0}}, "the timed phase is not where the samples of the"),
        ({"avg_ms": 210.0}, "the timed phase is not where the samples of the"),
    ],
)
def test_why_there_is_no_energy(changes, reason):
    found = measured(**changes)
    assert found.timed_j is None
    assert found.reason.startswith(reason)


def test_what_the_idle_machine_takes_is_not_the_power_of_a_process():
    """The samples before and after it are the idle machine's; those within hold up to its ends."""
    samples = "9.98:2 11:9 12:10 13:10 14:10 15:10 16:10 17:10 18:10 19:11 20.02:2"
    found = measured(samples, timed={"start_uptime_s": 15.0, "end_uptime_s": 20.0})
    assert (found.run_j, found.timed_j) == (9 + 9.5 + 60 + 10.5 + 11, 30 + 10.5 + 11)
    facts = told(POWER, "9.98:2 10.52:4", 10, 10.5)
    assert energy.of_run(facts, ToolRun(status=OK, iterations=1)).run_j == pytest.approx(0.54 * 3)


def test_a_garbled_sample_is_left_out_with_a_warning():
    found = measured(STEADY.replace("12.5:10", "12.5:1O").replace("15.0:10", "5.0:10"))
    assert (found.run_j, found.warning) == (100, "2 samples of the meter are garbled and left out")


def test_what_a_host_without_a_meter_says():
    reason = "no permission to read /sys/class/powercap/intel-rapl:0/energy_uj"
    facts = sidecar.parse(f"energy.meter=none\nenergy.reason={reason}")
    found = energy.of_run(facts, ToolRun(status=OK, iterations=5))
    assert (found.channels.meter, found.run_j, found.reason) == ("none", None, reason)
    assert energy.of_run({"energy.meter": "none"}, None).reason == "the logs do not say why"


# --- the idle machine -------------------------------------------------------------------------------------------------

IDLE = ("block", "start_utc", "boot_id", "meter", "unit", "names", "ranges", "samples")


def idle_table(*lines: tuple) -> list[dict[str, str]]:
    rows = [(str(block), "2026-11-25T16:00:00Z", boot, *channels, samples) for block, boot, channels, samples in lines]
    return [dict(zip(IDLE, (value or "-" for value in row), strict=True)) for row in rows]


def test_idle_power_is_that_before_the_block_after_the_same_start():
    watts = {block: f"1.00:{block + 1} 4.00:{block + 1}" for block in range(5)}
    lines = [(1, BOOT, POWER, watts[1]), (3, BOOT, POWER, watts[3]), (2, "another", POWER, watts[2])]
    idle, problems = energy.idle_powers(idle_table(*lines, (3, BOOT, RAPL, "1.00:0,0 2.00:500000,0")))
    assert problems == []

    def power_w(block: int | None, boot_id: str = BOOT, channels: Channels = POWER) -> float | None:
        return energy.idle_power_w(energy.Measured(channels, boot_id), block, idle)

    assert [power_w(block) for block in (None, 0, 1, 2, 3, 9)] == [None, None, 2, 2, 4, 4]
    assert power_w(9, "another") == 3
    assert power_w(9, "a third") is None
    assert power_w(9, channels=RAPL) == 0.5
    assert energy.idle_powers(None) == ([], [])


def test_idle_lines_that_cannot_be_used_are_named():
    samples = {1: "1.00:x", 2: "1.00:3 1.00:3", "x": "1.00:3 2.00:3"}
    assert energy.idle_powers(idle_table(*((block, BOOT, POWER, text) for block, text in samples.items()))) == (
        [],
        [
            "line 2 is not used: 0 samples of the meter are readable, expected 2 or more",
            "line 3 is not used: it took no time",
            "line 4 is not used: it is of no block",
        ],
    )


# --- from logs to columns ---------------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path):
    """Two blocks of a campaign on two hosts; the first host counts 20 W during runs, and 5 W when idle."""
    write_campaign(tmp_path, hosts=2, repetitions=2, runner="benchmark_model")
    host = tmp_path / "bench/host-0"
    counts = " ".join(f"{1000 + i / 2:.2f}:{10**7 * i // 1},0" for i in range(13))
    lines = f"energy.meter=rapl\nenergy.unit=uj\nenergy.names=package-0,dram-0\nenergy.ranges={RAPL.ranges}\n"
    lines += f"energy.interval_s=0.5\nenergy.samples={counts}\n"
    for path in host.glob("runs/*.meta"):
        path.write_text(path.read_text().replace("complete=1", f"{lines}complete=1"))
    table = idle_table((1, BOOT, RAPL, "900.00:0,0 910.00:50000000,0"))
    pd.DataFrame(table).to_csv(host / "idle.tsv", sep="\t", index=False)
    for path in (tmp_path / "bench/host-1").glob("runs/*.meta"):
        text = "energy.meter=none\nenergy.reason=no sensor\ncomplete=1"
        path.write_text(path.read_text().replace("complete=1", text))
    return tmp_path


def test_columns_of_runs(bench):
    found = campaign.read([bench])
    assert found.problems == []
    runs = found.runs[found.runs["host"] == "host-0"].set_index("model")
    assert set(runs["energy_meter"]) == {"rapl"}
    assert runs["energy_run_j"].tolist() == pytest.approx([120] * 28)  # 20 W for the 6 s between first and last sample
    assert runs["idle_power_w"].tolist() == pytest.approx([5] * 28)
    long = runs.loc[["InceptionV3"]]
    long = long[long["variant"] == "float32"]
    assert long["power_w"].tolist() == pytest.approx([20, 20])
    inference_s = long["avg_inference_ms"] / 1000
    assert long["energy_inference_j"].tolist() == pytest.approx((20 * inference_s).tolist())
    assert long["energy_net_inference_j"].tolist() == pytest.approx((15 * inference_s).tolist())
    short = runs.loc["MobileNet"]
    assert short["energy_inference_j"].isna().all()
    assert set(short["warnings"]) == {f"energy: {TOO_SHORT}"}
    none = found.runs[found.runs["host"] == "host-1"]
    assert set(none["energy_meter"]) == {"none"}
    assert set(none["warnings"]) == {""}
    assert none[["energy_run_j", "power_w", "idle_power_w"]].isna().all().all()
    assert list(found.idle) == [("bench", "host-0")]
    assert found.energy.groupby("host")["reason"].unique()["host-1"].tolist() == ["no sensor"]


def test_a_failed_run_has_a_meter_and_no_energy(bench):
    path = next((bench / "bench/host-0/runs").glob("*VGG19.float32*.meta"))
    path.write_text(path.read_text().replace("exit_code=0", "exit_code=139"))
    runs = campaign.read([bench]).runs
    failed = runs[runs["status"] == "failed"].iloc[0]
    assert failed["energy_meter"] == "rapl"
    assert failed[["energy_run_j", "energy_inference_j", "power_w"]].isna().all()


def test_logs_without_energy_have_none(tmp_path):
    write_campaign(tmp_path, hosts=1, repetitions=1, runner="benchmark_model")
    found = campaign.read([tmp_path])
    assert found.energy.empty
    assert set(found.runs["energy_meter"]) == {""}
    assert list(found.energy) == list(Told._fields)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "idle.tsv: empty"),
        ("block\n1\n", "idle.tsv: not the kit's table; expected tab separated columns, one of them 'samples'"),
        ("block\tsamples\n1\t3\n", "idle.tsv: line 2 is not used: the unit '' of the meter is not known"),
    ],
)
def test_a_damaged_idle_table_loses_no_run(bench, text, problem):
    (bench / "bench/host-0/idle.tsv").write_text(text)
    found = campaign.read([bench])
    assert found.problems == [f"bench/host-0/{problem}"]
    assert found.runs["energy_run_j"].notna().sum() == 28
    assert found.runs["energy_net_inference_j"].isna().all()


# --- the report -------------------------------------------------------------------------------------------------------


LAB = {
    "pi": ("Raspberry Pi 5", Channels("pmic", "a_v", "VDD_CORE,3V3_SYS", "")),
    "nuc": ("NUC", Channels("rapl", "uj", "package-0", "262143328850")),
    "board": ("Board 3", Channels("none", "", "", "")),
}


def lab():
    """A Raspberry Pi 5 with its rails, a desktop whose phases are estimated, a board without a sensor; two batches."""
    noise = random.Random(3)
    configurations = product(LAB, range(1, 5), ("MobileNet", "ResNet18"), ("float32", "dynamic_range"), (1, 8))
    rows, told_ = [], []
    for host, block, model, variant, batch_size in configurations:
        platform, channels = LAB[host]
        joules = {"MobileNet": 0.02, "ResNet18": 0.3}[model] * {"float32": 1.0, "dynamic_range": 0.6}[variant]
        joules *= batch_size * noise.gauss(1, 0.02)
        facts = {"energy_meter": channels.meter}
        method, reason = {"pi": (SAMPLES, ""), "nuc": (ESTIMATED, ""), "board": ("", "no sensor")}[host]
        if (host, model, variant, batch_size) == ("nuc", "MobileNet", "dynamic_range", 1):
            method, reason = "", TOO_SHORT
        if host != "board":
            facts["energy_run_j"] = 60 * noise.gauss(1, 0.01)
        if method:
            facts |= {"energy_inference_j": joules, "power_w": 8 * noise.gauss(1, 0.01)}
        if host == "pi":
            facts |= {"idle_power_w": 3.0, "energy_net_inference_j": joules * 5 / 8}
        log = f"{host}/{block}_{model}.{variant}.b{batch_size}.log"
        kind = {"host": host, "platform": platform, "model": model, "variant": variant, "batch_size": batch_size}
        rows.append(run(**kind, repetition=block, block=block, avg_inference_ms=1000 * joules / 8, log=log, **facts))
        told_.append(Told("demo", host, log, *channels[:3], method, reason))
    watts = enumerate((2.9, 3.0, 3.1, 3.0), start=1)
    idle = idle_table(*((block, BOOT, LAB["pi"][1], f"1.00:1,{w},0,3 9.00:1,{w},0,3") for block, w in watts))
    return dataset(rows, energy=told_, idle={("demo", "pi"): idle})


@pytest.fixture(scope="module")
def report():
    return document.build(lab())


@pytest.fixture(scope="module")
def out(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("energy") / "out"
    document.publish(report, path)
    return path


def test_golden(out, golden):
    markdown = (out / "report.md").read_text(encoding="utf-8")
    start = markdown.index("## Energy")
    golden("report/energy.md", markdown[start : markdown.index("## Across machines")])
    for name in ("energy.csv", "energy_meters.csv", "energy_meters.tex"):
        golden(f"report/{name}", (out / "tables" / name).read_text(encoding="utf-8"))
    html = (out / "report.html").read_text(encoding="utf-8")
    assert '<section id="energy">' in html
    assert html.count("_energy.png, .svg") == 2, "one for each machine: its other batch size is in the tables"


def test_what_was_found_and_what_to_beware_of(report):
    assert opening.energy(report.study, report.tables["energy"]) == [
        "An inference takes from 0.0121 J (0.0116 to 0.0125; MobileNet dynamic_range, Raspberry Pi 5, batch 1) "
        "to 2.42 J (2.37 to 2.48; ResNet18 float32, NUC, batch 8).",
        "dynamic_range takes from 0.597 (0.584 to 0.610; 1 of 2 models) times the energy of float32 per inference "
        "in the geometric mean of the models on NUC, batch 1 to 0.604 (0.590 to 0.618) on Raspberry Pi 5, batch 8; "
        "less on 4 of 4.",
    ]
    cautions = {notice.text for notice in report.notices if notice.level == findings.CAUTION}
    assert {text for text in cautions if "nergy" in text} == {
        "Energy per inference is estimated (NUC): where a runner does not say when it measured, the last part of the "
        "process is taken, as long as its iterations took.",
        "Idle power is not known, or not for all runs (NUC): energy above idle is of the other runs only.",
    }


def test_one_candidate_on_one_machine_is_said_in_short():
    variants = {"float32": (2.0, 2.1, 1.9), "int8": (1.0, 1.1, 0.9)}
    rows = [
        run(variant=variant, repetition=i, block=i, energy_meter="rapl", energy_inference_j=joules)
        for variant, values in variants.items()
        for i, joules in enumerate(values, start=1)
    ]
    told_ = [Told("demo", "pi", row["log"], *RAPL[:3], COUNTERS, "") for row in rows]
    report = document.build(dataset(rows, energy=told_))
    assert opening.energy(report.study, report.tables["energy"]) == [
        "An inference takes from 1.00 J (0.752 to 1.25; MobileNet int8, pi) "
        "to 2.00 J (1.75 to 2.25; MobileNet float32, pi).",
        "int8 takes 0.500 (0.429 to 0.555) times the energy of float32 per inference: less.",
    ]


def test_a_ratio_is_that_of_speedups_turned_round(report):
    table = report.tables["energy"]
    mine = table[(table["host"] == "pi") & (table["batch_size"] == 8) & (table["variant"] == "dynamic_range")]
    mobilenet = mine[mine["model"] == "MobileNet"].iloc[0]
    runs = report.study.runs[(report.study.runs["host"] == "pi") & (report.study.runs["batch_size"] == 8)]
    means = runs[runs["model"] == "MobileNet"].groupby("variant")["energy_inference_j"].mean()
    assert mobilenet["ratio"] == pytest.approx(means["dynamic_range"] / means["float32"])
    assert mobilenet["ci_low"] < mobilenet["ratio"] < mobilenet["ci_high"] < 1
    assert mobilenet["verdict"] == "less"
    assert mobilenet["energy_per_image_j"] == pytest.approx(mobilenet["energy_inference_j"] / 8)
    assert list(mine["model"]) == ["MobileNet", "ResNet18", "geomean"]


def test_a_ratio_is_of_one_kind_of_meter():
    rows = [
        run(variant=variant, repetition=i, energy_meter=meter, energy_inference_j=joules * (1 + i / 100))
        for variant, meter, joules in (("float32", "rapl", 2.0), ("int8", "command", 9.0))
        for i in (1, 2)
    ]
    told_ = [Told("demo", "pi", row["log"], row["energy_meter"], "uj", "package-0", COUNTERS, "") for row in rows]
    table = document.build(dataset(rows, energy=told_)).tables["energy"]
    (int8,) = table[(table["variant"] == "int8") & (table["model"] != "geomean")].itertuples()
    assert (int8.verdict, int8.remark) == ("not comparable", "energy_meter differs: command, rapl")


def test_invalid_runs_are_in_no_mean():
    rows = [run(repetition=i, energy_inference_j=1.0, energy_run_j=9.0, energy_meter="rapl") for i in (1, 2)]
    rows += [run(repetition=3, status="invalid", reason="it", energy_inference_j=5.0, energy_meter="rapl")]
    told_ = [Told("demo", "pi", row["log"], "rapl", "uj", "package-0", COUNTERS, "") for row in rows]
    table = document.build(dataset(rows, energy=told_)).tables["energy"]
    assert table[["n", "energy_inference_j"]].to_numpy().tolist() == [[2, 1.0]]


def test_bars_stand_on_zero_and_have_their_intervals(report):
    with rc_context(plots.STYLE):
        drawn = {name: draw() for name, _, draw, _ in plots_energy.charts(report.study, report.tables["energy"])}
    axes = next(figure for name, figure in drawn.items() if name.startswith("nuc")).axes[0]
    assert axes.get_xlim()[0] == 0
    assert {patch.get_x() for patch in axes.patches} == {0}
    assert len(axes.patches) == 3
    assert "none" in [text.get_text() for text in axes.texts]


def test_where_no_host_has_a_meter_the_report_says_why(tmp_path):
    rows = [run(repetition=i, energy_meter="none") for i in (1, 2)]
    told_ = [Told("demo", "pi", row["log"], "none", "", "", "", "no sensor") for row in rows]
    document.publish(document.build(dataset(rows, energy=told_)), tmp_path / "out")
    text = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert "| pi | none | no sensor |" in text
    assert not (tmp_path / "out/tables/energy.csv").exists()


def test_a_host_that_says_nothing_of_a_meter_is_named_beside_one_that_does():
    rows = [run(host=host, energy_run_j=5.0 if host == "pi" else None) for host in ("old", "pi")]
    told_ = [Told("demo", "pi", rows[1]["log"], *RAPL[:3], "", TOO_SHORT)]
    meters = document.build(dataset(rows, energy=told_)).tables["energy_meters"]
    assert meters[["host", "meter", "covers", "reason"]].to_numpy().tolist() == [
        ["old", "", "", "no run says anything of a meter"],
        ["pi", "rapl", "processor packages and DRAM", f"1 run: {TOO_SHORT}"],
    ]


def test_nothing_is_said_of_energy_in_older_logs(tmp_path):
    document.publish(document.build(dataset([run()])), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*energy*"))
    for name in ("report.html", "report.md"):
        assert "nergy" not in (tmp_path / "out" / name).read_text(encoding="utf-8")
