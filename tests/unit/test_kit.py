"""What make starts."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections import namedtuple
from pathlib import Path

import pytest

from analysis import layout
from tools import kit

ROOT = Path(__file__).resolve().parents[2]


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
    assert error == (
        "error: make run or make archive is at work in this checkout already; wait for it, or end it "
        f"(process {first.pid})\n"
    )


def test_unknown_words_get_the_usage(checkout, capsys):
    assert kit.main(["fly"], checkout) == 2
    assert "usage:" in capsys.readouterr().err


# --- make archive -----------------------------------------------------------------------------------------------------

# Stands in for ansible-playbook: keeps its arguments, and measures as many of two runs as its environment says.
PLAY = """
import json, os, pathlib, sys
given = json.loads(sys.argv[-1])
with open("played", "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
runs, code = map(int, os.environ.get("PLAY", "2 0").split())
campaign = pathlib.Path(given["campaign_logs_dir"], given["campaign_name"])
host = campaign / "this-machine"
if runs >= 0:
    (host / "runs").mkdir(parents=True, exist_ok=True)
    (campaign / "campaign.json").write_text('{"hosts": ["this-machine"]}')
    (campaign / ".player").write_text("jane@laptop 1 1")
    (host / "host.json").write_text(json.dumps(given["platform_label"]))
for number in range(1, runs + 1):
    for ending in "log", "meta":
        (host / f"runs/000{number}_Net.float32.litert.t1_r{number}.{ending}").write_text(ending)
if runs == 2:
    (host / "DONE").write_text("")
sys.exit(code)
"""


@pytest.fixture
def player(checkout, monkeypatch):
    """A checkout whose plays are made up; what they were called with is in the file `played`."""
    monkeypatch.setattr(kit, "setup", lambda *_, **__: None)
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / "inventory/local").mkdir(parents=True)
    (checkout / "inventory/local/hosts.yml").write_text("all: {}")
    (checkout / "play.py").write_text(PLAY)
    install(checkout, f'exec {sys.executable} play.py "$@"')
    monkeypatch.delenv("PLAY", raising=False)
    return checkout


def archives(directory: Path) -> list[Path]:
    return sorted(directory.glob("edgebench-*"))


def played(checkout: Path) -> list[str]:
    """Names of the campaigns that were played."""
    lines = (checkout / "played").read_text().splitlines()
    return [json.loads(json.loads(line)[-1])["campaign_name"] for line in lines]


def test_archive_measures_under_the_label_and_packs_the_campaign(player, capfd):
    words = ["-e", "campaign_profile=study", "-e", "{campaign_models: [A, B]}", "-v"]
    assert kit.main(["archive", "--label", 'Anna\'s  "Läptop"', *words], player) == 0
    (arguments,) = map(json.loads, (player / "played").read_text().splitlines())
    assert arguments[:-2] == ["site.yml", "-i", "inventory/local", *words]
    ours = json.loads(arguments[-1])
    assert ours["platform_label"] == 'Anna\'s "Läptop"'
    campaign = ours["campaign_name"]
    assert campaign.startswith("anna-s-laptop-2")
    (archive,) = archives(player)
    assert archive.name == f"edgebench-{campaign}.tar.gz"
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        kept = {(member.mode, member.mtime, member.uid, member.gid, member.uname, member.gname) for member in tar}
    assert names == [
        f"{campaign}/campaign.json",
        f"{campaign}/this-machine/DONE",
        f"{campaign}/this-machine/host.json",
        *(
            f"{campaign}/this-machine/runs/000{run}_Net.float32.litert.t1_r{run}.{ending}"
            for run in (1, 2)
            for ending in ("log", "meta")
        ),
    ], "sorted, and nothing that is hidden"
    assert kept == {(0o644, 0, 0, 0, "", "")}
    out = capfd.readouterr().out
    assert f"Archive of 2 runs, 0.00 MB: {archive}\n" in out
    assert "python -m analysis.report logs/ edgebench-*.tar.gz\n" in out


def test_the_same_files_give_the_same_bytes(tmp_path):
    for number, date in enumerate((1e9, 1.5e9)):
        for name in ("b/runs/1.log", "a/runs/1.log", "campaign.json"):
            path = tmp_path / str(number) / "demo" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            path.chmod(0o600 if number else 0o644)
            os.utime(path, (date, date))
        assert kit.pack(tmp_path / str(number) / "demo", tmp_path / f"{number}.tar.gz") == 2
    assert (tmp_path / "0.tar.gz").read_bytes() == (tmp_path / "1.tar.gz").read_bytes()


def test_analysis_finds_in_an_archive_what_the_directory_holds(tmp_path):
    demo = ROOT / "tests/data/campaigns/logs/demo"
    kit.pack(demo, tmp_path / "edgebench-demo.tar.gz")
    with layout.opened([demo]) as there, layout.opened([tmp_path / "edgebench-demo.tar.gz"]) as packed:
        assert [
            (host.campaign, host.host, [log.file for log in host.logs], host.strays != ()) for host in packed.hosts
        ] == [(host.campaign, host.host, [log.file for log in host.logs], host.strays != ()) for host in there.hosts]


def test_a_second_archive_is_of_a_new_campaign(player):
    for _ in range(2):
        assert kit.main(["archive", "--label", "x"], player) == 0
    first, second = played(player)
    assert first != second
    assert len(archives(player)) == 2


def test_machines_of_one_label_that_begin_in_the_same_second_have_campaigns_of_different_names(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((2026, 11, 20, 13, 30, 0, 4, 324, 0)))
    names = {kit.begin(tmp_path / str(machine), "Xeon", "").name for machine in range(5)}
    assert len(names) > 1
    assert all(name.startswith("xeon-2026-11-20T13-30-00Z-") for name in names)


@pytest.mark.parametrize(
    ("label", "begins"), [("笔记本", "machine-2"), ("--Pi 5/8 GB (r)--", "pi-5-8-gb-r-2"), ("a" * 99, "a" * 40 + "-2")]
)
def test_any_label_gives_a_name_that_a_campaign_may_have(tmp_path, label, begins):
    assert kit.begin(tmp_path, label, "").name.startswith(begins)


def test_what_a_failed_play_brought_home_is_packed_and_the_same_command_goes_on(player, capfd, monkeypatch):
    monkeypatch.setenv("PLAY", "1 4")
    assert kit.main(["archive", "--label", "x"], player) == 4
    error = capfd.readouterr().err
    assert "error: the archive is incomplete: this-machine is not done. The same command goes on with it" in error
    (archive,) = archives(player)
    with tarfile.open(archive) as tar:
        assert len(tar.getnames()) == 4

    monkeypatch.delenv("PLAY")
    assert kit.main(["archive", "--label", "y"], player) == 0, "another command: another campaign"
    assert kit.main(["archive", "--label", "x"], player) == 0
    assert "incomplete" not in capfd.readouterr().err
    first, other, second = played(player)
    assert first == second != other
    assert archive in archives(player)
    assert len(archives(player)) == 2
    with tarfile.open(archive) as tar:
        assert len(tar.getnames()) == 7

    assert kit.main(["archive", "--label", "x"], player) == 0
    assert played(player)[-1] not in (first, other), "what is packed whole is over"


@pytest.mark.parametrize("change", ["inventory", "arguments", "age", "deleted"])
def test_an_unfinished_campaign_goes_on_only_where_the_command_still_means_the_same(player, monkeypatch, change):
    monkeypatch.setenv("PLAY", "1 4")
    kit.main(["archive", "--label", "x"], player)
    (campaign,) = (player / "logs").iterdir()
    arguments = []
    if change == "inventory":
        (player / "inventory/local/hosts.yml").write_text("all: {hosts: {}}")
    elif change == "arguments":
        arguments = ["-e", "campaign_profile=study"]
    elif change == "age":
        os.utime(campaign / kit.MARK, (1e9, 1e9))
    else:
        shutil.rmtree(campaign)
    kit.main(["archive", "--label", "x", *arguments], player)
    assert played(player)[1] != campaign.name


def test_a_play_that_was_cut_off_by_a_kill_goes_on(player, monkeypatch):
    with monkeypatch.context() as killing:
        killing.setattr(kit, "play", lambda *_, **__: sys.exit())
        with pytest.raises(SystemExit):
            kit.main(["archive", "--label", "x"], player)
    (campaign,) = (player / "logs").iterdir()
    assert kit.main(["archive", "--label", "x"], player) == 0
    assert played(player) == [campaign.name]


def test_a_play_that_measured_nothing_leaves_nothing(player, capfd, monkeypatch):
    monkeypatch.setenv("PLAY", "-1 2")
    assert kit.main(["archive", "--label", "x"], player) == 1
    assert "error: nothing was measured" in capfd.readouterr().err
    assert archives(player) == []
    assert list((player / "logs").iterdir()) == []


def test_before_the_first_run_is_home_there_is_no_archive_but_a_campaign_that_goes_on(player, capfd, monkeypatch):
    monkeypatch.setenv("PLAY", "0 4")
    assert kit.main(["archive", "--label", "x"], player) == 1
    assert "error: no run has come home yet" in capfd.readouterr().err
    assert archives(player) == []
    monkeypatch.delenv("PLAY")
    assert kit.main(["archive", "--label", "x"], player) == 0
    first, second = played(player)
    assert first == second


def test_output_is_a_file_or_a_directory(player, tmp_path):
    (tmp_path / "there").mkdir()
    assert kit.main(["archive", "--label", "x", "--output", str(tmp_path / "mine.tar.gz")], player) == 0
    assert kit.main(["archive", "--label", "x", f"--output={tmp_path / 'there'}"], player) == 0
    assert gzip.decompress((tmp_path / "mine.tar.gz").read_bytes())
    assert len(archives(tmp_path / "there")) == 1
    assert archives(player) == []


def test_a_disk_that_is_full_leaves_no_half_archive(player, capfd, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as filling:
        filling.setattr(tarfile.TarFile, "addfile", full)
        assert kit.main(["archive", "--label", "x"], player) == 1
    error = capfd.readouterr().err
    assert f"error: cannot write {player} (No space left on device); mend it and run the same again" in error
    assert not [path for path in player.iterdir() if "edgebench" in path.name]
    assert kit.main(["archive", "--label", "x"], player) == 0
    first, second = played(player)
    assert first == second


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", " "], "make archive LABEL='My laptop'"),
        ([], "make archive LABEL='My laptop'"),
        (["--label", "{{ x }}"], "'{{ x }}' has braces"),
        (["--label", "x", "-e", "campaign_name=y"], "sets campaign_name itself"),
        (["--label", "x", "-e", '{"platform_label": 1}'], "sets platform_label itself"),
        (["--label", "x", "--output", "/nowhere/x.tar.gz"], "cannot write to /nowhere"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_set_up(checkout, capsys, words, message):
    assert kit.main(["archive", *words], checkout) == 1
    out, error = capsys.readouterr()
    assert message in error
    assert error.count("\n") == 1
    assert out == ""


def test_make_hands_on_label_profile_and_arguments(player, monkeypatch):
    monkeypatch.undo()  # make's own process sets up for real
    kit.main(["setup"], player)
    for name in ("Makefile", "tools/kit.py"):
        (player / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, player / name)
    label = 'Anna\'s "old" laptop; true'
    words = [f"LABEL={label}", "PROFILE=study", "ARGS=-e '{campaign_models: [A]}'", f"PYTHON={sys.executable}"]
    made = subprocess.run(["make", "archive", *words], cwd=player, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    (arguments,) = map(json.loads, (player / "played").read_text().splitlines())
    assert arguments[3:7] == ["-e", "campaign_profile=study", "-e", "{campaign_models: [A]}"]
    assert json.loads(arguments[-1])["platform_label"] == label
    assert archives(player)
