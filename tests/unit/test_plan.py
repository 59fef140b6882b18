"""The order of runs."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml
from ansible_collections.edgebench.testbed.plugins.module_utils import plan

from tests.rendering import ROOT

SETTINGS = {
    "models": ["MobileNet", "VGG16"],
    "variants": ["float32", "dynamic_range"],
    "runners": ["litert"],
    "threads": [1, 4],
    "delegates": ["default", "none"],
    "max_repetitions": 3,
    "flags": "--num_runs=10",
}
MODELS = [
    {"model": m, "variant": v, "file": f"{m}.{v}.tflite", "sha256": "ab" * 32, "batch_size": 1, "input_size": 224}
    for m in SETTINGS["models"]
    for v in SETTINGS["variants"]
]


def build(host="pi5", seed=42, **changes):
    return plan.build(host, SETTINGS | changes, MODELS, seed, timeout_s=600)


AUTO = {
    "iterations": "auto",
    "pilot_runs": 2,
    "op_profiling": True,
    "runners": ["litert", "benchmark_model"],
    "flags": "",
}


def configuration(row):
    return tuple(row[key] for key in ("model", "variant", "runner", "threads", "delegate"))


def test_each_block_holds_every_configuration_once_in_an_order_of_its_own():
    rows = build()
    blocks = [[configuration(row) for row in rows if row["block"] == block] for block in (1, 2, 3)]
    assert all(Counter(block) == Counter(blocks[0]) for block in blocks)
    assert len(set(blocks[0])) == len(blocks[0]) == 16
    assert blocks[0] != blocks[1] != blocks[2]
    assert [row["block"] for row in rows] == [1] * 16 + [2] * 16 + [3] * 16


def test_the_order_follows_from_seed_and_host():
    assert build() == build()
    assert build() != build(seed=43)
    assert build() != build(host="pi4")


def test_the_text_of_a_small_plan(golden):
    rows = build(threads=[1], delegates=["default", "none"], models=["MobileNet"], max_repetitions=1)
    golden("plan.tsv", plan.to_tsv(rows))


def test_names_are_unique_and_sort_in_the_order_of_runs():
    names = [row["run"] for row in build()]
    assert names == sorted(set(names))


def test_a_pilot_comes_first_profiles_last_and_the_blocks_between_are_as_without_them():
    plain, rows = build(runners=AUTO["runners"], flags=""), build(**AUTO)
    phases = [row["phase"] for row in rows]
    assert phases == ["pilot"] * 64 + ["measure"] * 96 + ["profile"] * 16
    assert [configuration(row) for row in rows[64:160]] == [configuration(row) for row in plain]
    assert [row["flags"] for row in rows[64:160]] == [row["flags"] for row in plain]
    pilots = [[configuration(row) for row in part] for part in (rows[:32], rows[32:64])]
    assert Counter(pilots[0]) == Counter(pilots[1])
    assert pilots[0] != pilots[1]
    assert {row["block"] for row in rows if row["phase"] != "measure"} == {0}
    assert all(row["flags"].endswith(f" {plan.PILOT_FLAGS}") for row in rows[:64])
    assert {row["runner"] for row in rows[160:]} == {"benchmark_model"}
    assert all(row["flags"].endswith(" --enable_op_profiling=true") for row in rows[160:])
    assert [row["run"].rpartition("_")[2] for row in (rows[0], rows[32], rows[64], rows[-1])] == [
        "p01",
        "p02",
        "r01",
        "profile",
    ]
    names = [row["run"] for row in rows]
    assert names == sorted(set(names))


def test_the_settings_of_every_profile_go_together():
    defaults = yaml.safe_load((ROOT / "roles/campaign/defaults/main.yml").read_text(encoding="utf-8"))
    profiles = defaults["campaign_profiles"]
    assert {"quick", "study", "precise"} <= set(profiles)
    for profile in profiles.values():
        least = profile["repetitions"]
        settings = {"min_repetitions": least, "max_repetitions": profile.get("max_repetitions", least)}
        settings |= {"iterations": profile.get("iterations", "fixed"), "flags": profile["flags"]}
        plan.check(SETTINGS | settings | {"pilot_runs": defaults["campaign_pilot_runs"]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"min_repetitions": 11},
            "campaign_min_repetitions is 11 and campaign_max_repetitions 10; expected numbers above 0",
        ),
        ({"min_repetitions": 0}, "campaign_min_repetitions is 0"),
        ({"min_repetitions": 1}, "one repetition shows no spread to stop by: give campaign_min_repetitions 2 or more"),
        ({"target_percent": 0}, "campaign_target_percent is 0; expected a number of percent above 0"),
        ({"iterations": "some"}, "campaign_iterations is 'some'; expected fixed or auto"),
        ({"iterations": "auto", "pilot_runs": 1}, "campaign_pilot_runs is 1; expected 2 or more"),
        (
            {"iterations": "auto", "pilot_runs": 3, "flags": "--num_runs=10 --use_xnnpack=true"},
            "campaign_flags has --num_runs=10, but campaign_iterations is auto",
        ),
        (
            {"op_profiling": True},
            "campaign_op_profiling needs the runner benchmark_model, and campaign_runners has only li",
        ),
    ],
)
def test_settings_that_contradict_each_other(changes, message):
    with pytest.raises(plan.PlanError, match=message):
        plan.check(SETTINGS | {"min_repetitions": 10, "max_repetitions": 10} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"models": ["Nope"]}, r"no model file for Nope\.float32; there are: MobileNet", id="unknown model"
        ),
        pytest.param({"variants": ["int8"]}, r"no model file for MobileNet\.int8", id="unknown variant"),
        pytest.param({"delegates": ["gpux"]}, "unknown delegate 'gpux'.*known: default, none", id="unknown delegate"),
        pytest.param({"runners": ["a/b"]}, "runner 'a/b' cannot be used", id="a name that is a path"),
        pytest.param({"runners": ["$(reboot)"]}, "cannot be used", id="a name that is a command"),
        pytest.param(
            {"flags": "--num_runs 10"}, "'--num_runs' in campaign_flags is not of the form", id="flag without ="
        ),
        pytest.param({"flags": "--graph=a;b"}, "not of the form --name=value", id="flag with a shell word"),
        pytest.param({"models": []}, "nothing to measure", id="nothing"),
    ],
)
def test_settings_that_give_no_plan(changes, message):
    with pytest.raises(plan.PlanError, match=message):
        build(**changes)
