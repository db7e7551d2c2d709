"""Hostile texts, by every way that a text gets into the book; the pages are opened in Chromium.

A text that is refused on its way in is survived; what gets in is built into a book and into the
page of a probe, and none of them may run anything, have an attribute that would, or link to a
script: each payload marks the page that runs it. They are opened without their policy, which would
hide a hole, and one page is shown to be safe by its policy alone. So are slides, and the drawings
that a reader takes along. The book is also printed as a PDF, which may hold neither.
"""

import json
import os
import re
import shutil

import ground
import pikepdf
import taken_along
from conftest import cases, settle
from playwright.sync_api import sync_playwright

from base.texts import MARKUP
from results.pdf import print_page

RAN = "window.ran"
MARK = f"{RAN}=1"
SCRIPT = "a[*|href^='javascript' i]"
#: Whether an attribute of an element holds a payload that an event would run.
HANDLER = """[...document.querySelectorAll("*")].some((one) => [...one.attributes].some(
  ({name, value}) => name.startsWith("on") && value.includes("window.ran")))"""
PAYLOADS = {way: text.replace("MARK", MARK) for way, text in cases("faults")["texts"].items()}
ADD = (*ground.COMPANION, "add", "NAME", "--architecture", "pocket-cnn")
EXTRACT = ground.COMMANDS["extract"]
MEASUREMENT = "data/measurements/outlier_features/mine-web--one-*.json"


def _in_family(field):
    def put(project, texts):
        path = project / "families/mine.yaml"
        kept, line = path.read_text(), re.compile(rf"^(\s*{field}:).*$", re.M)
        for text in texts:
            new = line.sub(lambda match, text=text: f"{match[1]} {json.dumps(text)}", kept, count=1)
            path.write_text(new)
            said = _refusal(project, [*ground.COMPANION, "status"])
            path.write_text(kept)
            if not said:  # the book has it as a family of its own
                name = f"{field}{[*PAYLOADS.values()].index(text)}"
                path.with_stem(name).write_text(new.replace("mine", name))
            yield said

    return put


def _in_measurement(room, field):
    def put(project, texts):
        path = min(project.glob(MEASUREMENT))
        kept = path.read_text()
        content = json.loads(kept)
        for number, text in enumerate(texts):
            changed = content | {room: content[room] | {field: text}}
            path.write_text(json.dumps(changed))
            yield _refusal(project, [*ground.COMPANION, "check", str(path)])
            path.rename(path.with_stem(f"{path.stem}{field}{number}"))  # the pages name it
        path.write_text(kept)

    return put


def _refusal(project, line):
    code, said = ground.run(project, line)
    return said if code else ""


def _in_title(project, texts):
    for number, text in enumerate(texts):
        yield _refusal(
            project, [*_named(ADD, f"titled{number}"), ground.CHECKPOINT, "--title", text]
        )


def _named(line, family, text="TEXT"):
    """A command on a family of its own, with a text in its place."""
    return [word.replace("NAME", family).replace("TEXT", text) for word in line]


def _file_name(text):
    return text.replace("/", "\N{DIVISION SLASH}").replace("\n", " ")


def _as_file(place, original, *line):
    """Files or folders of that name, and a command that takes each or all."""

    def put(project, texts):
        for number, text in enumerate(texts):
            name = _file_name(text)
            written = place.replace("TEXT", name).replace("KNOWN", KNOWN[number])
            old, new = next(project.glob(original)), project / written
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(old.read_bytes())
            if any("TEXT" in word for word in line):
                yield _refusal(project, _named(line, f"filed{number}", name))
        if not any("TEXT" in word for word in line):
            yield _refusal(project, line)

    return put


def _probed(project, texts):
    """The page of a probe, of a checkpoint and a folder of such a name."""
    for number, text in enumerate(texts):
        name = _file_name(text)
        (project / name).mkdir()
        for place, picture in enumerate(sorted(project.glob("two/*/*.png"))[:9]):
            (project / name / f"{place}.png").write_bytes(picture.read_bytes())
        file = project / f"{name}.safetensors"
        file.write_bytes((project / ground.CHECKPOINT).read_bytes())
        line = [*ground.COMPANION, "probe", file, "--architecture", "pocket-cnn"]
        page = project / PROBES / f"{number}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        yield _refusal(project, [*map(str, line), "--images", name, "--html", str(page)])


#: Words that the pocket models know, without which they would take all classes for the same.
KNOWN = ["cat", "dog", "house", "tree", "car", "fish", "bird", "apple", "star", "moon", "sun"]
KNOWN += ["heart", "cake", "horse", "hand", "face", "flag", "cow", "pig", "bear", "clock", "book"]
#: What refuses markup; a quote is no markup, and must be escaped where it is shown.
REFUSED = {
    **{f"a family's {field}": _in_family(field) for field in ("title", "backbone")},
    **{f"a model's {field}": _in_family(field) for field in ("pretraining", "architecture")},
    "a measurement's machine": _in_measurement("provenance", "device"),
    "a measurement's precision": _in_measurement("provenance", "precision"),
    "a measurement's data set": _in_measurement("data", "name"),
    "a measurement's images": _in_measurement("data", "what"),
}
#: Pages that are opened at once.
TABS = 4
#: Where the pages of probes are, which are read like those of the book.
PROBES = "book/_build/probes-html"
WAYS = REFUSED | {
    "a title on the command line": _in_title,
    "a file's name": _as_file("TEXT.safetensors", ground.CHECKPOINT, *ADD, "TEXT.safetensors"),
    "a picture's name": _as_file("one/red/TEXT.png", "one/*/*.png", *EXTRACT),
    "a class's name": _as_file("one/TEXT KNOWN/new.png", "one/*/*.png", *EXTRACT),
    "a probe": _probed,
}


def texts(kept, project):
    """Each payload by one way; what is let in, and what files say of the rest, is in one book."""
    taken_along.put(ground.fresh(kept, project), PAYLOADS.values())
    ground.do(project, "extract", "measure", "build")
    failed, every = [], [*PAYLOADS.values()]
    for number, (way, put) in enumerate(WAYS.items()):
        some = every[number :: len(WAYS)]
        refusals = [*put(project, some)]
        failed += [f"{way}: {said[-200:]}" for said in refusals if "Traceback" in said]
        pairs = zip(refusals, some, strict=False)
        let_in = any(not said and MARKUP.search(text) for said, text in pairs)
        failed += [f"{way}: it was let in"] * (way in REFUSED and let_in)
        yield f"{way}: {refusals.count('')} of {len(some)} let in", failed
    taken_along.put_slides(project, [*PAYLOADS.values()])
    for more in ([], ["--builder", "singlehtml"]):
        code, said = ground.run(project, [*ground.COMMANDS["build"], *more])
        failed += [f"the build failed: {said[-300:]}"] * bool(code)
    failed += taken_along.failures(project, RAN)
    with sync_playwright() as playwright:
        path = shutil.which(os.environ.get("CHROMIUM", "chromium"))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        windows = [browser.new_context(bypass_csp=True).new_page() for _ in range(TABS)]
        window = windows[0]
        for way in ("a script", "an attribute"):
            window.set_content(PAYLOADS[way])
            assert window.evaluate(RAN) or window.evaluate(HANDLER), "a payload is not noticed"
        failed += [f"a text runs on {page}" for page in running(project, windows)]
        page = project / "book/_build/html/index.html"
        text = page.read_text().replace("<article", f"{PAYLOADS['a script']}<article", 1)
        page.with_name("holed.html").write_text(text)
        window = browser.new_page()
        window.goto(page.with_name("holed.html").as_uri(), wait_until="load")
        failed += ["the policy lets a script run"] * bool(window.evaluate(RAN))
    single = project / "book/_build/singlehtml/index.html"
    with pikepdf.open(print_page(single, project / "book.pdf")) as pdf:
        things = [thing for thing in pdf.objects if isinstance(thing, pikepdf.Dictionary)]
    uris = [str(thing.get("/URI", "")) for thing in things]
    failed += [f"the PDF has {uri}" for uri in uris if uri.lower().startswith("javascript")]
    failed += ["the PDF has a script"] * any("/JS" in thing for thing in things)
    yield "in the book and its PDF", failed


def running(project, windows):
    """Pages and drawings on which a payload ran, or would, in Chromium; each window loads one."""
    book, pages = project / "book/_build", []
    found = [path for end in ("html", "svg") for path in sorted(book.rglob(f"*html/**/*.{end}"))]
    paths = [path for path in found if "_static" not in path.parts]
    for several in (paths[i : i + len(windows)] for i in range(0, len(paths), len(windows))):
        for path, window in zip(several, windows, strict=False):
            window.goto(path.as_uri(), wait_until="commit")
        for path, window in zip(several, windows, strict=False):
            window.wait_for_load_state("load")
            settle(window)
            if any(map(window.evaluate, (RAN, HANDLER))) or window.query_selector(SCRIPT):
                pages.append(path.relative_to(book).as_posix())
    return pages
