"""The order of runs."""

from __future__ import annotations

from collections import Counter

import pytest
from ansible_collections.edgebench.testbed.plugins.module_utils import plan

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
