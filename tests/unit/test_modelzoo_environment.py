"""The model builders' environments, with requirements that need no network."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from modelzoo.environment import TENSORFLOW, TFMOT, TORCH, Environment, builder_python
from modelzoo.errors import ZooError


def quiet(_line: str) -> None:
    pass


def test_the_environment_is_made_once_and_again_when_the_requirements_change(tmp_path, monkeypatch):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    said = []
    environment = Environment("some", "Something", requirements)
    python = builder_python(tmp_path / "cache", said.append, environment)
    assert subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert len(said) == 2
    assert builder_python(tmp_path / "cache", said.append, environment) == python
    assert len(said) == 2

    requirements.write_text("# nothing else\n")
    made = []
    monkeypatch.setattr("modelzoo.environment._make", lambda _, directory, say: made.append(directory))
    assert builder_python(tmp_path / "cache", said.append, environment) == made[0] / "bin/python" != python


def interrupt(command: list[str], *_) -> None:
    """Stands in for what makes an environment: only a part is there when it ends."""
    (Path(command[-1]) / "rest").mkdir(parents=True)
    raise KeyboardInterrupt


def test_an_installation_that_fails_or_was_interrupted_leaves_nothing_that_looks_complete(tmp_path, monkeypatch):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("./no-such-package.whl\n")
    environment, venvs = Environment("some", "Something", requirements), tmp_path / "cache/venvs"
    with monkeypatch.context() as interrupted:
        interrupted.setattr("modelzoo.environment._run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            builder_python(tmp_path / "cache", quiet, environment)
    (rest,) = venvs.glob("*.unfinished")
    said = r"Something could not be installed: .*no-such-package.* \(the whole output is in .*log\)"
    with pytest.raises(ZooError, match=said):
        builder_python(tmp_path / "cache", quiet, environment)
    assert not (rest / "rest").exists()
    assert not [path for path in venvs.iterdir() if path.suffix == ""]


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file where a directory is expected")
    with pytest.raises(ZooError, match="put the cache elsewhere with EDGEBENCH_CACHE"):
        builder_python(tmp_path / "cache", quiet)


@pytest.mark.parametrize("environment", [TENSORFLOW, TFMOT, TORCH], ids=lambda environment: environment.title)
def test_the_recipe_sees_the_pinned_versions(environment):
    assert tuple(environment.pinned_versions()) == environment.makers
