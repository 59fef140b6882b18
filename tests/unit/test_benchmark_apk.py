"""runners/benchmark_apk.sh on a phone's commands, in the shells that phones have; analysis reads what it prints."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import pytest

from analysis import logs
from tests.fake_phone import HEAD, PACKAGE, FakePhone
from tests.playing import ROOT

PROGRAM = ROOT / "runners/benchmark_apk.sh"
FLAGS = ("--num_threads=4", "--num_runs=10")


@pytest.fixture
def phone(tmp_path):
    phone = FakePhone(tmp_path / "phone")
    phone.install()
    return phone


@pytest.fixture
def graph(tmp_path):
    """A model as campaigns place them: nobody else may look into the directories above."""
    path = tmp_path / "work/models/image.float32.tflite"
    path.parent.mkdir(parents=True)
    shutil.copy(ROOT / "tests/data/models/image.float32.tflite", path)
    for private in (path, path.parent, path.parent.parent):
        private.chmod(0o600 if private == path else 0o700)
    return path


def start(phone, graph, *flags, shell="mksh"):
    if not shutil.which(shell):
        pytest.skip(f"needs {shell} (apt-get install {shell})")
    words = [shell, PROGRAM, f"--graph={graph}", *FLAGS, *flags]
    environment = os.environ | {"PATH": phone.path, "TMPDIR": str(phone.directory)}
    environment["EDGEBENCH_PROCESSES"] = str(phone.directory / "processes")
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def run(phone, graph, *flags, shell="mksh"):
    """The exit code, and what analysis reads."""
    process = start(phone, graph, *flags, shell=shell)
    out, err = process.communicate(timeout=60)
    assert err == ""
    assert not phone.app_is_running
    assert not list(phone.directory.glob("benchmark_apk.*"))
    [read] = logs.parse(out)
    return process.returncode, read, out


@pytest.mark.parametrize("shell", ["mksh", "dash"])
def test_the_apps_numbers_arrive(phone, graph, shell):
    if shell == "mksh":
        phone.have_toybox()
    code, read, out = run(phone, graph, shell=shell)
    assert (code, read.status, read.reason) == (0, "ok", "")
    assert (read.graph, read.iterations) == (str(graph), 10)
    assert read.avg_inference_ms == pytest.approx(60.2555)
    assert (read.memory_init_mb, read.memory_overall_mb) == (3.36328, 3.48828)
    assert "[old]" not in out
    assert f" {(phone.directory / 'processes').read_text().strip()} " in out.splitlines()[0], "the app's, not ours"
    # One argument, which the app takes to pieces.
    arguments = f"--graph={graph} {' '.join(FLAGS)}"
    component = f"{PACKAGE}/.BenchmarkModelActivity"
    assert phone.asked == [f"start -S -n {component} --es args {arguments}", f"force-stop {PACKAGE}"]
    # The app is another user.
    assert graph.stat().st_mode & 0o777 == 0o604
    assert [path.stat().st_mode & 0o777 for path in (graph.parent, graph.parent.parent)] == [0o701, 0o701]


def test_runs_are_told_apart(phone, graph):
    """Another run's lines are before this one's in the log, and another app's TFLite logs in between."""
    phone.put("edit", f"s/^(.*) tflite  : Loaded model/{HEAD}   777   777 E tflite  : STARTING!\\n&/\n")
    for runs in ("--num_runs=3", "--num_runs=4"):
        code, read, out = run(phone, graph, runs)
        assert (code, read.status, read.iterations) == (0, "ok", int(runs[-1]))
        assert " 777 " not in out


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        pytest.param("/Inference timings/,$d", "the app is gone in the middle of the run", id="killed"),
        pytest.param(
            f"s/^.*Initialized session.*/{HEAD} PID PID F libc    : Fatal signal 11 (SIGSEGV), code 1 in tid PID/\n"
            "/Fatal signal/q",
            "the app crashed: Fatal signal 11",
            id="crash of native code",
        ),
        pytest.param(
            f"s/^.*STARTING.*/{HEAD} PID PID E AndroidRuntime: FATAL EXCEPTION: main\\n"
            f"{HEAD} PID PID E AndroidRuntime: Process: {PACKAGE}, PID: PID\\n"
            f"{HEAD} PID PID E AndroidRuntime: java.lang.UnsatisfiedLinkError: no lib that fits\\n"
            f"{HEAD} PID PID E AndroidRuntime: \\tat java.lang.Runtime.load(Runtime.java:1)/\n/FATAL/q",
            "the app crashed: java.lang.UnsatisfiedLinkError: no lib that fits",
            id="crash of Java code",
        ),
        pytest.param("/STARTING/d", "the beginning of this run is missing in the phone's log", id="overflow"),
        pytest.param(
            f"s/^.*Loaded model.*/{HEAD} PID PID I chatty  : uid=10123({PACKAGE}) expire 12 lines/",
            "lines of the phone's log were lost",
            id="pruned",
        ),
    ],
)
def test_a_run_that_ends_badly(phone, graph, edit, reason):
    phone.put("edit", edit)
    phone.put("dies", "")
    code, read, _ = run(phone, graph)
    assert (code, read.status) == (1, "failed")
    assert reason in read.reason


def test_what_the_tool_complains_of_is_the_reason(phone, graph):
    """The app then just ends, and its process stays."""
    phone.put("edit", f"s/^.*Loaded model.*/{HEAD} PID PID E tflite  : Didn't find op for builtin opcode/\n/E tflite/q")
    code, read, _ = run(phone, graph)
    assert (code, read.status) == (1, "failed")
    assert "Didn't find op for builtin opcode; the app ended without a result" in read.reason


def test_an_error_is_not_the_end(phone, graph):
    """Of an app that is at work nobody knows better when it is done."""
    phone.put("edit", f"s/^.*Loaded model.*/{HEAD} PID PID E tflite  : no such accelerator/\n/E tflite/q")
    phone.put("activities", f"    * Hist #0: ActivityRecord{{1f u0 {PACKAGE}/.BenchmarkModelActivity t7}}\n")
    process = start(phone, graph)
    deadline = time.monotonic() + 60
    while phone.asked.count("dumpsys activity activities") < 2:  # it looks again, so it went on after it had looked
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # The time limit of the run script.
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "no such accelerator" in out
    assert not phone.app_is_running
    assert phone.asked[-1] == f"force-stop {PACKAGE}"


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        pytest.param(
            "java.lang.SecurityException: Permission Denial: starting Intent\n",
            "Android does not start the app: java.lang.SecurityException: Permission Denial",
            id="refused",
        ),
        pytest.param(
            "Error type 3\nError: Activity class {x} does not exist.\n",
            f"the app {PACKAGE} on this phone has no BenchmarkModelActivity",
            id="another app",
        ),
        pytest.param("Warning: nothing happens\n", "the app did not begin within 30 s", id="screen off"),
    ],
)
def test_an_app_that_does_not_start(tmp_path, graph, says, reason):
    phone = FakePhone(tmp_path / "phone", nap_s=0.02)
    phone.install()
    phone.put("am_says", says)
    code, read, _ = run(phone, graph)
    assert (code, read.status) == (1, "failed")
    assert reason in read.reason


def test_without_app_model_or_log(tmp_path, graph):
    phone = FakePhone(tmp_path / "phone", nap_s=0.02)
    assert f"the app {PACKAGE} is not installed" in run(phone, graph)[1].reason
    assert "there is no model file '/nowhere.tflite'" in run(phone, "/nowhere.tflite")[1].reason
    assert "it takes a blank for the end of a flag" in run(phone, graph, "--a=b c")[1].reason
    (phone.directory / "bin/logcat").write_text("#!/bin/sh\necho 'logcat: Permission denied' >&2\n")
    assert "does not show what is written to it" in (reason := run(phone, graph)[1].reason)
    assert "logcat: Permission denied" in reason
