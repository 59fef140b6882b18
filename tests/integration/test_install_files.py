"""The actions install_files and shell, played against a host on which no module of Ansible could run."""

from __future__ import annotations

import hashlib

import pytest
import yaml

from tests import playing

BOX = {"all": {"hosts": {"box": {"ansible_connection": "local", "ansible_python_interpreter": "/nonexistent"}}}}


@pytest.fixture
def play(tmp_path):
    """Play one task; returns how that went."""

    def run(action, check=False, **arguments):
        task = {"name": "Do it", f"edgebench.testbed.{action}": arguments}
        (tmp_path / "play.yml").write_text(
            yaml.safe_dump([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": [task]}])
        )
        return playing.play(tmp_path / "play.yml", BOX, check=check)

    return run


def result(played):
    assert played.rc == 0, played.stdout
    return next(event["event_data"]["res"] for event in played.events if "res" in event["event_data"])


def test_files_are_installed_once(play, tmp_path):
    (tmp_path / "source").write_bytes(b"\0bytes")
    host = tmp_path / "the host's dir"
    files = [
        {"src": str(tmp_path / "source"), "dest": f'{host}/a "model".tflite'},
        {"content": "text\n", "dest": f"{host}/program", "mode": "0755"},
    ]
    assert result(play("install_files", check=True, files=files))["installed"] == [file["dest"] for file in files]
    assert not host.exists()
    assert result(play("install_files", files=files))["changed"]
    assert (host / 'a "model".tflite').read_bytes() == b"\0bytes"
    assert (host / "program").stat().st_mode & 0o777 == 0o755
    assert not result(play("install_files", files=files))["changed"]
    (host / "program").write_text("TEXT\n")
    assert result(play("install_files", files=files))["installed"] == [f"{host}/program"]
    assert (host / "program").read_text() == "text\n"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        pytest.param(
            {"src": "/nonexistent/model", "dest": "/tmp/x"}, "there is no file /nonexistent/model on", id="gone"
        ),
        pytest.param({"content": "x", "dest": "models/x"}, "'models/x' is no absolute path of a file", id="relative"),
        pytest.param({"content": "x", "dest": "/tmp/a\nb"}, "is no absolute path of a file", id="line break"),
        pytest.param({"dest": "/tmp/x"}, "one of the following is required: src, content, sha256", id="nothing"),
    ],
)
def test_a_mistake_is_named(play, file, message):
    assert message in play("install_files", files=[file]).failure()


def test_a_source_is_not_read_where_its_sha256_is_known(play, tmp_path):
    content = {"content": "text", "dest": str(tmp_path / "host/file")}
    play("install_files", files=[content])
    known = {"src": "/nonexistent", "dest": content["dest"], "sha256": hashlib.sha256(b"text").hexdigest().upper()}
    assert not result(play("install_files", files=[known]))["changed"]


def test_a_script_gets_words_and_stdin_as_they_are(play):
    words = ["it's", "$HOME", "two words"]
    script = 'printf "%s|" "$@"; cat; echo trouble >&2'
    done = result(play("shell", script=script, args=words, stdin="in\n", check_mode_safe=True))
    assert done["stdout"] == "it's|$HOME|two words|in\n"
    assert (done["rc"], done["stderr"].strip(), done["changed"]) == (0, "trouble", False)


def test_exit_codes_say_what_became_of_it(play, tmp_path):
    script = '[ -d "$1" ] || { mkdir "$1" && exit 10; }'
    arguments = {"script": script, "args": [str(tmp_path / "new")]}
    assert play("shell", check=True, **arguments).stats["skipped"] == {"box": 1}
    assert not (tmp_path / "new").exists()
    assert result(play("shell", **arguments))["changed"]
    assert not result(play("shell", **arguments))["changed"]
    assert play("shell", script="echo no room >&2; exit 4").failure() == "box: no room"
