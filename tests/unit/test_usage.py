"""What runs used over time: samples in sidecars to percent and MB, and into the dataset."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from analysis import usage
from analysis.campaign import read
from analysis.usage import MACHINE, PROCESS, Usage, Usages

LOGS = Path(__file__).resolve().parent.parent / "data/campaigns/logs"


def of(samples: str, start_s: str | None = "100.5") -> Usage | None:
    facts = {"resources.samples": samples} | ({} if start_s is None else {"start_uptime_s": start_s})
    told = usage.samples(facts)
    return told and usage.read(told)


def test_samples_become_percent_of_a_cpu_and_mb():
    found = of("100.6:1024:5 101.5:51200:140 103.5:51264:140")
    assert (found.of, found.memory_percent) == (PROCESS, None)
    assert list(found.time_s) == [0.1, 1.0, 3.0]
    assert list(found.cpu_percent) == [50, 150, 0], "of the first since the start, of the others since the one before"
    assert list(found.memory_mb) == [1, 50, 50.0625]


def test_cpu_time_that_is_gone_with_a_process_is_not_negative():
    assert list(of("101.5:1024:100 102.5:1024:40 103.5:1024:90").cpu_percent) == [100, 0, 50]


def test_what_is_no_later_sample_is_left_out():
    assert list(of("101.5:1024:10 101.5:1:11 99:1:12 102:1:x 102:1 nan:1:1 103.5:2048:30 104.5:10").time_s) == [1, 3]


@pytest.mark.parametrize("samples", ["", "-", "101.5", "101.5:1", "101.5:-1:1", "100.5:1:1", "99:1:1", "inf:1:1"])
def test_without_a_sample_there_is_nothing(samples):
    assert of(samples) is None


def test_without_a_start_there_is_nothing():
    assert of("101.5:1024:10", start_s=None) is None


def test_samples_wait_to_be_read_and_survive_a_journey():
    theirs = Usage(of=MACHINE, time_s=(1.0,), cpu_percent=(2.0,), memory_percent=(3.0,))
    ours = ("101.5:1024:10", 100.5)
    usages = Usages({("c", "pi"): {"a.log": ours, "b.log": theirs}, ("c", "xeon"): {}, ("d", "pi"): {"a.log": theirs}})
    for found in (usages, pickle.loads(pickle.dumps(usages))):
        assert [*found] == [("c", "pi", "a.log"), ("c", "pi", "b.log"), ("d", "pi", "a.log")]
        assert len(found) == 3
        assert found["c", "pi", "a.log"] == of("101.5:1024:10")
        assert found["c", "pi", "b.log"] == theirs
        assert ("c", "xeon", "a.log") not in found
        assert ("e", "pi", "a.log") not in found


def test_a_campaign_has_the_usage_of_the_runs_that_say_so(tmp_path):
    logs = Path(shutil.copytree(LOGS, tmp_path / "logs"))
    [sidecar] = logs.glob("demo/pi/runs/0001_*.meta")
    text = sidecar.read_text()
    start_s = float(text.partition("start_uptime_s=")[2].partition("\n")[0])
    sidecar.write_text(text.replace("complete=1", f"resources.samples={start_s + 2}:2048:100\ncomplete=1"))
    dataset = read([logs])
    [(key, found)] = dataset.usage.items()
    assert key == ("demo", "pi", str(sidecar.relative_to(logs).with_suffix(".log")))
    assert (found.time_s[0], found.cpu_percent[0], found.memory_mb[0]) == (2, 50, 2)
