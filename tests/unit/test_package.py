"""Packages: the same bytes from the same logs, everything in them listed, and the same report made again from them."""

from __future__ import annotations

import ast
import filecmp
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from analysis import crate, package
from analysis.campaign import read

CAMPAIGNS = Path(__file__).resolve().parents[1] / "data/campaigns"
KIM = "Kim Doe <0000-0002-1825-0097>"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A package of a small campaign."""
    path = tmp_path_factory.mktemp("packed") / "tiny.zip"
    assert package.main([str(CAMPAIGNS / "old/schema1"), "--output", str(path), "--author", KIM]) == 0
    return path


@pytest.fixture(scope="module")
def unpacked(packed, tmp_path_factory):
    path = tmp_path_factory.mktemp("elsewhere") / "another name"
    shutil.unpack_archive(packed, path)
    return path


@pytest.fixture
def no_report(monkeypatch):
    """Packages without a report, for what does not depend on it."""
    monkeypatch.setattr(package, "_make_report", lambda staged: None)


def files(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def root_of(path: Path) -> dict:
    with zipfile.ZipFile(path) as archive:
        graph = json.loads(archive.read(crate.METADATA))["@graph"]
    return next(entity for entity in graph if entity["@id"] == "./")


# --- What is in it ----------------------------------------------------------------------------------------------------


def test_the_report_comes_out_the_same_from_the_package_alone(unpacked, tmp_path):
    again = tmp_path / "again"
    command = [sys.executable, "-m", "analysis.report", "logs", "--output", str(again)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"TZ": "Asia/Tokyo", "LC_ALL": "C"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # what is unpacked stays as it is
    subprocess.run(command, cwd=unpacked, env=environment, check=True, capture_output=True)
    made = files(unpacked / "results")
    assert {"report.html", "report.md", "tables/runs.csv", "data/runs.parquet", "data/made_from.json"} <= made
    assert files(again) == made
    assert filecmp.cmpfiles(unpacked / "results", again, made, shallow=False)[1:] == ([], [])


def test_the_same_logs_give_the_same_bytes(packed, tmp_path):
    logs = Path(shutil.copytree(CAMPAIGNS / "old/schema1", tmp_path / "a/schema1", copy_function=shutil.copyfile))
    (logs / ".player").write_text("somebody")
    os.utime(logs / "campaign.json", (0, 0))
    (logs / "campaign.json").chmod(0o600)
    again = tmp_path / "again.zip"
    assert package.main([str(logs), "--output", str(again), "--author", KIM]) == 0
    assert again.read_bytes() == packed.read_bytes()


def test_every_file_is_listed_with_its_checksum(unpacked):
    listed = dict(reversed(line.split("  ", 1)) for line in (unpacked / crate.MANIFEST).read_text().splitlines())
    assert set(listed) == files(unpacked) - {crate.MANIFEST}
    sums = {name: hashlib.sha256((unpacked / name).read_bytes()).hexdigest() for name in listed}
    assert listed == sums


def test_the_logs_in_it_are_the_logs(unpacked):
    name = "logs/schema1"
    assert files(unpacked / name) == files(CAMPAIGNS / "old/schema1")
    assert filecmp.cmpfiles(unpacked / name, CAMPAIGNS / "old/schema1", files(unpacked / name), shallow=False)[1:] == (
        [],
        [],
    )


def test_it_is_an_ro_crate(packed, unpacked):
    found = ROCrate(packed)  # what reads it back is not what wrote it: it takes the text alone
    assert found.metadata.version == "1.2"
    root = found.root_dataset
    assert (root["name"], root["datePublished"]) == ("Inference benchmarks: schema1", "2026-11-25T19:51:57Z")
    assert root["description"].startswith(
        "Inference benchmarks of image (float32, int8) with litert on A small machine"
    )
    assert root["license"].id == "https://spdx.org/licenses/CC-BY-4.0"
    assert [(author.id, author["name"]) for author in root["author"]] == [
        ("https://orcid.org/0000-0002-1825-0097", "Kim Doe")
    ]
    described = {entity.id for entity in found.data_entities if entity.type == "File"}
    assert described == files(unpacked) - {crate.METADATA}
    log = found.get("logs/schema1/campaign.json")
    content = (unpacked / log.id).read_bytes()
    assert (log["sha256"], log["contentSize"]) == (hashlib.sha256(content).hexdigest(), str(len(content)))
    [measuring, report] = sorted(found.get_by_type("CreateAction"), key=lambda action: action.id)
    assert [program["name"] for program in measuring["instrument"]] == ["edgebench", "litert"]
    assert (measuring["startTime"], measuring["result"].id) == ("2026-11-25T19:51:52Z", "logs/schema1/")
    assert (report["object"].id, report["result"].id) == ("logs/", "results/")


def test_every_entity_that_is_named_is_there(unpacked):
    graph = json.loads((unpacked / crate.METADATA).read_text(encoding="utf-8"))["@graph"]
    names = [entity["@id"] for entity in graph]
    assert len(names) == len(set(names))
    assert references(graph) - set(names) == {"https://w3id.org/ro/crate/1.2"}
    assert [name for name in names if name.endswith("/") and not (unpacked / name).is_dir()] == []


def references(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(references, value))
    if not isinstance(value, dict):
        return set()
    return {value["@id"]} if set(value) == {"@id"} else set().union(*map(references, value.values()))


def test_it_says_how_to_make_the_report_again_and_with_what(unpacked):
    readme = (unpacked / "README.md").read_text(encoding="utf-8")
    assert ".venv/bin/python -m analysis.report logs --output again\n" in readme
    assert "kit revision 645568ed7f18f1d3df06395706277f21f4f9f3ca" in readme
    assert "Kim Doe (https://orcid.org/0000-0002-1825-0097)" in readme


def test_all_that_the_code_imports_is_pinned_and_what_that_needs_too(unpacked):
    pins = dict(line.split("==") for line in (unpacked / "requirements.txt").read_text().splitlines())
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (unpacked / "analysis").glob("*.py")]
    statements = [statement for tree in trees for statement in tree.body]
    names = {alias.name for statement in statements if isinstance(statement, ast.Import) for alias in statement.names}
    names |= {statement.module for statement in statements if isinstance(statement, ast.ImportFrom)}
    modules = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"analysis"}
    distributions = metadata.packages_distributions()
    assert {"matplotlib", "pandas", "rocrate"} <= modules
    assert {name for module in modules for name in distributions[module]} - set(pins) == set()
    assert {"contourpy", "pillow", "python-dateutil", "rpds-py"} <= set(pins)
    assert pins["pillow"] == metadata.version("pillow")


def test_a_package_is_read_like_the_directory_that_it_was_made_of(packed, unpacked):
    plain = read([CAMPAIGNS / "old"])
    for found in (read([packed]), read([unpacked])):
        assert (found.problems, found.notes, found.unfinished) == ([], [], {})
        assert found.runs.drop(columns="log").equals(plain.runs.drop(columns="log"))


# --- What the user says -----------------------------------------------------------------------------------------------


def test_an_unfinished_campaign_is_packed_only_when_that_is_meant(no_report, tmp_path, capsys):
    command = [str(CAMPAIGNS / "logs"), "--output", str(tmp_path / "demo.zip")]
    assert package.main(command) == 2
    assert capsys.readouterr().err == (
        "error: not finished: demo/unreachable (nothing has come home); go on with measuring, or pack what there is "
        "with --partial\n"
    )
    assert list(tmp_path.iterdir()) == []
    assert package.main([*command, "--partial"]) == 0
    assert "host names, kernels, paths with users' names" in capsys.readouterr().out
    said = "demo/unreachable (nothing has come home)"
    assert root_of(tmp_path / "demo.zip")["creativeWorkStatus"] == f"Incomplete: {said}"
    with zipfile.ZipFile(tmp_path / "demo.zip") as archive:
        assert f"**Incomplete:** {said}." in archive.read("README.md").decode()


def test_title_licence_and_name_are_the_users(no_report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--title", "Two words", "--licence", "cc0-1.0", "--author", "Zoë Ölander", "--author", KIM]
    assert package.main([str(CAMPAIGNS / "old/schema1"), *words]) == 0
    root = root_of(tmp_path / "edgebench-schema1.zip")
    assert (root["name"], root["license"]) == ("Two words", {"@id": "https://spdx.org/licenses/CC0-1.0"})
    assert [author["@id"] for author in root["author"]] == [
        "#Zo%C3%AB%20%C3%96lander",
        "https://orcid.org/0000-0002-1825-0097",
    ]


def test_pilot_runs_are_not_called_invalid(no_report, tmp_path):
    logs = Path(shutil.copytree(CAMPAIGNS / "old/schema1", tmp_path / "schema1"))
    meta = logs / "this-machine/runs/0001_image.float32.litert.t1_r01.meta"
    meta.write_text(meta.read_text().replace("\nrepetition=1\n", "\nrepetition=1\nphase=pilot\n"))
    assert package.main([str(logs), "--output", str(tmp_path / "x.zip")]) == 0
    assert "6 process executions (5 ok, 1 pilot)" in root_of(tmp_path / "x.zip")["description"]


def test_logs_that_are_not_as_their_schema_says_are_packed_and_named(no_report, tmp_path, capsys):
    logs = Path(shutil.copytree(CAMPAIGNS / "old/schema1", tmp_path / "schema1"))
    with (logs / "this-machine/DONE").open("a") as file:
        file.write("repeated=often\n")
    assert package.main([str(logs), "--output", str(tmp_path / "x.zip")]) == 0
    assert capsys.readouterr().err == (
        "! schema1/this-machine/DONE: repeated is 'often', expected an integer in digits\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([CAMPAIGNS / "foreign"], "foreign/board: not a whole host of a campaign of the kit", id="foreign"),
        pytest.param([CAMPAIGNS / "nowhere"], "nowhere: no such file or directory", id="nowhere"),
        pytest.param(["--author", "Kim Doe <0000-0002-1825-0079>"], "'Kim Doe <0000-0002-1825-0079>': expected a name",
                     id="slip in the iD"),
        pytest.param(["--author", "<0000-0002-1825-0097>"], "expected a name", id="no name"),
        pytest.param(["--licence", "CC-BY"], "'CC-BY': not the identifier of one licence", id="licence"),
        pytest.param(["--licence", "MIT OR Apache-2.0"], "not the identifier of one licence", id="two licences"),
        pytest.param(["--output", "x.tar.gz"], "x.tar.gz: expected the name of a .zip", id="ending"),
        pytest.param(["--output", "no/such/x.zip"], "no/such/x.zip: expected the name of a .zip", id="no directory"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line_and_no_archive(no_report, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    logs = [] if isinstance(arguments[0], Path) else [CAMPAIGNS / "old/schema1"]
    assert package.main([str(word) for word in [*logs, *arguments]]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_a_host_in_two_places_is_not_mixed(no_report, tmp_path, capsys):
    for place in "ab":
        shutil.copytree(CAMPAIGNS / "old/schema1", tmp_path / place / "schema1")
    assert package.main([str(tmp_path), "--output", str(tmp_path / "x.zip")]) == 2
    assert "schema1/this-machine was found in " in capsys.readouterr().err
