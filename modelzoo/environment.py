"""The model builder's environment: TensorFlow, apart from what the controller needs, made once and cached."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TextIO

from modelzoo.errors import ZooError
from modelzoo.paths import REPOSITORY
from modelzoo.resources import Say, check_disk, locked

REQUIREMENTS = REPOSITORY / "requirements-models.txt"
DISK_GB = 2.0
# What pip says that is worth seeing: downloads take minutes on a slow link.
PIP_PROGRESS = ("Downloading ", "Installing collected packages")


def builder_python(cache: Path, say: Say, requirements: Path = REQUIREMENTS) -> Path:
    """Return the Python of the environment for these requirements, making the environment when it is missing.

    An environment appears under its name by rename, complete. Raises ZooError when it cannot be made.
    """
    environment = cache / "venvs" / f"models-{_key(requirements)}"
    python = environment / "bin" / "python"
    # A Python that was uninstalled leaves a link to nowhere.
    if not os.access(python, os.X_OK):
        try:
            with locked(environment.with_suffix(".lock"), say):
                if not os.access(python, os.X_OK):
                    _make(environment, requirements, say)
        except OSError as error:
            raise ZooError(
                f"environment {environment} cannot be made ({error.strerror}); put the cache elsewhere "
                "with EDGEBENCH_CACHE"
            ) from error
    return python


def pinned_versions(requirements: Path = REQUIREMENTS) -> dict[str, str]:
    """Return the versions of TensorFlow and Keras that the requirements pin."""
    pins = re.findall(r"^(tensorflow|keras)(?:-cpu)?==([\w.]+)", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(pins)


def _key(requirements: Path) -> str:
    content = requirements.read_bytes() + f"{platform.python_version()} {platform.machine()}".encode()
    return hashlib.sha256(content).hexdigest()[:12]


def _make(environment: Path, requirements: Path, say: Say) -> None:
    unfinished = environment.with_suffix(".unfinished")
    log = environment.with_suffix(".log")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(environment, ignore_errors=True)
    check_disk(environment, DISK_GB, "the environment for building models")
    say(f"installing TensorFlow in {environment} (about 1.6 GB, once) ...")
    pip = [str(unfinished / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    with log.open("w", encoding="utf-8") as output:
        _run([sys.executable, "-m", "venv", str(unfinished)], output, say)
        _run([*pip, "--progress-bar", "off", "-r", str(requirements)], output, say)
    unfinished.rename(environment)
    log.unlink()
    say("installed TensorFlow")


def _run(command: list[str], log: TextIO, say: Say) -> None:
    """Run a command with its output in a log, passing on the lines that show progress."""
    last = ""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            for line in process.stdout:
                log.write(line)
                last = line.strip() or last
                if line.lstrip().startswith(PIP_PROGRESS):
                    say(f"pip: {line.strip().partition(': ')[0]}")
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise ZooError(f"TensorFlow could not be installed: {last} (the whole output is in {log.name})")
