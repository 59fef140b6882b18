"""Raw logs and their written schema: what the kit writes is valid, what is not is said, old logs stay readable."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.edgebench.testbed.plugins.module_utils import campaign as campaigns
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Records
from jsonschema import Draft202012Validator

from analysis import check, schema
from analysis.campaign import read
from analysis.names import COLUMNS
from analysis.study import Study
from tests.run_host import Host

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGNS = ROOT / "tests/data/campaigns"
SCHEMAS = sorted(schema.DIRECTORY.rglob("*.json"))
OF_DESIGN = list(COLUMNS)[: list(COLUMNS).index("log") + 1]  # the columns of runs.csv that never change
CPUS = "sys/devices/system/cpu"
RUN = "pi/runs/0001_MobileNet.float32.litert.t4_r1.meta"

# As a campaign with adaptive repetition leaves them, after its pilot.
CONFIGURATION = "model\tvariant\trunner\tthreads\tdelegate\tbatch_size\tinput_size"
ITERATIONS = (
    f"{CONFIGURATION}\titerations\tpilot_runs\tmean_ms\twithin_sd_percent\tbetween_sd_percent\toverhead_s\treason\n"
    "MobileNet\tfloat32\tlitert\t4\tdefault\t1\t224\t17\t3\t5.35\t4.2\t1.1\t0.61\tchosen\n"
    "MobileNet\tint8\tlitert\t4\tdefault\t-\t-\t-\t0\t-\t-\t-\t-\tno pilot run was ok\n"
)
STOPPING = (
    f"{CONFIGURATION}\tblock\tn\tmean_ms\tinterval_percent\tspeedup_interval_percent\treason\n"
    "MobileNet\tfloat32\tlitert\t4\tdefault\t1\t224\t12\t12\t5.35\t0.81\t0.97\tnarrow\n"
    "MobileNet\tint8\tlitert\t4\tdefault\t-\t-\t10\t0\t-\t-\t-\tnever worked\n"
    "MobileNet\tfloat16\tlitert\t4\tdefault\t-\t-\t10\t0\t-\t-\t-\tno valid run\n"
    "UNet\tfloat32\ttorch\t1\tdefault\t32\t448\t1\t0\t-\t-\t-\tout of memory\n"
)
IDLE = (
    "block\tstart_utc\tboot_id\tmeter\tunit\tnames\tranges\tsamples\n"
    "1\t2026-11-25T16:00:00Z\t0e1f\trapl\tuj\tpackage-0,dram-0\t262143328850,65712\t100.5:1000,20 105.5:60001000,9\n"
    "2\t2026-11-25T17:00:00Z\t-\tpmic\ta_v\t3V7_WL_SW,VDD_CORE\t-\t100.5:0.0019,3.718,2.5,0.72\n"
)

# A run on each kind of meter, and on none.
ENERGY = [
    "energy.meter=rapl\nenergy.unit=uj\nenergy.names=package-0\nenergy.ranges=262143328850\nenergy.interval_s=1\n"
    "energy.samples=120.25:1000 121.27:8001000 121.9:12001000",
    "energy.meter=pmic\nenergy.unit=a_v\nenergy.names=VDD_CORE,DDR_VDD2\nenergy.interval_s=1\n"
    "energy.samples=120.25:2.5,0.72,0.01,1.1 121.25:2.6,0.71,0.0,1.1",
    "energy.meter=ina3221\nenergy.unit=ma_mv\nenergy.names=VDD_IN\nenergy.interval_s=0.5\nenergy.samples=1:1200,5000",
    "energy.meter=command\nenergy.unit=w\nenergy.names=command\nenergy.interval_s=1\nenergy.samples=1:4.25 2:-1e-3",
    "energy.meter=none\nenergy.reason=no sensor",
]


@pytest.fixture
def demo(tmp_path):
    """A copy of the campaign `demo`, free to be changed."""
    return Path(shutil.copytree(CAMPAIGNS / "logs" / "demo", tmp_path / "logs" / "demo"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# --- The schemas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_schema_is_one_and_is_explained(path):
    written = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(written)
    assert written["$id"] == f"urn:edgebench:logs:{path.parent.name}:{path.stem}"
    explained = (ROOT / "docs/logs.md").read_text(encoding="utf-8")
    assert [name for name in properties(written) if f"`{name}`" not in explained] == []


def properties(written: object) -> set[str]:
    if isinstance(written, list):
        return set().union(*map(properties, written))
    if not isinstance(written, dict):
        return set()
    inside = set().union(*(properties(value) for value in written.values()))
    return inside | set(written["properties"] if isinstance(written.get("properties"), dict) else ())


# --- What keeps to them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["logs", "old"])
def test_campaigns_of_the_tests_are_valid(name):
    assert check.violations([CAMPAIGNS / name]) == []


def test_what_the_script_writes_is_valid(tmp_path):
    host = Host("dash", tmp_path / "it's a dir")
    host.put("proc/loadavg", "0.10 0.20 0.30 1/100 4711")
    host.put("proc/stat", "cpu  1000 10 500 80000 20 0 5 0 0 0")
    host.put("proc/meminfo", "MemAvailable: 1000 kB\nSwapFree: 0 kB")
    host.put("proc/vmstat", "pswpin 1\npswpout 2")
    for cpu in (0, 1):
        host.put(f"{CPUS}/cpu{cpu}/cpufreq/scaling_governor", "ondemand")
    host.put(f"{CPUS}/cpu0/cpufreq/scaling_available_governors", "performance ondemand")
    host.put(f"{CPUS}/intel_pstate/no_turbo", "0")
    host.put_vcgencmd(
        get_throttled="throttled=0x50000", measure_temp="temp=48.3'C", measure_clock="frequency(48)=2400000000"
    )
    wanted = {"benchmark_run_governor": "performance", "benchmark_run_disable_turbo": True, "benchmark_run_nice": 1}
    host.prepare(["ok", "crash", "swap"], **wanted, benchmark_run_retries=1)
    host.during("swap", 'echo "pswpin 1000\npswpout 2" >"$machine/proc/vmstat"')
    try:
        done = host()
    finally:
        host.clean_up()
    assert done.returncode == 0, done.stdout + done.stderr
    names = {"control.governor", "control.turbo", "control.nice", "invalid", "retry", "before.throttled"}
    names |= {"before.temperature_c", "before.cpu_mhz", "before.turbo", "before.pages_swapped"}
    written = [path for path in host.run_dir.rglob("*") if path.is_file() and schema.kind_of(path.name)]
    assert names - {line.partition("=")[0] for path in written for line in path.read_text().splitlines()} == set()
    assert {path.name: found for path in written if (found := violations(path))} == {}
    assert {schema.kind_of(path.name) for path in written} == {"plan", "sidecar", "done"}


def violations(path: Path) -> list[str]:
    return schema.violations(schema.kind_of(path.name), path.read_bytes())


@pytest.mark.parametrize("path", sorted((ROOT / "tests/golden/host_facts").glob("*.json")), ids=lambda path: path.stem)
def test_what_machines_tell_is_valid(path):
    assert schema.violations("host", path.read_bytes()) == []


def test_what_the_kit_notes_of_leases_is_valid(tmp_path):
    lease = {"name": "edgebench-1", "id": "1", "ours": True, "homes": []}
    lease |= {"start_utc": "2026-11-25T16:00:00Z", "end_utc": "2026-11-25T19:55:00Z"}
    facts = {"kind": "node", "type": "compute_skylake", "su_per_hour": None}
    leases.note_home(Records(tmp_path / "state"), "CHI@UC", "skylake", lease, tmp_path / "skylake", facts)
    assert violations(tmp_path / "skylake/leases.json") == []


def test_what_the_kit_records_of_a_campaign_is_valid(tmp_path):
    settings = json.loads((CAMPAIGNS / "logs/demo/campaign.json").read_text())["settings"]
    settings |= {"target_percent": 1, "iterations": "auto", "pilot_runs": 3, "op_profiling": False, "evaluate": True}
    settings |= {"batch_sizes": [1, 8], "input_sizes": []}
    model = {"model": "image", "variant": "int8", "file": "image.int8.tflite", "sha256": "0" * 64, "url": None}
    model |= {
        "format": "tflite",
        "macs": 569_000_000,
        "activation_mb": 4.75,
        "batch_size": None,
        "weights": "brain-mri",
    }
    record = {"models": [model], "runners": {"a": {"litert": {"version": "2"}}}, "versions": {"ansible_core": "2.19"}}
    params = {"logs_dir": str(tmp_path), "kit_dir": str(ROOT), "name": "demo", "hosts": ["a"], "settings": settings}
    params |= {"seed": "", "resume_days": 7, "record": record}
    campaigns.ensure(params, datetime(2026, 11, 20, tzinfo=UTC), check_mode=False)
    assert violations(tmp_path / "demo/campaign.json") == []


def test_files_of_adaptive_campaigns_are_valid_and_need_not_be_there(demo):
    (demo / "pi/iterations.tsv").write_text(ITERATIONS)
    (demo / "pi/stopping.tsv").write_text(STOPPING)
    header, first, *lines = (demo / "pi/plan.tsv").read_text().splitlines()
    phases = ["phase", "pilot", *(["measure"] * (len(lines) - 2)), "profile", "evaluate"]
    rows = [line.split("\t") for line in (header, first, *lines)]
    rows = [[*row[:3], phase, *row[3:]] for row, phase in zip(rows, phases, strict=True)]
    (demo / "pi/plan.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    edit(demo / RUN, "complete=1", "phase=pilot\niterations_wanted=17\nchecks=iterations,cpu,drift\ncomplete=1")
    assert check.violations([demo]) == []


@pytest.mark.parametrize("energy", ENERGY, ids=lambda text: text.split()[0].partition("=")[2])
def test_files_of_campaigns_with_energy_are_valid(demo, energy):
    (demo / "pi/idle.tsv").write_text(IDLE)
    failure = "failure=out of memory: needs at least 3400 MB, 1800 MB are available"
    edit(demo / RUN, "complete=1", f"{energy}\n{failure}\ncomplete=1")
    assert check.violations([demo]) == []


def test_what_a_newer_kit_adds_is_no_violation(demo):
    edit(demo / "campaign.json", '"seed": 123', '"seed": 123, "weather": "fine"')
    edit(demo / RUN, "complete=1", "before.fan_rpm=900\ncomplete=1")
    assert check.violations([demo]) == []


# --- What does not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        pytest.param(
            "campaign.json",
            '"min_repetitions": 2',
            '"min_repetitions": "2"',
            "settings.min_repetitions is '2', expected an integer above 0",
            id="type",
        ),
        pytest.param("campaign.json", '"seed": 123,', "", "seed is missing", id="missing"),
        pytest.param(
            "campaign.json", '"baseline": "float32",', "", "settings.baseline is missing", id="missing further down"
        ),
        pytest.param(
            "campaign.json",
            "aa11aa11",
            "",
            "models[0].sha256 is 'aa11aa11aa11...1aa11aa11aa11', expected a sha256 (64 hex digits)",
            id="cut checksum",
        ),
        pytest.param(
            "campaign.json",
            '"schema": 1',
            '"schema": 2',
            "schema is 2, this kit knows 1: another version of the kit wrote it; read it with that one",
            id="newer",
        ),
        pytest.param("pi/host.json", "{", "", "is not JSON (Extra data: line 1 column 9 (char 8))", id="not JSON"),
        pytest.param(
            "pi/host.json", '"cpus": 4', '"cpus": -4', "cpus is -4, expected an integer, 0 or more, or null", id="below"
        ),
        pytest.param(
            "pi/leases.json",
            "2026-11-20T12:30:00Z",
            "yesterday",
            "[0].start_utc is 'yesterday', expected a time in UTC like 2026-11-25T16:00:00Z",
            id="time",
        ),
        pytest.param("pi/plan.tsv", "\tthreads", "\tstrands", "column 'threads' is missing", id="column"),
        pytest.param(
            "pi/plan.tsv",
            "litert\t4",
            "litert\tfour",
            "line 2, threads is 'four', expected an integer in digits",
            id="cell",
        ),
        pytest.param(
            "pi/plan.tsv",
            "litert\t4\t",
            "litert\t",
            "line 2 has 12 columns, expected 13 as in the first line",
            id="columns",
        ),
        pytest.param("pi/plan.tsv", "\tblock", "\trun", "has two columns of one name", id="same columns"),
        pytest.param("pi/DONE", "total=8", "total=all", "total is 'all', expected an integer in digits", id="DONE"),
        pytest.param(RUN, "complete=1\n", "", "complete is missing", id="cut sidecar"),
        pytest.param(RUN, "exit_code=0", "exit_code", "line 34 is 'exit_code', expected key=value", id="no pair"),
        pytest.param(
            RUN,
            "before.temperature_c=41.2",
            "before.temperature_c=warm",
            "before.temperature_c is 'warm', expected a number like 1.25",
            id="state",
        ),
        pytest.param(
            RUN,
            "schema=1",
            "schema=2",
            "schema is '2', this kit knows 1: another version of the kit wrote it; read it with that one",
            id="newer sidecar",
        ),
        pytest.param(
            RUN,
            "complete=1",
            "energy.samples=120.25 1000\ncomplete=1",
            "energy.samples is '120.25 1000', expected samples like 120.5:1000,2000 121.5:1010,2005, or -",
            id="samples",
        ),
    ],
)
def test_each_violation_is_one_line(demo, file, old, new, said, capsys):
    edit(demo / file, old, new)
    assert check.main([str(demo)]) == 1
    assert capsys.readouterr().out.splitlines() == [f"demo/{file}: {said}", "11 files checked: 1 violation"]


def test_bytes_that_are_no_text_are_said(demo):
    (demo / RUN).write_bytes(b"schema=1\nrun=\xff\n")
    assert check.violations([demo]) == [f"demo/{RUN}: is not UTF-8 (byte 14)"]


def test_a_campaign_without_its_record_is_said(demo):
    (demo / "campaign.json").unlink()
    assert check.violations([demo]) == ["demo/campaign.json: is not there"]


@pytest.mark.parametrize("where", ["foreign", "nowhere"])
def test_nothing_to_check_is_an_error_of_one_line(where, capsys):
    assert check.main([str(CAMPAIGNS / where)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {CAMPAIGNS / where}: no ")


def test_archives_are_checked_like_directories(demo, tmp_path, capsys):
    edit(demo / "pi/DONE", "total=8\n", "")
    archive = shutil.make_archive(str(tmp_path / "colab"), "gztar", demo.parent)
    assert check.main([archive]) == 1
    assert capsys.readouterr().out.splitlines()[0] == "demo/pi/DONE: total is missing"


# --- What analysis makes of them --------------------------------------------------------------------------------------


def test_old_logs_stay_readable(golden):
    dataset = read([CAMPAIGNS / "old"])
    assert (dataset.problems, dataset.notes, dataset.unfinished) == ([], [], {})
    table = Study(dataset).runs[OF_DESIGN]
    golden("old_logs/schema1.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.10g"))


@pytest.mark.parametrize("file", ["campaign.json", "pi/host.json"])
def test_logs_of_another_version_are_a_problem(demo, file):
    edit(demo / file, '"schema": 1', '"schema": 2')
    [problem] = [text for text in read([demo]).problems if file in text]
    assert problem == (
        f"demo/{file}: schema is 2, this kit knows 1: another version of the kit wrote it; read it with that one"
    )


def test_runs_of_another_version_are_in_no_mean(demo):
    edit(demo / RUN, "schema=1", "schema=2")
    runs = read([demo]).runs
    assert list(runs.loc[runs["log"].str.contains("0001.*litert"), "reason"]) == [
        "its sidecar's schema is '2', this kit knows 1: another version of the kit wrote it; read it with that one"
    ]
