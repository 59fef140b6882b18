"""The role benchmark_runner, played for real against this machine; the official binary comes from a web server here."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from tests import playing
from tests.playing import ROOT

FAKE = ROOT / "tests/data/fake_benchmark_model.sh"
FAKE_SHA256 = hashlib.sha256(FAKE.read_bytes()).hexdigest()
PROBE = ROOT / "roles/benchmark_runner/files/probe_binary.sh"
PLATFORM = {"x86_64": "linux_x86-64", "aarch64": "linux_aarch64"}[os.uname().machine]
OTHER_MACHINE = {"x86_64": b"\xb7", "aarch64": b"\x3e"}[os.uname().machine]
ELF_START = b"\x7fELF\2\1\1" + bytes(9) + b"\2\0"
PLAYBOOK = """
- name: Install the runners
  hosts: all
  gather_facts: true
  gather_subset: ["!all", min]
  roles: [benchmark_runner]
  post_tasks:
    - name: Show what other roles see
      ansible.builtin.copy:
        content: "{{ benchmark_runner_installed | to_json }}"
        dest: "{{ installed_json }}"
        mode: "0644"
      check_mode: false
      changed_when: false
"""


@pytest.fixture
def play(tmp_path):
    """Play the role; returns how that went."""
    (tmp_path / "play.yml").write_text(PLAYBOOK)

    def run(check=False, **variables):
        variables = {
            "campaign_runners": ["benchmark_model"],
            "campaign_kit_dir": str(ROOT),
            "campaign_cache_dir": str(tmp_path / "cache"),
            "campaign_python": sys.executable,
            "benchmark_work_dir": str(tmp_path / "work dir"),
            "installed_json": str(tmp_path / "installed.json"),
        } | variables
        return playing.play(tmp_path / "play.yml", playing.BOX, check=check, **variables)

    return run


@pytest.fixture
def server():
    """Serve tests/data; gives the address and the list of what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(FAKE.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/{FAKE.name}", asked
        httpd.shutdown()


def installed(tmp_path):
    return json.loads((tmp_path / "installed.json").read_text())


def start(entry, *flags):
    """Start a runner the way the run script does."""
    environment = {**os.environ, **entry["environment"]}
    return subprocess.run([*entry["argv"], *flags], env=environment, capture_output=True, text=True, check=False)


def test_litert_is_installed_from_the_controller_and_starts(play, tmp_path):
    runners = {"campaign_runners": ["litert"]}
    assert play(check=True, **runners).changed() > 0
    assert not (tmp_path / "work dir").exists()
    assert installed(tmp_path)["litert"]["version"] is None

    assert play(**runners).changed() > 0
    entry = installed(tmp_path)["litert"]
    assert entry["version"] == "2.3.0"
    assert entry["sha256"] == hashlib.sha256((ROOT / "runners/litert.py").read_bytes()).hexdigest()
    model = ROOT / "tests/data/models/dense.float32.tflite"
    done = start(entry, f"--graph={model}", "--num_runs=2", "--min_secs=0", "--warmup_min_secs=0")
    assert done.returncode == 0, done.stderr
    assert "INFO: Inference timings in us:" in done.stdout

    # Again, with nothing to download from: nothing to do.
    shutil.rmtree(tmp_path / "cache")
    assert play(**runners, benchmark_runner_controller_python="/nonexistent").changed() == 0
    assert installed(tmp_path)["litert"] == entry
    assert play(check=True, **runners).changed() == 0


def test_a_runner_that_cannot_be_had_says_why(play):
    message = play(campaign_runners=["litert"], benchmark_runner_litert_packages=["ai-edge-litert==99.0"]).failure()
    assert "no wheels of ai-edge-litert==99.0 for CPython" in message
    assert "Could not find a version that satisfies the requirement ai-edge-litert==99.0" in message
    message = play(campaign_runners=["litert"], benchmark_runner_python="/nonexistent/python").failure()
    assert "'/nonexistent/python' cannot run the runner litert" in message
    assert "Unknown runner magic in campaign_runners; there are: litert" in play(campaign_runners=["magic"]).failure()


def test_the_binary_is_downloaded_once_and_starts(play, server, tmp_path):
    url, asked = server
    pinned = {"benchmark_model_url": {PLATFORM: url}, "benchmark_model_sha256": {PLATFORM: FAKE_SHA256}}
    play(check=True, **pinned)
    assert asked == []
    assert play(**pinned).changed() > 0
    entry = installed(tmp_path)["benchmark_model"]
    assert entry["sha256"] == FAKE_SHA256
    assert entry["version"] == FAKE_SHA256[:12]
    assert "STARTING!" in start(entry, f"--graph={FAKE}").stdout

    assert play(**pinned).changed() == 0
    assert len(asked) == 1


def test_a_download_without_sha256_is_taken_only_on_demand(play, server, tmp_path):
    url, asked = server
    message = play(benchmark_model_url={PLATFORM: url}).failure()
    assert f"no sha256 for the benchmark_model of {PLATFORM}" in message
    assert "benchmark_model_allow_unpinned" in message
    assert asked == []
    assert play(benchmark_model_url={PLATFORM: url}, benchmark_model_allow_unpinned=True).changed() > 0
    assert installed(tmp_path)["benchmark_model"]["sha256"] == FAKE_SHA256


def test_a_wrong_download_is_not_installed(play, server, tmp_path):
    url, _ = server
    message = play(benchmark_model_url={PLATFORM: url}, benchmark_model_sha256="0" * 64).failure()
    assert f"cannot download {url}" in message
    assert FAKE_SHA256 in message
    assert not (tmp_path / "work dir/runners/benchmark_model").exists()


def test_a_local_binary_comes_before_a_download(play, tmp_path):
    assert play(benchmark_model_path=str(FAKE)).changed() > 0
    assert installed(tmp_path)["benchmark_model"]["sha256"] == FAKE_SHA256
    assert "there is no such file" in play(benchmark_model_path={PLATFORM: "/nonexistent/tool"}).failure()
    assert "asks for 0000" in play(benchmark_model_path=str(FAKE), benchmark_model_sha256="0000").failure()
    other = tmp_path / "other"
    other.write_bytes(ELF_START + OTHER_MACHINE + bytes(100))
    message = play(benchmark_model_path=str(other)).failure()
    assert "does not start on this host" in message
    assert f"and this machine is {os.uname().machine}" in message


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        pytest.param(FAKE.read_bytes(), 0o755, "", id="starts"),
        pytest.param(None, 0, "there is no file", id="missing"),
        pytest.param(b"", 0o755, "is empty", id="empty"),
        pytest.param(FAKE.read_bytes(), 0o644, "is not executable", id="not executable"),
        pytest.param(b"<!DOCTYPE html><title>404", 0o755, "is not a program", id="an error page"),
        pytest.param(ELF_START + OTHER_MACHINE + bytes(100), 0o755, "is built for", id="wrong architecture"),
        pytest.param(
            ELF_START + bytes([0x3E if os.uname().machine == "x86_64" else 0xB7]) + bytes(100),
            0o755,
            "the system cannot execute it",
            id="broken",
        ),
        pytest.param(b"#!/nonexistent/loader\n", 0o755, "its loader is missing", id="no loader"),
        pytest.param(
            b'#!/bin/sh\necho "t: /lib/libc.so.6: version \\`GLIBC_2.99\' not found (required by t)" >&2\nexit 1\n',
            0o755,
            "it needs a newer glibc than glibc 2.",
            id="newer glibc",
        ),
        pytest.param(
            b"#!/bin/sh\necho 't: error while loading shared libraries: libGL.so: cannot open' >&2\nexit 127\n",
            0o755,
            "a library is missing: t: error while loading shared libraries: libGL.so",
            id="missing library",
        ),
        pytest.param(
            b"#!/bin/sh\nkill -ILL $$\n", 0o755, "instructions that this processor does not have", id="SIGILL"
        ),
        pytest.param(b"#!/bin/sh\necho hello\n", 0o755, "it prints no usage text, but, exit code 0: hello", id="other"),
    ],
)
def test_the_probe_says_why_a_binary_does_not_start(tmp_path, content, mode, reason):
    program = tmp_path / "benchmark model"
    if content is not None:
        program.write_bytes(content)
        program.chmod(mode)
    done = subprocess.run(["sh", PROBE, program], capture_output=True, text=True, check=False)
    assert done.returncode == bool(reason)
    assert reason in done.stdout
    assert done.stdout.count("\n") == bool(reason)
