"""What make starts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from tools import kit


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout whose requirements are empty."""
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "requirements-dev.txt").write_text("")
    return tmp_path


def install(checkout: Path, program: str) -> None:
    path = checkout / ".venv/bin/ansible-playbook"
    path.write_text(f"#!/bin/sh\n{program}\n")
    path.chmod(0o755)


def test_setup_makes_an_environment_once(checkout, capsys):
    assert kit.main(["setup"], checkout) == 0
    assert "setting up" in capsys.readouterr().out
    assert (checkout / ".venv/bin/python").exists()
    assert kit.main(["setup"], checkout) == 0
    assert capsys.readouterr().out == "", "nothing changed, nothing to do"
    (checkout / "requirements.txt").write_text("# changed\n")
    assert kit.main(["setup"], checkout) == 0
    assert "setting up" in capsys.readouterr().out


def test_a_package_that_cannot_be_installed_is_said_and_tried_again(checkout, capfd):
    (checkout / "requirements.txt").write_text("./no-such-package\n")
    for _ in range(2):
        assert kit.main(["setup"], checkout) == 1
        assert "error: setting up" in capfd.readouterr().err


def test_too_small_a_disk_is_said_before_anything_is_made(checkout, capsys, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free=100 * 2**20))
    assert kit.main(["setup"], checkout) == 1
    assert "has 100 MB free, the kit's packages need 1500 MB" in capsys.readouterr().err
    assert not (checkout / ".venv").exists()


def test_run_plays_and_passes_on_arguments_and_exit_code(checkout, capfd):
    kit.main(["setup"], checkout)
    install(checkout, 'echo "$@"; exit 4')
    assert kit.main(["run", "-e", "campaign_profile=study"], checkout) == 4
    assert "site.yml -i inventory/local -e campaign_profile=study" in capfd.readouterr().out


def test_the_second_of_two_is_told_who_is_at_work(checkout, capsys):
    kit.main(["setup"], checkout)
    capsys.readouterr()
    program = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import kit\n"
        "with kit.locked(pathlib.Path(sys.argv[2]), 'run', ''): print('locked', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", program, str(Path(kit.__file__).parent), str(checkout)]
    first = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "locked\n"
    assert kit.main(["run"], checkout) == 1
    error = capsys.readouterr().err
    first.communicate("")
    assert (
        error == f"error: make run is at work in this checkout already; wait for it, or end it (process {first.pid})\n"
    )


def test_unknown_words_get_the_usage(checkout, capsys):
    assert kit.main(["fly"], checkout) == 2
    assert "usage:" in capsys.readouterr().err
