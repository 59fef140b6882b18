"""Wheels for another machine, and what several workers want at the same time."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest
from ansible_collections.edgebench.testbed.plugins.action.python_runner import answer
from ansible_collections.edgebench.testbed.plugins.plugin_utils.downloads import public_url
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import Reply
from ansible_collections.edgebench.testbed.plugins.plugin_utils.wheels import (
    Packages,
    Target,
    WheelsError,
    addresses_in,
    leave_out,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.zipapps import zipapp

PI = Target("3.11", "aarch64", "2.36", "cp311-aarch64-glibc2.36-0")
# Stands in for pip: counts its calls, takes its time, writes a wheel to --dest=.
FAKE_PIP = """#!/bin/sh
echo "$*" >>{calls}
for word; do
  case $word in --dest=*) mkdir -p "${{word#--dest=}}" && sleep 0.3 && echo wheel >"${{word#--dest=}}/a.whl" ;; esac
done
"""


@pytest.fixture
def packages(tmp_path):
    pip = tmp_path / "python"
    pip.write_text(FAKE_PIP.format(calls=tmp_path / "calls"))
    pip.chmod(0o755)
    return Packages(("a",), str(pip), tmp_path / "cache")


def test_only_what_the_machine_runs_is_asked_for():
    assert "--platform=manylinux_2_36_aarch64" in PI.options
    assert "--platform=manylinux2014_aarch64" in PI.options
    assert "--platform=manylinux_2_37_aarch64" not in PI.options


def test_one_of_several_workers_downloads(packages, tmp_path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.starmap(packages.wheels, [(PI, len)] * 3)
    assert found == [[tmp_path / f"cache/{PI.key}/a.whl"]] * 3
    assert (tmp_path / "calls").read_text().count("\n") == 1


def test_what_a_killed_worker_left_is_removed(packages, tmp_path):
    (tmp_path / f"cache/{PI.key}.partial.x/wheels").mkdir(parents=True)
    packages.wheels(PI, len)
    assert sorted(name for name in os.listdir(tmp_path / "cache") if name[0] != ".") == [PI.key]  # noqa: PTH208


def test_what_pip_says_is_told(tmp_path):
    with pytest.raises(WheelsError, match="cannot run /nonexistent/python"):
        Packages(("a",), "/nonexistent/python", tmp_path).wheels(PI, len)
    with pytest.raises(WheelsError, match=r"^ERROR: .*nonsense"):
        Packages(("=nonsense",), sys.executable, tmp_path).wheels(PI, len)
    assert not (tmp_path / PI.key).exists()


def test_another_index_is_asked_for_the_first_package_alone(packages, tmp_path):
    packages = replace(packages, requirements=("a==1", "b", "c"), extra_index_url="https://index")
    packages.wheels(PI, len)
    first, others = (tmp_path / "calls").read_text().splitlines()
    assert first.endswith(" --extra-index-url=https://index -- a==1")
    assert others.endswith(" -- b c")
    assert "--extra-index-url" not in others
    assert packages.digest != replace(packages, extra_index_url="").digest
    assert str(packages) == "a==1 and 2 more"


def test_what_hosts_do_not_need_is_not_sent(tmp_path):
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name in ("a/__init__.py", "a/lib/libruntime.so", "a/lib/libcompiler.so", "a/3rdparty/x/y.h"):
            wheel.writestr(name, name)
    whole = path.read_bytes()
    leave_out(path, ["b/*"])
    assert path.read_bytes() == whole
    leave_out(path, ["a/lib/libcompiler.so", "a/3rdparty/*"])
    with zipfile.ZipFile(path) as wheel:
        assert {name: wheel.read(name).decode() for name in wheel.namelist()} == {
            name: name for name in ("a/__init__.py", "a/lib/libruntime.so")
        }
    assert [each.name for each in tmp_path.iterdir()] == ["a.whl"]


def test_another_choice_of_files_is_another_directory(packages):
    assert packages.digest != replace(packages, leave_out=("a/lib/*",)).digest


def test_a_program_and_its_modules_are_one_file_that_is_always_the_same(tmp_path):
    (tmp_path / "main.py").write_text("import shared\nprint(shared.WORD, __name__)\n")
    (tmp_path / "shared.py").write_text("WORD = 'hello'\n")
    content = zipapp(tmp_path / "main.py", [tmp_path / "shared.py"])
    os.utime(tmp_path / "shared.py", (0, 0))
    assert zipapp(tmp_path / "main.py", [tmp_path / "shared.py"]) == content
    (tmp_path / "one.pyz").write_bytes(content)
    (tmp_path / "shared.py").unlink()
    done = subprocess.run([sys.executable, tmp_path / "one.pyz"], capture_output=True, text=True, check=True)
    assert done.stdout == "hello __main__\n"


def report(**more):
    archive = {"hashes": {"sha256": "ab"}}
    return {"install": [{"download_info": {"url": "https://x/y/a%2B1.whl#egg", "archive_info": archive} | more}]}


def test_addresses_are_those_that_anybody_can_fetch():
    assert addresses_in(report()) == {"a+1.whl": ("https://x/y/a%2B1.whl", "ab")}
    assert addresses_in(report(url="https://x/..%2F..%2Fa.whl")) == {"a.whl": ("https://x/..%2F..%2Fa.whl", "ab")}
    for not_for_all in (
        {"archive_info": {}},
        {"url": "file:///a.whl"},
        {"url": "https://u:p@x/a.whl"},
        {"url": "https://x/a?t"},
    ):
        assert addresses_in(report(**not_for_all)) == {}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@host:8443/a/b?token=x#y", "https://host:8443/a/b"),
        ("https://u@p@host/a", "https://host/a"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
    ],
)
def test_a_shown_url_has_no_secrets(url, shown):
    assert public_url(url) == shown


SAID = '{"python": "3.11", "machine": "aarch64", "glibc": "%s", "key": "%s", "packages": true, "program": true}\n'


def test_what_a_host_says_is_no_path_of_its_choice():
    text = SAID % ("2.36", "cp311-aarch64-glibc2.36-0") + 'EDGEBENCH runner={"version": "2.3.0"}\n'
    assert answer(Reply(0, text.encode(), "")).version == "2.3.0"
    assert answer(Reply(0, text.encode(), "")).target == PI
    for glibc, key in [
        ("2.36", "../../x"),
        ("2.36", ".hidden"),
        ("", "cp311-aarch64-glibc-0"),
        ("2.x", "a"),
        ("2.36", "a/b"),
    ]:
        assert answer(Reply(0, (SAID % (glibc, key)).encode(), "")).target is None
    assert answer(Reply(127, b"", "sh: 1: exec: /x: not found\n")).complaint == "sh: 1: exec: /x: not found"
    failed = answer(Reply(1, (SAID % ("2.36", "k")).encode(), "ERROR: Cannot import\nERROR: Benchmarking failed.\n"))
    assert (failed.starts, failed.complaint) == (False, "ERROR: Cannot import ERROR: Benchmarking failed.")
