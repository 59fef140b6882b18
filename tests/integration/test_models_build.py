"""Models built for real, by TensorFlow in its cached environment (which this makes where it is missing)."""

from __future__ import annotations

import pytest

from modelzoo.build import Build
from modelzoo.catalogue import MODELS
from modelzoo.ensure import Wanted, ensure
from modelzoo.paths import cache_dir

FLOAT = Wanted("MobileNet", "float32")
QUANTIZED = Wanted("MobileNet", "dynamic_range")


@pytest.mark.slow
def test_mobilenet_is_built_the_same_each_time(tmp_path):
    said = []
    first = ensure(Build(cache_dir()), [FLOAT, QUANTIZED], tmp_path / "first", said.append)
    assert first.failed == []
    by_variant = {entry.variant: entry for entry in first.models}
    assert by_variant["float32"].parameters == MODELS["MobileNet"].parameters
    for entry in first.models:
        assert entry.size_bytes == pytest.approx(MODELS["MobileNet"].size_mb(entry.variant) * 1e6, rel=0.05)
    assert not any("WARNING" in line or "oneDNN" in line for line in said)

    second = ensure(Build(cache_dir()), [FLOAT], tmp_path / "second", said.append)
    assert second.models == [by_variant["float32"]]

    other = ensure(Build(cache_dir(), seed=1), [FLOAT], tmp_path / "other", said.append)
    assert other.models[0].sha256 != second.models[0].sha256
