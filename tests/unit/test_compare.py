"""`analysis.compare`: what counts as a change, what as a regression, and what a CI job gets to see of it."""

from __future__ import annotations

import filecmp
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats as scipy_stats

from analysis import campaign, compare, comparison
from analysis.campaign import Dataset
from analysis.errors import AnalysisError
from analysis.names import DEFAULT_METRIC
from tests.run_host import Host
from tests.unit.datasets import dataset, run

ROOT = Path(__file__).resolve().parents[2]


def side(times_ms: dict[str, list[float]], name: str = "nightly", host: str = "pi", **facts) -> Dataset:
    """A campaign: the repetitions of each model, in blocks."""
    rows = [
        run(campaign=name, host=host, model=model, repetition=i, block=i, avg_inference_ms=value, **facts)
        for model, values in times_ms.items()
        for i, value in enumerate(values, start=1)
    ]
    return dataset(rows, campaigns={name: {}})


def together(*sides: Dataset) -> Dataset:
    """Several campaigns or hosts as one dataset."""
    return dataset(
        [row for one in sides for row in one.runs.to_dict("records")],
        campaigns={name: facts for one in sides for name, facts in one.campaigns.items()},
    )


def around(mean: float, percent: float, n: int = 10, seed: int = 0) -> list[float]:
    """n values of this mean, to the last digit, that are spread by some percent."""
    noise = random.Random(seed)
    values = [noise.gauss(0, 1) for _ in range(n)]
    centre = sum(values) / n
    return [mean * (1 + percent / 100 * (value - centre)) for value in values]


def compared(a: Dataset, b: Dataset, tolerance: float = 3.0, **options) -> comparison.Comparison:
    return comparison.build(a, b, tolerance_percent=tolerance, **options)


def row(found: comparison.Comparison, model: str = "MobileNet"):
    (only,) = [row for row in found.table.itertuples() if row.model == model]
    return only


# --- change and its interval ------------------------------------------------------------------------------------------


def test_a_change_is_the_ratio_of_means_and_nothing_is_paired():
    drift = [5.0, 6.0, 7.0, 8.0, 9.0]  # alike in both: paired by block, the two would differ beyond all doubt
    a, b = {"MobileNet": drift}, {"MobileNet": [1.01 * value for value in drift]}
    found = row(compared(side(a), side(b)))
    assert found.ratio == pytest.approx(1.01)
    assert found.change_percent == pytest.approx(1.0)
    assert found.ci_low < 1 < found.ci_high
    welch = scipy_stats.ttest_ind(a["MobileNet"], b["MobileNet"], equal_var=False)
    assert found.p_value == pytest.approx(welch.pvalue)
    assert found.verdict == "not distinguishable"


def test_campaigns_that_stop_when_they_know_enough_count_as_their_first_repetitions():
    fixed = side({"MobileNet": around(5, 1, n=30)})
    settings = {"settings": {"min_repetitions": 5, "max_repetitions": 60}}
    adaptive = replace(fixed, campaigns={"nightly": settings})
    wide, narrow = row(compared(fixed, adaptive)), row(compared(fixed, fixed))
    t = scipy_stats.t.ppf(0.975, [4, 58])
    assert math.log(wide.ci_high) / math.log(narrow.ci_high) == pytest.approx(t[0] / t[1], rel=0.01)


def test_the_other_way_round_is_the_inverse():
    a, b = side({"MobileNet": around(5, 2)}), side({"MobileNet": around(6, 2, seed=1)})
    there, back = row(compared(a, b)), row(compared(b, a))
    assert (there.ratio, there.ci_low, there.ci_high) == pytest.approx(
        (1 / back.ratio, 1 / back.ci_high, 1 / back.ci_low)
    )
    assert (there.verdict, back.verdict) == ("slower", "faster")


def test_campaigns_of_a_side_are_its_replicates():
    """Processes agree within a campaign and campaigns do not agree: only several of them show it."""
    a = [side({"MobileNet": around(ms, 0.1)}, f"a{i}") for i, ms in enumerate((5.0, 5.4, 5.1))]
    b = [side({"MobileNet": around(ms, 0.1)}, f"b{i}") for i, ms in enumerate((5.5, 5.0, 5.3))]
    one = compared(a[0], b[0])
    assert row(one).outcome == "regression"
    assert any("One campaign on each side" in note for note in one.notes)
    several = compared(together(*a), together(*b))
    assert (row(several).a_n, row(several).b_n) == (3, 3)
    assert row(several).p_value == pytest.approx(
        scipy_stats.ttest_ind((5.0, 5.4, 5.1), (5.5, 5.0, 5.3), equal_var=False).pvalue
    )
    assert row(several).verdict == "not distinguishable"
    with pytest.raises(AnalysisError, match=r"A is one campaign and B is 3 \(b0, b1, b2\)"):
        compared(a[0], together(*b))


def test_a_host_that_only_one_of_several_campaigns_has_is_not_judged_by_its_processes():
    a, b = (
        together(*(side({"MobileNet": around(ms, 0.1)}, f"{name}{i}", host=host) for i, host in enumerate(hosts)))
        for name, ms, hosts in (("a", 5, ("pi", "pi")), ("b", 6, ("pi", "xeon")))
    )
    (on_pi,) = (found for found in compared(a, b, a_host="pi", b_host="pi").table.itertuples())
    assert (on_pi.verdict, on_pi.reason) == ("not comparable", "n = 2 and 1; an interval needs 2 campaigns of each")


def test_models_of_one_campaign_are_slow_together():
    """Seven models are no seven witnesses against a campaign that had a bad day; with it as replicate they are one."""
    days = {"a": (1.0, 1.06, 1.02), "b": (1.07, 1.01, 1.04)}
    models = {f"model{i}": 10.0 * i for i in range(1, 8)}
    a, b = (
        together(
            *(side({m: around(ms * f, 0.1) for m, ms in models.items()}, f"{n}{i}") for i, f in enumerate(of_days))
        )
        for n, of_days in days.items()
    )
    found = row(compared(a, b), "geomean")
    assert (found.a_n, found.b_n) == (3, 3)
    assert found.p_value == pytest.approx(scipy_stats.ttest_ind(days["a"], days["b"], equal_var=False).pvalue)
    assert found.verdict == "not distinguishable"


def test_a_campaign_in_which_memory_did_not_grow_has_no_geometric_mean():
    times = {"MobileNet": around(5, 1), "VGG16": around(100, 1)}
    a, b = (
        together(*(side(times, f"{name}{i}", memory_overall_mb=mb) for i, mb in enumerate(of_campaigns)))
        for name, of_campaigns in (("a", (0.0, 20.0, 20.4)), ("b", (20.1, 20.2, 20.5)))
    )
    found = row(compared(a, b, metrics=["memory_overall_mb"]), "geomean")
    assert (found.a_n, found.b_n) == (2, 3)


def test_a_geometric_mean_over_what_can_be_compared():
    a = side({"MobileNet": around(5, 1), "VGG16": around(100, 1, seed=1), "VGG19": [100.0]})
    b = side({"MobileNet": around(10, 1), "VGG16": around(50, 1, seed=1), "VGG19": [100.0]})
    found = row(compared(a, b), "geomean")
    assert found.ratio == pytest.approx(1.0)
    assert found.reason == "of 2 of 3 comparisons"


# --- regression or not ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "spread", "verdict", "outcome"),
    [
        pytest.param(1.06, 1, "slower", "regression", id="beyond the tolerance"),
        pytest.param(1.02, 0.5, "slower", "no regression", id="slower, but within the tolerance"),
        pytest.param(1.03, 0.5, "slower", "uncertain", id="about as much slower as is tolerated"),
        pytest.param(1.0, 0.5, "not distinguishable", "no regression", id="nothing changed"),
        pytest.param(1.0, 8, "not distinguishable", "uncertain", id="too noisy to tell"),
        pytest.param(0.8, 1, "faster", "no regression", id="faster"),
    ],
)
def test_outcome(change, spread, verdict, outcome):
    found = compared(
        side({"MobileNet": around(5, spread)}), side({"MobileNet": around(5 * change, spread, seed=1)}), tolerance=3
    )
    assert (row(found).verdict, row(found).outcome) == (verdict, outcome)
    assert found.has_regression == (outcome == "regression")
    assert found.decided == (outcome != "uncertain")


def test_one_of_many_needs_more_to_be_an_alarm():
    a, b = {"VGG16": around(5, 2)}, {"VGG16": around(5.13, 2, seed=1)}
    assert row(compared(side(a), side(b), tolerance=0), "VGG16").outcome == "regression"
    others = {f"model{i}": around(5, 2, seed=i) for i in range(12)}
    among = compared(side(a | others), side(b | others), tolerance=0)
    assert row(among, "VGG16").p_tolerance < 0.05
    assert row(among, "VGG16").outcome == "uncertain"
    assert not among.has_regression


@pytest.mark.parametrize(("change", "tolerance"), [(1.0, 0.0), (1.02, 2.0)])
def test_false_alarms_are_rare(change, tolerance):
    """Where all is as before, or at the edge of what is tolerated, one host in twenty may raise an alarm."""
    noise, hosts = random.Random(1), [f"host{i}" for i in range(100)]
    a, b = (
        dataset(
            run(
                campaign=name,
                host=host,
                model=f"model{model}",
                repetition=i,
                avg_inference_ms=ms * noise.gauss(1, 0.02),
            )
            for host in hosts
            for model in range(6)
            for i in range(6)
        )
        for name, ms in (("a", 5.0), ("b", 5.0 * change))
    )
    alarms = compared(a, b, tolerance).of("regression")["a_host"].nunique()
    assert alarms <= 0.05 * len(hosts) + 3  # 2.5 % on the bad side, but for chance


@pytest.mark.parametrize("metric", ["memory_overall_mb", "energy_inference_j"])
def test_more_memory_and_more_energy_are_regressions_too(metric):
    a = side({"MobileNet": around(5, 1)}, **{metric: 20.0})
    b = side({"MobileNet": around(5, 1)}, **{metric: 30.0})
    found = compared(a, b, metrics=[metric])
    assert (row(found).verdict, row(found).outcome) == ("larger", "regression")
    assert (row(compared(b, a, metrics=[metric])).verdict) == "smaller"


def test_energy_is_not_compared_over_two_kinds_of_meters():
    """What a processor counts of itself is less than what a plug does; times are compared all the same."""
    a, b = (side({"MobileNet": around(5, 1)}, energy_inference_j=20.0, energy_meter=of) for of in ("rapl", "command"))
    found = row(compared(a, b, metrics=["energy_inference_j"]))
    assert (found.verdict, found.reason) == ("not comparable", "energy_meter differs: command, rapl")
    assert row(compared(a, b)).verdict == "not distinguishable"


# --- what belongs together --------------------------------------------------------------------------------------------


def test_hosts_belong_together_by_name_and_what_one_side_lacks_is_missing():
    a = together(*(side({"MobileNet": around(5, 1)}, host=host) for host in ("pi4", "pi5")))
    b = together(*(side({"MobileNet": around(5, 1)}, host=host) for host in ("pi5", "xeon")))
    found = compared(a, b)
    pairs = {(r.a_host, r.b_host): (r.outcome, r.reason) for r in found.table.itertuples()}
    assert pairs == {
        ("pi4", ""): ("missing", "B: no such host"),
        ("pi5", "pi5"): ("no regression", ""),
        ("", "xeon"): ("missing", "A: no such host"),
    }
    assert not found.decided


def test_two_hosts_of_one_campaign():
    both = together(*(side({"MobileNet": around(ms, 1)}, host=host) for host, ms in (("pi4", 9), ("pi5", 3))))
    found = compared(both, both, a_host="pi4", b_host="pi5")
    assert len(found.table) == 1
    assert row(found).ratio == pytest.approx(1 / 3)
    assert "pi4 of A is compared with pi5 of B." in found.notes
    with pytest.raises(AnalysisError, match=r"--b-host 'pi6': B has no such host; there are: pi4, pi5"):
        compared(both, both, a_host="pi4", b_host="pi6")
    others = together(*(side({"MobileNet": around(5, 1)}, host=host) for host in ("x", "y")))
    with pytest.raises(AnalysisError, match=r"no host in common \(A: pi4, pi5; B: x, y\); .*--a-host and --b-host"):
        compared(both, others)


def test_one_setting_is_compared_with_the_other_and_said():
    a = side({"MobileNet": around(5, 1)}, threads=1, runner="litert")
    b = side({"MobileNet": around(2, 1)}, threads=4, runner="litert")
    found = compared(a, b)
    assert row(found).ratio == pytest.approx(0.4)
    assert ["all", "threads", "1", "4"] in found.conditions.rows
    several = together(a, replace(b, campaigns={}))
    assert [r.outcome for r in compared(several, b).table.itertuples()] == ["missing", "no regression"]


def test_other_input_is_other_work():
    a, b = (side({"MobileNet": around(5, 1)}, input_size=size) for size in (224, 299))
    assert set(compared(a, b).table["outcome"]) == {"missing"}


def test_what_differs_is_said_first_and_does_not_prevent_a_comparison():
    a = side({"MobileNet": around(5, 1)}, model_sha256="a1" * 32, runner_sha256="c1" * 32, governor="performance")
    b = side({"MobileNet": around(5, 1)}, model_sha256="b2" * 32, runner_sha256="c1" * 32, governor="powersave")
    a = replace(a, hosts={("nightly", "pi"): {"kernel": "6.6.20", "microcode": "0x1", "collected_utc": "then"}})
    b = replace(b, hosts={("nightly", "pi"): {"kernel": "6.6.31", "microcode": None, "collected_utc": "now"}})
    git = [{"git": {"revision": letter * 40, "dirty": letter == "b"}} for letter in "ab"]
    settings = [{"settings": {"flags": flags, "threads": [1]}} for flags in ("", "--num_runs=5")]
    a, b = (replace(x, campaigns={"nightly": g | s}) for x, g, s in zip((a, b), git, settings, strict=True))
    found = compared(a, b)
    assert found.conditions.rows == [
        ["all", "revision of the kit", "aaaaaaaaaaaa", "bbbbbbbbbbbb with uncommitted changes"],
        ["all", "flags", "none", "--num_runs=5"],
        ["pi", "kernel", "6.6.20", "6.6.31"],
        ["pi", "governor", "performance", "powersave"],
        ["pi", "model file MobileNet float32", "a1a1a1a1a1a1", "b2b2b2b2b2b2"],
    ]
    assert row(found).outcome == "no regression"


def test_a_machine_that_was_busier_or_warmer_is_said():
    states = {
        "other_cpu_percent": (1.0, 40.0),
        "temperature_before_c": (50.0, 52.0),
        "cpu_mhz_before": (2400.0, 1500.0),
    }
    a, b = (
        side({"MobileNet": around(5, 1)}, **{name: both[i] for name, both in states.items()}, steal_percent=s)
        for i, s in enumerate((None, 3.0))
    )
    assert compared(a, b).conditions.rows == [
        ["pi", "other load (% of all CPUs), median", "1.00", "40.0"],
        ["pi", "clock before runs (MHz), median", "2400", "1500"],
    ]


def test_a_side_that_is_not_of_one_kind_is_not_compared():
    a = side({"MobileNet": around(5, 1)}, governor="performance")
    governors = ["performance", "powersave"] * 5
    b = replace(a, runs=a.runs.assign(governor=governors))
    found = compared(a, b)
    assert row(found).verdict == "not comparable"
    assert row(found).reason == "governor differs within B: performance, powersave"


def test_a_metric_that_nothing_reports_is_a_users_mistake():
    a = side({"MobileNet": around(5, 1)})
    for name, why in (("init_time_ms", "no run of A or B reports it"), ("speed", "not a metric")):
        with pytest.raises(AnalysisError, match=f"metric '{name}': {why}; reported are: avg_inference_ms"):
            compared(a, a, metrics=[name])
    assert set(compared(a, a, metrics=None).table["metric"]) == {DEFAULT_METRIC}


# --- what people read -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def changed():
    """Two hosts and five models: one slower, one faster, one as before, one too noisy, one that fails now."""

    def one(name: str, factors: dict[str, float], kernel: str, **facts) -> Dataset:
        rows = []
        for host, slowness in (("pi", 8.0), ("xeon", 1.0)):
            for number, (model, factor) in enumerate(factors.items()):
                spread = 6 if model == "ResNet50" else 0.5
                ms = around(slowness * 10 * (number + 1) * factor, spread, seed=number + 100 * len(kernel))
                rows += [
                    run(campaign=name, host=host, model=model, repetition=i, block=i, avg_inference_ms=t, **facts)
                    | {"platform": {"pi": "Raspberry Pi 5", "xeon": "xeon"}[host], "memory_overall_mb": 20.0 + number}
                    for i, t in enumerate(ms, start=1)
                ]
        hosts = {(name, "pi"): {"kernel": kernel}}
        return dataset(rows, campaigns={name: {}}, hosts=hosts)

    models = ("MobileNet", "InceptionV3", "ResNet50", "VGG16", "VGG19")
    a = one("october", dict.fromkeys(models, 1.0), "6.6.20", start_utc="2026-10-20T03:00:00Z")
    b = one("november", dict(zip(models, (1.08, 0.9, 1.0, 1.001, 1.0), strict=True)), "6.12.1")
    failed = b.runs["model"].eq("VGG19") & b.runs["host"].eq("pi")
    b.runs.loc[failed, ["status", "reason"]] = ["failed", "killed, most often because memory ran out (exit code 137)"]
    b.runs.loc[failed, ["avg_inference_ms", "memory_overall_mb"]] = float("nan")
    return compared(a, replace(b, unfinished={("november", "xeon"): "50 of 60 runs"}))


def test_golden(changed, golden, tmp_path):
    compare.write(changed, tmp_path)
    golden("compare/compare.txt", comparison.text(changed) + "\n")
    for name in ("compare.md", "compare.csv"):
        golden(f"compare/{name}", (tmp_path / name).read_text(encoding="utf-8"))
    charts = [f"{host}_avg_inference_ms.{ending}" for host in ("pi", "xeon") for ending in ("png", "svg")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compare.csv", "compare.md", *charts]


def test_the_same_logs_give_the_same_bytes(changed, tmp_path):
    for name in ("one", "two"):
        compare.write(changed, tmp_path / name)
    names = [path.name for path in (tmp_path / "one").iterdir()]
    assert filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", names, shallow=False)[1:] == ([], [])


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(1.0521, "+5.21"), (0.9, "-10.0"), (0.999999, "+0.00"), (12.34, "+1134"), (float("inf"), "∞"), (float("nan"), "")],
)
def test_percent(ratio, text):
    assert comparison.percent(ratio) == text


# --- logs that the run script made, and the exit status ---------------------------------------------------------------

# A runner whose times are known: 60 ms, some tens of microseconds more or less by a count that each campaign has.
KNOWN_TIMES = """\
n=$(ls "$run_dir/runs" | grep -c 'meta$')
us=$(({us} + n * 37 % 11 * 20))
sh "${{0%/*}}/fake_benchmark_model.sh" "$@" | sed "s/60255.5/$us/"
exit
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Campaigns of two models on one machine: twice the same, and one with a runner that takes a tenth longer."""
    directory = tmp_path_factory.mktemp("logs")
    for name, us in (("before", 60000), ("after", 60050), ("slowed", 66000)):
        host = Host("dash", directory / name / "testhost")
        host.prepare(["MobileNet", "VGG16"], repetitions=5)
        for model in ("MobileNet", "VGG16"):
            host.during(model, KNOWN_TIMES.format(us=us))
        done = host()
        assert done.returncode == 0, done.stdout + done.stderr
    return directory


def status(capfd, *arguments: object) -> tuple[int, str]:
    returned = compare.main([str(argument) for argument in arguments])
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    return returned, said.out + said.err


def test_nothing_changed(logs, capfd):
    returned, said = status(capfd, logs / "before", logs / "after", "--strict")
    assert returned == 0, said
    assert said.splitlines()[-1] == "No regression: in none of 3 comparisons is B worse by more than 3 %."


def test_a_slowed_runner(logs, capfd, tmp_path):
    returned, said = status(capfd, logs / "before", logs / "slowed", "--output", tmp_path / "out")
    assert returned == 1, said
    assert "REGRESSION: in 3 of 3 comparisons B is worse by more than 3 %; the worst is " in said
    assert (tmp_path / "out" / "compare.csv").exists()
    assert status(capfd, logs / "before", logs / "slowed", "--tolerance", "20", "--strict")[0] == 0
    assert status(capfd, logs / "slowed", logs / "before", "--strict")[0] == 0


def test_undecided_is_an_error_only_where_that_is_asked(logs, capfd):
    undecided = (logs / "before", logs / "after", "--tolerance", "0.05")
    assert status(capfd, *undecided)[0] == 0
    returned, said = status(capfd, *undecided, "--strict")
    assert returned == 3
    assert "Uncertain: 3; more repetitions or a larger tolerance would decide." in said


def test_users_mistakes(logs, capfd, tmp_path):
    returned, said = status(capfd, logs / "before", tmp_path / "nothing")
    assert returned == 2
    assert said.startswith(f"error: {tmp_path}/nothing: no such file or directory")
    once = ROOT / "tests" / "data" / "campaigns" / "logs" / "demo"
    returned, said = status(capfd, once, once)
    assert returned == 2
    assert "nothing could be compared; the remarks above say why" in said
    (tmp_path / "file").touch()
    assert status(capfd, logs / "before", logs / "after", "--output", tmp_path / "file" / "below")[0] == 2
    with pytest.raises(SystemExit, match="2"):
        compare.main(["a", "b", "--tolerance", "much"])
    assert "'much' is not a percentage; expected a number from 0 up, such as 3" in capfd.readouterr().err


def test_help_tells_the_exit_status(capfd):
    with pytest.raises(SystemExit, match="0"):
        compare.main(["--help"])
    said = capfd.readouterr().out
    assert all(f" {code} = " in said for code in (0, 1, 2, 3))


def test_the_script_s_logs_are_read_as_they_are(logs):
    found = campaign.read([logs / "slowed"])
    assert found.runs["avg_inference_ms"].between(66, 66.21).all()
