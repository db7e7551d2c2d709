"""Hostile texts, by every way that a text gets into the book; the pages are opened in Chromium.

A text that is refused on its way in is survived; what gets in is built into a book, and no page of
it may run anything or link to a script: each payload marks the page that runs it. The book is also
printed as a PDF, which may hold neither.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ground
import pikepdf
from conftest import cases, settle
from kills import Row
from playwright.sync_api import Page, sync_playwright

from companion.publish.pdf import print_page

RAN = "window.ran"
MARK = f"{RAN}=1"
SCRIPT = "a[href^='javascript' i]"
PAYLOADS = {way: text.replace("MARK", MARK) for way, text in cases("faults")["texts"].items()}
ADD = (*ground.COMPANION, "add", "NAME", "--architecture", "pocket-cnn")
MEASUREMENT = "data/measurements/outlier_features/mine-web--one-*.json"


Put = Callable[[Path], Iterator[str]]


def _in_family(field: str) -> Put:
    def put(project: Path) -> Iterator[str]:
        path = project / "families/mine.yaml"
        kept, line = path.read_text("utf-8"), re.compile(rf"^(\s*{field}:).*$", re.M)
        for text in PAYLOADS.values():
            new = line.sub(lambda found, text=text: f"{found[1]} {json.dumps(text)}", kept, count=1)
            path.write_text(new, "utf-8")
            yield _refusal(project, [*ground.COMPANION, "status"])
        path.write_text(kept, "utf-8")

    return put


def _in_measurement(room: str, field: str) -> Put:
    def put(project: Path) -> Iterator[str]:
        (path,) = project.glob(MEASUREMENT)
        kept = path.read_text("utf-8")
        content = json.loads(kept)
        for number, text in enumerate(PAYLOADS.values()):
            changed = content | {room: content[room] | {field: text}}
            path.write_text(json.dumps(changed), "utf-8")
            yield _refusal(project, [*ground.COMPANION, "check", str(path)])
            path.rename(path.with_stem(f"{path.stem}{number}"))  # the pages name it
        path.write_text(kept, "utf-8")

    return put


def _refusal(project: Path, line: Sequence[str]) -> str:
    code, said = ground.run(project, line)
    return said if code else ""


def _in_title(project: Path) -> Iterator[str]:
    for number, text in enumerate(PAYLOADS.values()):
        yield _refusal(project, [*_named(ADD, number), ground.CHECKPOINT, "--title", text])


def _named(line: Sequence[str], number: int, text: str = "TEXT") -> list[str]:
    """A command on a family of its own, with a text in its place."""
    return [word.replace("NAME", f"other{number}").replace("TEXT", text) for word in line]


def _as_file(place: str, original: str, *line: str) -> Put:
    """Files or folders of that name, and a command that takes each or all."""

    def put(project: Path) -> Iterator[str]:
        for number, text in enumerate(PAYLOADS.values()):
            name = text.replace("/", "\N{DIVISION SLASH}").replace("\n", " ")
            old, new = next(project.glob(original)), project / place.replace("TEXT", name)
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(old.read_bytes())
            if any("TEXT" in word for word in line):
                yield _refusal(project, _named(line, number, name))
        if not any("TEXT" in word for word in line):
            yield _refusal(project, line)

    return put


REFUSED = {
    "a family's title": _in_family("title"),
    "a family's description": _in_family("backbone"),
    "a model's pretraining": _in_family("pretraining"),
    "a measurement's machine": _in_measurement("provenance", "device"),
    "a measurement's data set": _in_measurement("data", "name"),
}
WAYS: dict[str, Put] = REFUSED | {
    "a title on the command line": _in_title,
    "a checkpoint's file name": _as_file(
        "TEXT.safetensors", ground.CHECKPOINT, *ADD, "TEXT.safetensors"
    ),
    "a picture's name": _as_file("one/red/TEXT.png", "one/*/*.png", *ground.COMMANDS["extract"]),
    "a class's name": _as_file("one/TEXT/new.png", "one/*/*.png", *ground.COMMANDS["extract"]),
}


def texts(kept: Path, project: Path, tries: int, seed: int) -> Iterator[Row]:
    """All payloads by each way; what is let in, and what files say of the rest, is in a book."""
    ground.fresh(kept, project)
    ground.do(project, "extract", "measure", "build")
    measured = ground.moved(project, project.parent.with_name("measured"))
    with sync_playwright() as playwright:
        path = shutil.which(os.environ.get("CHROMIUM", "chromium"))
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        window = chromium.new_page()
        window.set_content(PAYLOADS["a script"])
        assert window.evaluate(RAN), "a payload that runs is not noticed"
        for way, put in WAYS.items():
            ground.fresh(measured, project)
            refusals = [*put(project)]
            failed = [said[-200:] for said in refusals if "Traceback" in said]
            failed += ["it was let in"] * (way in REFUSED and "" in refusals)
            code, said = ground.run(project, ground.COMMANDS["build"])
            failed += [f"the build failed: {said[-300:]}"] * bool(code)
            failed += [f"a text runs on {page}" for page in running(project, window)]
            failed += printed(project, window)
            yield Row("texts", f"{way} ({refusals.count('')} let in)", len(PAYLOADS), failed)


def printed(project: Path, window: Page) -> Iterator[str]:
    """What is wrong with the book's single page, and with the PDF that is printed from it."""
    code, said = ground.run(project, [*ground.COMMANDS["build"], "--builder", "singlehtml"])
    if code:
        yield f"the page to print was not built: {said[-300:]}"
        return
    page = project / "book/_build/singlehtml/index.html"
    window.goto(page.as_uri(), wait_until="load")
    settle(window)
    if window.evaluate(RAN):
        yield "a text runs on the page to print"
    with pikepdf.open(print_page(page, project / "book.pdf")) as pdf:
        for thing in pdf.objects:
            if isinstance(thing, pikepdf.Dictionary) and (
                "/JS" in thing or str(thing.get("/URI", "")).lower().startswith("javascript")
            ):
                yield f"the PDF has {thing}"


def running(project: Path, window: Page) -> list[str]:
    """The pages on which a payload ran, or would, in Chromium."""
    book, found = project / "book/_build/html", []
    for path in sorted(book.rglob("*.html")):
        if "_static" not in path.parts:
            window.goto(path.as_uri(), wait_until="load")
            settle(window)
            if window.evaluate(RAN) or window.query_selector(SCRIPT):
                found.append(path.relative_to(book).as_posix())
    return found
