"""The model builder's environment, with requirements that need no network."""

from __future__ import annotations

import subprocess

import pytest

from modelzoo.environment import builder_python, pinned_versions
from modelzoo.errors import ZooError


def quiet(_line: str) -> None:
    pass


def test_the_environment_is_made_once_and_again_when_the_requirements_change(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    said = []
    python = builder_python(tmp_path / "cache", said.append, requirements)
    assert subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert len(said) == 2
    assert builder_python(tmp_path / "cache", said.append, requirements) == python
    assert len(said) == 2

    requirements.write_text("# nothing else\n")
    assert builder_python(tmp_path / "cache", said.append, requirements) != python


def test_an_installation_that_fails_or_was_interrupted_leaves_nothing_that_looks_complete(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("./no-such-package.whl\n")
    for _ in range(2):  # The second time there is a rest of the first.
        with pytest.raises(
            ZooError, match=r"could not be installed: .*no-such-package.* \(the whole output is in .*log\)"
        ):
            builder_python(tmp_path / "cache", quiet, requirements)
    assert not [path for path in (tmp_path / "cache/venvs").iterdir() if path.suffix == ""]


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file where a directory is expected")
    with pytest.raises(ZooError, match="put the cache elsewhere with EDGEBENCH_CACHE"):
        builder_python(tmp_path / "cache", quiet)


def test_the_recipe_sees_the_pinned_versions():
    assert sorted(pinned_versions()) == ["keras", "tensorflow"]
