"""Files to a host: skipped, resumed, verified; whatever its shell is."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from ansible_collections.edgebench.testbed.plugins.plugin_utils import host_shell, transfer
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostError, HostShell
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import BLOCK, Parcel, deliver, missing

from tests.fake_connection import SHELLS, FakeConnection

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for another user's directory or a small disk")
CHUNK = 4 * BLOCK  # smaller than in earnest
SIZE = 2 * CHUNK + BLOCK + 123

# Each shell once, with what the host downloads with; other such programs are hidden.
fetching = pytest.mark.parametrize(
    ("connection", "fetcher"), [("dash", "curl"), ("mksh", "wget"), ("busybox", "busybox wget")], indirect=True
)


@pytest.fixture(params=SHELLS)
def connection(tmp_path, request):
    return FakeConnection(tmp_path / "bin", request.param)


@pytest.fixture
def shell(connection, monkeypatch):
    monkeypatch.setattr(transfer, "CHUNK", CHUNK)
    monkeypatch.setattr(host_shell, "RETRY_S", 0)
    return HostShell(connection, "pi", patience_s=60)


@pytest.fixture
def host(tmp_path):
    return tmp_path / "the host's $work dir" / "models"


def parcel(host, content=b"content", name='a model\'s "name" $x.tflite', **more):
    sha256 = hashlib.sha256(content or b"").hexdigest()
    return Parcel(str(host / name), **{"sha256": sha256, "content": content, **more})


def bring(shell, *parcels, **more):
    wanted = missing(shell, parcels)
    deliver(shell, wanted, **more)
    return [item.name for item, _ in wanted]


def names(host):
    return sorted(path.name for path in host.iterdir())


def part(host, item):
    return host / f".{item.name}.{item.sha256[:12]}.part"


@pytest.fixture
def big(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def big_parcel(host, big):
    return Parcel(str(host / "big.tflite"), transfer.file_sha256(big), src=big)


def test_files_are_brought_once(shell, connection, host):
    items = [parcel(host), parcel(host, b"", "empty"), parcel(host, b"#!/bin/sh\n", "program", mode="0755")]
    assert missing(shell, items, check=True) == [(item, 0) for item in items]
    assert not host.exists(), "a check changes nothing"
    assert bring(shell, *items) == [item.name for item in items]
    for item in items:
        assert (host / item.name).read_bytes() == item.content
        assert oct((host / item.name).stat().st_mode)[-4:] == item.mode
    assert host.stat().st_mode & 0o777 == 0o700

    connection.commands.clear()
    assert bring(shell, *items) == []
    assert len(connection.commands) == 1


def test_other_content_is_found_and_repaired(shell, host):
    item = parcel(host)
    bring(shell, item)
    path = host / item.name
    path.write_bytes(b"CONTENT")
    assert bring(shell, item) == [item.name]
    assert path.read_bytes() == b"content"
    # A receipt for what is there no more, and a file that came without one.
    path.unlink()
    assert bring(shell, item) == [item.name]
    (host / f".{item.name}.sha256").unlink()
    path.chmod(0o600)
    assert bring(shell, item) == []
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_came_earlier_is_not_sent_again(shell, connection, host, big, big_parcel):
    host.mkdir(parents=True, mode=0o700)
    part(host, big_parcel).write_bytes(big.read_bytes()[: CHUNK + 3 * BLOCK + 7])
    sent = []
    connection.trouble = lambda _, __, stdin: sent.append(len(stdin)) and None
    assert bring(shell, big_parcel) == ["big.tflite"]
    assert sum(sent[1:]) == SIZE - CHUNK - 3 * BLOCK
    assert (host / "big.tflite").read_bytes() == big.read_bytes()
    assert names(host) == [".big.tflite.sha256", "big.tflite"]


@pytest.mark.parametrize("size", [BLOCK, SIZE, SIZE + BLOCK])
def test_wrong_bytes_that_came_earlier_are_sent_again(shell, host, big, big_parcel, size):
    host.mkdir(parents=True, mode=0o700)
    part(host, big_parcel).write_bytes(bytes(size))
    assert bring(shell, big_parcel) == ["big.tflite"]
    assert (host / "big.tflite").read_bytes() == big.read_bytes()


@pytest.mark.parametrize("exchange", [2, 3, 4])
def test_a_cut_in_the_middle_of_a_chunk_costs_that_chunk(shell, connection, host, big, big_parcel, exchange):
    connection.trouble = lambda number, _, stdin: stdin[: len(stdin) // 2] if number == exchange else None
    assert bring(shell, big_parcel) == ["big.tflite"]
    assert (host / "big.tflite").read_bytes() == big.read_bytes()
    assert len(connection.commands) == 5


def test_a_lost_answer_does_not_send_the_file_again(shell, connection, host, big, big_parcel):
    connection.trouble = lambda number, _, stdin: (
        stdin if number == 4 else None
    )  # the last chunk arrived, its answer not
    assert bring(shell, big_parcel) == ["big.tflite"]
    assert (host / "big.tflite").read_bytes() == big.read_bytes()
    assert len(connection.commands) == 5


def test_a_source_that_is_not_what_was_said_is_not_installed(shell, host, big):
    item = Parcel(str(host / "big.tflite"), "0" * 64, src=big)
    with pytest.raises(HostError, match=f"should have sha256 {'0' * 64} and arrived otherwise, twice"):
        bring(shell, item)
    assert names(host) == []


@needs_root
def test_a_full_disk_is_named_and_harms_nothing(shell, host, big, big_parcel):
    host.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k,mode=700", "tmpfs", host], check=True)
    try:
        small = parcel(host)
        bring(shell, small)
        with pytest.raises(HostError, match=r"cannot write .*/big.tflite \(0.6 MB\): .*No space left"):
            bring(shell, big_parcel)
        assert not (host / "big.tflite").exists()
        assert (host / small.name).read_bytes() == b"content"
        subprocess.run(["mount", "-o", "remount,size=3m", host], check=True)
        assert bring(shell, small, big_parcel) == ["big.tflite"]
        assert (host / "big.tflite").read_bytes() == big.read_bytes()
    finally:
        subprocess.run(["umount", host], check=True)


@needs_root
def test_a_directory_of_others_is_refused(shell, host):
    host.mkdir(parents=True)
    os.chown(host, 12345, 12345)
    with pytest.raises(HostError, match="belongs to somebody else"):
        bring(shell, parcel(host))
    assert names(host) == []


def test_a_directory_that_others_write_to_is_refused(shell, host):
    host.mkdir(parents=True)
    host.chmod(0o777)
    with pytest.raises(HostError, match="others may write to it; choose another benchmark_work_dir"):
        bring(shell, parcel(host))


def test_a_directory_may_be_elsewhere_through_a_link(shell, host, tmp_path):
    (tmp_path / "big disk").mkdir(mode=0o700)
    host.parent.mkdir()
    host.symlink_to(tmp_path / "big disk")
    item = parcel(host)
    assert bring(shell, item) == [item.name]
    assert bring(shell, item) == []


def test_a_directory_in_the_place_of_a_file_is_named(shell, host):
    item = parcel(host)
    (host / item.name).mkdir(parents=True)
    with pytest.raises(HostError, match="is a directory, and a file belongs there"):
        bring(shell, item)


class Handler(http.server.SimpleHTTPRequestHandler):
    """With ranges, as file servers have them, unless `resumes` is off; `asked` is what came."""

    resumes = True

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        path = Path(self.translate_path(self.path))
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not self.resumes or start is None or not path.is_file():
            super().do_GET()
            return
        size, offset = path.stat().st_size, int(start[1])
        if offset >= size:
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {offset}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - offset))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(offset)
            shutil.copyfileobj(file, self.wfile)

    def log_message(self, *_):
        pass


@pytest.fixture
def fetcher(connection, request, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    hidden = {"curl", "wget"} - {request.param}
    for path in (path for directory in os.environ["PATH"].split(":") for path in Path(directory).glob("*")):
        if path.name not in hidden and not (tools / path.name).is_symlink():
            (tools / path.name).symlink_to(path)
    if request.param == "busybox wget":
        (tools / "wget").symlink_to(shutil.which("busybox"))
    connection.path = f"{connection.path.partition(':')[0]}:{tools}"


@pytest.fixture
def server(tmp_path):
    handler = type("OwnHandler", (Handler,), {})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path))
    ) as httpd:
        httpd.asked, httpd.handler = [], handler
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        httpd.url = f"http://user:pa%22ss@127.0.0.1:{httpd.server_port}/big"
        yield httpd
        httpd.shutdown()


@pytest.fixture
def fetched(host, big, server):
    return Parcel(str(host / "big.tflite"), transfer.file_sha256(big), src=big, url=server.url)


@fetching
@pytest.mark.parametrize("came", [0, CHUNK + 5, SIZE], ids=["nothing", "a part", "all"])
@pytest.mark.parametrize("resumes", [True, False], ids=["with ranges", "without ranges"])
def test_a_host_fetches_for_itself(shell, connection, fetcher, host, big, server, fetched, came, resumes):
    server.handler.resumes = resumes
    host.mkdir(parents=True, mode=0o700)
    if came:
        part(host, fetched).write_bytes(big.read_bytes()[:came])
    bring(shell, fetched, fetch_on_host=True)
    assert (host / "big.tflite").read_bytes() == big.read_bytes()
    assert names(host) == [".big.tflite.sha256", "big.tflite"]
    if came == SIZE:
        assert server.asked == []
    elif came:
        assert server.asked[0][1] == f"bytes={came}-"
    assert not any("pa%22ss" in command for command in connection.commands)


@fetching
def test_wrong_bytes_are_fetched_again(shell, fetcher, host, big, fetched):
    host.mkdir(parents=True, mode=0o700)
    part(host, fetched).write_bytes(bytes(SIZE + 9))
    bring(shell, fetched, fetch_on_host=True)
    assert (host / "big.tflite").read_bytes() == big.read_bytes()


@fetching
def test_what_cannot_be_fetched_is_named_without_its_password(shell, fetcher, host, big, server, fetched):
    big.unlink()
    with pytest.raises(HostError, match=r"the host cannot fetch big\.tflite: .*fetch_on_host: false") as caught:
        bring(shell, fetched, fetch_on_host=True)
    assert "pa%22ss" not in str(caught.value)
    big.write_bytes(b"other")
    with pytest.raises(HostError, match="as the host fetches it has not the sha256"):
        bring(shell, fetched, fetch_on_host=True)
    assert names(host) == []


@fetching
def test_one_that_still_fetches_is_ended_first(shell, connection, fetcher, host, fetched):
    host.mkdir(parents=True, mode=0o700)
    lost = subprocess.Popen(["sh", "-c", 'sleep 1000; : "$1"', "sh", part(host, fetched)])
    bring(shell, fetched, fetch_on_host=True)
    assert lost.wait(timeout=10) == -15
