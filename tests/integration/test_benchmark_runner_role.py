"""The role benchmark_runner, played for real against this machine; the official binary comes from a web server here."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import SHA256

from tests import playing
from tests.fake_phone import PACKAGE, FakePhone
from tests.playing import ROOT

FAKE = ROOT / "tests/data/fake_benchmark_model.sh"
FAKE_SHA256 = hashlib.sha256(FAKE.read_bytes()).hexdigest()
PROBE = ROOT / "roles/benchmark_runner/files/probe_binary.sh"
RECORD = {"arch": os.uname().machine, "python_path": sys.executable}
PLATFORM = {"x86_64": "linux_x86-64", "aarch64": "linux_aarch64"}[os.uname().machine]
OTHER_MACHINE = {"x86_64": b"\xb7", "aarch64": b"\x3e"}[os.uname().machine]
ELF_START = b"\x7fELF\2\1\1" + bytes(9) + b"\2\0"
PLAYBOOK = """
- name: Install the runners
  hosts: all
  gather_facts: false
  strategy: ansible.builtin.free
  roles: [benchmark_runner]
  post_tasks:
    - name: Show what other roles see
      ansible.builtin.copy:
        content: "{{ benchmark_runner_installed | to_json }}"
        dest: "{{ installed_json }}.{{ inventory_hostname }}"
        mode: "0644"
      check_mode: false
      changed_when: false
      vars:
        ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""
# Hosts on which no module of Ansible could run.
HOSTS = {
    name: {"ansible_connection": "local", "ansible_python_interpreter": "/nonexistent"} for name in ("a", "b", "c")
}
BOX = {"all": {"hosts": {"box": HOSTS["a"]}}}


@pytest.fixture
def play(tmp_path):
    """Play the role; returns how that went."""
    (tmp_path / "play.yml").write_text(PLAYBOOK)

    def run(check=False, inventory=BOX, envvars=None, **variables):
        variables = {
            "host_facts_record": RECORD,
            "campaign_runners": ["benchmark_model"],
            "campaign_kit_dir": str(ROOT),
            "campaign_cache_dir": str(tmp_path / "cache"),
            "campaign_python": sys.executable,
            "benchmark_work_dir": str(tmp_path / "the host's $work dir"),
            "installed_json": str(tmp_path / "installed.json"),
        } | variables
        return playing.play(tmp_path / "play.yml", inventory, check=check, envvars=envvars, **variables)

    return run


@contextlib.contextmanager
def serving(directory, password=""):
    """Serve a directory; gives the address and the list of what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if password and self.headers["Authorization"] != f"Basic {base64.b64encode(password.encode()).decode()}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="binaries"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{httpd.server_port}", asked
        httpd.shutdown()


@pytest.fixture
def server():
    """Serve tests/data; gives the binary's URL and the list of what was asked for."""
    with serving(FAKE.parent) as (address, asked):
        yield f"http://{address}/{FAKE.name}", asked


@pytest.fixture
def tiny(tmp_path):
    """A runner of one tiny package, on an index of its own; gives settings, what was asked for, and the wheel."""
    name = "tiny-1.0-py3-none-any.whl"
    index = tmp_path / "index"
    (index / "simple/tiny").mkdir(parents=True)
    with zipfile.ZipFile(index / name, "w") as wheel:
        wheel.writestr("tiny/__init__.py", "__version__ = '1.0'\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    sha256 = hashlib.sha256((index / name).read_bytes()).hexdigest()
    (index / "simple/tiny/index.html").write_text(f'<a href="/{name}#sha256={sha256}">{name}</a>')
    (tmp_path / "runners").mkdir()
    (tmp_path / "runners/litert.py").write_text(
        "import json, protocol, tiny\nprint('EDGEBENCH runner=' + json.dumps({'version': tiny.__version__}))\n"
    )
    (tmp_path / "runners/protocol.py").write_text("")
    with serving(index) as (address, asked):
        yield (
            {
                "campaign_runners": ["litert"],
                "benchmark_runner_litert_packages": ["tiny==1.0"],
                "benchmark_runner_source_dir": str(tmp_path / "runners"),
                "envvars": {
                    "PIP_CONFIG_FILE": os.devnull,
                    "PIP_EXTRA_INDEX_URL": "",
                    "PIP_INDEX_URL": f"http://{address}/simple/",
                    "NO_PROXY": "127.0.0.1",
                },
            },
            asked,
            index / name,
        )


def installed(tmp_path, host="box"):
    return json.loads((tmp_path / f"installed.json.{host}").read_text())


def tasks(played, host="box"):
    """Names of the role's tasks that the host was asked to do, or that were skipped for it."""
    return [
        event["event_data"]["task"]
        for event in played.events
        if event["event"] in ("runner_on_ok", "runner_on_skipped")
        and (event["event_data"].get("role"), event["event_data"]["host"]) == ("benchmark_runner", host)
    ]


def start(entry, *flags):
    """Start a runner the way the run script does."""
    environment = {**os.environ, **entry["environment"]}
    return subprocess.run([*entry["argv"], *flags], env=environment, capture_output=True, text=True, check=False)


def test_litert_is_installed_from_the_controller_and_starts(play, tmp_path):
    runners = {"campaign_runners": ["litert"]}
    assert play(check=True, **runners).changed() > 0
    assert not (tmp_path / "the host's $work dir").exists()
    assert installed(tmp_path)["litert"]["version"] is None

    assert play(**runners).changed() > 0
    entry = installed(tmp_path)["litert"]
    assert entry["version"] == "2.3.0"
    assert entry["sha256"] == hashlib.sha256(Path(entry["argv"][-1]).read_bytes()).hexdigest()
    model = ROOT / "tests/data/models/dense.float32.tflite"
    done = start(entry, f"--graph={model}", "--num_runs=2", "--min_secs=0", "--warmup_min_secs=0")
    assert done.returncode == 0, done.stderr
    assert "INFO: Inference timings in us:" in done.stdout

    # Again, with nothing to download from: nothing to do.
    shutil.rmtree(tmp_path / "cache")
    assert play(**runners, benchmark_runner_controller_python="/nonexistent").changed() == 0
    assert installed(tmp_path)["litert"] == entry
    assert play(check=True, **runners).changed() == 0


def test_onnxruntime_needs_no_more_than_is_brought(play, tmp_path):
    """On a Python without any packages but those."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} -S "$@"\n')
    python.chmod(0o755)
    assert play(campaign_runners=["onnxruntime"], benchmark_runner_python=str(python)).changed() > 0
    entry = installed(tmp_path)["onnxruntime"]
    assert entry["argv"][-1].endswith("/onnxruntime.pyz")
    done = start(entry, f"--graph={ROOT}/tests/data/networks/image.onnx", "--num_runs=2", "--min_secs=0")
    assert (done.returncode, done.stderr) == (0, "")
    assert f'EDGEBENCH runner={{"name": "onnxruntime", "version": "{entry["version"]}"' in done.stdout


def test_hosts_that_are_alike_share_what_is_downloaded(play, tiny, tmp_path):
    settings, asked, wheel = tiny
    hosts = {
        "all": {"hosts": {name: {**host, "benchmark_work_dir": str(tmp_path / name)} for name, host in HOSTS.items()}}
    }
    settings["benchmark_runner_dir"] = "{{ installed_json }}.{{ inventory_hostname }}.d"
    assert play(inventory=hosts, **settings).changed() == 3
    assert asked.count(f"/{wheel.name}") == 1
    assert all(installed(tmp_path, host)["litert"]["version"] == "1.0" for host in HOSTS)
    assert [path.name for path in (tmp_path / "cache/wheels").iterdir() if not path.name.startswith(".")] == [
        next((tmp_path / "installed.json.a.d/packages").glob("*.lock")).stem
    ]

    # All there: a handful of tasks, one of which asks the host.
    again = play(inventory=hosts, **settings)
    assert again.changed() == 0
    assert len(tasks(again, "a")) <= 5, tasks(again, "a")


def test_a_host_that_has_internet_may_fetch_wheels(play, tiny, tmp_path):
    settings, asked, wheel = tiny
    assert play(**settings, benchmark_runner_fetch_on_host=True).changed() == 1
    assert installed(tmp_path)["litert"]["version"] == "1.0"
    assert not list((tmp_path / "cache").rglob("*.whl"))

    # Known by now where they are; and what comes from there is verified.
    shutil.rmtree(tmp_path / "the host's $work dir")
    asked.clear()
    wheel.write_bytes(wheel.read_bytes() + b"more")
    message = play(**settings, benchmark_runner_fetch_on_host=True).failure()
    assert "tiny-1.0-py3-none-any.whl as the host fetches it has not the sha256" in message
    assert set(asked) == {f"/{wheel.name}"}
    assert not list((tmp_path / "the host's $work dir/runners/packages").glob("cp*[!s]/tiny"))


def test_a_host_without_python_is_told_of_the_binary(play, tmp_path):
    record = RECORD | {"python_path": None}
    message = play(campaign_runners=["litert"], host_facts_record=record).failure()
    assert "needs Python, and none was found on this host" in message
    assert "the official binary (the runner benchmark_model), which needs none" in message
    assert play(benchmark_model_path=str(FAKE), host_facts_record=record).changed() == 1
    again = play(benchmark_model_path=str(FAKE), host_facts_record=record)
    assert again.changed() == 0
    assert len(tasks(again)) <= 6, tasks(again)


def test_a_machine_without_wheels_is_named(play, tiny, tmp_path):
    settings, _, wheel = tiny
    (wheel.parent / "simple/tiny/index.html").write_text('<a href="/tiny-1.0-cp311-cp311-linux_x86_64.whl">x</a>')
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec setarch linux32 {sys.executable} "$@"\n')
    python.chmod(0o755)
    message = play(**settings, benchmark_runner_python=str(python)).failure()
    machine = subprocess.run(["setarch", "linux32", "uname", "-m"], capture_output=True, text=True, check=True).stdout
    assert f"on {machine.strip()} with glibc" in message
    assert "measure with the runner benchmark_model" in message


def test_a_killed_unpacking_does_no_harm_and_two_at_once_neither(tmp_path):
    wheels = tmp_path / "key.wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "a.whl", "w") as wheel:
        wheel.writestr("a/__init__.py", "")
        wheel.writestr("a/lib/compiler.so", "")
    (tmp_path / "key.partial/b").mkdir(parents=True)
    argv = [sys.executable, ROOT / "roles/benchmark_runner/files/unpack_wheels.py", sys.executable]
    two = [subprocess.Popen([*argv, wheels, tmp_path / "key", "a/lib/*"]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in two] == [0, 0]
    assert sorted(str(path.relative_to(tmp_path / "key")) for path in (tmp_path / "key").rglob("*")) == [
        "a",
        "a/__init__.py",
    ]
    assert not wheels.exists()


def test_a_runner_that_cannot_be_had_says_why(play):
    message = play(campaign_runners=["litert"], benchmark_runner_litert_packages=["ai-edge-litert==99.0"]).failure()
    assert "no wheels of ai-edge-litert==99.0 for CPython" in message
    assert "Could not find a version that satisfies the requirement ai-edge-litert==99.0" in message
    assert "another version in benchmark_runner_litert_packages" in message
    message = play(campaign_runners=["litert"], benchmark_runner_python="/nonexistent/python").failure()
    assert "'/nonexistent/python' cannot run the runner litert" in message
    assert "Unknown runner magic in campaign_runners; there are: litert" in play(campaign_runners=["magic"]).failure()


def test_a_runner_that_dies_on_the_host_says_by_what(tmp_path):
    program = tmp_path / "runner.py"
    program.write_text("import os\nos.kill(os.getpid(), 4)\n")
    words = [tmp_path, "0", program, hashlib.sha256(program.read_bytes()).hexdigest()]
    argv = [sys.executable, ROOT / "roles/benchmark_runner/files/ask_python.py", sys.executable, *words]
    asked = functools.partial(subprocess.run, argv, capture_output=True, text=True, check=False)
    (tmp_path / json.loads(asked().stdout)["key"]).mkdir()
    done = asked()
    assert (done.returncode, done.stderr) == (1, "ended by signal 4\n")


def test_a_host_that_cannot_run_what_tvm_compiles_is_told_so(play):
    record = RECORD | {"arch": "x86_64", "cpu_features": ["avx", "avx2", "fma", "f16c", "avx512f"]}
    target = "llvm -mcpu=cascadelake"
    message = play(campaign_runners=["tvm"], benchmark_models_tvm_target=target, host_facts_record=record).failure()
    assert (
        f"box cannot run what TVM compiles for '{target}': its CPU has no avx512_vnni; correct benchmark_tvm_target"
    ) in message
    assert "\n" not in message


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


@pytest.mark.parametrize("on_host", [False, True], ids=["controller", "host"])
def test_a_password_in_the_url_is_used_and_not_shown(play, tmp_path, on_host):
    with serving(FAKE.parent, "me:s3cret") as (address, asked):
        settings = {
            "benchmark_model_url": {PLATFORM: f"http://me:s3cret@{address}/{FAKE.name}?token=t0ken"},
            "benchmark_model_sha256": FAKE_SHA256,
            "benchmark_runner_fetch_on_host": on_host,
        }
        done = play(**settings)
        assert done.changed() == 1
        assert set(asked) == {f"/{FAKE.name}?token=t0ken"}
        assert (tmp_path / "cache/binaries").exists() != on_host
        shutil.rmtree(tmp_path / "the host's $work dir")
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        failed = play(**settings | {"benchmark_model_url": {PLATFORM: f"http://me:s3cret@{address}/none?token=t0ken"}})
        assert "404" in failed.failure()
    for secret in ("s3cret", "t0ken"):
        assert secret not in done.stdout + failed.stdout
        assert secret not in json.dumps([event["event_data"].get("res") for event in done.events + failed.events])
        assert secret not in (tmp_path / "installed.json.box").read_text()


def test_a_wrong_download_is_not_installed(play, server, tmp_path):
    url, _ = server
    message = play(benchmark_model_url={PLATFORM: url}, benchmark_model_sha256="0" * 64).failure()
    assert f"cannot download {url}" in message
    assert FAKE_SHA256 in message
    assert not (tmp_path / "the host's $work dir/runners/benchmark_model").exists()


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


# --- Android ----------------------------------------------------------------------------------------------------------

PHONE = {"arch": "aarch64", "python_path": None, "android": "10"}


def test_what_a_phone_can_have(play):
    cases = {
        "python": (
            "litert",
            PHONE,
            "the runner litert needs Python, which Android does not have; the runners for phones",
        ),
        "no-phone": (
            "benchmark_apk",
            RECORD,
            "is an Android app, and this host is no Android device; correct campaign_runners, or measure this host",
        ),
        "binary": ("benchmark_model", PHONE, "no sha256 for the benchmark_model of android_aarch64"),
        "app": ("benchmark_apk", PHONE | {"arch": "armv8l"}, "no sha256 for the benchmark_apk of android_arm, which"),
        "emulator": (
            "benchmark_apk",
            PHONE | {"arch": "x86_64"},
            "builds no benchmark app for Android on x86_64 (there",
        ),
    }
    hosts = {name: HOSTS["a"] | {"runner": runner, "record": record} for name, (runner, record, _) in cases.items()}
    played = play(
        inventory={"all": {"hosts": hosts}}, campaign_runners=["{{ runner }}"], host_facts_record="{{ record }}"
    )
    said = {
        event["event_data"]["host"]: event["event_data"]["res"]["msg"]
        for event in played.events
        if event["event"] == "runner_on_failed"
    }
    assert {name for name, (*_, message) in cases.items() if message not in said[name]} == set(), said


def test_the_app_is_installed_once_and_measures(play, tmp_path):
    phone = FakePhone(tmp_path / "phone")
    settings = {"campaign_runners": ["benchmark_apk"], "host_facts_record": PHONE, "envvars": {}}
    settings["envvars"]["PATH"] = f"{phone.path}{os.pathsep}{Path(sys.executable).parent}"
    settings["benchmark_apk_path"] = {"android_aarch64": str(phone.apk), "android_arm": "/nonexistent"}
    assert play(check=True, **settings).changed() == 1
    assert phone.asked == []
    assert play(**settings).changed() == 1
    entry = installed(tmp_path)["benchmark_apk"]
    assert (entry["version"], entry["sha256"]) == (phone.sha256[:12], phone.sha256)
    assert entry["stop"] == ["am", "force-stop", PACKAGE]
    [asked] = phone.asked
    assert asked == f"pm install -r -d -g {Path(entry['argv'][1]).with_suffix('.apk')}"
    started = start({**entry, "environment": {"PATH": phone.path, "TMPDIR": str(tmp_path)}}, f"--graph={FAKE}")
    assert (started.returncode, "Inference timings in us" in started.stdout) == (0, True)

    again = play(**settings)
    assert again.changed() == 0
    assert len(tasks(again)) <= 6, tasks(again)
    # Somebody put another one there.
    (phone.directory / "base.apk").write_text("another")
    phone.put("pm_says", "Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE: Package signatures do not match]\n")
    message = play(**settings).failure()
    assert f"cannot install the app {PACKAGE} (from {phone.apk}): another build of the app is there" in message
    assert f"adb uninstall {PACKAGE} (pm install: Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE: Pack" in message


def install_app(phone, says):
    phone.put("pm_says", f"{says}\n")
    words = ["sh", "-c", SHA256 + (ROOT / "roles/benchmark_runner/files/ensure_app.sh").read_text(), "sh", "install"]
    words += [PACKAGE, phone.sha256, phone.apk]
    return subprocess.run(words, env={"PATH": phone.path}, capture_output=True, text=True, check=False)


def test_an_app_of_an_old_kind_is_installed_all_the_same(tmp_path):
    phone = FakePhone(tmp_path / "phone")
    done = install_app(
        phone, "Failure [INSTALL_FAILED_DEPRECATED_SDK_VERSION: App package must target at least SDK 23]"
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert [line.split()[2] for line in phone.asked] == ["-r", "--bypass-low-target-sdk-block"]


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (
            "Failure [INSTALL_FAILED_USER_RESTRICTED: Install canceled by user]",
            "switch on 'Install via USB' in its dev",
        ),
        ("Failure [INSTALL_FAILED_NO_MATCHING_ABIS: Failed to extract native]", "other processors than this phone's"),
        ("Failure [INSTALL_FAILED_INSUFFICIENT_STORAGE]", "the phone has no room for it"),
        ("Failure [INSTALL_FAILED_VERIFICATION_FAILURE]", "Google Play Protect refused it"),
        ("Failure [INSTALL_PARSE_FAILED_NOT_APK]", "it is no whole APK; download it again"),
        ("Error: java.lang.SecurityException", "Android refused it (pm install: Error: java.lang.SecurityException)"),
        ("Success", "has another file in its place"),
    ],
)
def test_why_the_app_cannot_be_installed(tmp_path, says, reason):
    done = install_app(FakePhone(tmp_path / "phone"), says)
    assert done.returncode == 1
    assert reason in done.stdout
    assert done.stdout.count("\n") == 1


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
            b"#!/system/bin/linker64\n", 0o755, "is built for Android, and this system is Linux", id="another system"
        ),
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


def test_on_a_phone_a_binary_for_linux_is_told_as_that(tmp_path):
    program, getprop = tmp_path / "benchmark_model", tmp_path / "getprop"
    program.write_text("#!/nonexistent/lib64/ld-linux-x86-64.so.2\n")
    getprop.write_text("#!/bin/sh\n")  # which phones with 64-bit programs alone have, too
    for path in (program, getprop):
        path.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["sh", PROBE, program], env={"PATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, f"{program} is built for Linux, and this system is Android\n")
