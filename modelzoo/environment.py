"""The model builders' environments: apart from what the controller needs, made once, cached."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from modelzoo.errors import ZooError
from modelzoo.paths import REPOSITORY
from modelzoo.resources import Say, check_disk, locked

# What pip says that is worth seeing: downloads take minutes on a slow link.
PIP_PROGRESS = ("Downloading ", "Installing collected packages")


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment.

    Attributes:
        name: begins the name of its directory in the cache.
        title: what it is for people.
        requirements: the file with what is installed in it.
        makers: the packages whose versions determine the bytes of the models that it makes.
        from_index: packages that are taken from `index` where that can be reached, and in any case before the others.
        size_gb: what it takes on disk when it is there.
    """

    name: str
    title: str
    requirements: Path
    makers: tuple[str, ...] = ()
    from_index: tuple[str, ...] = ()
    index: str = ""
    size_gb: float = 0.1

    def pinned_versions(self) -> dict[str, str]:
        """Return the versions of the makers that the requirements pin."""
        return {name: self._pins()[name] for name in self.makers}

    def pip_steps(self) -> list[list[str]]:
        """Return the arguments of each `pip install` that it takes.

        What is taken from an index comes first, alone, and that index is asked once: pip asks every index for every
        package, and one that cannot be reached would take it nearly ten seconds each time.
        """
        pins = self._pins()
        first = ["--no-deps", "--retries", "1", "--extra-index-url", self.index]
        steps = [[*first, *(f"{name}=={pins[name]}" for name in self.from_index)]] if self.from_index else []
        return [*steps, ["-r", str(self.requirements)]]

    def _pins(self) -> dict[str, str]:
        pins = re.findall(r"^([\w-]+)==([\w.]+)", self.requirements.read_text(encoding="utf-8"), re.MULTILINE)
        return {name.removesuffix("-cpu"): version for name, version in pins}


TENSORFLOW = Environment(
    "models", "TensorFlow", REPOSITORY / "requirements-models.txt", ("tensorflow", "keras"), size_gb=1.8
)
TFMOT = Environment(
    "tfmot",
    "TensorFlow Model Optimization",
    REPOSITORY / "requirements-tfmot.txt",
    ("tensorflow", "tf-keras", "tensorflow-model-optimization", "scikit-learn"),
    size_gb=2.3,
)
TORCH = Environment(
    "torch",
    "PyTorch",
    REPOSITORY / "requirements-torch.txt",
    ("torch", "torchvision", "onnx", "onnxscript", "litert-torch", "ai-edge-quantizer"),
    # Without CUDA: that of PyPI for x86_64 needs several GB of it.
    from_index=("torch", "torchvision"),
    index="https://download.pytorch.org/whl/cpu",
    size_gb=2.3,
)
TVM = Environment(
    "tvm", "TVM", REPOSITORY / "requirements-tvm.txt", ("apache-tvm", "apache-tvm-ffi", "tflite"), size_gb=1.2
)


def builder_python(cache: Path, say: Say, environment: Environment = TENSORFLOW) -> Path:
    """Return the Python of an environment, making the environment when it is missing.

    It appears under its name by rename, complete. Raises ZooError when it cannot be made.
    """
    directory = cache / "venvs" / f"{environment.name}-{_key(environment.requirements)}"
    python = directory / "bin" / "python"
    # A Python that was uninstalled leaves a link to nowhere.
    if not os.access(python, os.X_OK):
        try:
            with locked(directory.with_suffix(".lock"), say):
                if not os.access(python, os.X_OK):
                    _make(environment, directory, say)
        except OSError as error:
            raise ZooError(
                f"environment {directory} cannot be made ({error.strerror}); put the cache elsewhere "
                "with EDGEBENCH_CACHE"
            ) from error
    return python


def _key(requirements: Path) -> str:
    content = requirements.read_bytes() + f"{platform.python_version()} {platform.machine()}".encode()
    return hashlib.sha256(content).hexdigest()[:12]


def _make(environment: Environment, directory: Path, say: Say) -> None:
    title = environment.title
    unfinished = directory.with_suffix(".unfinished")
    log = directory.with_suffix(".log")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)
    check_disk(directory, 1.25 * environment.size_gb, f"the environment for building models with {title}")
    say(f"installing {title} in {directory} (about {environment.size_gb:.1f} GB, once) ...")
    pip = [str(unfinished / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    with log.open("w", encoding="utf-8") as output:
        _run([sys.executable, "-m", "venv", str(unfinished)], title, output, say)
        for arguments in environment.pip_steps():
            _run([*pip, "--progress-bar", "off", *arguments], title, output, say)
    unfinished.rename(directory)
    log.unlink()
    say(f"installed {title}")


def _run(command: list[str], title: str, log: TextIO, say: Say) -> None:
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
        raise ZooError(f"{title} could not be installed: {last} (the whole output is in {log.name})")
