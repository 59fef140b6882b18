"""The role benchmark_models, played for real: from files that are there, to a directory that stands for a host's."""

from __future__ import annotations

import os

import pytest

from tests import playing

PLAYBOOK = """
- name: Ensure the models are on the host
  hosts: all
  gather_facts: false
  tasks:
    - name: Ensure the models are on the host
      ansible.builtin.include_role:
        name: benchmark_models
        tasks_from: install
"""


@pytest.fixture
def source_dir(tmp_path):
    source_dir = tmp_path / "there"
    source_dir.mkdir()
    for name in ("Tiny.tflite", "Tiny_quant.tflite"):
        (source_dir / name).write_bytes(b"\0\0\0\0TFL3" + name.encode())
    return source_dir


@pytest.fixture
def play(tmp_path, source_dir):
    """Play the role; returns how that went."""
    (tmp_path / "play.yml").write_text(PLAYBOOK)

    def run(check=False, **variables):
        defaults = {
            "campaign_models": ["Tiny"],
            "campaign_variants": ["float32", "dynamic_range"],
            "campaign_cache_dir": str(tmp_path / "cache"),
            "benchmark_work_dir": str(tmp_path / "host"),
            "benchmark_models_source": "directory",
            "benchmark_models_source_dir": str(source_dir),
        }
        return playing.play(tmp_path / "play.yml", playing.BOX, check=check, **(defaults | variables))

    return run


def test_models_reach_the_host_once(play, tmp_path, source_dir):
    installed = tmp_path / "host" / "models"
    assert play(check=True).changed() > 0
    assert not installed.exists()
    assert not (tmp_path / "cache").exists()

    assert play().changed() > 0
    assert sorted(path.name for path in installed.iterdir()) == ["Tiny.dynamic_range.tflite", "Tiny.float32.tflite"]
    assert (installed / "Tiny.dynamic_range.tflite").read_bytes() == (source_dir / "Tiny_quant.tflite").read_bytes()
    assert not (installed / "Tiny.float32.tflite").is_symlink()
    assert play().changed() == 0
    assert play(check=True).changed() == 0

    os.truncate(installed / "Tiny.float32.tflite", 9)
    assert play().changed() == 1
    assert (installed / "Tiny.float32.tflite").read_bytes() == (source_dir / "Tiny.tflite").read_bytes()


def test_a_local_host_may_use_the_controllers_files(play, tmp_path):
    assert play(benchmark_models_host_dir="{{ benchmark_models_controller_dir }}").changed() == 1
    assert not (tmp_path / "host").exists()
    assert play(benchmark_models_host_dir="{{ benchmark_models_controller_dir }}").changed() == 0


def test_a_model_that_cannot_be_had_is_named(play):
    result = play(campaign_models=["Tiny", "Teeny"])
    message = result.failure()
    assert "Teeny.float32: " in message
    assert "has no Teeny.float32.tflite or Teeny.tflite; it has: Tiny.tflite, Tiny_quant.tflite" in message
