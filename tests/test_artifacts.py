"""Public artefacts: what is refused, what is kept, what the user reads. No network is needed."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from conftest import cases, refused, sentence

from analysis.base.roots import ArtifactError
from companion.sources import public
from companion.sources.public import Artifact, fetch, fetch_all

CONTENT = b"model,top1\nresnet50,76.13\n" * 40
NAME = "tables/top1.csv"
ABOUT = cases("artifacts")
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FAKE = Artifact(name=NAME, sha256=SHA256, bytes=len(CONTENT), **ABOUT["fake"])


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        server.refusals -= 1
        self.send_response(503 if server.refusals >= 0 else server.status)
        self.send_header("Content-Length", str(server.declared or len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """Answers every request with ``body``, and remembers what was asked for."""

    body, declared, status, refusals = CONTENT, None, 200, 0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked, self.url = [], f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


@pytest.fixture
def server(monkeypatch):
    running = Server()
    monkeypatch.setattr(public, "HOST", running.url)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """One fake artefact, an empty cache, no mirror."""
    monkeypatch.setattr(public, "_catalogue", lambda: {NAME: FAKE})
    monkeypatch.delenv("COMPANION_MIRROR", raising=False)
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    return tmp_path / "cache"


@pytest.fixture
def mirror(monkeypatch, tmp_path):
    monkeypatch.setenv("COMPANION_MIRROR", str(tmp_path / "mirror"))
    path = tmp_path / "mirror" / FAKE.repository / FAKE.path
    path.parent.mkdir(parents=True)
    return path


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_download_is_checked_and_kept_and_replaced_once_it_is_damaged(server, cache):
    path = fetch(NAME)
    assert path.read_bytes() == CONTENT
    assert path == cache / FAKE.repository / FAKE.commit / FAKE.path
    assert fetch(NAME) == path and files(cache) == [path]
    assert server.asked == [f"/{FAKE.repository}/{FAKE.commit}/results/top1%2Bmore.csv"]
    path.write_bytes(CONTENT[:-7])
    assert fetch(NAME).read_bytes() == CONTENT
    assert len(server.asked) == 2
    server.close()
    assert fetch(NAME).read_bytes() == CONTENT


def test_offline_and_not_cached_says_how_to_get_it(server, cache):
    server.close()
    message = sentence(fetch, NAME)
    assert message.startswith(f"{NAME} is not on this machine and could not be downloaded from ")
    assert f"run `companion fetch {NAME}`" in message
    assert f"COMPANION_MIRROR to a folder that holds it as {FAKE.repository}/{FAKE.path}" in message
    assert not files(cache)


@pytest.mark.parametrize(
    "status, body, declared, message",
    [
        (404, b"404: Not Found", None, r"could not be downloaded .*404"),
        (200, CONTENT.replace(b"76.13", b"99.99"), None, "checksum differs.*nothing was kept"),
        (200, CONTENT[:100], len(CONTENT), f"{NAME} is not on this machine"),
        (200, CONTENT * 1000, None, f"sends more than the file's {len(CONTENT):,} bytes"),
    ],
    ids=["a missing page", "another content", "truncated", "longer"],
)
def test_another_file_is_refused_and_not_kept(server, cache, status, body, declared, message):
    server.status, server.body, server.declared = status, body, declared
    refused(message, fetch, NAME)
    assert not files(cache)
    server.status, server.body, server.declared = 200, CONTENT, None
    assert fetch(NAME).read_bytes() == CONTENT


def test_a_body_without_end_or_too_slow_is_stopped_at_once(server, cache, monkeypatch):
    sent = []

    def body(answer, piece, pause):
        answer.send_response(200)
        answer.end_headers()
        with contextlib.suppress(OSError):
            while sum(sent) < 50_000_000:
                sent.append(answer.wfile.write(piece))
                threading.Event().wait(pause)  # the fixture keeps `time.sleep` from waiting

    monkeypatch.setattr(Answer, "do_GET", lambda answer: body(answer, b"x" * 65_536, 0))
    refused("sends more than the file's", fetch, NAME)
    assert sum(sent) < 20_000_000 and not files(cache)  # what the sockets hold, at most
    sent.clear()
    monkeypatch.setattr(public, "WITHIN", 0.3)
    monkeypatch.setattr(Answer, "do_GET", lambda answer: body(answer, b"x", 0.05))
    refused(r"fewer than 10,000 bytes in 0\.3 seconds", fetch, NAME)
    assert sum(sent) < 50 and not files(cache)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOTDIR])
def test_what_the_disk_refuses_is_no_fault_of_the_network(server, cache, number, monkeypatch):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), str(cache))

    monkeypatch.setattr("pooch.core.os.makedirs", refuse)
    said = sentence(fetch, NAME)
    assert f"cannot be kept in {cache}. {os.strerror(number)}" in said
    assert "COMPANION_CACHE" in said and "online" not in said


def test_mirrors_are_tried_in_turn_and_checked(server, cache, monkeypatch):
    others = Server(), Server()
    others[0].body = CONTENT.replace(b"76.13", b"99.99")
    ends = ("gh/{repository}@{commit}/{path}", "api/sha256:{sha256}/raw/")
    places = [f"{other.url}/{end}" for other, end in zip(others, ends, strict=True)]
    mirrored = FAKE.model_copy(update={"mirrors": tuple(places)})
    monkeypatch.setattr(public, "_catalogue", lambda: {NAME: mirrored})
    server.status = 404
    assert fetch(NAME).read_bytes() == CONTENT and len(files(cache)) == 1
    assert {*others[0].asked} == {f"/gh/{FAKE.repository}@{FAKE.commit}/results/top1%2Bmore.csv"}
    assert others[1].asked == [f"/api/sha256:{FAKE.sha256}/raw/"]
    fetch(NAME).unlink()
    others[1].close()
    host = re.escape(others[0].url.removeprefix("http://"))
    said = rf"from {server.url}/.* \(404 .*\), nor from {host} \(its checksum differs; nothing was "
    said += r"kept\), nor from 127.0.0.1:\d+ \(Connection.*\): go online"
    assert re.search(said, sentence(fetch, NAME)) and not files(cache)
    others[0].close()


def test_a_busy_server_is_asked_again(server):
    server.refusals = 2
    assert fetch(NAME).read_bytes() == CONTENT
    assert len(server.asked) == 3


def test_a_mirror_is_used_in_place_and_what_it_lacks_is_downloaded(server, cache, mirror):
    assert fetch(NAME).read_bytes() == CONTENT
    assert len(server.asked) == 1 and not mirror.exists()
    shutil.rmtree(cache)
    mirror.write_bytes(CONTENT)
    assert fetch(NAME) == mirror
    assert len(server.asked) == 1 and not cache.exists()
    mirror.write_bytes(CONTENT[:-1])  # which is refused, and not replaced
    problem = f"{re.escape(str(mirror))} has another .*, and {len(CONTENT) - 1} of {len(CONTENT)} b"
    refused(problem, fetch, NAME)
    assert mirror.read_bytes() == CONTENT[:-1] and len(server.asked) == 1


def test_a_mirror_that_is_no_folder_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("COMPANION_MIRROR", str(tmp_path / "nowhere"))
    refused(r"COMPANION_MIRROR is .*nowhere', which is not a fold", fetch, NAME)


def test_unknown_names_are_refused_before_anything_is_fetched(server):
    with pytest.raises(ArtifactError, match=r"'tables/top.csv'.* did you mean 'tables/top1.csv'"):
        fetch_all([NAME, "tables/top.csv"])
    assert not server.asked
    assert list(fetch_all()) == [NAME]


# The list itself.


def test_the_list_is_complete_and_unambiguous():
    catalogue = public.load_catalogue()
    assert len({(item.repository, item.path) for item in catalogue.values()}) == len(catalogue)
    stated = {i.licence for i in catalogue.values() if not i.licence.startswith("none stated")}
    notice = "notice of the University of Maryland (license.txt)"
    of_texts = "S-Lab License 1.0 (non-commercial)"
    assert stated == {"CC-BY-4.0", "MIT", "MIT-style", "Apache-2.0", notice, of_texts}
    origin, *mirrors = catalogue["open_clip/openclip_results.csv"].urls
    place = re.fullmatch(
        r"https://raw\.githubusercontent\.com/mlfoundations/open_clip/([0-9a-f]{40})(/docs/.*)",
        origin,
    )
    assert mirrors[0] == f"https://cdn.jsdelivr.net/gh/mlfoundations/open_clip@{place[1]}{place[2]}"


@pytest.mark.parametrize("wrong", ABOUT["wrong"])
def test_a_wrong_list_is_refused_in_one_line(tmp_path, wrong):
    path = tmp_path / "artifacts.yaml"
    path.write_text(yaml.safe_dump(ABOUT["list"]))
    assert list(public.load_catalogue(path)) == ["one"]
    path.write_text(yaml.safe_dump(wrong))
    refused(r"artifacts\.yaml (is not a list|gives one)", public.load_catalogue, path)
