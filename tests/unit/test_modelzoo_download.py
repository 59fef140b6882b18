"""Downloading from a list, and trained weights, against a real HTTP server that can be told to misbehave."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelzoo import pets
from modelzoo.build import Build
from modelzoo.download import Download, Listed, parse_list
from modelzoo.ensure import Wanted, ensure
from modelzoo.errors import ZooError
from modelzoo.weights import fetched, finished

MODEL = b"\0\0\0\0TFL3" + bytes(range(256)) * 4096
SHA256 = hashlib.sha256(MODEL).hexdigest()
KEY = Wanted("MobileNet", "float32")


class Server(ThreadingHTTPServer):
    """Serves what `files` holds, and misbehaves once for each thing in `statuses` (answered) and `cuts` (in bytes)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.ranges = True
        self.statuses: list[int] = []
        self.requests: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append((self.path, asked))
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        if self.path not in server.files:
            self.send_error(404)
            return
        content = server.files[self.path]
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: server.cuts.pop(0) if server.cuts else None])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def run(server, tmp_path):
    """Serve MODEL and make it be there by a list; returns the outcome."""
    server.files["/m.tflite"] = MODEL

    def run(wanted=(KEY,), sha256=SHA256, weights="imagenet"):
        row = ["MobileNet", "float32", server.url("/m.tflite"), sha256, weights]
        (tmp_path / "list.tsv").write_text("model\tvariant\turl\tsha256\tweights\n" + "\t".join(row))
        return ensure(Download(str(tmp_path / "list.tsv")), wanted, tmp_path / "models", say=lambda _: None)

    return run


def test_downloads_once(run, server, tmp_path):
    outcome = run()
    assert outcome.changed
    (entry,) = outcome.models
    assert (entry.sha256, entry.weights, entry.parameters) == (SHA256, "imagenet", None)
    assert (outcome.directory / entry.file).read_bytes() == MODEL

    server.requests.clear()
    assert not run().changed
    assert server.requests == []


def test_a_corrected_list_changes_the_manifest_without_a_transfer(run, server):
    run()
    server.requests.clear()
    outcome = run(weights="random")
    assert outcome.models[0].weights == "random"
    assert server.requests == []


def test_content_that_the_list_does_not_promise_is_refused(run, server):
    server.files["/m.tflite"] = MODEL + b"!"
    outcome = run()
    assert outcome.models == []
    assert f"the list says {SHA256}" in outcome.failed[0].reason
    assert [path.name for path in outcome.directory.iterdir()] == [".lock"]


def test_a_cut_transfer_goes_on_where_it_broke_off(run, server):
    server.cuts = [300_000, 300_000]
    assert (run().directory / KEY.file).read_bytes() == MODEL
    starts = [int(asked[6:-1]) for _, asked in server.requests[1:]]
    assert 200_000 < starts[0] < starts[1]


def test_a_transfer_that_stays_cut_goes_on_in_the_next_run(run, server):
    server.cuts = [300_000, 0]
    outcome = run()
    assert "run it again" in outcome.failed[0].reason
    assert not (outcome.directory / KEY.file).exists()

    server.requests.clear()
    assert (run().directory / KEY.file).read_bytes() == MODEL
    assert [asked is not None for _, asked in server.requests] == [True]


def test_a_server_without_ranges_sends_all_of_it_again(run, server):
    server.cuts, server.ranges = [300_000], False
    assert (run().directory / KEY.file).read_bytes() == MODEL


def test_a_part_that_does_not_belong_is_thrown_away(run, server, tmp_path):
    directory = tmp_path / "models" / "download"
    directory.mkdir(parents=True)
    part = directory / f".{SHA256}.part"
    for content in (b"x" * 1000, b"x" * (len(MODEL) + 1)):
        part.write_bytes(content)
        (directory / KEY.file).unlink(missing_ok=True)
        assert (run().directory / KEY.file).read_bytes() == MODEL
    assert not part.exists()


def test_a_server_that_is_busy_is_asked_again(run, server):
    server.statuses = [503, 429]
    assert run().failed == []


def test_a_missing_file_is_named(run, server):
    del server.files["/m.tflite"]
    assert run().failed[0].reason == f"{server.url('/m.tflite')}: 404 Not Found"


def test_a_server_that_is_not_there_is_named_in_one_line(run, server, tmp_path):
    url = "http://127.0.0.1:9/m.tflite"
    (tmp_path / "l.json").write_text(json.dumps([{"model": "A", "variant": "b", "url": url, "sha256": SHA256}]))
    outcome = ensure(Download(str(tmp_path / "l.json")), [Wanted("A", "b")], tmp_path / "models", say=lambda _: None)
    assert outcome.failed[0].reason.startswith(url)
    assert "refused" in outcome.failed[0].reason
    assert "\n" not in outcome.failed[0].reason


def test_what_the_list_does_not_name_is_an_error_and_the_rest_is_there(run):
    outcome = run(wanted=(KEY, Wanted("MobileNet", "int8")))
    assert [entry.key for entry in outcome.models] == ["MobileNet.float32"]
    assert "list.tsv does not name it" in outcome.failed[0].reason
    assert "it has: MobileNet.float32" in outcome.failed[0].reason


def test_a_page_instead_of_a_model_is_refused(run, server):
    server.files["/m.tflite"] = b"<html>quota exceeded</html>"
    outcome = run(sha256=hashlib.sha256(b"<html>quota exceeded</html>").hexdigest())
    assert "not a TFLite model" in outcome.failed[0].reason


def test_the_list_may_be_a_url(server, tmp_path):
    row = {"model": "MobileNet", "variant": "float32", "url": server.url("/m.tflite"), "sha256": SHA256}
    server.files |= {"/m.tflite": MODEL, "/models.json": json.dumps([row]).encode()}
    outcome = ensure(Download(server.url("/models.json")), [KEY], tmp_path, say=lambda _: None)
    assert outcome.models[0].weights == "unknown"
    with pytest.raises(ZooError, match=r"gone\.json cannot be fetched \(404"):
        Download(server.url("/gone.json"))


URL = "https://example.org/m.tflite"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"model\tvariant\turl\tsha256\nMobileNet\tfloat32\t{URL}\t{SHA256}\n", id="TSV without weights"),
        pytest.param(f"sha256\turl\tvariant\tmodel\n{SHA256.upper()}\t{URL}\tfloat32\tMobileNet", id="other order"),
        pytest.param(
            json.dumps([{"model": "MobileNet", "variant": "float32", "url": URL, "sha256": SHA256}]), id="JSON"
        ),
    ],
)
def test_parse_list(text):
    assert parse_list(text, "list") == {"MobileNet.float32": Listed(URL, SHA256, "unknown")}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("model\tvariant\turl\nM\tv\thttps://x/\n", "list, line 2: no field 'sha256'", id="no sha256"),
        pytest.param(
            f"model\tvariant\turl\tsha256\nM\tv\tfile:///x\t{SHA256}", "line 2: 'file:///x' is not", id="no URL"
        ),
        pytest.param(
            f"model\tvariant\turl\tsha256\nM\tv\t{URL}\tabc", "line 2: 'abc' is not a sha256", id="bad sha256"
        ),
        pytest.param(f"model\tvariant\turl\tsha256\nM\tv\t{URL}", "line 2", id="line cut short"),
        pytest.param('[{"model": "M"}]', "entry 1: no field 'url'", id="JSON without fields"),
        pytest.param('["M"]', "entry 1", id="JSON, not objects"),
        pytest.param("[oops", "not JSON", id="not JSON"),
        pytest.param(
            f"model\tvariant\turl\tsha256\tweights\nM\tv\t{URL}\t{SHA256}\tgood", "weights 'good'", id="weights"
        ),
        pytest.param("", "names no models", id="empty"),
    ],
)
def test_parse_list_says_what_it_cannot_use(text, problem):
    with pytest.raises(ZooError) as error:
        parse_list(text, "list")
    assert problem in str(error.value)


def test_libraries_in_a_list_are_for_the_cpu_in_their_name(server, tmp_path):
    core, pi, phi = (f"llvm -mcpu={cpu}" for cpu in ("core-avx2", "cortex-a72 -mtriple=aarch64-linux-gnu", "knl"))
    rows = []
    for each in (Wanted("Own", "float32", "so", target=core), Wanted("Own", "float32", "so", 8, target=pi)):
        server.files[f"/{each.file}"] = content = b"\x7fELF" + each.file.encode()
        sha256 = hashlib.sha256(content).hexdigest()
        rows.append({"model": "Own", "variant": "float32", "url": server.url(f"/{each.file}"), "sha256": sha256})
    (tmp_path / "l.json").write_text(json.dumps(rows))
    wanted = [Wanted("Own", "float32", "so", batch, target=cpu) for batch in (1, 8) for cpu in (core, pi, phi)]
    outcome = ensure(Download(str(tmp_path / "l.json")), wanted, tmp_path, say=lambda _: None)
    assert [(entry.file, entry.target) for entry in outcome.models] == [
        ("Own.float32.core-avx2.so", core),
        ("Own.float32.b8.cortex-a72.so", pi),
    ]
    assert outcome.failed == []
    assert outcome.left_out[0].reason.endswith("l.json does not name it; it has: Own.float32.core-avx2.so")


def test_an_absent_list_is_named(tmp_path):
    with pytest.raises(ZooError, match="nothing here"):
        Download(str(tmp_path / "nothing here"))


def test_where_it_came_from_is_kept_unless_that_may_be_secret(server, tmp_path):
    server.files |= {"/m.tflite": MODEL, "/m.tflite?token=s3cret": MODEL}
    address = server.url("/m.tflite").removeprefix("http://")
    said = []
    for url, kept in [
        (f"http://{address}", f"http://{address}"),
        (f"http://me:s3cret@{address}", None),
        (f"http://{address}?token=s3cret", None),
    ]:
        row = {"model": "MobileNet", "variant": "float32", "url": url, "sha256": SHA256}
        (tmp_path / "l.json").write_text(json.dumps([row]))
        outcome = ensure(Download(str(tmp_path / "l.json")), [KEY], tmp_path / "models", say=said.append)
        said += [failure.reason for failure in outcome.failed]
        assert [entry.url for entry in outcome.models] == [kept]
    (tmp_path / "l.json").write_text(json.dumps([row | {"url": "http://me:s3cret@127.0.0.1:9/m?token=s3cret"}]))
    outcome = ensure(Download(str(tmp_path / "l.json")), [KEY], tmp_path / "gone", say=said.append)
    assert outcome.failed[0].reason.startswith("http://127.0.0.1:9/m: ")
    assert "s3cret" not in "".join(said) + outcome.failed[0].reason


def test_where_a_url_ends_like_our_file_names_that_is_what_the_file_is(server, tmp_path):
    archive = b"PK\x03\x04 an archive"
    server.files |= {"/d/ResNet18.float32.b8.s448.tflite": MODEL, "/d/anything.s448.pt2": archive}
    rows = [
        {
            "model": "ResNet18",
            "variant": "float32",
            "url": server.url(path),
            "sha256": hashlib.sha256(content).hexdigest(),
            "weights": "imagenet",
        }
        for path, content in server.files.items()
    ]
    (tmp_path / "l.json").write_text(json.dumps(rows))
    wanted = [
        Wanted("ResNet18", "float32", "tflite", 8, 448),
        Wanted("ResNet18", "float32", "pt2", None, 448),
        Wanted("ResNet18", "float32"),
    ]
    outcome = ensure(Download(str(tmp_path / "l.json")), wanted, tmp_path / "models", say=lambda _: None)
    assert [(entry.file, entry.format, entry.batch_size, entry.input_size) for entry in outcome.models] == [
        ("ResNet18.float32.b8.s448.tflite", "tflite", 8, 448),
        ("ResNet18.float32.s448.pt2", "pt2", None, 448),
    ]
    assert "it has: ResNet18.float32.b8.s448, ResNet18.float32.s448.pt2" in outcome.failed[0].reason


WEIGHTS = f"resnet18-{SHA256[:8]}.pth"


@pytest.fixture
def fetch(server, tmp_path):
    """Serve a file and fetch it; returns its path."""
    server.files[f"/{WEIGHTS}"] = MODEL

    def fetch(name=WEIGHTS, mirror=None):
        return fetched(server.url(f"/{name}"), mirror, tmp_path / "weights", lambda _: None)

    return fetch


def test_weights_are_fetched_once_and_again_when_they_are_damaged(fetch, server):
    file = fetch()
    assert (file.name, file.read_bytes()) == (WEIGHTS, MODEL)
    assert fetch() == file
    assert len(server.requests) == 1

    file.write_bytes(MODEL[:-1])
    assert fetch().read_bytes() == MODEL


def test_a_mirror_is_asked_for_the_published_name(fetch, server):
    server.files = {f"/mirror/{WEIGHTS}": MODEL}
    assert fetch(mirror=server.url("/mirror/")).read_bytes() == MODEL


def test_cut_weights_go_on_where_they_broke_off(fetch, server):
    server.cuts = [300_000]
    assert fetch().read_bytes() == MODEL
    assert [asked is not None for _, asked in server.requests] == [False, True]


def test_a_connection_that_stays_cut_is_said_and_the_next_run_goes_on(fetch, server):
    server.cuts = [300_000, 0]
    with pytest.raises(ZooError, match="bytes have arrived, run it again for the rest"):
        fetch()
    assert fetch().read_bytes() == MODEL


def test_missing_weights_are_named(fetch, server):
    with pytest.raises(ZooError, match=r"gone-00000000\.pth: 404 Not Found"):
        fetch("gone-00000000.pth")


def test_what_is_not_what_its_name_says_is_refused(fetch, server, tmp_path):
    name = "resnet18-f37072fd.pth"
    server.files[f"/{name}"] = MODEL
    with pytest.raises(ZooError, match=f"{name}: its sha256 is {SHA256}, its name says f37072fd"):
        fetch(name)
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [".lock"]


def test_a_model_whose_weights_cannot_be_had_fails_alone(server, tmp_path):
    """The converter, which prints nothing and makes no file, would fail otherwise; MobileNet is Keras's to download."""
    build = Build(
        tmp_path,
        weights="imagenet",
        weights_url=server.url("/"),
        converter=lambda framework, cache, say: [sys.executable, "-c", "raise SystemExit('converted')"],
    )
    wanted = [Wanted("ResNet18", "float32"), Wanted("MobileNet", "float32")]
    outcome = ensure(build, wanted, tmp_path / "models", lambda _: None)
    reasons = {failure.wanted.model: failure.reason for failure in outcome.failed}
    assert reasons["ResNet18"] == f"{server.url('/resnet18-f37072fd.pth')}: 404 Not Found"
    assert "converted" in reasons["MobileNet"]


def archive(*names: str) -> bytes:
    """A tar.gz whose files have their own names as content, beside what makes it long."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=0) as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            data = name.encode() + bytes(200_000)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


@pytest.fixture
def pet(server, tmp_path, monkeypatch):
    """Serve a small Pet, whose checksums the kit knows; returns the data set."""
    names = {
        "images.tar.gz": ["images/Abyssinian_1.jpg", "images/pug_2.jpg", "images/Abyssinian_1.mat", "../out.jpg"],
        "annotations.tar.gz": ["annotations/list.txt", "annotations/README", "annotations/trimaps/pug_2.png"],
    }
    server.files |= {f"/pets/{name}": archive(*members) for name, members in names.items()}
    md5 = {name: hashlib.md5(server.files[f"/pets/{name}"]).hexdigest() for name in names}
    monkeypatch.setattr(pets, "ARCHIVES", md5)
    monkeypatch.setattr(pets, "SIZE_GB", 0)
    return pets.pets(tmp_path / "cache", server.url("/pets/"))


def test_pet_is_downloaded_once_and_goes_on_where_it_broke_off(pet, server):
    server.cuts = [300_000]
    said = []
    pets.fetched(pet, said.append)
    assert [line.split(" from ")[0] for line in said] == [
        "downloading images.tar.gz of the data set pets",
        "downloading annotations.tar.gz of the data set pets",
    ]
    ((path, start),) = [request for request in server.requests if request[1]]
    assert path == "/pets/images.tar.gz"
    assert int(start[6:-1]) > 200_000
    found = [str(path.relative_to(pet.directory)) for path in pet.directory.rglob("*") if path.is_file()]
    assert sorted(found) == ["annotations/list.txt", "images/Abyssinian_1.jpg", "images/pug_2.jpg"]
    assert [path.name for path in pet.directory.parent.iterdir() if path.is_file()] == [f"{pet.directory.name}.lock"]

    server.requests.clear()
    pets.fetched(pet, said.append)
    assert server.requests == []


def test_a_pet_that_is_another_or_cannot_be_had_is_no_data_set(pet, server):
    server.files["/pets/annotations.tar.gz"] += b"!"
    with pytest.raises(ZooError, match=r"/pets/annotations\.tar\.gz: its md5 is \w+, this kit says \w+"):
        pets.fetched(pet, print)
    assert not pet.directory.exists()
    del server.files["/pets/annotations.tar.gz"]
    with pytest.raises(ZooError, match=r"/pets/annotations\.tar\.gz: 404"):
        pets.fetched(pet, print)
    # What has arrived of the other one is not asked for again.
    assert [asked for path, asked in server.requests if path == "/pets/images.tar.gz"] == [None, all_of_it(server)]


def all_of_it(server) -> str:
    return f"bytes={len(server.files['/pets/images.tar.gz'])}-"


def test_finished_weights_are_downloaded_once_and_must_be_what_was_said(server, tmp_path):
    server.files["/m/theirs.weights.h5"] = b"weights"
    good = finished(server.url("/m/theirs.weights.h5?token=x"), hashlib.sha256(b"weights").hexdigest())
    server.files["/m/theirs.weights.h5?token=x"] = b"weights"
    said = []
    file = good.file(tmp_path, said.append)
    assert file.read_bytes() == b"weights"
    assert file.name.endswith(".weights.h5")
    assert good.file(tmp_path, said.append) == file
    assert len(server.requests) == 1
    assert "token" not in "".join(said)
    other = finished(server.url("/m/theirs.weights.h5"), "0" * 64)
    with pytest.raises(ZooError, match=r"its sha256 is \w+, --trained-sha256 says 0000"):
        other.file(tmp_path, said.append)
