"""Copies of this checkout for tests that change or build it."""

import contextlib
import functools
import gc
import html
import importlib.util
import io
import json
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

import psutil
import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book/_extensions"))  # tests import the book's extensions by name
#: The processes that tests start keep compiled bytecode, as a reader's do, whatever this one may.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
#: What is tested is this checkout, whichever a reader works on.
os.environ.pop("COMPANION_ROOT", None)
#: Of two workers each has a core to itself. NumPy, once it is imported, asks for it no more.
if "PYTEST_XDIST_WORKER" in os.environ:
    assert "numpy" not in sys.modules
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def cases(name):
    """A table of test cases."""
    return yaml.safe_load((ROOT / f"tests/cases/{name}.yaml").read_text())


def programs(folder):
    """The Python programs, or notebooks, of a folder of cases, by name."""
    return {path.stem: path.read_text() for path in (ROOT / "tests/cases" / folder).glob("*.py")}


SUITE = cases("suite")
LEFT_OUT = {
    extra: [f"test_{name}.py" for name in names.split()]
    for extra, (libraries, names) in SUITE["needs"].items()
    if not all(map(importlib.util.find_spec, libraries))
}
collect_ignore = [name for names in LEFT_OUT.values() for name in names]


def pytest_collection_modifyitems(config, items):
    """Order the files; the tests in each stay as they are.

    What took long the last time comes first, where this checkout has been tested before; what
    waits for the book comes last but for the file that has it built, which is the first of all.
    """
    place = {f"test_{name}": number for number, name in enumerate(SUITE["first"].split())}
    cache = getattr(config, "cache", None)
    taken = cache.get(SECONDS, {}) if cache else {}
    builds = min(place, key=place.__getitem__)
    waits = {i.path.stem for i in items if "clone" in i.fixturenames} - {builds}

    def order(item):
        name = item.path.stem
        return name in waits, name != builds, -taken.get(name, 0), place.get(name, 99)

    items.sort(key=order)


def pytest_collection_finish():
    """What is imported by now stays, so that no collection of garbage looks at PyTorch again."""
    gc.freeze()


#: A file whose tests share what is dear to make: they stay with one worker.
SHARES = re.compile(r'scope="(?:module|class)"|\b(?:browser|open_page)\b')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadfile`, a free worker takes single tests of files that share nothing.

    xdist has `loadgroup` for that, which does nothing with pytest 9.2.
    """
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return scope_of(nodeid)

    return Scheduling(config, log)


@functools.cache
def _shares(path):
    return bool(SHARES.search((ROOT / path).read_text(encoding="utf-8")))


def scope_of(nodeid):
    """What a worker takes at once: a file, or a test of one that shares nothing."""
    path = nodeid.split("::")[0]
    return path if _shares(path) else nodeid


#: Where it is kept how long the tests of each file took.
SECONDS = "companion/seconds"
TOOK = {}


def pytest_runtest_logreport(report):
    """Add up how long each file takes."""
    name = Path(report.nodeid.split("::")[0]).stem
    TOOK[name] = TOOK.get(name, 0) + report.duration


def pytest_sessionfinish(session):
    """Keep that, but not of a worker or of a few tests."""
    if "PYTEST_XDIST_WORKER" not in os.environ and len(TOOK) > len(SUITE["first"].split()):
        session.config.cache.set(SECONDS, TOOK)


def pytest_terminal_summary(terminalreporter):
    """Say what was left out."""
    for extra, names in LEFT_OUT.items():
        terminalreporter.write_line(f"LEFT OUT without the extra `{extra}`: {', '.join(names)}")


def drawn(every, most, seed=None):
    """Some of a list, others each time, with a line that says so; all if TRIES is not 1.

    `seed` draws the same again.
    """
    if len(every) <= most or os.environ.get("TRIES", "1") != "1":
        return [*every]
    seed = random.randrange(1000) if seed is None else seed
    print(f"seed {seed}: {most} of {len(every)}")
    return random.Random(seed).sample(every, most)


def copy_checkout(target):
    """What a clone of the working tree would hold: tracked and new files, nothing generated."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        source, copy = ROOT / name, target / name
        if source.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    return target


def make_project(folder, families, notebooks=None, files=None, data=()):
    """A small project of the real modules: what the command line needs, and this to run.

    ``families``: the text of a family file by its name, None for the book's own; ``notebooks``: the
    text of a percent notebook by its name; ``files``: the text of any other file by its path;
    ``data``: files or folders that are taken over as they are.
    """
    tables = ("looks.yaml", "quantities.yaml", "published/models.csv")
    data = ("pyproject.toml", "data/imagenet", *(f"data/{name}" for name in tables), *data)
    ours = ("analysis", "companion", "profiles")
    for name in (*ours, *data):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
        else:
            shutil.copy2(ROOT / name, folder / name)
    texts = {f"notebooks/{name}.py": text for name, text in (notebooks or {}).items()}
    for name, text in families.items():
        path = f"families/{name}.yaml"
        texts[path] = (ROOT / path).read_text() if text is None else text
    for name, text in {**texts, **(files or {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def python_in(folder, *words, python=sys.executable, **more):
    """Run this environment's Python in `folder`, with its output as text; ``more`` environment."""
    return _run(folder, [python, *map(str, words)], **more)


def run_in(folder, *module):
    """Run a module of this environment in `folder`, with its output as text."""
    return python_in(folder, "-m", *module)


def start_in(folder, *words, **more):
    """Start the command line in `folder`; ``more`` environment."""
    return start_line(
        folder, [sys.executable, "-m", "companion.cli.main", *map(str, words)], **more
    )


def start_line(folder, line, stderr=subprocess.PIPE, **more):
    """Start a command in `folder`, as a group of processes, with its output as text.

    Where the tests run in the background, SIGINT is ignored, which children would inherit.
    """
    both = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr}
    options = {"cwd": folder, "env": _environment(folder) | more, "start_new_session": True}
    interrupted = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(line, text=True, preexec_fn=interrupted, **options, **both)


def companion_in(folder, *lines, python=sys.executable, **more):
    """What each command line answers in `folder`: its exit status, its output, its errors."""
    given = "\n".join(json.dumps(list(map(str, line))) for line in lines)
    done = _run(folder, [python, "-c", programs("programs")["several"]], given, **more)
    answers = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(answers) == len(lines), done.stderr
    return answers


def companion(folder, *words):
    """What a command line prints in `folder`; it must succeed."""
    done = run_in(folder, "companion.cli.main", *words)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def results(folder, run):
    """What a run, ``experiment family``, publishes as text, by name."""
    companion(folder, "run", *run.split(), "--output", "run.ipynb")
    notebook = json.loads((folder / "run.ipynb").read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return {
        output["metadata"]["companion"]["label"]: "".join(output["data"]["text/markdown"])
        for output in outputs
        if "text/markdown" in output.get("data", {})
    }


def build_book(folder, *options, **more):
    """What a reader types: jupyter-book build book/; ``more`` environment."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/"]
    return _run(folder, [*command, *options], **more)


def _run(folder, command, given="", **more):
    # Under load a book of four minutes has taken half an hour.
    kept = {"text": True, "capture_output": True, "timeout": 5400, "input": given}
    return subprocess.run(command, cwd=folder, env=_environment(folder) | more, **kept)


def _environment(folder):
    return os.environ | {"PYTHONPATH": str(folder), "NO_COLOR": "1"}


def sphinx_build(folder, pages, *extensions, **settings):
    """Build MyST pages in this process: Sphinx's application, and its warnings.

    ``extensions`` are the book's. Built again in a folder, the pages are those given now.
    """
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    source, warnings = folder / "source", io.StringIO()
    for old in source.glob("*.md"):
        if pages.get(old.stem) != old.read_text():
            old.unlink()
    for name in [name for name in pages if not (source / f"{name}.md").exists()]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / f"{name}.md").write_text(pages[name])
    settings = {
        "extensions": ["myst_parser", *extensions],
        "html_theme": "basic",
        "source_suffix": {".rst": "restructuredtext"},  # extensions add to it, for later builds too
        "myst_enable_extensions": ["colon_fence"],
        "suppress_warnings": [],
        **settings,
    }
    places = (str(source), None, str(folder / "html"), str(folder / "trees"))
    with docutils_namespace():
        app = Sphinx(*places, "html", settings, status=None, warning=warnings)
        app.build()
    return app, warnings.getvalue()


def solutions_in(folder):
    """The files of a folder, and of archives in it, that have a line of a blank's solution."""
    from companion.engine import course

    sources = [(course.TEACH / f"{name}.py").read_text() for name in course.names()]
    bodies = [body[3] for text in (*sources, course.LAB.read_text())
              for body in course.BODY.finditer(text)]  # fmt: skip
    given = "\n".join(map(course.students, sources))  # of which some is another's solution
    lines = {body.splitlines()[-1].strip() for body in bodies}
    lines = {line for line in lines if line not in given}
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in [path for path in contents if path.suffix == ".zip"]:
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            contents |= {path / name: archive.read(name) for name in archive.namelist()}
    found = []
    for path, content in contents.items():
        text = html.unescape(content.decode(errors="replace")).replace('\\"', '"')
        text = re.sub(r"<[^>\n]*>", "", text) if path.suffix == ".html" else text
        if "_solved" in path.name or any(line in text for line in lines if len(line) > 25):
            found.append(str(path))
    return found


def refuses(*rows):
    """A test that calls are refused, each with its message."""

    @pytest.mark.parametrize(("call", "message"), rows)
    def test(call, message):
        refused(message, call)

    return test


def sentence(call, *given, **named):
    """What a call is refused with, in one line."""
    from analysis.base.texts import CompanionError

    with pytest.raises((CompanionError, ValueError)) as caught:
        call(*given, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refused(message, call, *given, **named):
    """Assert that a call is refused in one line, and that a part of it matches."""
    said = sentence(call, *given, **named)
    assert re.search(message, said), said


def contrast(*colours):
    """The ratio of the relative luminances of two colours `#rrggbb`, as WCAG 2 defines it."""
    import numpy as np

    parts = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    dark, light = sorted(linear @ [0.2126, 0.7152, 0.0722])
    return float((light + 0.05) / (dark + 0.05))


def wait_until_nobody_works_in(folder, seconds=60):
    """Jobs notice that their parent is gone, a moment later; assert that they do."""
    until = time.monotonic() + seconds
    while left := [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(folder)]:
        assert time.monotonic() < until, f"a job outlives its parent: {left}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def browser():
    """Chromium, without root's sandbox; no host but this one has an address."""
    from playwright import sync_api

    from companion.engine.pdf import BROWSERS

    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("Chromium is not installed")
    flags = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=flags)
        yield chromium
        chromium.close()


#: Where pages that are tested may get something from.
OWN = ("file:", "data:", "blob:")


@pytest.fixture
def open_page(browser):
    """Open addresses; an error that a page reports, or another host that it asks, is wrong."""
    wrong = []
    context = browser.new_context(has_touch=True)

    def opened(address, viewport):
        page = context.new_page()
        page.set_viewport_size(viewport)
        listen(page, wrong.append)
        page.goto(address)
        settle(page)
        return page

    yield opened
    context.close()
    assert wrong == []


def listen(page, note):
    """Note errors that a page reports, files that it lacks, and other hosts that it asks."""
    page.on("pageerror", lambda error: note(str(error)))
    page.on("console", lambda message: message.type == "error" and note(message.text))
    page.on("request", lambda request: request.url.startswith(OWN) or note(request.url))
    aborted = "net::ERR_ABORTED"  # by the next visit
    page.on("requestfailed", lambda request: request.failure != aborted and note(request.url))


def settle(page):
    """Wait until mathematics and fonts are in place."""
    page.evaluate("() => document.fonts.ready.then(() => true)")
    page.evaluate("() => window.MathJax?.startup?.promise?.then(() => true) ?? true")


def what_axe_finds(page, context, options):
    """Serious and critical violations in a part of a page: each with its element."""
    from axe_playwright_python import sync_playwright as axe

    violations_alone = {"resultTypes": ["violations"]}  # else every node that passes is described
    response = axe.Axe().run(page, context, violations_alone | options).response
    assert response["passes"]
    return [
        f"{violation['id']}: {node['html'][:160]}: {node['failureSummary']}"
        for violation in response["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]


@pytest.fixture
def answer(capsys):
    """Do a command line in this process: what it prints or, where it must fail, says."""
    from companion.cli.main import main

    def done(*words, fails=False):
        assert main([*map(str, words)]) == fails
        return capsys.readouterr()[fails]

    return done


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    """An empty store; and no data sets but those that the test puts into the folder beside it."""
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("COMPANION_DATA_CONFIG", raising=False)
    monkeypatch.setattr("companion.sources.sets.CONFIG", tmp_path / "no-configuration.yaml")
    return tmp_path / "store"


@pytest.fixture
def file(tmp_path):
    """A checkpoint of the tiny architectures, for modules that import these."""
    from tiny import save_clip

    save_clip(tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


@pytest.fixture(scope="session")
def static(tmp_path_factory):
    """The address of a folder like `_static` in a built book: the engine's files and the book's."""
    folder = tmp_path_factory.mktemp("static")
    for place in ("companion/engine/static", "book/_static"):
        shutil.copytree(ROOT / place, folder, dirs_exist_ok=True)
    return folder.as_uri()


@pytest.fixture(scope="session")
def table():
    """The published accuracies; not to be changed."""
    from companion.measurements import accuracies

    return accuracies.load()


@pytest.fixture
def extracted(own_store):
    """Extracts a family's features into a store of the test's own; skips without its weights."""
    pytest.importorskip("timm", reason="extraction is not installed")
    pytest.importorskip("open_clip")
    from analysis.base.roots import ArtifactError
    from analysis.families.registry import load_family
    from companion.checkpoints.loading import load
    from companion.cli import main as cli
    from companion.sources.find import find

    def extract(family, images):
        try:
            found = find(images), *map(load, load_family(family).models)
        except ArtifactError as error:
            pytest.skip(f"what it is made from is not here: {error}")
        assert all(found)
        words = ["extract", family, "--data", images, "--device", "cpu", "--workers", "1", "-q"]
        assert cli.main(words) == 0

    return extract


@pytest.fixture(scope="session")
def artefacts():
    """The script that enters others' features into the store, where these can be had."""
    from companion.sources import public

    pytest.importorskip("torch", reason="extraction is not installed")
    try:
        public.fetch_all()
    except public.ArtifactError as error:
        pytest.skip(str(error))
    return runpy.run_path(str(ROOT / "data/embeddings/make.py"))


BUILT = "book/_build/html"
#: What pages are made from, whether git has it or not.
MADE_FROM = ("analysis", "companion", "notebooks", "families")
MADE_FROM += ("data", "course", "book", "store")


def is_built():
    """Whether the checkout has a book for readers, and nothing that it is made from is newer."""
    environment = ROOT / "book/_build/.doctrees/environment.pickle"
    if not environment.is_file() or (ROOT / BUILT / "lite").exists():
        return False
    finished = environment.stat().st_mtime_ns
    left_out = (ROOT / "book/_build", ROOT / "book/runs")
    found = [ROOT / "pyproject.toml", ROOT / "CITATION.cff"]
    for place in MADE_FROM:
        for folder, inside, names in os.walk(ROOT / place):
            inside[:] = [
                n for n in inside if n != "__pycache__" and Path(folder, n) not in left_out
            ]
            found += [Path(folder, name) for name in names if not name.endswith(".lock")]
    return max(path.lstat().st_ctime_ns for path in found) <= finished


@pytest.fixture(scope="session")
def clone(tmp_path_factory):
    """A clean clone with its book built, once for all workers.

    It takes over runs and features that the checkout has, and the checkout's book if nothing has
    changed since it was built: a slow test builds from nothing. Its path has a space, brackets and
    a letter outside ASCII.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "fresh" / "clean clöne [b]", shared / "fresh-built"
    failed = shared / "fresh-failed"  # why, for the workers that come after the one that built it
    with FileLock(shared / "fresh.lock"):
        if failed.exists():
            pytest.fail(failed.read_text())
        if not done.exists():
            failed.write_text(
                "The clean clone has no book: the first test that needed it says why."
            )
            folder.parent.mkdir()
            copy_checkout(folder)
            for name in ("store", "book/runs"):  # what is not current by its content is made anew
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, folder / name)
            if is_built():
                shutil.copytree(ROOT / BUILT, folder / BUILT)
            else:
                built = build_book(folder)
                assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
            failed.unlink()
            done.touch()
    return folder


@pytest.fixture(scope="session")
def built_book(clone):
    """The HTML folder of the clean clone's book."""
    return clone / "book" / "_build" / "html"
