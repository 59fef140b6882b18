"""The role benchmark_models, played for real: from files that are there, to a directory that stands for a host's."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import threading

import pytest

from tests import playing

PLAYBOOK = """
- name: Ensure the models are on the controller
  hosts: all
  gather_facts: false
  roles: [benchmark_models]

- name: Ensure the models are on the host
  hosts: all
  gather_facts: false
  strategy: ansible.builtin.free
  tasks:
    - name: Ensure the models are on the host
      ansible.builtin.import_role:
        name: benchmark_models
        tasks_from: install
"""
# A host on which no module of Ansible could run.
BOX = {"all": {"hosts": {"box": {"ansible_connection": "local", "ansible_python_interpreter": "/nonexistent"}}}}


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
        return playing.play(tmp_path / "play.yml", BOX, check=check, **(defaults | variables))

    return run


def test_models_reach_the_host_once(play, tmp_path, source_dir):
    installed = tmp_path / "host" / "models"
    assert play(check=True).changed() > 0
    assert not installed.exists()
    assert not (tmp_path / "cache").exists()

    assert play().changed() > 0
    assert sorted(path.name for path in installed.glob("[!.]*")) == ["Tiny.dynamic_range.tflite", "Tiny.float32.tflite"]
    assert (installed / "Tiny.dynamic_range.tflite").read_bytes() == (source_dir / "Tiny_quant.tflite").read_bytes()
    assert not (installed / "Tiny.float32.tflite").is_symlink()
    again = play()
    assert again.changed() == 0
    asked = [event["event_data"] for event in again.events if event["event"] == "runner_on_ok"]
    assert len([data for data in asked if data["play"] == "Ensure the models are on the host"]) == 1
    assert play(check=True).changed() == 0

    os.truncate(installed / "Tiny.float32.tflite", 9)
    assert play().changed() == 1
    assert (installed / "Tiny.float32.tflite").read_bytes() == (source_dir / "Tiny.tflite").read_bytes()


def test_a_local_host_may_use_the_controllers_files(play, tmp_path):
    assert play(benchmark_models_host_dir="{{ benchmark_models_controller_dir }}").changed() == 1
    assert not (tmp_path / "host").exists()
    assert play(benchmark_models_host_dir="{{ benchmark_models_controller_dir }}").changed() == 0


def test_runners_batch_and_input_sizes_say_which_files_are_there(play, tmp_path, source_dir):
    """`compiled` is what torch and keras make of the float32 file; archives of theirs take any batch.

    Images held out are taken where they are, unless nobody is to evaluate.
    """
    wanted = ["Tiny.float32.b8.s448.tflite", "Tiny.float32.s448.tflite", "Tiny.float32.s448.pt2"]
    wanted += ["Tiny.float32.s448.keras", "Tiny.held_out.s448.npz"]
    for name in wanted:
        head = b"\0\0\0\0TFL3" if name.endswith("tflite") else b"PK\3\4"
        (source_dir / name).write_bytes(head + name.encode())
    settings = {
        "campaign_variants": ["float32", "compiled"],
        "campaign_runners": ["litert", "torch", "benchmark_model", "keras"],
        "campaign_batch_sizes": [1, 8],
        "campaign_input_sizes": [448],
    }
    assert play(**settings, campaign_evaluate=False).rc == 0
    assert not (tmp_path / "host/models" / wanted[-1]).exists()
    done = play(**settings)
    assert done.rc == 0, done.stdout
    assert sorted(path.name for path in (tmp_path / "host/models").glob("[!.]*")) == sorted(wanted)


def test_a_model_that_cannot_be_had_is_named(play):
    result = play(campaign_models=["Tiny", "Teeny"])
    message = result.failure()
    assert "Teeny.float32: " in message
    assert "has no Teeny.float32.tflite or Teeny.tflite; it has: Tiny.tflite, Tiny_quant.tflite" in message


def test_what_tvm_compiles_for_is_known_before_anything_is_leased(play):
    message = play(campaign_runners=["tvm"], chameleon_site="CHI@Edge").failure()
    assert message.startswith(
        "box: the runner tvm needs to know the CPU before the machine is leased. Give benchmark_tvm_target"
    )


def test_what_firenet_is_trained_on_is_a_setting(play, tmp_path):
    """Whatever it ends with: what is empty is no option."""
    message = play(
        campaign_models=["FireNet"],
        campaign_variants=["float32", "pruned_dynamic_range"],
        campaign_runners=["benchmark_apk"],
        benchmark_models_source="build",
        benchmark_models_dataset=str(tmp_path / "fire="),
        benchmark_models_epochs=3,
    ).failure()
    assert f"data set {tmp_path / 'fire='} cannot be read (No such file or directory)" in message


def test_a_host_that_has_internet_may_fetch_its_models(play, tmp_path, source_dir):
    """What has an address is fetched, what has one with a token in it is sent; and that is shown nowhere."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *_):
            asked.append((self.path, self.headers["User-Agent"].split("/")[0].lower()))

    handler = functools.partial(Handler, directory=str(source_dir))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{httpd.server_port}"
        rows = [("float32", "Tiny.tflite", ""), ("dynamic_range", "Tiny_quant.tflite", "?token=t0ken")]
        listed = [
            {
                "model": "Tiny",
                "variant": variant,
                "url": f"{url}/{name}{query}",
                "sha256": hashlib.sha256((source_dir / name).read_bytes()).hexdigest(),
            }
            for variant, name, query in rows
        ]
        (tmp_path / "list.json").write_text(json.dumps(listed))
        settings = {
            "benchmark_models_source": "download",
            "benchmark_models_source_dir": "",
            "benchmark_models_download_list": str(tmp_path / "list.json"),
            "benchmark_models_fetch_on_host": True,
        }
        done = play(**settings)
        assert done.changed() == 2
        httpd.shutdown()
    by_host = [path for path, agent in asked if agent in ("curl", "wget")]
    assert by_host == ["/Tiny.tflite"]
    for variant, name, _ in rows:
        assert (tmp_path / f"host/models/Tiny.{variant}.tflite").read_bytes() == (source_dir / name).read_bytes()
    manifest = (tmp_path / "cache/models/download/manifest.json").read_text()
    assert f"{url}/Tiny.tflite" in manifest
    assert "t0ken" not in manifest + done.stdout + json.dumps([event["event_data"].get("res") for event in done.events])
