"""notebooks/colab.ipynb, executed for real: it clones this checkout, measures here, and leaves an archive."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.playing import ROOT, tiny_campaign

NOTEBOOK = ROOT / "notebooks/colab.ipynb"
LABEL = "Anna's laptop"


def git(*words: str, where: Path) -> str:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    return subprocess.run(["git", *identity, *words], cwd=where, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """This checkout as it is now, committed, with the environment of these tests: a new one would take a minute."""
    origin = tmp_path_factory.mktemp("origin")
    for name in git("ls-files", "-coz", "--exclude-standard", where=ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, origin / name)
    (origin / ".venv").symlink_to(sys.prefix)
    git("init", "-q", where=origin)
    git("add", "-A", where=origin)
    git("commit", "-qm", "as it is", where=origin)
    return origin


def execute(where: Path, before: str = "", **parameters: object) -> str:
    """Run all cells in the directory; return what they showed, as text.

    Args:
        where: the directory.
        before: code that is run before anything but the parameters.
        parameters: values that are filled in.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (index,) = (i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    given = "\n".join((*(f"{name} = {value!r}" for name, value in parameters.items()), before))
    notebook.cells.insert(index + 1, nbformat.v4.new_code_cell(given))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(where)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(
        output.text
        if output.output_type == "stream"
        else f"{sorted(output.data)}\n{output.data.get('text/markdown', '')}"
        for output in outputs
    )


def test_it_is_valid_and_holds_nothing_of_who_ran_it_last():
    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n", "not as Jupyter saves it"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_a_machine_without_ssh_is_measured_and_its_archive_read_beside_other_logs(repository, tmp_path):
    settings = tiny_campaign(tmp_path, benchmark_work_dir=str(tmp_path / "work"), benchmark_report_plots=True)
    for kit_decides in ("campaign_logs_dir", "benchmark_report_output"):
        del settings[kit_decides]
    shown = execute(tmp_path, REPOSITORY=str(repository), LABEL=LABEL, ARGUMENTS=["-e", json.dumps(settings)])
    kit = tmp_path / "edgebench"
    (archive,) = kit.glob("edgebench-anna-s-laptop-*.tar.gz")
    assert "Archive of 4 runs" in shown
    assert shown.rstrip().endswith(str(archive)), "the last cell says where it is"
    assert "**What was found**" in shown
    assert LABEL in shown
    assert "image/png" in shown

    results = tmp_path / "results"
    demo = ROOT / "tests/data/campaigns/logs/demo"
    read = [sys.executable, "-m", "analysis.report", str(demo), str(archive), f"--output={results}"]
    subprocess.run(read, cwd=ROOT, check=True, capture_output=True)
    runs = (results / "tables/runs.csv").read_text()
    assert runs.count(f",this-machine,{LABEL},") == 4
    assert "demo,pi," in runs

    campaign = archive.name.removeprefix("edgebench-").removesuffix(".tar.gz")
    record = json.loads((kit / "logs" / campaign / "campaign.json").read_text())
    assert record["settings"]["profile"] == "quick"
    assert record["git"]["dirty"] is False


def test_it_says_what_to_fill_in(tmp_path):
    with pytest.raises(CellExecutionError) as failed:
        execute(tmp_path)
    assert failed.value.ename == "SystemExit"
    assert failed.value.evalue == "REPOSITORY is empty; say in the cell above where the kit is to be cloned from"
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_python_that_cannot_make_environments_gets_what_it_lacks(tmp_path, monkeypatch):
    """As on Colab."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/kit.py").touch()
    (tmp_path / "apt-get").write_text('#!/bin/sh\necho "$@" >>asked; [ "$1" = update ]\n')
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    lacking = """
        import importlib.util, os
        find_spec = importlib.util.find_spec
        importlib.util.find_spec = lambda name: None if name == "ensurepip" else find_spec(name)
        os.geteuid = lambda: 0
    """
    with pytest.raises(CellExecutionError) as failed:
        execute(tmp_path, textwrap.dedent(lacking))
    assert failed.value.evalue.startswith("sh failed")
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    assert (tmp_path / "asked").read_text() == f"update -q\ninstall -q -y {package}\n"
